"""Decide what one contact should carry, and in which order.

Nothing here opens a file, a socket or a clock. docs/protocol.md section 5.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from alforja_node.offers import REQUEST_COST_BYTES, CourseKey, Hop
from alforja_node.selection import Frames
from alforja_packaging.frames import Frame
from alforja_packaging.index import Opened

OPENING_BYTES: Final = 64 * 1024  # a small update comes whole with its index: one request less


@dataclass(frozen=True, slots=True)
class Have:
    """What the node holds of one way to a release.

    `done` are the frames whose output is there, or that have come whole and wait to
    be verified together; `arrived` says how many bytes of the others lie here,
    `head` how many bytes of the index do.
    """

    head: int = 0
    done: frozenset[int] = frozenset()
    arrived: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Way:
    """One hop that a course needs now, with what is known of it.

    `opened` is None until the index has arrived. `core` are the frames that lessons'
    cores need, in teaching order, and `rest` all others that this node takes of it.
    """

    hop: Hop
    have: Have
    opened: Opened | None = None
    core: Frames = ()
    rest: Frames = ()


@dataclass(frozen=True, slots=True)
class Open:
    """Bring the index of a pack, and with `last` perhaps the first of its frames."""

    hop: Hop
    first: int
    last: int

    @property
    def cost(self) -> int:
        """Bytes this may move, both ways."""
        return self.last - self.first + 1 + REQUEST_COST_BYTES


@dataclass(frozen=True, slots=True)
class Fetch:
    """Bring bytes `first` to `last` of a pack, which lie within one frame."""

    hop: Hop
    frame: int
    pack: str
    first: int
    last: int
    joined: bool = False

    @property
    def cost(self) -> int:
        """Bytes this may move, both ways; a range that continues the one before needs no request of its own."""
        return self.last - self.first + 1 + (0 if self.joined else REQUEST_COST_BYTES)


@dataclass(frozen=True, slots=True)
class Activate:
    """Make a whole release the one that is served (or, within a route, the next base)."""

    hop: Hop
    cost: int = 0


Step = Open | Fetch | Activate
Plan = tuple[Step, ...]


def plan_contact(ways: Iterable[Way], budget: int | None) -> Plan:
    """Plan a contact: first whole releases are made visible, then indexes come, then frames.

    Frames that complete the core of a lesson come first, course by course and in
    teaching order, then all others. `budget` is in bytes of both directions; None
    means no limit. A frame that the budget cannot finish is begun all the same:
    what has arrived is kept, and the next contact continues at its byte.
    """
    ways = sorted(ways, key=lambda way: (way.hop.offer.key, way.hop.offer.release))
    steps: list[Step] = [Activate(way.hop) for way in ways if is_whole(way)]
    left = budget
    for way in ways:
        if way.opened is None:
            left = _add(steps, _plan_open(way, left), left)
    last: Fetch | None = None
    for way, number in _frames_in_order(way for way in ways if way.opened is not None and not is_whole(way)):
        step = _plan_fetch(way, number, last, left)
        if step is None:
            break
        left = _add(steps, step, left)
        last = step
    return tuple(steps)


def is_whole(way: Way) -> bool:
    """Tell whether everything of a release is here."""
    return way.opened is not None and way.have.done.issuperset(way.core) and way.have.done.issuperset(way.rest)


def cost_of(plan: Plan) -> int:
    """Bytes that a plan may move, both ways."""
    return sum(step.cost for step in plan)


def runs_of(plan: Iterable[Step]) -> Sequence[Sequence[Fetch]]:
    """Gather fetches that lie side by side in one pack: each run is one request."""
    runs: list[list[Fetch]] = []
    for step in plan:
        if isinstance(step, Fetch):
            if step.joined and runs:
                runs[-1].append(step)
            else:
                runs.append([step])
    return runs


def _plan_open(way: Way, left: int | None) -> Open | None:
    first, head = way.have.head, way.hop.head
    # A later first install may be shorter than it costs: frames of earlier ones lie in their packs.
    lies_whole = way.hop.start is not None or (way.hop.offer.release == 1 and way.hop.total <= OPENING_BYTES)
    last = max(head, min(way.hop.total, OPENING_BYTES) if lies_whole else 0) - 1
    step = Open(way.hop, first, last)
    if left is not None and step.cost > left:
        step = Open(way.hop, first, min(head - 1, first + left - REQUEST_COST_BYTES - 1))
    return step if step.last >= step.first else None


def _frames_in_order(ways: Iterable[Way]) -> Sequence[tuple[Way, int]]:
    """All frames still wanted: those of lessons' cores first, course by course."""
    cores: list[tuple[Way, int]] = []
    others: list[tuple[Way, int]] = []
    for way in ways:
        cores += [(way, number) for number in way.core if number not in way.have.done]
        others += [(way, number) for number in way.rest if number not in way.have.done]
    return cores + others


def _plan_fetch(way: Way, number: int, before: Fetch | None, left: int | None) -> Fetch | None:
    assert way.opened is not None
    frame: Frame = way.opened.index.frames[number]
    pack = way.hop.pack_path(way.opened.index.packs, frame.pack)
    first, last = frame.offset + way.have.arrived.get(number, 0), frame.offset + frame.length - 1
    joined = before is not None and (before.pack, before.last + 1) == (pack, first)
    if left is not None:
        last = min(last, first + left - (0 if joined else REQUEST_COST_BYTES) - 1)
    return Fetch(way.hop, number, pack, first, last, joined) if first <= last else None


def _add(steps: list[Step], step: Open | Fetch | None, left: int | None) -> int | None:
    if step is None:
        return left
    steps.append(step)
    return None if left is None else left - step.cost


def courses_of(plan: Plan) -> frozenset[CourseKey]:
    """The courses a plan does something for."""
    return frozenset(step.hop.offer.key for step in plan)

"""Decide what one contact should carry, and in which order.

Nothing here opens a file, a socket or a clock. docs/protocol.md section 5.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from alforja_node.offers import REQUEST_COST_BYTES, CourseKey, Hop
from alforja_node.planning.order import Item, arrange
from alforja_node.planning.outlook import Outlook
from alforja_node.planning.ways import Have, Way, is_whole
from alforja_node.planning.wishes import Wishes
from alforja_packaging.frames import Frame

__all__ = [
    "OPENING_BYTES",
    "Activate",
    "Fetch",
    "Have",
    "Open",
    "Plan",
    "Step",
    "Way",
    "cost_of",
    "courses_of",
    "is_whole",
    "items_of",
    "plan_contact",
    "runs_of",
]

OPENING_BYTES: Final = 64 * 1024  # a small update comes whole with its index: one request less


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

NO_WISHES: Final = Wishes()
NO_OUTLOOK: Final = Outlook()


def plan_contact(
    ways: Iterable[Way], budget: int | None, wishes: Wishes = NO_WISHES, outlook: Outlook = NO_OUTLOOK
) -> Plan:
    """Plan a contact: first whole releases are made visible, then comes what is wanted most (`arrange`).

    `budget` is in bytes of both directions; None means no limit beyond the source's
    own. A frame that the budget cannot finish is begun all the same: what has
    arrived is kept, and the next contact continues at its byte. What the disk has no
    room for is passed over, unless nothing else is left: then carrying it out says so.
    """
    ways = _sorted(ways)
    steps: list[Step] = [Activate(way.hop) for way in ways if is_whole(way)]
    whole, purse = len(steps), _Purse(budget, outlook)
    last: Fetch | None = None
    for item in items_of(ways, wishes, outlook):
        left = purse.left(item)
        if (left is not None and left <= 0) or (not item.fits and len(steps) > whole):
            break
        if item.part is None:
            purse.pay(steps, _plan_open(item.way, left))
        else:
            last = _plan_fetches(steps, item, last, purse)
    return tuple(steps)


def items_of(ways: Iterable[Way], wishes: Wishes = NO_WISHES, outlook: Outlook = NO_OUTLOOK) -> list[Item]:
    """Everything that is missing, in the order in which it comes."""
    return arrange([way for way in _sorted(ways) if not is_whole(way)], wishes, outlook)


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


class _Purse:
    """What may still be spent, in bytes of both directions."""

    def __init__(self, budget: int | None, outlook: Outlook) -> None:
        self._budget = budget
        self._cap, self._kept = outlook.forecast.cap_left, outlook.kept

    def left(self, item: Item) -> int | None:
        """Bytes that may be spent on an item: the last of a cap are kept for what somebody waits for."""
        cap = self._cap if self._cap is None or item.rank.is_awaited else self._cap - self._kept
        limits = [limit for limit in (self._budget, cap) if limit is not None]
        return min(limits) if limits else None

    def pay(self, steps: list[Step], step: Open | Fetch | None) -> bool:
        """Put a step into a plan, and pay for it; tell whether there is one."""
        if step is None:
            return False
        steps.append(step)
        self._budget = None if self._budget is None else self._budget - step.cost
        self._cap = None if self._cap is None else self._cap - step.cost
        return True


def _sorted(ways: Iterable[Way]) -> list[Way]:
    return sorted(ways, key=lambda way: (way.hop.offer.key, way.hop.offer.release))


def _plan_fetches(steps: list[Step], item: Item, last: Fetch | None, purse: _Purse) -> Fetch | None:
    """Plan the frames of an item as far as the purse goes; give the last fetch."""
    for number in item.frames:
        step = _plan_fetch(item.way, number, last, purse.left(item))
        if not purse.pay(steps, step):
            break
        last = step
    return last


def _plan_open(way: Way, left: int | None) -> Open | None:
    first, head = way.have.head, way.hop.head
    # A later first install may be shorter than it costs: frames of earlier ones lie in their packs.
    lies_whole = way.hop.start is not None or (way.hop.offer.release == 1 and way.hop.total <= OPENING_BYTES)
    reach = way.hop.opening if way.hop.opening is not None else way.hop.total if lies_whole else 0
    last = max(head, min(reach, OPENING_BYTES)) - 1
    step = Open(way.hop, first, last)
    if left is not None and step.cost > left:
        step = Open(way.hop, first, min(head - 1, first + left - REQUEST_COST_BYTES - 1))
    return step if step.last >= step.first else None


def _plan_fetch(way: Way, number: int, before: Fetch | None, left: int | None) -> Fetch | None:
    assert way.opened is not None
    frame: Frame = way.opened.index.frames[number]
    pack = way.hop.pack_path(way.opened.index.packs, frame.pack)
    first, last = frame.offset + way.have.arrived.get(number, 0), frame.offset + frame.length - 1
    joined = before is not None and (before.pack, before.last + 1) == (pack, first)
    if left is not None:
        last = min(last, first + left - (0 if joined else REQUEST_COST_BYTES) - 1)
    return Fetch(way.hop, number, pack, first, last, joined) if first <= last else None


def courses_of(plan: Plan) -> frozenset[CourseKey]:
    """The courses a plan does something for."""
    return frozenset(step.hop.offer.key for step in plan)

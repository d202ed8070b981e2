"""Lets a school live through its days in virtual time: whatever policy, the same links and the same bytes.

Deterministic: same school, same trace, same policy, same result. Where `Alforja`
is the policy, the node's own planner decides, from what it has learnt by then.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, Protocol

from alforja_node.offers import REQUEST_COST_BYTES
from alforja_node.planner import Activate, Fetch, Open, is_whole, plan_contact
from alforja_node.planning.forecast import Day
from alforja_node.planning.outlook import Outlook, look_out
from alforja_node.planning.ways import Have, Kind, Way
from alforja_node.planning.wishes import Wishes
from alforja_node.terms import renewed_on
from tests.simulators.traces import MIDNIGHT, MONDAY, LinkModel, School, Window

TRUST_BYTES: Final = 25_000  # metadata at the first contact
CHECK_BYTES: Final = 700
CONNECT_BYTES: Final = 2_500  # and three round trips
_DAY_S: Final = 86_400
_SCHOOL_BEGINS_S: Final = 8 * 3600

Want = tuple[int, int | None]
"""A course, and one of its frames or (None) its head."""


class Over(Exception):
    """The window is over, or nothing more may be spent."""


@dataclass(slots=True)
class Tally:
    """What came of it."""

    moved: int = 0
    wasted: int = 0
    overhead: int = 0
    usable_at: dict[tuple[int, int], float] = field(default_factory=dict)
    full_at: dict[tuple[int, int], float] = field(default_factory=dict)
    first_window_ended_s: float = 0.0

    def hit_rate(self, school: School) -> float:
        """Of the lessons taught, how many could be opened when school began that day."""
        return _share(school, self.usable_at)

    def full_rate(self, school: School) -> float:
        """Of the lessons taught, how many were there with all their films."""
        return _share(school, self.full_at)

    def usable_by(self, day: int) -> int:
        """How many lessons could be opened after so many days."""
        return sum(at < day * _DAY_S for at in self.usable_at.values())

    @property
    def first_lesson_s(self) -> float | None:
        """When the first lesson could be opened."""
        return min(self.usable_at.values(), default=None)


def _share(school: School, here_at: dict[tuple[int, int], float]) -> float:
    hits = sum(
        here_at.get((one.course, one.lesson), 9e9) <= one.day * _DAY_S + _SCHOOL_BEGINS_S for one in school.teachings
    )
    return hits / len(school.teachings)


class Here:
    """What lies at the school, and which lessons that makes."""

    def __init__(self, school: School, tally: Tally) -> None:
        self._school, self._tally = school, tally
        self._done: list[set[int]] = [set() for _ in school.ways]
        self._arrived: list[dict[int, int]] = [{} for _ in school.ways]
        self.heads = [0] * len(school.ways)
        self._now: dict[int, Way] = {}
        self._waiting: dict[tuple[int, int], int] = {}  # of a lesson and how full, frames missing
        self._for: dict[Want, list[tuple[int, bool]]] = defaultdict(list)
        for course, way in enumerate(school.ways):
            for place in range(school.size.lessons):
                self._count(course, way, place)

    def _count(self, course: int, way: Way, place: int) -> None:
        core = {
            number for part in way.parts if part.place == place and part.kind is Kind.CORE for number in part.frames
        }
        core |= {base for number in core for base in way.under.get(number, ())}
        rich = {number for part in way.parts if part.place == place for number in part.frames} | core
        for is_full, frames in ((False, core), (True, rich)):
            self._waiting[course, place * 2 + is_full] = len(frames)
            for number in frames:
                self._for[course, number].append((place, is_full))

    def way(self, course: int) -> Way:
        """A course as the planner sees it."""
        if course not in self._now:
            full = self._school.ways[course]
            if self.heads[course] < full.hop.head:
                self._now[course] = replace(
                    full, have=Have(head=self.heads[course]), opened=None, core=(), rest=(), parts=()
                )
            else:
                have = Have(full.hop.head, frozenset(self._done[course]), dict(self._arrived[course]))
                self._now[course] = replace(full, have=have)
        return self._now[course]

    def missing(self, course: int, number: int | None) -> int:
        """Bytes of a frame or head that are not here."""
        full = self._school.ways[course]
        if number is None:
            return full.hop.head - self.heads[course]
        assert full.opened is not None
        if number in self._done[course]:
            return 0
        return full.opened.index.frames[number].length - self._arrived[course].get(number, 0)

    def take(self, course: int, number: int | None, size: int, now_s: float) -> None:
        """Keep bytes that came."""
        self._now.pop(course, None)
        if number is None:
            self.heads[course] += size
            return
        arrived = self._arrived[course]
        arrived[number] = arrived.get(number, 0) + size
        if not self.missing(course, number):
            del arrived[number]
            self._done[course].add(number)
            for place, is_full in self._for[course, number]:
                self._waiting[course, place * 2 + is_full] -= 1
                if not self._waiting[course, place * 2 + is_full]:
                    (self._tally.full_at if is_full else self._tally.usable_at)[course, place] = now_s

    def drop(self, course: int, number: int | None) -> int:
        """Lose what has come of something that is not whole; give how much that was."""
        self._now.pop(course, None)
        if number is None:
            lost, self.heads[course] = self.heads[course], 0
            return lost
        return self._arrived[course].pop(number, 0)


class Pipe:
    """The link while one window lasts."""

    def __init__(self, link: LinkModel, window: Window, allowed: int | None, tally: Tally) -> None:
        self._link, self._spells, self._tally = link, iter(window.spells), tally
        self._allowed = allowed  # bytes, by the cap
        self._left = 0.0  # bytes of the spell that is on
        self._ends_s = window.begins_s
        self.moved = 0
        self.is_cut = False

    @property
    def now_s(self) -> float:
        """Where virtual time stands."""
        return self._ends_s - self._left / self._link.bytes_per_s

    def _connect(self) -> None:
        while True:
            spell = next(self._spells, None)
            if spell is None:
                self.is_cut = True
                raise Over
            overhead = CONNECT_BYTES if self._link.rtt_s else 0
            span_s = spell.ends_s - spell.begins_s - 3 * self._link.rtt_s
            self._ends_s = spell.ends_s
            self._left = max(0.0, span_s * self._link.bytes_per_s)
            if self._left > overhead:
                self._left -= overhead
                self._pay(overhead)
                self._tally.overhead += overhead
                return

    def _pay(self, size: int) -> None:
        if self._allowed is not None:
            if self._allowed < size:
                raise Over
            self._allowed -= size
        self.moved += size
        self._tally.moved += size

    def waste(self, size: int) -> None:
        """Note bytes that were lost again."""
        self._tally.wasted += size

    def overhead(self, size: int) -> None:
        """Move bytes that are of no use by themselves."""
        self.some(size, whole=True)
        self._tally.overhead += size

    def some(self, size: int, *, whole: bool = False) -> int:
        """Move up to `size` bytes within one spell, or all of them through as many as it takes; give how many."""
        moved = 0
        while True:
            part = min(size - moved, int(self._left))
            self._pay(part)
            self._left -= part
            moved += part
            if moved == size or (moved and not whole):
                return moved
            self._connect()


class Policy(Protocol):
    """What decides what comes next."""

    name: str
    by_file: bool  # what was cut off begins again at its first byte

    def wants(self, here: Here, now: "Moment") -> Iterator[Want]:
        """What to bring, in order; asked anew at each window."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """The circumstances of one window."""

    school: School
    link: LinkModel
    day: int
    second: float
    past: Sequence[Day]
    held: Sequence[int]  # courses that the source has


class Alforja:
    """The node's own planner, with what a node would know."""

    by_file = False

    def __init__(self, name: str = "alforja", *, breadth_weeks: float = 12.0) -> None:
        self.name, self._wishes = name, Wishes(breadth_weeks=breadth_weeks)

    def wants(self, here: Here, now: Moment) -> Iterator[Want]:
        """Plan, give the steps, and plan again once an index has come."""
        wishes = replace(self._wishes, wishes=now.school.wishes(now.day))
        number_of = {now.school.key(course): course for course in now.held}
        at_most = int(2 * now.link.bytes_per_s * now.link.window_s)
        while True:
            ways = [here.way(course) for course in now.held]
            outlook = _outlook(now, opened=bool(now.past))
            steps = plan_contact([way for way in ways if not is_whole(way)], at_most, wishes, outlook)
            for step in steps:
                assert not isinstance(step, Activate)
                yield number_of[step.hop.offer.key], step.frame if isinstance(step, Fetch) else None
                if isinstance(step, Open):
                    break
            else:
                return


def _outlook(now: Moment, *, opened: bool) -> Outlook:
    moment = MIDNIGHT + timedelta(seconds=now.second)
    return look_out(now.link.name, now.link.terms, now.past, moment, sure=True, opened=opened)


def live(school: School, link: LinkModel, policy: Policy, seed: int, days: int | None = None) -> Tally:
    """Let a school live through a trace with one link and one policy."""
    tally = Tally()
    here = Here(school, tally)
    past: dict[int, Day] = {}
    trusted = False
    for window in link.trace(seed, days or school.size.days):
        day = int(window.begins_s // _DAY_S)
        allowed = _allowed(link, past.values(), day)
        held = [course for course in range(school.size.courses) if course % 10 >= link.lost]
        moment = Moment(school, link, day, window.begins_s, list(past.values()), held)
        pipe = Pipe(link, window, allowed, tally)
        with suppress(Over):
            pipe.overhead(CHECK_BYTES if trusted else TRUST_BYTES)
            trusted = True
            for course, number in policy.wants(here, moment):
                _bring(pipe, here, course, number, by_file=policy.by_file)
        tally.first_window_ended_s = tally.first_window_ended_s or window.spells[-1].ends_s
        before = past.get(day, Day(MONDAY + timedelta(days=day), 0, 0.0, 0, 0))
        past[day] = replace(
            before, moved=before.moved + pipe.moved, seconds=before.seconds + link.window_s,
            contacts=before.contacts + 1, cut=before.cut + pipe.is_cut,
        )  # fmt: skip
    return tally


def _allowed(link: LinkModel, past: Iterable[Day], day: int) -> int | None:
    """What the cap still allows."""
    cap = link.terms.cap_bytes
    if cap is None:
        return None
    since = renewed_on(link.terms, MONDAY + timedelta(days=day))
    return cap - sum(one.moved for one in past if one.day >= since)


def _bring(pipe: Pipe, here: Here, course: int, number: int | None, *, by_file: bool) -> None:
    """Bring one head or frame through as many spells as it takes."""
    while wanted := here.missing(course, number):
        pipe.overhead(REQUEST_COST_BYTES)
        got = pipe.some(wanted)
        here.take(course, number, got, pipe.now_s)
        if got < wanted and by_file:
            pipe.waste(here.drop(course, number))


class InOrder:
    """A policy that makes one list and keeps to it."""

    def __init__(self, name: str, make: Callable[[School], Sequence[Want]], *, by_file: bool = False) -> None:
        self.name, self.by_file, self._make = name, by_file, make
        self._list: Sequence[Want] | None = None
        self._school: School | None = None

    def wants(self, here: Here, now: Moment) -> Iterator[Want]:
        """Go on where the last window ended."""
        if self._school is not now.school:
            self._list, self._school = self._make(now.school), now.school
        assert self._list is not None
        held = set(now.held)
        for course, number in self._list:
            if course in held and here.missing(course, number):
                if number is not None and here.missing(course, None):
                    yield course, None
                yield course, number

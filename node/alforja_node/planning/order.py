"""The order in which a school gets what it wants: the planner's law (docs/protocol.md section 5.1)."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import IntEnum
from typing import Final

from alforja_node.offers import REQUEST_COST_BYTES, CourseKey
from alforja_node.planning.outlook import Outlook
from alforja_node.planning.ways import Kind, Part, Way
from alforja_node.planning.wishes import AT_ONCE, TAUGHT_STILL_DAYS, Wanted, Wish, Wishes, want

_WORTH: Final = {Kind.CORE: 8.0, Kind.RICH: 2.0, Kind.MORE: 1.0, Kind.REST: 0.5}


class Rank(IntEnum):
    """Why something comes when it does."""

    RECALL = 0
    DATED = 1
    REQUESTED = 2
    TAUGHT = 3
    OTHER = 4
    DATED_RICH = 5
    REST = 6

    @property
    def is_awaited(self) -> bool:
        """Tell whether somebody waits for it: the last bytes of a month's cap are kept for these."""
        return self <= Rank.TAUGHT


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that comes next: a part of a lesson, or (`part` is None) the index of a course.

    `frames` are those it needs and nothing before it brings, in order; `size` is in bytes.
    What does not fit on the disk comes behind everything else.
    """

    rank: Rank
    way: Way
    part: Part | None
    frames: Sequence[int]
    size: int
    due: date | None = None
    fits: bool = True


@dataclass(slots=True)
class _Job:
    """Something still to be put in order."""

    way: Way
    part: Part | None
    due: date | None
    asks: int
    taught: bool
    size: int
    foreign: bool
    frames: list[int] = field(default_factory=list)

    @property
    def form(self) -> Kind:
        """An index is taken for the cores that it leads to."""
        return Kind.CORE if self.part is None else self.part.kind

    @property
    def place(self) -> tuple[CourseKey, int, int]:
        """Course by course and in teaching order; an index comes before all lessons."""
        return self.way.hop.offer.key, -1 if self.part is None else self.part.place, self.form


def arrange(ways: Sequence[Way], wishes: Wishes, outlook: Outlook) -> list[Item]:
    """Put everything that is missing in order. `ways` are sorted; whole ones have nothing missing."""
    jobs: dict[Rank, list[_Job]] = {rank: [] for rank in Rank}
    by_course = wishes.by_course()
    is_empty = not outlook.opened
    for way in ways:
        is_empty = is_empty and not way.has_a_core
        for job in _jobs_of(way, by_course.get(way.hop.offer.key, ()), wishes, outlook):
            jobs[_rank(job, outlook, full=wishes.variant == "full")].append(job)
    if not _are_cheap(jobs[Rank.OTHER], wishes, outlook):
        jobs[Rank.REST] += jobs[Rank.OTHER]
        jobs[Rank.OTHER] = []
    basket = _Basket(outlook.room)
    before = 0  # bytes
    for rank, found in jobs.items():
        if not found:
            continue
        for job in found:  # what earlier ranks bring costs nothing here
            basket.trim(job)
        first, late = _in_order(rank, found, outlook, before)
        if rank is Rank.DATED_RICH:  # a film that comes too late has to be worth its bytes like any other
            jobs[Rank.REST] += late
            late = []
        for job in [*first, *late]:
            basket.add(rank, job)
        before = basket.size
    items = _smallest_first(basket.items) if is_empty else basket.items
    return [*items, *basket.too_large()]


class _Basket:
    """Gathers items; a frame that several of them need goes with the first."""

    def __init__(self, room: int | None) -> None:
        self.items: list[Item] = []
        self.size = 0
        self._room = room
        self._planned: dict[int, set[int]] = {}
        self._passed_over: list[tuple[Rank, _Job]] = []

    def trim(self, job: _Job) -> None:
        """Take from a job what is in the basket already."""
        planned = self._planned.get(id(job.way))
        if planned and not planned.isdisjoint(job.frames):
            job.frames = [number for number in job.frames if number not in planned]
            job.size = job.way.bytes_of(job.frames)

    def add(self, rank: Rank, job: _Job) -> None:
        """Put a job behind those that are here; one that adds nothing is left out."""
        self.trim(job)
        if job.part is not None:
            if not job.frames:
                return
            if not self._has_room(job):
                self._passed_over.append((rank, job))
                return
            self._planned.setdefault(id(job.way), set()).update(job.frames)
        self.items.append(Item(rank, job.way, job.part, job.frames, job.size, job.due))
        self.size += job.size

    def too_large(self) -> Iterable[Item]:
        """What was passed over for want of room."""
        for rank, job in self._passed_over:
            self.trim(job)
            if not job.frames:
                continue
            yield Item(rank, job.way, job.part, job.frames, job.size, job.due, fits=False)
            self._planned.setdefault(id(job.way), set()).update(job.frames)

    def _has_room(self, job: _Job) -> bool:
        """Tell whether a job fits on the disk, as it comes and as it rests; if so, the room is taken."""
        if self._room is None:
            return True
        assert job.way.opened is not None
        own = job.way.opened.index.frames
        needed = sum(own[number].size for number in job.frames)
        if needed + max(own[number].length for number in job.frames) > self._room:
            return False
        self._room -= needed
        return True


def _jobs_of(way: Way, own: Sequence[Wish], wishes: Wishes, outlook: Outlook) -> Iterable[_Job]:
    """Give everything of a course that is missing. `own` are the wishes for it."""
    foreign = _is_foreign(way, wishes)
    if way.opened is None:
        wanted = want(own, (), way.urgency.exam)
        size = way.hop.head - way.have.head
        due = wanted.next_due(outlook.now.date() if outlook.now else None)
        yield _Job(way, None, due, wanted.asked, wanted.taught, size, foreign)
        return
    parts = way.all_parts()
    wanted = Wanted()
    if own or way.urgency.exam:
        wanted = want(own, tuple(part.lesson for part in parts if part.kind is Kind.CORE), way.urgency.exam)
    skipped = (Kind.RICH, Kind.MORE) if wishes.variant == "lite" and not way.served else ()
    for part in parts:
        missing = way.missing(part)
        if missing and part.kind not in skipped:
            due, asks = wanted.due.get(part.lesson), wanted.asks.get(part.lesson, 0)
            yield _Job(way, part, due, asks, wanted.taught, way.bytes_of(missing), foreign, missing)


def _rank(job: _Job, outlook: Outlook, *, full: bool) -> Rank:
    if job.way.urgency.recall and job.way.served:
        return Rank.RECALL
    is_dated = _is_dated(job.due, outlook)
    if job.form is not Kind.CORE:
        is_early = job.form is Kind.RICH or (job.form is Kind.MORE and full)
        return Rank.DATED_RICH if is_dated and is_early else Rank.REST
    if not (job.way.served if job.part is None else job.part.in_use):  # what can be opened makes nobody wait
        if is_dated:
            return Rank.DATED
        if job.asks:
            return Rank.REQUESTED
    return Rank.TAUGHT if job.taught else Rank.OTHER


def _is_dated(due: date | None, outlook: Outlook) -> bool:
    if due is None or due == AT_ONCE or outlook.now is None:
        return due is not None
    return due + timedelta(days=TAUGHT_STILL_DAYS) >= outlook.now.date()


def _are_cheap(jobs: Sequence[_Job], wishes: Wishes, outlook: Outlook) -> bool:
    """Tell whether the cores of courses that nobody teaches are worth going before films."""
    opened = {id(job.way) for job in jobs if job.part is not None}
    size = sum(job.size for job in jobs)
    unopened = sum(job.part is None for job in jobs)
    guess = size * unopened / len(opened) if opened else 0  # what is not known yet is taken to be like the others
    return size + guess <= outlook.forecast.bytes_by(7 * wishes.breadth_weeks)


def _in_order(rank: Rank, jobs: list[_Job], outlook: Outlook, before: int) -> tuple[list[_Job], list[_Job]]:
    """Order the jobs of one rank, and apart from them those that will be late. `before`: bytes of ranks above."""
    match rank:
        case Rank.DATED | Rank.DATED_RICH:
            return _fewest_late(jobs, outlook, before)
        case Rank.REQUESTED:
            jobs.sort(key=lambda job: (-job.asks / (job.size + REQUEST_COST_BYTES), *job.place))
        case Rank.TAUGHT:
            jobs.sort(key=lambda job: (job.place[1], *job.place))
        case Rank.REST:
            jobs.sort(key=lambda job: (-_value(job) / (job.size + REQUEST_COST_BYTES), *job.place))
        case _:
            jobs.sort(key=lambda job: (job.foreign, *job.place))
    return jobs, []


def _fewest_late(jobs: list[_Job], outlook: Outlook, before: int) -> tuple[list[_Job], list[_Job]]:
    """Order by day such that as few as possible are late (Moore and Hodgson), and the late ones by size.

    What is due today, or was due some days ago, counts as due within the day.
    """
    jobs.sort(key=lambda job: (job.due or AT_ONCE, job.form, job.size, *job.place))
    if outlook.now is None or outlook.forecast.bytes_per_day is None:
        return jobs, []
    largest: list[tuple[int, int]] = []  # a heap of those on time so far; of equal ones the last
    late: set[int] = set()
    total = before
    for number, job in enumerate(jobs):
        heapq.heappush(largest, (-job.size, -number))
        total += job.size
        limit = _bytes_until(job.due, outlook)
        while total > limit and largest:
            size, one = heapq.heappop(largest)
            late.add(-one)
            total += size
    behind = sorted(late, key=lambda number: (jobs[number].size, number))
    return [job for number, job in enumerate(jobs) if number not in late], [jobs[number] for number in behind]


def _bytes_until(due: date | None, outlook: Outlook) -> float:
    """Bytes that will have come by a day, or within the day."""
    days = outlook.days_until(due) if due and due != AT_ONCE else 0.0
    return outlook.forecast.bytes_by(max(1.0, days))


def _smallest_first(items: list[Item]) -> list[Item]:
    """Where no lesson can be opened yet, let the smallest of those wanted most come first."""
    cores = [number for number, item in enumerate(items) if item.part is not None and item.part.kind is Kind.CORE]
    if not cores:
        return items
    best = min(items[number].rank for number in cores)
    own = [number for number in cores if items[number].rank is best]
    chosen = items[min(own, key=lambda number: (items[number].size, number))]
    # Frames it shares with those before it must now come with it.
    frames = chosen.way.missing(chosen.part) if chosen.part is not None else []
    rest = [item if item.way is not chosen.way else _without(item, set(frames)) for item in items if item is not chosen]
    first = Item(chosen.rank, chosen.way, chosen.part, frames, chosen.way.bytes_of(frames), chosen.due)
    return [first, *(item for item in rest if item.part is None or item.frames)]


def _without(item: Item, frames: set[int]) -> Item:
    left = [number for number in item.frames if number not in frames]
    if item.part is None or len(left) == len(item.frames):
        return item
    return Item(item.rank, item.way, item.part, left, item.way.bytes_of(left), item.due)


def _value(job: _Job) -> float:
    """What a part is worth beside others, in no unit."""
    worth = 1.0 if job.part is None else _WORTH[job.form]
    return worth * (2.0 if job.taught else 1.0) * (0.25 if job.foreign else 1.0) * (1 + job.asks)


def _is_foreign(way: Way, wishes: Wishes) -> bool:
    """Tell whether a course is in none of the school's languages, as far as its publisher says."""
    stated = way.hop.offer.custom.get("languages")
    if not wishes.languages or not isinstance(stated, list) or not stated:
        return False
    own = {tag.partition("-")[0].lower() for tag in wishes.languages}
    return not any(isinstance(tag, str) and tag.partition("-")[0].lower() in own for tag in stated)

"""A made-up school and its links: courses, a timetable, pins, requests, and when which bytes get through.

The model, all of it drawn from one seed. 60 courses of 40 lessons; a core has 150 kB in
the median (log-normal, sigma 0.7; 0.46 GB in all), three lessons in five have something rich of
20 MB in the median (sigma 0.8; 39 GB). A course has a head of 45 bytes for each content, and
a frame that all others of its cores build upon; two small cores share a frame. The school
teaches 12 of the courses, lesson after lesson over 26 weeks, beginning on the first day (so
that one lesson of each is due before there was any contact). A teacher pins 3 % of all
lessons ten days before they are wanted; students ask for two lessons a day. What the
planner is told of days is off by up to `noise_days` either way.

A link has windows in a day; within one it comes and goes (Gilbert and Elliott): up for
40 s on average, down for 8 s. Each time it comes up costs three round trips and 2.5 kB.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from alforja_node.offers import Hop, Offer
from alforja_node.planning.ways import Have, Kind, Part, Way
from alforja_node.planning.wishes import Wish
from alforja_node.selection import Frames
from alforja_node.terms import Terms
from alforja_packaging.course import Course
from alforja_packaging.files import make_files
from alforja_packaging.frames import Frame, Piece
from alforja_packaging.index import Index, Opened
from alforja_packaging.manifest import Skeleton

MONDAY: Final = date(2026, 2, 2)
MIDNIGHT: Final = datetime(2026, 2, 2)  # noqa: DTZ001 (a school's own time)
PIN_DAYS: Final = 10

_CORE_BYTES, _CORE_SIGMA = 150_000, 0.7
_RICH_BYTES, _RICH_SIGMA, _RICH_SHARE = 20_000_000, 0.8, 0.6
_FRAME_BYTES, _FILM_FRAME_BYTES = 256_000, 8_000_000
_SMALL_BYTES = 60_000
_SHARED_BYTES = 20_000
_CONTENT_BYTES, _CONTENTS_OF_LESSON = 45, 9
_NO_FILES = Skeleton("moe", 1, Course("made-up", {}), make_files([]).table)


@dataclass(frozen=True, slots=True)
class Size:
    """How large the made-up school is."""

    courses: int = 60
    taught: int = 12
    lessons: int = 40
    days: int = 182
    noise_days: int = 7


@dataclass(frozen=True, slots=True)
class Teaching:
    """A lesson that is taught on a day; it was announced, for another day perhaps, on an earlier one."""

    course: int
    lesson: int
    day: int
    said: int
    told: int = 0
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class School:
    """One school's courses, as ways of which nothing is here, and what it wants of them."""

    size: Size
    ways: tuple[Way, ...]
    teachings: tuple[Teaching, ...]
    requests: tuple[tuple[int, int, int], ...] = field(default=())  # day, course, lesson

    def wishes(self, day: int) -> tuple[Wish, ...]:
        """What the school has said it wants up to a day."""
        told = [
            Wish(
                "pin" if one.pinned else "timetable", self.key(one.course), str(one.lesson + 1),
                MONDAY + timedelta(days=one.said),
            )
            for one in self.teachings
            if one.told <= day
        ]  # fmt: skip
        asked = [
            Wish("request", self.key(course), str(lesson + 1)) for at, course, lesson in self.requests if at <= day
        ]
        return (*told, *asked)

    def key(self, course: int) -> tuple[str, str]:
        """The name of a course."""
        return self.ways[course].hop.offer.key


def make_school(seed: int, size: Size = Size()) -> School:
    """Make up a school."""
    chance = random.Random(f"school {seed}")
    ways = tuple(_make_course(chance, number, size.lessons) for number in range(size.courses))
    taught = chance.sample(range(size.courses), size.taught)
    teachings = []
    for course in taught:
        for lesson in range(size.lessons):
            day = lesson * size.days // size.lessons
            teachings.append(Teaching(course, lesson, day, day + _off(chance, size)))
    for course in range(size.courses):
        for lesson in range(size.lessons):
            told = chance.randrange(size.days)
            if chance.random() < 0.03 and told + PIN_DAYS < size.days:
                day = told + PIN_DAYS
                teachings.append(Teaching(course, lesson, day, day + _off(chance, size), told, pinned=True))
    requests = [
        (day, chance.randrange(size.courses), chance.randrange(size.lessons)) for day in range(size.days) for _ in "ab"
    ]
    return School(size, ways, tuple(teachings), tuple(requests))


def _off(chance: random.Random, size: Size) -> int:
    return chance.randint(-size.noise_days, size.noise_days)


def _make_course(chance: random.Random, number: int, lessons: int) -> Way:
    head = 200 + _CONTENT_BYTES * _CONTENTS_OF_LESSON * lessons
    lengths = [_SHARED_BYTES]
    cores: list[Frames] = []
    for _ in range(lessons):
        size = int(chance.lognormvariate(0, _CORE_SIGMA) * _CORE_BYTES)
        pair = cores and size < _SMALL_BYTES and len(cores[-1]) == 1 and lengths[cores[-1][0]] < _SMALL_BYTES
        if pair:
            lengths[-1] += size
            cores.append(cores[-1])
            continue
        cores.append(_add(lengths, size, _FRAME_BYTES))
    under: dict[int, Frames] = dict.fromkeys(range(1, len(lengths)), (0,))
    parts = [Part(f"lesson-{place + 1}", place, Kind.CORE, frames) for place, frames in enumerate(cores)]
    core_count = len(lengths)
    for place in range(lessons):
        if chance.random() < _RICH_SHARE:
            size = int(chance.lognormvariate(0, _RICH_SIGMA) * _RICH_BYTES)
            parts.append(Part(f"lesson-{place + 1}", place, Kind.RICH, _add(lengths, size, _FILM_FRAME_BYTES)))
    frames, at = [], head
    for length in lengths:
        frames.append(Frame("plain", 0, at, length, (Piece(0, 0, length),)))
        at += length
    name = f"course-{number:02}"
    hop = Hop(Offer("moe", name, 1, bytes(32), 1, {}), None, head, at)
    opened = Opened(Index(None, tuple(frames)), _NO_FILES, b"", frozenset(), head, 0)
    core, rest = tuple(range(core_count)), tuple(range(core_count, len(frames)))
    parts.sort(key=lambda part: (part.place, part.kind))
    return Way(hop, Have(), opened, core, rest, tuple(parts), under)


def _add(lengths: list[int], size: int, most: int) -> Frames:
    first = len(lengths)
    while size > 0:
        lengths.append(min(size, most))
        size -= most
    return tuple(range(first, len(lengths)))


@dataclass(frozen=True, slots=True)
class Spell:
    """A stretch of time, in seconds from the start of the trace, in which bytes get through."""

    begins_s: float
    ends_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """One contact: the spells in which its link is up."""

    spells: tuple[Spell, ...]

    @property
    def begins_s(self) -> float:
        """When it begins."""
        return self.spells[0].begins_s


@dataclass(frozen=True, slots=True)
class LinkModel:
    """How a school is connected.

    `windows` are in a day, or, with `every_days`, on one day in so many. `lost` are the
    courses, of ten, that this source does not hold.
    """

    name: str
    bytes_per_s: float
    windows: int
    window_s: float
    terms: Terms
    rtt_s: float = 0.8
    up_s: float = 40.0
    down_s: float = 8.0
    every_days: int = 1
    first_hour: int = 8
    last_hour: int = 20
    lost: int = 0

    def trace(self, seed: int, days: int) -> Iterator[Window]:
        """Make up all windows of a trace."""
        chance = random.Random(f"link {self.name} {seed}")
        for day in range(days):
            if day % self.every_days == self.every_days - 1 or self.every_days == 1:
                span = (self.last_hour - self.first_hour) * 3600 / self.windows
                for number in range(self.windows):
                    late = chance.random() * max(0.0, span - self.window_s)
                    yield self._window(chance, day * 86_400 + self.first_hour * 3600 + number * span + late)

    def _window(self, chance: random.Random, begins_s: float) -> Window:
        at, ends, spells = begins_s, begins_s + self.window_s, []
        while at < ends:
            up = chance.expovariate(1 / self.up_s) if self.down_s else self.window_s
            spells.append(Spell(at, min(at + up, ends)))
            at += up + (chance.expovariate(1 / self.down_s) if self.down_s else 0.0)
        return Window(tuple(spells))


LINKS: Final[Sequence[LinkModel]] = (
    LinkModel("2G", 8_000, 6, 180, Terms("unmetered")),
    LinkModel("EDGE", 16_000, 2, 3600, Terms("metered", 0.02, "USD", 600_000_000, 2), first_hour=17, last_hour=23),
    LinkModel("VSAT", 64_000, 1, 1200, Terms("metered", 0.05, "USD", 1_000_000_000, 2), first_hour=17, last_hour=18),
    LinkModel("stick", 10_000_000, 1, 800, Terms("stick"), 0, 1, 0, every_days=14),
    LinkModel("neighbour", 500_000, 1, 900, Terms("lan"), 0.01, 200, 20, first_hour=12, last_hour=14, lost=2),
)

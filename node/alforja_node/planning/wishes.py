"""What a school wants, beside the courses it is subscribed to."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, Literal

from alforja_node.offers import CourseKey
from alforja_node.settings import Variant

WishKind = Literal["timetable", "pin", "request"]

AT_ONCE: Final = date.min
"""The day by which something is wanted that should have been here already."""

TAUGHT_STILL_DAYS: Final = 7  # a lesson is still taught, and its date may be off, for so long after its day

_NUMBERS: Final = re.compile(r"([1-9][0-9]{0,5})(?:-([1-9][0-9]{0,5}))?")


@dataclass(frozen=True, slots=True, order=True)
class Wish:
    """One thing a school wants of a course.

    A line of the timetable says from which day lessons are taught (without a day:
    that the course is), `per_week` of them each week if it is not 0. A teacher's pin
    says by when lessons must be here; without a day, at once. A request is how
    often students asked for lessons, or looked for them and found nothing.
    `lessons` are ids, numbers or spans (`5-8`) with commas between; empty: all.
    """

    kind: WishKind
    course: CourseKey
    lessons: str = ""
    due: date | None = None
    per_week: int = 0
    asks: int = 1


@dataclass(frozen=True, slots=True)
class Wishes:
    """Everything a school wants.

    `languages` are those it reads, empty for all; `variant` is how much of films and
    sounds it wants. `breadth_weeks`: the cores of courses that nobody teaches come
    before films while they are worth no more than so many weeks of the link.
    """

    wishes: tuple[Wish, ...] = ()
    languages: tuple[str, ...] = ()
    variant: Variant = "standard"
    breadth_weeks: float = 12.0

    def by_course(self) -> Mapping[CourseKey, Sequence[Wish]]:
        """The wishes of each course."""
        found: dict[CourseKey, list[Wish]] = defaultdict(list)
        for wish in self.wishes:
            found[wish.course].append(wish)
        return found


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of one course, lesson by lesson: by when, and how often it was asked for.

    `days` and `asked` sum this up while the course's lessons are not known; `paced`
    are the days from which lessons are taught week after week.
    """

    taught: bool = False
    due: Mapping[str, date] = field(default_factory=dict)
    asks: Mapping[str, int] = field(default_factory=dict)
    days: tuple[date, ...] = ()
    paced: tuple[date, ...] = ()
    asked: int = 0

    def next_due(self, today: date | None) -> date | None:
        """The next day on which anything of the course is wanted, or the last one that was; today None: the first."""
        if today is None:
            return min((*self.days, *self.paced), default=None)
        still = today - timedelta(days=TAUGHT_STILL_DAYS)
        days = [*self.days, *(max(day, today) for day in self.paced)]
        return min((day for day in days if day >= still or day == AT_ONCE), default=max(days, default=None))


def want(wishes: Iterable[Wish], lessons: Sequence[str], exam: date | None = None) -> Wanted:
    """Find what is wanted of a course whose lessons have these ids, in teaching order (none: not known yet)."""
    taught = False
    days = [exam] if exam else []
    paced: list[date] = []
    due: dict[str, date] = dict.fromkeys(lessons, exam) if exam else {}
    asks: dict[str, int] = defaultdict(int)
    asked = 0
    for wish in wishes:
        if wish.kind == "request":
            asked += wish.asks
            for lesson in find_lessons(wish.lessons, lessons):
                asks[lesson] += wish.asks
            continue
        taught = taught or wish.kind == "timetable"
        day = wish.due or (AT_ONCE if wish.kind == "pin" else None)
        if day is None:
            continue
        (paced if wish.per_week else days).append(day)
        for number, lesson in enumerate(find_lessons(wish.lessons, lessons)):
            own = day + timedelta(weeks=number // wish.per_week) if wish.per_week else day
            due[lesson] = min(own, due.get(lesson, own))
    return Wanted(taught, due, asks, tuple(days), tuple(paced), asked)


def find_lessons(text: str, lessons: Sequence[str]) -> Sequence[str]:
    """Find the lessons that a wish names by ids, numbers or spans; what is not there is passed over."""
    if not text:
        return lessons
    found: dict[str, None] = {}
    for raw in text.split(","):
        word = raw.strip()
        match = _NUMBERS.fullmatch(word)
        if word in lessons:
            found[word] = None
        elif match:
            first, last = int(match[1]), int(match[2] or match[1])
            found |= dict.fromkeys(lessons[first - 1 : last])
    return tuple(found)

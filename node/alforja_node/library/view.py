"""Decide what a reader sees: which courses and lessons, in which language, and what is still on its way.

Values in, values out; nothing here waits, opens or listens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from zlib import crc32

from alforja_node.planning.coming import Prospect
from alforja_packaging.course import Lesson, Text, choose_text
from alforja_packaging.manifest import Manifest

State = Literal["here", "partly", "coming"]
"""All of a lesson is here; its core is, and more is coming; it cannot be opened yet."""

UNKNOWN_LANGUAGE: Final = "und"
_STRIPES: Final = 6  # woven patterns that static/library.css draws


@dataclass(frozen=True, slots=True)
class Shown:
    """One course as the school may see it now.

    `missing` are the digests of this release that are not on disk yet, only while
    a first install is under way.
    """

    manifest: Manifest
    missing: frozenset[bytes] = frozenset()
    stale_since: datetime | None = None

    def holds(self, path: str) -> bool:
        """Tell whether a file of the release is on disk."""
        return not self.missing or self.manifest.by_path[path].digest not in self.missing


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that the school may see now, by publisher and course; and what comes next, if that is known."""

    courses: Mapping[tuple[str, str], Shown]
    prospect: Prospect | None = None


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words in one language; `lang` is empty when nobody said which."""

    text: str
    lang: str = ""


@dataclass(frozen=True, slots=True)
class CourseCard:
    """A course as one entry of the catalogue."""

    publisher: str
    course: str
    release: int
    title: Phrase
    description: Phrase
    languages: tuple[str, ...]
    lessons_total: int
    lessons_usable: int
    complete: bool
    stale_since: datetime | None
    stripe: int


@dataclass(frozen=True, slots=True)
class LessonRow:
    """A lesson as one line of its course's outline. `number` counts from 1 through the whole course."""

    id: str
    number: int
    title: Phrase
    state: State


@dataclass(frozen=True, slots=True)
class SectionRows:
    """A section and its lessons. `title` is empty where it would only repeat the course's."""

    title: Phrase
    lessons: tuple[LessonRow, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """A course with all its lessons; `first` is where a reader begins, if anything can be opened."""

    card: CourseCard
    author: str
    licence: str
    sections: tuple[SectionRows, ...]
    first: LessonRow | None


@dataclass(frozen=True, slots=True)
class Place:
    """A lesson and where it stands: its course, its section and its neighbours that can be opened."""

    card: CourseCard
    lesson: Lesson
    row: LessonRow
    section: Phrase
    previous: LessonRow | None
    next: LessonRow | None


def say(text: Text, wanted: Sequence[str], fallback: str = "") -> Phrase:
    """Choose the words of a text for a reader of `wanted` languages."""
    tag, words = choose_text(text, wanted)
    if not words.strip():
        return Phrase(fallback)
    return Phrase(words, "" if tag == UNKNOWN_LANGUAGE else tag)


def lesson_state(shown: Shown, lesson: Lesson) -> State:
    """Tell how much of a lesson is here. Its core makes it usable; one without a core needs something rich."""
    if not shown.missing:
        return "here"
    rich = [shown.holds(path) for path in lesson.rich]
    if not all(shown.holds(path) for path in lesson.core):
        return "coming"
    if all(rich):
        return "here"
    return "partly" if lesson.core or any(rich) else "coming"


def make_card(shown: Shown, wanted: Sequence[str]) -> CourseCard:
    """Sum a course up."""
    manifest = shown.manifest
    course = manifest.course
    lessons = course.lessons()
    usable = sum(lesson_state(shown, lesson) != "coming" for lesson in lessons) if shown.missing else len(lessons)
    return CourseCard(
        publisher=manifest.publisher,
        course=course.id,
        release=manifest.release,
        title=say(course.title, wanted, course.id),
        description=say(course.description, wanted),
        languages=course.languages,
        lessons_total=len(lessons),
        lessons_usable=usable,
        complete=not shown.missing,
        stale_since=shown.stale_since,
        stripe=crc32(f"{manifest.publisher}/{course.id}".encode()) % _STRIPES,
    )


def make_catalogue(shelf: Shelf, wanted: Sequence[str]) -> tuple[CourseCard, ...]:
    """List the courses, by title."""
    cards = [make_card(shown, wanted) for shown in shelf.courses.values()]
    return tuple(sorted(cards, key=lambda card: (card.title.text.casefold(), card.publisher, card.course)))


def make_outline(shown: Shown, wanted: Sequence[str]) -> Outline:
    """Lay a course out: its sections, their lessons, and which can be opened."""
    card = make_card(shown, wanted)
    course = shown.manifest.course
    sections, number = [], 0
    for section in course.sections:
        rows = []
        for lesson in section.lessons:
            number += 1
            rows.append(_row(shown, lesson, number, wanted))
        title = say(section.title, wanted)
        repeats = len(course.sections) == 1 and title.text.strip() == card.title.text.strip()
        sections.append(SectionRows(Phrase("") if repeats else title, tuple(rows)))
    usable = (row for section in sections for row in section.lessons if row.state != "coming")
    return Outline(card, course.author, course.licence, tuple(sections), next(usable, None))


def find_place(shown: Shown, lesson_id: str, wanted: Sequence[str]) -> Place | None:
    """Find a lesson and its neighbours; None when the course has no such lesson."""
    lessons = shown.manifest.course.lessons()
    at = next((at for at, lesson in enumerate(lessons) if lesson.id == lesson_id), None)
    if at is None:
        return None
    section = next(section for section in shown.manifest.course.sections if lessons[at] in section.lessons)
    before = range(at - 1, -1, -1)
    after = range(at + 1, len(lessons))
    return Place(
        card=make_card(shown, wanted),
        lesson=lessons[at],
        row=_row(shown, lessons[at], at + 1, wanted),
        section=say(section.title, wanted),
        previous=_first_usable(shown, lessons, before, wanted),
        next=_first_usable(shown, lessons, after, wanted),
    )


def languages_on(shelf: Shelf) -> tuple[str, ...]:
    """List the languages that courses are in, each once."""
    return tuple(dict.fromkeys(tag for shown in shelf.courses.values() for tag in shown.manifest.course.languages))


def _row(shown: Shown, lesson: Lesson, number: int, wanted: Sequence[str]) -> LessonRow:
    return LessonRow(lesson.id, number, say(lesson.title, wanted, lesson.id), lesson_state(shown, lesson))


def _first_usable(shown: Shown, lessons: Sequence[Lesson], order: range, wanted: Sequence[str]) -> LessonRow | None:
    usable = (at for at in order if lesson_state(shown, lessons[at]) != "coming")
    at = next(usable, None)
    return None if at is None else _row(shown, lessons[at], at + 1, wanted)

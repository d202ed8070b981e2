"""Read `course.toml`: what a content team says of its folder of pages.

Bytes to values; examples/water-v1/course.toml shows one. No file is opened here.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from alforja_packaging.course import Text
from alforja_packaging.errors import FormatError
from alforja_packaging.layout import check_id, check_language

COURSE_TOML: Final = "course.toml"
COURSE_TOML_MAX_BYTES: Final = 4 * 2**20

_COURSE: Final = frozenset(["title", "description", "languages", "licence", "author"])
_SECTION: Final = frozenset(["title", "lesson"])
_LESSON: Final = frozenset(["id", "title", "files"])
_ADVICE: Final = "mend course.toml; examples/water-v1/course.toml shows how one is written"


@dataclass(frozen=True, slots=True)
class LessonPlan:
    """A lesson as written down: `id` and `title` may be left to be found in its pages; `files` are patterns."""

    files: tuple[str, ...]
    id: str = ""
    title: Text = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SectionPlan:
    """A section as written down."""

    title: Text
    lessons: tuple[LessonPlan, ...]


@dataclass(frozen=True, slots=True)
class CoursePlan:
    """All that a `course.toml` says; what it leaves out is empty."""

    title: Text = field(default_factory=dict)
    description: Text = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    licence: str = ""
    author: str = ""
    sections: tuple[SectionPlan, ...] = ()
    notes: tuple[str, ...] = ()


def parse_course_toml(data: bytes) -> CoursePlan:
    """Read a `course.toml`. Raises FormatError naming the field that is not as it should be."""
    if len(data) > COURSE_TOML_MAX_BYTES:
        raise FormatError(f"{COURSE_TOML}: {len(data)} bytes, more than the {COURSE_TOML_MAX_BYTES} it may have")
    try:
        fields = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _wrong(f"is not readable TOML ({error})") from None
    if "course" not in fields and "section" not in fields:
        return CoursePlan(notes=(f"{COURSE_TOML}: has neither [course] nor [[section]], so it is only carried",))
    course = _table(fields.get("course", {}), "[course]")
    notes = _unknown(fields, {"course", "section"}, "") + _unknown(course, _COURSE, "[course] ")
    languages = _strings(course.get("languages", []), "[course] `languages`")
    for tag in languages:
        check_language(tag)
    first = languages[0] if languages else "und"
    sections = _tables(fields.get("section", []), "[[section]]")
    return CoursePlan(
        title=_text(course.get("title", {}), first, "[course] `title`"),
        description=_text(course.get("description", {}), first, "[course] `description`"),
        languages=languages,
        licence=_string(course.get("licence", ""), "[course] `licence`"),
        author=_string(course.get("author", ""), "[course] `author`"),
        sections=tuple(_section(entry, at, first, notes) for at, entry in enumerate(sections, 1)),
        notes=tuple(notes),
    )


def match_files(patterns: Sequence[str], paths: Iterable[str]) -> tuple[str, ...]:
    """List the paths that patterns name, pattern by pattern; `*` stays in a folder, `**` goes deeper.

    Raises FormatError for a pattern that names nothing.
    """
    held = list(paths)
    found: dict[str, None] = {}
    for pattern in patterns:
        shape = _shape(pattern)
        matched = [path for path in held if shape.fullmatch(path)]
        if not matched:
            raise _wrong(f"`files` names {pattern!r}, which is not in the course")
        found.update(dict.fromkeys(matched))
    return tuple(found)


def _shape(pattern: str) -> re.Pattern[str]:
    plain = pattern.removeprefix("./")
    if plain.endswith("/"):
        plain += "**"
    forms = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", plain)
    return re.compile("".join(forms.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)


def _section(fields: Mapping[str, Any], at: int, first: str, notes: list[str]) -> SectionPlan:
    what = f"section {at}"
    notes += _unknown(fields, _SECTION, f"{what}: ")
    lessons = _tables(fields.get("lesson", []), f"{what} [[section.lesson]]")
    return SectionPlan(
        _text(fields.get("title", {}), first, f"{what} `title`"),
        tuple(_lesson(entry, f"{what} lesson {number}", first, notes) for number, entry in enumerate(lessons, 1)),
    )


def _lesson(fields: Mapping[str, Any], what: str, first: str, notes: list[str]) -> LessonPlan:
    notes += _unknown(fields, _LESSON, f"{what}: ")
    files = fields.get("files", [])
    patterns = _strings([files] if isinstance(files, str) else files, f"{what} `files`")
    if not patterns:
        raise _wrong(f"{what} names no `files`")
    name = _string(fields.get("id", ""), f"{what} `id`")
    return LessonPlan(
        patterns, check_id("lesson", name) if name else "", _text(fields.get("title", {}), first, f"{what} `title`")
    )


def _unknown(fields: Mapping[str, Any], known: Iterable[str], what: str) -> list[str]:
    return [f"{COURSE_TOML}: {what}`{name}` is not known and was not used" for name in sorted(set(fields) - set(known))]


def _wrong(message: str) -> FormatError:
    return FormatError(f"{COURSE_TOML}: {message}", advice=_ADVICE)


def _table(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"{what} is not a table")
    return value


def _tables(value: object, what: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise _wrong(f"{what} is not a list of tables; write it with two brackets")
    return [_table(entry, what) for entry in value]


def _string(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _wrong(f"{what} is not a text")
    return value


def _strings(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong(f"{what} is not a list of texts")
    return tuple(_string(entry, what) for entry in value)


def _text(value: object, first: str, what: str) -> Text:
    if isinstance(value, str):
        return {first: value} if value else {}
    if not isinstance(value, dict):
        raise _wrong(f"{what} is neither a text nor a table of one text per language")
    return {check_language(tag): _string(entry, what) for tag, entry in value.items()}

"""A course as fields of JSON, and back: what a manifest says of how it is taught (docs/format.md section 5.1)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from alforja_packaging.course import Course, Lesson, Section, Text
from alforja_packaging.errors import FormatError

_T = TypeVar("_T")

LessonPaths = Callable[[Mapping[str, Any]], tuple[Sequence[str], Sequence[str]]]
"""The core and rich paths of a lesson, whose fields come in teaching order."""


def section_fields(section: Section) -> dict[str, Any]:
    """Give a section as it is written."""
    return {
        **section.extra,
        "lessons": [_lesson_fields(lesson) for lesson in section.lessons],
        "title": dict(section.title),
    }


def _lesson_fields(lesson: Lesson) -> dict[str, Any]:
    rich = {"rich": list(lesson.rich)} if lesson.rich else {}
    return {**line_fields(lesson), "core": list(lesson.core), **rich}


def line_fields(lesson: Lesson) -> dict[str, Any]:
    """Give a lesson without its files."""
    return {**lesson.extra, "id": lesson.id, "title": dict(lesson.title)}


def parse_course(fields: Mapping[str, Any], paths_of: LessonPaths) -> Course:
    """Read a course from a manifest's fields. Raises FormatError, TypeError, AttributeError or ValueError."""
    refuse_empty(fields, "author", "description", "folders", "licence")
    return Course(
        id=field_of(str, fields, "course"),
        title=_text(fields.get("title")),
        description=_text(fields.get("description", {})),
        languages=tuple(strings(fields.get("languages"), "languages")),
        licence=field_of(str, fields, "licence", ""),
        author=field_of(str, fields, "author", ""),
        sections=tuple(_parse_section(section, paths_of) for section in field_of(list, fields, "sections")),
    )


def _parse_section(fields: Mapping[str, Any], paths_of: LessonPaths) -> Section:
    return Section(
        title=_text(fields.get("title")),
        lessons=tuple(_parse_lesson(lesson, paths_of) for lesson in field_of(list, fields, "lessons")),
        extra=unknown(fields, "title", "lessons"),
    )


def _parse_lesson(fields: Mapping[str, Any], paths_of: LessonPaths) -> Lesson:
    core, rich = paths_of(fields)
    return Lesson(
        field_of(str, fields, "id"),
        _text(fields.get("title")),
        core,
        rich,
        unknown(fields, "id", "title", "core", "rich"),
    )


def unknown(fields: Mapping[str, Any], *known: str) -> Mapping[str, Any]:
    """The fields that a later version of the format may have added."""
    return {name: value for name, value in fields.items() if name not in known}


def field_of(kind: type[_T], fields: Mapping[str, Any], name: str, default: _T | None = None) -> _T:
    """A field of a kind. Raises FormatError."""
    value = fields.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise FormatError(f"manifest: field `{name}` is missing or of the wrong kind")
    return value


def refuse_empty(fields: Mapping[str, Any], *names: str) -> None:
    """What may be absent is absent when it is empty: one value, one form."""
    for name in names:
        if name in fields and not fields[name]:
            raise FormatError(f"manifest: field `{name}` is empty, and so must not be there")


def strings(value: object, name: str) -> list[str]:
    """A list of texts. Raises FormatError."""
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise FormatError(f"manifest: field `{name}` is not a list of texts")
    return value


def _text(value: object) -> Text:
    if not isinstance(value, dict) or not all(isinstance(words, str) for words in value.values()):
        raise FormatError("manifest: a text is not given as {language: words}")
    return value

"""The course as a teacher knows it: sections, lessons, and the files of each.

Plain values; how they are written down is `manifest`'s business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Text = Mapping[str, str]
"""One text in several languages: BCP 47 tag -> words. `und` when nobody said which."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """The smallest part of a course that is usable by itself.

    `core` and `rich` are paths of the course's files, in the order of use. The
    first core path is what opens; pictures, styles and scripts that its pages pull
    in follow after the pages. `extra` are fields this program does not know; they
    are kept.
    """

    id: str
    title: Text
    core: Sequence[str] = ()
    rich: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needed(self) -> Sequence[str]:
        """What must be here before the lesson is usable: its core, or the one film that it consists of."""
        return self.core or self.rich[:1]


@dataclass(frozen=True, slots=True)
class Section:
    """A run of lessons under one heading."""

    title: Text
    lessons: tuple[Lesson, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Course:
    """What a course says of itself, and how it is built up."""

    id: str
    title: Text
    description: Text = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    licence: str = ""
    author: str = ""
    sections: tuple[Section, ...] = ()

    def lessons(self) -> Sequence[Lesson]:
        """All lessons in teaching order."""
        return [lesson for section in self.sections for lesson in section.lessons]


def choose_text(text: Text, wanted: Sequence[str]) -> tuple[str, str]:
    """Pick the words of a text for a reader of `wanted` languages.

    Returns the tag and the words. A tag also answers for its longer and shorter
    forms (`pt` for `pt-BR`), as in RFC 4647 lookup; without any match the first
    language of the text is taken.
    """
    for tag in wanted:
        shorter = tag.lower()
        while shorter:
            for held, words in text.items():
                if held.lower() == shorter or held.lower().startswith(shorter + "-"):
                    return held, words
            shorter = shorter.rpartition("-")[0]
    return next(iter(text.items()), ("und", ""))

"""Decide which blocks of an Open edX course make up which lesson, and where each block will be found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from alforja_hub.importers.names import make_id
from alforja_hub.importers.olx.blocks import UNREAD, Block
from alforja_hub.importers.olx.pages import anchor

_SEQUENCES: Final = ("sequential", "videosequence", "problemset")


@dataclass(frozen=True, slots=True)
class Part:
    """A unit of a lesson: what the platform showed as one page."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A lesson to be written: its id, its title (may be empty), its parts."""

    id: str
    title: str
    name: str
    parts: tuple[Part, ...]

    @property
    def path(self) -> str:
        """Where the lesson's page goes."""
        return f"lessons/{self.id}.html"


@dataclass(frozen=True, slots=True)
class DraftSection:
    """A chapter to be written."""

    title: str
    name: str
    lessons: tuple[Draft, ...]


def draft_sections(course: Block, tabs: Sequence[Block]) -> list[DraftSection]:
    """Turn a course into sections of lessons: chapters, their sequences, their units. Ids come from `url_name`."""
    ids: set[str] = set()
    if course.kind == "library":
        lesson = Draft(_take_id(course, ids), course.title, course.name, tuple(_parts(course)))
        return [DraftSection(course.title, course.name, (lesson,))]
    sections = []
    loose: list[Block] = []
    for child in course.children:
        if child.kind == "chapter":
            sections.append(DraftSection(child.title, child.name, tuple(_drafts(child.children, ids))))
        else:
            loose.append(child)
    more = [tuple(_drafts(blocks, ids)) for blocks in (loose, tabs)]
    return [*sections, *(DraftSection(course.title, course.name, lessons) for lessons in more if lessons)]


def find_places(sections: Sequence[DraftSection]) -> Mapping[str, str]:
    """Give for every block the address of its page and place, from another lesson's page."""
    places: dict[str, str] = {}
    for section in sections:
        if section.lessons:
            places.setdefault(section.name, f"{section.lessons[0].id}.html")
        for draft in section.lessons:
            places.setdefault(draft.name, f"{draft.id}.html")
            for part in draft.parts:
                named = [part.name, *(inner.name for block in part.blocks for inner in block.walk())]
                for name in named:
                    places.setdefault(name, f"{draft.id}.html#{quote(anchor(name))}")
    places.pop("", None)
    return places


def _drafts(blocks: Sequence[Block], ids: set[str]) -> Iterator[Draft]:
    for block in blocks:
        if block.kind == UNREAD:
            continue
        parts = tuple(_parts(block)) if block.kind in _SEQUENCES else (_part(block),)
        yield Draft(_take_id(block, ids), block.title, block.name, parts)


def _parts(sequence: Block) -> Iterator[Part]:
    for child in sequence.children:
        yield _part(child)


def _part(block: Block) -> Part:
    if block.kind == "vertical":
        return Part(block.name, block.title, block.children)
    return Part(block.name, "", (block,))


def _take_id(block: Block, ids: set[str]) -> str:
    name = make_id(block.name or block.title or block.kind, ids)
    ids.add(name)
    return name

"""Turn a lesson's blocks into its page, and remember what could not be taken along."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from alforja_hub.importers.olx.blocks import UNREAD, Block
from alforja_hub.importers.olx.fragments import Element, add_all, parse_fragment, tag
from alforja_hub.importers.olx.lessons import Draft
from alforja_hub.importers.olx.links import Links
from alforja_hub.importers.olx.others import inner_markup, name_of, not_here, turn_other, turns_whole
from alforja_hub.importers.olx.pages import anchor, format_page
from alforja_hub.importers.olx.problems import turn_problem
from alforja_hub.importers.olx.videos import Videos
from alforja_hub.importers.olx.words import Words, words_for
from alforja_hub.importers.references import decode_text
from alforja_packaging.errors import FormatError

_PAGES: Final = ("html", "static_tab", "about", "course_info")
_WRAPPERS: Final = frozenset(
    [
        *("vertical", "wrapper", "library_content", "itembank", "split_test", "conditional", "randomize"),
        *("problem-builder", "section", "sequential", "problemset"),
    ]
)
_LOST_MAX: Final = 10


@dataclass
class Renderer:
    """Writes lessons' pages in one language. `read` gives a static file's bytes."""

    links: Links
    language: str
    read: Callable[[str], bytes]
    others: Counter[str] = field(default_factory=Counter)
    programs: Counter[str] = field(default_factory=Counter)
    scripted: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.words: Words = words_for(self.language)
        self.videos = Videos(self.links, self.words, self.language, self.read)

    def page(self, draft: Draft) -> bytes:
        """Write one lesson's page."""
        parts = [
            (part.name, part.title, [piece for block in part.blocks for piece in self._pieces(block)])
            for part in draft.parts
        ]
        return format_page(draft.title, self.language, parts, self.words)

    def tell(self) -> tuple[str, ...]:
        """Say, one sentence each, what of all the pages written could not be taken along."""
        return (*self.notes, *self.videos.notes, *self._tell_kinds(), *self._tell_addresses())

    def _tell_kinds(self) -> Iterator[str]:
        if self.others:
            yield f"blocks that only the online platform brings to life: {_listed(self.others)}"
        if self.programs:
            yield f"problems whose answer only the online platform takes: {_listed(self.programs)}"
        if self.videos.elsewhere:
            yield f"videos that are on the internet, not in the course: {self.videos.elsewhere}"
        if self.scripted:
            yield f"html blocks with scripts for the platform's own page, which may not work: {self.scripted}"

    def _tell_addresses(self) -> Iterator[str]:
        tally = self.links.tally
        if tally["online"]:
            yield f"pictures, frames, styles and scripts on the internet, left out: {tally['online']}"
        if tally["links"]:
            yield f"links to pages of the platform, now plain text: {tally['links']}"
        lost = list(self.links.lost)
        for address in lost[:_LOST_MAX]:
            yield f"{address[:200]!r}: is shown on a page, but is not in the course"
        if len(lost) > _LOST_MAX:
            yield f"more files shown on pages, but not in the course: {len(lost) - _LOST_MAX}"

    def _pieces(self, block: Block) -> Iterator[Element]:
        """Give the pieces of a page that a block becomes; one that only wraps others gives theirs."""
        if block.kind in _WRAPPERS and block.children:
            for child in block.children:
                yield from self._pieces(child)
            return
        kind = block.kind if block.kind != UNREAD else block.fields.get("kind", "")
        piece = tag("div", class_=f"block {kind}", id=anchor(block.name))
        if block.title and block.kind not in _PAGES:
            piece.append(tag("h3", block.title))
        try:
            add_all(piece, self._content(block))
        except (FormatError, RecursionError) as error:
            why = error.message if isinstance(error, FormatError) else f"{block.kind} {block.name}: is nested too deep"
            self.notes.append(f"{why}; it was left out")
            piece.append(tag("p", self.words["unread"], class_="note"))
        self.links.mend(piece, self.words)
        yield piece

    def _content(self, block: Block) -> list[Element]:
        match block.kind:
            case kind if kind in _PAGES:
                return self._html(block)
            case "problem":
                problem = turn_problem(
                    block.element, self.words, show_solution=block.fields.get("showanswer", "").lower() != "never"
                )
                self.programs.update(set(problem.programs))
                return [problem.body]
            case "video":
                return self.videos.turn(block)
            case kind if kind == UNREAD:
                return [tag("p", self.words["unread"], class_="note")]
            case "library_content" | "itembank":
                self.notes.append(f"{block.kind} {block.name}: draws from a library that the course does not hold")
                return [not_here(block.kind, self.words)]
            case _:
                if not turns_whole(block.kind):
                    self.others[block.kind] += 1
                return turn_other(block, self.words)

    def _html(self, block: Block) -> list[Element]:
        text = inner_markup(block.element) if block.content is None else decode_text(block.content)
        body = parse_fragment(f"{block.kind} {block.name}", text)
        self.scripted += any(not script.get("src") for script in body.iter("script"))
        return [body]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name_of(kind)} {count}" for kind, count in sorted(counts.items()))

"""Prepare what a lesson's page shows: its Markdown rendered, its frames and players addressed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from alforja_node.library.addresses import resolve
from alforja_node.library.files import Files, Memory
from alforja_node.library.markdown import ANCHOR, render_markdown
from alforja_node.library.parts import Caption, Page, PageKind, Parts, lesson_pages, make_parts, plays_itself
from alforja_node.library.rawhtml import Addresses, Leads, Shows
from alforja_node.library.reader import Reader
from alforja_node.library.view import Place, Shown, lesson_state
from alforja_packaging.course import Lesson
from alforja_packaging.layout import media_type

RENDERED_MAX_BYTES: Final = 2 * 2**20  # rendered Markdown kept: a class opens the same lesson at once
_OUTSIDE: Final = ("http://", "https://", "mailto:", "tel:")
_INDEXES: Final = ("index.html", "index.md", "README.md")


@dataclass(frozen=True, slots=True)
class Block:
    """One page of a lesson as it is put on ours: as HTML, as plain text, or as the address of a frame."""

    page: Page
    html: str = ""
    text: str = ""
    url: str = ""

    @property
    def kind(self) -> PageKind:
        """How the page is shown."""
        return self.page.kind


@dataclass(frozen=True, slots=True)
class Track:
    """One `<track>` of a player."""

    url: str
    lang: str
    is_default: bool


class Lessons:
    """Makes lessons ready to be shown."""

    def __init__(self, files: Files, rendered_max_bytes: int = RENDERED_MAX_BYTES) -> None:
        self._files = files
        self._rendered: Memory[tuple[object, ...]] = Memory(rendered_max_bytes)
        self._rendering: dict[tuple[object, ...], asyncio.Future[bytes]] = {}

    async def prepare(self, shown: Shown, place: Place, reader: Reader) -> tuple[Parts, list[Block]]:
        """Prepare a lesson. Raises Unreadable when one of its pages cannot be read."""
        parts = make_parts(shown, place.lesson, reader.wanted)
        return parts, [await self._prepare_page(shown, place, page, reader) for page in parts.pages]

    async def _prepare_page(self, shown: Shown, place: Place, page: Page, reader: Reader) -> Block:
        url = reader.file_url(shown.manifest, page.path)
        if page.kind == "html":
            return Block(page, url=url)
        if page.kind == "text":
            data = await self._files.get(shown.manifest.by_path[page.path])
            return Block(page, text=_decode(data), url=url)
        return Block(page, html=await self._render(shown, place, page, reader), url=url)

    async def _render(self, shown: Shown, place: Place, page: Page, reader: Reader) -> Markup:
        file = shown.manifest.by_path[page.path]
        package = (shown.manifest.publisher, shown.manifest.course.id, shown.manifest.release)
        key = (*package, file.path, file.digest, place.row.title.text, reader.chosen, str(reader.content))
        html = self._rendered.get(key) if not shown.missing else None
        if html is None:
            # A whole class opens the lesson at once: it is rendered for the first of them.
            work = self._rendering.get(key)
            if work is None:
                work = self._rendering[key] = asyncio.ensure_future(self._render_anew(shown, place, page, reader))
                work.add_done_callback(lambda _: self._rendering.pop(key))
            html = await asyncio.shield(work)
            if not shown.missing:
                self._rendered.put(key, html)
        return Markup(html.decode())  # noqa: S704 (made by render_markdown, which lets no HTML through)

    async def _render_anew(self, shown: Shown, place: Place, page: Page, reader: Reader) -> bytes:
        text = _decode(await self._files.get(shown.manifest.by_path[page.path]))
        addresses = make_addresses(shown, place.lesson, page.path, reader)
        html = await asyncio.to_thread(render_markdown, text, place.row.title.text, addresses)
        return html.encode("utf-8", "replace")


def make_addresses(shown: Shown, lesson: Lesson, page: str, reader: Reader) -> Addresses:
    """Decide where the addresses in a Markdown page lead: to lessons, to files that are here, or out."""
    lessons = {
        path: one
        for one in shown.manifest.course.lessons()
        if lesson_state(shown, one) != "coming"
        for path in lesson_pages(shown, one)
    }
    played = plays_itself(shown, lesson)

    def link(address: str) -> Leads | None:
        if address.lower().startswith(_OUTSIDE):
            return Leads(address, out=True)
        found = _find(shown, page, address)
        if found is None:
            return None
        path, fragment = found
        anchor = f"#{ANCHOR}{fragment}" if fragment else ""
        if path == page:
            return Leads(anchor or "#main")
        if path in played:
            return Leads("#watch")  # the player below the text, which has the captions
        if path in lessons:
            manifest = shown.manifest
            return Leads(reader.course_link(manifest.publisher, manifest.course.id, lessons[path].id) + anchor)
        return Leads(reader.file_url(shown.manifest, path) + (f"#{fragment}" if fragment else ""))

    def picture(address: str) -> Shows | None:
        if address.startswith("data:image/"):
            return Shows(address)
        found = _find(shown, page, address)
        if found is None:
            return None
        return Shows(reader.file_url(shown.manifest, found[0]), media_type(found[0]).partition("/")[0])

    return Addresses(link, picture)


def make_tracks(shown: Shown, captions: Sequence[Caption], reader: Reader) -> list[Track]:
    """Address the captions of a player; those in the reader's language come on by themselves."""
    wanted = [tag.lower().partition("-")[0] for tag in reader.wanted]
    tracks, is_open = [], True
    for caption in captions:
        is_default = is_open and caption.lang.lower().partition("-")[0] in wanted[:1]
        is_open = is_open and not is_default
        tracks.append(Track(reader.file_url(shown.manifest, caption.path), caption.lang, is_default))
    return tracks


def _find(shown: Shown, page: str, address: str) -> tuple[str, str] | None:
    found = resolve(page, address)
    if found is None:
        return None
    path, fragment = found
    choices = (path, *(f"{path}/{name}".lstrip("/") for name in _INDEXES))
    held = next((choice for choice in choices if choice in shown.manifest.by_path and shown.holds(choice)), None)
    return None if held is None else (held, fragment)


def _decode(data: bytes) -> str:
    """Read text that should be UTF-8; what is not was most often written on an old Windows machine."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")

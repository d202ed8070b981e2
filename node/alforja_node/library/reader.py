"""Who asks: the languages a reader wants, and the origins their browser reached us at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from aiohttp import hdrs, web

from alforja_node.library.addresses import Reached, format_path, package_path, parse_host
from alforja_node.library.tongues import check_tag, parse_wanted
from alforja_node.library.words import Words, words_for
from alforja_packaging.layout import media_type
from alforja_packaging.manifest import Manifest

OPENED: Final = "open"
"""In the query of a PDF's address: it is to be opened, not saved."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One request's reader. `chosen` is the language chosen on a page, carried along in its links."""

    chosen: str
    wanted: tuple[str, ...]
    words: Words
    content: Reached

    def link(self, path: str, lang: str | None = None) -> str:
        """Write an address of the library, keeping the reader's language or changing it to `lang`."""
        tag = self.chosen if lang is None else lang
        page, mark, anchor = path.partition("#")
        return f"{page}?lang={quote(tag)}{mark}{anchor}" if tag else path

    def course_link(self, publisher: str, course: str, lesson: str = "") -> str:
        """Write the address of a course, or of one of its lessons."""
        return self.link(f"/c/{publisher}/{course}/" + (f"{lesson}/" if lesson else ""))

    def file_url(self, manifest: Manifest, path: str) -> str:
        """Write the address of a course's file, on the content's own origin."""
        folder = package_path(manifest.publisher, manifest.course.id, manifest.release)
        query = f"?{OPENED}" if media_type(path) == "application/pdf" else ""
        return f"{self.content}{folder}{format_path(path)}{query}"


def reached(request: web.BaseRequest) -> Reached:
    """Tell at which origin a browser reached us. Raises HTTPBadRequest for a host that is no name or address."""
    host = request.headers.get(hdrs.HOST)
    if host is None:
        own = request.transport.get_extra_info("sockname") if request.transport else None
        host = _format_address(own)
    found = parse_host(request.scheme, host)
    if found is None:
        raise web.HTTPBadRequest(text="the Host header is not a name or an address\n")
    return found


def read_reader(request: web.Request, content_port: int | None) -> Reader:
    """Learn from a request who asks."""
    chosen = check_tag(request.query.get("lang", ""))
    wanted = parse_wanted(chosen, request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))
    return Reader(chosen, wanted, words_for(wanted), content_origin(reached(request), content_port))


def content_origin(library: Reached, content_port: int | None) -> Reached:
    """Give the content's origin beside a library's: at its own port, or at the next one when none is set."""
    return library.at(library.port + 1 if content_port is None else content_port)


def library_origins(content: Reached, library_port: int | None) -> Sequence[Reached]:
    """Give the library's origins beside a content's: its port, and the plain one that a gateway may lead to it."""
    port = content.port - 1 if library_port is None else library_port
    return tuple(dict.fromkeys([content.at(port), content.at(443 if content.scheme == "https" else 80)]))


def _format_address(own: object) -> str:
    match own:
        case (str(address), int(port), *_):
            return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        case _:
            return "localhost"

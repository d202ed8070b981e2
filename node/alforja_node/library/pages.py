"""Render the library's pages, each for the reader who asks."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files as resource_files
from typing import Any, Final

from aiohttp import hdrs, web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from alforja_node.library.addresses import readable
from alforja_node.library.reader import Reader
from alforja_node.library.tongues import direction_of, name_of
from alforja_node.library.view import Phrase, Shelf
from alforja_node.library.words import TABLES
from alforja_packaging.layout import ending, media_type

LoadShelf = Callable[[], Awaitable[Shelf]]

_COMPRESSED_MIN_BYTES: Final = 1024  # below that a header costs more than it saves
_STATIC: Final = {"library.css": "text/css; charset=utf-8", "mark.svg": "image/svg+xml"}
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Static:
    """One of our own files that pages use. Its address changes when its bytes do."""

    url: str
    body: bytes
    media_type: str


@cache
def load_static() -> Mapping[str, Static]:
    """Read our own files, by name."""
    folder = resource_files("alforja_node.library") / "static"
    loaded = {}
    for name, kind in _STATIC.items():
        body = (folder / name).read_bytes()
        loaded[name] = Static(f"/static/{hashlib.sha256(body).hexdigest()[:12]}/{name}", body, kind)
    return loaded


def render(template: str, reader: Reader, **facts: Any) -> bytes:
    """Render one page."""
    page = _environment().get_template(template)
    text = page.render(
        reader=reader, w=reader.words, link=reader.link, own_languages=tuple(TABLES), static=load_static(), **facts
    )
    return text.encode("utf-8", "replace")  # a title may hold halves of characters; a page may not


def answer(request: web.Request, body: bytes, status: int = 200) -> web.Response:
    """Answer with a page: small on the air, and not at all when the reader has it."""
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "no-cache", hdrs.VARY: "Accept-Language, Accept-Encoding"}
    if status == 200 and etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
        return web.Response(status=304, headers=headers)
    response = web.Response(body=body, status=status, headers=headers, content_type="text/html", charset="utf-8")
    # Named, because aiohttp by itself prefers `deflate`, which old browsers read in two ways.
    if len(body) >= _COMPRESSED_MIN_BYTES and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


async def render_apart(template: str, reader: Reader, **facts: Any) -> bytes:
    """Render one page that may be long, without keeping other readers waiting."""
    return await asyncio.to_thread(render, template, reader, **facts)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("alforja_node.library"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        tongue=name_of,
        direction=direction_of,
        readable=readable,
        bytes=format_bytes,
        day=format_day,
        phrase=_phrase,
        media_type=media_type,
        ending=ending,
    )
    mark = load_static()["mark.svg"].body.decode()
    environment.globals["mark"] = Markup(mark)  # noqa: S704 (our own file)
    return environment


def format_bytes(size: int) -> str:
    """Write a size in bytes as people say it."""
    amount, unit = float(size), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}" if amount >= 10 or unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def format_day(moment: datetime) -> str:
    """Write a day so that every reader takes it for the same one, and no line ends inside it."""
    return moment.strftime("%Y-%m-%d").replace("-", "\N{NON-BREAKING HYPHEN}")


def _phrase(phrase: Phrase) -> Markup:
    """Write words with the language they are in, kept apart from what stands around them."""
    if not phrase.lang:
        return Markup("<bdi>{}</bdi>").format(phrase.text)
    return Markup('<bdi lang="{}" dir="{}">{}</bdi>').format(phrase.lang, direction_of(phrase.lang), phrase.text)

"""The library's own origin: the catalogue, courses, lessons, and what the library says of itself.

Its pages hold no script and may run none; whatever a course brings comes from the
other origin (`content`).
"""

import logging
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from alforja_node.library.content import SANDBOX
from alforja_node.library.files import IMMUTABLE, Files, PathOf, Unreadable
from alforja_node.library.lessons import Lessons, make_tracks
from alforja_node.library.pages import LoadShelf, answer, load_static, render, render_apart
from alforja_node.library.plans import say_prospect
from alforja_node.library.reader import content_origin, reached, read_reader
from alforja_node.library.view import Shown, find_place, languages_on, make_catalogue, make_outline

_log = logging.getLogger(__name__)
_RETRY_AFTER_S: Final = "600"


class _Library:
    """Answers for the library's own origin."""

    def __init__(self, load_shelf: LoadShelf, path_of: PathOf, content_port: int | None) -> None:
        self._load_shelf, self._content_port = load_shelf, content_port
        self._lessons = Lessons(Files(path_of))

    async def home(self, request: web.Request) -> web.StreamResponse:
        """Show the catalogue."""
        reader = read_reader(request, self._content_port)
        shelf = await self._load_shelf()
        cards = make_catalogue(shelf, reader.wanted)
        body = await render_apart("home.html", reader, cards=cards, languages=languages_on(shelf))
        return answer(request, body)

    async def about(self, request: web.Request) -> web.StreamResponse:
        """Tell what this is, what it holds, who signed it and what comes next."""
        reader = read_reader(request, self._content_port)
        shelf = await self._load_shelf()
        coming = say_prospect(shelf.prospect, reader.words, reader.wanted) if shelf.prospect else ()
        facts = {"cards": make_catalogue(shelf, reader.wanted), "coming": tuple(coming)}
        return answer(request, await render_apart("about.html", reader, **facts))

    async def course(self, request: web.Request) -> web.StreamResponse:
        """Show a course's outline."""
        reader = read_reader(request, self._content_port)
        shown = await self._find(request)
        outline = make_outline(shown, reader.wanted)
        return answer(request, await render_apart("course.html", reader, outline=outline, card=outline.card))

    async def lesson(self, request: web.Request) -> web.StreamResponse:
        """Show a lesson, or that it is coming."""
        reader = read_reader(request, self._content_port)
        shown = await self._find(request)
        place = find_place(shown, request.match_info["lesson"], reader.wanted)
        if place is None:
            raise web.HTTPNotFound
        facts: dict[str, Any] = {"place": place, "card": place.card}
        if place.row.state == "coming":
            return answer(request, await render_apart("coming.html", reader, **facts))
        parts, blocks = await self._lessons.prepare(shown, place, reader)
        tracks = {one.sources: make_tracks(shown, one.captions, reader) for one in parts.media}
        facts |= {"parts": parts, "blocks": blocks, "tracks": tracks, "manifest": shown.manifest, "sandbox": SANDBOX}
        return answer(request, await render_apart("lesson.html", reader, **facts))

    async def health(self, request: web.Request) -> web.StreamResponse:
        """Say, to a machine, that the library answers."""
        shelf = await self._load_shelf()
        held = {"status": "ok", "courses": len(shelf.courses)}
        return web.json_response(held, headers={hdrs.CACHE_CONTROL: "no-store"})

    async def static(self, request: web.Request) -> web.StreamResponse:
        """Answer with one of our own files."""
        found = load_static().get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        if found.url != request.path:  # of another edition of this program
            raise web.HTTPFound(found.url)
        headers = {hdrs.CACHE_CONTROL: IMMUTABLE, hdrs.CONTENT_TYPE: found.media_type, hdrs.VARY: "Accept-Encoding"}
        response = web.Response(body=found.body, headers=headers)
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    @web.middleware
    async def keep_calm(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn what goes wrong into a page that says so."""
        try:
            return await handler(request)
        except web.HTTPNotFound:
            status, key = 404, "not_found"
        except web.HTTPException:
            raise
        except Unreadable as error:
            _log.warning("%s", error.message)
            status, key = 503, "unreadable"
        except Exception:  # noqa: BLE001 (whatever it was, a reader gets a page, and the log the whole of it)
            _log.exception("library %s", request.path)
            status, key = 500, "broken"
        body = render("message.html", read_reader(request, self._content_port), key=key)
        response = answer(request, body, status)
        if status == 503:
            response.headers[hdrs.RETRY_AFTER] = _RETRY_AFTER_S
        return response

    async def protect(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the library's pages load from where they should, and run nothing."""
        headers = response.headers
        headers[hdrs.X_CONTENT_TYPE_OPTIONS] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers.pop(hdrs.SERVER, None)
        if response.content_type == "text/html":
            headers[hdrs.CONTENT_SECURITY_POLICY] = self._policy(request)

    async def _find(self, request: web.Request) -> Shown:
        key = (request.match_info["publisher"], request.match_info["course"])
        shown = (await self._load_shelf()).courses.get(key)
        if shown is None:
            raise web.HTTPNotFound
        return shown

    def _policy(self, request: web.Request) -> str:
        content = content_origin(reached(request), self._content_port)
        own = "http: https:" if content.by_number else str(content)  # a policy cannot name an IPv6 literal
        return (
            f"default-src 'none'; style-src 'self'; img-src 'self' data: {own}; media-src {own}; frame-src {own}; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )


def make_library(load_shelf: LoadShelf, path_of: PathOf, content_port: int | None = None) -> web.Application:
    """Make the application of the library's own origin.

    `load_shelf` is asked at every request, so it should be cheap. `content_port` is
    where `make_content` answers on the same host; None: at the port after this one.
    """
    library = _Library(load_shelf, path_of, content_port)
    app = web.Application(middlewares=[library.keep_calm])
    app.router.add_get("/", library.home)
    app.router.add_get("/about", library.about)
    app.router.add_get("/health", library.health)
    app.router.add_get("/favicon.ico", _no_icon)
    app.router.add_get("/static/{digest}/{name}", library.static)
    app.router.add_get("/c/{publisher}/{course}", _with_slash)
    app.router.add_get("/c/{publisher}/{course}/", library.course)
    app.router.add_get("/c/{publisher}/{course}/{lesson}", _with_slash)
    app.router.add_get("/c/{publisher}/{course}/{lesson}/", library.lesson)
    app.on_response_prepare.append(library.protect)
    return app


async def _no_icon(_request: web.Request) -> web.Response:
    return web.Response(status=204, headers={hdrs.CACHE_CONTROL: IMMUTABLE})


async def _with_slash(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(request.rel_url.with_path(request.rel_url.raw_path + "/", encoded=True, keep_query=True))

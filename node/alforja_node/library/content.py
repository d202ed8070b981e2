"""The second origin: every byte of a course that a browser may interpret.

Courses are hostile until shown otherwise. What is served here reaches its own
package and nothing else, has no cookies, and can be framed by the library alone.
"""

import logging
from collections.abc import Sequence
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from alforja_node.library.addresses import Asked, Reached, format_path, package_path, parse_content_path
from alforja_node.library.files import IMMUTABLE, Files, PathOf, Unreadable
from alforja_node.library.pages import LoadShelf, render
from alforja_node.library.reader import OPENED, library_origins, reached, read_reader
from alforja_node.library.view import Shown
from alforja_packaging.layout import media_type
from alforja_packaging.manifest import File

SANDBOX: Final = (
    "allow-scripts allow-same-origin allow-forms allow-modals allow-downloads "  # what a quiz or an app needs
    "allow-popups allow-popups-to-escape-sandbox"  # a PDF opens in no sandbox
)
"""What a course's page may do. Never to move the page around it."""

_INDEX: Final = "index.html"
_PLAIN_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_UNSANDBOXED: Final = frozenset(
    ["application/pdf"]
)  # browsers refuse to show one in a sandbox; it runs nothing of ours
_RETRY_AFTER_S: Final = "600"
_log = logging.getLogger(__name__)


class _Content:
    """Answers for the content's origin."""

    def __init__(self, load_shelf: LoadShelf, files: Files, library_port: int | None) -> None:
        self._load_shelf, self._files, self._library_port = load_shelf, files, library_port

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer with a file of a course."""
        host = reached(request)
        asked = parse_content_path(request.raw_path)
        shown = (await self._load_shelf()).courses.get((asked.publisher, asked.course)) if asked else None
        if asked is None or shown is None:
            return _say(request, 404, "not_found")
        file, is_folder = _find(shown, asked.path)
        if file is None:
            return _say(request, 404, "not_found")
        if is_folder or asked.release != shown.manifest.release:
            raise _lead_to(shown, asked.path + "/" if is_folder else asked.path)
        if not shown.holds(file.path):
            return _say(request, 503, "not_yet")
        try:
            return await self._files.answer(request, file, self._headers(request, host, asked, file))
        except Unreadable as error:
            _log.warning("%s", error.message)
            return _say(request, 503, "unreadable")

    def _headers(self, request: web.Request, host: Reached, asked: Asked, file: File) -> dict[str, str]:
        origins = [str(origin) for origin in library_origins(host, self._library_port)]
        package = package_path(asked.publisher, asked.course, asked.release)
        headers: dict[str, str] = {
            hdrs.CACHE_CONTROL: IMMUTABLE,
            hdrs.CONTENT_SECURITY_POLICY: content_policy(host, package, origins, media_type(file.path)),
        }
        if request.headers.get(hdrs.ORIGIN) in origins:  # captions are read by the library's page
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
        headers[hdrs.VARY] = hdrs.ORIGIN
        if media_type(file.path) in _UNSANDBOXED and OPENED not in request.query:
            headers[hdrs.CONTENT_DISPOSITION] = "attachment"
        return headers


def content_policy(host: Reached, package: str, library: Sequence[str], kind: str) -> str:
    """Write the policy of one file: its own package, and frames of the library."""
    # An IPv6 literal cannot be written in a policy; the browser's own idea of the origin has to do.
    own = "'self'" if host.by_number else f"{host}{package}"
    framed_by = "http: https:" if host.by_number else f"'self' {' '.join(library)}"
    policy = (
        f"default-src {own} 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri {own}; form-action {own}; "
        f"frame-ancestors {framed_by}"
    )
    return policy if kind in _UNSANDBOXED else f"{policy}; sandbox {SANDBOX}"


def make_content(load_shelf: LoadShelf, path_of: PathOf, library_port: int | None = None) -> web.Application:
    """Make the application of the content's origin.

    `library_port` is where the library answers on the same host; None: at the port before this one.
    """
    content = _Content(load_shelf, Files(path_of), library_port)
    app = web.Application(middlewares=[_keep_calm])
    app.router.add_get("/{path:.*}", content.get)
    app.on_response_prepare.append(_protect)
    return app


def _find(shown: Shown, path: str) -> tuple[File | None, bool]:
    """Find a file by its path, or by its folder; and tell whether a slash is missing at the folder's end."""
    held = shown.manifest.by_path
    if path in held:
        return held[path], False
    if path == "" or path.endswith("/"):
        return held.get(path + _INDEX), False
    return held.get(f"{path}/{_INDEX}"), True


def _lead_to(shown: Shown, path: str) -> web.HTTPFound:
    """Lead to where a file is now: a page that was opened before an update goes on working."""
    manifest = shown.manifest
    place = package_path(manifest.publisher, manifest.course.id, manifest.release) + format_path(path)
    return web.HTTPFound(place, headers={hdrs.CACHE_CONTROL: "no-store"})


def _say(request: web.Request, status: int, key: str) -> web.Response:
    """Answer with a page of a few words, in the reader's language."""
    body = render("plain.html", read_reader(request, None), key=key)
    headers = {
        hdrs.CONTENT_SECURITY_POLICY: _PLAIN_POLICY,
        hdrs.CACHE_CONTROL: "no-store",
        hdrs.VARY: "Accept-Language",
    }
    if status == 503:
        headers[hdrs.RETRY_AFTER] = _RETRY_AFTER_S
    return web.Response(body=body, status=status, headers=headers, content_type="text/html", charset="utf-8")


@web.middleware
async def _keep_calm(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception:  # noqa: BLE001 (whatever it was, a reader gets a page, and the log the whole of it)
        _log.exception("content %s", request.path)
        return _say(request, 500, "broken")


async def _protect(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.X_CONTENT_TYPE_OPTIONS] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers.popall(hdrs.SET_COOKIE, None)
    response.headers.pop(hdrs.SERVER, None)

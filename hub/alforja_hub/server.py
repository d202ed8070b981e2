"""Offer the repository over HTTP: static files, as any web server would, with few headers.

What lies under `bundles/` never changes under its name; what lies under `trust/`
does, and is asked for conditionally.
"""

import asyncio
import hashlib
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.layout import BUNDLES_DIR, TRUST_DIR
from alforja_packaging.trustdelta import newest_of

_IMMUTABLE = "public, max-age=31536000, immutable"
_MUTABLE = "public, max-age=60"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IMMUTABLE_TRUST = re.compile(r"[0-9]+\.[a-z0-9-]+\.json")
# Each header is paid for by every school at every request. A pack's name says all that an ETag would.
_DROPPED = ("Server", "Last-Modified", "Content-Type", "Accept-Ranges")


def make_hub_app(repository: Path) -> web.Application:
    """Make the application that serves a repository folder."""
    app = web.Application()
    app[_REPOSITORY] = repository
    app.router.add_get("/{path:.*}", _get)
    app.on_response_prepare.append(_drop_headers)
    return app


_REPOSITORY = web.AppKey("repository", Path)


async def _get(request: web.Request) -> web.StreamResponse:
    parts = request.match_info["path"].split("/")
    if parts[0] not in (TRUST_DIR, BUNDLES_DIR) or not all(_PART.fullmatch(part) for part in parts) or len(parts) > 4:
        raise web.HTTPNotFound
    path = request.app[_REPOSITORY].joinpath(*parts)
    if not await asyncio.to_thread(path.is_file):
        raise web.HTTPNotFound
    if parts[0] == BUNDLES_DIR or _IMMUTABLE_TRUST.fullmatch(parts[-1]):
        return web.FileResponse(path, headers={"Cache-Control": _IMMUTABLE}, chunk_size=256 * 1024)
    return await _get_mutable(request, path)


async def _get_mutable(request: web.Request, path: Path) -> web.StreamResponse:
    """Answer for a small file that changes, under an ETag that does not depend on the disk."""
    body = await asyncio.to_thread(path.read_bytes)
    # A node knows which version it has, so it can ask for what follows without having asked before.
    etag = _newest(body) if path.parent.name == "after" else hashlib.sha256(body).hexdigest()[:16]
    headers = {"ETag": f'"{etag}"', "Cache-Control": _MUTABLE}
    if f'"{etag}"' in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers)


def _newest(delta: bytes) -> str:
    """The version that metadata on its way leads to; a name of its bytes where that cannot be read."""
    with suppress(FormatError, VerifyError):
        return str(newest_of(delta))
    return hashlib.sha256(delta).hexdigest()[:16]


async def _drop_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name in (*_DROPPED, "ETag") if isinstance(response, web.FileResponse) else _DROPPED:
        response.headers.pop(name, None)


async def serve(repository: Path, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; tell the address once the port is open. Raises OSError when it is taken."""
    runner = web.AppRunner(make_hub_app(repository), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        ready(f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{runner.addresses[0][1]}")  # noqa: S104
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()
    finally:
        await runner.cleanup()

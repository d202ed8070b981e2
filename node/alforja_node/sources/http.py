"""A source behind HTTP or HTTPS: a hub, a mirror, any static web server."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
from multidict import istr

from alforja_node.sources.ahead import read_ahead
from alforja_node.sources.protocol import Answer, NotThere, Traffic
from alforja_packaging.errors import LinkError, VerifyError

CONNECT_TIMEOUT_S = 30.0
STALL_TIMEOUT_S = 60.0  # a satellite link may be silent for long between two bursts

# Every header costs bytes on a metered link; none of these tells a source anything.
_SKIPPED = frozenset(istr(name) for name in ("Accept", "Accept-Encoding", "User-Agent"))


class HttpSource:
    """The repository layout below a URL. Implements `Source`."""

    def __init__(self, url: str) -> None:
        self.name = url.rstrip("/")
        self.traffic = Traffic()
        self._session: aiohttp.ClientSession | None = None

    async def check(self, path: str, *, max_bytes: int, etag: str | None = None) -> Answer:
        """Fetch a small file whole, unless it still is what `etag` names."""
        headers = {"If-None-Match": etag} if etag else {}
        async with self._get(path, headers) as response:
            if response.status == 304:
                return Answer(None, etag)
            if response.status != 200:
                raise LinkError(f"{self.name}: answers {response.status} for {path}")
            body = b""
            async for chunk in self._read(response, path):
                body += chunk
                if len(body) > max_bytes:
                    raise VerifyError(f"{self.name}: {path} is longer than the {max_bytes} bytes it may have")
            return Answer(body, response.headers.get("ETag"))

    async def stream(self, path: str, first: int, last: int) -> AsyncIterator[bytes]:
        """Yield the bytes `first` to `last` of a file, in order."""
        async with self._get(path, {"Range": f"bytes={first}-{last}"}) as response:
            self._check_range(response, path, first, last)
            left = last - first + 1
            async for chunk in self._read(response, path):
                left -= len(chunk)
                if left < 0:
                    raise VerifyError(f"{self.name}: sends more of {path} than was asked for")
                yield chunk
            if left:
                raise LinkError(f"{self.name}: broke off {left} bytes before the end of the range")

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _check_range(self, response: aiohttp.ClientResponse, path: str, first: int, last: int) -> None:
        """Refuse anything but the range asked for, before a byte of it is read."""
        got = response.headers.get("Content-Range", "")
        if response.status == 200:
            raise VerifyError(f"{self.name}: answers with all of {path} where bytes {first}-{last} were asked for")
        if response.status == 416:
            raise VerifyError(f"{self.name}: {path} does not reach to byte {last}")
        if response.status != 206:
            raise LinkError(f"{self.name}: answers {response.status} for {path}")
        if not got.startswith(f"bytes {first}-{last}/"):
            raise VerifyError(
                f"{self.name}: answers with {got[:60]!r} of {path} where bytes {first}-{last} were asked for"
            )
        if response.content_length not in (None, last - first + 1) or "Content-Encoding" in response.headers:
            raise VerifyError(f"{self.name}: the answer for {path} has not the length of the range asked for")

    @asynccontextmanager
    async def _get(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False, skip_auto_headers=_SKIPPED, trust_env=True, cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=STALL_TIMEOUT_S),
            )  # fmt: skip
        url = f"{self.name}/{quote(path)}"
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                self._count(response)
                if response.status in (404, 410):
                    raise NotThere(self.name, path)
                if 300 <= response.status < 400 and response.status != 304:
                    raise LinkError(f"{self.name}: redirects {path}, which a source may not do")
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LinkError(f"{self.name}: {_reason(error)}") from None

    async def _read(self, response: aiohttp.ClientResponse, path: str) -> AsyncIterator[bytes]:
        try:
            async for chunk in read_ahead(response.content.iter_any()):
                self.traffic.received += len(chunk)
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LinkError(f"{self.name}: broke off while sending {path} ({_reason(error)})") from None

    def _count(self, response: aiohttp.ClientResponse) -> None:
        """Count header bytes as they stand on the wire."""
        request = response.request_info
        line = f"{request.method} {request.url.raw_path_qs} HTTP/1.1\r\n"
        self.traffic.sent += len(line) + 2 + sum(len(name) + len(text) + 4 for name, text in request.headers.items())
        status = f"HTTP/1.1 {response.status} {response.reason}\r\n"
        self.traffic.received += len(status) + 2
        self.traffic.received += sum(len(name) + len(text) + 4 for name, text in response.raw_headers)
        self.traffic.requests += 1


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__

"""Answer requests with files of the store: whole or in part, never with wrong bytes.

Small files are verified as they are read and kept in a bounded memory; large ones
go from disk to socket by sendfile. Large files are verified elsewhere; here they
must at least be as long as they should be.
"""

import asyncio
import codecs
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Generic, TypeVar

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

from alforja_node.library.ranges import plan_reply
from alforja_packaging.errors import StoreError
from alforja_packaging.layout import is_text, media_type
from alforja_packaging.manifest import File

PathOf = Callable[[bytes], Path]

IMMUTABLE: Final = "public, max-age=31536000, immutable"
SMALL_MAX_BYTES: Final = 128 * 1024  # a page, a picture; measured 4 times cheaper from memory than from disk
MEMORY_MAX_BYTES: Final = 8 * 2**20  # of a 1 GiB board that has other things to hold
_SNIFF_BYTES: Final = 64 * 1024

_K = TypeVar("_K")


class Unreadable(StoreError):
    """A file that should be here is gone, short, or no longer what it was."""

    advice = "run `alforja-node verify --repair`"


class Memory(Generic[_K]):
    """Keeps what was used last, up to so many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[_K, bytes] = OrderedDict()
        self.held_bytes = 0

    def get(self, key: _K) -> bytes | None:
        """Give what is kept under a key, and keep it longer."""
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def put(self, key: _K, value: bytes) -> None:
        """Keep a value, forgetting what was not used for longest."""
        self.held_bytes += len(value) - len(self._held.pop(key, b""))
        self._held[key] = value
        while self.held_bytes > self._max_bytes and self._held:
            _, dropped = self._held.popitem(last=False)
            self.held_bytes -= len(dropped)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A large file, open, and the head of it."""

    file: BinaryIO
    head: bytes


class Files:
    """The store's files as a web server needs them."""

    def __init__(self, path_of: PathOf, memory_max_bytes: int = MEMORY_MAX_BYTES) -> None:
        self._path_of = path_of
        self._memory: Memory[bytes] = Memory(memory_max_bytes)

    async def get(self, file: File) -> bytes:
        """Read a whole file that is to be shown on a page. Raises Unreadable."""
        held = self._memory.get(file.digest)
        if held is None:
            held = await asyncio.to_thread(_read_whole, self._path_of(file.digest), file)
            if file.size <= SMALL_MAX_BYTES:
                self._memory.put(file.digest, held)
        return held

    async def answer(self, request: web.Request, file: File, headers: Mapping[str, str]) -> web.StreamResponse:
        """Answer with a file, or the part of it that was asked for. Raises Unreadable."""
        etag = f'"{file.digest.hex()}"'
        reply = plan_reply(
            etag,
            file.size,
            if_none_match=request.headers.get(hdrs.IF_NONE_MATCH, ""),
            if_range=request.headers.get(hdrs.IF_RANGE, ""),
            wanted=request.headers.get(hdrs.RANGE, ""),
        )
        shown = {**headers, hdrs.ETAG: etag, hdrs.ACCEPT_RANGES: "bytes"}
        if reply.status == 304:
            return web.Response(status=304, headers=shown)
        if reply.status == 416:
            return web.Response(status=416, headers={**shown, hdrs.CONTENT_RANGE: f"bytes */{file.size}"})
        if reply.status == 206:
            shown[hdrs.CONTENT_RANGE] = f"bytes {reply.offset}-{reply.offset + reply.length - 1}/{file.size}"
        if file.size <= SMALL_MAX_BYTES:
            body = await self.get(file)
            shown[hdrs.CONTENT_TYPE] = content_type(file.path, body, is_whole=True)
            return web.Response(
                body=body[reply.offset : reply.offset + reply.length], status=reply.status, headers=shown
            )
        opened = await asyncio.to_thread(_open, self._path_of(file.digest), file)
        shown[hdrs.CONTENT_TYPE] = content_type(file.path, opened.head, is_whole=False)
        return _FromDisk(opened.file, reply.offset, reply.length, status=reply.status, headers=shown)


def content_type(path: str, head: bytes, *, is_whole: bool) -> str:
    """Give the header for a file. Text is UTF-8 unless its bytes say otherwise; then the page may tell."""
    kind = media_type(path)
    if not is_text(path):
        return kind
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=is_whole)
    except UnicodeDecodeError:
        return kind
    return f"{kind}; charset=utf-8"


def _read_whole(path: Path, file: File) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"file {file.path!r}: cannot be read from the store ({error.strerror})") from None
    if len(data) != file.size or hashlib.sha256(data).digest() != file.digest:
        raise Unreadable(f"file {file.path!r}: in the store as {file.digest.hex()[:12]}, but with other content")
    return data


def _open(path: Path, file: File) -> _Opened:
    try:
        opened = path.open("rb", buffering=0)
    except OSError as error:
        raise Unreadable(f"file {file.path!r}: cannot be read from the store ({error.strerror})") from None
    try:
        length = os.fstat(opened.fileno()).st_size
        if length != file.size:
            raise Unreadable(f"file {file.path!r}: {length} bytes in the store, should be {file.size}")
        head = opened.read(_SNIFF_BYTES) if is_text(file.path) else b""
    except OSError as error:
        opened.close()
        raise Unreadable(f"file {file.path!r}: cannot be read from the store ({error.strerror})") from None
    except Unreadable:
        opened.close()
        raise
    return _Opened(opened, head)


class _FromDisk(web.StreamResponse):
    """A run of an open file, sent by the kernel. It is sent while it is prepared, as aiohttp's own file answer is."""

    def __init__(self, file: BinaryIO, offset: int, length: int, *, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status=status, headers=headers)
        self.content_length = length
        self._file, self._offset, self._count = file, offset, length

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        if self.prepared:
            return await super().prepare(request)
        try:
            writer = await super().prepare(request)
            if request.method != hdrs.METH_HEAD:
                await self._send(request)
            return writer
        finally:
            self._file.close()

    async def _send(self, request: BaseRequest) -> None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the reader has gone")
        sent = await asyncio.get_running_loop().sendfile(transport, self._file, self._offset, self._count)
        if sent < self._count:
            # The file shrank while it was sent: cut the line, so that nobody takes what came for the whole.
            transport.abort()
            raise ConnectionResetError("the file in the store is shorter than it was")

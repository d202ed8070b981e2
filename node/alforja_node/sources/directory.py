"""A source in a folder: a USB stick, a mounted share, a hub's own repository."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from alforja_node.sources.protocol import Answer, NotThere, Traffic
from alforja_packaging.errors import LinkError, VerifyError

_CHUNK = 256 * 1024


class DirectorySource:
    """The repository layout below a folder. Implements `Source`.

    A stick comes from anyone: links are not followed, and only regular files are read.
    """

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self.traffic = Traffic()
        self._root = root

    async def check(self, path: str, *, max_bytes: int, etag: str | None = None) -> Answer:
        """Read a small file whole, unless its digest still is what `etag` names."""
        with self._open(path) as descriptor:
            body = await asyncio.to_thread(self._read, descriptor, path, 0, max_bytes + 1)
        if len(body) > max_bytes:
            raise VerifyError(f"{self.name}: {path} is longer than the {max_bytes} bytes it may have")
        self.traffic.received += len(body)
        return Answer(body)

    async def stream(self, path: str, first: int, last: int) -> AsyncIterator[bytes]:
        """Yield the bytes `first` to `last` of a file, in order."""
        with self._open(path) as descriptor:
            if os.fstat(descriptor).st_size <= last:
                raise VerifyError(f"{self.name}: {path} does not reach to byte {last}")
            for offset in range(first, last + 1, _CHUNK):
                wanted = min(_CHUNK, last + 1 - offset)
                chunk = await asyncio.to_thread(self._read, descriptor, path, offset, wanted)
                if len(chunk) != wanted:
                    raise LinkError(f"{self.name}: {path} broke off at byte {offset + len(chunk)}")
                self.traffic.received += len(chunk)
                yield chunk

    async def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _open(self, path: str) -> Iterator[int]:
        self.traffic.requests += 1
        try:
            descriptor = self._descend(path.split("/"))
        except (FileNotFoundError, NotADirectoryError):
            if not self._root.is_dir():
                raise LinkError(f"{self.name}: there is no such folder") from None
            raise NotThere(self.name, path) from None
        except OSError as error:
            raise LinkError(f"{self.name}: {path} cannot be read ({error.strerror})") from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotThere(self.name, path)
            yield descriptor
        finally:
            os.close(descriptor)

    def _descend(self, parts: list[str]) -> int:
        """Open a file below the root without ever following a link."""
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                os.close(folder)
                folder = inner
            # O_NONBLOCK: a pipe on the stick must not hold us for ever.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(parts[-1], flags, dir_fd=folder)
        finally:
            os.close(folder)

    def _read(self, descriptor: int, path: str, offset: int, length: int) -> bytes:
        data = bytearray()
        try:
            while len(data) < length and (piece := os.pread(descriptor, length - len(data), offset + len(data))):
                data += piece
        except OSError as error:
            raise LinkError(f"{self.name}: {path} cannot be read at byte {offset} ({error.strerror})") from None
        return bytes(data)

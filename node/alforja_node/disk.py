"""The one door to durable files: what is put here survives a power cut, whole or not at all.

Synchronous; callers on the event loop use a thread. SQLite has its own door.
"""

import errno
import hashlib
import os
import shutil
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from alforja_packaging.errors import StoreError, VerifyError

_CHUNK = 256 * 1024
_OPEN_MAX: Final = 64  # files a frame's bases are read from at once: far below what any system allows
_LOOK_EVERY_BYTES: Final = 8 * 2**20  # how far scratch may grow between two looks at what is free
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(StoreError):
    """There is no room left, or it would fall below the reserve."""

    advice = "make room (`alforja-node prune`, or a larger card), then run the command again; nothing was lost"


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn the system's errors about `path` into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(f"{path}: the disk is full") from None
        raise StoreError(f"{path}: {error.strerror or error}") from None


def put(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write a file of bytes or chunks under its name at once: old or new after a power cut, never a mixture."""
    with reporting(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        with fresh.open("wb") as file:
            for chunk in (data,) if isinstance(data, bytes) else data:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        adopt(fresh, path)


def adopt(fresh: Path, path: Path) -> None:
    """Give an fsynced file its lasting name, durably."""
    place(fresh, path)
    sync_folder(path.parent)


def place(fresh: Path, path: Path) -> None:
    """Give an fsynced file its lasting name; the name is durable only after `sync_folder`."""
    with reporting(path):
        try:
            fresh.replace(path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(path.parent.parent)
            fresh.replace(path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a rename alone does not survive a power cut."""
    with reporting(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_at(path: Path, offset: int, data: bytes) -> None:
    """Write a run of bytes of a file that is being built; durable only after `sync`."""
    with reporting(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _write_all(descriptor, data, offset)
        finally:
            os.close(descriptor)


def sync(path: Path) -> None:
    """Make a file's bytes durable."""
    with reporting(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


class Staging:
    """Writes runs into files that are being built, and takes their digests on the way.

    The file that was written last stays open. Durable only after `sync`.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._descriptor = -1
        self._hasher, self._end = hashlib.sha256(), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, path: Path, offset: int, data: bytes) -> None:
        """Write a run of bytes of a file."""
        with reporting(path):
            if path != self._path:
                self._close()
                self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
                self._path, self._hasher, self._end = path, hashlib.sha256(), 0
            _write_all(self._descriptor, data, offset)
        if offset == self._end:
            self._hasher.update(data)
            self._end += len(data)

    def digest(self, path: Path, size: int) -> bytes | None:
        """The digest of the file written last, if all of it was, from first to last; None if that is not known."""
        if path != self._path or self._end != size:
            return None
        with reporting(path):
            if os.fstat(self._descriptor).st_size != size:  # something longer lay there
                os.ftruncate(self._descriptor, size)
        return self._hasher.digest()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._path, self._descriptor = None, -1


class OnDisk:
    """Runs of files read as one run of bytes, by position: a frame's bases, or what has arrived of it.

    Quick for thousands of runs and hundreds of thousands of small reads; files stay
    open while there are few.
    """

    def __init__(self, runs: Iterable[tuple[int, int]], path_of: Callable[[int], Path]) -> None:
        """`runs` are the offset in its file and the length of each; `path_of` names the file of a run."""
        self._path_of = path_of
        self._offsets, self._starts = array("q"), array("q")
        self.size = 0
        for offset, length in runs:
            self._offsets.append(offset)
            self._starts.append(self.size)
            self.size += length
        self._open: dict[int, int] = {}
        self._run, self._start, self._end, self._shift, self._descriptor = -1, 0, 0, 0, -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open = {}

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Give `length` bytes from `offset`, fewer at the end. Raises StoreError, or VerifyError if a file is short."""
        if self._start <= offset and offset + length <= self._end:
            with suppress(OSError):  # it is met again, and told, where there is time to
                data = os.pread(self._descriptor, length, offset + self._shift)
                if len(data) == length:
                    return data
        return self._read_over(offset, min(length, self.size - offset))

    def _read_over(self, offset: int, length: int) -> bytearray:
        """Read over as many runs as it takes."""
        data = bytearray(max(0, length))  # and no second one: it may be as large as a frame may be
        view, done = memoryview(data), 0
        while done < length:
            at = offset + done
            if not self._start <= at < self._end:
                self._turn_to(bisect_right(self._starts, at) - 1)
            try:
                got = os.preadv(self._descriptor, [view[done : done + self._end - at]], at + self._shift)
            except OSError as error:
                raise StoreError(f"{self._path_of(self._run)}: {error.strerror or error}") from None
            if not got:
                raise VerifyError(f"{self._path_of(self._run)}: is shorter than it was")
            done += got
        return data

    def _turn_to(self, run: int) -> None:
        descriptor = self._open.pop(run, -1)
        if descriptor < 0:
            with reporting(path := self._path_of(run)):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if len(self._open) >= _OPEN_MAX:
                os.close(self._open.pop(next(iter(self._open))))
        self._open[run] = descriptor  # the one used last is the last to be closed
        self._run, self._descriptor = run, descriptor
        self._start = self._starts[run]
        self._end = self._starts[run + 1] if run + 1 < len(self._starts) else self.size
        self._shift = self._offsets[run] - self._start


class Scratch:
    """Bytes laid aside on the disk of a folder; nothing of them is left when it is closed, or after a power cut.

    It may not grow into the `reserve_bytes` that must stay free.
    """

    def __init__(self, folder: Path, reserve_bytes: int = 0) -> None:
        self._folder, self._reserve = folder, reserve_bytes
        self._descriptor = -1
        self._look_at = 0
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def append(self, data: bytes) -> None:
        """Lay bytes behind those that are there. Raises DiskFull."""
        with reporting(self._folder):
            if self._descriptor < 0:
                self._descriptor = _open_nameless(self._folder)
            if self.size + len(data) > self._look_at:
                self._look_at = self.size + len(data) + _LOOK_EVERY_BYTES
                check_room(self._folder, len(data), self._reserve)
            _write_all(self._descriptor, data, self.size)
            self.size += len(data)

    def read(self, offset: int, length: int) -> bytes:
        """Give `length` bytes from `offset`, fewer at the end."""
        with reporting(self._folder):
            return os.pread(self._descriptor, length, offset) if self._descriptor >= 0 else b""


def _open_nameless(folder: Path) -> int:
    """Open a file that goes with its descriptor."""
    with suppress(OSError):  # FAT has no such files, and an old kernel does not know them
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    # One name for all: what a power cut leaves between the two is taken over here the next time.
    path = folder / "scratch"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    path.unlink()
    return descriptor


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    done = os.pwrite(descriptor, data, offset)
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with reporting(path), suppress(FileNotFoundError):
        path.unlink()


def length_of(path: Path) -> int:
    """Bytes of a file, 0 when it is not there."""
    with reporting(path):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0


def chunks_of(path: Path) -> Iterator[bytes]:
    """A file's bytes as they are on disk now, bit by bit."""
    with reporting(path), path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def digest_of(path: Path) -> tuple[bytes, int]:
    """SHA-256 and length of a file's bytes as they are on disk now."""
    hasher, length = hashlib.sha256(), 0
    for chunk in chunks_of(path):
        hasher.update(chunk)
        length += len(chunk)
    return hasher.digest(), length


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written on the disk of a folder."""
    with reporting(folder):
        return shutil.disk_usage(folder).free


def check_room(folder: Path, wanted: int, reserve_bytes: int) -> None:
    """Raise DiskFull if so many bytes more would eat into what must stay free."""
    free = free_bytes(folder)
    if free - wanted < reserve_bytes:
        raise DiskFull(
            f"{folder}: {free} bytes are free, {wanted} more are needed and {reserve_bytes} are kept in reserve"
        )


def reserve_of(folder: Path, least_bytes: int) -> int:
    """Bytes that must stay free: 3 % of the disk, or `least_bytes` if that is more."""
    with reporting(folder):
        return max(least_bytes, shutil.disk_usage(folder).total * 3 // 100)

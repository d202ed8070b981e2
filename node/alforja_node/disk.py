"""The one door to durable files: what is put here survives a power cut, whole or not at all.

Synchronous; callers on the event loop use a thread. SQLite has its own door.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

from alforja_packaging.errors import StoreError

_CHUNK = 1024 * 1024
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


def put(path: Path, data: bytes) -> None:
    """Write a file under its name at once: old or new after a power cut, never a mixture."""
    with reporting(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        adopt(fresh, path)


def adopt(fresh: Path, path: Path) -> None:
    """Give an fsynced file its lasting name, durably."""
    with reporting(path):
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(path.parent.parent)
        fresh.replace(path)
        sync_folder(path.parent)  # a rename alone does not survive a power cut


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
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
            done = 0
            while done < len(data):
                done += os.pwrite(descriptor, data[done:], offset + done)
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


class Scratch:
    """Bytes laid aside on the disk of a folder; nothing of them is left when it is closed, or after a power cut."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, data: bytes) -> None:
        """Lay bytes behind those that are there."""
        with reporting(self._folder):
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 (closed by __exit__)
            view = memoryview(data)
            while view:
                done = os.pwrite(self._file.fileno(), view, self.size)
                view, self.size = view[done:], self.size + done

    def read(self, offset: int, length: int) -> bytes:
        """Give `length` bytes from `offset`, fewer at the end."""
        with reporting(self._folder):
            return os.pread(self._file.fileno(), length, offset) if self._file is not None else b""


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


def digest_of(path: Path) -> tuple[bytes, int]:
    """SHA-256 and length of a file's bytes as they are on disk now."""
    hasher, length = hashlib.sha256(), 0
    with reporting(path), path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
            length += len(chunk)
    return hasher.digest(), length


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written on the disk of a folder."""
    with reporting(folder):
        return shutil.disk_usage(folder).free


def reserve_of(folder: Path, least_bytes: int) -> int:
    """Bytes that must stay free: 3 % of the disk, or `least_bytes` if that is more."""
    with reporting(folder):
        return max(least_bytes, shutil.disk_usage(folder).total * 3 // 100)

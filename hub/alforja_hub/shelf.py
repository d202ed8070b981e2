"""Where the repository lies: the one door to the hub's durable files.

A file appears under its name whole or not at all, also after a power cut.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from alforja_packaging.errors import StoreError

_READ = 1024 * 1024
_HALF_WRITTEN = ".new"


def put(path: Path, data: bytes) -> None:
    """Write a file at once and durably: old or new, never a mixture. Raises StoreError."""
    with _fresh(path) as file:
        file.write(data)


def put_private(path: Path, data: bytes) -> None:
    """Like `put`, for a file that only its owner may read (mode 0600)."""
    with _fresh(path, mode=0o600) as file:
        file.write(data)


def copy(source: Path, path: Path) -> tuple[bytes, int]:
    """Copy a file durably; give the SHA-256 and the length of what was copied. Raises StoreError."""
    hasher, length = hashlib.sha256(), 0
    with _fresh(path) as file, source.open("rb") as reader:
        while chunk := reader.read(_READ):
            hasher.update(chunk)
            length += file.write(chunk)
    return hasher.digest(), length


def join(path: Path, head: bytes, parts: Iterable[Path]) -> None:
    """Write a head and the contents of files behind it as one file, durably. Raises StoreError."""
    with _fresh(path) as file:
        file.write(head)
        for part in parts:
            with part.open("rb") as reader:
                shutil.copyfileobj(reader, file, _READ)


def put_cached(path: Path, data: bytes) -> None:
    """Write a file that can be computed again: whole or not at all, but a power cut may lose it."""
    with _fresh(path, durable=False) as file:
        file.write(data)


def touch(path: Path) -> bool:
    """Note that a file is of use, and tell whether it is there: what was of none for longest is the first to go."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:  # a folder that may only be read
        return path.exists()
    return True


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with _reporting(path), suppress(FileNotFoundError):
        path.unlink()


def remove_folder(path: Path) -> None:
    """Remove a folder and all in it, if it is there."""
    with _reporting(path), suppress(FileNotFoundError):
        shutil.rmtree(path)


def remove_half_written(folder: Path) -> None:
    """Remove what runs that were killed left in the folders of a folder; nobody else may be writing there."""
    for path in folder.glob(f"*/*{_HALF_WRITTEN}"):
        remove(path)


@contextmanager
def _fresh(path: Path, *, mode: int = 0o644, durable: bool = True) -> Iterator[BinaryIO]:
    """Give a file to write that takes the place of `path` once it is whole."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}{_HALF_WRITTEN}")
    with _reporting(path):
        _make_folder(path.parent)
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
        if durable:
            _sync_folder(path.parent)  # a rename alone does not survive a power cut


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents, each name durable."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = "make room, then run the command again; what is published stays as it was"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(f"{path}: the disk is full", advice=advice) from None
        raise StoreError(f"{path}: {error.strerror or error}") from None

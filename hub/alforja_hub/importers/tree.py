"""See what a folder on this disk holds: every file, every empty folder, every name.

Links are followed while they stay inside the folder; whatever is neither a file
nor a folder is left out and said.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from alforja_packaging.errors import FormatError, RequestError
from alforja_packaging.layout import check_path, path_key

FILES_MAX: Final = 200_000  # more than a manifest can list (format.md section 5); also stops a thicket of links

_KINDS: Final = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class Tree:
    """What a folder holds. `files` and `sizes` (bytes) go by course path, in the order of its bytes."""

    files: dict[str, Path]
    sizes: dict[str, int]
    folders: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Folder:
    """Something met on the walk, and the folders (device, inode) it was reached through."""

    place: bytes
    path: str
    above: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Walk:
    root: bytes
    waiting: list[_Folder] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def scan_tree(source: Path) -> Tree:
    """List a folder, links inside it followed.

    Raises FormatError when it holds more files than a course may, RequestError when
    a part of it cannot be read.
    """
    walk = _Walk(os.path.realpath(os.fsencode(source)))
    walk.waiting.append(_Folder(walk.root, "", ()))
    while walk.waiting:
        _enter(walk, walk.waiting.pop())
    files = dict(sorted(walk.files.items(), key=lambda item: path_key(item[0])))
    used = {path[:at] for path in (*files, *walk.folders) for at, letter in enumerate(path) if letter == "/"}
    return Tree(
        files,
        {path: walk.sizes[path] for path in files},
        tuple(sorted(set(walk.folders) - used, key=path_key)),
        (*sorted(walk.notes), *find_case_clashes(files)),
    )


def read_file(path: str, place: Path, max_bytes: int = -1) -> bytes:
    """Read a file of a course, or its first `max_bytes`. Raises RequestError when it cannot be read."""
    try:
        with place.open("rb") as file:
            return file.read(max_bytes)
    except OSError as error:
        raise RequestError(f"file {path!r}: cannot be read ({error.strerror})") from None


def find_case_clashes(paths: dict[str, Path]) -> list[str]:
    """Say which paths would be one and the same on a disk that does not tell `A` from `a`."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(path.casefold(), []).append(path)
    return [
        f"{group[0]!r} and {group[1]!r}: differ only in capital letters, so a Windows or USB disk cannot hold both"
        for group in groups.values()
        if len(group) > 1
    ]


def _enter(walk: _Walk, folder: _Folder) -> None:
    try:
        found = Path(os.fsdecode(folder.place)).stat()
        entries = list(os.scandir(folder.place))
    except OSError as error:
        raise RequestError(f"folder {folder.path or '.'!r}: cannot be read ({error.strerror})") from None
    above = (*folder.above, (found.st_dev, found.st_ino))
    for entry in entries:
        name = entry.name.decode("utf-8", "surrogateescape")
        _meet(walk, _Folder(entry.path, f"{folder.path}/{name}" if folder.path else name, above))


def _meet(walk: _Walk, entry: _Folder) -> None:
    path = entry.path
    try:
        check_path(path)
        kind = os.lstat(entry.place)
        if stat.S_ISLNK(kind.st_mode):
            kind = _follow(walk, entry)
    except (_LeftOutError, FormatError) as left_out:
        walk.notes.append(f"{path!r}: left out, {left_out}")
        return
    except OSError as error:
        raise RequestError(f"file {path!r}: cannot be read ({error.strerror})") from None
    if stat.S_ISDIR(kind.st_mode):
        walk.folders.append(path)
        walk.waiting.append(entry)
    elif stat.S_ISREG(kind.st_mode):
        walk.files[path] = Path(os.fsdecode(entry.place))
        walk.sizes[path] = kind.st_size
    else:
        walk.notes.append(f"{path!r}: left out, it is {_KINDS.get(stat.S_IFMT(kind.st_mode), 'not a file')}")
    if len(walk.files) + len(walk.folders) > FILES_MAX:
        raise FormatError(f"folder {os.fsdecode(walk.root)!r}: holds more than {FILES_MAX} files and folders")


class _LeftOutError(Exception):
    """Why one entry is not taken."""


def _follow(walk: _Walk, entry: _Folder) -> os.stat_result:
    """Give what a link leads to, if that lies inside the tree."""
    try:
        real = os.path.realpath(entry.place, strict=True)
    except OSError:
        raise _LeftOutError("it is a link to something that is not there") from None
    if not (real + b"/").startswith(walk.root.rstrip(b"/") + b"/"):
        raise _LeftOutError("it is a link out of the course")
    kind = Path(os.fsdecode(real)).stat()
    if (kind.st_dev, kind.st_ino) in entry.above:
        raise _LeftOutError("it is a link to a folder that it lies in")
    return kind

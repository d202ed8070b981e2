"""Find where in a folder the Open edX course lies. Looks a few folders deep and reads only the first tag."""

import os
import re
from pathlib import Path
from typing import Final

from alforja_packaging.errors import FormatError, RequestError

_DEPTH_MAX: Final = 4
_FOLDERS_MAX: Final = 20_000
_HEAD_BYTES: Final = 64 * 1024
_ROOTS: Final = {"course.xml": re.compile(rb"<course[\s/>]"), "library.xml": re.compile(rb"<library[\s/>]")}


def find_root(source: Path) -> Path | None:
    """Give the `course.xml` (else the `library.xml`) that lies highest in a folder, None when there is none.

    Raises FormatError when several lie equally high: then it is not clear which is meant.
    """
    level = [source]
    libraries: list[Path] = []
    for _ in range(_DEPTH_MAX):
        courses = [found for folder in level if (found := _root_in(folder, "course.xml"))]
        libraries = libraries or [found for folder in level if (found := _root_in(folder, "library.xml"))]
        if courses:
            return _only(source, courses)
        level = [deeper for folder in level for deeper in _folders_in(folder)][:_FOLDERS_MAX]
    return _only(source, libraries) if libraries else None


def _only(source: Path, found: list[Path]) -> Path:
    if len(found) > 1:
        names = " and ".join(repr(str(place.parent.relative_to(source))) for place in sorted(found)[:2])
        raise FormatError(
            f"folder {source.name!r}: holds {len(found)} Open edX courses, as {names}",
            advice="import one of these folders by itself",
        )
    return found[0]


def _root_in(folder: Path, name: str) -> Path | None:
    place = folder / name
    try:
        if not place.is_file() or place.is_symlink():
            return None
        with place.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise RequestError(f"file {str(place)!r}: cannot be read ({error.strerror})") from None
    return place if _ROOTS[name].search(head) else None


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            )
    except OSError as error:
        raise RequestError(f"folder {str(folder)!r}: cannot be read ({error.strerror})") from None
    return [folder / name for name in names]

"""Write a stick: the repository's own layout, with only the courses that are asked for.

Packs first, metadata then, the timestamp last: a stick that is pulled early is
merely an older or smaller source.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from alforja_hub import shelf
from alforja_packaging.errors import RequestError
from alforja_packaging.layout import BUNDLES_DIR, TRUST_DIR

_TIMESTAMP = "timestamp.json"


@dataclass(frozen=True, slots=True)
class Carried:
    """What came onto a stick."""

    files: int
    bytes: int
    skipped: int


def carry(
    repository: Path,
    folder: Path,
    courses: Collection[tuple[str, str]] | None,
    progress: Callable[[int, int], None],
    lapsed: Collection[str] = (),
) -> Carried:
    """Copy a repository, or some courses of it, to a folder.

    `courses` are (publisher, course); None means all. `lapsed` are files below
    `bundles/` that the repository holds but no metadata names; they are left out. Files
    that lie there already are not written again; superseded packs of the carried
    courses are removed.
    Raises RequestError for a course that is not there, StoreError when the folder
    cannot be written.
    """
    if not folder.is_dir():
        raise RequestError(f"{folder}: is not a folder", advice="mount the stick first, then name its folder")
    packs = [path for path in _packs(repository, courses) if _name(path) not in lapsed]
    metadata = sorted(path for path in (repository / TRUST_DIR).rglob("*") if path.is_file() and path.suffix != ".new")
    metadata.sort(key=lambda path: (path.name == _TIMESTAMP, path.parent.name != "after"))
    wanted = [*packs, *metadata]
    sizes = {path: path.stat().st_size for path in wanted}
    copied = moved = 0
    for path in wanted:
        there = folder / path.relative_to(repository)
        mutable = path in metadata
        if mutable or not there.is_file() or there.stat().st_size != sizes[path]:
            shelf.copy(path, there)
            copied, moved = copied + 1, moved + sizes[path]
        progress(copied, len(wanted))
    _remove_superseded(repository, folder, packs, lapsed)
    return Carried(copied, moved, len(wanted) - copied)


def _packs(repository: Path, courses: Collection[tuple[str, str]] | None) -> Iterator[Path]:
    found: set[tuple[str, str]] = set()
    for bundle in sorted((repository / BUNDLES_DIR).glob("*/*")):
        key = (bundle.parent.name, bundle.name.rpartition(".")[0])
        if courses is None or key in courses:
            found.add(key)
            yield from sorted(path for path in bundle.iterdir() if path.suffix != ".new")
    for publisher, course in sorted(set(courses or ()) - found):
        raise RequestError(f"course {publisher}/{course}: has no release", advice="see `alforja-hub list`")


def _remove_superseded(repository: Path, folder: Path, packs: Collection[Path], lapsed: Collection[str]) -> None:
    """Remove packs of carried courses that the repository itself no longer holds or offers."""
    carried = {(path.parent.parent.name, path.parent.name.rpartition(".")[0]) for path in packs}
    for bundle in (folder / BUNDLES_DIR).glob("*/*"):
        if (bundle.parent.name, bundle.name.rpartition(".")[0]) in carried:
            for path in bundle.iterdir():
                if _name(path) in lapsed or not (repository / path.relative_to(folder)).exists():
                    shelf.remove(path)
            if not any(bundle.iterdir()):
                bundle.rmdir()


def _name(path: Path) -> str:
    """A file's name below `bundles/`."""
    return "/".join(path.parts[-3:])

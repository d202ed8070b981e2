"""The trees that are measured: the samples' own versions, and trees derived from samples. The same bytes every time.

Nothing here measures; a tree is made once and kept in the scratch folder.
"""

import csv
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench import derive, results
from tests.bench.measure import SAMPLES


class NotHere(Exception):
    """Trees that cannot be made on this machine."""


@dataclass(frozen=True, slots=True)
class Family:
    """Versions of one tree, and which rows they are measured in."""

    name: str
    what: str
    versions: int
    make: Callable[[Path], None]  # fills FOLDER/v1, FOLDER/v2 ...
    installs: bool
    real: bool


def _evolving(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _unpack(f"evolving-{name}", folder / "unpacked")
        for version in (1, 2, 3):
            (folder / "unpacked" / name / f"v{version}").rename(folder / f"v{version}")
        shutil.rmtree(folder / "unpacked")

    return make


def _from(make: Callable[[Path, Path], None]) -> Callable[[Path], None]:
    def filled(folder: Path) -> None:
        make(_packages(), folder)

    return filled


def _zipped_by(encoder: str) -> Callable[[Path], None]:
    def filled(folder: Path) -> None:
        zip_by = derive.ENCODERS[encoder]
        for version in (1, 2):
            derive.make_books(_packages(), folder / f"v{version}", edited=version == 2, zip_by=zip_by)

    return filled


def _database(folder: Path) -> None:
    derive.make_database(tree(FAMILIES["media"], 1) / "content.sqlite", folder)


def _stamped(folder: Path) -> None:
    derive.make_stamped(tree(FAMILIES["site"], 1), folder)


_EPUB = "EPUBs, some texts edited, zipped anew by "
FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family("olx", "an Open edX course, from its history", 3, _evolving("olx"), True, True),
        Family("site", "a site built from a curriculum's history", 3, _evolving("site"), True, True),
        Family("media", "media, archives and a database with edited parts", 3, _evolving("media"), True, True),
        Family("epub-zlib", _EPUB + "Python's zipfile (zlib 6)", 2, _zipped_by("zlib"), False, False),
        Family("epub-7z5", _EPUB + "7-Zip -mx5", 2, _zipped_by("7z5"), False, False),
        Family("epub-7z9", _EPUB + "7-Zip -mx9", 2, _zipped_by("7z9"), False, False),
        Family("epub-java", _EPUB + "java.util.zip", 2, _zipped_by("java"), False, False),
        Family("epub-jszip", _EPUB + "JSZip", 2, _zipped_by("jszip"), False, False),
        Family("sqlite", "a database: rows changed, added, deleted; VACUUM", 2, _database, False, False),
        Family("image", "8 MiB of a disk: 200 small edits, an insertion", 2, _from(derive.make_image), False, False),
        Family("stamped", "a site of which every page tells when it was built", 2, _stamped, False, False),
        Family("moved", "lessons split, merged, renamed; sections moved", 2, _from(derive.make_moved), False, False),
        Family("jpeg", "all JPEGs of the packages", 1, _from(derive.make_jpegs), True, False),
    )
}  # fmt: skip


def tree(family: Family, version: int) -> Path:
    """One version of a family; made if it is not there."""
    folder = results.scratch() / "trees" / family.name
    if not folder.is_dir():
        fresh = folder.with_name(f"{family.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            family.make(fresh)
        except derive.EncoderMissing as missing:
            shutil.rmtree(fresh)
            raise NotHere(str(missing)) from missing
        fresh.rename(folder)
    return folder / f"v{version}"


def families_of_packages() -> list[str]:
    """Packages of the samples that are there in more than one version."""
    with (SAMPLES / "packages.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    count = Counter((row["repo"], row["path_in_repo"]) for row in rows)
    again = Counter((row["format"], row["id"]) for row in rows)
    return sorted({" ".join(name) for counter in (count, again) for name, times in counter.items() if times > 1})


def _packages() -> Path:
    folder = results.scratch() / "packages"
    if not folder.is_dir():
        fresh = folder.with_name("packages.new")
        shutil.rmtree(fresh, ignore_errors=True)
        _unpack("packages", fresh)
        fresh.rename(folder)
    return folder


def _unpack(name: str, target: Path) -> None:
    target.mkdir(parents=True)
    with subprocess.Popen(
        ["zstd", "-dc", "--long=31", str(SAMPLES / f"{name}.tar.zst")], stdout=subprocess.PIPE
    ) as packed:
        subprocess.run(["tar", "-xf", "-", "-C", str(target)], stdin=packed.stdout, check=True)
    if packed.returncode:
        raise NotHere(f"{name}.tar.zst: zstd ended with {packed.returncode}")

"""A hub without signatures: builds real packs of trees given as {path: bytes}, and offers them."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from alforja_hub.build import Builder, Kept, kept_frames, write_pack
from alforja_node.offers import Offer
from alforja_packaging.course import Course, Lesson, Section
from alforja_packaging.frames import NEEDS_ZLIB, Frame, Needs
from alforja_packaging.index import parse_head, sign_name
from alforja_packaging.layout import bundle_path, file_path, part_of, path_key
from alforja_packaging.manifest import File, Manifest

Tree = Mapping[str, bytes]


class InlineExecutor(Executor):
    """Runs everything at once, where it is asked for."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run and give a finished future."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class SimulatedHub:
    """Publishes trees into a repository folder. A lesson is a top-level folder of the tree."""

    def __init__(self, root: Path, publisher: str = "moe", able: Needs = NEEDS_ZLIB) -> None:
        self.repository, self.publisher = root / "repository", publisher
        self._files = root / "files"
        self._builder = Builder(
            lambda digest: self._files / file_path(digest), root / "cache", InlineExecutor(), able=able
        )
        self._releases: dict[str, list[tuple[Manifest, Offer]]] = {}

    @property
    def offers(self) -> tuple[Offer, ...]:
        """All releases on offer."""
        return tuple(offer for releases in self._releases.values() for _, offer in releases)

    def manifest_of(self, course: str) -> Manifest:
        """The newest manifest of a course."""
        return self._releases[course][-1][0]

    def publish(self, course: str, tree: Tree, *, updates_kept: int = 8) -> Offer:
        """Publish the next release of a course."""
        releases = self._releases.setdefault(course, [])
        manifest = make_manifest(self.publisher, course, len(releases) + 1, tree)
        for data in tree.values():
            path = self._files / file_path(hashlib.sha256(data).digest())
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        folder = self.repository / "bundles" / self.publisher
        kept = Kept()
        if releases:
            older = releases[-1][0]
            name = f"{course}.{older.release}/install"
            index = parse_head((folder / name).read_bytes(), None).index
            kept = kept_frames(manifest, older, index.frames, index.packs, name)
        held = [older for older, _ in reversed(releases[-updates_kept:])]
        packs = self._builder.build(manifest, kept, held, _quiet)
        for pack in packs:
            write_pack(folder, pack)
        digest, length = sign_name(manifest)
        custom = {
            "install": packs[0].stated,
            "from": {str(older.release): pack.stated for older, pack in zip(held, packs[1:], strict=True)},
        }
        offer = Offer(self.publisher, course, manifest.release, digest, length, custom)
        releases.append((manifest, offer))
        return offer

    def pack(self, course: str, release: int, name: str) -> Path:
        """Where a pack lies."""
        return self.repository / bundle_path(self.publisher, course, release) / name

    def frames(self, course: str, release: int, name: str, held: Manifest | None = None) -> tuple[Frame, ...]:
        """The frames that a pack's index names."""
        return parse_head(self.pack(course, release, name).read_bytes(), held).index.frames


def make_manifest(publisher: str, course: str, release: int, tree: Tree) -> Manifest:
    """Make the manifest of a tree: a lesson for each top-level folder."""
    files = tuple(
        File(path, len(data), hashlib.sha256(data).digest())
        for path, data in sorted(tree.items(), key=lambda item: path_key(item[0]))
    )
    folders: dict[str, list[File]] = {}
    for file in files:
        folders.setdefault(file.path.partition("/")[0] if "/" in file.path else "", []).append(file)
    lessons = tuple(
        Lesson(
            f"lesson-{number}",
            {"en": name or "start"},
            tuple(one.path for one in inside if part_of(one.path, one.size) == "core"),
            tuple(one.path for one in inside if part_of(one.path, one.size) == "rich"),
        )
        for number, (name, inside) in enumerate(folders.items())
    )
    return Manifest(
        publisher, release, Course(course, {"en": course}, sections=(Section({"en": "all"}, lessons),)), files
    )


def _quiet(what: str, done: int, total: int) -> None:
    pass

"""Keep a hub's own folders small: imported files that nothing names, and what was computed and is seldom asked for.

Whoever calls holds the hub's lock, so no publish and no import is under way.
Interrupted anywhere, it can be run again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from alforja_hub import shelf
from alforja_hub.keeping import Lapses, end_of_grace, note_lapsed
from alforja_hub.settings import HubSettings
from alforja_hub.upkeep import Lapsed, Upkeep
from alforja_hub.workspace import Workspace
from alforja_packaging.errors import StoreError
from alforja_packaging.layout import BUNDLES_DIR, MANIFEST_NAME
from alforja_packaging.manifest import parse_manifest

_ROOM = "workspace"  # how files of the workspace are told from packs among what has lapsed


@dataclass(frozen=True, slots=True)
class Cached:
    """What was computed once: its file, the bytes of it and of what is said beside it, and when it was last of use."""

    path: Path
    size: int
    used: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is to be done: files of the workspace that go, or wait for their time, and what of the cache goes."""

    remove: tuple[Lapsed, ...]
    waiting: tuple[Lapsed, ...]
    cached: tuple[Cached, ...]
    lapses: Lapses


class Sweeper:
    """The workspace and the cache of one hub."""

    def __init__(self, settings: HubSettings, workspace: Workspace, upkeep: Upkeep) -> None:
        self._settings, self._workspace, self._upkeep = settings, workspace, upkeep

    def plan(self, now: datetime, grace_days: int | None = None) -> Sweep:
        """Decide what goes. Changes nothing; raises StoreError when a draft or a manifest cannot be read."""
        grace = self._settings.grace_days if grace_days is None else grace_days
        named = self._named()
        sizes = {f"{_ROOM}/{path.name}": size for path, size in self._workspace.files() if path.name not in named}
        lapses = note_lapsed(self._upkeep.read_lapses(), sizes, now, publisher=_ROOM, course="")
        lapsed = [Lapsed(name, size, end_of_grace(lapses, name, grace)) for name, size in sorted(sizes.items())]
        proven = lapses.proven(now)
        return Sweep(
            remove=tuple(one for one in lapsed if one.until <= proven),
            waiting=tuple(one for one in lapsed if one.until > proven),
            cached=tuple(choose_unused(self._cached(), self._settings.cache_bytes_max)),
            lapses=lapses,
        )

    def carry_out(self, sweep: Sweep) -> None:
        """Do what was planned: note since when, then remove."""
        self._upkeep.put_lapses(sweep.lapses)
        for one in sweep.remove:
            shelf.remove(self._workspace.path_of(bytes.fromhex(one.name.rpartition("/")[2])))
        for cached in sweep.cached:
            shelf.remove(cached.path.with_suffix(".json"))  # first: without it the other file is not looked at
            shelf.remove(cached.path)

    def _named(self) -> set[str]:
        """The digests that a draft names, or the manifest of a release: one that has lapsed stays for its grace."""
        manifests = [self._workspace.draft_of(course) for course in self._workspace.drafts()]
        named = {content.digest.hex() for manifest in manifests for content in manifest.contents}
        for path in (self._settings.repository / BUNDLES_DIR).glob(f"*/*/{MANIFEST_NAME}"):
            try:
                named |= {content.digest.hex() for content in parse_manifest(path.read_bytes()).contents}
            except OSError as error:
                raise StoreError(f"{path}: cannot be read ({error.strerror})") from None
        return named

    def _cached(self) -> Iterator[Cached]:
        for path in self._settings.cache.glob("*/*/*"):
            if path.suffix != ".json":
                about = path.with_suffix(".json")
                found = path.stat()
                yield Cached(path, found.st_size + (about.stat().st_size if about.exists() else 0), found.st_mtime)


def choose_unused(cached: Iterable[Cached], most: int) -> list[Cached]:
    """Choose what has been of no use for longest, so that what is left has at most so many bytes."""
    found = sorted(cached, key=lambda one: (one.used, one.path), reverse=True)
    gone = []
    left = most
    for one in found:
        left -= one.size
        if left < 0:
            gone.append(one)
    return gone

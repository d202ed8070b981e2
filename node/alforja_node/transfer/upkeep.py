"""Keep the store in order: what is whole, what nothing needs, what has rotted."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alforja_node import disk
from alforja_node.digests import DigestSet
from alforja_node.ledger import Ledger, Release
from alforja_node.store import Store
from alforja_packaging.errors import AlforjaError, StoreError
from alforja_packaging.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Kept:
    """A release of the ledger with its manifest, and the contents of it that are not here."""

    release: Release
    manifest: Manifest
    missing: frozenset[bytes]


async def load_releases(store: Store, ledger: Ledger) -> tuple[Kept, ...]:
    """Read all releases of the ledger. One whose manifest is lost is left out: it is fetched again."""
    held = await ledger.held()
    kept = []
    for release in await ledger.releases():
        with suppress(AlforjaError):
            manifest = await asyncio.to_thread(store.get_manifest, release.bundle)
            missing = frozenset(content.digest for content in manifest.contents if content.digest not in held)
            kept.append(Kept(release, manifest, missing))
    return tuple(kept)


async def prune(store: Store, ledger: Ledger, *, dry_run: bool = False) -> Mapping[str, int]:
    """Remove every file that no active, previous or incoming release needs.

    Returns how many files and bytes are (or would be) freed. Never touches what
    any course's releases share.
    """
    releases = await ledger.releases()
    needed = await asyncio.to_thread(_digests_of, store, releases)
    files = size = 0
    for folder in await asyncio.to_thread(store.folders):
        freed = await asyncio.to_thread(_not_needed, folder, needed)
        files, size = files + len(freed), size + sum(size for _, size in freed)
        digests = [bytes.fromhex(name) for name, _ in freed if len(name) == 64]
        if digests and not dry_run:
            # Ledger first: a cut between the two leaves files nobody counts on, not the reverse.
            await ledger.forget_files(digests)
            for digest in digests:
                await asyncio.to_thread(store.remove, digest)
    if not dry_run:
        await asyncio.to_thread(_remove_manifests, store, {one.bundle for one in releases})
    return {"files": files, "bytes": size}


async def scrub(store: Store, ledger: Ledger, progress: Callable[[int, int], None]) -> frozenset[bytes]:
    """Read every held file again; note and remove those that have rotted, and give their digests."""
    count, _ = await ledger.held_size()
    rotten: list[bytes] = []
    done, last = 0, b""
    while some := await ledger.held_after(last):
        for digest, size in some:
            if not await asyncio.to_thread(_is_sound, store, digest, size):
                rotten.append(digest)
            done, last = done + 1, digest
            progress(done, count)
    await ledger.mark_damaged(rotten)
    for digest in rotten:
        with suppress(StoreError):
            await asyncio.to_thread(store.remove, digest)
    return frozenset(rotten)


def _is_sound(store: Store, digest: bytes, size: int) -> bool:
    with suppress(StoreError):
        return disk.digest_of(store.path_of(digest)) == (digest, size)
    return False


def _digests_of(store: Store, releases: Iterable[Release]) -> DigestSet:
    """All digests that some releases name."""
    digests = DigestSet()
    for release in releases:
        try:
            digests.update(store.digests_in(release.bundle, release.digest))
        except StoreError:
            raise StoreError(
                "store: the manifest of a release cannot be read, so nothing is removed",
                advice="run `alforja-node verify --repair` with a source, then prune again",
            ) from None
    return digests


def _not_needed(folder: Path, needed: DigestSet) -> list[tuple[str, int]]:
    """Names and sizes of the files in a folder of the store that nothing needs."""
    with disk.reporting(folder):
        return [
            (path.name, path.stat().st_size)
            for path in sorted(folder.iterdir())
            if len(path.name) != 64 or bytes.fromhex(path.name) not in needed
        ]


def _remove_manifests(store: Store, kept: set[str]) -> None:
    for bundle in store.manifests():
        if bundle not in kept:
            store.remove_manifest(bundle)

"""Keep the store in order: what is whole, what nothing needs, what has rotted."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from alforja_node import disk
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
            kept.append(Kept(release, manifest, frozenset(manifest.number_of) - held.keys()))
    return tuple(kept)


async def prune(store: Store, ledger: Ledger, *, dry_run: bool = False) -> Mapping[str, int]:
    """Remove every file that no active, previous or incoming release needs.

    Returns how many files and bytes are (or would be) freed. Never touches what
    any course's releases share.
    """
    releases = await ledger.releases()
    kept = await load_releases(store, ledger)
    if len(kept) < len(releases):
        raise StoreError(
            "store: the manifest of a release cannot be read, so nothing is removed",
            advice="run `alforja-node verify --repair` with a source, then prune again",
        )
    needed = {digest for one in kept for digest in one.manifest.number_of}
    on_disk = await asyncio.to_thread(lambda: list(store.held_on_disk()))
    freed = [(name, size) for name, size in on_disk if len(name) != 64 or bytes.fromhex(name) not in needed]
    if not dry_run:
        digests = [bytes.fromhex(name) for name, _ in freed if len(name) == 64]
        # Ledger first: a cut between the two leaves files nobody counts on, not the reverse.
        await ledger.forget_files(digests)
        for digest in digests:
            await asyncio.to_thread(store.remove, digest)
        await asyncio.to_thread(_remove_manifests, store, {one.bundle for one in releases})
    return {"files": len(freed), "bytes": sum(size for _, size in freed)}


async def scrub(store: Store, ledger: Ledger, progress: Callable[[int, int], None]) -> frozenset[bytes]:
    """Read every held file again; note and remove those that have rotted, and give their digests."""
    held = await ledger.held()
    rotten = []
    for done, (digest, size) in enumerate(sorted(held.items())):
        path = store.path_of(digest)
        try:
            got = await asyncio.to_thread(disk.digest_of, path)
        except StoreError:
            got = (b"", -1)
        if got != (digest, size):
            rotten.append(digest)
        progress(done + 1, len(held))
    await ledger.mark_damaged(rotten)
    for digest in rotten:
        with suppress(StoreError):
            await asyncio.to_thread(store.remove, digest)
    return frozenset(rotten)


def _remove_manifests(store: Store, kept: set[str]) -> None:
    for bundle in store.manifests():
        if bundle not in kept:
            store.remove_manifest(bundle)

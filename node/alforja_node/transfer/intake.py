"""Take what arrives into store and ledger, and say what is still on its way.

Knows nothing of links: it is handed an arrived frame, or asked for the ways that
remain. Whatever goes wrong with one course leaves the others alone.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from alforja_node import disk
from alforja_node.ledger import Ledger, Release
from alforja_node.offers import CourseKey, Hop, Offer, cheapest_route, describe, newest
from alforja_node.planner import Have, Way
from alforja_node.store import Store
from alforja_node.transfer.arrival import Arrival, DamagedBase, head_path, open_arrival
from alforja_node.transfer.outcome import Outcome
from alforja_node.transfer.upkeep import load_releases
from alforja_node.usable import UsableLessons
from alforja_packaging.errors import AlforjaError, FormatError, LinkError, VerifyError
from alforja_packaging.index import sign_name
from alforja_packaging.manifest import Manifest, format_manifest

_TRIES = 2  # a broken pack is fetched once more; broken again, its course waits for another contact


class Intake:
    """The receiving end of one contact. `failures` are the errors that ended something."""

    def __init__(self, store: Store, ledger: Ledger, outcome: Outcome) -> None:
        self._store, self._ledger, self._outcome = store, ledger, outcome
        self._offers: tuple[Offer, ...] = ()
        self._arrivals: dict[CourseKey, Arrival] = {}
        self._held: dict[bytes, int] = {}
        self._usable: dict[CourseKey, UsableLessons] = {}
        self._given_up: set[CourseKey] = set()
        self._failed: Counter[CourseKey] = Counter()
        self.failures: list[AlforjaError] = []

    def expect_offers(self, offers: tuple[Offer, ...]) -> None:
        """Work towards the newest of these offers."""
        self._offers = offers

    def arrival_of(self, key: CourseKey) -> Arrival:
        """The open arrival of a course that a plan names."""
        return self._arrivals[key]

    async def ways(self) -> list[Way]:
        """For each subscribed course that is not up to date: its next hop, and what is there of it."""
        self._held = dict(await self._ledger.held())
        releases = await load_releases(self._store, self._ledger)
        active = {one.release.key: one.release for one in releases if one.release.state == "active" and not one.missing}
        wanted = newest(self._offers, await self._ledger.refused())
        ways = []
        for key in sorted(await self._ledger.subscriptions() - self._given_up):
            offer = wanted.get(key)
            if offer is None or (key in active and _is_current(active[key], offer)):
                continue
            way = await self._way_unless_broken(offer)
            if way is not None:
                ways.append(way)
        return ways

    async def _way_unless_broken(self, offer: Offer) -> Way | None:
        """Find the way to an offer; what is broken on it is dropped, and the way looked for once more."""
        while offer.key not in self._given_up:
            try:
                return await self._way_to(offer)
            except (VerifyError, FormatError, DamagedBase) as error:
                await self.mend(offer.key, error)
                self._held = dict(await self._ledger.held())
        return None

    async def _way_to(self, offer: Offer) -> Way | None:
        manifests = await asyncio.to_thread(self._manifests_of, offer)
        whole = {
            release: one for release, one in manifests.items() if all(digest in self._held for digest in one.number_of)
        }
        if offer.release in whole:  # cut off just before it was activated
            await self._make_active(offer, whole[offer.release])
            return None
        route = cheapest_route(offer, self._offers, frozenset(whole))
        if not route:
            self.give_up(offer.key, LinkError(f"{describe(offer)}: no way to it is on offer"))
            return None
        hop = route[0]
        arrival = self._arrivals.get(offer.key)
        if arrival is None or arrival.hop != hop:
            arrival = await self._open(hop, whole.get(hop.from_release or 0), manifests.get(hop.offer.release))
        if arrival is None:
            return Way(hop, Have(head=await asyncio.to_thread(disk.length_of, head_path(self._store, hop))))
        for number in await asyncio.to_thread(arrival.waiting, self._held):
            await self.take_in(arrival, number)
        return await asyncio.to_thread(arrival.way, self._held)

    def _manifests_of(self, offer: Offer) -> dict[int, Manifest]:
        """The kept manifests of a course; one that rotted, or is not what is signed now, is left out."""
        manifests = {}
        for bundle in self._store.manifests():
            if bundle.startswith(f"bundles/{offer.publisher}/{offer.course}."):
                with suppress(AlforjaError):
                    manifest = self._store.get_manifest(bundle)
                    if bundle != offer.bundle or sign_name(manifest)[0] == offer.manifest_digest:
                        manifests[manifest.release] = manifest
        return manifests

    async def _open(self, hop: Hop, held: Manifest | None, known: Manifest | None) -> Arrival | None:
        try:
            arrival = await asyncio.to_thread(open_arrival, self._store, hop, held, known)
        except (VerifyError, FormatError):
            self._outcome.wasted += hop.head
            raise
        if arrival is not None:
            self._arrivals[hop.offer.key] = arrival
            if arrival.manifest is not None:
                await self._expect(hop.offer, arrival.manifest)
        return arrival

    async def _expect(self, offer: Offer, manifest: Manifest) -> None:
        """Keep a verified manifest, so that lessons are usable before the release is whole."""
        await asyncio.to_thread(self._store.put_manifest, offer.bundle, format_manifest(manifest))
        known = {one.release: one.state for one in await self._ledger.releases() if one.key == offer.key}
        if offer.release not in known:
            await self._ledger.expect(
                Release(offer.publisher, offer.course, offer.release, "incoming", offer.manifest_digest)
            )

    async def mend(self, key: CourseKey, error: AlforjaError) -> None:
        """Draw the consequence of a broken pack or a rotted base: begin anew, or give the course up for now."""
        self._arrivals.pop(key, None)
        self._failed[key] += 1
        if isinstance(error, DamagedBase):
            await self._ledger.mark_damaged(error.digests)
        if self._failed[key] >= _TRIES:
            self.give_up(key, error)

    def give_up(self, key: CourseKey, error: AlforjaError) -> None:
        """Leave a course for this contact; the others go on."""
        self._given_up.add(key)
        self._arrivals.pop(key, None)
        self.note_failure(error)

    def note_failure(self, error: AlforjaError) -> None:
        """Keep an error for whoever asked for the contact, naming the source."""
        source = self._outcome.source
        self.failures.append(error)
        self._outcome.errors.append(error.message if source in error.message else f"{source}: {error.message}")

    async def take_in(self, arrival: Arrival, number: int) -> None:
        """Decode a frame that has arrived whole, and take in the files it completes.

        Raises VerifyError, DamagedBase, StoreError.
        """
        try:
            taken = await asyncio.to_thread(arrival.decode, number, self._held)
        except VerifyError:
            self._outcome.wasted += arrival.opened.index.frames[number].length
            raise
        await self._ledger.mark_held(taken)
        # After the ledger: a cut between the two costs nothing, the other order a refetch.
        await asyncio.to_thread(arrival.clear, number)
        assert arrival.manifest is not None
        self._note_taken(arrival.manifest, taken)

    async def activate(self, hop: Hop) -> None:
        """Make a whole release the one that is served (or, within a route, the next base)."""
        offer = hop.offer
        arrival = self._arrivals[offer.key]
        if arrival.manifest is not None:
            await self._make_active(offer, arrival.manifest)
            return
        try:
            manifest, taken = await asyncio.to_thread(arrival.finish)
        except (VerifyError, DamagedBase) as error:
            self._outcome.wasted += sum(frame.length for frame in arrival.opened.index.frames)
            await self.mend(offer.key, error)
            return
        await self._ledger.mark_held(taken)
        self._note_taken(manifest, taken)
        await self._make_active(offer, manifest)

    async def _make_active(self, offer: Offer, manifest: Manifest) -> None:
        """Serve a whole release, unless it only is a stage on the way to a newer one."""
        await self._expect(offer, manifest)
        if newest(self._offers, await self._ledger.refused()).get(offer.key) == offer:
            await self._ledger.activate(*offer.key, offer.release, offer.manifest_digest)
            self._outcome.activated.append(describe(offer))
        self._arrivals.pop(offer.key, None)
        self._usable.pop(offer.key, None)
        await asyncio.to_thread(self._store.drop_partial, offer.bundle)

    def _note_taken(self, manifest: Manifest, taken: Sequence[tuple[bytes, int]]) -> None:
        """Keep count of what is held, and of the lessons that are usable with it."""
        key = (manifest.publisher, manifest.course.id)
        if key not in self._usable:
            self._usable[key] = UsableLessons(manifest, self._held)
        for (publisher, course), waiting in self._usable.items():  # courses may share files
            usable = waiting.take([digest for digest, _ in taken])
            self._outcome.lessons_usable += [f"{publisher}/{course}/{lesson}" for lesson in usable]
        self._held.update(taken)

    async def pending(self) -> list[str]:
        """Name the offers that are wanted and not active yet."""
        active = {one.key: one.release for one in await self._ledger.releases() if one.state == "active"}
        wanted = newest(self._offers, await self._ledger.refused())
        subscribed = await self._ledger.subscriptions()
        return [
            describe(offer)
            for key, offer in sorted(wanted.items())
            if key in subscribed and active.get(key, 0) < offer.release
        ]


def _is_current(release: Release, offer: Offer) -> bool:
    """Tell whether what is served is as new as an offer, and, at the same number, the same."""
    if release.release != offer.release:
        return release.release > offer.release
    return release.digest == offer.manifest_digest

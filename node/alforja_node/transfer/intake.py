"""Take what arrives into store and ledger, and say what is still on its way.

Knows nothing of links: it is handed an arrived frame, or asked for the ways that
remain. Whatever goes wrong with one course leaves the others alone.
"""

import asyncio
from collections import Counter
from collections.abc import Container

from alforja_node import disk
from alforja_node.digests import DigestSet
from alforja_node.ledger import Ledger, Release
from alforja_node.offers import CourseKey, Hop, Offer, cheapest_route, describe, hops_towards, needs_of, newest
from alforja_node.planning.ways import Have, Way, urgency_of
from alforja_node.store import Store
from alforja_node.transfer.arrival import Arrival, DamagedBase, Means, Taken, head_path, open_arrival
from alforja_node.transfer.outcome import Outcome
from alforja_node.usable import UsableLessons
from alforja_packaging.errors import AlforjaError, FormatError, LinkError, VerifyError
from alforja_packaging.layout import Start, bundle_path, parse_bundle_path
from alforja_packaging.manifest import Manifest

_TRIES = 2  # what is broken is fetched once more: it may have been damaged on the way
_DAMAGES = 4  # a disk under which more rots during one contact is to be seen by a person


class Intake:
    """The receiving end of one contact. `failures` are the errors that ended something."""

    def __init__(self, store: Store, ledger: Ledger, outcome: Outcome, means: Means) -> None:
        self._store, self._ledger, self._outcome, self._means = store, ledger, outcome, means
        self._offers: tuple[Offer, ...] = ()
        self._arrivals: dict[CourseKey, Arrival] = {}
        self._held: DigestSet | None = None
        self._whole: dict[str, bool] = {}  # whether every file of a kept release is held, by bundle
        self._usable: dict[CourseKey, UsableLessons] = {}
        self._given_up: set[CourseKey] = set()
        self._failed: Counter[tuple[str, int | None]] = Counter()  # by pack, and by frame where it was one
        self._damages: Counter[CourseKey] = Counter()
        self._set_aside: dict[str, Hop] = {}
        self._reasons: dict[CourseKey, AlforjaError] = {}  # why the last pack of a course was set aside
        self.failures: list[AlforjaError] = []

    def expect_offers(self, offers: tuple[Offer, ...]) -> None:
        """Work towards the newest of these offers."""
        self._offers = offers

    def arrival_of(self, key: CourseKey) -> Arrival:
        """The open arrival of a course that a plan names."""
        return self._arrivals[key]

    async def ways(self) -> list[Way]:
        """For each subscribed course that is not up to date: its next hop, and what is there of it."""
        serving = {one.key: one for one in await self._ledger.releases() if one.state == "active"}
        wanted = newest(self._offers, await self._ledger.refused())
        ways = []
        for key in sorted(await self._ledger.subscriptions() - self._given_up):
            offer, active = wanted.get(key), serving.get(key)
            if offer is None or (
                active and _is_current(active, offer) and await self._is_whole(active.bundle, active.digest, active)
            ):
                continue
            way = await self._way_to(offer, served=active is not None)
            if way is not None:
                ways.append(way)
        return ways

    async def _way_to(self, offer: Offer, *, served: bool) -> Way | None:
        """Find the way to an offer; what is broken on it is dropped, and the way looked for once more."""
        urgency = urgency_of(offer)
        while offer.key not in self._given_up:
            arrival = self._arrivals.get(offer.key)
            if arrival is None:
                hop = await self._next_hop(offer)
                if hop is None:
                    return None
                there = await asyncio.to_thread(disk.length_of, head_path(self._store, hop))
                if there < hop.head:
                    return Way(hop, Have(head=there), served=served, urgency=urgency)
                arrival = await self._open(hop)
            if arrival is not None and await self._take_in_waiting(arrival):
                held = await self._load_held()
                return await asyncio.to_thread(arrival.way, held, served=served, urgency=urgency)
        return None

    async def _next_hop(self, offer: Offer) -> Hop | None:
        """Choose the next pack on the way to an offer; None when it is there already, or cannot be reached."""
        hops = hops_towards(offer, self._offers)
        whole = await self._find_whole(offer, {hop.start for hop in hops})
        if Start(offer.release) in whole:  # cut off just before it was activated
            await self._make_active(offer, await asyncio.to_thread(self._store.get_manifest, offer.bundle))
            return None
        able = self._means.able(needs_of(hops))
        route = cheapest_route(
            offer, [hop for hop in hops if not hop.needs & ~able and hop.pack not in self._set_aside], whole
        )
        reason = self._reasons.pop(offer.key, None)
        if route:
            if reason is not None:
                self._outcome.refused.append(self._naming_the_source(reason))
                await asyncio.to_thread(self._drop_set_aside, offer.key)
            return route[0]
        self.give_up(offer.key, reason or LinkError(f"{describe(offer)}: no way to it is on offer"))
        return None

    async def _find_whole(self, offer: Offer, starts: Container[Start | None]) -> frozenset[Start]:
        """The kept releases of which every file is held: of a course, and of other courses those among `starts`."""
        known = {one.bundle: one for one in await self._ledger.releases()}
        signed = {one.bundle: one.manifest_digest for one in self._offers}
        whole = set()
        for bundle in await asyncio.to_thread(self._store.manifests):
            publisher, course, release = parse_bundle_path(bundle)
            start = Start(release, "" if course == offer.course else course)
            if publisher != offer.publisher or (start.course and start not in starts):
                continue
            row = known.get(bundle)
            digest = signed.get(bundle) or (row.digest if row else None)
            if await self._is_whole(bundle, digest, row):
                whole.add(start)
        return frozenset(whole)

    async def _is_whole(self, bundle: str, digest: bytes | None, row: Release | None) -> bool:
        """Tell whether a kept manifest is the one of a digest, and all of its files are held."""
        if bundle not in self._whole:
            sound = digest is not None and await asyncio.to_thread(self._store.has_manifest, bundle, digest)
            was_whole = row is not None and row.digest == digest and row.state != "incoming"
            sure = was_whole and not await self._ledger.damaged()  # then nothing needs to be read
            self._whole[bundle] = sound and digest is not None and (sure or await self._holds_all(bundle, digest))
        return self._whole[bundle]

    async def _holds_all(self, bundle: str, digest: bytes) -> bool:
        held = await self._load_held()
        digests = await asyncio.to_thread(self._store.digests_in, bundle, digest)
        return all(digest in held for digest in digests)

    async def _load_held(self) -> DigestSet:
        if self._held is None:
            self._held = await self._ledger.held()
        return self._held

    async def _open(self, hop: Hop) -> Arrival | None:
        """Open an index that has arrived; None when it is broken."""
        try:
            held = None
            if hop.start is not None:
                bundle = bundle_path(hop.offer.publisher, hop.start.course or hop.offer.course, hop.start.release)
                held = await asyncio.to_thread(self._store.get_manifest, bundle)
            arrival = await asyncio.to_thread(open_arrival, self._store, self._means, hop, held)
        except (VerifyError, FormatError) as error:
            self._outcome.wasted += hop.head
            await self.mend(hop, None, error)
            return None
        self._arrivals[hop.offer.key] = arrival
        if arrival.manifest is not None:
            await self._expect(hop.offer, arrival.manifest)
        return arrival

    async def _expect(self, offer: Offer, manifest: Manifest) -> None:
        """Keep a verified manifest, so that lessons are usable before the release is whole."""
        if not await asyncio.to_thread(self._store.has_manifest, offer.bundle, offer.manifest_digest):
            await asyncio.to_thread(self._store.put_manifest, offer.bundle, manifest)
        known = {one.release: one.state for one in await self._ledger.releases() if one.key == offer.key}
        if offer.release not in known:
            await self._ledger.expect(
                Release(offer.publisher, offer.course, offer.release, "incoming", offer.manifest_digest)
            )

    async def mend(self, hop: Hop, frame: int | None, error: AlforjaError) -> None:
        """Draw the consequence of a broken frame or index, or of a rotted base.

        What is broken comes once more; broken again, its pack is set aside for this
        contact, and the course comes another way, without what verified.
        """
        self._arrivals.pop(hop.offer.key, None)
        if isinstance(error, DamagedBase):
            await self._ledger.mark_damaged(error.digests)
            self._held = None
            self._whole.clear()
            self._damages[hop.offer.key] += 1
            if self._damages[hop.offer.key] >= _DAMAGES:
                self.give_up(hop.offer.key, error)
            return
        self._failed[hop.pack, frame] += 1
        if self._failed[hop.pack, frame] >= _TRIES:
            self._set_aside[hop.pack] = hop
            self._reasons[hop.offer.key] = error

    def _drop_set_aside(self, key: CourseKey) -> None:
        for pack, hop in self._set_aside.items():
            if hop.offer.key == key:
                self._outcome.wasted += self._store.drop_pack(hop.offer.bundle, pack)

    def give_up(self, key: CourseKey, error: AlforjaError) -> None:
        """Leave a course for this contact; the others go on."""
        self._given_up.add(key)
        self._arrivals.pop(key, None)
        self.note_failure(error)

    def note_failure(self, error: AlforjaError) -> None:
        """Keep an error for whoever asked for the contact, naming the source."""
        self.failures.append(error)
        self._outcome.errors.append(self._naming_the_source(error))

    def _naming_the_source(self, error: AlforjaError) -> str:
        source = self._outcome.source
        return error.message if source in error.message else f"{source}: {error.message}"

    async def _take_in_waiting(self, arrival: Arrival) -> bool:
        for number in await asyncio.to_thread(arrival.waiting, await self._load_held()):
            if not await self.take_in(arrival, number):
                return False
        return True

    async def take_in(self, arrival: Arrival, number: int) -> bool:
        """Decode a frame that has arrived whole, and take in the files it completes; tell whether all went well.

        If not, the consequence is drawn already. Raises StoreError.
        """
        taken, fault = await asyncio.to_thread(arrival.decode, number, await self._load_held())
        await self._ledger.mark_held(taken)
        if fault is None:
            # After the ledger: a cut between the two costs nothing, the other order a refetch.
            await asyncio.to_thread(arrival.clear, number)
        assert arrival.manifest is not None
        await self._note_taken(arrival.manifest, taken)
        if fault is not None:
            self._outcome.wasted += arrival.opened.index.frames[number].length
            await self.mend(arrival.hop, number, fault)
        return fault is None

    async def activate(self, hop: Hop) -> None:
        """Make a whole release the one that is served (or, within a route, the next base)."""
        offer = hop.offer
        arrival = self._arrivals[offer.key]
        if arrival.manifest is not None:
            await self._make_active(offer, arrival.manifest)
            return
        try:
            manifest, taken = await asyncio.to_thread(arrival.finish)
        except (VerifyError, FormatError, DamagedBase) as error:
            self._outcome.wasted += arrival.cost - hop.head
            await self.mend(hop, None, error)
            return
        await self._ledger.mark_held(taken)
        await self._note_taken(manifest, taken)
        await self._make_active(offer, manifest)

    async def _make_active(self, offer: Offer, manifest: Manifest) -> None:
        """Serve a whole release, unless it only is a stage on the way to a newer one."""
        await self._expect(offer, manifest)
        if newest(self._offers, await self._ledger.refused()).get(offer.key) == offer:
            await self._ledger.activate(*offer.key, offer.release, offer.manifest_digest)
            self._outcome.activated.append(describe(offer))
        self._whole[offer.bundle] = True
        self._arrivals.pop(offer.key, None)
        self._usable.pop(offer.key, None)
        await asyncio.to_thread(self._store.drop_partial, offer.bundle)

    async def _note_taken(self, manifest: Manifest, taken: Taken) -> None:
        """Keep count of what is held, and of the lessons that are usable with it."""
        held = await self._load_held()
        key = (manifest.publisher, manifest.course.id)
        if key not in self._usable:
            self._usable[key] = await asyncio.to_thread(UsableLessons, manifest, held)
        for (publisher, course), waiting in self._usable.items():  # courses may share files
            usable = waiting.take([digest for digest, _ in taken])
            self._outcome.lessons_usable += [f"{publisher}/{course}/{lesson}" for lesson in usable]
        held.update(digest for digest, _ in taken)

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

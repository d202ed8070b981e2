"""One contact: refresh trust, plan, carry the plan out, and plan again until nothing is left.

No policy here: what to bring and in which order is the planner's, whom to believe
is `trust`'s. Cutting a contact off at any point loses nothing that has arrived.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol

from alforja_node import disk, session
from alforja_node.ledger import Ledger, Release
from alforja_node.offers import CourseKey, Hop, Offer, cheapest_route, describe, newest
from alforja_node.planner import Activate, Fetch, Have, Open, Plan, Way, plan_contact, runs_of
from alforja_node.sources import NotThere, Source
from alforja_node.store import Store
from alforja_node.transfer.arrival import Arrival, DamagedBase, head_path, open_arrival
from alforja_node.transfer.upkeep import load_releases
from alforja_packaging.errors import AlforjaError, FormatError, LinkError, VerifyError
from alforja_packaging.manifest import Manifest, format_manifest

_SYNC_EVERY_BYTES = 64 * 1024  # what a power cut may cost (docs/protocol.md section 6)
_SYNC_EVERY_S = 0.25


@dataclass(slots=True)
class Bytes:
    """Bytes of one kind, both ways."""

    received: int = 0
    sent: int = 0


@dataclass(slots=True)
class Outcome:
    """What a contact brought: what `sync --json` reports."""

    source: str
    trust: Bytes = field(default_factory=Bytes)
    manifest: Bytes = field(default_factory=Bytes)
    frames: Bytes = field(default_factory=Bytes)
    requests: int = 0
    wasted: int = 0
    stale_since: str | None = None
    lessons_usable: list[str] = field(default_factory=list)
    activated: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def received(self) -> int:
        """All bytes received."""
        return self.trust.received + self.manifest.received + self.frames.received

    @property
    def sent(self) -> int:
        """All bytes sent."""
        return self.trust.sent + self.manifest.sent + self.frames.sent

    def as_dict(self) -> dict[str, Any]:
        """Everything, as a program reads it."""
        return asdict(self) | {"received": self.received, "sent": self.sent}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is on offer, as trust has verified it."""

    offers: tuple[Offer, ...]
    stale_since: datetime | None = None


Refresh = Callable[[Source], Awaitable[Catalogue]]


class Watcher(Protocol):
    """Whoever wants to see a contact go on: a progress bar, a log, a page."""

    def state(self, state: session.State, what: str) -> None:
        """The contact has come to a state."""
        ...

    def plan(self, plan: Plan, left: int) -> None:
        """A plan was made; `left` bytes are to come."""
        ...

    def moved(self, received: int) -> None:
        """So many bytes more have been received."""
        ...


class Contact:
    """Carries out one contact with one source. `run` it, or ask it to `plan` only."""

    def __init__(
        self, store: Store, ledger: Ledger, source: Source, refresh: Refresh, *,
        budget: int | None = None, retries: int = 5, reserve_bytes: int = 0, watcher: Watcher | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._store, self._ledger, self._source, self._refresh = store, ledger, source, refresh
        self._budget, self._retries, self._reserve = budget, retries, reserve_bytes
        self._watcher, self._pause = watcher, pause
        self._state = session.State.IDLE
        self._offers: tuple[Offer, ...] | None = None
        self._arrivals: dict[CourseKey, Arrival] = {}
        self._given_up: set[CourseKey] = set()
        self._failed: Counter[str] = Counter()
        self.outcome = Outcome(source.name)
        self.failures: list[AlforjaError] = []

    async def run(self) -> Outcome:
        """Bring all that is wanted, on offer and within budget.

        Link errors are retried with growing pauses while there is progress. Errors
        that concern one course are noted in the outcome and do not stop the others;
        trust and disk errors are raised.
        """
        attempt = 0
        while True:
            before = self.outcome.received
            try:
                await self._trust()
                await self._carry_on()
                break
            except LinkError as error:
                self._advance(session.LinkLost())
                attempt = attempt + 1 if self.outcome.received == before else 1
                if isinstance(error, NotThere) or attempt > self._retries or self._left() == 0:
                    self.outcome.errors.append(error.message)
                    self.failures.append(error)
                    self._advance(session.ContactOver())
                    break
                await self._pause(session.pause_s(attempt, random.random()))  # noqa: S311 (jitter, not a secret)
                self._advance(session.Retry())
        self.outcome.pending = await self._pending()
        return self.outcome

    async def plan(self) -> Plan:
        """Refresh trust, bring the indexes, and give the plan for the rest; nothing is activated."""
        await self._trust()
        while True:
            plan = plan_contact(await self._ways(), self._left())
            opens = [step for step in plan if isinstance(step, Open)]
            if not opens:
                self._advance(session.ContactOver())
                return plan
            await self._carry_out_opens(opens)

    async def close(self) -> None:
        """Let go of the source."""
        await self._source.close()

    async def _trust(self) -> None:
        if self._state is session.State.IDLE:
            self._advance(session.LinkUp())
        if self._offers is None:  # once a contact: a retry goes on with what is verified
            with self._counted("trust"):
                catalogue = await self._refresh(self._source)
            self._offers = catalogue.offers
            self.outcome.stale_since = catalogue.stale_since.isoformat() if catalogue.stale_since else None
        self._advance(session.CatalogueVerified())

    async def _carry_on(self) -> None:
        while True:
            plan = plan_contact(await self._ways(), self._left())
            if self._watcher:
                self._watcher.plan(plan, sum(step.cost for step in plan))
            if not plan:
                self._advance(session.ContactOver())
                return
            for step in plan:
                if isinstance(step, Activate):
                    await self._activate(step)
            opens = [step for step in plan if isinstance(step, Open)]
            if opens:
                await self._carry_out_opens(opens)
            elif not any(isinstance(step, Activate) for step in plan):
                for run in runs_of(plan):
                    if not await self._fetch_run(run):
                        break

    # What is wanted, and what is there of it

    async def _ways(self) -> list[Way]:
        """For each subscribed course that is not up to date: its next hop, and what is there of it."""
        held = await self._ledger.held()
        releases = await load_releases(self._store, self._ledger)
        up_to_date = {
            one.release.key: one.release.release
            for one in releases
            if one.release.state == "active" and not one.missing
        }
        wanted = newest(self._offers or (), await self._ledger.refused())
        ways = []
        for key in sorted(await self._ledger.subscriptions() - self._given_up):
            offer = wanted.get(key)
            if offer is None or up_to_date.get(key, 0) >= offer.release:
                continue
            way = await self._way_unless_broken(offer, held)
            if way is not None:
                ways.append(way)
        return ways

    async def _way_unless_broken(self, offer: Offer, held: Mapping[bytes, int]) -> Way | None:
        """Find the way to an offer; what is broken on it is dropped, and the way looked for once more."""
        while offer.key not in self._given_up:
            try:
                return await self._way_to(offer, held)
            except (VerifyError, FormatError, DamagedBase) as error:
                held = await self._mend(offer.key, error)
        return None

    async def _mend(self, key: CourseKey, error: AlforjaError) -> Mapping[bytes, int]:
        """Draw the consequence of a broken pack or a rotted base: refetch once, then give the course up for now."""
        arrival = self._arrivals.pop(key, None)
        if isinstance(error, DamagedBase):
            await self._ledger.mark_damaged(error.digests)
        self._failed[arrival.hop.pack if arrival else str(key)] += 1
        if max(self._failed.values()) > 1 or not arrival:
            self._give_up(key, error)
        return await self._ledger.held()

    async def _way_to(self, offer: Offer, held: Mapping[bytes, int]) -> Way | None:
        manifests = await asyncio.to_thread(self._manifests_of, offer.key)
        whole = {release: one for release, one in manifests.items() if all(digest in held for digest in one.number_of)}
        if offer.release in whole:  # cut off just before it was activated
            await self._make_active(offer, whole[offer.release])
            return None
        route = cheapest_route(offer, self._offers or (), frozenset(whole))
        if not route:
            self._give_up(offer.key, LinkError(f"{describe(offer)}: no way to it is on offer"))
            return None
        hop = route[0]
        arrival = self._arrivals.get(offer.key)
        if arrival is None or arrival.hop != hop:
            arrival = await self._open(hop, whole.get(hop.from_release or 0), manifests.get(hop.offer.release))
        if arrival is None:
            return Way(hop, Have(head=await asyncio.to_thread(disk.length_of, head_path(self._store, hop))))
        for number in await asyncio.to_thread(arrival.waiting, held):
            held = await self._decode(arrival, number, held)
        return await asyncio.to_thread(arrival.way, held)

    def _manifests_of(self, key: CourseKey) -> dict[int, Manifest]:
        manifests = {}
        for bundle in self._store.manifests():
            if bundle.startswith(f"bundles/{key[0]}/{key[1]}."):
                try:
                    manifest = self._store.get_manifest(bundle)
                except AlforjaError:  # rotted: it is fetched again
                    continue
                manifests[manifest.release] = manifest
        return manifests

    async def _open(self, hop: Hop, held: Manifest | None, known: Manifest | None) -> Arrival | None:
        try:
            arrival = await asyncio.to_thread(open_arrival, self._store, hop, held, known)
        except (VerifyError, FormatError):
            self._waste(hop.head)
            self._failed[str(hop.offer.key)] += 1
            if self._failed[str(hop.offer.key)] > 1:
                raise
            return None
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

    # Carrying out

    async def _carry_out_opens(self, opens: Sequence[Open]) -> None:
        for step in opens:
            self._advance(session.IndexWanted(), describe(step.hop.offer))
            try:
                await self._fetch_head(step)
            except (NotThere, VerifyError) as error:
                self._give_up(step.hop.offer.key, error)

    async def _fetch_head(self, step: Open) -> None:
        head, spare = head_path(self._store, step.hop), self._store.spare_path(step.hop.pack, step.hop.head)
        at, end = step.first, step.hop.head
        with self._counted("manifest"):
            async for chunk in self._source.stream(step.hop.pack, step.first, step.last):
                own, rest = chunk[: max(0, end - at)], chunk[max(0, end - at) :]
                if own:
                    await asyncio.to_thread(disk.write_at, head, at, own)
                if rest:
                    await asyncio.to_thread(disk.write_at, spare, max(at, end) - end, rest)
                    self.outcome.frames.received += len(rest)
                    self.outcome.manifest.received -= len(rest)
                at += len(chunk)
                self._moved(len(chunk))
        await asyncio.to_thread(disk.sync, head)

    async def _fetch_run(self, run: Sequence[Fetch]) -> bool:
        """Fetch neighbouring ranges by one request; tell whether all went well."""
        hop = run[0].hop
        arrival = self._arrivals[hop.offer.key]
        self._advance(session.FramesWanted(), describe(hop.offer))
        self._check_room(arrival, run)
        try:
            with self._counted("frames"):
                await self._receive(arrival, run)
        except NotThere as error:
            self._give_up(hop.offer.key, error)
            return False
        except (VerifyError, DamagedBase) as error:
            await self._mend(hop.offer.key, error)
            return False
        return True

    async def _receive(self, arrival: Arrival, run: Sequence[Fetch]) -> None:
        steps = list(run)
        step = steps.pop(0)
        at, unsynced, synced_at = step.first, 0, asyncio.get_running_loop().time()
        path = self._gathering(arrival, step)
        async for received in self._source.stream(step.pack, run[0].first, run[-1].last):
            self._moved(len(received))
            chunk = received
            while chunk:
                part = chunk[: step.last + 1 - at]
                frame = arrival.opened.index.frames[step.frame]
                await asyncio.to_thread(disk.write_at, path, at - frame.offset, part)
                chunk, at, unsynced = chunk[len(part) :], at + len(part), unsynced + len(part)
                now = asyncio.get_running_loop().time()
                if unsynced >= _SYNC_EVERY_BYTES and now - synced_at >= _SYNC_EVERY_S:
                    await asyncio.to_thread(disk.sync, path)
                    unsynced, synced_at = 0, now
                if at > step.last:
                    await self._frame_arrived(arrival, step)
                    if steps:
                        step = steps.pop(0)
                        path = self._gathering(arrival, step)

    def _gathering(self, arrival: Arrival, step: Fetch) -> Any:
        frame = arrival.opened.index.frames[step.frame]
        return self._store.arrived_path(step.pack, frame.offset, frame.length)

    async def _frame_arrived(self, arrival: Arrival, step: Fetch) -> None:
        frame = arrival.opened.index.frames[step.frame]
        if step.last + 1 == frame.offset + frame.length and arrival.manifest is not None:
            await self._decode(arrival, step.frame, await self._ledger.held())

    async def _decode(self, arrival: Arrival, number: int, held: Mapping[bytes, int]) -> Mapping[bytes, int]:
        try:
            taken = await asyncio.to_thread(arrival.decode, number, held)
        except VerifyError:
            self._waste(arrival.opened.index.frames[number].length)
            raise
        await self._ledger.mark_held(taken)
        # After the ledger: a cut between the two costs nothing, the other order a refetch.
        await asyncio.to_thread(arrival.clear, number)
        now = {**held, **dict(taken)}
        if arrival.manifest is not None:
            self._note_lessons(arrival.manifest, held, now)
        return now

    async def _activate(self, step: Activate) -> None:
        offer = step.hop.offer
        arrival = self._arrivals[offer.key]
        self._advance(session.ReleaseWhole(), describe(offer))
        if arrival.manifest is not None:
            await self._make_active(offer, arrival.manifest)
            return
        try:
            manifest, taken = await asyncio.to_thread(arrival.finish)
        except (VerifyError, DamagedBase) as error:
            self._waste(sum(frame.length for frame in arrival.opened.index.frames))
            await self._mend(offer.key, error)
            return
        before = await self._ledger.held()
        await self._ledger.mark_held(taken)
        self._note_lessons(manifest, before, {**before, **dict(taken)})
        await self._make_active(offer, manifest)

    async def _make_active(self, offer: Offer, manifest: Manifest) -> None:
        """Serve a whole release, unless it only is a stage on the way to a newer one."""
        await self._expect(offer, manifest)
        if newest(self._offers or (), await self._ledger.refused()).get(offer.key) == offer:
            await self._ledger.activate(*offer.key, offer.release)
            self.outcome.activated.append(describe(offer))
        self._arrivals.pop(offer.key, None)
        await asyncio.to_thread(self._store.drop_partial, offer.bundle)

    # Small things

    def _check_room(self, arrival: Arrival, run: Sequence[Fetch]) -> None:
        """Refuse to begin what would eat into the reserve: the frames' bytes, and their output twice over."""
        frames = [arrival.opened.index.frames[step.frame] for step in run]
        wanted = max(frame.length + frame.size for frame in frames)
        free = disk.free_bytes(self._store.root)
        reserve = disk.reserve_of(self._store.root, self._reserve) if self._reserve else 0
        if free - wanted < reserve:
            raise disk.DiskFull(
                f"{self._store.root}: {free} bytes are free, {wanted} more are needed and {reserve} are kept in reserve"
            )

    def _left(self) -> int | None:
        if self._budget is None:
            return None
        return max(0, self._budget - self.outcome.received - self.outcome.sent)

    def _give_up(self, key: CourseKey, error: AlforjaError) -> None:
        """Leave a course for this contact; the others go on."""
        self._given_up.add(key)
        self._arrivals.pop(key, None)
        self.failures.append(error)
        named = (
            error.message if error.message.startswith(self._source.name) else f"{self._source.name}: {error.message}"
        )
        self.outcome.errors.append(named)

    def _waste(self, length: int) -> None:
        self.outcome.wasted += length

    def _moved(self, length: int) -> None:
        if self._watcher:
            self._watcher.moved(length)

    def _note_lessons(self, manifest: Manifest, before: Mapping[bytes, int], now: Mapping[bytes, int]) -> None:
        for lesson in manifest.course.lessons():
            core = manifest.digests_of(lesson.needed)
            if core and not core <= before.keys() and core <= now.keys():
                self.outcome.lessons_usable.append(f"{manifest.publisher}/{manifest.course.id}/{lesson.id}")

    async def _pending(self) -> list[str]:
        active = {one.key: one.release for one in await self._ledger.releases() if one.state == "active"}
        wanted = newest(self._offers or (), await self._ledger.refused())
        subscribed = await self._ledger.subscriptions()
        return [
            describe(offer)
            for key, offer in sorted(wanted.items())
            if key in subscribed and active.get(key, 0) < offer.release
        ]

    def _advance(self, event: session.Event, what: str = "") -> None:
        self._state = session.advance(self._state, event)
        if self._watcher:
            self._watcher.state(self._state, what)

    def _counted(self, kind: str) -> "_Counted":
        return _Counted(self._source, self.outcome, getattr(self.outcome, kind))


class _Counted:
    """Adds what a source moves while it is entered to one kind of the outcome."""

    def __init__(self, source: Source, outcome: Outcome, kind: Bytes) -> None:
        self._traffic, self._outcome, self._kind = source.traffic, outcome, kind

    def __enter__(self) -> None:
        self._before = (self._traffic.received, self._traffic.sent, self._traffic.requests)

    def __exit__(self, *exc: object) -> None:
        received, sent, requests = self._before
        self._kind.received += self._traffic.received - received
        self._kind.sent += self._traffic.sent - sent
        self._outcome.requests += self._traffic.requests - requests

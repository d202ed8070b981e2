"""One contact: refresh trust, plan, carry the plan out, and plan again until nothing is left.

No policy here: what to bring and in which order is the planner's, whom to believe
is `trust`'s. Cutting a contact off at any point loses nothing that has arrived.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from alforja_node import disk, session
from alforja_node.ledger import Ledger
from alforja_node.offers import describe
from alforja_node.planner import (
    NO_OUTLOOK,
    NO_WISHES,
    Activate,
    Fetch,
    Open,
    Plan,
    Step,
    cost_of,
    items_of,
    plan_contact,
    runs_of,
)
from alforja_node.planning.coming import Prospect, foresee
from alforja_node.planning.outlook import Outlook
from alforja_node.planning.wishes import Wishes
from alforja_node.sources import NotThere, Source
from alforja_node.store import Store
from alforja_node.transfer.arrival import Arrival, Means, head_path
from alforja_node.transfer.intake import Intake
from alforja_node.transfer.outcome import Counted, Outcome, Refresh, Watcher
from alforja_packaging.abilities import Ability, find_abilities
from alforja_packaging.errors import AlforjaError, LinkError, VerifyError
from alforja_packaging.frames import Frame

_SYNC_EVERY_BYTES = 64 * 1024  # what a power cut may cost (docs/protocol.md section 6)
_SYNC_EVERY_S = 0.25
_WITHOUT_SCRATCH = frozenset(["plain", "prefix"])
_SCRATCH_BYTES = 64 * 2**20  # more than most frames lay aside; one that grows beyond looks at the disk as it does


class Contact:
    """Carries out one contact with one source. `run` it, or ask it to `plan` only."""

    def __init__(
        self, store: Store, ledger: Ledger, source: Source, refresh: Refresh, *,
        budget: int | None = None, retries: int = 5, reserve_bytes: int = 0, watcher: Watcher | None = None,
        able: Ability = find_abilities, wishes: Wishes = NO_WISHES, outlook: Outlook = NO_OUTLOOK,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._store, self._source, self._refresh = store, source, refresh
        self._budget, self._retries, self._reserve = budget, retries, reserve_bytes
        self._watcher, self._pause = watcher, pause
        self._wishes, self._outlook, self._cap_left = wishes, outlook, outlook.forecast.cap_left
        self._state, self._trusted = session.State.IDLE, False
        self.outcome = Outcome(source.name)
        self._intake = Intake(store, ledger, self.outcome, Means(able, reserve_bytes))

    @property
    def failures(self) -> Sequence[AlforjaError]:
        """What went wrong, in order; empty when everything wanted is here or waits for a budget."""
        return self._intake.failures

    async def run(self) -> Outcome:
        """Bring all that is wanted, on offer and within budget.

        Link errors are retried with growing pauses while there is progress. Whatever
        else goes wrong is noted in `outcome.errors` and `failures`; an error that
        concerns one course does not stop the others.
        """
        attempt = 0
        while True:
            before = self._kept()
            try:
                await self._trust()
                await self._carry_on()
                break
            except LinkError as error:
                attempt = attempt + 1 if self._kept() == before else 1
                if isinstance(error, NotThere) or attempt > self._retries or self._left() == 0:
                    self._end(error)
                    break
                self._advance(session.LinkLost())
                await self._pause(session.pause_s(attempt, random.random()))  # noqa: S311 (jitter, not a secret)
                self._advance(session.Retry())
            except AlforjaError as error:
                self._end(error)
                break
        self.outcome.pending = await self._intake.pending()
        return self.outcome

    async def plan(self) -> Plan:
        """Refresh trust, bring the indexes, and give the plan for the rest; nothing is activated.

        Raises LinkError, VerifyError, StoreError.
        """
        await self._trust()
        while True:
            plan = await self._plan()
            opens = [step for step in plan if isinstance(step, Open)]
            if not opens:
                self._advance(session.ContactOver())
                return plan
            await self._carry_out_opens(opens)

    async def close(self) -> None:
        """Let go of the source."""
        await self._source.close()

    def _end(self, error: AlforjaError) -> None:
        self._intake.note_failure(error)
        self._advance(session.ContactOver())

    async def _trust(self) -> None:
        if self._state is session.State.IDLE:
            self._advance(session.LinkUp())
        if not self._trusted:  # once a contact: a retry goes on with what is verified
            with self._counted("trust"):
                catalogue = await self._refresh(self._source)
            self._intake.expect_offers(catalogue.offers)
            self._trusted = True
            self.outcome.stale_since = catalogue.stale_since.isoformat() if catalogue.stale_since else None
        self._advance(session.CatalogueVerified())

    async def _carry_on(self) -> None:
        while True:
            plan = await self._plan()
            if self._watcher:
                self._watcher.plan(plan, cost_of(plan))
            if not plan:
                self._advance(session.ContactOver())
                return
            activations = [step for step in plan if isinstance(step, Activate)]
            for step in activations:
                self._advance(session.ReleaseWhole(), describe(step.hop.offer))
                await self._intake.activate(step.hop)
            if activations:
                continue
            if isinstance(plan[0], Open):  # what it leads to may come before all other indexes
                await self._carry_out_opens([plan[0]])
            else:
                await self._carry_out_fetches([*takewhile(lambda step: isinstance(step, Fetch), plan)])

    async def _plan(self) -> Plan:
        return plan_contact(await self._intake.ways(), self._left(), self._wishes, await self._look_out())

    async def _look_out(self) -> Outlook:
        """What may be expected by now: room and cap grow less as bytes come."""
        outlook, moved = self._outlook, self.outcome.received + self.outcome.sent
        if self._cap_left is not None:
            outlook = replace(outlook, forecast=replace(outlook.forecast, cap_left=max(0, self._cap_left - moved)))
        if self._reserve:
            root = self._store.root
            room = await asyncio.to_thread(lambda: disk.free_bytes(root) - disk.reserve_of(root, self._reserve))
            outlook = replace(outlook, room=max(0, room))
        return outlook

    async def foresee(self) -> Prospect | None:
        """Say what comes next, as things stand now; None when it is not known what is on offer."""
        if not self._trusted:
            return None
        return foresee(items_of(await self._intake.ways(), self._wishes, self._outlook), await self._look_out())

    async def _carry_out_fetches(self, plan: Sequence[Step]) -> None:
        """Fetch what is planned; what goes wrong on the way calls for a new plan."""
        for run in runs_of(plan):
            if not await self._fetch_run(run):
                return

    async def _carry_out_opens(self, opens: Sequence[Open]) -> None:
        for step in opens:
            self._advance(session.IndexWanted(), describe(step.hop.offer))
            try:
                await self._fetch_head(step)
            except NotThere as error:
                self._intake.give_up(step.hop.offer.key, error)
            except VerifyError as error:
                await self._intake.mend(step.hop, None, error)

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
        arrival = self._intake.arrival_of(hop.offer.key)
        self._advance(session.FramesWanted(), describe(hop.offer))
        self._check_room(arrival, run)
        try:
            with self._counted("frames"):
                return await self._receive(arrival, run)
        except NotThere as error:
            self._intake.give_up(hop.offer.key, error)
        except VerifyError as error:  # the source answers with something else than was asked for
            await self._intake.mend(hop, run[0].frame, error)
        return False

    async def _receive(self, arrival: Arrival, run: Sequence[Fetch]) -> bool:
        """Write what a source sends to where it gathers, and take in frames that are whole; tell if all went well."""
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
                    if not await self._frame_arrived(arrival, step):
                        return False
                    if steps:
                        step = steps.pop(0)
                        path = self._gathering(arrival, step)
        return True

    def _gathering(self, arrival: Arrival, step: Fetch) -> Path:
        frame = arrival.opened.index.frames[step.frame]
        return self._store.arrived_path(step.pack, frame.offset, frame.length)

    async def _frame_arrived(self, arrival: Arrival, step: Fetch) -> bool:
        frame = arrival.opened.index.frames[step.frame]
        if step.last + 1 < frame.offset + frame.length or arrival.manifest is None:
            return True
        return await self._intake.take_in(arrival, step.frame)

    # Small things

    def _check_room(self, arrival: Arrival, run: Sequence[Fetch]) -> None:
        """Refuse to begin what would eat into the reserve."""
        frames = [arrival.opened.index.frames[step.frame] for step in run]
        reserve = disk.reserve_of(self._store.root, self._reserve) if self._reserve else 0
        disk.check_room(self._store.root, max(map(_room_for, frames)), reserve)

    def _kept(self) -> int:
        """Bytes that the next try need not fetch again: trust metadata comes whole or not at all."""
        return self.outcome.manifest.received + self.outcome.frames.received

    def _left(self) -> int | None:
        if self._budget is None:
            return None
        return max(0, self._budget - self.outcome.received - self.outcome.sent)

    def _moved(self, length: int) -> None:
        if self._watcher:
            self._watcher.moved(length)

    def _advance(self, event: session.Event, what: str = "") -> None:
        self._state = session.advance(self._state, event)
        if self._watcher:
            self._watcher.state(self._state, what)

    def _counted(self, kind: str) -> Counted:
        return Counted(self._source, self.outcome, getattr(self.outcome, kind))


def _room_for(frame: Frame) -> int:
    """Bytes of disk that a frame takes until it is decoded: its own, its output's, and room to work in."""
    scratch = 0 if frame.kind in _WITHOUT_SCRATCH else min(frame.reach + frame.size, _SCRATCH_BYTES)
    return frame.length + frame.size + scratch

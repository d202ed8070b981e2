"""The node as a whole: what a contact leaves behind, and which sources are used."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from alforja_node.ledger import open_ledger
from alforja_node.planning.wishes import Wish
from alforja_node.school import Node, ShelfKeeper, contact_with, load_prospect, look_out_for, may_not_use
from alforja_node.settings import NodeSettings
from alforja_node.sources import Source
from alforja_node.store import Store
from alforja_node.terms import Terms
from alforja_node.trust import Trust
from alforja_node.trust.client import Trusted
from tests.simulators.hub import SimulatedHub


@dataclass
class SimulatedTrust:
    """Believes one hub, and is told whether the clock is right."""

    hub: SimulatedHub
    clock_behind: bool = False

    async def refresh(self, _source: Source) -> Trusted:
        return await self.load()

    async def load(self) -> Trusted:
        return Trusted(1, False, self.hub.offers, clock_behind=self.clock_behind)


@pytest.fixture
def hub(tmp_path: Path) -> SimulatedHub:
    made = SimulatedHub(tmp_path / "hub")
    noise = random.Random(1)
    made.publish("maths", {f"l{number}/p.png": noise.randbytes(200_000) for number in range(4)})
    return made


@asynccontextmanager
async def a_node(hub: SimulatedHub, terms: Terms, *, clock_behind: bool = False) -> AsyncIterator[Node]:
    home = hub.repository.parent.parent / "node"
    address = str(hub.repository)
    settings = NodeSettings(home, (address,), reserve_bytes=0, terms={address: terms})
    store = Store(settings.store_dir)
    store.prepare()
    trust: Trust = SimulatedTrust(hub, clock_behind)  # type: ignore[assignment]
    async with open_ledger(settings.ledger_path) as ledger:
        await ledger.subscribe("moe", "maths")
        yield Node(settings, store, ledger, trust)


async def test_a_contact_leaves_its_traffic_and_what_comes_next(hub: SimulatedHub) -> None:
    async with a_node(hub, Terms("metered", 0.5, "USD")) as node:
        address = node.settings.sources[0]
        await node.ledger.put_wishes([Wish("pin", ("moe", "maths"), "4")])
        async with contact_with(node, address, budget=250_000) as contact:
            outcome = await contact.run()
        days = await node.ledger.days_of(address)
        noted = await node.ledger.last_contact()
        prospect = await load_prospect(node)

        assert outcome.lessons_usable == ["moe/maths/lesson-3"]
        assert [(day.moved, day.contacts, day.cut) for day in days] == [(outcome.received + outcome.sent, 1, 0)]
        assert noted is not None
        assert noted["began"] <= noted["ended"]
        assert prospect is not None
        assert (prospect.things, prospect.source, prospect.currency) == (3, address, "USD")
        assert prospect.cost == pytest.approx(prospect.size / 2e6, abs=1e-3)
        assert (await ShelfKeeper(node).load()).prospect == prospect


async def test_a_dry_run_counts_for_what_it_moved_and_leaves_the_last_contact(hub: SimulatedHub) -> None:
    async with a_node(hub, Terms()) as node:
        async with contact_with(node, node.settings.sources[0], dry_run=True) as contact:
            await contact.plan()

        assert (await node.ledger.days_of(node.settings.sources[0]))[0].moved > 0
        assert await node.ledger.last_contact() is None
        assert await load_prospect(node) is None


async def test_a_source_whose_cap_is_used_up_is_left_until_it_is_renewed(hub: SimulatedHub) -> None:
    async with a_node(hub, Terms("metered", cap_bytes=60_000, renewal_day=3)) as node:
        address = node.settings.sources[0]
        assert not await may_not_use(node, address)
        for _ in range(3):
            async with contact_with(node, address) as contact:
                await contact.run()
        await node.ledger.put_wishes([Wish("pin", ("moe", "maths"))])
        async with contact_with(node, address) as contact:
            await contact.run()

        assert sum(day.moved for day in await node.ledger.days_of(address)) <= 60_000
        full = replace((await node.ledger.days_of(address))[0], moved=60_000)
        await node.ledger.note_traffic(address, full)
        assert await may_not_use(node, address) == (f"{address}: its 60000 bytes are used up until day 3 of the month")


@pytest.mark.parametrize("clock_behind", [True, False])
async def test_hours_bind_only_while_the_clock_is_believed(hub: SimulatedHub, *, clock_behind: bool) -> None:
    async with a_node(hub, Terms(hours=("00:00-00:00",)), clock_behind=clock_behind) as node:
        address = node.settings.sources[0]
        outlook = await look_out_for(node, address)

        assert (outlook.now is None) is clock_behind
        assert bool(await may_not_use(node, address)) is not clock_behind

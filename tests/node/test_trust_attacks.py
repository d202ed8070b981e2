"""What a node believes when links, sticks, clocks and keys turn against it."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tuf.api.metadata import DelegatedRole, MetaFile, TargetFile

from alforja_hub.server import make_hub_app
from alforja_hub.signing import Lifetimes, chronicle
from alforja_node import disk
from alforja_node.ledger import open_ledger
from alforja_node.sources import DirectorySource, NotThere
from alforja_node.sources.http import HttpSource
from alforja_node.trust import Trust, client, fetch_root
from alforja_node.trust.updater import HardenedUpdater
from alforja_packaging import codec
from alforja_packaging.errors import LinkError, StoreError, UnsupportedFormat, VerifyError
from alforja_packaging.layout import trust_delta_path
from alforja_packaging.trustdelta import Change, format_delta
from tests.simulators.links import LyingSource, NothingNewSource
from tests.simulators.trust import (
    START,
    PowerCutError,
    SignedHub,
    TrustingNode,
    a_mirror,
    bundles,
    cut_at,
    forged,
)

FIRST = ["bundles/moe/maths.1"]
SECOND = ["bundles/moe/maths.1", "bundles/moe/maths.2"]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts fall between writes here, so what a disk has not yet laid down makes no difference."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def hub(tmp_path: Path) -> SignedHub:
    made = SignedHub(tmp_path / "hub")
    made.authority.create("moe")
    made.publish("maths.1")
    return made


@pytest.fixture
async def node(tmp_path: Path, hub: SignedHub) -> TrustingNode:
    """A node that has synced once."""
    made = await TrustingNode.of(tmp_path / "node", hub)
    await made.refresh(hub.source)
    return made


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_delta(path: str) -> bool:
    return path.startswith("trust/after/") and path != trust_delta_path(0)


# What a contact costs


async def test_a_first_contact_from_a_root_is_one_request(tmp_path: Path, hub: SignedHub) -> None:
    node = await TrustingNode.of(tmp_path / "node", hub)
    source = hub.source
    trusted = await node.refresh(source)
    [offer] = trusted.offers

    assert source.traffic.requests == 1
    assert (trusted.version, trusted.changed, trusted.stale_since, trusted.clock_behind) == (2, True, None, False)
    assert (offer.key, offer.release, offer.manifest_length) == (("moe", "maths"), 1, 4321)
    assert offer.custom["install"] == [310, 1_234_567]
    assert await node.load() == await node.refresh(source)


async def test_over_http_nothing_new_is_one_request_and_an_update_one_more(tmp_path: Path, hub: SignedHub) -> None:
    hub.publish(*(f"course-{number}.1" for number in range(200)))
    node = await TrustingNode.of(tmp_path / "node", hub)
    async with TestServer(make_hub_app(hub.repository)) as server:
        source = HttpSource(str(server.make_url("/")))
        costs = []
        for step in ("first", "nothing new", "update", "nothing new", "renewal"):
            if step == "update":
                hub.publish("maths.2")
            if step == "renewal":
                hub.authority.renew()
            before = (source.traffic.requests, source.traffic.received, source.traffic.sent)
            trusted = await node.refresh(source)
            after = (source.traffic.requests, source.traffic.received, source.traffic.sent)
            costs.append(tuple(late - early for late, early in zip(after, before, strict=True)))
            assert trusted.changed == (step != "nothing new")
        await source.close()

    assert [requests for requests, _, _ in costs] == [1] * 5
    sums = [received + sent for _, received, sent in costs]
    assert sums[1] == sums[3] < 260
    assert min(sums[0], sums[2], sums[4]) > sums[1]
    assert costs[2][1] < 900  # with headers
    assert costs[4][1] < 500
    assert len(trusted.offers) == 202


@pytest.mark.parametrize("told", ["*", '"3", "4", "5"', '"3"', 'W/"3"', '"' + "x" * 100 + '"', '"good-1"'])
async def test_a_server_cannot_name_its_answer_so_that_it_matches_for_ever(
    tmp_path: Path, hub: SignedHub, node: TrustingNode, told: str
) -> None:
    asked: list[str] = []

    async def get(request: web.Request) -> web.Response:
        asked.append(request.headers["If-None-Match"])
        path = hub.repository / request.path[1:]
        return web.Response(body=path.read_bytes(), headers={"ETag": told})

    app = web.Application()
    app.router.add_get("/{path:.*}", get)
    async with TestServer(app) as server:
        source = HttpSource(str(server.make_url("/")))
        for _ in range(2):
            await node.refresh(source)
        hub.publish("maths.2")
        trusted = await node.refresh(source)
        await source.close()

    assert asked[0] == '"2"'
    assert set(asked[1:]) == ({told} if "good" in told else {'"2"'})
    assert bundles(trusted.offers) == SECOND


@pytest.mark.parametrize("rotated", ["timestamp", "root", "moe"])
async def test_every_kept_version_leads_to_the_newest_by_one_request(
    tmp_path: Path, hub: SignedHub, rotated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chronicle, "VERSIONS_KEPT", 5)
    nodes = []
    for number in range(2, 9):
        if number == 6:
            hub.authority.rotate(rotated)
        nodes.append(await TrustingNode.of(tmp_path / f"node-{number}", hub))
        await nodes[-1].refresh(hub.source)
        hub.publish(f"maths.{number}")
    requests = []
    for node in nodes:
        source = hub.source
        assert bundles((await node.refresh(source)).offers) == hub.offered()
        requests.append(source.traffic.requests)

    assert requests == [2, 2, 2, 2, 1, 1, 1]  # the first four are forgotten: they ask, then take all


async def test_a_publish_costs_few_bytes_however_much_is_on_offer(hub: SignedHub) -> None:
    hub.publish(*(f"course-{number}.1" for number in range(1000)))
    version = hub.version
    hub.publish("maths.2")

    assert len((hub.repository / trust_delta_path(version)).read_bytes()) < 900
    assert len((hub.repository / trust_delta_path(hub.version)).read_bytes()) < 60


async def test_nothing_new_writes_nothing(hub: SignedHub, node: TrustingNode) -> None:
    await node.refresh(hub.source)

    def refuse() -> None:
        raise AssertionError

    node.meta.before_write = refuse
    with cut_at(disk, "put", 1) as calls:
        trusted = await node.refresh(hub.source)

    assert calls == [0]
    assert not trusted.changed


async def test_verifying_never_holds_up_the_event_loop(hub: SignedHub, node: TrustingNode) -> None:
    where: set[str] = set()

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*arguments: Any) -> Any:
            where.add(threading.current_thread().name)
            return real(*arguments)

        return watching

    hub.publish("maths.2")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("read_cache", "write_cache", "parse_delta"):
            patch.setattr(client, name, watched(getattr(client, name)))
        for name in ("refresh", "offers", "memory_now"):
            patch.setattr(HardenedUpdater, name, watched(getattr(HardenedUpdater, name)))
        await node.refresh(hub.source)
        await node.load()

    assert where
    assert threading.main_thread().name not in where


async def test_with_a_real_ledger_the_floors_survive_a_restart(tmp_path: Path, hub: SignedHub) -> None:
    stick = hub.stick(tmp_path / "stick")
    hub.publish("maths.2")
    for step in range(2):
        async with open_ledger(tmp_path / "ledger.sqlite") as ledger:
            trust = Trust(tmp_path / "trust", ledger, clock=hub.clock)
            await trust.bootstrap(hub.root)
            if step == 0:
                await trust.refresh(hub.source)
                shutil.rmtree(tmp_path / "trust")
            else:
                with pytest.raises(VerifyError, match="a rollback"):
                    await trust.refresh(stick)

                assert bundles((await trust.refresh(hub.source)).offers) == SECOND


# False deltas


@pytest.mark.parametrize("place", range(0, 480, 16))
async def test_a_tampered_delta_costs_at_most_a_second_request(hub: SignedHub, node: TrustingNode, place: int) -> None:
    hub.publish("maths.2")

    def tamper(path: str, body: bytes) -> bytes:
        spot = place % len(body)
        return body[:spot] + bytes([body[spot] ^ 0x55]) + body[spot + 1 :] if is_delta(path) else body

    source = LyingSource(hub.repository, tamper)
    trusted = await node.refresh(source)

    assert bundles(trusted.offers) == SECOND
    assert source.traffic.requests <= 2  # the last bits of a run may mean nothing


def bomb(_: bytes) -> bytes:
    packed = b"\1" + codec.compress(bytes(40 * 2**20))
    return b"alforja-trust 2 %d 1000\n" % len(packed) + packed


def names_what_is_not_held(_: bytes) -> bytes:
    return format_delta(2, 3, [Change("3.moe.json", b"{}", "1.moe.json")], {"1.moe.json": b"{}"})


LIES: list[Callable[[bytes], bytes | None]] = [
    lambda _: b"",
    lambda body: body[: len(body) // 2],
    lambda body: body + b"x",
    lambda _: b"<html>pay for your link</html>",
    lambda _: bytes(17 * 2**20),
    bomb,
    names_what_is_not_held,
    lambda _: format_delta(2, 3, [Change("timestamp.json", b"{}")], {}),
    lambda _: format_delta(2, 3, [Change("2.root.json", b"{}")], {}),
    lambda _: None,
]


@pytest.mark.parametrize("lie", LIES)
async def test_a_false_delta_is_passed_over_for_all_of_the_metadata(
    hub: SignedHub, node: TrustingNode, lie: Callable[[bytes], bytes | None]
) -> None:
    hub.publish("maths.2")
    source = LyingSource(hub.repository, lambda path, body: lie(body) if is_delta(path) else body)

    assert bundles((await node.refresh(source)).offers) == SECOND
    assert bundles((await node.load()).offers) == SECOND


@pytest.mark.parametrize("lie", LIES)
async def test_a_source_that_only_lies_is_named_and_changes_nothing(
    hub: SignedHub, node: TrustingNode, lie: Callable[[bytes], bytes | None]
) -> None:
    hub.publish("maths.2")
    before = tree(node.folder)
    with pytest.raises((VerifyError, NotThere), match=f"^{hub.repository}: "):
        await node.refresh(LyingSource(hub.repository, lambda _, body: lie(body)))

    assert tree(node.folder) == before
    assert bundles((await node.load()).offers) == FIRST
    assert bundles((await node.refresh(hub.source)).offers) == SECOND


async def test_a_newer_format_asks_for_an_upgrade_and_names_the_source(tmp_path: Path, hub: SignedHub) -> None:
    node = await TrustingNode.of(tmp_path / "node", hub)
    with pytest.raises(UnsupportedFormat, match=f"^{hub.repository}: trust delta: format version 3") as caught:
        await node.refresh(LyingSource(hub.repository, lambda _, body: body.replace(b"trust 2", b"trust 3")))

    assert "upgrade" in caught.value.advice


async def test_a_source_that_holds_no_metadata_is_asked_once(tmp_path: Path, hub: SignedHub) -> None:
    node = await TrustingNode.of(tmp_path / "node", hub)
    (tmp_path / "empty").mkdir()
    source = DirectorySource(tmp_path / "empty")
    with pytest.raises(NotThere, match=f"{source.name}: does not hold trust/after/0"):
        await node.refresh(source)
    with pytest.raises(LinkError, match="there is no such folder"):
        await node.refresh(DirectorySource(tmp_path / "gone"))

    assert source.traffic.requests == 1


async def test_a_source_that_always_says_nothing_is_new_brings_nothing_and_breaks_nothing(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    trusted = await node.refresh(NothingNewSource(hub.repository))
    fresh = await TrustingNode.of(tmp_path / "fresh", hub)
    with pytest.raises(VerifyError, match="answers that nothing has changed, without having been told what is held"):
        await fresh.refresh(NothingNewSource(hub.repository))

    assert (bundles(trusted.offers), trusted.changed) == (FIRST, False)


async def test_new_metadata_without_what_it_names_is_refused_and_leaves_the_old_in_place(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    hub.publish("maths.2")
    for name in ("3.snapshot.json", "3.moe.json"):
        files = {one: data for one, data in hub.files().items() if one != name}
        with pytest.raises(VerifyError, match=f"its metadata is not complete \\({name} is not there\\)"):
            await node.refresh(a_mirror(tmp_path / name, files))

        assert bundles((await node.load()).offers) == FIRST
    assert bundles((await node.refresh(hub.source)).offers) == SECOND


async def test_a_key_that_is_there_twice_is_refused_though_the_signature_fits(tmp_path: Path, hub: SignedHub) -> None:
    node = await TrustingNode.of(tmp_path / "node", hub)
    files = hub.files()
    files["2.moe.json"] = files["2.moe.json"].replace(b'"signed":{', b'"signed":{"version":999,', 1)
    with pytest.raises(VerifyError, match=r"moe metadata: is not readable JSON \(a key is there twice\)"):
        await node.refresh(a_mirror(tmp_path / "mirror", files))

    assert (await node.load()).version == 0


# Going back


async def test_an_older_copy_is_refused_as_a_rollback(tmp_path: Path, hub: SignedHub, node: TrustingNode) -> None:
    stick = hub.stick(tmp_path / "stick")
    hub.publish("maths.2")
    await node.refresh(hub.source)
    with pytest.raises(VerifyError, match=f"^{stick.name}: its metadata is older than what was verified before"):
        await node.refresh(stick)

    assert bundles((await node.load()).offers) == SECOND
    assert stick.traffic.requests == 2


def truncate(folder: Path) -> None:
    for path in folder.glob("*.json"):
        path.write_bytes(b"")


def half(folder: Path) -> None:
    for path in folder.glob("*.json"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def delete(folder: Path) -> None:
    for path in folder.glob("*.json"):
        path.unlink()


def zeros(folder: Path) -> None:
    for path in folder.glob("*.json"):
        path.write_bytes(bytes(path.stat().st_size))


def only_the_timestamp(folder: Path) -> None:
    (folder / "timestamp.json").unlink()


def only_the_rest(folder: Path) -> None:
    for path in folder.glob("[0-9]*.json"):
        path.unlink()


def the_roots(folder: Path) -> None:
    for path in (folder / "root_history").iterdir():
        path.write_bytes(b"")


def a_list(folder: Path) -> None:
    for path in folder.glob("*.json"):
        path.write_bytes(b'{"signed":{"version":2,"meta":[]}}')


@pytest.mark.parametrize(
    "damage", [truncate, half, delete, zeros, only_the_timestamp, only_the_rest, the_roots, a_list]
)
async def test_a_damaged_cache_takes_no_older_world_and_is_mended_by_the_next_contact(
    tmp_path: Path, hub: SignedHub, node: TrustingNode, damage: Callable[[Path], None]
) -> None:
    stick = hub.stick(tmp_path / "stick")
    hub.publish("maths.2")
    hub.authority.rotate("targets")
    await node.refresh(hub.source)
    damage(node.folder)
    assert bundles((await node.load()).offers) in ([], SECOND)
    with pytest.raises(VerifyError, match=f"^{stick.name}: "):
        await node.refresh(stick)

    assert bundles((await node.refresh(hub.source)).offers) == SECOND
    assert bundles((await node.load()).offers) == SECOND


async def test_a_mixture_of_two_days_is_refused(tmp_path: Path, hub: SignedHub, node: TrustingNode) -> None:
    old = hub.files()
    hub.publish("maths.2")
    hub.authority.add_publisher("uni")
    new = hub.files()
    mixtures = [
        new | {"4.snapshot.json": old["2.snapshot.json"]},
        new | {"3.moe.json": old["2.moe.json"]},
        new | {"2.targets.json": old["1.targets.json"]},
        old | {"timestamp.json": new["timestamp.json"]},
        new | {"1.uni.json": new["3.moe.json"]},
    ]
    for number, files in enumerate(mixtures):
        with pytest.raises(VerifyError):
            await node.refresh(a_mirror(tmp_path / f"mirror-{number}", files))

        assert bundles((await node.load()).offers) == FIRST


# Roots


async def test_another_hubs_metadata_is_refused(tmp_path: Path, hub: SignedHub, node: TrustingNode) -> None:
    other = SignedHub(tmp_path / "other")
    other.authority.create("moe")
    other.publish("maths.1", "maths.2")
    other.publish("maths.3")
    fresh = await TrustingNode.of(tmp_path / "fresh", hub)
    for one in (node, fresh):
        with pytest.raises(VerifyError, match=f"^{other.repository}: its metadata is not what this node's root"):
            await one.refresh(other.source)
    with pytest.raises(VerifyError, match="this node trusts another root already"):
        await node.trust.bootstrap(other.root)
    await node.trust.bootstrap(hub.root)

    assert bundles((await node.refresh(hub.source)).offers) == FIRST


async def test_a_root_is_shown_for_comparison_and_believed_by_nobody(tmp_path: Path, hub: SignedHub) -> None:
    assert await fetch_root(hub.source) == hub.root
    for body in (b"", b"{}", hub.files()["timestamp.json"], hub.files()["1.targets.json"], b"[" * 100_000):
        source = LyingSource(hub.repository, lambda _, __, body=body: body)  # type: ignore[misc]
        with pytest.raises(VerifyError, match=r"^.*repository: trust/1\.root\.json: is not a root of trust"):
            await fetch_root(source)
    with pytest.raises(VerifyError, match="root: is not a root of trust, but timestamp metadata"):
        await TrustingNode(tmp_path / "node").trust.bootstrap(hub.files()["timestamp.json"])

    assert not (tmp_path / "node").exists()


async def test_a_root_with_too_few_signatures_is_no_root(tmp_path: Path) -> None:
    hub = SignedHub(tmp_path / "hub")
    hub.authority.create("moe", root_keys=3, root_threshold=2)
    one_only = forged(hub.root, hub.stolen("root")[:1], lambda _: None)
    with pytest.raises(VerifyError, match=r"root: is not a root of trust \(.*1/2"):
        await TrustingNode(tmp_path / "node").trust.bootstrap(one_only)

    # And one of three stolen keys replaces nothing.
    hub.publish("maths.1")
    node = await TrustingNode.of(tmp_path / "second", hub)
    await node.refresh(hub.source)

    def next_version(signed: Any) -> None:
        signed.version += 1

    second = forged(hub.root, hub.stolen("root")[:1], next_version)
    with pytest.raises(VerifyError, match="its metadata is not what this node's root of trust allows"):
        await node.refresh(a_mirror(tmp_path / "mirror", hub.files() | {"2.root.json": second}))

    assert bundles((await node.refresh(hub.source)).offers) == FIRST


async def test_a_damaged_or_missing_bootstrap_root_asks_a_person(hub: SignedHub, node: TrustingNode) -> None:
    path = node.folder / "bootstrap" / "root.json"
    path.write_bytes(b"rot")
    with pytest.raises(StoreError, match=r"root\.json: is not a root of trust") as damaged:
        await node.refresh(hub.source)
    path.unlink()
    with pytest.raises(StoreError, match=r"root\.json: is missing") as missing:
        await node.refresh(hub.source)

    assert "alforja-node init" in damaged.value.advice
    assert "alforja-node init" in missing.value.advice


# Clocks and age


async def test_an_expired_stick_is_accepted_as_stale_and_never_a_rollback(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    old_stick = hub.stick(tmp_path / "old")
    hub.clock.forward(10)
    hub.publish("maths.2")
    stick = hub.stick(tmp_path / "stick")
    node.clock.forward(200)
    trusted = await node.refresh(stick)
    loaded = await node.load()
    with pytest.raises(VerifyError, match="older than what was verified before"):
        await node.refresh(old_stick)
    strict = await TrustingNode.of(tmp_path / "strict", hub, strict=True)
    strict.clock.forward(200)
    with pytest.raises(VerifyError, match=f"^{stick.name}: its metadata has expired"):
        await strict.refresh(stick)
    hub.clock.forward(200)
    hub.authority.renew()

    assert bundles(trusted.offers) == bundles(loaded.offers) == SECOND
    assert trusted.stale_since == loaded.stale_since == START + timedelta(days=10)
    assert not trusted.clock_behind
    assert (await strict.load()).version == 0
    assert (await node.refresh(hub.source)).stale_since is None
    assert (await strict.refresh(hub.source)).stale_since is None


async def test_a_clock_at_1970_believes_what_it_can_and_says_so(tmp_path: Path, hub: SignedHub) -> None:
    node = await TrustingNode.of(tmp_path / "node", hub)
    node.clock.now = datetime(1970, 1, 1, tzinfo=UTC)
    first = await node.refresh(hub.source)
    old_stick = hub.stick(tmp_path / "old")
    hub.clock.forward(120)
    hub.publish("maths.2")
    await node.refresh(hub.source)
    with pytest.raises(VerifyError, match="older than what was verified before"):
        await node.refresh(old_stick)
    node.clock.now = START + timedelta(days=119)
    behind = await node.load()
    node.clock.forward(2)

    assert (bundles(first.offers), first.stale_since, first.clock_behind) == (FIRST, None, True)
    assert behind.clock_behind
    assert not (await node.load()).clock_behind


async def test_a_clock_of_1970_does_not_make_fresh_what_is_proven_to_have_expired(
    tmp_path: Path, hub: SignedHub
) -> None:
    node = await TrustingNode.of(tmp_path / "node", hub, strict=True)
    shutil.move(tmp_path / "hub" / "keys" / "moe", tmp_path / "moe-keys")
    for _ in range(10):  # what moe signed lapses after 400 days
        hub.clock.forward(42)
        hub.authority.renew()
        node.clock.now = datetime(1970, 1, 1, tzinfo=UTC)
        await node.refresh(hub.source)
    hub.authority.renew()
    with pytest.raises(VerifyError, match=r"its metadata has expired \(New moe is expired\)"):
        await node.refresh(hub.source)
    shutil.move(tmp_path / "moe-keys", tmp_path / "hub" / "keys" / "moe")
    hub.authority.renew()

    assert (await node.refresh(hub.source)).clock_behind


async def test_fifty_years_ahead_and_back_leaves_nothing_behind(hub: SignedHub, node: TrustingNode) -> None:
    node.clock.forward(50 * 365)
    hub.publish("maths.2")
    ahead = await node.refresh(hub.source)
    node.clock.now = START
    hub.publish("maths.3")
    back = await node.refresh(hub.source)

    assert (bundles(ahead.offers), ahead.stale_since) == (SECOND, START)
    assert (back.stale_since, back.clock_behind) == (None, False)
    assert bundles(back.offers) == [*SECOND, "bundles/moe/maths.3"]


async def test_a_publisher_that_lapsed_makes_a_node_stale_and_silences_nobody(tmp_path: Path) -> None:
    hub = SignedHub(tmp_path / "hub", lifetimes=Lifetimes())
    hub.authority.create("moe")
    hub.authority.add_publisher("uni")
    hub.publish("maths.1")
    node = await TrustingNode.of(tmp_path / "node", hub)
    strict = await TrustingNode.of(tmp_path / "strict", hub, strict=True)
    shutil.move(tmp_path / "hub" / "keys" / "moe", tmp_path / "moe-keys")
    for _ in range(10):
        hub.clock.forward(42)
        node.clock.now = strict.clock.now = hub.clock.now
        hub.authority.renew()
        trusted = await node.refresh(hub.source)
    hub.publish("physics.1", publisher="uni")
    trusted = await node.refresh(hub.source)
    with pytest.raises(VerifyError, match="its metadata has expired"):
        await strict.refresh(hub.source)

    assert bundles(trusted.offers) == ["bundles/moe/maths.1", "bundles/uni/physics.1"]
    assert trusted.stale_since == START + timedelta(days=400)


# Stolen keys


async def test_a_thief_of_the_timestamp_key_cannot_freeze_a_school_for_ever(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    def poison(signed: Any) -> None:
        signed.version = 10**9
        signed.expires = START + timedelta(days=40_000)
        signed.unrecognized_fields["x-issued"] = "2127-01-01T00:00:00Z"

    files = hub.files()
    files["timestamp.json"] = forged(files["timestamp.json"], hub.stolen("timestamp"), poison)
    poisoned = await node.refresh(a_mirror(tmp_path / "mirror", files))
    hub.publish("maths.2")
    with pytest.raises(VerifyError, match="older than what was verified before"):
        await node.refresh(hub.source)
    held = await node.load()
    hub.authority.rotate("timestamp")
    recovered = await node.refresh(hub.source)

    assert poisoned.version == 10**9
    assert (bundles(held.offers), held.stale_since, held.clock_behind) == (FIRST, None, False)
    assert (bundles(recovered.offers), recovered.stale_since, recovered.clock_behind) == (SECOND, None, False)
    assert recovered.version == hub.version
    with pytest.raises(VerifyError):
        await node.refresh(a_mirror(tmp_path / "again", files))


async def test_a_proven_time_moves_no_further_than_what_root_and_publishers_signed(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    def nearly(signed: Any) -> None:
        signed.version += 1
        signed.expires = START + timedelta(days=40_000)
        signed.unrecognized_fields["x-issued"] = "2027-12-31T00:00:00Z"  # targets live for 400 days

    files = hub.files()
    files["timestamp.json"] = forged(files["timestamp.json"], hub.stolen("timestamp"), nearly)
    assert (await node.refresh(a_mirror(tmp_path / "mirror", files))).clock_behind
    hub.authority.rotate("timestamp")
    hub.publish("maths.2")
    recovered = await node.refresh(hub.source)

    assert (bundles(recovered.offers), recovered.stale_since, recovered.clock_behind) == (SECOND, None, False)


async def test_a_thief_of_timestamp_and_snapshot_keys_is_thrown_out_by_rotating_both(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    def far(signed: Any) -> None:
        signed.version = 10**9

    def far_snapshot(signed: Any) -> None:
        far(signed)
        signed.meta["moe.json"] = MetaFile(2)

    def far_timestamp(signed: Any) -> None:
        far(signed)
        signed.snapshot_meta = MetaFile(10**9)

    files = hub.files()
    files[f"{10**9}.snapshot.json"] = forged(files["2.snapshot.json"], hub.stolen("snapshot"), far_snapshot)
    files["timestamp.json"] = forged(files["timestamp.json"], hub.stolen("timestamp"), far_timestamp)
    await node.refresh(a_mirror(tmp_path / "mirror", files))
    hub.publish("maths.2")
    with pytest.raises(VerifyError):
        await node.refresh(hub.source)
    for role in ("snapshot", "timestamp"):
        hub.authority.rotate(role)

    assert bundles((await node.refresh(hub.source)).offers) == SECOND


async def test_a_stolen_and_replaced_publisher_key_signs_nothing(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    thief = hub.stolen("moe")
    hub.authority.rotate("moe")
    files = hub.files()
    files["3.moe.json"] = forged(files["3.moe.json"], thief, lambda signed: signed.targets.clear())
    with pytest.raises(VerifyError, match="its metadata is not what this node's root of trust allows"):
        await node.refresh(a_mirror(tmp_path / "mirror", files))

    assert bundles((await node.load()).offers) == FIRST
    assert bundles((await node.refresh(hub.source)).offers) == FIRST


async def test_a_replaced_key_stays_replaced_though_the_source_withholds_the_rest(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    old, thief = hub.files(), hub.stolen("timestamp")
    hub.authority.rotate("timestamp")
    with pytest.raises(VerifyError):
        await node.refresh(a_mirror(tmp_path / "half", old | {"2.root.json": hub.files()["2.root.json"]}))
    old["timestamp.json"] = forged(old["timestamp.json"], thief, lambda signed: setattr(signed, "version", 9))
    with pytest.raises(VerifyError):
        await node.refresh(a_mirror(tmp_path / "thief", old))

    assert bundles((await node.refresh(hub.source)).offers) == FIRST


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "moe", "root"])
async def test_every_key_can_be_replaced_and_nodes_follow(
    tmp_path: Path, hub: SignedHub, node: TrustingNode, role: str
) -> None:
    late = node.copy(tmp_path / "late")
    old_stick = hub.stick(tmp_path / "old")
    for number in range(2, 5):
        hub.authority.rotate(role)
        assert bundles((await node.refresh(hub.source)).offers) == hub.offered()
        hub.publish(f"maths.{number}")
        assert bundles((await node.refresh(hub.source)).offers) == hub.offered()
    first = await TrustingNode.of(tmp_path / "first", hub)
    for one in (late, first):
        assert bundles((await one.refresh(hub.source)).offers) == hub.offered()
        with pytest.raises(VerifyError):
            await one.refresh(old_stick)

    assert len(hub.offered()) == 4


async def test_a_new_set_of_root_keys_is_followed_and_the_old_one_no_more(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    old_files, thief = hub.files(), hub.stolen("root")
    hub.authority.set_root(keys=3, threshold=2)
    hub.authority.set_root(keys=5, threshold=3)
    hub.publish("maths.2")
    assert bundles((await node.refresh(hub.source)).offers) == SECOND

    def next_version(signed: Any) -> None:
        signed.version = 4

    fork = old_files | {name: data for name, data in hub.files().items() if name.endswith(".root.json")}
    fork["4.root.json"] = forged(hub.root, thief, next_version)
    with pytest.raises(VerifyError):
        await node.refresh(a_mirror(tmp_path / "fork", fork))

    assert bundles((await node.refresh(hub.source)).offers) == SECOND


# Publishers


def sign_as(hub: SignedHub, change: Callable[[Any], None], mirror: Path, publisher: str = "moe") -> DirectorySource:
    """The hub's metadata, with a publisher's changed and signed by that publisher's own key."""
    files = hub.files()
    name = next(one for one in files if one.endswith(f".{publisher}.json"))
    files[name] = forged(files[name], hub.stolen(publisher), change)
    return a_mirror(mirror, files)


async def test_what_a_publisher_signs_below_another_name_is_not_on_offer(tmp_path: Path, hub: SignedHub) -> None:
    hub.authority.add_publisher("uni")
    hub.publish("physics.1", publisher="uni")
    node = await TrustingNode.of(tmp_path / "node", hub)

    def claim(signed: Any) -> None:
        target = signed.targets["bundles/moe/maths.1"]
        for path in (
            "bundles/uni/physics.2", "bundles/moe/%2e%2e.1", "bundles/moe/MATHS.2", "bundles/moe/../uni/physics.3",
            "bundles/moe/a/b.1", "bundles/moe/maths", "bundles/moe/maths.0", "bundles/moe/maths.01", "bundles//maths.1",
            "bundles/moe/con.1", "bundles/moe/maths.1 ", "bundles/moe/maths.9999999999", "trust/1.root.json", "",
            "bundles/moe/ma\0ths.1", "bundles/moe/\u00e9.1", "/bundles/moe/maths.7",
        ):  # fmt: skip
            signed.targets[path] = target

    trusted = await node.refresh(sign_as(hub, claim, tmp_path / "mirror"))

    assert bundles(trusted.offers) == ["bundles/moe/maths.1", "bundles/uni/physics.1"]


@pytest.mark.parametrize("digest", ["", "xy", "z" * 64, "A" * 64, "0" * 65, "0" * 62])
async def test_a_publisher_with_an_impossible_digest_harms_only_that_release(
    tmp_path: Path, hub: SignedHub, digest: str
) -> None:
    node = await TrustingNode.of(tmp_path / "node", hub)

    def add(signed: Any) -> None:
        signed.targets["bundles/moe/maths.2"] = TargetFile(1, {"sha256": digest}, "bundles/moe/maths.2")
        signed.targets["bundles/moe/maths.3"] = TargetFile(1, {"sha512": "0" * 128}, "bundles/moe/maths.3")

    assert bundles((await node.refresh(sign_as(hub, add, tmp_path / "mirror"))).offers) == FIRST


@pytest.mark.parametrize(
    ("name", "paths", "terminating"),
    [
        ("uni", ["bundles/*/*"], True), ("uni", ["bundles/moe/*"], True), ("uni", ["bundles/uni/*"], False),
        ("uni", ["bundles/uni/*", "bundles/moe/*"], True), ("Uni", ["bundles/Uni/*"], True),
        ("..", ["bundles/../*"], True), ("*", ["bundles/*/*"], True), ("con", ["bundles/con/*"], True),
        ("timestamp.json/..", ["bundles/timestamp.json/../*"], True),
    ],
)  # fmt: skip
async def test_only_a_delegation_of_exactly_its_own_paths_makes_a_publisher(
    tmp_path: Path, hub: SignedHub, name: str, paths: list[str], terminating: bool
) -> None:
    node = await TrustingNode.of(tmp_path / "node", hub)
    hub.authority.add_publisher("uni")
    files = hub.files()

    def delegate(signed: Any) -> None:
        roles = signed.delegations.roles
        keyids = roles.pop("uni").keyids
        others = dict(roles)
        roles.clear()
        roles[name] = DelegatedRole(name, keyids, 1, terminating, paths)
        roles.update(others)  # the trespasser is asked first

    def claim(signed: Any) -> None:
        signed.targets["bundles/moe/maths.2"] = TargetFile(1, {"sha256": "0" * 64}, "bundles/moe/maths.2")

    files["2.targets.json"] = forged(files["2.targets.json"], hub.stolen("targets"), delegate)
    files["1.uni.json"] = forged(files["1.uni.json"], hub.stolen("uni"), claim)

    assert bundles((await node.refresh(a_mirror(tmp_path / "mirror", files))).offers) == FIRST


@pytest.mark.parametrize("version", [2**53, 2**63, 2**70])
@pytest.mark.parametrize("role", ["timestamp", "moe"])
async def test_a_version_beyond_what_all_can_count_is_refused(
    tmp_path: Path, hub: SignedHub, node: TrustingNode, role: str, version: int
) -> None:
    def jump(signed: Any) -> None:
        signed.version = version

    def list_it(signed: Any) -> None:
        signed.version = 3
        signed.meta["moe.json"] = MetaFile(version)

    files = hub.files()
    if role == "moe":
        files[f"{version}.moe.json"] = forged(files["2.moe.json"], hub.stolen("moe"), jump)
        files["3.snapshot.json"] = forged(files["2.snapshot.json"], hub.stolen("snapshot"), list_it)

    def point(signed: Any) -> None:
        signed.version = version if role == "timestamp" else 3
        signed.snapshot_meta = MetaFile(2 if role == "timestamp" else 3)

    files["timestamp.json"] = forged(files["timestamp.json"], hub.stolen("timestamp"), point)
    # `a_mirror` writes any name; the delta's own grammar holds most of these off already.
    with pytest.raises(VerifyError, match=r"beyond what the format allows|where at most|beyond all bounds"):
        await node.refresh(a_mirror(tmp_path / "mirror", files))

    assert bundles((await node.refresh(hub.source)).offers) == FIRST


async def test_a_removed_publisher_is_gone_and_a_returned_one_is_back(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    hub.authority.add_publisher("uni")
    hub.publish("physics.1", publisher="uni")
    both = await node.refresh(hub.source)
    late = node.copy(tmp_path / "late")
    thief = hub.stolen("uni")
    hub.authority.remove_publisher("uni")
    without = await node.refresh(hub.source)
    held = sorted(path.name for path in node.folder.glob("*.json"))
    hub.authority.add_publisher("uni")
    empty = await node.refresh(hub.source)
    hub.publish("physics.2", publisher="uni")
    again = await node.refresh(hub.source)
    files = hub.files()
    name = next(one for one in files if one.endswith(".uni.json"))
    files[name] = forged(files[name], thief, lambda _: None)
    with pytest.raises(VerifyError):
        await late.copy(tmp_path / "robbed").refresh(a_mirror(tmp_path / "mirror", files))

    assert bundles(both.offers) == [*FIRST, "bundles/uni/physics.1"]
    assert bundles(without.offers) == bundles(empty.offers) == FIRST
    assert not [one for one in held if "uni" in one]
    assert bundles(again.offers) == bundles((await late.refresh(hub.source)).offers)
    assert bundles(again.offers) == [*FIRST, "bundles/uni/physics.2"]


# Power


@pytest.mark.parametrize("rotated", [None, "snapshot"])
async def test_a_power_cut_at_any_write_keeps_the_old_state_or_has_the_new_one(
    tmp_path: Path, hub: SignedHub, node: TrustingNode, rotated: str | None
) -> None:
    old_stick = hub.stick(tmp_path / "old")
    hub.authority.rotate("timestamp")
    known = (await node.refresh(hub.source)).version
    hub.authority.add_publisher("uni")
    if rotated:
        hub.authority.rotate(rotated)
    hub.publish("maths.2")
    for call in range(1, 30):
        cut = node.copy(tmp_path / f"node-{call}")
        with cut_at(disk, "put", call):
            try:
                await cut.refresh(hub.source)
            except PowerCutError:
                pass
            else:
                break
        between = await cut.load()
        states = [(known, FIRST), (hub.version, SECOND)]
        # Between new keys and what they signed there is nothing to show, rather than what nobody vouches for.
        assert (between.version, bundles(between.offers)) in (states if not rotated else [*states, (0, [])])
        with pytest.raises(VerifyError):
            await cut.refresh(old_stick)
        assert bundles((await cut.refresh(hub.source)).offers) == SECOND
    assert call >= 5


async def test_a_cut_before_the_ledger_hears_of_it_loses_nothing(
    tmp_path: Path, hub: SignedHub, node: TrustingNode
) -> None:
    stick = hub.stick(tmp_path / "stick")
    hub.publish("maths.2")

    def cut() -> None:
        raise PowerCutError

    node.meta.before_write = cut
    with pytest.raises(PowerCutError):
        await node.refresh(hub.source)
    node.meta.before_write = lambda: None
    with pytest.raises(VerifyError):
        await node.refresh(stick)

    assert bundles((await node.load()).offers) == SECOND
    assert bundles((await node.refresh(hub.source)).offers) == SECOND


async def test_what_is_held_is_named_as_in_a_repository(hub: SignedHub, node: TrustingNode) -> None:
    hub.publish("maths.2")
    await node.refresh(hub.source)
    held = {path.name: path.read_bytes() for path in node.folder.glob("*.json")}
    roots = {path.name: path.read_bytes() for path in (node.folder / "root_history").iterdir()}

    assert held | roots == hub.files()
    assert json.loads(held["timestamp.json"])["signed"]["version"] == 3

"""What a hub signs, with which keys, and what is left when it is cut off while doing so."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from alforja_hub.signing import Target, chronicle
from alforja_packaging.errors import AlforjaError, FormatError, RequestError, StoreError
from alforja_packaging.layout import trust_delta_path
from alforja_packaging.trustdelta import parse_delta
from tests.simulators.trust import PowerCutError, SignedHub, TrustingNode, a_target, bundles, cut_hub_at


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts fall between writes here, so what a disk has not yet laid down makes no difference."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def a_hub(home: Path, *, root_keys: int = 1, root_threshold: int = 1) -> SignedHub:
    hub = SignedHub(home)
    hub.authority.create("moe", root_keys=root_keys, root_threshold=root_threshold)
    hub.publish("maths.1")
    return hub


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def add(hub: SignedHub) -> None:
    hub.authority.add_publisher("uni")


def remove(hub: SignedHub) -> None:
    hub.authority.remove_publisher("old")


def renew(hub: SignedHub) -> None:
    hub.authority.renew()


def publish(hub: SignedHub) -> None:
    hub.publish("maths.2")


def set_root(hub: SignedHub) -> None:
    hub.authority.set_root(keys=3, threshold=2)


def rotate(role: str) -> Callable[[SignedHub], None]:
    def change(hub: SignedHub) -> None:
        hub.authority.rotate(role)

    change.__name__ = f"rotate {role}"
    return change


CHANGES = [publish, add, remove, renew, set_root, *map(rotate, ["root", "timestamp", "snapshot", "targets", "moe"])]


# Cut off


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
async def test_a_change_cut_off_at_any_write_leaves_a_hub_that_works(
    tmp_path: Path, change: Callable[[SignedHub], None]
) -> None:
    original = a_hub(tmp_path / "hub")
    original.authority.add_publisher("old")
    original.publish("art.1", publisher="old")
    original.clock.forward(390)  # all but the root is due
    node_before = await TrustingNode.of(tmp_path / "node", original)
    await node_before.refresh(original.source)
    old = original.offered()
    done = original.copy(tmp_path / "done")
    change(done)
    new = done.offered()

    for call in range(1, 100):
        hub = original.copy(tmp_path / f"hub-{call}")
        with cut_hub_at(call) as calls:
            try:
                change(hub)
            except PowerCutError:
                pass
            else:
                break
        node = node_before.copy(tmp_path / f"node-{call}")
        between = await node.refresh(hub.source)
        assert bundles(between.offers) in (old, new)

        # Somebody does something else next; whoever has already heard of the cut change must follow.
        other = hub.copy(tmp_path / f"other-{call}")
        other.publish("music.1")
        follower = node.copy(tmp_path / f"follower-{call}")
        followed = await follower.refresh(other.source)
        assert bundles(followed.offers) == other.offered()
        assert followed.version == other.version
        assert bundles((await follower.load()).offers) == other.offered()

        change(hub)  # the same command again
        for who in (node, await TrustingNode.of(tmp_path / f"first-{call}", hub)):
            final = await who.refresh(hub.source)
            assert bundles(final.offers) == new == hub.offered()
            assert final.version == hub.version
    assert calls[0] >= 5


async def test_making_a_hub_can_be_cut_off_anywhere_and_run_again(tmp_path: Path) -> None:
    for call in range(1, 20):
        hub = SignedHub(tmp_path / f"hub-{call}")
        with cut_hub_at(call):
            try:
                hub.authority.create("moe")
            except PowerCutError:
                assert not hub.authority.exists()
            else:
                break
        hub.authority.create("moe")
        hub.publish("maths.1")
        node = await TrustingNode.of(tmp_path / f"node-{call}", hub)

        assert bundles((await node.refresh(hub.source)).offers) == ["bundles/moe/maths.1"]
    assert call > 5


async def test_what_was_decided_before_the_cut_is_told_by_whatever_runs_next(tmp_path: Path) -> None:
    hub = a_hub(tmp_path / "hub")
    node = await TrustingNode.of(tmp_path / "node", hub)
    await node.refresh(hub.source)
    with cut_hub_at(5), pytest.raises(PowerCutError):  # two documents, the note, one delta
        hub.publish("maths.2")
    assert hub.offered() == ["bundles/moe/maths.1"]
    assert hub.authority.finish()
    assert not hub.authority.finish()

    assert bundles((await node.refresh(hub.source)).offers) == ["bundles/moe/maths.1", "bundles/moe/maths.2"]


# Keys


def test_keys_are_for_their_owner_only_and_encrypted_with_a_passphrase(tmp_path: Path) -> None:
    hub = SignedHub(tmp_path, passphrase=b"open sesame")
    hub.authority.create("moe", root_keys=3, root_threshold=2)
    keys = sorted((tmp_path / "keys").rglob("*.pem"))

    assert len(keys) == 7
    for key in keys:
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


@pytest.mark.parametrize(
    ("made_with", "given", "message"),
    [
        (b"right", b"wrong", "the passphrase is wrong, or the file is broken"),
        (b"right", None, "needs a passphrase"),
        (None, b"any", "has no passphrase, but one was given"),
    ],
)
def test_a_wrong_passphrase_is_told_in_one_sentence(
    tmp_path: Path, made_with: bytes | None, given: bytes | None, message: str
) -> None:
    SignedHub(tmp_path, passphrase=made_with).authority.create("moe")
    before = tree(tmp_path / "repository")
    with pytest.raises(RequestError) as caught:
        SignedHub(tmp_path, passphrase=given).publish("maths.1")

    assert caught.value.message.startswith(f"key {tmp_path / 'keys' / 'moe'}")
    assert caught.value.message.endswith(message)
    assert "ALFORJA_HUB_PASSPHRASE" in caught.value.advice
    assert tree(tmp_path / "repository") == before


def test_a_key_file_in_the_place_of_another_signs_nothing(tmp_path: Path) -> None:
    hub = a_hub(tmp_path)
    hub.authority.add_publisher("uni")
    [mine], [others] = (sorted((tmp_path / "keys" / role).iterdir()) for role in ("moe", "uni"))
    mine.write_bytes(others.read_bytes())
    with pytest.raises(StoreError, match="is not the key it is named for"):
        hub.publish("maths.2")

    mine.write_bytes(b"rot")
    with pytest.raises(RequestError, match="the file is broken"):
        hub.publish("maths.2")


def test_replaced_keys_are_removed(tmp_path: Path) -> None:
    hub = a_hub(tmp_path)
    for role in ("timestamp", "moe", "root"):
        before = set((tmp_path / "keys" / role).iterdir())
        hub.authority.rotate(role)
        after = set((tmp_path / "keys" / role).iterdir())

        assert len(after) == len(before) == 1
        assert not after & before


async def test_a_root_of_two_of_three_keys_signs_with_any_two_and_not_with_one(tmp_path: Path) -> None:
    hub = a_hub(tmp_path / "hub")
    node = await TrustingNode.of(tmp_path / "node", hub)
    await node.refresh(hub.source)
    hub.authority.set_root(keys=3, threshold=2)
    first, second, third = sorted((tmp_path / "hub" / "keys" / "root").iterdir())
    first.rename(tmp_path / "first.pem")
    hub.authority.rotate("timestamp")
    second.rename(tmp_path / "second.pem")
    before = tree(hub.repository)
    with pytest.raises(RequestError, match="role root: 1 of the 2 keys that must sign are here") as caught:
        hub.authority.rotate("timestamp")
    with pytest.raises(RequestError, match="role root: 1 of the 2 keys that must sign are here"):
        set_root(hub)
    hub.publish("maths.2")  # needs no root

    assert third.exists()
    assert "keys/root" in caught.value.advice
    assert tree(hub.repository)["trust/3.root.json"] == before["trust/3.root.json"]
    assert hub.authority.describe()["root"] == {
        "version": 3, "expires": "2031-12-31T00:00:00+00:00", "threshold": 2, "keys": 3, "keys_here": 1,
    }  # fmt: skip
    assert bundles((await node.refresh(hub.source)).offers) == ["bundles/moe/maths.1", "bundles/moe/maths.2"]


@pytest.mark.parametrize(("keys", "threshold"), [(1, 2), (3, 0), (0, 0)])
def test_a_threshold_that_cannot_be_reached_is_refused(tmp_path: Path, keys: int, threshold: int) -> None:
    with pytest.raises(RequestError, match="cannot be reached"):
        SignedHub(tmp_path).authority.create("moe", root_keys=keys, root_threshold=threshold)
    hub = a_hub(tmp_path / "hub")
    with pytest.raises(RequestError, match="cannot be reached"):
        hub.authority.set_root(keys=keys, threshold=threshold)

    assert hub.authority.describe()["root"]["version"] == 1


# Asking for what cannot be


def test_what_is_asked_of_a_publisher_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    hub = a_hub(tmp_path)
    hub.authority.add_publisher("gone")
    hub.authority.remove_publisher("gone")
    for name in ("gone", "never"):
        for refused in (
            lambda: hub.publish("maths.1", publisher=name),  # noqa: B023 (called at once)
            lambda: hub.authority.remove_publisher(name),  # noqa: B023
            lambda: hub.authority.rotate(name),  # noqa: B023
            lambda: hub.authority.targets(name),  # noqa: B023
        ):
            with pytest.raises(RequestError, match=f"{name}: is not known here"):
                refused()
    with pytest.raises(RequestError, match="publisher moe: publishes here already"):
        hub.authority.add_publisher("moe")
    with pytest.raises(RequestError, match="holds metadata already"):
        hub.authority.create("moe")

    assert list(hub.authority.list_publishers()) == ["moe"]


@pytest.mark.parametrize("name", ["root", "Timestamp", "..", "a/b", "x" * 64, "con", ""])
def test_a_publisher_cannot_have_a_name_that_means_something_else(tmp_path: Path, name: str) -> None:
    hub = a_hub(tmp_path)
    with pytest.raises(FormatError, match="not a usable name"):
        hub.authority.add_publisher(name)

    assert list(hub.authority.list_publishers()) == ["moe"]


@pytest.mark.parametrize("path", ["bundles/uni/maths.1", "bundles/moe/../uni/maths.1", "bundles/moe/MATHS.1", "x"])
def test_a_publisher_cannot_sign_below_another_name(tmp_path: Path, path: str) -> None:
    hub = a_hub(tmp_path)
    hub.authority.add_publisher("uni")
    with pytest.raises(AlforjaError, match=r"does not belong to publisher moe|not of the form|not a usable name"):
        hub.authority.publish("moe", {path: a_target("maths.1")})

    assert hub.offered() == ["bundles/moe/maths.1"]


def test_every_name_is_a_good_publisher_even_that_of_a_method(tmp_path: Path) -> None:
    hub = SignedHub(tmp_path)
    hub.authority.create("of")
    hub.authority.renew()

    assert hub.authority.describe()["of"]["expires"] == hub.authority.describe()["targets"]["expires"]


# Lifetimes


async def test_renewing_signs_what_is_past_half_its_life_and_nothing_else(tmp_path: Path) -> None:
    hub = a_hub(tmp_path / "hub")
    node = await TrustingNode.of(tmp_path / "node", hub)
    hub.clock.forward(30)
    first = hub.authority.renew()
    hub.clock.forward(200)
    [away] = (tmp_path / "hub" / "keys" / "moe").iterdir()
    away.rename(tmp_path / "moe.pem")
    second = hub.authority.renew()
    (tmp_path / "moe.pem").rename(away)
    third = hub.authority.renew()
    node.clock.now = hub.clock.now

    assert first == ["timestamp"]
    assert second == ["snapshot", "targets", "timestamp"]
    assert third == ["moe", "timestamp"]
    assert hub.authority.renew() == ["timestamp"]
    assert (await node.refresh(hub.source)).stale_since is None


# What is kept


def test_only_the_kept_versions_leave_files_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chronicle, "VERSIONS_KEPT", 3)
    hub = a_hub(tmp_path)
    for number in range(2, 9):
        hub.publish(f"maths.{number}")
    names = {path.name for path in (hub.repository / "trust").iterdir()}
    deltas = {path.name for path in (hub.repository / "trust" / "after").iterdir()}

    assert hub.version == 9
    assert deltas == {"0", "7", "8", "9"}
    assert names == {
        "after", "1.root.json", "1.targets.json", "timestamp.json",
        *(f"{version}.{role}.json" for version in (7, 8, 9) for role in ("snapshot", "moe")),
    }  # fmt: skip
    assert len(list((tmp_path / "history").iterdir())) == 3


async def test_a_hub_that_lost_its_memory_goes_on_and_freezes_nobody(tmp_path: Path) -> None:
    hub = a_hub(tmp_path / "hub")
    node = await TrustingNode.of(tmp_path / "node", hub)
    await node.refresh(hub.source)
    for path in (tmp_path / "hub" / "history").iterdir():
        path.unlink()
    hub.authority.rotate("timestamp")
    hub.publish("maths.2")

    assert bundles((await node.refresh(hub.source)).offers) == ["bundles/moe/maths.1", "bundles/moe/maths.2"]


def test_a_repository_with_a_file_missing_says_which(tmp_path: Path) -> None:
    hub = a_hub(tmp_path)
    (hub.repository / "trust" / "1.targets.json").unlink()
    with pytest.raises(StoreError, match=r"1\.targets\.json: is missing"):
        hub.publish("maths.2")
    (hub.repository / "trust" / "1.targets.json").write_bytes(b"rot")
    with pytest.raises(StoreError, match=r"1\.targets\.json: is not readable"):
        hub.publish("maths.2")


def test_the_newest_delta_says_in_a_few_bytes_that_nothing_is_new(tmp_path: Path) -> None:
    hub = a_hub(tmp_path)
    data = (hub.repository / trust_delta_path(hub.version)).read_bytes()

    assert not parse_delta(data, hub.version, {}).files
    assert len(data) < 60


def test_what_is_stated_beside_a_target_comes_back_as_it_was(tmp_path: Path) -> None:
    hub = a_hub(tmp_path)
    stated = {"title": {"ar": "رياضيات"}, "from": {"1": [1, 2]}, "later": None}
    hub.authority.publish("moe", {"bundles/moe/maths.2": Target(9, bytes(32), stated)}, remove=["bundles/moe/maths.1"])

    assert hub.authority.targets("moe") == {"bundles/moe/maths.2": Target(9, bytes(32), stated)}


def test_keys_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    hub = a_hub(tmp_path)
    [key] = (tmp_path / "keys" / "moe").iterdir()
    key.unlink()
    key.mkdir()
    with pytest.raises(StoreError, match=r"moe.*: cannot be read \(Is a directory\)"):
        hub.publish("maths.2")

"""Power fails, or the disk fills, at the n-th durable operation: for every n, nothing confirmed is lost.

The cut is simulated in the process: the n-th call of a disk or ledger operation
raises, everything in memory is thrown away, and a new contact begins from what
lies in store and ledger.
"""

import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from alforja_node import disk
from alforja_node.ledger import Ledger, open_ledger
from alforja_node.sources import DirectorySource, Source
from alforja_node.store import Store
from alforja_node.transfer import Catalogue, Contact, load_releases
from alforja_packaging.errors import StoreError
from tests.simulators.hub import SimulatedHub, Tree

DISK = ("put", "place", "sync_folder", "write_at", "sync", "remove")
LEDGER = ("expect", "activate", "mark_held")
FIRST = {"a/page.html": b"<p>first words " * 300, "a/empty.txt": b"", "b/film.mp4": bytes(range(256)) * 90}
SECOND = FIRST | {"a/page.html": b"<p>first words " * 200 + b"and second ones", "c/new.html": b"new"}


class PowerCut(BaseException):
    """The machine stops here."""


@contextmanager
def failing_at(count: int, failure: Callable[[], BaseException], patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail the `count`-th operation on disk or ledger, before or after its work as `count` is even or odd."""
    calls: list[str] = []

    def watch(name: str) -> bool:
        calls.append(name)
        return len(calls) == (count + 1) // 2

    with patch.context() as inner:
        for name in DISK:
            inner.setattr(disk, name, _failing(getattr(disk, name), name, watch, count, failure))
        inner.setattr(disk.Staging, "write", _failing(disk.Staging.write, "write", watch, count, failure))
        for name in LEDGER:
            inner.setattr(Ledger, name, _failing_async(getattr(Ledger, name), name, watch, count, failure))
        yield calls


def _failing(
    work: Any, name: str, watch: Callable[[str], bool], count: int, failure: Callable[[], BaseException]
) -> Any:
    def operation(*args: Any, **kwargs: Any) -> Any:
        now = watch(name)
        if now and count % 2:
            raise failure()
        answer = work(*args, **kwargs)
        if now:
            raise failure()
        return answer

    return operation


def _failing_async(
    work: Any, name: str, watch: Callable[[str], bool], count: int, failure: Callable[[], BaseException]
) -> Any:
    async def operation(*args: Any, **kwargs: Any) -> Any:
        now = watch(name)
        if now and count % 2:
            raise failure()
        answer = await work(*args, **kwargs)
        if now:
            raise failure()
        return answer

    return operation


class School:
    """A node's folder; everything else about it is forgotten between contacts."""

    def __init__(self, folder: Path, hub: SimulatedHub) -> None:
        self.folder, self.hub = folder, hub

    @asynccontextmanager
    async def awake(self) -> AsyncIterator[tuple[Store, Ledger]]:
        store = Store(self.folder / "store")
        store.prepare()
        async with open_ledger(self.folder / "ledger.sqlite") as ledger:
            yield store, ledger

    async def contact(self) -> Contact:
        async def refresh(_: Source) -> Catalogue:
            return Catalogue(self.hub.offers)

        async with self.awake() as (store, ledger):
            await ledger.subscribe("moe", "maths")
            contact = Contact(store, ledger, DirectorySource(self.hub.repository), refresh, retries=0)
            await contact.run()
            return contact

    async def served(self) -> Tree:
        """What is active and whole, every byte checked against its name."""
        async with self.awake() as (store, ledger):
            for digest in await ledger.held():
                assert disk.digest_of(store.path_of(digest))[0] == digest  # nothing confirmed is lost
            for one in await load_releases(store, ledger):
                if one.release.state == "active":
                    assert not one.missing
                    return {file.path: store.path_of(file.digest).read_bytes() for file in one.manifest.files}
        return {}


async def prepare(tmp_path: Path, *, update: bool) -> School:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", FIRST)
    school = School(tmp_path / "school", hub)
    school.folder.mkdir()
    if update:
        await school.contact()
        hub.publish("maths", SECOND)
    return school


@pytest.mark.parametrize("update", [False, True], ids=["install", "update"])
async def test_a_power_cut_at_any_step_leaves_the_old_release_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: bool
) -> None:
    before, after = (FIRST, SECOND) if update else ({}, FIRST)
    count = steps = 0
    while True:
        count += 1
        school = await prepare(tmp_path / str(count), update=update)
        with failing_at(count, PowerCut, monkeypatch) as calls, suppress(PowerCut):
            await school.contact()
        steps = max(steps, len(calls))
        assert await school.served() in (before, after), f"cut {count}: {calls}"
        await school.contact()
        assert await school.served() == after, f"cut {count}: {calls}"
        if len(calls) < (count + 1) // 2:  # it ran to its end
            break

    assert count > 2 * steps > 20


@pytest.mark.parametrize("update", [False, True], ids=["install", "update"])
async def test_a_full_disk_at_any_step_loses_nothing_and_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: bool
) -> None:
    before, after = (FIRST, SECOND) if update else ({}, FIRST)
    count = 1
    while True:
        school = await prepare(tmp_path / str(count), update=update)
        with failing_at(count, lambda: disk.DiskFull("card: the disk is full"), monkeypatch) as calls:
            contact = await school.contact()
        if len(calls) < (count + 1) // 2:
            break
        assert await school.served() in (before, after)
        assert [type(one) for one in contact.failures] in ([disk.DiskFull], [])
        await school.contact()
        assert await school.served() == after
        count += 2  # before the operation does its work, as a full disk would

    assert count > 20


@pytest.mark.parametrize("call", ["pwrite", "fsync", "open"])
def test_the_systems_own_errors_become_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "folder" / "file"
    target.parent.mkdir()
    disk.put(target, b"old")
    monkeypatch.setattr(os, call, full)
    attempts: dict[str, list[Callable[[], None]]] = {
        "pwrite": [lambda: disk.write_at(target, 0, b"new")],
        "fsync": [lambda: disk.put(target, b"new")],
        "open": [lambda: disk.write_at(target, 0, b"new"), lambda: disk.sync(target)],
    }
    for attempt in attempts[call]:
        with pytest.raises(StoreError, match="the disk is full"):
            attempt()
    monkeypatch.undo()

    assert target.read_bytes() == b"old"

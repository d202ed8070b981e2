"""One contact after the other, over links that cut, lie and come back."""

import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from alforja_node.ledger import Ledger, open_ledger
from alforja_node.planner import NO_OUTLOOK, NO_WISHES, Fetch
from alforja_node.planning.forecast import Forecast
from alforja_node.planning.outlook import Outlook
from alforja_node.planning.wishes import Wish, Wishes
from alforja_node.sources import DirectorySource, Source
from alforja_node.store import Store
from alforja_node.transfer import Catalogue, Contact, Outcome, export, load_releases, prune, scrub
from alforja_packaging import frames
from alforja_packaging.abilities import Ability, find_abilities
from alforja_packaging.errors import RequestError
from tests.simulators.hub import SimulatedHub, Tree
from tests.simulators.links import CuttingSource, TamperingSource

KEY = ("moe", "maths")


@dataclass
class School:
    """A node in a folder, and the offers it has verified."""

    hub: SimulatedHub
    store: Store
    ledger: Ledger

    async def contact(self, source: Source | None = None, budget: int | None = None) -> Outcome:
        """Have one contact, without retries."""
        contact = self.open(source, budget)
        return await contact.run()

    def open(
        self, source: Source | None = None, budget: int | None = None, able: Ability = find_abilities,
        wishes: Wishes = NO_WISHES, outlook: Outlook = NO_OUTLOOK,
    ) -> Contact:  # fmt: skip
        """A contact that has not begun."""

        async def refresh(_: Source) -> Catalogue:
            return Catalogue(self.hub.offers)

        source = source or DirectorySource(self.hub.repository)
        return Contact(
            self.store, self.ledger, source, refresh,
            budget=budget, retries=0, able=able, wishes=wishes, outlook=outlook,
        )  # fmt: skip

    async def tree(self, course: str = "maths") -> Tree:
        """What the active release of a course holds, read from the store."""
        for one in await load_releases(self.store, self.ledger):
            if one.release.course == course and one.release.state == "active":
                return {file.path: self.store.path_of(file.digest).read_bytes() for file in one.manifest.files}
        return {}

    def partial(self) -> list[str]:
        """What still lies about half received."""
        return sorted(path.name for path in (self.store.root / "partial").iterdir())


@asynccontextmanager
async def a_school(tmp_path: Path, hub: SimulatedHub, *courses: str) -> AsyncIterator[School]:
    store = Store(tmp_path / "store")
    store.prepare()
    async with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        for course in courses or ("maths",):
            await ledger.subscribe("moe", course)
        yield School(hub, store, ledger)


def words(seed: int, size: int) -> bytes:
    chance = random.Random(seed)
    pool = [f"w{chance.randrange(400)} ".encode() for _ in range(size // 3)]
    return b"".join(pool)[:size]


def first_tree() -> dict[str, bytes]:
    noise = random.Random(7)
    return {
        "one/page.html": words(1, 30_000),
        "one/empty.txt": b"",
        "two/page.html": words(2, 40_000),
        "two/picture.png": noise.randbytes(50_000),
        "two/film.mp4": noise.randbytes(300_000),
        "three/page.html": words(3, 20_000),
        "three/copy.png": random.Random(8).randbytes(2_000),
        "three/again.png": random.Random(8).randbytes(2_000),
    }


def second_tree() -> dict[str, bytes]:
    tree = first_tree()
    tree["one/page.html"] = tree["one/page.html"][:10_000] + b"changed" + tree["one/page.html"][10_000:]
    tree["four/new.html"] = tree["two/page.html"][5_000:] + b"and more"
    tree["four/moved.png"] = tree.pop("two/picture.png")
    del tree["three/again.png"]
    return tree


async def test_a_first_install_brings_exactly_what_was_published(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        outcome = await school.contact()

        assert outcome.activated == ["moe/maths.1"]
        assert outcome.errors == []
        assert sorted(outcome.lessons_usable) == [f"moe/maths/lesson-{number}" for number in range(3)]
        assert await school.tree() == first_tree()
        assert school.partial() == []


async def test_an_update_brings_exactly_what_was_published_for_fewer_bytes(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        first = await school.contact()
        hub.publish("maths", second_tree())
        second = await school.contact()

        assert await school.tree() == second_tree()
        assert second.received < first.received / 50
        assert second.requests == 1  # the index, and with it the few frames


@pytest.mark.parametrize("piece_bytes", [7_000, 100_000])
async def test_files_of_many_pieces_come_whole_whether_in_one_frame_or_in_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr(frames, "PIECE_MAX_BYTES", piece_bytes)
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        assert await school.tree() == first_tree()
        film = random.Random(9).randbytes(600_000)  # too much for an update without digests
        tree = second_tree() | {"two/film.mp4": first_tree()["two/film.mp4"][::-1] + film}
        hub.publish("maths", tree)
        outcome = await school.contact()

        assert await school.tree() == tree
        assert outcome.errors == []


async def test_nothing_is_fetched_when_nothing_is_new(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        outcome = await school.contact()

        assert (outcome.requests, outcome.received, outcome.activated) == (0, 0, [])


@pytest.mark.parametrize("update", [False, True])
async def test_a_link_cut_anywhere_loses_no_byte(tmp_path: Path, update: bool) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        if update:
            await school.contact()
            hub.publish("maths", second_tree())
        before = await school.tree()
        chance = random.Random(5)
        seen: list[tuple[str, int]] = []
        for _ in range(400):
            source = CuttingSource(hub.repository, chance.randrange(1, 1_000 if update else 12_000))
            outcome = await school.contact(source)
            seen += [(path, byte) for path, first, last in source.streamed for byte in range(first, last + 1)]
            if outcome.activated:
                break
            assert await school.tree() == before  # the old release is served until the new one is whole

        assert await school.tree() == (second_tree() if update else first_tree())
        assert len(seen) == len(set(seen))  # not one byte came twice


async def test_what_arrived_from_one_source_is_continued_from_another(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        link = CuttingSource(hub.repository, 123_456)
        await school.contact(link)
        stick = CuttingSource(hub.repository, 10**9)
        await school.contact(stick)

        fetched = [
            (path, byte) for path, first, last in link.streamed + stick.streamed for byte in range(first, last + 1)
        ]
        assert len(fetched) == len(set(fetched))
        assert await school.tree() == first_tree()


async def test_a_budget_is_never_exceeded_and_small_contacts_add_up(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        for _ in range(60):
            outcome = await school.contact(budget=15_000)
            assert outcome.received + outcome.sent <= 15_000
            if outcome.activated:
                break

        assert await school.tree() == first_tree()


async def test_lessons_become_usable_one_by_one(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    noise = random.Random(1)
    tree = {f"l{number}/p.png": noise.randbytes(200_000) for number in range(6)}
    hub.publish("maths", tree)
    async with a_school(tmp_path, hub) as school:
        outcome = await school.contact(budget=500_000)
        kept = await load_releases(school.store, school.ledger)

        assert outcome.lessons_usable == ["moe/maths/lesson-0", "moe/maths/lesson-1"]
        assert [(one.release.state, len(one.missing)) for one in kept] == [("incoming", 4)]


async def test_a_pinned_lesson_comes_first_and_the_rest_is_foreseen(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    noise = random.Random(1)
    for course in ("art", "maths"):
        hub.publish(course, {f"l{number}/p.png": noise.randbytes(200_000) for number in range(4)})
    async with a_school(tmp_path, hub, "art", "maths") as school:
        wishes = Wishes((Wish("pin", KEY, "3"),))
        contact = school.open(budget=250_000, wishes=wishes)
        outcome = await contact.run()
        prospect = await contact.foresee()

        assert outcome.lessons_usable == ["moe/maths/lesson-2"]
        assert prospect is not None
        assert prospect.things == 7
        assert prospect.size < 7 * 201_000 - 40_000  # the rest of the budget has begun the next one
        assert {one.lesson for one in prospect.first if one.course == "maths"} == {"lesson-0", "lesson-1", "lesson-3"}


async def test_a_cap_is_kept_and_its_last_bytes_wait_for_what_is_wanted(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    noise = random.Random(1)
    hub.publish("maths", {f"l{number}/p.png": noise.randbytes(20_000) for number in range(6)})
    async with a_school(tmp_path, hub) as school:
        outlook = Outlook("hub", forecast=Forecast(cap_left=70_000, cap=1_000_000))
        outcome = await school.open(outlook=outlook).run()
        assert 15_000 < outcome.received + outcome.sent <= 20_000

        pinned = Wishes((Wish("pin", KEY),))
        left = replace(outlook, forecast=Forecast(cap_left=51_000, cap=1_000_000))
        outcome = await school.open(wishes=pinned, outlook=left).run()
        assert 45_000 < outcome.received + outcome.sent <= 51_000


@pytest.mark.parametrize("where", [0, 50, 700, 5_000, 60_000])
async def test_changed_bytes_are_refused_and_the_good_ones_taken_later(tmp_path: Path, where: int) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())

    def change(path: str, at: int, chunk: bytes) -> bytes:
        spots = range(where, where + 8)  # more than a checksum, which nobody needs
        return bytes(byte ^ (place in spots) for place, byte in enumerate(chunk, start=at))

    async with a_school(tmp_path, hub) as school:
        bad = await school.contact(TamperingSource(hub.repository, change))
        assert bad.activated == []
        assert bad.errors
        assert str(hub.repository) in bad.errors[0]
        for digest, _ in school.store.held_on_disk():
            assert hashlib.sha256(school.store.path_of(bytes.fromhex(digest)).read_bytes()).hexdigest() == digest
        await school.contact()

        assert await school.tree() == first_tree()


async def test_a_changed_update_without_digests_is_refused_whole(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        hub.publish("maths", second_tree())
        update, install = hub.pack("maths", 2, "from-1"), hub.pack("maths", 2, "install")
        length = update.stat().st_size
        install.rename(install.with_name("elsewhere"))

        def change(path: str, at: int, chunk: bytes) -> bytes:
            return chunk[:-3] + b"xyz" if at + len(chunk) == length else chunk

        bad = await school.contact(TamperingSource(hub.repository, change))
        assert bad.errors
        assert bad.wasted > 0
        assert await school.tree() == first_tree()
        await school.contact()

        assert await school.tree() == second_tree()


async def test_an_old_node_goes_by_a_chain_of_adjacent_updates(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    tree = first_tree()
    hub.publish("maths", tree)
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        for number in range(4):
            tree["one/page.html"] += words(100 + number, 500)
            hub.publish("maths", tree, updates_kept=1)
        outcome = await school.contact()

        assert outcome.activated == ["moe/maths.5"]
        assert outcome.received < 20_000
        assert await school.tree() == tree


async def test_two_courses_store_and_fetch_what_they_share_once(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    hub.publish("science", {"a/film.mp4": first_tree()["two/film.mp4"], "a/x.html": words(9, 1_000)})
    async with a_school(tmp_path, hub, "maths") as school:
        await school.contact()
        await school.ledger.subscribe("moe", "science")
        outcome = await school.contact()

        assert outcome.received < 5_000
        assert await school.tree("science") == {"a/film.mp4": first_tree()["two/film.mp4"], "a/x.html": words(9, 1_000)}


async def test_pruning_keeps_what_any_course_needs_and_one_release_to_return_to(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    hub.publish("science", {"a/film.mp4": first_tree()["two/film.mp4"]})
    async with a_school(tmp_path, hub, "maths", "science") as school:
        await school.contact()
        hub.publish("maths", second_tree())
        await school.contact()
        assert (await prune(school.store, school.ledger))["files"] == 0  # the release before may be wanted again
        await school.ledger.unsubscribe("moe", "maths")
        freed = await prune(school.store, school.ledger)

        assert freed["files"] > 0
        assert await school.tree("science") == {"a/film.mp4": first_tree()["two/film.mp4"]}
        assert [bytes.fromhex(name) for name, _ in school.store.held_on_disk()] == list(await school.ledger.held())


async def test_rolling_back_is_instant_and_lasts_until_a_newer_release(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        hub.publish("maths", second_tree())
        await school.contact()
        assert await school.ledger.roll_back(*KEY) == (2, 1)
        assert await school.tree() == first_tree()
        outcome = await school.contact()
        assert (outcome.activated, outcome.received) == ([], 0)
        hub.publish("maths", second_tree() | {"five/x.html": b"new"})
        await school.contact()

        assert await school.tree() == second_tree() | {"five/x.html": b"new"}


async def test_a_rotted_file_is_found_and_fetched_again(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        digest = hashlib.sha256(first_tree()["two/picture.png"]).digest()
        school.store.path_of(digest).write_bytes(b"rot")
        assert await scrub(school.store, school.ledger, lambda _done, _total: None) == {digest}
        outcome = await school.contact()

        assert await school.tree() == first_tree()
        assert outcome.frames.received < 200_000  # one frame, not the course


async def test_a_rotted_base_does_not_stop_an_update(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        digest = hashlib.sha256(first_tree()["one/page.html"]).digest()
        school.store.path_of(digest).write_bytes(words(1, 29_000))
        hub.publish("maths", second_tree())
        await school.contact()
        await school.contact()

        assert await school.tree() == second_tree()


async def test_an_export_equals_the_tree_and_refuses_to_overwrite(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    tree = {"a b/ü\udcff.html": b"x", "c.txt": b""}
    hub.publish("maths", tree)
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        kept = await load_releases(school.store, school.ledger)
        export(school.store, kept[0].manifest, tmp_path / "out")

        assert {
            str(path.relative_to(tmp_path / "out")): path.read_bytes()
            for path in (tmp_path / "out").rglob("*")
            if path.is_file()
        } == tree
        with pytest.raises(RequestError, match="is not an empty folder"):
            export(school.store, kept[0].manifest, tmp_path / "out")


async def test_a_dry_run_shows_the_plan_and_activates_nothing(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        plan = await school.open().plan()
        assert {type(step) for step in plan} == {Fetch}
        assert await school.tree() == {}
        outcome = await school.contact()

        assert outcome.frames.received == sum(step.last - step.first + 1 for step in plan if isinstance(step, Fetch))

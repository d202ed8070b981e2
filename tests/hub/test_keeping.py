"""What is kept of a course's past: decided over values, then done to files."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_hub import shelf
from alforja_hub.carry import carry
from alforja_hub.importers import Imported
from alforja_hub.keeping import Keeping, Lapses, Offered, Update, choose_dropped, end_of_grace, note_lapsed
from alforja_hub.publish import Press, Published
from alforja_hub.settings import HubSettings
from alforja_hub.signing import Authority
from alforja_hub.upkeep import Upkeep
from alforja_hub.workspace import CourseNote, Workspace
from alforja_packaging.course import Course
from alforja_packaging.errors import StoreError
from alforja_packaging.layout import Start
from tests.simulators.hub import InlineExecutor, Tree, make_manifest

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DAY = timedelta(days=1)


class Hub:
    """A hub in a folder, with a clock that can be set."""

    def __init__(self, home: Path, **settings: int) -> None:
        self.settings, self.clock = HubSettings(home=home, workers=1, **settings), NOW
        self.workspace = Workspace(self.settings.workspace, home / "hub.sqlite")
        self.workspace.prepare()
        self.authority = Authority(
            self.settings.repository, self.settings.keys, home / "history", now=lambda: self.clock
        )
        if not self.authority.exists():
            self.authority.create("moe")
        self.press = Press(self.settings, self.workspace, self.authority, InlineExecutor())
        self.upkeep = Upkeep(self.settings, self.authority)

    def publish(self, tree: Tree, course: str = "maths") -> Published:
        manifest = make_manifest("moe", course, 1, tree)
        imported = Imported(Course(course, {"en": course}, sections=manifest.course.sections), dict(tree))
        note = CourseNote(course, "moe", "folder", "/somewhere", NOW.isoformat())
        self.workspace.take_in(imported, "moe", note, lambda _done, _total: None)
        return self.press.publish(course, self.clock, lambda _what, _done, _total: None)

    def prune(self, grace_days: int | None = None, course: str = "maths") -> set[str]:
        """Prune, and give what went."""
        plan = self.upkeep.plan("moe", course, self.clock, grace_days)
        self.upkeep.carry_out(plan)
        return {one.name.removeprefix("moe/") for one in plan.remove}

    def packs(self) -> set[str]:
        folder = self.settings.repository / "bundles" / "moe"
        return {str(path.relative_to(folder)) for path in folder.glob("*/*")}

    def stated(self) -> dict[int, set[int]]:
        """The releases that updates start from, for each signed release."""
        return {
            int(path.rpartition(".")[2]): {int(start) for start in target.custom.get("from", {})}
            for path, target in self.authority.targets("moe").items()
        }


def pages(edit: int) -> Tree:
    """A small course, a part of which is new with each edit."""
    noise = b"".join((n * 7919 + edit * 104729).to_bytes(4) for n in range(300 + edit))
    return {"a/page.html": b"<p>always</p>" * 50, f"b/{edit}.png": noise}


updates = st.integers(2, 12).flatmap(
    lambda newest: st.builds(
        Offered,
        newest=st.just(newest),
        install_size=st.integers(0, 1000),
        updates=st.sets(
            st.one_of(
                st.tuples(st.integers(1, newest - 1), st.just(newest)),
                st.integers(1, newest - 1).map(lambda start: (start, start + 1)),
            )
        ).flatmap(
            lambda ways: st.tuples(
                *(st.builds(Update, st.just(Start(a)), st.just(b), st.integers(1, 500)) for a, b in sorted(ways))
            )
        ),
    )
)
wishes = st.builds(Keeping, releases=st.integers(1, 12), bytes_max=st.none() | st.integers(0, 4000))


@given(updates, wishes)
def test_what_is_dropped_brings_packs_within_the_bound_or_leaves_only_what_must_stay(
    offered: Offered, keeping: Keeping
) -> None:
    left = offered.without(choose_dropped(offered, keeping))

    newest_direct = max((one.start for one in offered.updates if one.end == offered.newest), default=None)
    must_stay = {one for one in offered.updates if (one.start, one.end) == (newest_direct, offered.newest)}
    assert must_stay <= set(left.updates)
    assert sum(one.end == offered.newest for one in left.updates) <= keeping.releases
    if keeping.bytes_max is not None:
        assert left.size <= keeping.bytes_max or set(left.updates) == must_stay


@given(updates, wishes)
def test_dropping_again_drops_nothing_and_no_drop_is_needless(offered: Offered, keeping: Keeping) -> None:
    dropped = choose_dropped(offered, keeping)

    assert choose_dropped(offered.without(dropped), keeping) == ()
    if dropped and keeping.bytes_max is not None:
        within = offered.without(choose_dropped(offered, replace(keeping, bytes_max=None)))
        assert within.size > keeping.bytes_max or not set(dropped) & set(within.updates)


@given(updates, wishes)
def test_an_update_by_which_an_older_kept_one_goes_on_is_never_dropped_for_its_bytes(
    offered: Offered, keeping: Keeping
) -> None:
    by_bytes = replace(keeping, releases=99)
    dropped = choose_dropped(offered, by_bytes)
    left = offered.without(dropped).updates

    if dropped and left:
        oldest = min(one.start for one in left)
        newest_direct = max((one.start for one in offered.updates if one.end == offered.newest), default=None)
        assert all(one.start <= oldest or oldest == newest_direct for one in dropped)


def test_the_step_of_a_chain_goes_before_the_direct_update_from_the_same_release() -> None:
    step, direct, last = Update(Start(1), 2, 100), Update(Start(1), 3, 100), Update(Start(2), 3, 100)
    offered = Offered(3, 100, (step, direct, last))

    assert choose_dropped(offered, Keeping(bytes_max=350)) == (step,)
    assert choose_dropped(offered, Keeping(bytes_max=250)) == (step, direct)
    assert choose_dropped(offered, Keeping(bytes_max=0)) == (step, direct)


def test_a_clock_that_falls_back_and_is_mended_makes_nothing_look_old() -> None:
    fallen = datetime(1970, 1, 2, tzinfo=UTC)
    before = note_lapsed(Lapses(), [], NOW, publisher="moe", course="maths")
    noted = note_lapsed(before, ["moe/maths.1/install"], fallen, publisher="moe", course="maths")

    assert end_of_grace(noted, "moe/maths.1/install", 14) == NOW + 14 * DAY
    assert noted.proven(fallen) == NOW
    assert noted.proven(NOW + DAY) == NOW + DAY


def test_what_is_named_again_is_forgotten_and_other_courses_keep_their_time() -> None:
    both = note_lapsed(Lapses(), ["moe/a.1/install"], NOW, publisher="moe", course="a")
    both = note_lapsed(both, ["moe/a-b.1/install"], NOW, publisher="moe", course="a-b")
    later = note_lapsed(both, [], NOW + DAY, publisher="moe", course="a")

    assert later.since == {"moe/a-b.1/install": NOW}


def test_a_pack_goes_only_after_its_grace_and_one_that_is_named_never(tmp_path: Path) -> None:
    hub = Hub(tmp_path, updates_kept=1)
    for edit in range(4):
        hub.publish(pages(edit))
    lapsed = {name for name in hub.packs() if name in {f"maths.{n}/from-{s}" for n in range(5) for s in range(n - 1)}}
    needed = hub.packs() - {name.removeprefix("moe/") for name in hub.upkeep.lapsed("moe", "maths")}
    hub.clock += 13 * DAY
    assert hub.prune() == set()
    hub.clock += 2 * DAY
    gone = hub.prune()

    assert lapsed <= gone
    assert hub.packs() == needed
    hub.clock += 5000 * DAY
    assert hub.prune() == set()
    assert hub.packs() == needed


def test_a_node_that_reads_the_metadata_before_still_finds_all_it_names(tmp_path: Path) -> None:
    hub = Hub(tmp_path, updates_kept=2)
    for edit in range(4):
        hub.publish(pages(edit))
    named = hub.packs() - {name.removeprefix("moe/") for name in hub.upkeep.lapsed("moe", "maths")}
    hub.upkeep.keep("maths", {"bytes_max": 0, "releases": 1})
    hub.publish(pages(4))
    hub.clock += 13 * DAY
    hub.prune()

    assert named <= hub.packs()
    assert not named <= hub.packs() - {name.removeprefix("moe/") for name in hub.upkeep.lapsed("moe", "maths")}


def test_a_grace_of_nothing_removes_at_once_and_other_files_never(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    for edit in range(3):
        hub.publish(pages(edit))
    stays = hub.packs() - {name.removeprefix("moe/") for name in hub.upkeep.lapsed("moe", "maths")}
    hub.publish({"x.html": b"other"}, course="maths-b")
    hub.prune(0)

    assert hub.packs() == stays | {"maths-b.1/install", "maths-b.1/manifest"}


def test_a_lost_or_rotten_memory_begins_every_grace_anew(tmp_path: Path) -> None:
    hub = Hub(tmp_path, updates_kept=1)
    for edit in range(3):
        hub.publish({"a.html": b"%d" % edit * 400})
    before = hub.packs()
    assert hub.upkeep.lapsed("moe", "maths")
    for damage in (b"", b"[]", b'{"newest":"never","since":{}}'):
        hub.settings.lapses.write_bytes(damage)
        hub.clock += 20 * DAY
        assert hub.prune() == set()

    assert hub.packs() == before


def test_a_missing_first_install_stops_pruning_before_anything_goes(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    for edit in range(3):
        hub.publish(pages(edit))
    (hub.settings.repository / "bundles/moe/maths.3/install").unlink()
    before = hub.packs()

    with pytest.raises(StoreError, match=r"maths.3/install: is missing"):
        hub.prune(0)
    assert hub.packs() == before


def test_fewer_kept_releases_take_effect_at_once_and_stay_chosen(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    for edit in range(5):
        hub.publish(pages(edit))
    assert hub.stated()[5] == {1, 2, 3, 4}
    hub.upkeep.keep("maths", {"releases": 2})
    hub.upkeep.keep("maths", {"grace_days": 0})
    again = hub.publish(pages(4))

    assert (again.changed, {one.start for one in again.dropped}) == (False, {Start(1), Start(2)})
    assert hub.stated()[5] == {3, 4}
    assert "maths.5/from-1" not in hub.packs()
    hub.publish(pages(5))
    assert hub.stated()[6] == {4, 5}
    assert Hub(tmp_path).upkeep.keeping_of("maths") == Keeping(releases=2, grace_days=0)


def test_a_bound_gives_up_the_oldest_updates_and_the_rest_lapses(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    for edit in range(5):
        hub.publish(pages(edit))
    bound = hub.upkeep.plan("moe", "maths", NOW).offered.size - 1
    hub.upkeep.keep("maths", {"bytes_max": bound})
    plan = hub.upkeep.plan("moe", "maths", hub.clock)
    hub.upkeep.carry_out(plan)

    assert [(one.start, one.end) for one in plan.drop] == [(Start(1), 2)]
    assert plan.offered.size <= bound
    assert hub.stated() == {1: set(), 2: set(), 3: {2}, 4: {3}, 5: {1, 2, 3, 4}}
    assert "maths.2/from-1" in hub.packs()
    hub.upkeep.keep("maths", {"bytes_max": 0})
    new = hub.publish(pages(5))
    assert hub.stated() == {1: set(), 2: set(), 3: set(), 4: set(), 5: set(), 6: {5}}
    assert new.tidied.over > 0
    assert "maths.6/from-1" not in hub.packs()  # it was never laid down
    assert "maths.2/from-1" in hub.packs()  # and this one has its grace
    hub.clock += 15 * DAY
    hub.prune()
    assert {name for name in hub.packs() if "from-" in name} == {"maths.6/from-5"}


def test_a_prune_cut_at_any_write_can_be_run_again_and_never_takes_what_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(BaseException):
        pass

    ended, count = False, 0
    while not ended:
        count += 1
        hub = Hub(tmp_path / str(count), grace_days=0)
        for edit in range(3):
            hub.publish(pages(edit))
        hub.upkeep.keep("maths", {"bytes_max": 0})
        calls = 0

        def cutting(work: Callable[..., Any]) -> Callable[..., Any]:
            def operation(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == count:  # noqa: B023 (used within this round)
                    raise PowerCutError
                return work(*args, **kwargs)

            return operation

        with monkeypatch.context() as patch:
            for name in ("put", "remove"):
                patch.setattr(shelf, name, cutting(getattr(shelf, name)))
            try:
                hub.prune()
            except PowerCutError:
                pass
            else:
                ended = True
        again = Hub(tmp_path / str(count), grace_days=0)
        for release, starts in again.stated().items():
            assert {f"maths.{release}/from-{start}" for start in starts} <= again.packs()
        again.authority.finish()
        again.prune()
        assert again.stated() == {1: set(), 2: set(), 3: {2}}
        assert {name for name in again.packs() if "from-" in name} == {"maths.3/from-2"}
        assert again.upkeep.lapsed("moe", "maths") == set()

    assert count > 5


def test_a_publish_that_gives_up_and_removes_loses_nothing_when_cut_at_any_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(BaseException):
        pass

    ready = Hub(tmp_path / "ready", grace_days=0)
    for edit in range(3):
        ready.publish(pages(edit))
    ended, count = False, 0
    while not ended:
        count += 1
        home = tmp_path / str(count)
        shutil.copytree(tmp_path / "ready", home)
        hub = Hub(home, grace_days=0)
        calls = 0

        def cutting(work: Callable[..., Any]) -> Callable[..., Any]:
            def operation(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == count:  # noqa: B023 (used within this round)
                    raise PowerCutError
                return work(*args, **kwargs)

            return operation

        with monkeypatch.context() as patch:
            for name in ("put", "put_private", "join", "copy", "remove"):
                patch.setattr(shelf, name, cutting(getattr(shelf, name)))
            try:
                hub.upkeep.keep("maths", {"releases": 1, "bytes_max": 0})
                hub.publish(pages(3))
            except PowerCutError:
                pass
            else:
                ended = True
        again = Hub(home, grace_days=0)
        for release, starts in again.stated().items():  # whatever is signed for lies there, and can be opened
            assert {f"maths.{release}/from-{start}" for start in starts} <= again.packs()
        for start in (None, *again.stated()[max(again.stated())]):
            again.press.open_route("moe", "maths", Start(start) if start else None)
        stick = tmp_path / f"stick-{count}"
        stick.mkdir()
        lapsed = again.upkeep.lapsed("moe", "maths")
        carry(again.settings.repository, stick, None, lambda _done, _total: None, lapsed)
        on_stick = {"/".join(path.parts[-2:]) for path in (stick / "bundles").rglob("*") if path.is_file()}
        assert on_stick == again.packs() - {name.removeprefix("moe/") for name in lapsed} - {
            name for name in again.packs() if name.endswith(".new")
        }
        again.upkeep.keep("maths", {"releases": 1, "bytes_max": 0})
        again.publish(pages(3))
        assert again.stated() == {1: set(), 2: set(), 3: set(), 4: {3}}
        assert again.upkeep.lapsed("moe", "maths") == set()

    assert count > 10


def test_a_stick_is_not_filled_with_what_has_lapsed(tmp_path: Path) -> None:
    hub, stick = Hub(tmp_path / "hub", updates_kept=1), tmp_path / "stick"
    stick.mkdir()
    for edit in range(4):
        hub.publish({"a.html": b"%d" % edit * 400})
        lapsed = hub.upkeep.lapsed("moe", "maths")
        carry(hub.settings.repository, stick, None, lambda _done, _total: None, lapsed)

    on_stick = {str(path.relative_to(stick / "bundles")) for path in (stick / "bundles").rglob("*") if path.is_file()}
    assert lapsed
    assert on_stick == {f"moe/{name}" for name in hub.packs()} - lapsed


def test_a_removed_publishers_files_lapse_too(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    hub.publish(pages(0))
    hub.authority.add_publisher("uni")
    hub.authority.remove_publisher("moe")

    assert hub.upkeep.courses() == [("moe", "maths")]
    assert hub.prune() == set()
    hub.clock += 15 * DAY
    assert hub.prune() == {"maths.1/install", "maths.1/manifest"}
    assert hub.packs() == set()

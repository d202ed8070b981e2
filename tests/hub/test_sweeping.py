"""What a hub keeps for itself is bounded, and what is named or of use stays."""

import os
from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from alforja_hub.sweeping import Cached, Sweeper, choose_unused
from tests.hub.test_keeping import DAY, Hub


def sweep(hub: Hub, grace_days: int | None = None) -> int:
    """Sweep, and give how many files went from the workspace."""
    sweeper = Sweeper(hub.settings, hub.workspace, hub.upkeep)
    plan = sweeper.plan(hub.clock, grace_days)
    sweeper.carry_out(plan)
    return len(plan.remove)


def contents(hub: Hub) -> set[bytes]:
    return {path.read_bytes() for path, _ in hub.workspace.files()}


def test_files_go_after_the_grace_once_no_draft_and_no_manifest_names_them(tmp_path: Path) -> None:
    hub = Hub(tmp_path, updates_kept=1, chain_kept=1)
    for text in (b"one", b"two", b"three"):
        hub.publish({"a/page.html": text, "a/same.html": b"same"})
    assert contents(hub) == {b"one", b"two", b"three", b"same"}
    assert sweep(hub) == 0

    hub.clock += 15 * DAY
    hub.prune()  # the manifest of the first release goes
    assert sweep(hub) == 0
    hub.clock += 13 * DAY
    assert sweep(hub) == 0
    hub.clock += 2 * DAY
    assert sweep(hub) == 1
    assert contents(hub) == {b"two", b"three", b"same"}


def test_what_is_named_again_has_all_of_its_grace_anew(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    stray = hub.workspace.path_of(bytes(32))
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"of an import that was cut")
    assert sweep(hub) == 0

    hub.clock += timedelta(days=13)
    assert sweep(hub) == 0
    assert sweep(hub, 13) == 1
    assert not stray.exists()


def test_the_cache_keeps_what_was_of_use_last(tmp_path: Path) -> None:
    hub = Hub(tmp_path, cache_bytes_max=5_000)
    folder = hub.settings.cache / "frames" / "ab"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}-full").write_bytes(bytes(2_000))
        (folder / f"{number}-full.json").write_bytes(b"[]")
        os.utime(folder / f"{number}-full", (number, number))
    sweep(hub)

    assert {path.name for path in folder.iterdir()} == {"2-full", "2-full.json", "3-full", "3-full.json"}


def test_a_publish_after_a_sweep_of_everything_makes_the_same_packs(tmp_path: Path) -> None:
    hub = Hub(tmp_path, cache_bytes_max=0)
    first = hub.publish({"a/page.html": b"a page " * 99})
    sweep(hub, 0)
    assert not [path for path in hub.settings.cache.rglob("*") if path.is_file()]

    second = hub.publish({"a/page.html": b"a page " * 99 + b"!"})
    assert (first.release, second.release) == (1, 2)
    assert second.changed


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 9)), max_size=20), st.integers(0, 500))
def test_what_stays_is_within_the_bound_and_of_use_later_than_what_goes(
    found: list[tuple[int, int]], most: int
) -> None:
    cached = [Cached(Path(str(number)), size, used) for number, (size, used) in enumerate(found)]
    gone = choose_unused(cached, most)
    stays = [one for one in cached if one not in gone]

    assert sum(one.size for one in stays) <= most
    assert not gone or sum(one.size for one in cached) > most

"""A content team at work: publishing that is stopped, old packs that go, costs that are explained."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from alforja_packaging import jpegs
from tests.journeys.world import BIN, HubAt, Tree, run, write_tree


@pytest.fixture
def hub(tmp_path: Path) -> HubAt:
    made = HubAt(tmp_path / "hub")
    made("init", "--publisher", "moe")
    return made


def slow_tree() -> Tree:
    """A course of several frames, each of which takes a while."""
    source = random.Random(7)
    return {f"{n}.html": source.randbytes(400_000).hex().encode() for n in range(12)}


def wordy_tree() -> Tree:
    """A course that effort makes smaller."""
    source = random.Random(7)
    words = ["".join(source.choices("abcdefghijklmnop", k=source.randint(2, 9))) for _ in range(3000)]
    return {f"{n}.html": " ".join(source.choices(words, k=50_000)).encode() for n in range(12)}


def frames_of(hub: HubAt) -> dict[Path, int]:
    """Encoded frames that are kept, and the file of each: what is written anew is another one."""
    told = (hub.home / "cache" / "frames").glob("*/*.json")
    return {path: path.with_suffix("").stat().st_ino for path in told}


def left_of(session: int) -> list[str]:
    """The processes of a session that are still there, one moment later."""
    for _ in range(100):
        found = subprocess.run(["ps", "-o", "args=", "-s", str(session)], capture_output=True, text=True, check=False)
        if not found.stdout.strip():
            return []
        time.sleep(0.1)
    return found.stdout.splitlines()


@pytest.mark.parametrize(
    ("number", "whole_group", "code"),
    [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 130), (signal.SIGKILL, False, -9)],
)
def test_a_publish_that_is_stopped_ends_at_once_with_its_workers_and_goes_on_where_it_was(
    hub: HubAt, tmp_path: Path, number: signal.Signals, whole_group: bool, code: int
) -> None:
    write_tree(tmp_path / "tree", slow_tree())
    hub("import", tmp_path / "tree", "--course", "maths", "--as", "folder")
    # What runs in the background ignores Ctrl-C, and so would what it starts.
    command = ["env", "--default-signal=INT", str(BIN / "alforja-hub"), "--home", str(hub.home), "publish", "maths"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while process.poll() is None and not frames_of(hub):
            time.sleep(0.02)
        kept = frames_of(hub)
        assert process.poll() is None, "it was over before it could be stopped"  # its number may be another's by now
        # A terminal sends Ctrl-C to the workers too; systemd and a person at `kill` need not.
        (os.killpg if whole_group else os.kill)(process.pid, number)
        stopped = time.monotonic()
        _, said = process.communicate(timeout=60)
        took = time.monotonic() - stopped
    left = left_of(process.pid)
    offered = hub("show", "maths", "--json").json["releases"]
    done = hub("publish", "maths", "--json").json

    assert (process.returncode, left) == (code, [])
    assert said.strip() == ("stopped; run the command again to go on" if code == 130 else "")
    assert took < 20
    assert kept
    assert offered == []
    assert done["release"] == 1
    after = frames_of(hub)
    assert len(after) > len(kept)
    assert {path: after[path] for path in kept} == kept
    assert not list((hub.home / "cache").rglob("*.new"))


def test_a_publish_in_haste_is_right_and_larger(hub: HubAt, tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", wordy_tree())
    hub("import", tmp_path / "tree", "--course", "maths", "--as", "folder")
    began = time.monotonic()
    hasty = hub("publish", "maths", "--max-seconds", "0", "--json").json["costs"]["install"]["total"]
    took = time.monotonic() - began
    write_tree(tmp_path / "tree", wordy_tree() | {"new.html": b"one page more"})
    hub("import", tmp_path / "tree", "--course", "maths", "--as", "folder")
    said = hub("publish", "maths", "--json").json

    assert took < 30
    assert said["costs"]["install"]["total"] < 0.95 * hasty
    assert said["jpeg_xl"] is jpegs.available()


def small_tree(edit: int) -> Tree:
    noise = random.Random(edit).randbytes(3000)
    return {"a.html": b"<p>%d</p>" % edit + b"always " * 300, "b.png": noise}


def test_a_team_sets_what_is_kept_once_and_prunes(hub: HubAt) -> None:
    for edit in range(4):
        hub.publish("maths", small_tree(edit))
    said = hub("publish", "maths", "--keep-releases", "2", "--keep-bytes", "20K").out
    assert "nothing is new since release 4" in said
    assert "no longer offers" in said
    shown = hub("show", "maths")
    assert "keeps updates straight from the last 2 releases, packs within 20.0 kB, old packs for 14 more days" in (
        shown.out
    )
    assert hub("show", "maths", "--json").json["keeping"] == {"releases": 2, "bytes_max": 20_000, "grace_days": 14}

    before = {path for path in hub.repository.rglob("*") if path.is_file()}
    tried = hub("prune", "--grace", "0", "--dry-run")
    assert "maths: would remove" in tried.out
    assert {path for path in hub.repository.rglob("*") if path.is_file()} == before
    waiting = hub("prune", "maths", "--json").json["courses"][0]["waiting"]
    gone = hub("prune", "maths", "--grace", "0", "--json").json["courses"][0]["removed"]
    assert [one["file"] for one in gone] == [one["file"] for one in waiting]
    assert {path for path in before if not path.exists()} == {hub.repository / "bundles" / one["file"] for one in gone}
    assert hub("prune").out == "nothing to remove\n"

    hub("publish", "maths", "--keep-bytes", "all", "--grace", "3")
    assert hub("show", "maths", "--json").json["keeping"] == {"releases": 2, "bytes_max": None, "grace_days": 3}


def test_mistakes_about_what_to_keep_are_told_plainly(hub: HubAt) -> None:
    hub.publish("maths", small_tree(0))

    for arguments, words in [
        (("publish", "maths", "--keep-bytes", "much"), "'much' is not a size; write for example 500M, 2G or all"),
        (("publish", "maths", "--keep-releases", "0"), "0 is not in the range 1<=x<=64"),
        (("prune", "never"), "course never: is not in the workspace"),
        (("cost", "maths", "--explain", "--from", "1"), "no update leads straight from release 1 to release 1"),
    ]:
        done = run("alforja-hub", hub.home, *arguments)
        assert (done.code in (2, 7), words in done.err, "Traceback" in done.err) == (True, True, False), done.err
    assert not (hub.home / "workspace" / "keeping").exists()


def test_a_cost_is_explained_file_by_file_to_the_last_byte(hub: HubAt) -> None:
    tree = {f"{n}.html": b"<p>lesson %d</p>" % n + b"text of it " * 200 + b"made on 2026-01-01" for n in range(30)}
    hub.publish("maths", tree | {"old/a.png": random.Random(1).randbytes(5000)})
    changed = {path: data.replace(b"2026-01-01", b"2026-02-03") for path, data in tree.items()}
    new = {"moved/a.png": random.Random(1).randbytes(5000), "new.png": random.Random(2).randbytes(4000)}
    costs = hub.publish("maths", changed | new)["costs"]
    told = hub("cost", "maths", "--explain", "--json").json
    lines = hub("cost", "maths", "--explain").out.splitlines()
    first = hub("cost", "maths", "--explain", "--install", "--json").json

    assert (told["from"], told["to"]) == ("1", 2)
    assert told["bytes"] == costs["from-1"]["total"]
    assert told["index_bytes"] + sum(row["bytes"] for row in told["files"]) == told["bytes"]
    by_path = {row["path"]: row for row in told["files"]}
    assert by_path["moved/a.png"] | {"bytes": 0, "reason": "moved", "bases": ["old/a.png"]} == by_path["moved/a.png"]
    assert by_path["new.png"]["bytes"] > 3500
    assert by_path["new.png"]["reason"] == "new"
    assert by_path["3.html"]["reason"] == "changed"
    assert "3.html" in by_path["3.html"]["bases"]
    assert told["files"][0]["path"] == "new.png"
    assert "30 pages changed by fewer than 64 bytes each" in told["hints"][0]
    assert "a date or a time" in told["hints"][0]
    assert any(line.startswith("new.png") for line in lines)
    assert first["index_bytes"] + sum(row["bytes"] for row in first["files"]) == costs["install"]["total"]
    assert json.dumps(first["files"]).count('"new"') == len(first["files"])

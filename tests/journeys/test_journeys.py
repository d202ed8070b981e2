"""A course travels: from a folder on the hub to a school, over HTTP and by stick."""

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from alforja_packaging import codec
from tests.journeys.world import BIN, HubAt, NodeAt, Tree, run, started
from tests.simulators.proxy import Link

PAGE = b"<!doctype html><title>Water</title><p>" + b"Water falls, flows and rises again. " * 400


def first_tree() -> Tree:
    noise = random.Random(4)
    return {
        "water/page.html": PAGE,
        "water/drop.png": noise.randbytes(30_000),
        "fire/page.html": PAGE.replace(b"Water", b"Fire"),
        "fire/film.mp4": noise.randbytes(150_000),
    }


def later_tree(release: int) -> Tree:
    tree = first_tree()
    tree["water/page.html"] = PAGE.replace(b"falls", b"rains %d times" % release, 3)
    tree[f"earth/{release}.md"] = b"# Earth %d\n\nNew in this release.\n" % release
    return tree


@pytest.fixture
def hub(tmp_path: Path) -> HubAt:
    made = HubAt(tmp_path / "hub")
    made("init", "--publisher", "moe")
    return made


@pytest.fixture
def node(tmp_path: Path) -> NodeAt:
    return NodeAt(tmp_path / "node")


def test_install_update_and_skipping_releases_over_http(hub: HubAt, node: NodeAt, tmp_path: Path) -> None:
    hub.publish("maths", first_tree())
    with hub.serving() as address, Link(address) as link:
        node.join(hub, link.url, "maths")
        install = node.sync()
        assert node.tree("maths") == first_tree()
        assert (install["received"], install["sent"]) == (link.down, link.up)

        shutil.copytree(node.home, tmp_path / "late")
        late = NodeAt(tmp_path / "late")
        for release in (2, 3):
            assert hub.publish("maths", later_tree(release))["release"] == release
            before = link.down, link.up
            update = node.sync()
            assert (update["received"], update["sent"]) == (link.down - before[0], link.up - before[1])
            assert update["received"] < 4_000
            assert node.tree("maths") == later_tree(release)
        assert late.sync()["activated"] == ["moe/maths.3"]
        assert late.tree("maths") == later_tree(3)

        before = link.down, link.up
        nothing = node.sync()
        assert (nothing["requests"], nothing["activated"]) == (1, [])
        assert link.down + link.up - sum(before) < 300


def test_a_school_that_holds_one_course_pays_little_for_another_that_is_much_alike(
    hub: HubAt, node: NodeAt, tmp_path: Path
) -> None:
    other = later_tree(2) | {"water/own.md": b"# Only here\n\nA page of the second course.\n"}
    hub.publish("maths", first_tree())
    costs = hub.publish("maths-north", other)["costs"]
    assert list(costs) == ["install", "from-maths.1"]
    hub.publish("fire-alone", {"page.md": random.Random(9).randbytes(50_000)})
    assert list(hub("cost", "fire-alone", "--json").json) == ["install"]
    explained = hub("cost", "maths-north", "--from", "maths.1", "--json").json
    assert (explained["from"], explained["bytes"]) == ("maths.1", costs["from-maths.1"]["total"])

    with hub.serving() as address:
        fresh = NodeAt(tmp_path / "fresh").join(hub, address, "maths-north")
        assert fresh.sync()["received"] > 150_000
        node.join(hub, address, "maths")
        node.sync()
        node("subscribe", "moe/maths-north")
        second = node.sync()
        assert (second["activated"], second["errors"]) == (["moe/maths-north.1"], [])
        assert second["received"] < 4_000
        assert node.tree("maths-north") == fresh.tree("maths-north") == other
        assert node.tree("maths") == first_tree()

        # From then on it is a course like any other, and the next release of either is an update of its own.
        node("unsubscribe", "moe/maths")
        hub.publish("maths-north", other | {"water/own.md": b"# Only here\n\nChanged.\n"})
        third = node.sync()
        assert third["activated"] == ["moe/maths-north.2"]
        assert third["received"] < 3_000


def a_zim(edit: str) -> bytes:
    """A cluster as libzim writes it, and what stands around it."""
    words = (str(random.Random(number).randrange(9_999)) for number in range(90_000))
    page = " ".join([edit, *words]).encode()
    return b"ZIM\x04\5" + b"".join(codec.compress_streaming([page], {"compression_level": 19})) + bytes(80)


@pytest.mark.skipif(codec.LIBRARY_VERSION != (1, 5, 7), reason="another libzstd than the pinned one")
def test_an_archives_new_edition_costs_what_changed_in_it(hub: HubAt, node: NodeAt) -> None:
    editions = [first_tree() | {"books.zim": a_zim(edit)} for edit in ("once", "once upon", "at a time")]
    hub.publish("maths", editions[0])
    with hub.serving() as address, Link(address) as link:
        node.join(hub, link.url, "maths")
        node.sync()
        for edition in editions[1:]:
            hub.publish("maths", edition)
            assert "update from release" in hub("cost", "maths").out
            assert node.sync()["received"] < 3_000 < len(edition["books.zim"]) / 50
            assert node.tree("maths") == edition


def test_a_sync_cut_at_many_bytes_loses_none(hub: HubAt, node: NodeAt) -> None:
    hub.publish("maths", first_tree())
    with hub.serving() as address:
        node.join(hub, address, "maths")
        frames = 0
        for cut_after in (20_000, 70_000, None):  # of every connection: it goes on and on
            with Link(address, cut_after) as link:
                done = node.try_("sync", "--json", "--source", link.url)
            frames += done.json["frames"]["received"]
            if done.code == 0:
                break

        assert node.tree("maths") == first_tree()
        stated = hub("cost", "maths", "--json").json["install"]
        assert frames < stated["total"] + 30 * 400  # each byte of a frame once; headers of some requests


def test_a_killed_node_goes_on_where_it_was(hub: HubAt, node: NodeAt) -> None:
    hub.publish("maths", first_tree())
    with hub.serving() as address, Link(address, 90_000) as link:
        node.join(hub, address, "maths")
        command = [str(BIN / "alforja-node"), "--home", str(node.home), "sync", "--source", link.url]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 30
            partial = node.home / "store" / "partial"
            while sum(path.stat().st_size for path in partial.iterdir()) < 30_000 and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        here = {path.name: path.stat().st_size for path in partial.iterdir()}
        rest = node.sync(address)

        assert sum(here.values()) >= 30_000, here
        assert rest["received"] < hub("cost", "maths", "--json").json["install"]["total"] - 20_000, here
        assert node.tree("maths") == first_tree()


def test_a_stick_brings_an_install_and_then_an_update(hub: HubAt, node: NodeAt, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    hub.publish("maths", first_tree())
    hub.publish("other", {"x.html": b"not wanted here"})
    hub("carry", stick, "--course", "maths")
    assert not list(stick.glob("bundles/moe/other*"))
    node.join(hub, stick, "maths")
    node.sync()
    assert node.tree("maths") == first_tree()
    hub.publish("maths", later_tree(2))
    assert hub("carry", stick, "--course", "maths", "--json").json["already_there"] > 0

    assert node.sync()["activated"] == ["moe/maths.2"]
    assert node.tree("maths") == later_tree(2)


@pytest.mark.parametrize("what", ["trust/after/*", "bundles/*/*/from-1", "bundles/*/*/install"])
@pytest.mark.parametrize("how", ["flip", "cut", "empty"])
def test_a_tampered_stick_brings_nothing_false_and_a_good_one_repairs(
    hub: HubAt, node: NodeAt, tmp_path: Path, what: str, how: str
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    hub.publish("maths", first_tree())
    hub("carry", stick)
    node.join(hub, stick, "maths")
    if "install" not in what:
        node.sync()
        hub.publish("maths", later_tree(2))
        hub("carry", stick)
    for path in stick.glob(what):
        data = bytearray(path.read_bytes())
        if how == "flip":
            for at in range(len(data) // 3, len(data), 16):  # a single one might stand in what is not needed
                data[at] ^= 0x40
        path.write_bytes(b"" if how == "empty" else data[: len(data) * 2 // 3] if how == "cut" else data)
    bad = node.try_("sync", "--json")
    kept = {} if "install" in what else first_tree()
    if "from-1" in what:  # what the broken update should have brought comes by the first install's frames
        assert bad.code == 0
        assert str(stick) in bad.json["refused"][0]
        kept = later_tree(2)
    else:
        assert bad.code in (3, 4, 5)
        assert str(stick) in bad.json["errors"][0]
    assert (node.tree("maths") if kept else {}) == kept
    node.sync(hub.repository)

    assert node.tree("maths") == (later_tree(2) if kept else first_tree())


def test_another_hubs_root_is_not_followed(hub: HubAt, node: NodeAt, tmp_path: Path) -> None:
    other = HubAt(tmp_path / "other")
    other("init", "--publisher", "moe")
    other.publish("maths", first_tree())
    hub.publish("maths", first_tree())
    node.join(hub, other.repository, "maths")
    done = node.try_("sync")

    assert done.code == 3
    assert "root of trust" in done.err
    assert node.try_("export", "maths", tmp_path / "out").code == 7


def test_an_older_repository_is_refused_as_a_rollback(hub: HubAt, node: NodeAt, tmp_path: Path) -> None:
    hub.publish("maths", first_tree())
    shutil.copytree(hub.repository, tmp_path / "older")
    hub.publish("maths", later_tree(2))
    node.join(hub, hub.repository, "maths")
    node.sync()
    done = node.try_("sync", "--source", tmp_path / "older")

    assert done.code in (0, 3)
    assert node.tree("maths") == later_tree(2)
    assert json.loads(node("status", "--json").out)["courses"][0]["active"] == 2


def test_two_publishers_may_use_one_name_and_a_removed_one_brings_nothing_new(hub: HubAt, node: NodeAt) -> None:
    hub("publisher", "add", "unam")
    hub.publish("maths", first_tree())
    hub.publish("fisica", {"a.html": b"Fisica"}, publisher="unam")
    node.join(hub, hub.repository, "moe/maths", "unam/fisica")
    assert sorted(node.sync()["activated"]) == ["moe/maths.1", "unam/fisica.1"]
    hub.publish("fisica", {"a.html": b"Fisica 2"}, publisher="unam")
    hub("publisher", "remove", "unam", "--yes")
    node.sync()

    assert [row["publisher"] for row in hub("publisher", "list", "--json").json] == ["moe"]
    assert node.tree("unam/fisica") == {"a.html": b"Fisica"}  # what is held stays served


def test_every_name_and_byte_of_a_folder_arrives(hub: HubAt, node: NodeAt, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep" / "er" / "est").mkdir(parents=True)
    (tree / "hollow" / "inside").mkdir(parents=True)
    (tree / "deep/er/est/a b\n.txt").write_bytes(b"x")
    (tree / "empty").write_bytes(b"")
    with open(os.fsencode(tree) + b"/odd\xff.bin", "wb") as file:  # noqa: PTH123 (a name that is not UTF-8)
        file.write(bytes(range(256)))
    (tree / "link.txt").symlink_to("deep/er/est/a b\n.txt")
    (tree / ".hidden").write_bytes(b"h")
    hub("import", tree, "--course", "odd", "--as", "folder")
    hub("publish", "odd")
    node.join(hub, hub.repository, "odd")
    node.sync()
    node("export", "odd", tmp_path / "out")

    assert subprocess.run(["diff", "-r", str(tree), str(tmp_path / "out")], check=False).returncode == 0


def test_rollback_prune_unsubscribe_and_repair(hub: HubAt, node: NodeAt) -> None:
    hub.publish("maths", first_tree())
    node.join(hub, hub.repository, "maths")
    node.sync()
    hub.publish("maths", later_tree(2))
    node.sync()
    assert node("rollback", "maths", "--json").json["active"] == 1
    assert node.tree("maths") == first_tree()
    assert node.sync()["activated"] == []
    assert node("rollback", "maths", "--json").json["active"] == 2

    victim = max((node.home / "store" / "files").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    found = node.try_("verify", "--json")
    assert (found.code, found.json["rotten"]) == (3, [victim.name])
    assert node("verify", "--repair", "--json").json["missing"] == 0
    assert node.tree("maths") == later_tree(2)

    node("unsubscribe", "maths")
    assert node("prune", "--dry-run", "--json").json["files"] > 0
    node("prune")
    assert not [path for path in (node.home / "store" / "files").rglob("*") if path.is_file()]


def test_the_library_serves_pages_files_and_ranges_from_two_ports(hub: HubAt, node: NodeAt) -> None:
    hub.publish("maths", first_tree())
    node.join(hub, hub.repository, "maths")
    node.sync()
    with started("alforja-node", node.home, "serve", "--host", "127.0.0.1", "--port", "0", "--content-port", "0") as (
        address,
        _,
    ):
        home = fetch(address, "/")
        assert b"maths" in home[1]
        course = fetch(address, "/c/moe/maths/")
        assert b"/c/moe/maths/" in course[1]
        policy = home[2]["Content-Security-Policy"]
        content = next(word for word in policy.replace(";", " ").split() if word.startswith("http://127.0.0.1"))
        whole = fetch(content, "/moe/maths/1/fire/film.mp4")
        part = fetch(content, "/moe/maths/1/fire/film.mp4", Range="bytes=1000-1999")

    assert content != address
    assert whole[1] == first_tree()["fire/film.mp4"]
    assert (part[0], part[1]) == (206, first_tree()["fire/film.mp4"][1000:2000])


def test_run_syncs_by_itself(hub: HubAt, node: NodeAt) -> None:
    hub.publish("maths", first_tree())
    node.join(hub, hub.repository, "maths")
    with started("alforja-node", node.home, "run", "--host", "127.0.0.1", "--port", "0", "--content-port", "0") as (
        address,
        _,
    ):
        deadline = time.monotonic() + 30
        while node("status", "--json").json["courses"][0]["active"] is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert b"/c/moe/maths/" in fetch(address, "/")[1]

    assert node.tree("maths") == first_tree()


def test_a_root_can_be_confirmed_by_its_fingerprint(hub: HubAt, node: NodeAt) -> None:
    hub.publish("maths", first_tree())
    shown = hub("keys", "list").out
    assert "timestamp" in shown
    wrong = node.try_("init", "--source", hub.repository, "--fingerprint", "0000 1111")
    assert wrong.code == 3
    print_of = wrong.err.split("fingerprint ")[1].split(", not")[0]

    node("init", "--source", hub.repository, "--fingerprint", print_of)
    assert [row["course"] for row in node("courses", "--json").json] == ["maths"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("sync",), 6, "holds no node"),
        (("sync", "--nonsense"), 2, "No such option"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_mistakes_get_one_clear_sentence(node: NodeAt, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = node.try_(*arguments)

    assert (done.code, words in done.err) == (code, True)
    assert "Traceback" not in done.err


def test_a_hubs_mistakes_get_one_clear_sentence(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    assert "holds no hub" in run("alforja-hub", hub, "list").err
    HubAt(hub)("init", "--publisher", "moe")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 not really")
    cases = [
        (("init", "--publisher", "moe"), 7, "holds metadata already"),
        (("publish", "never"), 7, "is not in the workspace"),
        (("import", "/nowhere", "--course", "x"), 7, "is not there"),
        (("import", str(broken), "--course", "x"), 4, "broken.zip"),
        (("import", str(tmp_path), "--course", "X Y"), 4, "not a usable name"),
        (("carry", "/nowhere"), 7, "is not a folder"),
    ]
    for arguments, code, words in cases:
        done = run("alforja-hub", hub, *arguments)
        assert (done.code, words in done.err, "Traceback" in done.err) == (code, True, False), done.err


@pytest.mark.parametrize("program", ["alforja-hub", "alforja-node"])
def test_every_command_explains_itself(program: str, tmp_path: Path) -> None:
    listed = run(program, tmp_path, "--help").out.partition("Commands:")[2]
    names = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "]
    assert len(names) >= 10
    for name in names:
        assert "Usage:" in run(program, tmp_path, name, "--help").out


def fetch(address: str, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """One request."""
    host = urlsplit(address)
    connection = http.client.HTTPConnection(str(host.hostname), host.port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()

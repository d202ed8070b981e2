"""Publishing: what is new, what is reused, what a cut leaves behind."""

import io
import random
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from alforja_hub import build, shelf
from alforja_hub.carry import carry
from alforja_hub.explain import explain
from alforja_hub.features import FeatureShelf
from alforja_hub.importers import Imported
from alforja_hub.publish import Press, Published
from alforja_hub.server import make_hub_app
from alforja_hub.settings import HubSettings
from alforja_hub.signing import Authority
from alforja_hub.transcodes import TranscodeShelf
from alforja_hub.workspace import CourseNote, Workspace
from alforja_packaging import codec, frames, jpegs, seal
from alforja_packaging.course import Course
from alforja_packaging.errors import RequestError
from alforja_packaging.frames import NEEDS_ENCODERS, NEEDS_ZLIB, NEEDS_ZSTD, Needs
from alforja_packaging.layout import Start, parse_bundle_path
from tests.simulators.hub import InlineExecutor, Tree, make_manifest

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Hub:
    """A hub in a folder, without a command line."""

    def __init__(self, home: Path, updates_kept: int = 8, able: Needs = NEEDS_ZLIB) -> None:
        self.settings = HubSettings(home=home, updates_kept=updates_kept, grace_days=0, workers=1)
        self.workspace = Workspace(self.settings.workspace, home / "hub.sqlite")
        self.workspace.prepare()
        self.authority = Authority(self.settings.repository, self.settings.keys, home / "history", now=lambda: NOW)
        if not self.authority.exists():
            self.authority.create("moe")
        self.press = Press(self.settings, self.workspace, self.authority, InlineExecutor(), able=able)

    def publish(self, tree: Tree, course: str = "maths", max_seconds: float | None = None) -> Published:
        """Import a tree and publish it."""
        manifest = make_manifest("moe", course, 1, tree)
        imported = Imported(Course(course, {"en": course}, sections=manifest.course.sections), dict(tree))
        note = CourseNote(course, "moe", "folder", "/somewhere", NOW.isoformat())
        self.workspace.take_in(imported, "moe", note, lambda _done, _total: None)
        return self.press.publish(course, NOW, lambda _what, _done, _total: None, max_seconds=max_seconds)

    def packs(self) -> set[str]:
        """The packs that lie in the repository."""
        folder = self.settings.repository / "bundles" / "moe"
        return {str(path.relative_to(folder)) for path in folder.glob("*/*")}


def a_tree(edit: int = 0) -> dict[str, bytes]:
    tree = {f"{lesson}/page.html": b"<p>%d </p>" % lesson * 3_000 for lesson in range(6)}
    tree |= {f"{lesson}/film.mp4": bytes([lesson, edit * (lesson == 5)]) * 40_000 for lesson in range(6)}
    return {path.replace("/", "/x"): data for path, data in tree.items()}


def test_nothing_is_published_when_nothing_is_new(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    first = hub.publish(a_tree())
    again = hub.publish(a_tree())

    assert (first.release, first.changed) == (1, True)
    assert (again.release, again.changed) == (1, False)
    assert hub.packs() == {"maths.1/install", "maths.1/manifest"}


def test_what_a_release_costs_is_what_its_packs_weigh(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    hub.publish(a_tree())
    hub.publish(a_tree(1))
    costs = hub.press.costs("moe", "maths")
    update = hub.settings.repository / "bundles/moe/maths.2/from-1"

    assert set(costs) == {"install", "from-1"}
    assert costs["from-1"][1] == update.stat().st_size


def test_a_release_reuses_the_frames_of_earlier_packs(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    noise = {f"{n}/x.png": (n + 1).to_bytes(4) * 100_000 + bytes(n) for n in range(8)}
    hub.publish(noise)
    before = (hub.settings.repository / "bundles/moe/maths.1/install").stat().st_size
    hub.publish(noise | {"8/x.html": b"one more page"})
    after = (hub.settings.repository / "bundles/moe/maths.2/install").stat().st_size

    assert after < before / 2 + 700
    assert "maths.1/install" in hub.packs()


def test_only_direct_updates_that_are_kept_and_the_chain_stay(tmp_path: Path) -> None:
    hub = Hub(tmp_path, updates_kept=2)
    for edit in range(5):
        hub.publish(a_tree(edit))

    assert {name for name in hub.packs() if "from-" in name} == {
        "maths.2/from-1", "maths.3/from-2", "maths.4/from-3", "maths.5/from-4", "maths.5/from-3",
    }  # fmt: skip
    assert {f"maths.{release}/manifest" for release in range(1, 6)} <= hub.packs()


def test_an_unknown_course_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="course nothing: is not in the workspace"):
        Hub(tmp_path).press.publish("nothing", NOW, lambda _what, _done, _total: None)


def test_a_publish_cut_at_any_write_leaves_the_old_release_offered_and_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(BaseException):
        pass

    count = 0
    while True:
        count += 1
        hub = Hub(tmp_path / str(count))
        hub.publish({"a.html": b"old " * 200})
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
                hub.publish({"a.html": b"new " * 200})
            except PowerCutError:
                ended = False
            else:
                ended = True
        offered = Hub(tmp_path / str(count))
        releases = {parse_bundle_path(path)[2] for path in offered.authority.targets("moe")}
        assert releases in ({1}, {1, 2})
        for release in releases:  # whatever is signed for lies there whole
            assert f"maths.{release}/manifest" in offered.packs()
        assert offered.press.open_route("moe", "maths", None).manifest.release == max(releases)
        assert offered.publish({"a.html": b"new " * 200}).release == 2
        if ended:
            break

    assert count > 10


def test_a_stick_gets_only_what_is_asked_and_loses_what_is_superseded(tmp_path: Path) -> None:
    hub, stick = Hub(tmp_path / "hub", updates_kept=1), tmp_path / "stick"
    stick.mkdir()
    hub.publish(a_tree())
    hub.publish({"x.html": b"other"}, course="other")
    carry(hub.settings.repository, stick, {("moe", "maths")}, lambda _done, _total: None)
    assert {path.name for path in (stick / "bundles/moe").iterdir()} == {"maths.1"}
    for edit in (1, 2, 3):
        hub.publish(a_tree(edit))
    carry(hub.settings.repository, stick, {("moe", "maths")}, lambda _done, _total: None)

    on_stick = {str(path.relative_to(stick)) for path in stick.rglob("*") if path.is_file()}
    offered = hub.settings.repository
    assert on_stick == {
        str(path.relative_to(offered)) for path in offered.rglob("*") if path.is_file() and "other" not in str(path)
    }
    with pytest.raises(RequestError, match="course moe/none: has no release"):
        carry(hub.settings.repository, stick, {("moe", "none")}, lambda _done, _total: None)


def test_a_first_install_made_in_haste_is_made_anew_by_the_next_release_that_has_time(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    tree = {f"{n}/page.html": " ".join(str(n * k * 7919 % 1013) for k in range(9000)).encode() for n in range(4)}
    hasty = hub.publish(tree, max_seconds=0).costs["install"][1]
    hub.publish(tree | {"new/a.html": b"more"}, max_seconds=0)
    assert hub.press.open_route("moe", "maths", None).opened.index.packs == ("maths.1/install",)
    unhurried = hub.publish(tree | {"new/a.html": b"more still"}).costs["install"][1]

    assert hub.press.open_route("moe", "maths", None).opened.index.packs == ()
    assert unhurried < hasty
    hub.publish(tree | {"new/a.html": b"more still", "new/b.html": b"and more"})
    assert hub.press.open_route("moe", "maths", None).opened.index.packs == ("maths.3/install",)


async def test_the_server_answers_as_a_static_one_with_few_headers(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    hub.publish(a_tree())
    (hub.settings.repository / "bundles/moe/maths.1/secret.new").write_bytes(b"half")
    async with TestClient(TestServer(make_hub_app(hub.settings.repository))) as client:
        part = await client.get("/bundles/moe/maths.1/install", headers={"Range": "bytes=0-9"})
        assert (part.status, await part.read()) == (206, b"alforja-pa")
        assert "immutable" in part.headers["Cache-Control"]
        assert sum(len(name) + len(text) + 4 for name, text in part.raw_headers) < 300
        held = await client.get("/trust/after/2", headers={"If-None-Match": '"2"'})
        assert held.status == 304
        assert (await client.get("/trust/after/1")).headers["ETag"] == '"2"'
        for path in (
            "/",
            "/trust",
            "/trust/../keys/root",
            "/%2e%2e/hub.sqlite",
            "/hub.sqlite",
            "/keys/moe",
            "/trust/.hidden",
        ):
            assert (await client.get(path)).status == 404


def an_archive(edit: int, seed: int = 0) -> bytes:
    chance = random.Random(seed)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(40):
            words = b" ".join(b"%x" % chance.randrange(999) for _ in range(900)) + b" more" * edit
            archive.writestr(zipfile.ZipInfo(f"{number}.xhtml"), words, zipfile.ZIP_DEFLATED, 6)
    return file.getvalue()


def test_a_first_install_opens_archives_and_is_of_use_to_whoever_cannot_close_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(tmp_path)
    monkeypatch.setattr(frames, "PIECE_MAX_BYTES", 100_000)
    # Of few likenesses, as what serves others as a base is not opened; the first is cut into pieces.
    books = [b"".join(an_archive(0, 3 * number + part) for part in range(3)) for number in range(3)]
    for edit in range(2):
        tree = a_tree(edit) | {f"{number}.epub": book for number, book in enumerate(books[: edit + 2])}
        published = hub.publish(tree)
        route = hub.press.open_route("moe", "maths", None)
        able = [frame for frame in route.opened.index.frames if frame.needs]
        plain = [frame for frame in route.opened.index.frames if not frame.needs]
        features = FeatureShelf(hub.workspace.path_of, tmp_path / "features")
        explained = explain(
            route.manifest, None, route.opened, hub.workspace.path_of, features.of, read_frame=route.read_frame
        )

        assert able
        assert all(frame.needs == NEEDS_ZLIB for frame in able)
        assert {piece.content for frame in plain for piece in frame.outputs} == set(range(len(route.manifest.contents)))
        head, total, needs, opening = published.costs["install"]
        assert (needs, opening) == (0, head)
        assert total == head + sum(frame.length for frame in plain) == explained.total
        for frame in able:
            instead = [other for other in plain if set(other.outputs) == set(frame.outputs)]
            assert frame.length < sum(other.length for other in instead)


@pytest.mark.parametrize("edits", [1, 2])
def test_a_large_file_of_which_some_pieces_gain_by_opening_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edits: int
) -> None:
    monkeypatch.setattr(frames, "PIECE_MAX_BYTES", 150_000)
    monkeypatch.setattr(seal, "RICH_FRAME_BYTES", 150_000)
    monkeypatch.setattr(seal, "UPDATE_FRAME_COST_BYTES", 100_000)
    monkeypatch.setattr(build, "CHOICES_SAVE_BYTES", 0)
    hub = Hub(tmp_path)
    for edit in range(edits):
        archive = b"".join(an_archive(edit, part) for part in range(2))
        hub.publish({"large.epub": archive + random.Random(edit).randbytes(170_000)})
    opened = hub.press.open_route("moe", "maths", Start(edits - 1) if edits > 1 else None).opened

    assert len({frame.outputs[0].offset for frame in opened.index.frames}) > 1
    assert any(frame.needs for frame in opened.index.frames)


def test_a_picture_is_transcoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def transcode(jpeg: bytes) -> bytes | None:
        asked.append(jpeg)
        return b"packed" if jpeg == b"one" else None

    monkeypatch.setattr(jpegs, "transcode", transcode)
    given = [TranscodeShelf(tmp_path).of(jpeg) for jpeg in (b"one", b"other", b"one", b"other")]

    assert given == [b"packed", None, b"packed", None]
    assert asked == [b"one", b"other"]


def test_an_update_opens_archives(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    hub.publish({"book.epub": an_archive(0)})
    published = hub.publish({"book.epub": an_archive(1)})

    assert [frame.needs for frame in hub.press.open_route("moe", "maths", Start(1)).opened.index.frames] == [NEEDS_ZLIB]
    assert published.costs["from-1"][1] < 5_000 < len(an_archive(1)) / 4


def test_an_update_opens_clusters_for_whoever_can_close_them(tmp_path: Path) -> None:
    def a_zim(edit: str) -> bytes:
        words = (str(random.Random(number).randrange(9_999)) for number in range(30_000))
        page = " ".join([edit, *words]).encode()
        return b"ZIM\x04\5" + b"".join(codec.compress_streaming([page], {"compression_level": 19})) + bytes(80)

    hub = Hub(tmp_path, able=NEEDS_ZLIB | NEEDS_ENCODERS)
    hub.publish({"books.zim": a_zim("one")})
    published = hub.publish({"books.zim": a_zim("two and")})

    update = hub.press.open_route("moe", "maths", Start(1))
    able, plain = update.opened.index.frames
    assert (able.needs, plain.needs) == (NEEDS_ZSTD, 0)
    assert able.length < 200 < plain.length / 10
    head, total, needs, opening = published.costs["from-1"]
    assert (total, needs, opening) == (head + plain.length, 0, head + able.length)
    assert not any(frame.needs for frame in hub.press.open_route("moe", "maths", None).opened.index.frames)

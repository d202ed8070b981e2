"""A pack that is broken at its source is left, and the course comes another way; nothing that verified comes twice."""

import io
import random
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from alforja_hub import build
from alforja_node import planner
from alforja_packaging import seal
from alforja_packaging.abilities import Ability
from alforja_packaging.frames import (
    KINDS,
    NEEDS_JPEG_XL,
    NEEDS_ZLIB,
    PLAIN,
    PREFIX,
    Frame,
    Needs,
)
from alforja_packaging.index import head_length
from alforja_packaging.patching import make_patch
from alforja_packaging.seal import Encoding
from alforja_packaging.unfolding import Unfolded
from tests.node.test_transfer import a_school, first_tree, second_tree, words
from tests.simulators.hub import SimulatedHub, Tree
from tests.simulators.links import CuttingSource
from tests.simulators.pictures import a_jpeg, needs_jpeg_xl


def large_trees() -> tuple[Tree, Tree]:
    """Two releases of which the update is too large to leave out digests, and has frames of several kinds."""
    noise = random.Random(3)
    first = {f"l{number}/page.html": words(number, 40_000) for number in range(6)}
    first |= {f"l{number}/film.mp4": noise.randbytes(60_000) for number in range(6)}
    second = {path: data[:9_000] + b"changed" + data[9_000:] for path, data in first.items()}
    second |= {f"m{number}/film.mp4": noise.randbytes(300_000) for number in range(2)}
    return first, second


def flip(pack: Path, offset: int) -> None:
    """Change a byte of a pack where it lies: whoever asks for it gets it so."""
    with pack.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def damage(pack: Path, frame: Frame) -> None:
    """Break one frame for good."""
    for offset in range(frame.offset, frame.offset + frame.length, max(1, frame.length // 40)):
        flip(pack, offset)


def _plain(output: bytes, _: Sequence[bytes]) -> Encoding:
    return Encoding("plain", PLAIN.encode(output, b"", {"compression_level": 3}))


def _prefix(output: bytes, bases: Sequence[bytes]) -> Encoding:
    if not any(bases):
        return _plain(output, bases)
    data = PREFIX.encode(output, b"".join(bases), {"compression_level": 3})
    return Encoding("prefix", data, tuple(range(len(bases))))


def _patch(output: bytes, bases: Sequence[bytes]) -> Encoding:
    made = make_patch(Unfolded(output), bases, level=3)
    return Encoding("patch", made.data, made.bases)


ENCODERS = {"plain": _plain, "prefix": _prefix, "patch": _patch}


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind of frame, of which the hub makes all that can be."""

    def encode(output: bytes, bases: Sequence[bytes], **_: object) -> Encoding:
        return ENCODERS[request.param](output, bases)

    monkeypatch.setattr(seal, "encode", encode)
    return str(request.param)


async def test_a_broken_frame_of_any_kind_is_left_and_the_first_installs_frames_are_taken(
    tmp_path: Path, kind: str
) -> None:
    first, second = large_trees()
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first)
    async with a_school(tmp_path, hub, "maths", "science") as school:
        await school.contact()
        held = hub.manifest_of("maths")
        hub.publish("maths", second)
        hub.publish("science", {"a/x.html": words(9, 1_000)})
        frames = hub.frames("maths", 2, "from-1", held)
        broken = next(frame for frame in frames if frame.kind == kind)
        damage(hub.pack("maths", 2, "from-1"), broken)
        outcome = await school.contact()

        assert await school.tree() == second
        assert await school.tree("science") == {"a/x.html": words(9, 1_000)}
        assert outcome.errors == []
        assert len(outcome.refused) == 1
        assert str(hub.repository) in outcome.refused[0]
        assert outcome.wasted >= 2 * broken.length
        assert school.partial() == []


async def test_what_verified_before_a_broken_frame_is_not_fetched_again(tmp_path: Path, kind: str) -> None:
    first, second = large_trees()
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first)
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        held = hub.manifest_of("maths")
        hub.publish("maths", second)
        update, install = hub.frames("maths", 2, "from-1", held), hub.frames("maths", 2, "install")
        broken = next(frame for frame in reversed(update) if frame.kind == kind)
        damage(hub.pack("maths", 2, "from-1"), broken)
        source = CuttingSource(hub.repository, 10**9)
        outcome = await school.contact(source)

        lost = {piece.content for piece in broken.outputs}
        assert not any(base.content - len(held.contents) in lost for frame in update for base in frame.bases)
        wanted = [frame for frame in install if {piece.content for piece in frame.outputs} & lost]
        from_install = sum(last - at + 1 for path, at, last in source.streamed if path.endswith("install"))
        assert await school.tree() == second
        head = head_length(hub.pack("maths", 2, "install").read_bytes()[:80])
        assert from_install <= head + sum(frame.length for frame in wanted)
        assert outcome.errors == []


async def test_an_update_without_digests_that_does_not_verify_is_left_for_the_first_install(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        held = hub.manifest_of("maths")
        hub.publish("maths", second_tree())
        pack = hub.pack("maths", 2, "from-1")
        damage(pack, hub.frames("maths", 2, "from-1", held)[0])
        outcome = await school.contact()

        assert await school.tree() == second_tree()
        assert outcome.errors == []
        assert outcome.wasted >= pack.stat().st_size
        assert outcome.received < 120_000  # not what is held already: the films, the pictures


@pytest.mark.parametrize("part", [0.0, 0.2, 0.5, 0.9])
async def test_a_broken_index_is_left_for_the_first_install(tmp_path: Path, part: float) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        hub.publish("maths", second_tree())
        pack = hub.pack("maths", 2, "from-1")
        flip(pack, int(head_length(pack.read_bytes()) * part))
        outcome = await school.contact()

        assert await school.tree() == second_tree()
        assert outcome.errors == []
        assert outcome.wasted > 0


async def test_a_pack_that_ends_early_is_left_for_the_first_install(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        hub.publish("maths", second_tree())
        pack = hub.pack("maths", 2, "from-1")
        pack.write_bytes(pack.read_bytes()[:-1])
        outcome = await school.contact()

        assert await school.tree() == second_tree()
        assert outcome.errors == []


async def test_bytes_that_were_damaged_on_their_way_once_only_come_again(tmp_path: Path) -> None:
    first, second = large_trees()
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first)
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        hub.publish("maths", second)
        source = _Once(hub.repository)
        outcome = await school.contact(source)

        assert await school.tree() == second
        assert outcome.refused == outcome.errors == []
        assert outcome.wasted > 0
        assert not any(path.endswith("install") for path in source.asked)


class _Once(CuttingSource):
    """Damages the first frame that it sends, once."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, 10**9)
        self.asked: list[str] = []
        self._done = False

    async def stream(self, path: str, first: int, last: int) -> AsyncIterator[bytes]:
        self.asked.append(path)
        async for chunk in super().stream(path, first, last):
            if first and not self._done:
                self._done = True
                yield bytes([chunk[0] ^ 255]) + chunk[1:]
            else:
                yield chunk


async def test_a_course_that_is_broken_everywhere_is_left_and_the_others_go_on(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub, "maths", "science") as school:
        await school.contact()
        hub.publish("maths", second_tree())
        hub.publish("science", first_tree())
        for name in ("from-1", "install"):
            pack = hub.pack("maths", 2, name)
            flip(pack, 5)
        outcome = await school.contact()

        assert await school.tree() == first_tree()
        assert await school.tree("science") == first_tree()
        assert len(outcome.errors) == 1
        assert outcome.pending == ["moe/maths.2"]


async def test_another_update_is_taken_before_the_first_install_where_it_is_cheaper(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    tree = first_tree()
    hub.publish("maths", tree)
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        for number in range(2):
            tree["one/page.html"] += words(100 + number, 500)
            hub.publish("maths", tree)
        flip(hub.pack("maths", 3, "from-1"), 5)
        source = CuttingSource(hub.repository, 10**9)
        await school.contact(source)

        packs = [path.removeprefix("bundles/moe/") for path, _, _ in source.streamed]
        assert packs == ["maths.3/from-1", "maths.3/from-1", "maths.2/from-1", "maths.3/from-2"]
        assert await school.tree() == tree


async def test_a_new_school_gets_a_small_later_release_of_which_frames_lie_in_earlier_packs(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    small = {path: data for path, data in first_tree().items() if path.endswith("html")}
    hub.publish("maths", small)
    hub.publish("maths", small | {"five/x.html": b"new"})
    async with a_school(tmp_path, hub) as school:
        outcome = await school.contact()

        assert await school.tree() == small | {"five/x.html": b"new"}
        assert outcome.errors == []


async def test_a_route_that_this_computer_is_not_able_to_take_is_not_taken(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        offer = hub.publish("maths", second_tree())
        offer.custom["from"]["1"] = [*offer.custom["from"]["1"], 1]
        contact = school.open(source := CuttingSource(hub.repository, 10**9), able=lambda asked: asked & 0)
        await contact.run()

        assert {path.rpartition("/")[2] for path, _, _ in source.streamed} == {"install"}
        assert await school.tree() == second_tree()


async def test_a_route_is_taken_by_whoever_is_able_to(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub")
    hub.publish("maths", first_tree())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        offer = hub.publish("maths", second_tree())
        offer.custom["from"]["1"] = [*offer.custom["from"]["1"], 1]
        contact = school.open(source := CuttingSource(hub.repository, 10**9), able=lambda asked: asked)
        await contact.run()

        assert {path.rpartition("/")[2] for path, _, _ in source.streamed} == {"from-1"}


def with_pictures(edit: int = 0) -> Tree:
    """A page, and pictures: one that is edited, one that is not, one in a book, and one that comes with the edit."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("text.html"), words(edit, 9_000), zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("cover.jpg"), a_jpeg(10 + edit), zipfile.ZIP_DEFLATED)
    tree = {"a/page.html": words(9, 9_000), "a/same.jpg": a_jpeg(1), "a/edited.jpg": a_jpeg(2 + edit)}
    return tree | {"a/book.epub": file.getvalue()} | ({"b/new.jpg": a_jpeg(5)} if edit else {})


def only(known: Needs) -> Ability:
    return lambda asked: asked & known


WITH_PICTURES = NEEDS_ZLIB | NEEDS_JPEG_XL


@pytest.fixture
def no_pack_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CHOICES_SAVE_BYTES", 0)
    monkeypatch.setattr(planner, "OPENING_BYTES", 0)


@needs_jpeg_xl
@pytest.mark.usefixtures("no_pack_is_small")
async def test_whoever_can_undo_jpeg_xl_fetches_less_and_all_others_come_to_the_same(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub", able=WITH_PICTURES)
    received: dict[Needs, list[int]] = {NEEDS_ZLIB: [], WITH_PICTURES: []}
    for edit in range(2):
        held = hub.manifest_of("maths") if edit else None
        hub.publish("maths", with_pictures(edit))
        for known, counts in received.items():
            (tmp_path / str(known)).mkdir(exist_ok=True)
            async with a_school(tmp_path / str(known), hub) as school:
                outcome = await school.open(able=only(known)).run()
                counts.append(outcome.received)

                assert await school.tree() == with_pictures(edit)
                assert outcome.refused == outcome.errors == []

    needs = [frame.needs for frame in hub.frames("maths", 2, "from-1", held)]
    assert needs == [WITH_PICTURES, NEEDS_ZLIB]
    for more, less in zip(received[NEEDS_ZLIB], received[WITH_PICTURES], strict=True):
        assert less < more * 0.95


@needs_jpeg_xl
@pytest.mark.usefixtures("no_pack_is_small")
async def test_pictures_of_a_first_install_live_on_in_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "CORE_FRAME_BYTES", 1)
    hub = SimulatedHub(tmp_path / "hub", able=WITH_PICTURES)
    hub.publish("maths", with_pictures())
    hub.publish("maths", with_pictures(1))
    frames = hub.frames("maths", 2, "install")

    assert {frame.needs for frame in frames if frame.pack == 1} == {0, NEEDS_JPEG_XL}
    assert {frame.needs for frame in frames if frame.pack == 0} == {0, NEEDS_JPEG_XL, WITH_PICTURES}
    for known in (0, NEEDS_ZLIB, WITH_PICTURES):
        (tmp_path / str(known)).mkdir()
        async with a_school(tmp_path / str(known), hub) as school:
            outcome = await school.open(able=only(known)).run()

            assert await school.tree() == with_pictures(1)
            assert outcome.refused == outcome.errors == []


@needs_jpeg_xl
@pytest.mark.usefixtures("no_pack_is_small")
async def test_a_broken_frame_of_pictures_is_left_for_the_first_install(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub", able=WITH_PICTURES)
    hub.publish("maths", with_pictures())
    async with a_school(tmp_path, hub) as school:
        await school.contact()
        held = hub.manifest_of("maths")
        hub.publish("maths", with_pictures(1))
        broken = hub.frames("maths", 2, "from-1", held)[0]
        damage(hub.pack("maths", 2, "from-1"), broken)
        outcome = await school.contact()

        assert broken.needs & NEEDS_JPEG_XL
        assert await school.tree() == with_pictures(1)
        assert len(outcome.refused) == 1
        assert outcome.errors == []


@needs_jpeg_xl
async def test_an_update_by_which_pictures_save_next_to_nothing_has_no_choices(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path / "hub", able=WITH_PICTURES)
    hub.publish("maths", {"a/page.html": words(9, 9_000)})
    held = hub.manifest_of("maths")
    hub.publish("maths", {"a/page.html": words(9, 9_000), "b/new.jpg": a_jpeg(1)[:4_000]})

    assert [frame.needs for frame in hub.frames("maths", 2, "from-1", held)] == [0]

"""Any tree, any edits, any order: the bytes that come out are the bytes that went in."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alforja_packaging import frames, seal
from alforja_packaging.errors import DigestMismatch, FormatError, VerifyError
from alforja_packaging.index import head_length, parse_head, sign_name
from alforja_packaging.unseal import unseal
from tests.simulators.hub import Tree, make_manifest
from tests.simulators.packs import contents_of, read_back, seal_install, seal_update

THOROUGH = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a few hundred bytes, so that small trees meet them all."""
    monkeypatch.setattr(frames, "PIECE_MAX_BYTES", 512)
    monkeypatch.setattr(seal, "CORE_FRAME_BYTES", 700)
    monkeypatch.setattr(seal, "RICH_FRAME_BYTES", 900)
    monkeypatch.setattr(seal, "INSTALL_FRAME_MAX_BYTES", 1_500)
    monkeypatch.setattr(seal, "ANCHOR_MAX_BYTES", 800)
    monkeypatch.setattr(seal, "UPDATE_FRAME_BYTES", 1_500)
    monkeypatch.setattr(seal, "FRAME_MAX_BYTES", 3_000)
    monkeypatch.setattr(frames, "FRAME_MAX_BYTES", 3_000)


def some_bytes(seed: int, size: int, *, plain: bool) -> bytes:
    chance = random.Random(seed)
    if not plain:
        return chance.randbytes(size)
    return b" ".join(b"word%d" % chance.randrange(50) for _ in range(size // 5 + 1))[:size]


contents = st.builds(
    lambda seed, size, plain: some_bytes(seed, size, plain=plain),
    st.integers(0, 6), st.sampled_from([0, 1, 40, 300, 511, 512, 513, 1_400]), st.booleans(),
)  # fmt: skip
names = st.sampled_from(
    [
        "a.html",
        "b.html",
        "c.css",
        "d.png",
        "e.mp4",
        "dir/a.html",
        "dir/ü.txt",
        "dir/sub/z.mp4",
        "odd\udcff.bin",
        "x y\n.md",
    ]
)
trees = st.dictionaries(names, contents, max_size=8)


@given(trees)
@THOROUGH
def test_a_first_install_gives_the_tree(small_limits: None, tree: Tree) -> None:
    manifest = make_manifest("moe", "maths", 1, tree)
    held = contents_of(tree)

    assert read_back(seal_install(manifest, held)) == held


@given(trees, trees, st.booleans())
@THOROUGH
def test_an_update_gives_the_new_tree(small_limits: None, old: Tree, new: Tree, elide: bool) -> None:
    before, after = make_manifest("moe", "maths", 1, old), make_manifest("moe", "maths", 2, new)
    sealed = seal_update(after, before, contents_of(old, new), elide=elide)

    assert read_back(sealed, before, contents_of(old)) == contents_of(new)


@given(st.lists(trees, min_size=2, max_size=4))
@THOROUGH
def test_first_installs_reuse_frames_of_earlier_packs_and_still_give_the_tree(
    small_limits: None, versions: list[Tree]
) -> None:
    held = contents_of(*versions)
    sealed = None
    for release, tree in enumerate(versions, start=1):
        sealed = seal_install(make_manifest("moe", "maths", release, tree), held, sealed)

        assert read_back(sealed) == contents_of(tree)


def test_an_unchanged_tree_costs_an_index_alone() -> None:
    tree = {f"{number}.html": some_bytes(number, 3_000, plain=True) for number in range(20)}
    first = seal_install(make_manifest("moe", "maths", 1, tree), contents_of(tree))
    again = seal_install(make_manifest("moe", "maths", 2, tree), contents_of(tree), first)

    assert len(again.data) == head_length(again.data)
    assert all(frame.pack == 1 for frame in again.opened.index.frames)


def test_content_that_moves_between_files_costs_next_to_nothing() -> None:
    chance = random.Random(3)
    parts = [chance.randbytes(20_000) for _ in range(8)]
    old = {f"old{number}.bin": parts[number] + parts[number + 1] for number in range(0, 8, 2)}
    new = {f"new{number}.bin": parts[number + 1] + parts[(number + 2) % 8] for number in range(0, 8, 2)}
    before, after = make_manifest("moe", "maths", 1, old), make_manifest("moe", "maths", 2, new)
    sealed = seal_update(after, before, contents_of(old, new))

    assert len(sealed.data) < 2_000
    assert read_back(sealed, before, contents_of(old)) == contents_of(new)


def test_a_moved_file_needs_no_frame() -> None:
    old, new = {"a.bin": b"same" * 100}, {"b/c.bin": b"same" * 100}
    before, after = make_manifest("moe", "maths", 1, old), make_manifest("moe", "maths", 2, new)
    sealed = seal_update(after, before, contents_of(old))

    assert parse_head(sealed.data, before).index.moves == ((0, 0),)
    assert read_back(sealed, before, contents_of(old)) == contents_of(new)


def test_cores_come_before_rich_parts_in_teaching_order() -> None:
    chance = random.Random(1)
    tree = {f"{lesson}/{name}": chance.randbytes(300_000) for lesson in "abc" for name in ("film.mp4", "page.png")}
    tree |= {f"{lesson}/text.html": some_bytes(2, 500, plain=True) + lesson.encode() for lesson in "abc"}
    manifest = make_manifest("moe", "maths", 1, tree)
    order = [manifest.contents[number].path for _, number in seal.school_order(manifest)]

    assert order[:3] == ["a/text.html", "b/text.html", "c/text.html"]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_pack_is_refused_or_gives_exactly_what_was_signed(data: st.DataObject) -> None:
    old = {"a.html": some_bytes(1, 2_000, plain=True), "b.bin": some_bytes(2, 900, plain=False)}
    new = old | {"a.html": old["a.html"][:900] + b"!" + old["a.html"][900:], "c.txt": b"new words"}
    before, after = make_manifest("moe", "maths", 1, old), make_manifest("moe", "maths", 2, new)
    sealed = seal_update(after, before, contents_of(old, new), elide=data.draw(st.booleans()))
    broken = bytearray(sealed.data)
    for _ in range(data.draw(st.integers(1, 3))):
        spot = data.draw(st.integers(0, len(broken) - 1))
        broken[spot] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del broken[data.draw(st.integers(1, len(broken))) :]
    digest, _ = sign_name(after)

    try:
        manifest, found = unseal(
            bytes(broken), lambda _, offset, length: bytes(broken[offset : offset + length]),
            before, contents_of(old), digest,
        )  # fmt: skip
    except (VerifyError, FormatError):
        return
    assert (manifest, found) == (after, contents_of(new))


def test_another_manifest_than_the_signed_one_is_refused() -> None:
    tree = {"a.html": b"words"}
    sealed = seal_install(make_manifest("moe", "maths", 1, tree), contents_of(tree))
    with pytest.raises(DigestMismatch, match="manifest: wanted content"):
        unseal(sealed.data, sealed.read, None, {}, bytes(32))

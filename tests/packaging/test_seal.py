"""Plans of packs: whatever the trees, everything is given once, within bounds, from what is there before."""

import random
from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alforja_packaging import frames, seal
from alforja_packaging.frames import PLAIN, Frame
from alforja_packaging.manifest import Manifest
from alforja_packaging.seal import Draft
from alforja_packaging.similarity import find_features
from tests.simulators.hub import Tree, make_manifest
from tests.simulators.packs import Contents, Sealed, contents_of, read_back, seal_install, seal_update

PIECE, GROUP, FRAME = 512, 1_500, 3_000
ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a few hundred bytes, so that small trees meet them all."""
    for module, name, value in [
        (frames, "PIECE_MAX_BYTES", PIECE), (frames, "FRAME_MAX_BYTES", FRAME), (seal, "FRAME_MAX_BYTES", FRAME),
        (seal, "CORE_FRAME_BYTES", 700), (seal, "RICH_FRAME_BYTES", 900), (seal, "INSTALL_FRAME_MAX_BYTES", GROUP),
        (seal, "ANCHOR_MAX_BYTES", 800), (seal, "UPDATE_FRAME_BYTES", GROUP),
        (seal, "UPDATE_REACH_BYTES", FRAME - GROUP),
    ]:  # fmt: skip
        monkeypatch.setattr(module, name, value)


def some_bytes(seed: int, size: int) -> bytes:
    chance = random.Random(seed)
    if seed % 2:
        return chance.randbytes(size)
    return b" ".join(b"word%d" % chance.randrange(50) for _ in range(size // 5 + 1))[:size]


NAMES = ["a.html", "b.html", "c.css", "dir/a.html", "dir/e.mp4", "dir/sub/ü.png", "odd\udcff.bin", "x y\n.md"]
contents = st.builds(some_bytes, st.integers(0, 7), st.sampled_from([0, 1, 40, 300, 511, 512, 513, 1_400]))
trees = st.dictionaries(st.sampled_from(NAMES), contents, max_size=6)


@st.composite
def edits(draw: st.DrawFn, tree: Mapping[str, bytes]) -> Tree:
    """The tree after a script of edits: add, remove, change, move, duplicate, empty."""
    now = dict(tree)
    for _ in range(draw(st.integers(0, 5))):
        how = draw(st.sampled_from(["add", "remove", "insert", "cut", "move", "copy", "empty", "swap", "join"]))
        if how == "add" or not now:
            now[draw(st.sampled_from(NAMES))] = draw(contents)
            continue
        path, other = draw(st.sampled_from(sorted(now))), draw(st.sampled_from(NAMES))
        data = now[path]
        at = draw(st.integers(0, len(data)))
        if how == "remove":
            del now[path]
        elif how == "insert":
            now[path] = data[:at] + draw(st.binary(max_size=9)) + data[at:]
        elif how == "cut":
            now[path] = data[at:]
        elif how == "move":
            now[other] = now.pop(path)
        elif how == "copy":
            now[other] = data
        elif how == "empty":
            now[path] = b""
        elif how == "swap":
            now[path], now[other] = now.get(other, b""), data
        else:
            now[path] = data + now.get(other, b"")
    return now


@st.composite
def histories(draw: st.DrawFn) -> list[Tree]:
    """A tree and what becomes of it, release by release."""
    releases: list[Tree] = [draw(trees)]
    for _ in range(draw(st.integers(1, 3))):
        releases.append(draw(edits(releases[-1])))
    return releases


def numbered(history: Sequence[Tree]) -> list[Manifest]:
    return [make_manifest("moe", "maths", release, tree) for release, tree in enumerate(history, start=1)]


def features_in(held: Contents) -> seal.FeaturesOf:
    return lambda digest, piece: find_features([held[digest][piece.offset :][: piece.length]])


# Bytes out are bytes in


@given(histories())
@settings(ANY, max_examples=150)
def test_any_edits_come_through_updates_from_every_release_before(history: list[Tree]) -> None:
    manifests = numbered(history)
    for tree, held in zip(history[:-1], manifests, strict=False):
        sealed = seal_update(manifests[-1], held, contents_of(tree, history[-1]), elide=held.release % 2 == 0)

        assert read_back(sealed, held, contents_of(tree)) == contents_of(history[-1])


@given(histories())
@settings(ANY, max_examples=100)
def test_any_edits_come_through_installs_that_reuse_frames_of_all_before(history: list[Tree]) -> None:
    every, sealed = contents_of(*history), None
    for manifest, tree in zip(numbered(history), history, strict=True):
        sealed = seal_install(manifest, every, sealed)

        assert read_back(sealed) == contents_of(tree)


@given(trees)
@ANY
def test_the_same_tree_gives_the_same_bytes_in_whatever_order_it_is_walked(tree: Tree) -> None:
    backwards = dict(reversed(list(tree.items())))
    one, other = (
        seal_install(make_manifest("moe", "maths", 1, walked), contents_of(walked)) for walked in (tree, backwards)
    )

    assert one == other


# Plans


@given(histories())
@ANY
def test_an_update_gives_every_new_content_once_and_whole_and_no_other(history: list[Tree]) -> None:
    held, *_, manifest = numbered(history)
    drafts = seal.plan_update(manifest, held, features_in(contents_of(*history)))
    new = [number for number, content in enumerate(manifest.contents) if content.digest not in held.number_of]

    check_given(drafts, manifest, new)
    check_bases(drafts, manifest, len(held.contents))


@given(trees)
@ANY
def test_an_install_gives_every_content_once_and_whole(tree: Tree) -> None:
    (manifest,) = numbered([tree])
    planned = seal.plan_install(manifest, (), features_in(contents_of(tree)))

    check_given(planned, manifest, range(len(manifest.contents)))
    check_bases(planned, manifest, 0)


@given(histories())
@ANY
def test_an_install_around_kept_frames_gives_every_content_once_and_whole(history: list[Tree]) -> None:
    earlier, *_, manifest = numbered(history)
    first = seal_install(earlier, contents_of(*history))
    kept = seal.find_kept(manifest, earlier, first.opened.index.frames)
    planned = seal.plan_install(manifest, kept, features_in(contents_of(*history)))

    assert {id(frame) for frame in kept} <= {id(frame) for frame in planned}
    check_given(planned, manifest, range(len(manifest.contents)))
    check_bases(planned, manifest, 0)


def check_given(planned: Iterable[Frame | Draft], manifest: Manifest, wanted: Iterable[int]) -> None:
    reached = dict.fromkeys(wanted, 0)
    seen: set[int] = set()
    for frame in planned:
        assert frame.outputs
        for piece in frame.outputs:
            assert piece.length <= PIECE
            assert reached[piece.content] == piece.offset
            assert piece.length or manifest.contents[piece.content].size == 0
            reached[piece.content] += piece.length
            seen.add(piece.content)
    assert seen == set(reached)
    assert all(size == manifest.contents[number].size for number, size in reached.items())


def check_bases(planned: Iterable[Frame | Draft], manifest: Manifest, shift: int) -> None:
    """Bases are held, or were given whole by frames before; all within the bound, none twice."""
    given_bytes: dict[int, int] = {}
    for frame in planned:
        for base in frame.bases:
            if base.content >= shift:
                assert given_bytes.get(base.content - shift) == manifest.contents[base.content - shift].size
        assert len(set(frame.bases)) == len(frame.bases)
        assert all(base.length for base in frame.bases)
        assert sum(piece.length for piece in frame.outputs) <= GROUP
        assert shift or sum(piece.length for piece in (*frame.outputs, *frame.bases)) <= FRAME
        for piece in frame.outputs:
            given_bytes[piece.content] = given_bytes.get(piece.content, 0) + piece.length


@given(trees)
@ANY
def test_the_order_of_a_school_holds_every_content_once_cores_first(tree: Tree) -> None:
    (manifest,) = numbered([tree])
    order = seal.school_order(manifest)

    assert sorted(number for _, number in order) == list(range(len(manifest.contents)))
    assert [part for part, _ in order] == sorted(part for part, _ in order)


@given(histories())
@ANY
def test_moves_are_the_held_contents_that_their_path_does_not_lead_to(history: list[Tree]) -> None:
    held, *_, manifest = numbered(history)
    moves = dict(seal.find_moves(manifest, held))
    for number, content in enumerate(manifest.contents):
        old = held.by_path.get(content.path)
        by_path = old is not None and old.digest == content.digest

        assert (number in moves) == (content.digest in held.number_of and not by_path)
        if number in moves:
            assert held.contents[moves[number]].digest == content.digest


@given(histories())
@ANY
def test_kept_frames_are_wholly_of_use(history: list[Tree]) -> None:
    earlier, *_, manifest = numbered(history)
    first: Sealed = seal_install(earlier, contents_of(*history))
    kept = seal.find_kept(manifest, earlier, first.opened.index.frames)
    place = {(frame.offset, frame.length): frame for frame in first.opened.index.frames}
    for frame in kept:
        old = place[frame.offset, frame.length]
        for piece, before in zip((*frame.outputs, *frame.bases), (*old.outputs, *old.bases), strict=True):
            assert manifest.contents[piece.content].digest == earlier.contents[before.content].digest
    assert read_back(first) == contents_of(history[0])
    given_numbers = {piece.content for frame in kept for piece in frame.outputs}
    assert all(base.content in given_numbers for frame in kept for base in frame.bases)


def test_one_changed_file_leaves_all_but_two_frames_of_an_older_update_as_they_were() -> None:
    def course(edition: int, changed: int) -> Tree:
        return {
            f"{n:03}/page.html": some_bytes(
                1000 * edition + 10_000 * (n == changed) + n, 30 + 13 * n % 90 + 60 * (n == changed)
            )
            for n in range(200)
        }

    def jobs(tree: Tree) -> set[object]:
        held, manifest = numbered([course(0, -1), tree])
        both = [content.digest for one in (held, manifest) for content in one.contents]
        known = contents_of(course(0, -1), tree)
        return {
            (
                tuple((manifest.contents[one.content].digest, one.offset) for one in draft.outputs),
                tuple((both[one.content], one.offset) for one in draft.bases),
            )
            for draft in seal.plan_update(manifest, held, features_in(known))
        }

    before = jobs(course(1, -1))
    for changed in (0, 3, 71, 150, 199):
        after = jobs(course(1, changed))

        assert len(before) > 10
        assert len(after - before) <= 2, changed


# Encoding


@given(st.integers(0, 7), st.integers(0, 1_400), st.integers(0, 7), st.integers(0, 1_000))
@ANY
def test_the_frame_chosen_is_never_larger_than_one_without_bases(seed: int, size: int, base: int, reach: int) -> None:
    output, bases = some_bytes(seed, size), some_bytes(base, reach)
    made = seal.encode(output, [bases])
    plain = PLAIN.encode(output, b"", {})

    assert len(made.data) <= len(plain)
    assert bases or not made.bases


def test_a_tie_is_left_out_where_it_saves_little() -> None:
    output = some_bytes(0, 1_400)
    bases = output[:30] + some_bytes(1, 400)

    assert seal.encode(output, [bases]).bases
    assert not seal.encode(output, [bases], plain_if_within=0.5).bases
    assert seal.encode(output, [output], plain_if_within=0.5).bases


def test_a_big_file_is_cut_and_its_old_bytes_at_the_same_place_are_its_bases() -> None:
    old = {"dir/e.mp4": some_bytes(1, 1_400)}
    new = {"dir/e.mp4": old["dir/e.mp4"][:-1] + b"!"}
    held, manifest = numbered([old, new])
    drafts = seal.plan_update(manifest, held, features_in(contents_of(old, new)))

    assert [piece for draft in drafts for piece in draft.outputs] == list(frames.cut(0, 1_400))
    assert [piece for draft in drafts for piece in draft.bases] == list(frames.cut(0, 1_400))


def test_bases_found_by_likeness_stay_within_the_bound() -> None:
    parts = [some_bytes(seed, 500) for seed in range(1, 17, 2)]
    old = {f"{number}.bin": part for number, part in enumerate(parts)}
    new = {"all.bin": b"".join(part[:64] for part in parts) + b"".join(part[64:180] for part in parts)}
    held, manifest = numbered([old, new])
    drafts = seal.plan_update(manifest, held, features_in(contents_of(old, new)))

    check_bases(drafts, manifest, len(held.contents))
    assert max(sum(base.length for base in draft.bases) for draft in drafts) > FRAME - GROUP - 500

"""The head of a pack: what is written is read, and what nobody could have written costs nothing but a refusal."""

import hashlib
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from alforja_packaging import codec
from alforja_packaging.columns import put_numbers
from alforja_packaging.course import Course, Lesson, Section
from alforja_packaging.coursedelta import put_course
from alforja_packaging.errors import AlforjaError, DigestMismatch, FormatError, UnsupportedFormat, VerifyError
from alforja_packaging.files import NOWHERE
from alforja_packaging.framecolumns import PIECES_MAX
from alforja_packaging.frames import NEEDS_JPEG_XL, NEEDS_ZLIB, Frame, Piece
from alforja_packaging.index import Index, format_head, head_length, parse_head, sign_name
from alforja_packaging.layout import path_key
from alforja_packaging.manifest import File, Manifest
from alforja_packaging.manifestdelta import put_files
from alforja_packaging.runs import unpack_run
from alforja_packaging.seal import find_moves
from alforja_packaging.unseal import unseal
from tests.simulators.hub import make_manifest
from tests.simulators.packs import Sealed, contents_of, seal_install, seal_update

WORDS = b" ".join(b"word%d" % number for number in range(300))
OLD = {"a.html": WORDS, "b.css": WORDS[:200], "empty": b"", "moved.png": bytes(range(256))}
NEW = {
    "a.html": WORDS[:900] + b"!" + WORDS[900:],
    "b.css": WORDS[:200],
    "c/moved.png": bytes(range(256)),
    "d.txt": b"new",
}
BEFORE, AFTER = make_manifest("moe", "maths", 1, OLD), make_manifest("moe", "maths", 2, NEW)
HELD = contents_of(OLD)


def parts_of(pack: bytes) -> tuple[bytes, bytes, bytes]:
    """The columns, the digests and the frames of a pack."""
    first, _, rest = pack.partition(b"\n")
    packed, size, *digests = map(int, first.split()[2:])
    table = digests[0] if digests else 0
    columns = unpack_run(rest[:packed], size=size, what="index")
    return columns, rest[packed : packed + table], rest[packed + table :]


def head_of(columns: bytes, digests: bytes = b"") -> bytes:
    """A head with these columns, hostile or not."""
    packed = b"\0" + columns
    return f"alforja-pack 2 {len(packed)} {len(columns)} {len(digests)}\n".encode() + packed + digests


def an_install() -> bytes:
    return seal_install(BEFORE, HELD).data


def an_update(*, elide: bool = False) -> bytes:
    return seal_update(AFTER, BEFORE, contents_of(OLD, NEW), elide=elide).data


# What is written is read

PATHS = [
    "a.html", "b/a.html", "b/b.html", "b/c.png", "b/c/d.css", "b\udcff.txt", "c", "d/1.html", "d/2.html", "d/3.html",
    "d/3.png", "d/4.png", "e/f.mp4", "é/日.html", "z",
]  # fmt: skip
WORD = st.sampled_from(["Water", "Fire", "El agua", "水", "", 'say "x"', "a\nb"])


@st.composite
def manifests(draw: st.DrawFn, release: int) -> Manifest:
    """A manifest of a few paths, some of one content, taught in any way."""
    names = sorted(draw(st.sets(st.sampled_from(PATHS))), key=path_key)
    sizes = st.integers(0, 400) | st.sampled_from([2**20, 2**33])
    files, size_of = [], dict[int, int]()
    for name in names:
        content = draw(st.integers(0, 12))
        size = size_of.setdefault(content, content * 2 if content < 9 else draw(sizes))
        files.append(File(name, size, hashlib.sha256(b"%d %d" % (content, size)).digest()))
    lesson_ids = draw(st.lists(st.sampled_from("abcdef"), unique=True))
    paths = st.lists(st.sampled_from(names), max_size=4).map(tuple) if names else st.just(())
    extra = st.dictionaries(st.sampled_from(["x-later", "zz"]), st.integers() | WORD | st.just([1, {"y": None}]))
    lessons = [Lesson(one, {"en": draw(WORD)}, draw(paths), draw(paths), draw(extra)) for one in lesson_ids]
    cut = draw(st.integers(0, len(lessons)))
    sections = (Section({"en": draw(WORD)}, tuple(lessons[:cut]), draw(extra)), Section({}, tuple(lessons[cut:])))
    course = Course("maths", {"en": draw(WORD)}, languages=("en",), licence=draw(WORD), sections=sections)
    hollow = ("hollow",) if draw(st.booleans()) else ()
    return Manifest("moe", release, course, tuple(files), hollow, draw(extra))


@st.composite
def frames_for(draw: st.DrawFn, manifest: Manifest, held: Manifest | None, packs: int) -> tuple[Frame, ...]:
    """Frames that give every content that is not held: in any order, cut anywhere, some given twice."""
    old = [content.size for content in held.contents] if held else []
    known = held.number_of if held else {}
    fresh = [number for number, content in enumerate(manifest.contents) if content.digest not in known]
    sizes = [content.size for content in manifest.contents]
    frames: list[Frame] = []
    given, offset = list[int](), 0
    for number in draw(st.permutations(fresh)):
        size = min(sizes[number], 2**20)  # large ones in one odd piece after another
        cut = draw(st.integers(1, size - 1) | st.just(size)) if size > 1 else size
        pieces = [Piece(number, 0, cut), Piece(number, cut, sizes[number] - cut)][: 2 if cut < sizes[number] else 1]
        free = draw(st.sampled_from([0, NEEDS_ZLIB] if held else [0]))
        for needs in [NEEDS_JPEG_XL | free, free] if draw(st.booleans()) else [free]:
            pack = draw(st.integers(0, packs))
            length = draw(st.integers(1, 10_000))
            place = draw(st.integers(0, 2**40)) if pack else offset
            choices = [*range(len(old)), *(len(old) + one for one in given)]
            own = _own(draw, manifest.contents[number].path, held)
            bases = draw(_bases([*old, *sizes], choices, own))
            reach = sum(piece.length for piece in bases)
            kind = "prefix" if reach else "plain"
            assume(sizes[number] + reach < 2**25)
            frames.append(Frame(kind, pack, place, length, tuple(pieces), bases if kind == "prefix" else (), needs))
            offset += 0 if pack else length
        given += [number] if not free else []
    return tuple(frames)


def _bases(
    sizes: Sequence[int], choices: Sequence[int], own: tuple[Piece, ...]
) -> st.SearchStrategy[tuple[Piece, ...]]:
    """Bases of any shape: whole or parts, of what is held or given, what lay at the same path first or last."""

    @st.composite
    def pieces(draw: st.DrawFn) -> Piece:
        content = draw(st.sampled_from(choices))
        first = draw(st.integers(0, sizes[content]) | st.just(0))
        left = sizes[content] - first
        return Piece(content, first, draw(st.integers(0, left) | st.just(left)))

    some = st.lists(pieces(), max_size=5) if choices else st.just([])
    listed = some.map(lambda found: tuple(piece for piece in found if piece.length or not sizes[piece.content]))
    return st.tuples(listed, st.sampled_from(["first", "last", "alone", "not"])).map(
        lambda both: {
            "first": (*own, *both[0]), "last": (*both[0], *own), "alone": own, "not": both[0],
        }[both[1]]
    )  # fmt: skip


def _own(draw: st.DrawFn, path: str, held: Manifest | None) -> tuple[Piece, ...]:
    file = held.by_path.get(path) if held else None
    if file is None or held is None or not file.size:
        return ()
    return (Piece(held.number_of[file.digest], 0, min(file.size, 2**23) if draw(st.booleans()) else file.size),)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
def test_any_head_is_read_back(data: st.DataObject) -> None:
    held = data.draw(st.none() | manifests(4))
    manifest = data.draw(manifests(7))
    packs = tuple(data.draw(st.lists(st.sampled_from(["maths.1/install", "maths.2/from-1"]), max_size=2)))
    frames = data.draw(frames_for(manifest, held, len(packs)))
    moves = find_moves(manifest, held) if held else ()
    index = Index(held.release if held else None, frames, moves, packs)
    elide = data.draw(st.booleans()) and sum(frame.size for frame in frames) < 2**25
    head = format_head(index, manifest, held, elide=elide)
    opened = parse_head(head + b"frames", held, signed_length=sign_name(manifest)[1])
    laid = [replace(one, offset=one.offset + (0 if one.pack else len(head))) for one in frames]
    known = held.number_of if held else {}
    fresh = {number for number, content in enumerate(manifest.contents) if content.digest not in known}

    assert opened.index == replace(index, frames=tuple(laid))
    assert opened.head_length == head_length(head) == len(head)
    assert opened.missing == (fresh if elide else set())
    computed = {number: manifest.contents[number].digest for number in fresh}
    assert opened.complete(computed, sign_name(manifest)[0], "release") == manifest


def test_elided_digests_do_not_travel() -> None:
    digest = AFTER.by_path["a.html"].digest
    with_digests, without = an_update(elide=False), an_update(elide=True)

    assert digest in with_digests
    assert digest not in without
    assert len(head_of(*parts_of(with_digests)[:2])) - len(head_of(*parts_of(without)[:2])) in range(64, 68)


def test_an_edited_page_costs_some_forty_bytes_of_a_course_of_any_size() -> None:
    for count in (10, 5_000):
        tree = {f"unit-{number:05}/page.html": b"page %d" % number for number in range(count)}
        held = make_manifest("moe", "maths", 1, tree)
        manifest = make_manifest("moe", "maths", 2, tree | {"unit-00007/page.html": b"page 7, edited"})
        number = held.number_of[held.by_path["unit-00007/page.html"].digest]
        frame = Frame("prefix", 0, 0, 40, (Piece(number, 0, 14),), (Piece(number, 0, 6),))

        assert len(format_head(Index(1, (frame,)), manifest, held, elide=True)) < 48


def test_the_whole_held_tree_as_bases_costs_no_more_than_one_file() -> None:
    tree = {f"{number:04}.html": b"page %d" % number for number in range(1_000)}
    held, manifest = (
        make_manifest("moe", "maths", release, tree | {"new": b"new"} if release > 1 else tree) for release in (1, 2)
    )
    every = tuple(Piece(number, 0, content.size) for number, content in enumerate(held.contents))
    number = manifest.number_of[manifest.by_path["new"].digest]
    heads = [
        format_head(Index(1, (Frame("prefix", 0, 0, 9, (Piece(number, 0, 3),), bases),)), manifest, held, elide=True)
        for bases in (every[:1], every)
    ]

    assert parse_head(heads[1], held).index.frames[0].bases == every
    assert len(heads[1]) - len(heads[0]) <= 2


def test_computed_digests_that_are_not_those_signed_are_refused() -> None:
    opened = parse_head(an_update(elide=True), BEFORE)
    with pytest.raises(DigestMismatch, match=r"^release: manifest: wanted content"):
        opened.complete(dict.fromkeys(opened.missing, bytes(32)) | {min(opened.missing): b"x" * 32},
                        sign_name(AFTER)[0], "release")  # fmt: skip


# Alternatives: what some readers can undo, given once more for all others

PICTURE = make_manifest("moe", "maths", 1, {"a.jpg": b"a picture", "b.html": b"a page"})
WHOLE = (Piece(0, 0, 9),)


def opened_with(*frames: Frame, held: Manifest | None = None) -> tuple[Frame, ...]:
    """Write frames of the picture, beside one for the page, and read them."""
    page = Frame("plain", 0, 0, 9, (Piece(1, 0, 6),))
    index = Index(held.release if held else None, (page, *frames))
    return parse_head(format_head(index, replace(PICTURE, release=2), held, elide=False), held).index.frames[1:]


def picture(needs: int, *bases: Piece, outputs: tuple[Piece, ...] = WHOLE) -> Frame:
    return Frame("prefix" if bases else "plain", 0, 0, 9, outputs, bases, needs)


NOTHING_HELD = make_manifest("moe", "maths", 1, {"x": b"held"})


def test_a_content_may_be_given_again_for_readers_that_can_do_less() -> None:
    assert [frame.needs for frame in opened_with(picture(2), picture(0))] == [2, 0]
    assert [frame.needs for frame in opened_with(picture(3), picture(1), held=NOTHING_HELD)] == [3, 1]
    parts = [picture(needs, outputs=(Piece(0, at, 3),)) for at in (0, 3, 6) for needs in (2, 0)]
    assert len(opened_with(*parts)) == 6


@pytest.mark.parametrize(
    ("frames", "held", "words"),
    [
        ([picture(2)], None, "not to every reader"),
        ([picture(2)], NOTHING_HELD, "not to every reader"),
        ([picture(1)], None, "not to every reader"),
        ([], None, "is not given"),
        ([picture(0), picture(0)], None, "is given twice"),
        ([picture(0), picture(2)], None, "is given twice"),
        ([picture(1), picture(2), picture(0)], NOTHING_HELD, "is given twice"),
        ([picture(2), picture(0, outputs=(Piece(0, 0, 5),))], None, "in part only"),
        ([picture(0, outputs=(Piece(0, 3, 6),))], None, "is not given in order"),
    ],
)
def test_what_not_every_reader_could_undo_is_neither_written_nor_read(
    frames: list[Frame], held: Manifest | None, words: str
) -> None:
    with pytest.raises(FormatError, match=words):
        opened_with(*frames, held=held)


def test_a_base_is_there_for_whoever_can_undo_the_frame() -> None:
    old = len(NOTHING_HELD.contents)
    tree = {"a.jpg": b"a picture", "b.html": b"a page", "c.jpg": b"a picture of it"}
    manifest = make_manifest("moe", "maths", 2, tree)

    def read(*needs: int) -> Sequence[Frame]:
        page = Frame("plain", 0, 0, 9, (Piece(1, 0, 6),))
        first = [picture(one) for one in needs[:-1]]
        based = [Frame("prefix", 0, 0, 9, (Piece(2, 0, 15),), (Piece(old, 0, 9),), needs[-1])]
        based += [Frame("plain", 0, 0, 9, (Piece(2, 0, 15),))] if needs[-1] else []
        head = format_head(Index(1, (page, *first, *based)), manifest, NOTHING_HELD, elide=False)
        return parse_head(head, NOTHING_HELD).index.frames

    assert read(2, 0, 0)
    assert read(1, 0, 1)
    assert read(1, 1)
    with pytest.raises(FormatError, match="base is not held when it is needed"):
        read(1, 0)  # who cannot undo the first could not undo the second
    with pytest.raises(FormatError, match="base is not held when it is needed"):
        read(0)


# What nobody could have written is refused


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"", "does not begin with"),
        (b"alforja-pack 2 1\n", "does not begin with"),
        (b"alforja-pack 0 1 1\n", "does not begin with"),
        (b"alforja-pack 02 1 1\n", "does not begin with"),
        (b"alforja-pack 2 1 1234567890\n", "does not begin with"),
        (b"alforja-pack 2 1 -1\n", "does not begin with"),
        (b"alforja-pack 2 1 1 1 1\n", "does not begin with"),
        (b"alforja-pack 2 1 1" + b" " * 80 + b"\n", "does not begin with"),
        (b"alforja-pack 2 5 1 4\nxx", "23 bytes of a head of 30"),
        (b"alforja-pack 2 1 35651585\nxx", "larger than its manifest accounts for"),
    ],
)
def test_a_first_line_of_another_shape_is_refused(first: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        parse_head(first, None)


def test_another_version_is_named() -> None:
    with pytest.raises(UnsupportedFormat, match=r"^pack: format version 3, this program knows up to 2$"):
        head_length(b"alforja-pack 3 1 1\n")
    with pytest.raises(UnsupportedFormat, match=r"^pack: format version 1, this program reads none before 2$"):
        head_length(b"alforja-pack 1 1 1 1 1\n")


NOTHING = [NOWHERE] * 4
FILES, LESSONS = put_files(BEFORE, None)[0], put_course(BEFORE, None, NOTHING)
SOUND = (1, 0, 9, 0, 1, 0, 0, 6)  # frames: how many; kinds, lengths, packs, runs of outputs, modes; steps, forms


def install_with(
    *frames: int, start: int = 0, files: bytes = FILES, packs: bytes = b"\0", lessons: bytes = LESSONS
) -> bytes:
    """A first install of `BEFORE`, with these columns for frames and whatever else is said."""
    digests = b"".join(content.digest for content in BEFORE.contents)
    return head_of(put_numbers([start]) + files + packs + put_numbers(frames or SOUND) + lessons, digests)


def test_the_columns_of_these_tests_are_sound() -> None:
    opened = parse_head(install_with(), None)

    assert [len(frame.outputs) for frame in opened.index.frames] == [4]
    assert opened.complete({}, sign_name(BEFORE)[0], "release") == BEFORE


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ((0,), "a content is not given"),
        ((1, 0, 9, 0, 1, 0, 0, 4), "a content is not given"),
        ((2**18 + 10,), "states 262154 where at most 262152 can be"),
        ((99, 0), "ends within its columns"),
        ((1, 9 << 4, 9, 0, 1, 0, 0, 6), "frame of kind 9: unknown to this program"),
        ((1, 0, 0, 0, 1, 0, 0, 6), "lies nowhere"),
        ((1, 0, 2**62, 0, 1, 0, 0, 6), "where no pack reaches"),
        ((1, 0, 9, 1, 0, 1, 0, 0, 6), "names a pack that it does not list"),
        ((1, 0, 9, 0, 0, 0), "gives nothing"),
        ((1, 0, 9, 0, 1, 0, 0, 8), "names a content that is not there"),
        ((1, 0, 9, 0, 1, 0, 1, 6), "names a content that is not there"),
        ((1, 0, 9, 0, 1, 0, 2, 6), "names a content that is not there"),
        ((1, 0, 9, 0, 1, 0, 0, 2**62), "more than 262144 bases"),
        ((1, 0, 9, 0, 2, 0, 0, 7, 6, 0), "is given twice"),
        ((2, 0, 0, 9, 9, 0, 0, 1, 1, 0, 0, 0, 7, 6, 0), "is given twice"),
        ((1, 0, 9, 0, 2, 0, 0, 2, 11, 4), "in part only"),
        ((1, 0, 9, 0, 2, 0, 0, 0, 1, 6), "names bytes outside a content"),
        ((1, 0, 9, 0, 2, 0, 0, 0, 2**40 + 1, 6), "names bytes outside a content"),
        ((1, 16, 9, 0, 1, 1, 1, 0, 6, 0, 0), "base is not held when it is needed"),
        ((1, 16, 9, 0, 1, 1, 1, 0, 6, 1, 0), "names a content that is not there"),
        ((1, 16, 9, 0, 1, 1, 1, 0, 6, 0, 8), "names a content that is not there"),
        ((1, 16, 9, 0, 1, 1, 1, 0, 6, 0, 9, 1), "names bytes outside a content"),
        ((1, 16, 9, 0, 1, 1, 1, 0, 6, 0, 9, 8000), "names bytes outside a content"),
        ((1, 16, 9, 0, 1, 1, 1, 0, 6, 0, 1, 0), "names bytes outside a content"),
        ((1, 16, 9, 0, 1, 2, 0, 6), "frame of kind prefix: has no bases"),
        ((1, 0, 9, 0, 1, 0, 0, 6, 0), "index: "),
    ],
)
def test_frames_that_nobody_could_have_written_are_refused(frames: tuple[int, ...], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        parse_head(install_with(*frames), None)


def files_with(*numbers: int, names: bytes = b"a.html\0b.css\0empty\0moved.png\0") -> bytes:
    return put_numbers(numbers) + names


A_WORDS, GAPS = len(WORDS), (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (files_with(2**31, names=b""), "states 2147483648 where at most 999999999 can be"),
        (files_with(1, 1, names=b""), "states 1 where at most 0 can be"),
        (files_with(1, 0, 2**30, names=b""), "where at most 5592405 can be"),
        (files_with(1, 0, 5_000_000, names=b""), "ends within its columns"),
        (files_with(1, 0, 4, 1, names=b""), "states 1 where at most 0 can be"),
        (files_with(1, 0, 4, 0, 5, names=b""), "states 5 where at most 4 can be"),
        (files_with(1, 0, 4, 0, 1, 4, names=b""), "states 4 where at most 3 can be"),
        (files_with(1, 0, 4, 0, 0, 0, 2**30, names=b""), "where at most 16388 can be"),
        (files_with(1, 0, 4, 0, 0, 0, 29, 0, 0, 0, 1, A_WORDS, 200, 0, 256, *GAPS), "names place 4 of 4"),
        (files_with(1, 0, 4, 0, 1, 0, 29, *GAPS, 0, 0, 200, 0, 256, *GAPS), "a held content that is not there"),
        (files_with(1, 0, 4, 0, 0, 1, 29, *GAPS, 0, 0, 200, 0, 256, *GAPS), "a content that is not there yet"),
        (files_with(1, 0, 4, 0, 1, 1, 29, *GAPS, 0, 0, 0, 0, 0, 256, *GAPS), "a held content that is not there"),
        (files_with(1, 0, 4, 0, 0, 0, 29, *GAPS, 2**44, 200, 0, 256, *GAPS), "gives a file 17592186044416 bytes"),
        (files_with(1, 0, 4, 0, 0, 0, 29, *GAPS, A_WORDS, 200, 0, 256, 1, 0, 0, 0), "more of a path than there is"),
        (files_with(1, 0, 4, 0, 0, 0, 8, *GAPS, A_WORDS, 200, 0, 256, *GAPS, names=b"a\0b\0b\0c\0"), "not in order"),
        (files_with(1, 0, 4, 0, 0, 0, 29, *GAPS, A_WORDS, 200, 0, 256, 0, 7, 0, 0), "more of a path than there is"),
        (files_with(1, 0, 4, 0, 0, 0, 4, *GAPS, A_WORDS, 200, 0, 256, *GAPS, names=b"a\0b\0"), "not as many"),
        (files_with(1, 0, 4, 0, 0, 0, 5, *GAPS, A_WORDS, 200, 0, 256, *GAPS, names=b"a\0b\0c"), "not as many"),
        (files_with(1, 0, 4, 0, 0, 0, 9, *GAPS, A_WORDS, 200, 0, 256, *GAPS, names=b"a\0b\0c\0d\0e"), "not as many"),
        (b"\xff" * 9 + b"\x01", "holds a number beyond all bounds"),
        (b"\xff" * 3, "ends within its columns"),
    ],
)
def test_files_that_nobody_could_have_written_are_refused(files: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        parse_head(head_of(b"\0" + files) if len(files) < 12 else install_with(files=files), None)


@pytest.mark.parametrize(
    ("lessons", "words"),
    [
        (b"\0\0", "ends within its columns"),
        (put_numbers([1, 0, 0, 0, 0, 0]), "field `publisher` is missing"),
        (put_numbers([1, 1, 0, 0, 0, 0]), "names lines that are not there"),
        (put_numbers([1, 0, 0, 1, 0, 0, 0]), "has not as many lines"),
        (put_numbers([1, 0, 0, 1, 1, 0, 1]) + b"\n", "longer than it can be"),
        (put_numbers([1, 0, 0, 1, 0, 0, 3]) + b"{}\n\0", "a lesson outside of any section"),
        (put_numbers([1, 0, 0, 1, 0, 0, 5]) + b"[[]]\n\0", "is not a JSON object"),
        (put_numbers([1, 0, 0, 1, 0, 0, 16]) + b'[{"release":1}]\n\0', "states what stands elsewhere"),
        (put_numbers([1, 0, 0, 1, 0, 0, 14]) + b'[{"files":1}]\n\0', "states what stands elsewhere"),
        (LESSONS[:-8] + put_numbers([2]), "states 2 where at most 1 can be"),
        (LESSONS[:-8] + put_numbers([1, 0, 4, 0, 0, 0, 0, 9]), "a file that is not there"),
        (LESSONS[:-8] + put_numbers([1, 0, 4, 0, 0, 0, 0, 2]), "a file that is not there"),
        (LESSONS[:-8] + put_numbers([1, 0, 2**40, 0]), "more files in lessons than its manifest accounts for"),
        (LESSONS[:-8] + put_numbers([1, 0, 2**20, 0]), "ends within its columns"),
        (LESSONS + b"x", "goes on behind its end"),
        (LESSONS.replace(b'{"id"', b'{"iD"'), "field `id` is missing"),
        (LESSONS.replace(b'"title":{"en":"start"}', b'"rich":[11],"title":{}'), "states what stands elsewhere"),
    ],
)
def test_lessons_that_nobody_could_have_written_are_refused(lessons: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        parse_head(install_with(lessons=lessons), None)


def test_other_columns_that_nobody_could_have_written_are_refused() -> None:
    for packs in (b"\x0e../x.1/install", b"\x02\xff\xff", b"\x0fx.1/install\nx.1"):
        with pytest.raises(FormatError, match=r"not of the form|by what is no text"):
            parse_head(install_with(packs=packs), None)
    with pytest.raises(FormatError, match="starts from release 1, not from the one that is held"):
        parse_head(install_with(start=1), None)
    with pytest.raises(FormatError, match="96 bytes of digests for 4 new contents"):
        parse_head(head_of(parts_of(an_install())[0], bytes(96)), None)
    with pytest.raises(FormatError, match="unknown to this program"):
        parse_head(b"alforja-pack 2 2 1\n\x09x", None)


def test_another_held_release_than_the_index_starts_from_is_refused() -> None:
    for held in (None, replace(BEFORE, release=3)):
        with pytest.raises(FormatError, match="starts from release 1, not from the one that is held"):
            parse_head(an_update(), held)


def test_a_sound_frame_that_gives_other_bytes_is_refused_by_the_file_it_would_give() -> None:
    frame = codec.compress(bytes(sum(content.size for content in BEFORE.contents)))
    sealed = Sealed(BEFORE, install_with(1, 0, len(frame), 0, 1, 0, 0, 6) + frame)
    with pytest.raises(DigestMismatch, match=r"^a\.html: wanted content"):
        unseal(sealed.data, sealed.read, None, {}, sign_name(BEFORE)[0])


def test_without_digests_no_more_may_be_written_than_the_format_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    given = len(NEW["a.html"]) + len(NEW["d.txt"])
    monkeypatch.setattr("alforja_packaging.index.ELIDED_MAX_BYTES", given)
    parse_head(an_update(elide=True), BEFORE)
    monkeypatch.setattr("alforja_packaging.index.ELIDED_MAX_BYTES", given - 1)
    parse_head(an_update(elide=False), BEFORE)

    with pytest.raises(FormatError, match="leaves out the digests of more than the format allows"):
        parse_head(an_update(elide=True), BEFORE)


# Whatever is changed: refused, or exactly what was signed


@given(st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_hostile_head_is_refused_or_gives_exactly_what_was_signed(data: st.DataObject) -> None:
    update = data.draw(st.booleans())
    pack, held, signed = (
        (an_update(elide=data.draw(st.booleans())), BEFORE, AFTER) if update else (an_install(), None, BEFORE)
    )
    columns, digests, body = parts_of(pack)
    changed = bytearray(columns)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(changed)))
        take, put = data.draw(st.integers(0, 3)), data.draw(st.binary(max_size=3))
        changed[at : at + take] = put
    if data.draw(st.integers(0, 5)) == 0:
        digests = digests[: data.draw(st.integers(0, len(digests)))]
    sealed = Sealed(signed, head_of(bytes(changed), digests) + body, (pack,))
    try:
        manifest, found = unseal(sealed.data, sealed.read, held, HELD if held else {}, sign_name(signed)[0])
    except (VerifyError, FormatError):
        return

    assert (manifest, found) == (signed, contents_of(NEW if update else OLD))


@given(st.binary(max_size=200), st.booleans())
@settings(deadline=None)
def test_columns_of_any_bytes_raise_nothing_but_what_is_said(columns: bytes, update: bool) -> None:
    for start in (b"\1" if update else b"\0", b""):
        try:
            parse_head(head_of(start + columns), BEFORE if update else None)
        except AlforjaError:
            continue


def test_sizes_that_nobody_signed_take_no_memory() -> None:
    files = files_with(1, 0, 1, 0, 0, 0, 2, 0, 1000 * 2**24, 0, names=b"a\0")
    frames = [999, *[0] * 999, *[1] * 999, *[0] * 999, *[1] * 999, *[0] * 999, *[0] * 999, *[2**25 + 1] * 998, 0]
    frames[-1] = 2**26  # refused as a run of too many
    columns = b"\0" + files + b"\0" + put_numbers(frames) + LESSONS
    with pytest.raises(FormatError):
        parse_head(head_of(columns, bytes(32)), None)


def test_a_few_bytes_that_stand_for_very_many_take_no_memory() -> None:
    runs = 2_000
    bases = (1, 16, 9, 0, 1, 1, runs, 0, 6, *[0] * runs, *[2 * 3] * runs)
    lines = put_numbers([1, 0, 0, runs, *[0, *[100_000] * (runs - 1)], *[0] * runs, 100_000 + runs])
    lines += b"[" + b" " * 99_998 + b"]" + b"\n" * runs
    tracemalloc.start()
    for head in (install_with(*bases), install_with(lessons=lines)):
        with pytest.raises(FormatError):
            parse_head(head, None, signed_length=10_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 3 * 2**20
    assert PIECES_MAX == 2**18

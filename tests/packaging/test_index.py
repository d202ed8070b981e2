"""The head of a pack: what is written is read, and what nobody could have written costs nothing but a refusal."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alforja_packaging import codec
from alforja_packaging.errors import DigestMismatch, FormatError, UnsupportedFormat, VerifyError
from alforja_packaging.frames import Frame, Piece
from alforja_packaging.index import Index, format_head, head_length, parse_head, sign_name
from alforja_packaging.manifest import Manifest, format_json, format_manifest, format_skeleton
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


def head_of(fields: object, document: bytes, prefix: bytes = b"") -> bytes:
    """A head with these fields and these lines of a manifest, hostile or not."""
    text = fields if isinstance(fields, bytes) else format_json(fields).encode()
    fast = {"compression_level": 1}
    packed, packed_document = codec.compress(text, options=fast), codec.compress(document, prefix=prefix, options=fast)
    sizes = f"{len(packed)} {len(text)} {len(packed_document)} {len(document)}"
    return f"alforja-pack 1 {sizes}\n".encode() + packed + packed_document


def parts_of(pack: bytes, held: Manifest | None) -> tuple[dict[str, Any], bytes, bytes]:
    """The index's fields, the manifest's lines and the frames of a pack."""
    first, _, rest = pack.partition(b"\n")
    _, _, packed, size, packed_document, document_size = (int(word) if word.isdigit() else 0 for word in first.split())
    text = codec.decompress_whole(rest[:packed], size=size, what="index")
    document = codec.decompress_whole(
        rest[packed : packed + packed_document], size=document_size, what="manifest",
        prefix=format_skeleton(held) if held else b"",
    )  # fmt: skip
    return json.loads(text), document, rest[packed + packed_document :]


def an_install() -> bytes:
    return seal_install(BEFORE, HELD).data


def an_update(*, elide: bool = False) -> bytes:
    return seal_update(AFTER, BEFORE, contents_of(OLD, NEW), elide=elide).data


# What is written is read


@given(st.data())
def test_a_head_is_read_back(data: st.DataObject) -> None:
    elide = data.draw(st.booleans())
    new = [number for number, content in enumerate(AFTER.contents) if content.digest not in BEFORE.number_of]
    # Every new content in one piece or two, in frames of any kind and place.
    frames = []
    packs = data.draw(st.lists(st.sampled_from(["maths.1/install", "maths.2/from-1"]), max_size=2))
    offset = 0
    for number in data.draw(st.permutations(new)):
        size = AFTER.contents[number].size
        cut = data.draw(st.integers(1, size - 1) | st.just(size)) if size > 1 else size
        for piece in [Piece(number, 0, cut), Piece(number, cut, size - cut)][: 2 if cut < size else 1]:
            pack = data.draw(st.integers(0, len(packs)))
            length = data.draw(st.integers(1, 10_000))
            based = data.draw(st.booleans())
            bases = (Piece(0, 5, 20), Piece(1, 0, BEFORE.contents[1].size)) if based else ()
            place = data.draw(st.integers(0, 2**40)) if pack else offset
            frames.append(Frame("prefix" if based else "plain", pack, place, length, (piece,), bases))
            offset += 0 if pack else length
    moved_file = AFTER.by_path["c/moved.png"].digest
    moves = ((AFTER.number_of[moved_file], BEFORE.number_of[moved_file]),)
    index = Index(1, tuple(frames), moves, tuple(packs))
    head = format_head(index, AFTER, BEFORE, elide=elide)
    opened = parse_head(head + b"frames", BEFORE)
    laid = [replace(one, offset=one.offset + (0 if one.pack else len(head))) for one in frames]

    assert opened.index == replace(index, frames=tuple(laid))
    assert opened.head_length == head_length(head) == len(head)
    assert opened.missing == (frozenset(new) if elide else frozenset())
    computed = {number: AFTER.contents[number].digest for number in new}
    assert opened.complete(computed, sign_name(AFTER)[0], "release") == AFTER


def test_elided_digests_do_not_travel() -> None:
    digest = AFTER.by_path["a.html"].digest
    _, with_digests, _ = parts_of(an_update(elide=False), BEFORE)
    _, without, _ = parts_of(an_update(elide=True), BEFORE)

    assert digest in with_digests
    assert without == format_skeleton(AFTER)
    assert len(with_digests) == len(without) + 32 * 2


def test_computed_digests_that_are_not_those_signed_are_refused() -> None:
    opened = parse_head(an_update(elide=True), BEFORE)
    with pytest.raises(DigestMismatch, match=r"^release: manifest: wanted content"):
        opened.complete(dict.fromkeys(opened.missing, bytes(32)) | {min(opened.missing): b"x" * 32},
                        sign_name(AFTER)[0], "release")  # fmt: skip


def test_unknown_fields_of_an_index_and_its_frames_are_passed_over() -> None:
    fields, document, _ = parts_of(an_install(), None)
    fields["x-later"] = [1, {"y": None}]
    for frame in fields["frames"]:
        frame["x-later"] = "z"

    assert parse_head(head_of(fields, document), None).index.frames


# What nobody could have written is refused


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"", "does not begin with"),
        (b"alforja-pack 1 1 1 1\n", "does not begin with"),
        (b"alforja-pack 0 1 1 1 1\n", "does not begin with"),
        (b"alforja-pack 01 1 1 1 1\n", "does not begin with"),
        (b"alforja-pack 1 1 1 1 1234567890\n", "does not begin with"),
        (b"alforja-pack 1 1 1 1 -1\n", "does not begin with"),
        (b"alforja-pack 1 1 1 1 1" + b" " * 80 + b"\n", "does not begin with"),
        (b"alforja-pack 1 5 1 5 1\nxx", "25 bytes of a head of 33"),
        (b"alforja-pack 1 1 33554433 1 1\nxx", "larger than an index or a manifest may be"),
        (b"alforja-pack 1 1 1 1 33554433\nxx", "larger than an index or a manifest may be"),
    ],
)
def test_a_first_line_of_another_shape_is_refused(first: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        parse_head(first, None)


def test_a_newer_version_is_named() -> None:
    with pytest.raises(UnsupportedFormat, match=r"^pack: format version 2, this program knows up to 1$"):
        head_length(b"alforja-pack 2 1 1 1 1\n")


A, B, C = ({"kind": "plain", "length": 9, "outputs": [number]} for number in range(3))  # one of the four is not given
GIVEN: list[dict[str, Any]] = [{"kind": "plain", "length": 9, "outputs": [0, 1, 1, 1]}]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "a field is not as the format says"),
        ([], "is not a JSON object"),
        ({"frames": 5}, "a field is not as the format says"),
        ({"frames": [5]}, "a field is not as the format says"),
        ({"frames": [{"kind": "plain", "length": 9}]}, "a field is not as the format says"),
        ({"frames": [A, B, C]}, "128 bytes of digests for 3 new contents"),
        ({"frames": GIVEN, "from": 1}, "starts from release 1, not from the one that is held"),
        ({"frames": GIVEN, "moves": [[0, 0]]}, "moves a content that is not there"),
        ({"frames": GIVEN, "packs": ["../x.1/install"]}, "not of the form"),
        ({"frames": GIVEN, "packs": 5}, "a field is not as the format says"),
        ({"frames": [GIVEN[0] | {"at": [1, 0]}]}, "names a pack that it does not list"),
        ({"frames": [GIVEN[0] | {"at": [-1, 0]}]}, "names a pack that it does not list"),
        ({"frames": [GIVEN[0] | {"at": [0, -1]}]}, "lies nowhere"),
        ({"frames": [GIVEN[0] | {"at": [0, 10**300]}]}, "where no pack reaches"),
        ({"frames": [GIVEN[0] | {"at": 7}]}, "a field is not as the format says"),
        ({"frames": [GIVEN[0] | {"length": "9"}]}, "a field is not as the format says"),
        ({"frames": [GIVEN[0] | {"length": 0}]}, "lies nowhere"),
        ({"frames": [GIVEN[0] | {"length": 10**300}]}, "where no pack reaches"),
        ({"frames": [GIVEN[0] | {"kind": "smoke"}]}, "'smoke': unknown to this program"),
        ({"frames": [GIVEN[0] | {"outputs": [4]}]}, "names a content that is not there"),
        ({"frames": [GIVEN[0] | {"outputs": [-1]}]}, "names a content that is not there"),
        ({"frames": [GIVEN[0] | {"outputs": ["0"]}]}, "names a content that is not there"),
        ({"frames": [GIVEN[0] | {"outputs": [[0, 0]]}]}, "names a content that is not there"),
        ({"frames": [GIVEN[0] | {"outputs": [[0, 0, 10**9]]}]}, "names bytes outside a content"),
        ({"frames": [GIVEN[0] | {"outputs": [[0, 5, -5]]}]}, "names bytes outside a content"),
        ({"frames": [GIVEN[0] | {"outputs": 5}]}, "pieces are not a list"),
        ({"frames": [*GIVEN, A]}, "a content is given twice, or not in order"),
        ({"frames": [GIVEN[0] | {"outputs": [[0, 9, 5], 1, 1, 1]}]}, "a content is given twice, or not in order"),
        ({"frames": [GIVEN[0] | {"outputs": [[0, 0, 5], 1, 1, 1]}]}, "a content is given in part only"),
        ({"frames": [GIVEN[0] | {"outputs": [[0, 0, 0], 0, 1, 1, 1]}]}, "a content is given twice, or not in order"),
        ({"frames": [GIVEN[0] | {"kind": "prefix", "bases": [0]}]}, "a frame's base is not held when it is needed"),
    ],
)  # fmt: skip
def test_an_index_that_nobody_could_have_written_is_refused(fields: object, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        parse_head(head_of(fields, format_manifest(BEFORE)), None)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity", b"9.0", b"9" * 5_000])
@pytest.mark.parametrize("field", [b'"length":%s', b'"at":[0,%s],"length":9', b'"at":[%s,0],"length":9'])
def test_a_number_that_is_no_whole_one_is_refused(number: bytes, field: bytes) -> None:
    text = b'{"frames":[{"kind":"plain","outputs":[0,1,1,1],' + field % number + b"}]}"
    with pytest.raises(FormatError, match="is not readable JSON"):
        parse_head(head_of(text, format_manifest(BEFORE)), None)


def test_a_content_that_comes_from_nowhere_is_refused() -> None:
    fields, document, _ = parts_of(an_update(), BEFORE)
    with pytest.raises(FormatError, match=r"says nothing of where 'c/moved\.png' comes from"):
        parse_head(head_of(fields | {"moves": []}, document, format_skeleton(BEFORE)), BEFORE)


def test_a_held_content_of_another_size_is_not_taken_for_the_new_one() -> None:
    fields, document, _ = parts_of(an_update(elide=True), BEFORE)
    longer = document.replace(b'["b.css",200]', b'["b.css",201]')
    assert longer != document
    with pytest.raises(FormatError, match=r"says nothing of where 'b\.css' comes from"):
        parse_head(head_of(fields, longer, format_skeleton(BEFORE)), BEFORE)


def test_a_sound_frame_that_gives_other_bytes_is_refused_by_the_file_it_would_give() -> None:
    frame = codec.compress(bytes(sum(content.size for content in BEFORE.contents)))
    fields = {"frames": [{"kind": "plain", "length": len(frame), "outputs": [0, 1, 1, 1]}]}
    sealed = Sealed(BEFORE, head_of(fields, format_manifest(BEFORE)) + frame)
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


def test_another_held_release_than_the_index_starts_from_is_refused() -> None:
    with pytest.raises((FormatError, VerifyError)):
        parse_head(an_update(), None)
    with pytest.raises((FormatError, VerifyError)):
        parse_head(an_update(), replace(BEFORE, release=3))


# Whatever is changed: refused, or exactly what was signed

NUMBERS = st.integers(-3, 6) | st.sampled_from([10, 255, 256, 2**31, 2**43, 2**53, 2**63, 2**64, 10**40])
VALUES = st.one_of(
    NUMBERS, st.none(), st.booleans(), st.just(""), st.just("prefix"), st.just("plain"), st.just("maths.1/install"),
    st.lists(NUMBERS, max_size=3), st.lists(st.lists(NUMBERS, min_size=3, max_size=3), max_size=2), st.just({}),
)  # fmt: skip


def spots(value: object) -> Iterator[tuple[Any, Any]]:
    """Every place of a JSON value that can be changed: its container and its key."""
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    for key in keys:
        yield value, key
        yield from spots(value[key])  # type: ignore[index]


def change(draw: Any, value: Any) -> None:
    """Change a JSON value in one place: another value, one more, or one less."""
    places = list(spots(value))
    if not places:
        return
    container, key = draw(st.sampled_from(places))
    how = draw(st.sampled_from(["replace", "remove", "repeat", "swap"]))
    if how == "remove":
        del container[key]
    elif how == "repeat" and isinstance(container, list):
        container.insert(key, container[key])
    elif how == "swap" and isinstance(container, list):
        container.reverse()
    else:
        container[key] = draw(VALUES)


@given(st.data())
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_a_hostile_head_is_refused_or_gives_exactly_what_was_signed(data: st.DataObject) -> None:
    update = data.draw(st.booleans())
    pack, held, signed = (
        (an_update(elide=data.draw(st.booleans())), BEFORE, AFTER) if update else (an_install(), None, BEFORE)
    )
    fields, document, body = parts_of(pack, held)
    for _ in range(data.draw(st.integers(0, 3))):
        change(data.draw, fields)
    if data.draw(st.integers(0, 3)) == 0:
        magic, line, table = document.split(b"\n", 2)
        changed = json.loads(line)
        change(data.draw, changed)
        document = b"\n".join([magic, format_json(changed).encode(), table])
    if data.draw(st.integers(0, 5)) == 0:
        document = document[: data.draw(st.integers(0, len(document)))]
    head = head_of(fields, document, format_skeleton(held) if held else b"")
    sealed = Sealed(signed, head + body, (pack,))
    try:
        manifest, found = unseal(sealed.data, sealed.read, held, HELD if held else {}, sign_name(signed)[0])
    except (VerifyError, FormatError):
        return

    assert (manifest, found) == (signed, contents_of(NEW if update else OLD))


def test_sizes_that_nobody_signed_take_no_memory() -> None:
    frame = {"kind": "plain", "length": 1}
    frames = [frame | {"outputs": [[0, at * 2**24, 2**24]]} for at in range(1000)]
    document = b"alforja-manifest 1\n" + format_json({"files": [["a", 1000 * 2**24]]}).encode() + b"\n" + bytes(32)
    with pytest.raises(DigestMismatch, match="manifest: wanted content"):
        unseal(head_of({"frames": frames}, document), lambda *_: b"x", None, {}, bytes(32))

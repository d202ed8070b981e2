"""Frames: what a kind allows, and runs of bytes that never cross from piece to piece."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_packaging import frames
from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.frames import (
    FRAME_MAX_BYTES,
    KINDS,
    PACK_MAX_BYTES,
    PIECE_MAX_BYTES,
    PLAIN,
    PREFIX,
    Frame,
    Piece,
)
from alforja_packaging.patch import InMemory
from alforja_packaging.patching import make_patch
from alforja_packaging.unfolding import Unfolded

IN_PLAIN = Frame("plain", 0, 0, 1, (Piece(0, 0, 10),))
IN_PREFIX = Frame("prefix", 0, 0, 1, (Piece(0, 0, 10),), (Piece(1, 0, 10),))


def wide(size: int) -> tuple[Piece, ...]:
    return (Piece(0, 0, size),)


@given(st.integers(0, 5 * PIECE_MAX_BYTES))
def test_a_file_is_cut_into_pieces_that_join_to_the_whole(size: int) -> None:
    pieces = frames.cut(7, size)

    assert [piece.offset for piece in pieces] == [sum(one.length for one in pieces[:n]) for n in range(len(pieces))]
    assert sum(piece.length for piece in pieces) == size
    assert all(piece.content == 7 and piece.length <= PIECE_MAX_BYTES for piece in pieces)
    assert all(piece.length for piece in pieces) or size == 0
    assert pieces


@pytest.mark.parametrize(
    "frame",
    [
        IN_PLAIN, IN_PREFIX, replace(IN_PLAIN, outputs=wide(FRAME_MAX_BYTES)), replace(IN_PLAIN, outputs=wide(0)),
        replace(IN_PREFIX, outputs=wide(FRAME_MAX_BYTES - 10)), replace(IN_PLAIN, pack=1, offset=PACK_MAX_BYTES - 1),
    ],
)  # fmt: skip
def test_a_frame_within_its_bounds_is_taken(frame: Frame) -> None:
    frames.check_frame(frame)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (replace(IN_PLAIN, kind="smoke"), "unknown to this program"),
        (replace(IN_PLAIN, outputs=()), "gives nothing"),
        (replace(IN_PLAIN, length=0), "lies nowhere"),
        (replace(IN_PLAIN, length=-1), "lies nowhere"),
        (replace(IN_PLAIN, offset=-1), "lies nowhere"),
        (replace(IN_PLAIN, offset=PACK_MAX_BYTES), "where no pack reaches"),
        (replace(IN_PLAIN, bases=(Piece(1, 0, 1),)), "kind plain: has bases"),
        (replace(IN_PREFIX, bases=()), "kind prefix: has no bases"),
        (replace(IN_PREFIX, bases=(Piece(1, 0, 0),)), "kind prefix: has no bases"),
        (replace(IN_PLAIN, outputs=wide(FRAME_MAX_BYTES + 1)), "more than 33554432"),
        (replace(IN_PREFIX, outputs=wide(FRAME_MAX_BYTES)), "33554442 bytes with its bases, more than 33554432"),
    ],
)
def test_a_frame_beyond_its_bounds_is_refused(frame: Frame, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        frames.check_frame(frame)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_a_kind_encodes_it_decodes_into_its_pieces(kind: str, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 400), min_size=1, max_size=5))
    output = data.draw(st.binary(min_size=sum(lengths), max_size=sum(lengths)))
    bases = b"" if kind == "plain" else data.draw(st.binary(min_size=1, max_size=300))
    packed = encode(kind, output, bases)
    outputs = tuple(Piece(number, 3 * number, length) for number, length in enumerate(lengths))
    held = (Piece(99, 0, len(bases)),) if bases else ()
    frame = Frame(kind, 0, 0, len(packed), outputs, held)
    frames.check_frame(frame)
    runs = list(frames.decode(frame, material(packed, bases)))

    assert b"".join(run for _, run in runs) == output
    for number, piece in enumerate(outputs):
        mine = [(one, run) for one, run in runs if one.content == number]
        at = piece.offset
        for one, run in mine:
            assert (one.offset, one.length) == (at, len(run))
            at += len(run)
        assert at == piece.offset + piece.length


@pytest.mark.parametrize("size", [9, 11])
def test_output_of_another_size_is_refused(size: int) -> None:
    packed = PLAIN.encode(bytes(size), b"", {})
    with pytest.raises(VerifyError, match=r"^frame 3: gives"):
        list(frames.decode(IN_PLAIN, material(packed, what="frame 3")))


def test_other_bases_give_as_many_other_bytes_which_their_digests_tell() -> None:
    words = b" ".join(b"word%d" % number for number in range(200))
    packed = PREFIX.encode(words[:500], words, {})
    frame = Frame("prefix", 0, 0, len(packed), wide(500), (Piece(1, 0, len(words)),))
    given_back = b"".join(data for _, data in frames.decode(frame, material(packed, words[::-1])))

    assert len(given_back) == 500
    assert given_back != words[:500]


def encode(kind: str, output: bytes, bases: bytes) -> bytes:
    if kind == "patch":
        return make_patch(Unfolded(output), [bases]).data
    return (PLAIN if kind == "plain" else PREFIX).encode(output, bases, {})


def material(packed: bytes, bases: bytes = b"", what: str = "frame") -> frames.Material:
    return frames.Material(InMemory(packed), InMemory(bases), InMemory(), what)

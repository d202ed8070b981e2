"""Which frames a node takes where an index offers a choice, and the order it wants them in."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_node.selection import Frames, asked_by, choose_frames, part_frames
from alforja_packaging.course import Course
from alforja_packaging.errors import FormatError
from alforja_packaging.files import File, make_files
from alforja_packaging.frames import NEEDS_JPEG_XL, NEEDS_KNOWN, NEEDS_ZLIB, Frame, Needs, Piece
from alforja_packaging.index import Index, Opened
from alforja_packaging.manifest import Skeleton

HELD = 2  # contents of the held manifest, before the new ones


def an_index(sizes: list[int], *frames: Frame) -> Opened:
    files = [File(f"{number:06}", size, number.to_bytes(32)) for number, size in enumerate(sizes)]
    skeleton = Skeleton("moe", 2, Course("maths", {}), make_files(files).table)
    return Opened(Index(1, frames), skeleton, b"", frozenset(), 0, HELD)


def a_frame(*outputs: Piece, needs: Needs = 0, new_bases: tuple[int, ...] = ()) -> Frame:
    return Frame("plain", 0, 0, 1, outputs, tuple(Piece(HELD + base, 0, 10) for base in new_bases), needs)


def whole(content: int) -> Piece:
    return Piece(content, 0, 10)


def test_all_frames_are_taken_where_none_needs_anything() -> None:
    assert choose_frames(an_index([10, 10], a_frame(whole(1)), a_frame(whole(0))), 0) == (0, 1)


def test_the_first_frame_that_this_node_can_undo_is_taken() -> None:
    opened = an_index([10, 10], a_frame(whole(0), needs=NEEDS_JPEG_XL), a_frame(whole(0)), a_frame(whole(1)))

    assert choose_frames(opened, 0) == (1, 2)
    assert choose_frames(opened, NEEDS_ZLIB) == (1, 2)
    assert choose_frames(opened, NEEDS_KNOWN) == (0, 2)


def test_a_frame_is_taken_again_for_what_the_ones_before_it_do_not_give() -> None:
    opened = an_index([10, 10], a_frame(whole(0), needs=NEEDS_JPEG_XL), a_frame(whole(0), whole(1)))

    assert choose_frames(opened, NEEDS_JPEG_XL) == (0, 1)


def test_what_builds_on_a_frame_that_is_not_taken_is_not_taken() -> None:
    opened = an_index(
        [10, 10],
        a_frame(whole(0), needs=NEEDS_JPEG_XL),
        a_frame(whole(1), needs=NEEDS_ZLIB, new_bases=(0,)),
        a_frame(whole(1)),
        a_frame(whole(0)),
    )

    assert choose_frames(opened, NEEDS_ZLIB) == (2, 3)
    assert choose_frames(opened, NEEDS_KNOWN) == (0, 1)


def test_a_large_file_may_change_from_one_kind_of_frame_to_another() -> None:
    opened = an_index(
        [30],
        a_frame(Piece(0, 0, 10), needs=NEEDS_ZLIB),
        a_frame(Piece(0, 10, 10), needs=NEEDS_JPEG_XL),
        a_frame(Piece(0, 20, 10), needs=NEEDS_ZLIB),
        a_frame(Piece(0, 0, 15)),
        a_frame(Piece(0, 15, 15)),
    )

    assert choose_frames(opened, NEEDS_KNOWN) == (0, 1, 2)
    assert choose_frames(opened, NEEDS_ZLIB) == (0, 3, 4)
    assert choose_frames(opened, 0) == (3, 4)


def test_a_frame_may_give_several_pieces_of_a_file() -> None:
    opened = an_index(
        [30, 10],
        a_frame(Piece(0, 0, 10), Piece(0, 10, 10), whole(1), needs=NEEDS_ZLIB),
        a_frame(Piece(0, 20, 10), needs=NEEDS_ZLIB),
        a_frame(Piece(0, 0, 20), Piece(0, 20, 10), whole(1)),
    )

    assert choose_frames(opened, NEEDS_ZLIB) == (0, 1)
    assert choose_frames(opened, 0) == (2,)


def test_an_empty_file_is_given_once() -> None:
    opened = an_index([0], a_frame(Piece(0, 0, 0), needs=NEEDS_ZLIB), a_frame(Piece(0, 0, 0)))

    assert choose_frames(opened, NEEDS_ZLIB) == (0,)
    assert choose_frames(opened, 0) == (1,)


def test_an_index_that_gives_something_only_to_abler_nodes_is_refused() -> None:
    opened = an_index([10, 10], a_frame(whole(0)), a_frame(whole(1), needs=NEEDS_JPEG_XL))

    with pytest.raises(FormatError, match="only by frames that this computer cannot undo"):
        choose_frames(opened, NEEDS_ZLIB)


def test_only_what_some_frame_needs_is_asked_of_this_computer() -> None:
    assert asked_by([a_frame(whole(0)), a_frame(whole(1), needs=NEEDS_ZLIB)]) == NEEDS_ZLIB


def test_cores_come_in_teaching_order_each_with_what_its_frames_build_on() -> None:
    frames = [a_frame(whole(0)), a_frame(whole(1)), a_frame(whole(2), new_bases=(1,)), a_frame(whole(3))]
    opened = an_index([10] * 4, *frames)

    assert part_frames(opened, (0, 1, 2, 3), (), [{2}, {0, 2}]) == ((1, 2, 0), (3,))


def test_what_is_done_needs_no_bases() -> None:
    frames = [a_frame(whole(0)), a_frame(whole(1), new_bases=(0,)), a_frame(whole(2), new_bases=(1,))]
    opened = an_index([10] * 3, *frames)

    assert part_frames(opened, (0, 1, 2), {1}, [{2}]) == ((2,), (0, 1))


def test_a_chain_of_thousands_of_bases_takes_no_time() -> None:
    count = 20_000
    frames = [a_frame(whole(number), new_bases=(number - 1,) if number else ()) for number in range(count)]
    every = tuple(range(count))

    assert part_frames(an_index([10] * count, *frames), every, (), ({number} for number in every)) == (every, ())


@st.composite
def indexes(draw: st.DrawFn) -> Opened:
    """Indexes that keep the format's rule: frames without needs give everything, on what such frames gave before."""
    count = draw(st.integers(1, 6))
    plain = [a_frame(whole(number)) for number in draw(st.permutations(range(count)))]
    frames: list[Frame] = []
    for frame in plain:
        before = sorted({piece.content for one in frames if not one.needs for piece in one.outputs})
        bases = draw(st.sets(st.sampled_from(before))) if before else set()
        frames.append(replace(frame, bases=tuple(Piece(HELD + base, 0, 10) for base in sorted(bases))))
        if draw(st.booleans()):
            given = sorted({piece.content for one in frames[:-1] for piece in one.outputs})
            bases = draw(st.sets(st.sampled_from(given))) if given else set()
            extra = a_frame(*frame.outputs, needs=draw(st.integers(1, 3)), new_bases=tuple(sorted(bases)))
            frames.insert(len(frames) - 1, extra)
    return an_index([10] * count, *frames)


@given(indexes(), st.integers(0, 3))
def test_what_is_chosen_gives_everything_once_in_an_order_that_can_be_decoded(opened: Opened, able: Needs) -> None:
    chosen = choose_frames(opened, able)
    given: list[int] = []
    for number in chosen:
        frame = opened.index.frames[number]
        assert not frame.needs & ~able
        assert {base.content - HELD for base in frame.bases} <= set(given)
        given += [piece.content for piece in frame.outputs]

    assert sorted(given) == list(range(len(opened.skeleton.table.sizes)))


@given(indexes(), st.integers(0, 3), st.data())
def test_parting_loses_no_frame_and_puts_bases_first(opened: Opened, able: Needs, data: st.DataObject) -> None:
    chosen: Frames = choose_frames(opened, able)
    contents = st.sets(st.integers(0, len(opened.skeleton.table.sizes) - 1))
    core, rest = part_frames(opened, chosen, (), data.draw(st.lists(contents, max_size=4)))
    seen: set[int] = set()
    for number in core:
        frame = opened.index.frames[number]
        assert {base.content - HELD for base in frame.bases} <= seen
        seen |= {piece.content for piece in frame.outputs}

    assert sorted(core + rest) == list(chosen)

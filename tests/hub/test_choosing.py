"""Which of the frames that were encoded go into a pack: each reader finds everything, and no choice without gain."""

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from alforja_hub.choosing import READERS, Choices, Made, choose
from alforja_hub.encoding import Effort, Encoded
from alforja_packaging.framecolumns import Contents, put_frames
from alforja_packaging.frames import NEEDS_JPEG_XL, NEEDS_KNOWN, NEEDS_ZLIB, Frame, Needs, Piece
from alforja_packaging.seal import Draft

SIZE = 10  # of every content


def encoded(length: int, needs: Needs = 0, bases: tuple[int, ...] = ()) -> Encoded:
    return Encoded("patch", Path(), length, Effort.FULL, bases, needs)


def whole(*contents: int) -> Draft:
    return Draft(tuple(Piece(content, 0, SIZE) for content in contents))


THREE = (0, NEEDS_ZLIB, NEEDS_ZLIB | NEEDS_JPEG_XL)


def by_reader(*lengths: int, needs: Sequence[Needs] = THREE) -> Choices:
    return {able: encoded(length, need) for able, length, need in zip(THREE, lengths, needs, strict=False)}


def told(chosen: Sequence[Sequence[Made]]) -> list[list[tuple[Needs, int]]]:
    return [[(frame.needs, frame.length) for frame, _ in made] for made in chosen]


def test_what_needs_more_comes_first_and_only_where_it_is_notably_smaller() -> None:
    drafts = [whole(0), whole(1), whole(2), whole(3)]
    choices = [by_reader(100, 50, 20), by_reader(100, 99, 20), by_reader(100, 90, 89), by_reader(100, 98, 97)]

    assert told(choose(drafts, choices, (), 0)) == [
        [(3, 20), (1, 50), (0, 100)],
        [(3, 20), (0, 100)],
        [(1, 90), (0, 100)],
        [(1, 98), (0, 100)],
    ]


def test_what_came_to_nothing_is_no_choice() -> None:
    assert told(choose([whole(0)], [by_reader(100, 50, 0)], (), 0)) == [[(1, 50), (0, 100)]]


def test_a_smaller_frame_that_needs_no_more_takes_the_place_of_the_larger_one() -> None:
    assert told(choose([whole(0)], [by_reader(100, 50, 20, needs=(0, 0, NEEDS_ZLIB))], (), 0)) == [[(1, 20), (0, 50)]]


def test_pictures_alone_need_no_zlib() -> None:
    assert told(choose([whole(0)], [by_reader(100, 100, 20, needs=(0, 0, NEEDS_JPEG_XL))], (), 0)) == [
        [(NEEDS_JPEG_XL, 20), (0, 100)]
    ]


def test_what_gives_bases_has_no_choice_that_a_reader_might_lack() -> None:
    kept = [Frame("patch", 1, 0, 9, (Piece(3, 0, SIZE),), (Piece(0, 0, SIZE),))]
    drafts = [whole(0), whole(1), Draft((Piece(2, 0, SIZE),), (Piece(1, 0, SIZE),))]
    based = {0: encoded(100, 0, (0,)), 1: encoded(50, 1)}

    assert told(choose(drafts, [by_reader(100, 50), by_reader(100, 50), based], kept, 0)) == [
        [(0, 100)],
        [(0, 100)],
        [(1, 50), (0, 100)],
    ]


def test_pieces_of_one_content_are_given_by_frames_of_the_same_needs() -> None:
    drafts = [Draft((Piece(0, 0, 5),)), Draft((Piece(0, 5, 5), Piece(1, 0, SIZE))), whole(2)]

    assert told(choose(drafts, [by_reader(100, 10), by_reader(50, 60), by_reader(9)], (), 0)) == [
        [(1, 10), (0, 100)],
        [(1, 50), (0, 50)],
        [(0, 9)],
    ]


def test_in_an_update_a_frame_needs_what_its_bases_need() -> None:
    drafts = [whole(0), Draft((Piece(1, 0, SIZE),), (Piece(7, 0, SIZE), Piece(2, 0, SIZE)))]
    choices = [{1: encoded(9, 1)}, {1: encoded(100, 0, (0,)), 3: encoded(20, 2, (1,))}]

    assert told(choose(drafts, choices, (), 7)) == [[(1, 9)], [(3, 20), (1, 100)]]


@st.composite
def drafts_and_choices(draw: st.DrawFn, free: Needs) -> tuple[list[Draft], list[Choices], list[int]]:
    """Drafts over three held contents and as many new ones as there are, each of which is cut at will."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))  # in pieces
    pieces = [Piece(content, at, 1) for content, size in enumerate(sizes) for at in range(size)]
    drafts: list[Draft] = []
    choices: list[Choices] = []
    while pieces:
        count = draw(st.integers(1, len(pieces)))
        outputs, pieces = pieces[:count], pieces[count:]
        before = [number for number in range(len(sizes)) if number < outputs[0].content]
        bases = draw(st.lists(st.sampled_from([*range(3), *(3 + number for number in before)]), unique=True))
        drafts.append(Draft(tuple(outputs), tuple(Piece(base, 0, ([1] * 3 + sizes)[base]) for base in bases)))
        used = st.lists(st.integers(0, len(bases) - 1), unique=True) if bases else st.just([])
        lengths = {able: draw(st.integers(0 if able != free else 1, 100)) for able in READERS if able & free == free}
        choices.append(
            {
                able: encoded(length, draw(st.integers(0, 3)) & able, tuple(draw(used)))
                for able, length in lengths.items()
            }
        )
    return drafts, choices, sizes


@given(st.data(), st.sampled_from([0, NEEDS_ZLIB]))
def test_whatever_is_chosen_is_an_index_that_every_reader_can_follow(data: st.DataObject, free: Needs) -> None:
    drafts, choices, sizes = data.draw(drafts_and_choices(free))
    chosen = choose(drafts, choices, (), 3)
    frames = [made[0][0] for made in chosen] + [frame for made in chosen for frame, _ in made[1:]]
    contents = Contents([1] * 3, sizes, range(len(sizes)), [-1] * len(sizes), free)

    assert put_frames(frames, contents)
    assert all(not frame.needs & ~free for made in chosen for frame, _ in made[-1:])
    for able in (free, free | NEEDS_ZLIB, NEEDS_KNOWN):
        first = [next(one for one in made if not one[0].needs & ~able) for made in chosen]
        assert sum(map(_length, first)) <= sum(one[-1][1].length for one in chosen)


def _length(made: Made) -> int:
    return made[1].length

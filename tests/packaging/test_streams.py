"""What a stream says of itself."""

from alforja_packaging.streams import Jpeg, Stream, Tokens


def test_a_stream_begins_with_its_first_part_and_ends_with_its_last() -> None:
    stream = Stream(((3, 2), (9, 4)), 50, Tokens())

    assert (stream.start, stream.end, stream.length) == (3, 13, 6)


def test_the_packed_bytes_are_its_parts_and_nothing_between_them() -> None:
    stream = Stream(((1, 2), (5, 3)), 5, Jpeg())

    assert stream.packed(b"0123456789") == b"12567"
    assert stream.packed(memoryview(b"0123456789")) == b"12567"

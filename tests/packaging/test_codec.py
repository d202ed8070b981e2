"""zstd within bounds: bombs, truncation, what follows; and a second decoder that agrees."""

import random
from collections.abc import Callable, Iterator

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from alforja_packaging import codec
from alforja_packaging.codec import PREFIX_MIN_BYTES
from alforja_packaging.errors import VerifyError

SAME = {"enable_long_distance_matching": 0, "window_log": 12}


def text(size: int, seed: int = 1) -> bytes:
    chance = random.Random(seed)
    return b" ".join(b"w%d" % chance.randrange(300) for _ in range(size // 3))[:size]


@given(st.binary(max_size=2_000), st.binary(max_size=2_000), st.integers(1, 400))
@settings(deadline=None)
def test_what_is_compressed_comes_back_in_any_pieces(data: bytes, prefix: bytes, step: int) -> None:
    packed = codec.compress(data, prefix=prefix)
    pieces = [packed[at : at + step] for at in range(0, len(packed), step)]

    assert b"".join(codec.decompress(pieces, size=len(data), prefix=prefix, what="it")) == data


def test_a_prefix_pays_as_a_patch_does() -> None:
    old = random.Random(1).randbytes(2_000_000)
    new = b"begin" + old[1_000_000:] + old[:1_000_000]

    assert len(codec.compress(new, prefix=old)) < 300


@pytest.mark.parametrize("prefix", [b"", text(50_000)])
def test_another_library_reads_the_same(prefix: bytes) -> None:
    data = text(80_000, seed=2) + prefix[:20_000]
    packed = codec.compress(data, prefix=prefix)
    other = zstandard.ZstdDecompressor(
        dict_data=zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if prefix else None
    )

    assert other.stream_reader(packed).read(len(data) + 1) == data


@given(st.binary(max_size=2_000), st.integers(1, 19))
def test_what_another_library_writes_is_read(data: bytes, level: int) -> None:
    packed = zstandard.ZstdCompressor(level=level).compress(data)

    assert codec.decompress_whole(packed, size=len(data), what="it") == data


@given(st.binary(min_size=8, max_size=2_000), st.binary(max_size=500), st.integers(0, 2_000))
def test_another_library_reads_whatever_prefix_is_referred_to(prefix: bytes, fresh: bytes, at: int) -> None:
    data = fresh + prefix[at:] + prefix[:at]
    raw = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    packed = codec.compress(data, prefix=prefix)

    assert zstandard.ZstdDecompressor(dict_data=raw).stream_reader(packed).read(len(data) + 1) == data


@given(st.binary(max_size=PREFIX_MIN_BYTES - 1), st.binary(max_size=100))
def test_a_prefix_too_short_to_refer_to_counts_as_none(prefix: bytes, data: bytes) -> None:
    assert codec.compress(data, prefix=prefix, options=SAME) == codec.compress(data, options=SAME)


@given(st.binary(max_size=3_000), st.integers(0, 3_000), st.binary(max_size=300), st.integers(0, 4_000))
def test_any_bytes_are_refused_or_give_exactly_the_size_that_was_stated(
    data: bytes, at: int, splice: bytes, size: int
) -> None:
    packed = codec.compress(data)
    changed = packed[:at] + splice + packed[at + len(splice) :]
    try:
        got = codec.decompress_whole(changed, size=size, what="it")
    except VerifyError:
        return

    assert len(got) == size


def test_a_skippable_frame_may_stand_neither_before_nor_behind() -> None:
    packed, skippable = codec.compress(b"words"), b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    for both in (skippable + packed, packed + skippable):
        with pytest.raises(VerifyError, match="something follows its end"):
            codec.decompress_whole(both, size=5, what="it")


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut short": (lambda packed: packed[:-1], "gives"),
    "cut in half": (lambda packed: packed[: len(packed) // 2], "gives"),
    "followed by a byte": (lambda packed: packed + b"x", "something follows its end"),
    "twice": (lambda packed: packed * 2, "something follows its end"),
    "no frame": (lambda _: b"no frame at all", "not a readable zstd frame"),
    "changed": (lambda packed: packed[:-1] + bytes([packed[-1] ^ 1]), "not a readable zstd frame"),
    "empty": (lambda _: b"", "gives 0"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_frame_is_refused_by_name(how: str) -> None:
    breaking, words = BROKEN[how]
    data = text(30_000)
    with pytest.raises(VerifyError, match=f"pack 7: .*{words}"):
        codec.decompress_whole(breaking(codec.compress(data)), size=len(data), what="pack 7")


def test_a_bomb_is_stopped_at_the_size_that_was_stated() -> None:
    bomb = codec.compress(bytes(64 * 2**20), options={"compression_level": 1})
    given: list[bytes] = []
    with pytest.raises(VerifyError, match="gives more than the 1000000 bytes it should"):
        given.extend(codec.decompress([bomb], size=1_000_000, what="bomb"))

    assert sum(map(len, given)) <= 1_000_000


def test_a_window_beyond_the_bound_is_refused() -> None:
    greedy = codec.compress(
        text(200_000) * 400, options={"window_log": 27, "content_size_flag": 0, "compression_level": 1}
    )
    with pytest.raises(VerifyError, match="too much memory"):
        codec.decompress_whole(greedy, size=200_000 * 400, what="frame")


def chunks(data: bytes, length: int) -> Iterator[bytes]:
    return (data[at : at + length] for at in range(0, len(data), length))


def decompress_after(prefix: bytes, packed: bytes, size: int, chunk: int = 64 * 1024) -> bytes:
    return b"".join(
        codec.decompress_after(chunks(prefix, chunk), len(prefix), chunks(packed, chunk), size=size, what="frame")
    )


@given(
    st.binary(min_size=8, max_size=600), st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=40)), max_size=20),
    st.integers(1, 700), st.integers(-5, 19), st.booleans(),
)  # fmt: skip
def test_a_frame_with_a_prefix_comes_out_the_same_however_it_is_decoded(
    prefix: bytes, parts: list[tuple[int, bytes]], chunk: int, level: int, checked: bool
) -> None:
    data = b"".join(prefix[at : at + 90] + fresh for at, fresh in parts)
    packed = codec.compress(data, prefix=prefix, options={"compression_level": level, "checksum_flag": int(checked)})

    assert codec.decompress_whole(packed, size=len(data), prefix=prefix, what="frame") == data
    assert decompress_after(prefix, packed, len(data), chunk) == data


@pytest.mark.parametrize("sizes", [(300_000, 1), (300_000, 400_000), (9, 200_000), (131_072, 131_072)])
def test_a_prefix_may_be_of_many_blocks(sizes: tuple[int, int]) -> None:
    noise = random.Random(sizes[0])
    prefix = noise.randbytes(sizes[0])
    data = (prefix[sizes[0] // 3 :] + noise.randbytes(1000) + prefix)[: sizes[1]]
    packed = codec.compress(data, prefix=prefix)

    assert decompress_after(prefix, packed, len(data)) == data


@given(st.binary(min_size=8, max_size=200), st.binary(max_size=200), st.data())
def test_a_changed_frame_with_a_prefix_is_refused_or_gives_as_many_bytes(
    prefix: bytes, fresh: bytes, data: st.DataObject
) -> None:
    plain = prefix + fresh
    packed = bytearray(codec.compress(plain, prefix=prefix))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    packed = packed[: data.draw(st.integers(len(packed) // 2, len(packed)))]
    try:
        given_back = decompress_after(prefix, bytes(packed), len(plain))
    except VerifyError:
        return

    assert len(given_back) == len(plain)


@pytest.mark.parametrize(
    "change",
    [
        lambda packed: packed[:0],
        lambda packed: packed[:7],
        lambda packed: b"\x29" + packed[1:],
        lambda packed: packed[:4] + bytes([packed[4] | 0b1000]) + packed[5:],  # a reserved bit
        lambda packed: packed[:4] + bytes([packed[4] | 1]) + packed[5:],  # a dictionary
        lambda packed: packed + b"x",
        lambda packed: packed[:-1],
        lambda packed: packed[:-4],
        lambda packed: packed + packed,
    ],
)
def test_no_other_frame_passes_for_one_with_a_prefix(change: Callable[[bytes], bytes]) -> None:
    prefix = bytes(range(200))
    packed = codec.compress(prefix * 3, prefix=prefix)

    with pytest.raises(VerifyError, match="frame: "):
        decompress_after(prefix, change(packed), 600)


def test_a_frame_of_another_size_or_of_a_larger_window_is_refused() -> None:
    prefix = bytes(range(200))
    wide = b"\x28\xb5\x2f\xfd" + bytes([0, 16 << 3]) + b"\x09\0\0x" + bytes(12)  # 64 MiB, then one raw block

    with pytest.raises(VerifyError, match="within its bounds"):
        decompress_after(prefix, codec.compress(prefix * 3, prefix=prefix), 601)
    with pytest.raises(VerifyError, match="within its bounds"):
        decompress_after(prefix, wide, 1)

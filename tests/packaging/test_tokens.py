"""Deflate streams as tokens: every legal form comes back bit for bit, nothing hostile gets far."""

import random
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alforja_packaging import codec
from alforja_packaging import tokens as token_forms
from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.tokens import to_tokens

MIB = 2**20
SENT_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)


def from_tokens(tokens: bytes, *, size_max: int, what: str) -> bytes:
    return b"".join(token_forms.from_tokens(tokens, size_max=size_max, what=what))


def there_and_back(packed: bytes) -> bytes:
    return from_tokens(to_tokens(packed, size_max=8 * MIB), size_max=len(packed), what="it")


def text(size: int, seed: int = 1) -> bytes:
    chance = random.Random(seed)
    return b" ".join(b"word%d" % chance.randrange(400) for _ in range(size // 5))[:size]


def deflate(data: bytes, *, level: int = 6, strategy: int = 0, memory: int = 8, flush: int | None = None) -> bytes:
    squeezer = zlib.compressobj(level, zlib.DEFLATED, -15, memory, strategy)
    if flush is None:
        return squeezer.compress(data) + squeezer.flush()
    pieces = [data[at : at + 700] for at in range(0, len(data), 700)]
    return b"".join(squeezer.compress(piece) + squeezer.flush(flush) for piece in pieces) + squeezer.flush()


class Bits:
    """A deflate stream by hand: numbers go lowest bit first, codes highest bit first."""

    def __init__(self) -> None:
        self.written = ""

    def number(self, value: int, size: int) -> "Bits":
        self.written += f"{value:0{size}b}"[::-1] if size else ""
        return self

    def code(self, bits: str) -> "Bits":
        self.written += bits
        return self

    def block(self, kind: int, *, last: bool = True) -> "Bits":
        return self.number(last, 1).number(kind, 2)

    def fill(self, bit: str) -> "Bits":
        self.written += bit * (-len(self.written) % 8)
        return self

    def fixed(self, symbol: int) -> "Bits":
        if symbol < 144:
            return self.code(f"{0x30 + symbol:08b}")
        if symbol < 256:
            return self.code(f"{0x190 + symbol - 144:09b}")
        if symbol < 280:
            return self.code(f"{symbol - 256:07b}")
        return self.code(f"{0xC0 + symbol - 280:08b}")

    def literals(self, data: bytes) -> "Bits":
        for byte in data:
            self.fixed(byte)
        return self

    def far(self, distance: int) -> "Bits":
        symbol = (
            next(
                each
                for each in reversed(range(30))
                if each in {0, 1} or 1 + (2 + each % 2 << each // 2 - 1) <= distance
            )
            if distance > 1
            else 0
        )
        if symbol < 2:
            return self.code(f"{symbol:05b}")
        added = symbol // 2 - 1
        return self.code(f"{symbol:05b}").number(distance - 1 - (2 + symbol % 2 << added), added)

    def dynamic(self, sent: list[tuple[int, int, int]], *, hlit: int = 0, hdist: int = 0, hclen: int = 15) -> "Bits":
        """Code lengths are sent with 5 bits for each of the symbols 0..18: 13 x 4 bits and 6 x 5."""
        sizes = [4] * 13 + [5] * 6
        self.block(2).number(hlit, 5).number(hdist, 5).number(hclen, 4)
        for symbol in SENT_ORDER[: hclen + 4]:
            self.number(sizes[symbol], 3)
        for symbol, value, added in sent:
            self.code(f"{symbol:04b}" if symbol < 13 else f"{26 + symbol - 13:05b}").number(value, added)
        return self

    def packed(self, bit: str = "0") -> bytes:
        self.fill(bit)
        return int(self.written[::-1], 2).to_bytes(len(self.written) // 8, "little")


def length(value: int) -> tuple[int, int, int]:
    return (value, 0, 0)


def zeros(count: int) -> tuple[int, int, int]:
    return (18, count - 11, 7) if count > 10 else (17, count - 3, 3)


def again(count: int) -> tuple[int, int, int]:
    return (16, count - 3, 2)


# --- what zlib writes --------------------------------------------------------------------


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("data", [b"", b"a", b"a" * 5_000, text(90_000), random.Random(1).randbytes(150_000)])
def test_what_zlib_writes_at_any_level_comes_back(data: bytes, level: int) -> None:
    packed = deflate(data, level=level)

    assert there_and_back(packed) == packed


@pytest.mark.parametrize("flush", [zlib.Z_PARTIAL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_BLOCK])
@pytest.mark.parametrize("strategy", [zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED])
def test_flushes_and_strategies_come_back(strategy: int, flush: int) -> None:
    packed = deflate(text(9_000) + bytes(900), strategy=strategy, memory=1, flush=flush)

    assert there_and_back(packed) == packed


@given(st.binary(max_size=3_000), st.integers(0, 9), st.integers(1, 9), st.integers(0, 4))
@settings(deadline=None)
def test_any_content_comes_back(data: bytes, level: int, memory: int, strategy: int) -> None:
    packed = deflate(data * 3, level=level, memory=memory, strategy=strategy)

    assert there_and_back(packed) == packed


def test_runs_of_literals_of_any_size_come_back() -> None:
    noise = random.Random(2).randbytes(1_200)
    for size in (254, 255, 256, 509, 510, 511, 1_020):
        packed = deflate(noise[:size] + noise[: size - 1], level=9)

        assert there_and_back(packed) == packed


# --- what zlib would not write -----------------------------------------------------------


def test_the_bits_that_fill_the_last_byte_are_kept() -> None:
    packed = Bits().block(1).fixed(256).packed("1")

    assert there_and_back(packed) == packed == b"\x03\xfc"


def test_the_bits_before_a_stored_length_are_kept() -> None:
    bits = Bits().block(0, last=False).fill("1").number(2, 16).number(0xFFFD, 16).number(0xABCD, 16)
    packed = bits.block(1).literals(b"x").fixed(256).packed()

    assert there_and_back(packed) == packed


def test_empty_blocks_of_every_kind_are_kept() -> None:
    bits = Bits()
    for _ in range(3):
        bits.block(0, last=False).fill("0").number(0, 16).number(0xFFFF, 16).block(1, last=False).fixed(256)
    packed = bits.block(1).fixed(256).packed()

    assert there_and_back(packed) == packed


@pytest.mark.parametrize("long", [[True], [False], [True, False, True], [False, False, True, True]])
def test_length_258_comes_back_in_the_form_it_was_sent(long: list[bool]) -> None:
    bits = Bits().block(1).literals(b"abc")
    for each in long:
        (bits.fixed(284).number(31, 5) if each else bits.fixed(285)).far(3)
    packed = bits.fixed(256).packed()

    assert there_and_back(packed) == packed


@pytest.mark.parametrize("distance", [1, 2, 3, 15, 16, 17, 18, 100, 300])
def test_a_source_that_is_not_the_nearest_comes_back(distance: int) -> None:
    packed = Bits().block(1).literals(b"a" * 300).fixed(257).far(distance).fixed(256).packed()

    assert there_and_back(packed) == packed


def test_the_farthest_source_comes_back() -> None:
    bits = Bits().block(1).literals(b"far" + bytes(range(256)) * 128)
    packed = bits.fixed(257).far(32_768).literals(b"!").fixed(256).packed()

    assert there_and_back(packed) == packed


def test_a_length_258_in_long_form_and_far_away_comes_back() -> None:
    bits = Bits().block(1).literals(b"a" * 400).fixed(284).number(31, 5).far(130)
    packed = bits.fixed(285).far(1).fixed(284).number(31, 5).far(3).fixed(256).packed()

    assert there_and_back(packed) == packed


def test_an_unused_tree_of_distances_is_kept() -> None:
    sent = [zeros(97), length(1), zeros(138), zeros(20), length(1), length(0)]
    packed = Bits().dynamic(sent).code("0" * 9 + "1").packed()

    assert zlib.decompress(packed, -15) == b"a" * 9
    assert there_and_back(packed) == packed


def test_an_incomplete_tree_of_distances_is_kept() -> None:
    sent = [zeros(97), length(2), zeros(138), zeros(20), length(2), length(1), length(1)]
    packed = Bits().dynamic(sent, hlit=1).code("10" + "0" + "0" + "11").packed()

    assert zlib.decompress(packed, -15) == b"aaaa"
    assert there_and_back(packed) == packed


@pytest.mark.parametrize(
    "sent",
    [
        [*[length(0)] * 97, length(1), *[length(0)] * 158, length(1), length(0)],
        [zeros(3), zeros(94), length(1), *[zeros(3)] * 52, length(0), length(0), length(1), length(0)],
        [length(0), again(6), zeros(90), length(1), zeros(138), length(0), again(6), zeros(13), length(1), zeros(3)],
    ],
)
def test_code_lengths_come_back_however_they_were_sent(sent: list[tuple[int, int, int]]) -> None:
    told = sum(3 + value if symbol in {16, 17} else 11 + value if symbol == 18 else 1 for symbol, value, _ in sent)
    packed = Bits().dynamic(sent, hdist=told - 258).code("01").packed("1")

    assert zlib.decompress(packed, -15) == b"a"
    assert there_and_back(packed) == packed


def test_a_repeat_that_runs_from_the_lengths_into_the_distances_is_kept() -> None:
    sent = [zeros(97), length(2), zeros(138), zeros(20), length(2), length(2), again(5)]
    packed = Bits().dynamic(sent, hlit=2, hdist=3).code("00" + "00" + "10" + "00" + "01").packed()

    assert zlib.decompress(packed, -15) == b"aaaaa"
    assert there_and_back(packed) == packed


STEP = st.one_of(st.binary(min_size=1, max_size=40), st.tuples(st.integers(3, 258), st.integers(0, 2**15)))


@given(st.lists(STEP, max_size=40), st.lists(st.integers(0, 40)), st.sampled_from("01"))
@settings(deadline=None)
def test_whatever_an_encoder_decides_comes_back(
    steps: list[bytes | tuple[int, int]], cuts: list[int], fill: str
) -> None:
    bits = Bits().block(1, last=False)
    size = 0
    for count, step in enumerate(steps):
        if count in cuts:
            bits.fixed(256).block(1, last=False)
        if isinstance(step, bytes):
            bits.literals(step)
            size += len(step)
        elif size:
            width, chosen = step
            symbol = width - 3 + 257 if width < 11 else None
            if symbol is None:
                bits.fixed(285)
                width = 258
            else:
                bits.fixed(symbol)
            bits.far(1 + chosen % min(size, 32_768))
            size += width
    packed = bits.fixed(256).block(1).fixed(256).packed(fill)

    assert len(zlib.decompress(packed, -15)) == size
    assert there_and_back(packed) == packed


# --- what they are for -------------------------------------------------------------------


@pytest.mark.parametrize("level", [4, 6, 9])
def test_a_small_edit_of_the_text_is_a_small_edit_of_the_tokens(level: int) -> None:
    old = text(60_000)
    new = old[:9_000] + b"something else" + old[9_040:40_000] + old[40_100:]
    forms = [to_tokens(deflate(each, level=level), size_max=MIB) for each in (old, new)]

    assert len(codec.compress(forms[1], prefix=forms[0])) < len(deflate(new, level=level)) // 20


def test_the_stream_is_given_in_pieces_and_takes_little_memory() -> None:
    packed = deflate(text(500_000) + random.Random(5).randbytes(100_000))
    tokens = to_tokens(packed, size_max=MIB)
    tracemalloc.start()
    pieces = sum(1 for _ in token_forms.from_tokens(tokens, size_max=len(packed), what="it"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert pieces > 10
    assert peak < 6 * MIB


def test_a_long_run_of_literals_is_given_in_pieces() -> None:
    noise = random.Random(6).randbytes(70_000)
    packed = Bits().block(1).literals(noise).fixed(259).far(9).literals(noise).fixed(256).packed()

    assert there_and_back(packed) == packed


# --- bounds and hostile bytes ------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", text(5_000), bytes(5_000)])
def test_the_token_form_may_have_just_as_many_bytes_as_said(data: bytes) -> None:
    packed = deflate(data)
    size = len(to_tokens(packed, size_max=MIB))

    assert len(to_tokens(packed, size_max=size)) == size
    for less in {size - 1, len(data), len(data) // 2}:
        with pytest.raises(FormatError, match=f"has more than {less} bytes"):
            to_tokens(packed, size_max=less)


@pytest.mark.parametrize("level", [0, 6])
def test_the_stream_may_have_just_as_many_bytes_as_said(level: int) -> None:
    packed = deflate(text(5_000), level=level)
    tokens = to_tokens(packed, size_max=MIB)

    assert from_tokens(tokens, size_max=len(packed), what="it") == packed
    with pytest.raises(VerifyError, match=f"^it: .*more than {len(packed) - 1} bytes"):
        from_tokens(tokens, size_max=len(packed) - 1, what="it")


def test_a_stream_that_unpacks_to_too_much_is_refused_early() -> None:
    with pytest.raises(FormatError, match="has more than 1000 bytes"):
        to_tokens(deflate(bytes(50_000_000)), size_max=1_000)


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"", "cut short"),
        (deflate(text(900))[:-1], "cut short"),
        (deflate(text(900)) + b"\0", "something follows its end"),
        (b"\xff", "not readable"),
        (Bits().block(1).literals(b"abc").fixed(257).far(4).fixed(256).packed(), "too far back"),
        (Bits().block(1).fixed(286).packed() + bytes(4), "not readable"),
    ],
)
def test_what_is_no_whole_stream_is_refused(packed: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        to_tokens(packed, size_max=MIB)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (b"", "cut short"),
        (b"\x09\0\0", "cut short"),
        (b"\xff\xff\xff\xff\xff\x01", "more than five bytes"),
        (b"\x07\0\0" + b"\0\x05\1\0\0\0\0" + b"a", "follows the last block"),
        (b"\x06\0\0" + b"\0\x05\1\0\0\0", "more than the text"),
        (b"\x06\0\0" + b"\0\x07\0\0\0\0", "kind 3"),
        (b"\x06\0\0" + b"\0\x05\0\0\0\0" + b"a", "follows the last block"),
        (b"\x06\0\0" + b"\x80\x05\0\0\0\0", "128 in 6 bits"),
        (b"\x06\x02\0" + b"\0\x05\4\0\0\0" + b"\1\0" + b"abcd", "no source"),
        (b"\x06\x02\0" + b"\0\x05\4\0\0\0" + b"\1\1" + b"aaaa", "more than the text"),
        (b"\x06\x02\2" + b"\0\x05\4\0\0\0" + b"\1\0" + b"\0\x11" + b"aaaa", "no source"),
        (b"\x0b\x02\0" + b"\0\x01\2\0\0\0\x05\2\0\0\0" + b"\1\0" + b"aaaa", "over the end"),
        (b"\x06\0\1" + b"\0\x05\0\0\0\0" + b"\0", "cut short"),
        (b"\x06\0\2" + b"\0\x05\0\0\0\0" + b"\0\0", "out of range"),
        (b"\x06\2\2" + b"\0\x05\4\0\0\0" + b"\1\0" + b"\0\0" + b"aaaa", "length 3 in the long form"),
        (b"\x06\2\4" + b"\0\x05\4\0\0\0" + b"\1\0" + b"\0\x10\0\x10" + b"aaaa", "two distances"),
        (b"\x06\1\0" + b"\0\x05\4\0\0\0" + b"\xff" + b"aaaa", "more than the text"),
    ],
)
def test_tokens_that_tell_of_no_stream_are_refused(tokens: bytes, said: str) -> None:
    with pytest.raises(VerifyError, match=rf"^it: is not the token form of a deflate stream \(.*{said}"):
        from_tokens(tokens, size_max=MIB, what="it")


@given(st.binary(max_size=400))
@example(b"\x05\x00")
def test_any_bytes_are_a_stream_that_comes_back_or_are_refused(packed: bytes) -> None:
    with suppress(FormatError):
        tokens = to_tokens(packed, size_max=10_000)

        assert from_tokens(tokens, size_max=len(packed), what="it") == packed


@given(st.binary(max_size=400))
def test_any_tokens_give_bytes_or_are_refused(tokens: bytes) -> None:
    with suppress(VerifyError):
        assert len(from_tokens(tokens, size_max=500, what="it")) <= 500


PACKED = [
    deflate(text(700)),
    deflate(text(2_000), level=1, memory=1, flush=zlib.Z_SYNC_FLUSH),
    deflate(text(300), strategy=zlib.Z_FIXED),
    deflate(text(300), level=0),
    Bits().block(1).literals(b"a" * 300).fixed(284).number(31, 5).far(9).fixed(285).far(99).fixed(256).packed("1"),
]


DAMAGES = st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=3)), max_size=3)


@given(st.sampled_from(PACKED), DAMAGES)
@settings(deadline=None, max_examples=300)
def test_a_damaged_stream_comes_back_or_is_refused(packed: bytes, damages: list[tuple[int, bytes]]) -> None:
    broken = damaged(packed, damages)
    with suppress(FormatError):
        tokens = to_tokens(broken, size_max=10_000)

        assert from_tokens(tokens, size_max=len(broken), what="it") == broken


@given(st.sampled_from(PACKED), DAMAGES)
@settings(deadline=None, max_examples=300)
def test_damaged_tokens_give_bytes_or_are_refused(packed: bytes, damages: list[tuple[int, bytes]]) -> None:
    tokens = damaged(to_tokens(packed, size_max=MIB), damages)
    with suppress(VerifyError):
        assert len(from_tokens(tokens, size_max=5_000, what="it")) <= 5_000


def damaged(data: bytes, damages: list[tuple[int, bytes]]) -> bytes:
    for place, fresh in damages:
        at = place % (len(data) + 1)
        data = data[:at] + fresh + data[at + len(fresh) :]
    return data

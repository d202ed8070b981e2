"""Turn a raw deflate stream (RFC 1951) into its token form and back, bit for bit.

The token form tells the text and every decision of the encoder, so laid out that the
forms of two similar texts are similar bytes. Deltas are not made here, nor zlib guessed.

    varint length of each of the next three, and then they and the text:
    blocks      the padding after the last block; then for each block: kind + 4 if it is the
                last, u32 of its size in the text; if stored, the padding before its length;
                if dynamic, HLIT, HDIST, HCLEN, the 19 lengths by symbol, the code lengths as
                sent: 0..15, 16 + repeats - 3, 20 + zeros - 3, 28 + zeros - 11
    matches     for each: literals before it (255: as many, and more follow), its length - 3
    exceptions  varints: how many matches on, then 0: the length 258 is sent as 227 + 31;
                1..15: so many nearer sources are passed over; 16 and more: the distance + 15
    text        what the stream unpacks to

A match without exception has the nearest source that fits its whole length. Encoders
choose that one, so an edit moves no distance: nothing is told of most of them.
"""

import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Final

from alforja_packaging.errors import FormatError, VerifyError

_WINDOW: Final = 32768
_HOPS_MAX: Final = 15  # each is one more search in the window
_STORED, _FIXED, _DYNAMIC = range(3)
_SENT_ORDER: Final = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_FIXED_LENGTHS: Final = bytes([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8)
_FIXED_DISTANCES: Final = bytes([5] * 30)
_LENGTHS: Final = (
    *((3 + n, 0) for n in range(4)),
    *((3 + (4 + n % 4 << n // 4), n // 4) for n in range(24)),
    (258, 0),
)
_DISTANCES: Final = ((1, 0), (2, 0), *((1 + (2 + n % 2 << n // 2), n // 2) for n in range(28)))
"""Of each symbol the least value and how many bits are added to it (RFC 1951, section 3.2.5)."""
_PARTS_MAX: Final = 16384  # symbols that are held before they become bytes
_FAR_AWAY: Final = 2**62
_LONG_FORM: Final = 0
_LONG_LENGTH: Final = 259
_REPEATS: Final = ((16, 16, 2), (17, 20, 3), (18, 28, 7))
"""Symbol, first byte in the token form, added bits (RFC 1951, section 3.2.7)."""

_Match = tuple[int, int, int, int]
"""Where it begins and ends, its length (259: 258 in its long form), its distance."""
_NO_MATCH: Final[_Match] = (_FAR_AWAY, 0, 0, 0)
_NO_EXCEPTION: Final = (-1, 0)

_Entry = tuple[int, int, int]
"""Bits of a code; then of what it means the least value and how many bits are added."""
_LITERAL: Final = (0, 0)
_END: Final = (-1, 0)
_MEANINGS: Final = (*[_LITERAL] * 256, _END, *_LENGTHS)
_SENT: Final = tuple((symbol, 0) for symbol in range(19))


def to_tokens(packed: bytes, *, size_max: int) -> bytes:
    """Give the token form of a deflate stream.

    Raises FormatError when zlib does not read `packed` as one stream and nothing after
    it, or when the token form would exceed `size_max` bytes.
    """
    text = _unpack(packed, size_max)
    tokens = _read(packed)
    exceptions = _tell_exceptions(text, tokens)
    sections = (bytes(tokens.blocks), bytes(tokens.control), exceptions)
    told = b"".join([*(_varint(len(section)) for section in sections), *sections, text])
    if len(told) > size_max:
        raise FormatError(f"deflate stream: its token form has more than {size_max} bytes")
    return told


def from_tokens(tokens: bytes, *, size_max: int, what: str) -> Iterator[bytes]:
    """Give the deflate stream that a token form tells of, piece by piece.

    Raises VerifyError, naming `what`, when the form is not readable or tells of more
    than `size_max` bytes. Takes some 2 MB of memory besides the form. Time is bounded
    by the window (32 KiB) for each byte of text.
    """
    try:
        yield from _write(tokens, size_max)
    except (LookupError, ValueError) as error:
        raise VerifyError(f"{what}: is not the token form of a deflate stream ({error})") from None


def count_first_block(packed: bytes) -> tuple[int, bool] | None:
    """Count the symbols of a deflate stream's first block, without its end's, and tell whether it is the last.

    None where it is stored. `packed` is one that zlib has read.
    """
    last, kind = _bits(packed, 0, 1), _bits(packed, 1, 2)
    if kind == _STORED:
        return None
    tokens = _Tokens()
    if kind == _FIXED:
        _read_symbols(packed, 3, _FIXED_LENGTHS, _FIXED_DISTANCES, tokens)
    else:
        at, lengths, distances = _read_codes(packed, 3, tokens.blocks)
        _read_symbols(packed, at, lengths, distances, tokens)
    return tokens.matched + tokens.run - sum(tokens.lengths) + len(tokens.lengths), bool(last)


# --- reading -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Tokens:
    """What is read of a stream so far."""

    blocks: bytearray = field(default_factory=bytearray)
    control: bytearray = field(default_factory=bytearray)
    starts: "array[int]" = field(default_factory=lambda: array("I"))
    lengths: "array[int]" = field(default_factory=lambda: array("H"))
    distances: "array[int]" = field(default_factory=lambda: array("H"))
    long_forms: set[int] = field(default_factory=set)
    matched: int = 0  # where in the text the last match ends
    run: int = 0  # literals since then


def _unpack(packed: bytes, size_max: int) -> bytes:
    """Give the text; what zlib has read, the rest of this module need not doubt."""
    decompressor = zlib.decompressobj(-15)
    try:
        text = decompressor.decompress(packed, size_max + 1)
    except zlib.error as error:
        raise FormatError(f"deflate stream: is not readable ({error})") from None
    if len(text) > size_max:
        raise FormatError(f"deflate stream: its token form has more than {size_max} bytes")
    if not decompressor.eof:
        raise FormatError("deflate stream: is cut short")
    if decompressor.unused_data:
        raise FormatError("deflate stream: something follows its end")
    return text


def _read(packed: bytes) -> _Tokens:
    tokens = _Tokens()
    blocks = tokens.blocks
    blocks.append(0)
    at, last = 0, 0
    while not last:
        last, kind = _bits(packed, at, 1), _bits(packed, at + 1, 2)
        at += 3
        blocks.append(kind + 4 * last)
        size_at = len(blocks)
        blocks += bytes(4)
        begin = tokens.matched + tokens.run
        if kind == _STORED:
            at = _read_stored(packed, at, tokens)
        elif kind == _FIXED:
            at = _read_symbols(packed, at, _FIXED_LENGTHS, _FIXED_DISTANCES, tokens)
        else:
            at, lengths, distances = _read_codes(packed, at, blocks)
            at = _read_symbols(packed, at, lengths, distances, tokens)
        blocks[size_at : size_at + 4] = (tokens.matched + tokens.run - begin).to_bytes(4, "little")
    blocks[0] = _bits(packed, at, -at % 8)
    return tokens


def _bits(packed: bytes, at: int, size: int) -> int:
    return int.from_bytes(packed[at >> 3 : (at >> 3) + 4], "little") >> (at & 7) & (1 << size) - 1


def _read_stored(packed: bytes, at: int, tokens: _Tokens) -> int:
    tokens.blocks.append(_bits(packed, at, -at % 8))
    at += -at % 8
    size = _bits(packed, at, 16)
    tokens.run += size
    return at + 32 + 8 * size


def _read_codes(packed: bytes, at: int, blocks: bytearray) -> tuple[int, bytes, bytes]:
    """Read the code lengths of a dynamic block."""
    hlit, hdist, hclen = _bits(packed, at, 5), _bits(packed, at + 5, 5), _bits(packed, at + 10, 4)
    at += 14
    outer = bytearray(19)
    for symbol in _SENT_ORDER[: hclen + 4]:
        outer[symbol] = _bits(packed, at, 3)
        at += 3
    blocks += bytes((hlit, hdist, hclen)) + outer
    table = _table(bytes(outer), _SENT)
    lengths = bytearray()
    while len(lengths) < 258 + hlit + hdist:
        size, symbol, _ = table[_bits(packed, at, 15) & len(table) - 1]
        at += size
        if symbol >= 16:
            _, first, added = _REPEATS[symbol - 16]
            symbol = first + _bits(packed, at, added)
            at += added
        blocks.append(symbol)
        _lay_out(symbol, lengths)
    return at, bytes(lengths[: 257 + hlit]), bytes(lengths[257 + hlit :])


def _lay_out(told: int, lengths: bytearray) -> None:
    """Append the code lengths that one byte of the token form stands for."""
    if told < 16:
        lengths.append(told)
    elif told < 20:
        lengths += bytes([lengths[-1]]) * (told - 13)
    else:
        lengths += bytes(told - 17)  # 20 stands for 3 zeros, and 28 for 11


def _read_symbols(packed: bytes, at: int, lengths: bytes, distances: bytes, tokens: _Tokens) -> int:
    """Read the symbols of a block from bit `at` on, and give the bit after them."""
    table, far_table = _table(lengths, _MEANINGS), _table(distances, _DISTANCES)
    mask, far_mask = len(table) - 1, len(far_table) - 1
    control, starts, widths, distances_out = tokens.control, tokens.starts, tokens.lengths, tokens.distances
    matched, run = tokens.matched, tokens.run
    byte_at = at + 7 >> 3
    word, have = _bits(packed, at, -at % 8), -at % 8
    while True:
        if have < 48:  # the most that one match takes: 15 + 5 + 15 + 13
            word |= int.from_bytes(packed[byte_at : byte_at + 8], "little") << have
            byte_at += 8
            have += 64
        size, length, added = table[word & mask]
        word >>= size
        have -= size
        if not length:
            run += 1
            continue
        if length < 0:
            break
        if added:
            length += word & (1 << added) - 1
            word >>= added
            have -= added
            if length == 258:
                tokens.long_forms.add(len(starts))
        size, distance, added = far_table[word & far_mask]
        distances_out.append(distance + (word >> size & (1 << added) - 1))
        size += added
        word >>= size
        have -= size
        starts.append(matched + run)
        widths.append(length)
        matched += run + length
        while run >= 255:
            control.append(255)
            run -= 255
        control.append(run)
        control.append(length - 3)
        run = 0
    tokens.matched, tokens.run = matched, run
    return 8 * byte_at - have


@lru_cache(maxsize=4)  # the fixed ones
def _table(lengths: bytes, meanings: tuple[tuple[int, int], ...]) -> list[_Entry]:
    """Give for each combination of the next bits what code they begin with."""
    width = max(lengths)
    table: list[_Entry] = [(0, 0, 0)] * (1 << width)
    for code, meaning in zip(_codes(lengths), meanings, strict=False):
        if code:
            size = len(code)
            table[int(code, 2) :: 1 << size] = [(size, *meaning)] * (1 << width - size)
    return table


def _codes(lengths: bytes) -> list[str]:
    """Give the code of each symbol, its first bit to the right; '' where there is none."""
    codes = [""] * len(lengths)
    code = 0
    for size in range(1, max(lengths) + 1):
        code <<= 1
        symbol = lengths.find(size)
        while symbol >= 0:
            codes[symbol] = f"{code:0{size}b}"[::-1]
            code += 1
            symbol = lengths.find(size, symbol + 1)
    return codes


def _tell_exceptions(text: bytes, tokens: _Tokens) -> bytes:
    """Tell of the matches that are not with the nearest source, or have length 258 oddly written."""
    rfind, long_forms = text.rfind, tokens.long_forms
    told, before = bytearray(), 0
    for index, (start, length, distance) in enumerate(
        zip(tokens.starts, tokens.lengths, tokens.distances, strict=True)
    ):
        if index in long_forms:
            told += _varint(index - before) + _varint(_LONG_FORM)
            before = index
        source = start - distance
        found = rfind(text[start : start + length], source, start + length - 1)
        if found != source:
            told += _varint(index - before) + _varint(_hops(text, start, length, source) or _HOPS_MAX + distance)
            before = index
    return bytes(told)


def _hops(text: bytes, start: int, length: int, source: int) -> int:
    """Count the nearer sources that are passed over; 0 if they are too many."""
    found = start
    for hops in range(_HOPS_MAX + 1):
        found = text.rfind(text[start : start + length], source, found + length - 1)
        if found == source:
            return hops
    return 0


def _varint(value: int) -> bytes:
    told = bytearray()
    while value > 127:
        told.append(value & 127 | 128)
        value >>= 7
    told.append(value)
    return bytes(told)


# --- writing -----------------------------------------------------------------------------


class _Stream:
    """A stream that is written bit by bit, the first in the lowest place of a byte."""

    def __init__(self, size_max: int) -> None:
        self.parts: list[str] = []
        """Not yet written; of each the first bit is to the right."""
        self._left = size_max
        self._size_max = size_max

    def add(self, value: int, size: int) -> None:
        """Append a number of `size` bits, the lowest first."""
        if value >> size:
            raise ValueError(f"{value} in {size} bits")
        if size:
            self.parts.append(f"{value:0{size}b}")

    def take(self) -> bytes:
        """Give all whole bytes; up to seven bits stay."""
        parts = self.parts
        parts.reverse()
        bits = "".join(parts)
        rest = len(bits) % 8
        packed = int(bits[rest:] or "0", 2).to_bytes(len(bits) // 8, "little")
        parts[:] = [bits[:rest]]
        self.spend(len(packed) + (rest > 0))
        self._left += rest > 0
        return packed

    def spend(self, count: int) -> None:
        """Count bytes that are given."""
        self._left -= count
        if self._left < 0:
            raise ValueError(f"more than {self._size_max} bytes")

    def pad(self, value: int) -> bytes:
        """Fill the last byte, and give all bytes."""
        packed = self.take()
        self.add(value, -len(self.parts[0]) % 8)
        return packed + self.take()


@dataclass(slots=True)
class _Form:
    """A token form, and where in it the text begins."""

    tokens: bytes
    text: int
    blocks: Iterator[int]
    matches: Iterator[_Match]
    match: _Match
    """The first that is not written yet."""


def _write(tokens: bytes, size_max: int) -> Iterator[bytes]:
    form = _parse(tokens)
    headers = form.blocks
    bits = _Stream(size_max)
    padding = next(headers, 0)
    at, last = form.text, 0
    while not last:
        last, kind = divmod(_next(headers), 4)
        end = at + int.from_bytes(bytes(_next(headers) for _ in range(4)), "little")
        if end > len(tokens):
            raise ValueError("a block has more than the text")
        bits.add(last, 1)
        bits.add(kind, 2)
        if kind == _STORED:
            yield _write_stored(bits, _next(headers), tokens[at:end])
        elif kind == _FIXED:
            yield from _write_symbols(bits, (_FIXED_LENGTHS, _FIXED_DISTANCES), form, (at, end))
        elif kind == _DYNAMIC:
            yield from _write_symbols(bits, _write_codes(bits, headers), form, (at, end))
        else:
            raise ValueError(f"block of kind {kind}")
        yield bits.take()
        at = end
    if at != len(tokens) or next(headers, None) is not None or form.match is not _NO_MATCH:
        raise ValueError("something follows the last block")
    yield bits.pad(padding)


def _parse(tokens: bytes) -> _Form:
    told = iter(tokens[:30])
    sizes = [_read_varint(told) for _ in range(3)]
    at = sum(len(_varint(size)) for size in sizes)
    view = memoryview(tokens)
    sections = []
    for size in sizes:
        sections.append(view[at : at + size])
        at += size
    if at > len(tokens):
        raise ValueError("cut short")
    blocks, control, exceptions = sections
    matches = _matches(control, exceptions, tokens, at)
    return _Form(tokens, at, iter(blocks), matches, next(matches, _NO_MATCH))


def _next(told: Iterator[int]) -> int:
    """Give the next byte; StopIteration must not end a loop that waits for it."""
    value = next(told, -1)
    if value < 0:
        raise ValueError("cut short")
    return value


def _read_varint(told: Iterator[int]) -> int:
    value = 0
    for shift in range(0, 35, 7):
        byte = _next(told)
        value |= (byte & 127) << shift
        if byte < 128:
            return value
    raise ValueError("a number of more than five bytes")


def _matches(control: memoryview, exceptions: memoryview, tokens: bytes, begin: int) -> Iterator[_Match]:
    """Give each match: where it begins and ends in the form, its length (259: 258 in long form) and distance."""
    at, index, limit = begin, 0, len(tokens)
    rfind = tokens.rfind
    told = iter(control)
    odd = _read_exceptions(exceptions)
    odd_index, odd_value = next(odd, _NO_EXCEPTION)
    for run in told:
        at += run
        if run == 255:
            continue
        length = _next(told) + 3
        end = at + length
        if end > limit:
            raise ValueError("matches have more than the text")
        distance = 0
        while index == odd_index:
            if odd_value == _LONG_FORM:
                length = _long(length)
            elif not distance:
                distance = _distance(tokens, begin, (at, end), odd_value)
            else:
                raise ValueError("two distances for one match")
            odd_index, odd_value = next(odd, _NO_EXCEPTION)
        if not distance:
            window = at - _WINDOW
            distance = at - rfind(tokens[at:end], max(begin, window), end - 1)
        if distance > at - begin:  # also when nothing was found
            raise ValueError("a match has no source")
        yield at, end, length, distance
        at = end
        index += 1
    if at > limit:
        raise ValueError("matches have more than the text")
    if odd_index >= 0:
        raise ValueError("an exception is out of range")


def _read_exceptions(exceptions: memoryview) -> Iterator[tuple[int, int]]:
    index = 0
    told = iter(exceptions)
    for byte in told:
        index += byte
        if byte > 127:
            index += (_read_varint(told) << 7) - 128
        yield index, _read_varint(told)


def _long(length: int) -> int:
    if length != 258:
        raise ValueError(f"length {length} in the long form of 258")
    return _LONG_LENGTH


def _distance(tokens: bytes, begin: int, span: tuple[int, int], value: int) -> int:
    """Give the distance of a match that passes nearer sources over."""
    start, end = span
    if value > _HOPS_MAX:
        return value - _HOPS_MAX
    found = start
    for _ in range(value + 1):
        found = tokens.rfind(tokens[start:end], max(begin, start - _WINDOW), found + end - start - 1)
    return start - found


def _write_stored(bits: _Stream, padding: int, text: bytes) -> bytes:
    header = bits.pad(padding)
    bits.add(len(text), 16)
    bits.add(len(text) ^ 0xFFFF, 16)
    bits.spend(len(text))
    return header + bits.take() + text


def _write_codes(bits: _Stream, headers: Iterator[int]) -> tuple[bytes, bytes]:
    """Write the code lengths of a dynamic block."""
    hlit, hdist, hclen = _next(headers), _next(headers), _next(headers)
    outer = bytes(_next(headers) for _ in range(19))
    bits.add(hlit, 5)
    bits.add(hdist, 5)
    bits.add(hclen, 4)
    for symbol in _SENT_ORDER[: hclen + 4]:
        bits.add(outer[symbol], 3)
    if any(outer[symbol] for symbol in _SENT_ORDER[hclen + 4 :]):
        raise ValueError("a length that is not sent")
    codes = _used(_codes(outer))
    lengths = bytearray()
    while len(lengths) < 258 + hlit + hdist:
        told = _next(headers)
        _lay_out(told, lengths)
        symbol, first, added = next((each for each in reversed(_REPEATS) if told >= each[1]), (told, told, 0))
        bits.parts.append(codes[symbol])
        bits.add(told - first, added)
    return bytes(lengths[: 257 + hlit]), bytes(lengths[257 + hlit :])


def _used(codes: list[str]) -> dict[int, str]:
    return {symbol: code for symbol, code in enumerate(codes) if code}


def _write_symbols(
    bits: _Stream, code_lengths: tuple[bytes, bytes], form: _Form, span: tuple[int, int]
) -> Iterator[bytes]:
    """Write the symbols of a block that has `span` of the form."""
    at, end = span
    tokens, matches = form.tokens, form.matches
    literals = _used(_codes(code_lengths[0]))
    widths, fars = _widths(literals), _used(_codes(code_lengths[1]))
    far_symbols, far_bits = _far_tables()
    parts, literal = bits.parts, literals.__getitem__
    start, match_end, length, distance = form.match
    while start < end:
        while start - at > _PARTS_MAX:
            parts += map(literal, tokens[at : at + _PARTS_MAX])
            at += _PARTS_MAX
            yield bits.take()
        if at != start:
            parts += map(literal, tokens[at:start])
        parts += (widths[length], fars[far_symbols[distance]], far_bits[distance])
        at = match_end
        start, match_end, length, distance = next(matches, _NO_MATCH)
        if len(parts) > _PARTS_MAX:
            yield bits.take()
    form.match = (start, match_end, length, distance) if start < _FAR_AWAY else _NO_MATCH
    if at > end:
        raise ValueError("a match reaches over the end of its block")
    for begin in range(at, end, _PARTS_MAX):
        parts += map(literal, tokens[begin : min(begin + _PARTS_MAX, end)])
        yield bits.take()
    parts.append(literals[256])


def _widths(literals: dict[int, str]) -> dict[int, str]:
    """Give for each length of a match its code and added bits."""
    widths = {}
    for symbol, (base, added) in enumerate(_LENGTHS, 257):
        if symbol in literals:
            for value in range(1 << added):
                length = base + value if base + value < 258 or not added else _LONG_LENGTH
                widths[length] = (f"{value:0{added}b}" if added else "") + literals[symbol]
    return widths


@cache
def _far_tables() -> tuple[bytes, list[str]]:
    """Give for each distance its symbol and its added bits."""
    symbols, bits = bytearray(1), [""]
    for symbol, (_, added) in enumerate(_DISTANCES):
        symbols += bytes([symbol]) * (1 << added)
        bits += [f"{value:0{added}b}" if added else "" for value in range(1 << added)]
    return bytes(symbols), bits

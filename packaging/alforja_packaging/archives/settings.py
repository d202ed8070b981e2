"""Find with which settings zlib deflated a stream, by trial.

zlib's output for a first part of the text is a first part of its output, so most
trials end with the first block. What was right once is tried first the next time.
zlib ends a block when a buffer is full whose size one setting tells, so the first
block's symbols tell that setting, or that no trial can be right.
"""

import zlib
from collections.abc import Collection, Iterator
from itertools import product
from typing import Final

from alforja_packaging.streams import Zlib
from alforja_packaging.tokens import count_first_block

_FEED_BYTES: Final = 16 * 1024
_COUNTED_MIN_BYTES: Final = 2048  # below it, few trials read far
_MEMORY_LEVELS: Final = range(1, 10)
_KNOWN_MAX: Final = 4  # settings that are remembered
_MISSES_MAX: Final = 4  # streams in a row that zlib did not write, until trials become few
_WHOLES_MAX: Final = 6  # times the whole text that trials for one stream may take
_BLOCKS_MAX_BYTES: Final = 8 * 2**20  # and besides, by trials that end early

_LEVELS: Final = (6, 9, 1, 5, 4, 8, 7, 3, 2)
_FEW: Final = ((6, 8), (9, 8), (9, 9), (6, 9), (1, 8))
_COMMON: Final = (*_FEW, *((level, memory) for memory in (8, 9) for level in _LEVELS if (level, memory) not in _FEW))
_RARE: Final = tuple((level, memory) for memory in (7, 6, 5, 4, 3, 2, 1) for level in _LEVELS)
_FLAG_LEVELS: Final = ((1,), (2, 3, 4, 5), (6,), (7, 8, 9))
"""Levels by what the header says of them (zlib.h; RFC 1950, FLEVEL)."""


class Settings:
    """What the streams of one file were deflated with so far."""

    def __init__(self) -> None:
        self._known: list[Zlib] = []
        self._misses = 0

    def find(self, plain: bytes, packed: bytes, header: bytes) -> Zlib | None:
        """Give settings with which `plain` becomes `packed`: raw deflate, which followed `header` if there is one.

        With a header the settings have positive window bits when zlib writes that header and the level
        agrees; negative when the header must stay as it is.
        """
        work = _WHOLES_MAX * len(plain) + _BLOCKS_MAX_BYTES
        for method in self._candidates(packed, header):
            same, cost = _deflates_to(plain, packed, method)
            if same:
                self._remember(method)
                return method
            work -= cost
            if work < 0:
                break
        self._misses += 1
        return None

    def _remember(self, method: Zlib) -> None:
        self._misses = 0
        self._known = [method, *(known for known in self._known if known != method)][:_KNOWN_MAX]

    def _candidates(self, packed: bytes, header: bytes) -> Iterator[Zlib]:
        tried = set()
        for known in self._known:
            headed = Zlib(known.level, (header[0] >> 4) + 8, known.memory_level, known.strategy) if header else known
            method = headed if headed.window_bits > 8 and header_of(headed) == header else _raw(known)
            tried.add(method)
            yield method
        fitting = _memory_levels(packed)
        if fitting:
            for method in _trials(packed, header, few=self._misses >= _MISSES_MAX):
                if method.memory_level in fitting and method not in tried:
                    yield method


def header_of(method: Zlib) -> bytes:
    """Give the two bytes that zlib writes before what it deflates, '' for raw deflate."""
    if method.window_bits < 0:
        return b""
    first = (method.window_bits - 8) << 4 | 8
    levels = next(flag for flag, levels in enumerate(_FLAG_LEVELS) if method.level in levels)
    if method.strategy >= zlib.Z_HUFFMAN_ONLY:
        levels = 0
    header = first << 8 | levels << 6
    return (header + 31 - header % 31).to_bytes(2, "big")


def _memory_levels(packed: bytes) -> Collection[int]:
    """Tell which memory levels a stream's first block is possible with."""
    counted = count_first_block(packed) if len(packed) >= _COUNTED_MIN_BYTES else None
    if counted is None:
        return _MEMORY_LEVELS
    count, is_last = counted
    # Of the buffer's 2^(level + 6) symbols zlib leaves one free (deflate.c, `lit_bufsize`).
    full = {level: (1 << level + 6) - 1 for level in _MEMORY_LEVELS}
    return [level for level, most in full.items() if count == most or (is_last and count < most)]


def _raw(method: Zlib) -> Zlib:
    return Zlib(method.level, -abs(method.window_bits), method.memory_level, method.strategy)


def _trials(packed: bytes, header: bytes, *, few: bool) -> Iterator[Zlib]:
    pairs = _FEW if few else _COMMON
    if header:
        bits, levels = (header[0] >> 4) + 8, _FLAG_LEVELS[header[1] >> 6]
        told = [pair for pair in _COMMON if pair[0] in levels]
        # libpng deflates filtered pictures with the strategy for them, in a window as small as the picture.
        for (level, memory), strategy in product(told, (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED)):
            yield Zlib(level, max(bits, 9), memory, strategy)
        if bits == 15 and header[1] >> 6 == 0:
            yield Zlib(1, bits, 8, zlib.Z_RLE)
            yield Zlib(1, bits, 8, zlib.Z_HUFFMAN_ONLY)
        strategies: tuple[int, ...] = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED)
    else:
        strategies = (zlib.Z_DEFAULT_STRATEGY,)
    for (level, memory), strategy in product(pairs, strategies):
        yield Zlib(level, -15, memory, strategy)
    if few:
        return
    if packed[0] & 6 == 2:  # the first block has the fixed code
        yield Zlib(6, -15, 8, zlib.Z_FIXED)
    for strategy in (zlib.Z_FILTERED, zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY):
        yield Zlib(6, -15, 8, strategy)
    for level, memory in _RARE:
        yield Zlib(level, -15, memory, zlib.Z_DEFAULT_STRATEGY)


def deflate(plain: bytes, method: Zlib) -> Iterator[bytes]:
    """Deflate, piece by piece."""
    deflater = zlib.compressobj(method.level, zlib.DEFLATED, method.window_bits, method.memory_level, method.strategy)
    view = memoryview(plain)
    for at in range(0, len(plain), _FEED_BYTES):
        yield deflater.compress(view[at : at + _FEED_BYTES])
    yield deflater.flush()


def _deflates_to(plain: bytes, packed: bytes, method: Zlib) -> tuple[bool, int]:
    """Tell whether the settings give these bytes, and how much of the text was needed to tell."""
    at = 0
    for count, piece in enumerate(deflate(plain, _raw(method)), 1):
        if not packed.startswith(piece, at):
            return False, min(count * _FEED_BYTES, len(plain))
        at += len(piece)
    return at == len(packed), len(plain)

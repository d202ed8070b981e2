"""Find with which settings zlib deflated a stream, by trial.

zlib's output for a first part of the text is a first part of its output, so most
trials end with the first block. It ends a block when a buffer is full whose size one
setting tells, so the first block's symbols tell that setting, or that no trial can be
right.
"""

import zlib
from collections.abc import Collection, Iterator
from itertools import product
from typing import Final

from alforja_packaging.archives.trials import Text, Trials
from alforja_packaging.streams import Zlib
from alforja_packaging.tokens import count_first_block

_FEED_BYTES: Final = 16 * 1024
_COUNTED_MIN_BYTES: Final = 2048  # below it, few trials read far
_MEMORY_LEVELS: Final = range(1, 10)

_LEVELS: Final = (6, 9, 1, 5, 4, 8, 7, 3, 2)
_FEW: Final = ((6, 8), (9, 8), (9, 9), (6, 9), (1, 8))
_COMMON: Final = (*_FEW, *((level, memory) for memory in (8, 9) for level in _LEVELS if (level, memory) not in _FEW))
_RARE: Final = tuple((level, memory) for memory in (7, 6, 5, 4, 3, 2, 1) for level in _LEVELS)
_FLAG_LEVELS: Final = ((1,), (2, 3, 4, 5), (6,), (7, 8, 9))
"""Levels by what the header says of them (zlib.h; RFC 1950, FLEVEL)."""


class Settings:
    """What the streams of one file were deflated with so far."""

    def __init__(self) -> None:
        self._trials = Trials[Zlib]()

    def find(self, plain: bytes, packed: bytes, header: bytes) -> Zlib | None:
        """Give settings with which `plain` becomes `packed`: raw deflate, which followed `header` if there is one.

        With a header the settings have positive window bits when zlib writes that header and the level
        agrees; negative when the header must stay as it is.
        """
        return self._trials.find(self._candidates(packed, header), _raw, Text(plain, packed, _FEED_BYTES))

    def _candidates(self, packed: bytes, header: bytes) -> Iterator[Zlib]:
        tried = set()
        for known in self._trials.known:
            headed = Zlib(known.level, (header[0] >> 4) + 8, known.memory_level, known.strategy) if header else known
            method = headed if headed.window_bits > 8 and header_of(headed) == header else _raw(known)
            tried.add(method)
            yield method
        fitting = _memory_levels(packed)
        if fitting:
            for method in _trials(packed, header, few=self._trials.are_few):
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

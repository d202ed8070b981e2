"""What this computer can do beyond what every node can. Found out when it is first asked for, then known.

Asked at the edge and nowhere else: whoever decides is handed the answer. A hub asks too: what its libraries pack
must be what those of schools do.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from alforja_packaging import jpegs
from alforja_packaging.blocks import pack_runs
from alforja_packaging.frames import NEEDS_JPEG_XL, NEEDS_XZ, NEEDS_ZLIB, NEEDS_ZSTD, Needs
from alforja_packaging.streams import Xz, Zstd

Ability = Callable[[Needs], Needs]
"""Gives which of the needs that it is asked about this computer can meet; the others cost no look."""

# CRC-32 of what zlib.net's zlib makes of `_text` (1.2.13 and 1.3 alike), by level, memory level and strategy.
# zlib-ng gives other bytes at all of them but two, and so do others that were made faster.
_CLASSIC: Final = {
    (1, 8, zlib.Z_DEFAULT_STRATEGY): 0x3FF5FF5F,
    (4, 8, zlib.Z_DEFAULT_STRATEGY): 0x12B37568,
    (6, 8, zlib.Z_DEFAULT_STRATEGY): 0xEE78C4F6,
    (9, 9, zlib.Z_DEFAULT_STRATEGY): 0xCFAB3629,
    (6, 1, zlib.Z_DEFAULT_STRATEGY): 0x02C18F9E,
    (6, 8, zlib.Z_FILTERED): 0x42AA92D8,
    (6, 8, zlib.Z_HUFFMAN_ONLY): 0xF0A9EBA7,
    (6, 8, zlib.Z_RLE): 0x0F70D116,
    (6, 8, zlib.Z_FIXED): 0xD8FBB909,
}

# CRC-32 of what libzstd 1.5.7 makes of `_long_text`; 1.5.2, 1.5.5 and 1.5.6 give other bytes at all levels.
_ZSTD: Final = {Zstd(19, 21, 22, 20): 0xE1F8D1D5, Zstd(3, 21, 17, 16): 0x74FE8370}
# And of what liblzma does: 5.4.1 and 5.8.4 agree on all presets, and with files of 2017.
_XZ: Final = {Xz(6, False): 0xF96CD397, Xz(6, True): 0xF3FE6C51, Xz(1, False): 0xF871E83A}


def find_abilities(asked: Needs) -> Needs:
    """Tell which of the needs this computer can meet."""
    able = NEEDS_ZLIB if asked & NEEDS_ZLIB and _has_classic_zlib() else 0
    able |= NEEDS_ZSTD if asked & NEEDS_ZSTD and _has_known_zstd() else 0
    able |= NEEDS_XZ if asked & NEEDS_XZ and _has_known_xz() else 0
    return able | (NEEDS_JPEG_XL if asked & NEEDS_JPEG_XL and jpegs.available() else 0)


@cache
def _has_classic_zlib() -> bool:
    """Tell whether this zlib deflates bit for bit as zlib.net's does: what was packed by that comes back exactly."""
    text = _text()
    return all(zlib.crc32(_deflate(text, *settings)) == crc for settings, crc in _CLASSIC.items())


@cache
def _has_known_zstd() -> bool:
    """Tell whether this libzstd compresses bit for bit as 1.5.7 does."""
    return _packs_so(_ZSTD)


@cache
def _has_known_xz() -> bool:
    """Tell whether this liblzma compresses bit for bit as others do."""
    return _packs_so(_XZ)


def _packs_so(known: Mapping[Zstd, int] | Mapping[Xz, int]) -> bool:
    text = _long_text()
    return all(zlib.crc32(b"".join(pack_runs([text], method))) == crc for method, crc in known.items())


def _deflate(text: bytes, level: int, memory_level: int, strategy: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, memory_level, strategy)
    return packer.compress(text) + packer.flush()


def _text() -> bytes:
    """72 KiB that matchers disagree about: near and far repeats, runs, and what does not repeat."""
    seed, words = 1, []
    for _ in range(14000):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        drawn = seed >> 16
        words.append(b"%x" % (drawn % 997) if drawn % 7 else bytes([drawn & 255]) * (drawn % 29))
    return b" ".join(words)[: 72 * 1024]


def _long_text() -> bytes:
    """396 KiB: several blocks of zstd, some of which change their kind in the midst, where its versions differ."""
    text = _text()
    mixed = text + bytes(at * at >> 7 & 255 for at in range(72 * 1024)) + text[::-1] + text[::3]
    return mixed + bytes(at * at >> 9 & 255 for at in range(36 * 1024)) + mixed[::-2]

"""What lies packed inside a file: streams that can be opened and closed again, bit for bit.

Values only; docs/format.md section 7.
"""

from dataclasses import dataclass
from typing import Final

OPENED_MAX_RATIO: Final = 64  # format.md section 7: what opens further is left packed, as a bomb would be
DEPTH_MAX: Final = 4  # a picture in a document in a book in an archive
PARTS_MAX: Final = 65536  # of one stream: what lies between them is held in memory
GAPS_MAX_BYTES: Final = 2**20  # between the parts of one stream, for the same reason

# Tokens are written and read by interpreted code, at some MB a second on a hub and a tenth of that on a board.
TOKENS_PACKED_MAX_BYTES: Final = 4 * 2**20
TOKENS_FORM_MAX_BYTES: Final = 8 * 2**20  # held whole while the stream is packed again

# An encoder of zstd or LZMA is made anew for each stream, and clears up to 56 MiB: few, and none inside another.
ENCODER_MAX_BYTES: Final = 56 * 2**20
ENCODERS_MAX: Final = 256
ZSTD_LEVEL_MAX: Final = 19
ZSTD_LOG_MIN, ZSTD_LOG_MAX = 10, 24
XZ_PRESET_MAX: Final = 9
XZ_DICTIONARY_MAX_BYTES: Final = 4 * 2**20  # with which liblzma takes 48 MB
_XZ_DICTIONARIES: Final = tuple(size << 18 for size in (1, 4, 8, 16, 16, 32, 32, 64, 128, 256))


@dataclass(frozen=True, slots=True)
class Zlib:
    """Deflated by zlib with these settings (zlib.h, `deflateInit2`).

    `window_bits` are -9 to -15 for raw deflate (RFC 1951), 9 to 15 with zlib's
    header and trailer (RFC 1950).
    """

    level: int
    window_bits: int
    memory_level: int
    strategy: int


@dataclass(frozen=True, slots=True)
class Zstd:
    """The blocks of a zstd frame (RFC 8878) as libzstd 1.5.7 writes them, fed bit by bit, at this level.

    The logs are of its window and tables (zstd.h): at most what the level has, at
    least what makes no difference. What stands around the blocks is left outside.
    """

    level: int
    window_log: int
    hash_log: int
    chain_log: int

    @property
    def is_allowed(self) -> bool:
        """Whether zstd has such settings, and a node the memory for them."""
        logs = (self.window_log, self.hash_log, self.chain_log)
        if not 1 <= self.level <= ZSTD_LEVEL_MAX or not all(ZSTD_LOG_MIN <= log <= ZSTD_LOG_MAX for log in logs):
            return False
        # A byte of the window; four of each place of a table, and one beside it.
        return (1 << self.window_log) + (5 << self.hash_log) + (4 << self.chain_log) <= ENCODER_MAX_BYTES


@dataclass(frozen=True, slots=True)
class Xz:
    """LZMA2, as in an .xz file, as liblzma writes it by this preset with no larger a dictionary than a node can spare.

    What stands around the chunks is left outside.
    """

    preset: int
    is_extreme: bool

    @property
    def dictionary_bytes(self) -> int:
        """The preset's own, or less: what is no longer than that comes out the same."""
        return min(_XZ_DICTIONARIES[self.preset], XZ_DICTIONARY_MAX_BYTES)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Raw deflate that no setting of zlib writes: carried as its tokens.

    A header and a trailer around it (RFC 1950) are left outside.
    """


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG file, carried as JPEG XL."""


Packed = Zlib | Zstd | Xz
"""Packed again by what packed it, with its settings."""

Method = Packed | Tokens | Jpeg


@dataclass(frozen=True, slots=True)
class Stream:
    """One packed run of the bytes around it, or several that make one stream.

    `parts` are (offset, length), ascending; `size` counts the plain bytes: of `Tokens`
    its token form, of a JPEG its own. `inside` are streams of these plain bytes.
    """

    parts: tuple[tuple[int, int], ...]
    size: int
    method: Method
    inside: tuple["Stream", ...] = ()

    @property
    def start(self) -> int:
        """Where it begins in the bytes around it."""
        return self.parts[0][0]

    @property
    def end(self) -> int:
        """Where it ends."""
        offset, length = self.parts[-1]
        return offset + length

    @property
    def length(self) -> int:
        """Packed bytes."""
        return sum(length for _, length in self.parts)

    def packed(self, data: bytes | memoryview) -> bytes:
        """The packed bytes, cut from the bytes around them."""
        return b"".join(bytes(data[offset : offset + length]) for offset, length in self.parts)

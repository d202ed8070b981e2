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
class Tokens:
    """Raw deflate that no setting of zlib writes: carried as its tokens.

    A header and a trailer around it (RFC 1950) are left outside.
    """


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG file, carried as JPEG XL."""


Method = Zlib | Tokens | Jpeg


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

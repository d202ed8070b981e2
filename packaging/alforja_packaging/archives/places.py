"""Tell from signatures where in a file packed streams may begin.

Containers' directories are not believed, nor are sizes where a stream tells its own
end. Nothing is inflated here: a place is a guess.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from alforja_packaging.archives.budget import Budget
from alforja_packaging.streams import GAPS_MAX_BYTES, PARTS_MAX

Runs = tuple[tuple[int, int], ...]
"""(offset, length), ascending and apart."""


class Kind(Enum):
    """What may stand at a place."""

    RAW = auto()  # deflate, RFC 1951
    ZLIB = auto()  # deflate within RFC 1950
    ZSTD = auto()  # the blocks of a frame, RFC 8878
    LZMA2 = auto()  # of a block of an .xz file
    JPEG = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stream may begin. Its runs may reach further than the stream does, except of a JPEG."""

    kind: Kind
    runs: Runs

    @property
    def start(self) -> int:
        """Where it begins in the bytes around it."""
        return self.runs[0][0]


_ZIP_HEADER: Final = struct.Struct("<2xHH16xHH")  # after the version: flags, method; lengths of name and extra field
_ZIP_ENCRYPTED: Final = 1
_ZIP_DEFLATED: Final = 8
_GZIP_CHECKSUM, _GZIP_EXTRA, _GZIP_NAME, _GZIP_COMMENT, _GZIP_RESERVED = 2, 4, 8, 16, 0xE0
_GZIP_TEXT: Final = re.compile(rb"[^\0]{0,4096}\0")
_PNG_CHUNK: Final = struct.Struct(">I4s")
_PNG_OVERHEAD: Final = 12  # of a chunk: length, type, checksum
_WOFF_COUNT: Final = struct.Struct(">8xH")  # behind the signature
_WOFF_HEADER_BYTES: Final = 44
_WOFF_TABLE: Final = struct.Struct(">4xIII4x")  # offset, packed length, length
_ZSTD_RESERVED, _ZSTD_DICTIONARY, _ZSTD_SINGLE = 8, 3, 32
_ZSTD_SIZE_BYTES: Final = (0, 2, 4, 8)  # by the two highest bits
_XZ_HEADER_BYTES: Final = 6  # behind the signature: flags, checksum
_XZ_MORE: Final = 0x3F  # other filters, and what is reserved
_JPEG_MARKER: Final = re.compile(rb"\xff+([^\xff\x00\xd0-\xd7])", re.DOTALL)
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
_JPEG_FRAMES: Final = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended, progressive; the rest nobody writes
_JPEG_TABLES: Final = frozenset((0xC4, *range(0xDB, 0xDE), *range(0xE0, 0xF0), 0xFE))


@dataclass(frozen=True, slots=True)
class Found:
    """A signature, by where it ends, and the places that it tells of, ascending."""

    end: int
    places: tuple[Place, ...]


def find_next(data: memoryview, at: int, budget: Budget) -> Found | None:
    """Find the first signature from `at` on."""
    signature = _SIGNATURES.search(data, at)
    if signature is None:
        return None
    end = signature.end()
    read = _READERS[signature[0][:3]]
    return Found(end, tuple(read(data, end, budget)))


def may_hold_encoded(data: bytes | memoryview) -> bool:
    """Tell whether there is what may be streams of zstd or xz."""
    return _ENCODED.search(data) is not None


def may_hold_jpegs(data: bytes | memoryview) -> bool:
    """Tell whether there is what may be a JPEG, or may hold one packed."""
    return _PICTURED.search(data) is not None


def looks_like_zlib(data: memoryview, at: int) -> bool:
    """Tell whether a zlib header may stand there (RFC 1950), one that needs no dictionary."""
    header = int.from_bytes(data[at : at + 2], "big")
    return header & 0x8F20 == 0x0800 and header % 31 == 0


def _to_end(kind: Kind, data: memoryview, start: int) -> Iterator[Place]:
    if start < len(data):
        yield Place(kind, ((start, len(data) - start),))


def _zip(data: memoryview, at: int, _: Budget) -> Iterator[Place]:
    if at + _ZIP_HEADER.size <= len(data):
        flags, method, name, extra = _ZIP_HEADER.unpack_from(data, at)
        if method == _ZIP_DEFLATED and not flags & _ZIP_ENCRYPTED:
            yield from _to_end(Kind.RAW, data, at + _ZIP_HEADER.size + name + extra)


def _gzip(data: memoryview, at: int, budget: Budget) -> Iterator[Place]:
    if at >= len(data) or data[at] & _GZIP_RESERVED:
        return
    flags = data[at]
    at += 7  # flags, time, level, system
    if flags & _GZIP_EXTRA:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (_GZIP_NAME, _GZIP_COMMENT):
        if flags & flag:
            text = _GZIP_TEXT.match(data, at)
            budget.waste(text.end() - at if text else 4096)
            if text is None:
                return
            at = text.end()
    yield from _to_end(Kind.RAW, data, at + (2 if flags & _GZIP_CHECKSUM else 0))


def _png(data: memoryview, at: int, budget: Budget) -> Iterator[Place]:
    runs: list[tuple[int, int]] = []
    between = 0
    while at + _PNG_OVERHEAD <= len(data) and len(runs) < PARTS_MAX and not budget.is_spent:
        length, name = _PNG_CHUNK.unpack_from(data, at)
        budget.waste(_PNG_OVERHEAD)
        if name == b"IDAT":
            if runs:
                between += at + 8 - sum(runs[-1])
            if length and at + 8 < len(data) and between <= GAPS_MAX_BYTES:
                runs.append((at + 8, min(length, len(data) - at - 8)))
        elif runs or not name.isalpha():
            break
        at += length + _PNG_OVERHEAD
    if runs:
        yield Place(Kind.ZLIB, tuple(runs))


def _zlib(data: memoryview, at: int, _: Budget) -> Iterator[Place]:
    if looks_like_zlib(data, at):
        yield from _to_end(Kind.ZLIB, data, at)


def _swf(data: memoryview, at: int, budget: Budget) -> Iterator[Place]:
    yield from _zlib(data, at + 4, budget)


def _woff(data: memoryview, at: int, budget: Budget) -> Iterator[Place]:
    base = at - 4
    rows = base + _WOFF_HEADER_BYTES
    if rows > len(data):
        return
    (count,) = _WOFF_COUNT.unpack_from(data, at)
    count = min(count, (len(data) - rows) // _WOFF_TABLE.size)
    budget.waste(_WOFF_TABLE.size * count)
    tables = sorted(_WOFF_TABLE.iter_unpack(data[rows : rows + _WOFF_TABLE.size * count]))
    for offset, packed, length in tables:
        start = base + offset
        if rows <= start <= len(data) - packed and 0 < packed < length and looks_like_zlib(data, start):
            yield Place(Kind.ZLIB, ((start, packed),))


def _zstd(data: memoryview, at: int, _: Budget) -> Iterator[Place]:
    if at < len(data) and not data[at] & (_ZSTD_RESERVED | _ZSTD_DICTIONARY):
        single = bool(data[at] & _ZSTD_SINGLE)
        size_bytes = _ZSTD_SIZE_BYTES[data[at] >> 6] or int(single)
        yield from _to_end(Kind.ZSTD, data, at + 1 + (not single) + size_bytes)


def _xz(data: memoryview, at: int, _: Budget) -> Iterator[Place]:
    at += _XZ_HEADER_BYTES
    if at + 1 < len(data) and data[at] and not data[at + 1] & _XZ_MORE:
        yield from _to_end(Kind.LZMA2, data, at + (data[at] + 1) * 4)


def _jpeg(data: memoryview, at: int, budget: Budget) -> Iterator[Place]:
    start = at - 3
    end = _jpeg_end(data, at - 1, budget)
    if end:
        yield Place(Kind.JPEG, ((start, end - start),))


def _jpeg_end(data: memoryview, at: int, budget: Budget) -> int:
    """Follow a JPEG's segments to behind its last one; 0 when it is none."""
    begin = at
    in_frame = in_scan = False
    while not budget.is_spent:
        # Within a scan coded bytes stand before the next marker, elsewhere nothing does.
        marker = _JPEG_MARKER.search(data, at) if in_scan else _JPEG_MARKER.match(data, at)
        code = marker[1][0] if marker else 0
        if marker is None or (code == _JPEG_END and in_scan):
            break
        at = marker.end()
        if code in _JPEG_FRAMES:
            in_frame = True
        elif code == _JPEG_SCAN and in_frame:
            in_scan = True
        elif code not in _JPEG_TABLES:
            marker = None
            break
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    else:
        marker = None
    if marker is None:
        budget.waste(min(at, len(data)) - begin if not in_scan else len(data) - begin)
        return 0
    return marker.end()


_ENCODED: Final = re.compile(rb"\x28\xb5\x2f\xfd|\xfd7zXZ\0")
_PICTURED: Final = re.compile(rb"\xff\xd8\xff|PK\x03\x04|\x1f\x8b\x08|stream\r?\n")
_Reader = Callable[[memoryview, int, Budget], Iterator[Place]]
_SIGNATURES: Final = re.compile(
    rb"PK\x03\x04|\x1f\x8b\x08|\x89PNG\r\n\x1a\n|stream\r?\n|wOFF|CWS[\x06-\x32]|\xff\xd8\xff|\x28\xb5\x2f\xfd|\xfd7zXZ\0",
    re.DOTALL,
)
_READERS: Final[dict[bytes, _Reader]] = {
    b"PK\x03": _zip,
    b"\x1f\x8b\x08": _gzip,
    b"\x89PN": _png,
    b"str": _zlib,  # PDF
    b"wOF": _woff,
    b"CWS": _swf,
    b"\xff\xd8\xff": _jpeg,
    b"\x28\xb5\x2f": _zstd,
    b"\xfd7z": _xz,
}
"""By the first three bytes of a signature."""

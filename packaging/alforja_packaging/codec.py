"""Compress and, within strict bounds, decompress with zstd (RFC 8878).

`backports.zstd` is Python 3.14's `compression.zstd`: unlike `zstandard` it can
encode against a referenced prefix, and it weighs a third (docs/adr/0004-zstd.md).
"""

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, Final, cast

from alforja_packaging.errors import VerifyError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WINDOW_MAX_BYTES: Final = 32 * 2**20  # format.md section 7: what a board of 1 GiB can spare
PREFIX_MIN_BYTES: Final = 8
_PIECE = 256 * 1024

_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_HEADER_MAX_BYTES: Final = 18
_BLOCK_MAX_BYTES: Final = 128 * 1024
_WINDOW_LOG_MIN: Final = 10

LIBRARY_VERSION: Final = zstd.zstd_version_info

BrokenFrame = zstd.ZstdError
"""What `open_packed` raises while it is read."""

Options = dict[str, int]
"""Names of zstd's compression parameters and their values."""


def decompress(
    packed: Iterable[bytes | bytearray], *, size: int, prefix: bytes | bytearray | memoryview = b"", what: str
) -> Iterator[bytes]:
    """Yield the content of one zstd frame, piece by piece.

    `size` is the exact content size in bytes; memory stays within the prefix, the
    window and a constant. Raises VerifyError, naming `what`, as soon as the frame
    is broken, wants a larger window, is cut short or followed by anything, or gives
    more or fewer bytes than `size`.
    """
    decompressor = zstd.ZstdDecompressor(
        zstd_dict=_referenced(prefix),
        options={zstd.DecompressionParameter.window_log_max: WINDOW_MAX_BYTES.bit_length() - 1},
    )
    prefix = b""  # zstd has a copy of its own: two at once would be the most that a node needs
    given = 0
    for chunk in packed:
        data: bytes | bytearray = chunk
        while not decompressor.eof and (data or not decompressor.needs_input):
            try:
                piece = decompressor.decompress(data, max_length=_PIECE)
            except zstd.ZstdError as error:
                raise VerifyError(f"{what}: is not a readable zstd frame ({error})") from None
            data = b""
            given += len(piece)
            if given > size:
                raise VerifyError(f"{what}: gives more than the {size} bytes it should")
            if piece:
                yield piece
        if decompressor.eof and (data or decompressor.unused_data):
            raise VerifyError(f"{what}: something follows its end")
    if not decompressor.eof or given != size:
        raise VerifyError(f"{what}: gives {given} of the {size} bytes it should")


def decompress_after(
    prefix: Iterable[bytes | bytearray], prefix_size: int, packed: Iterable[bytes | bytearray], *, size: int, what: str
) -> Iterator[bytes]:
    """Yield the content of one zstd frame that was compressed with a prefix, which is never held beside the window.

    Given a prefix, zstd keeps a copy of it beside ours and its window. Instead it is
    given one frame that begins with the prefix in raw blocks and goes on with the
    blocks of the frame (RFC 8878 section 3.1.1): memory is that of both together,
    once. Raises VerifyError as `decompress` does; zstd's checksum is not looked at.
    """
    log = window_log(prefix_size + size)
    start = _MAGIC + bytes([0b1100_0000, (log - _WINDOW_LOG_MIN) << 3]) + (prefix_size + size).to_bytes(8, "little")
    spliced = chain([start], _raw_blocks(prefix, min(1 << log, _BLOCK_MAX_BYTES)), _blocks_of(packed, size, what))
    skip = prefix_size
    for piece in decompress(spliced, size=prefix_size + size, what=what):
        rest = piece[skip:] if skip else piece
        skip = max(0, skip - len(piece))
        if rest:
            yield rest


def _raw_blocks(data: Iterable[bytes | bytearray], block_bytes: int) -> Iterator[bytes]:
    for run in data:
        for at in range(0, len(run), block_bytes):
            block = run[at : at + block_bytes]
            yield (len(block) << 3).to_bytes(3, "little") + block


def _blocks_of(packed: Iterable[bytes | bytearray], size: int, what: str) -> Iterator[bytes]:
    """Take off what lies around a frame's blocks: its header, and its checksum if it has one."""
    chunks = iter(packed)
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= _HEADER_MAX_BYTES:
            break
    length, checked = _read_header(start, size, what)
    behind = 4 if checked else 0
    last = start[length:]
    for chunk in chunks:
        yield last[: len(last) - behind]
        last = last[len(last) - behind :] + chunk
    yield last[: len(last) - behind] if behind else last


def _read_header(start: bytes, size: int, what: str) -> tuple[int, bool]:
    """Give a frame header's length, and whether a checksum follows the blocks (RFC 8878 section 3.1.1.1)."""
    try:
        flags = start[4]
        single, checked = bool(flags & 0b10_0000), bool(flags & 0b100)
        at = 5 if single else 6
        count = (int(single), 2, 4, 8)[flags >> 6]
        stated = int.from_bytes(start[at : at + count], "little") + (256 if count == 2 else 0)
        window = size if single else (8 + (start[5] & 7)) << (_WINDOW_LOG_MIN - 3 + (start[5] >> 3))
    except IndexError:
        raise VerifyError(f"{what}: is not a readable zstd frame (cut short)") from None
    if not start.startswith(_MAGIC) or flags & 0b1011 or len(start) < at + count:
        raise VerifyError(f"{what}: is not a readable zstd frame (no header of one)")
    if window > WINDOW_MAX_BYTES or (count and stated != size):
        raise VerifyError(f"{what}: is not a readable zstd frame of {size} bytes within its bounds")
    return at + count, checked


def decompress_whole(packed: bytes, *, size: int, prefix: bytes = b"", what: str) -> bytes:
    """Give the content of one small zstd frame. Raises VerifyError as `decompress` does."""
    return b"".join(decompress([packed], size=size, prefix=prefix, what=what))


def open_packed(file: IO[bytes], *, window_max_bytes: int) -> IO[bytes]:
    """Read a zstd file of any number of frames as a stream of what it holds.

    Reading raises BrokenFrame, or EOFError where the file is cut short. Nothing
    bounds how much it gives: whoever reads it counts.
    """
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: window_max_bytes.bit_length() - 1}
    return cast("IO[bytes]", zstd.ZstdFile(file, "r", options=options))


def compress(data: bytes, *, prefix: bytes = b"", options: Options | None = None) -> bytes:
    """Write one zstd frame with content size and checksum.

    With a `prefix`, matches may refer to it (`zstd --patch-from`). The window is
    set to reach over all of both. `options` are zstd's own parameters by name.
    """
    chosen = {"compression_level": 19, "content_size_flag": 1, "checksum_flag": 1, "dict_id_flag": 0}
    chosen["window_log"] = window_log(len(prefix) + len(data))
    if prefix:
        chosen["enable_long_distance_matching"] = 1
    chosen |= options or {}
    compressor = zstd.ZstdCompressor(
        options={getattr(zstd.CompressionParameter, name): value for name, value in chosen.items()},
        zstd_dict=_referenced(prefix),
    )
    return compressor.compress(data, compressor.FLUSH_FRAME)


def decompressor(header: bytes, window_log: int) -> zstd.ZstdDecompressor:
    """Begin to decompress a frame, of which the header is fed already, within a window."""
    opened = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: window_log})
    opened.decompress(header)
    return opened


def compress_streaming(content: Iterable[bytes | bytearray | memoryview], options: Options) -> Iterator[bytes]:
    """Write one zstd frame as whoever does not know how much will come: a header of six bytes, blocks, no checksum."""
    compressor = zstd.ZstdCompressor(
        options={getattr(zstd.CompressionParameter, name): value for name, value in options.items()}
    )
    for run in content:
        packed = compressor.compress(run)
        if packed:
            yield packed
    yield compressor.flush()


def _referenced(prefix: bytes | bytearray | memoryview) -> tuple[zstd.ZstdDict, int] | None:
    """A referenced prefix; zstd itself takes none of fewer than 8 bytes (format.md section 7)."""
    return zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= PREFIX_MIN_BYTES else None


def window_log(reach: int) -> int:
    """The logarithm of the smallest window that reaches over `reach` bytes, within the format's bound."""
    return min(max(10, (reach - 1).bit_length() if reach > 1 else 0), WINDOW_MAX_BYTES.bit_length() - 1)

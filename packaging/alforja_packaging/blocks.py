"""Unpack and pack what lies inside a container, and nothing of what stands around it: deflate, zstd's blocks, LZMA2.

docs/format.md section 7.3. Streaming; memory is bounded by constants and by what a method states.
"""

import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from alforja_packaging import codec
from alforja_packaging.streams import Xz, Zlib, Zstd

BROKEN: Final = (zlib.error, codec.BrokenFrame, lzma.LZMAError)
"""What unpacking raises."""

STEP_BYTES: Final = 64 * 1024
_WINDOW_LOG: Final = 23  # 8 MiB: what libzim writes, and what a board can spare beside the rest
_ZSTD_HEADER: Final = b"\x28\xb5\x2f\xfd\0" + bytes([_WINDOW_LOG - 10 << 3])  # RFC 8878: neither size nor checksum
_LZMA2_UNPACKED_WITH: Final = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << _WINDOW_LOG}]


class Unpacker(Protocol):
    """Unpacks one stream piece by piece, as those of zstd and of lzma do."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing more to give before more is fed."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What was fed beyond the end."""
        ...

    def decompress(self, data: bytes | bytearray | memoryview, max_length: int) -> bytes:
        """Feed, and give at most so many bytes."""
        ...


class _Inflater:
    """Inflates as an `Unpacker`."""

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes | bytearray | memoryview, max_length: int) -> bytes:
        """Feed, and give at most so many bytes."""
        piece = self._inner.decompress(data or self._inner.unconsumed_tail, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(piece) < max_length
        return piece


def unpacker(method: Zlib | Zstd | Xz) -> Unpacker:
    """Begin to unpack a stream of a method; of its settings nothing but zlib's header counts."""
    if isinstance(method, Zlib):
        return _Inflater(15 if method.window_bits > 0 else -15)
    if isinstance(method, Xz):
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA2_UNPACKED_WITH)
    return codec.decompressor(_ZSTD_HEADER, _WINDOW_LOG)


def unpack_runs(opened: Unpacker, runs: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes]:
    """Yield what a stream holds until it ends, in pieces. Raises one of `BROKEN`."""
    for run in runs:
        data = run
        while not opened.eof and (data or not opened.needs_input):
            piece = opened.decompress(data, STEP_BYTES)
            data = b""
            if piece:
                yield piece
        if opened.eof:
            return


def pack_runs(content: Iterable[bytes | bytearray | memoryview], method: Zlib | Zstd | Xz) -> Iterator[bytes]:
    """Pack as zlib, zstd or liblzma do with these settings, all bytes but those of a container."""
    if isinstance(method, Zstd):
        yield from _pack_zstd(content, method)
        return
    packer = _deflater(method) if isinstance(method, Zlib) else _lzma2(method)
    for run in content:
        packed = packer.compress(run)
        if packed:
            yield packed
    yield packer.flush()


class _Packer(Protocol):
    def compress(self, data: bytes | bytearray | memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


def _deflater(method: Zlib) -> _Packer:
    return zlib.compressobj(method.level, zlib.DEFLATED, method.window_bits, method.memory_level, method.strategy)


def _lzma2(method: Xz) -> _Packer:
    preset = method.preset | (lzma.PRESET_EXTREME if method.is_extreme else 0)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": method.dictionary_bytes}]
    return lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)


def _pack_zstd(content: Iterable[bytes | bytearray | memoryview], method: Zstd) -> Iterator[bytes]:
    skip = len(_ZSTD_HEADER)
    for packed in codec.compress_streaming(
        content,
        {
            "compression_level": method.level,
            "window_log": method.window_log,
            "hash_log": method.hash_log,
            "chain_log": method.chain_log,
        },
    ):
        rest = packed[skip:]
        skip -= len(packed) - len(rest)
        if rest:
            yield rest

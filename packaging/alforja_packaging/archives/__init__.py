"""Find streams packed inside a file that can be opened and closed again, bit for bit.

By signatures alone, never by the file's name or an archive's directory: so a picture
in a book in an archive is found like any other. Only a hub needs this. A JPEG is only
found here; whether it comes back from JPEG XL is for others to prove.
"""

import zlib
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Final

from alforja_packaging.archives.budget import Budget
from alforja_packaging.archives.encoders import Encoders
from alforja_packaging.archives.inflating import RAW, Inflated, cut, inflate, join
from alforja_packaging.archives.places import Kind, Place, Runs, find_next, may_hold_encoded, may_hold_jpegs
from alforja_packaging.archives.settings import Settings
from alforja_packaging.blocks import BROKEN, STEP_BYTES, pack_runs, unpack_runs, unpacker
from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.streams import (
    DEPTH_MAX,
    TOKENS_FORM_MAX_BYTES,
    TOKENS_PACKED_MAX_BYTES,
    Jpeg,
    Packed,
    Stream,
    Tokens,
    Xz,
    Zstd,
)
from alforja_packaging.tokens import from_tokens, to_tokens

__all__ = ["Encoded", "find_streams", "may_hold_encoded", "may_hold_jpegs", "pack", "unpack"]

_PACKED_MIN_BYTES: Final = 64  # below it a recipe costs more than it saves
_ENCODED_MIN_BYTES: Final = 1024  # below it a node's encoder costs more than it saves
_KINDS: Final[Mapping[Kind, Zstd | Xz]] = {Kind.ZSTD: Zstd(0, 0, 0, 0), Kind.LZMA2: Xz(0, False)}
_HEADER_BYTES: Final = 2
_TRAILER_BYTES: Final = 4


class Encoded(Enum):
    """What is wanted of streams that need zstd's or liblzma's encoder."""

    LEFT = auto()
    OPENED = auto()  # of a base, which nobody closes again
    CLOSED = auto()


def find_streams(
    data: bytes | memoryview, *, depth: int = DEPTH_MAX, encoded: Encoded = Encoded.CLOSED
) -> tuple[Stream, ...]:
    """Find the streams of a file, and those inside them up to `depth`, ascending and apart.

    Each is proven: what `unpack` gives was packed again and is the same; but of `encoded` ones
    that are only to be opened, whose settings are not looked for. Takes any bytes, in time
    linear in their count.
    """
    return _Search(len(data)).streams(memoryview(data), depth, encoded)


def unpack(data: bytes | memoryview, stream: Stream) -> bytes:
    """Give the plain bytes of a stream found in `data`. Raises FormatError when it is not there."""
    packed = stream.packed(data)
    if isinstance(stream.method, Jpeg):
        plain = packed
    elif isinstance(stream.method, Tokens):
        plain = to_tokens(packed, size_max=stream.size)
    else:
        plain = _unpack(packed, stream.method, stream)
    if len(plain) != stream.size:
        raise FormatError(f"stream at {stream.start}: does not have {stream.size} plain bytes")
    return plain


def _unpack(packed: bytes, method: Packed, stream: Stream) -> bytes:
    opened, plain = unpacker(method), bytearray()
    try:
        for piece in unpack_runs(opened, [packed]):
            plain += piece
            if len(plain) > stream.size:
                break
    except BROKEN as error:
        raise FormatError(f"stream at {stream.start}: is not readable ({error})") from None
    if not opened.eof or opened.unused_data:
        raise FormatError(f"stream at {stream.start}: does not end after {stream.size} plain bytes")
    return bytes(plain)


def pack(plain: bytes, method: Packed) -> bytes:
    """Pack as zlib, zstd or liblzma do with these settings."""
    view = memoryview(plain)
    return b"".join(pack_runs((view[at : at + STEP_BYTES] for at in range(0, len(view), STEP_BYTES)), method))


class _Search:
    """A search through one file and all that is inside it."""

    def __init__(self, size: int) -> None:
        self._budget = Budget(size)
        self._settings, self._encoders = Settings(), Encoders()

    def streams(self, data: memoryview, depth: int, encoded: Encoded) -> tuple[Stream, ...]:
        """Find the streams of these bytes."""
        return tuple(self._each(data, depth, encoded)) if depth > 0 else ()

    def _each(self, data: memoryview, depth: int, encoded: Encoded) -> Iterator[Stream]:
        at = taken = 0
        while not self._budget.is_spent:
            found = find_next(data, at, self._budget)
            if found is None:
                return
            for place in found.places:
                if place.start >= taken:
                    end, stream = self._look(data, place, depth, encoded)
                    taken = max(taken, end)
                    if stream is not None:
                        yield stream
            at = max(taken, found.end)

    def _look(self, data: memoryview, place: Place, depth: int, encoded: Encoded) -> tuple[int, Stream | None]:
        """Give where what stands at a place ends (0: nothing does), and the stream if it can be closed again."""
        if place.kind is Kind.JPEG:
            stream = Stream(place.runs, place.runs[0][1], Jpeg())
            return stream.end, stream
        kind = _KINDS.get(place.kind)
        if kind and (encoded is Encoded.LEFT or self._encoders.is_spent):
            return 0, None
        before = _HEADER_BYTES if place.kind is Kind.ZLIB else 0
        inflated = inflate(data, cut(place.runs, before, len(data)), self._budget, kind or RAW)
        if inflated is None:
            return 0, None
        body = cut(place.runs, before, inflated.length)
        end = sum(body[-1])
        if inflated.length < (_ENCODED_MIN_BYTES if kind else _PACKED_MIN_BYTES):
            return end, None
        if kind and encoded is Encoded.OPENED:
            inside = self.streams(memoryview(inflated.plain), depth - 1, encoded)
            return end, Stream(body, len(inflated.plain), kind, inside)
        if kind:
            return end, self._close_encoded(data, body, inflated, kind, depth)
        whole = cut(place.runs, 0, before + inflated.length + _TRAILER_BYTES) if before else body
        return end, self._close(data, whole, body, inflated.plain, depth=depth, encoded=encoded)

    def _close_encoded(
        self, data: memoryview, body: Runs, inflated: Inflated, kind: Zstd | Xz, depth: int
    ) -> Stream | None:
        """Make a stream of what zstd or liblzma packed, if it can be packed again; in it no other one is opened."""
        plain = inflated.plain
        method = self._encoders.find(plain, join(data, body), type(kind))
        if method is None:
            return None
        return Stream(body, len(plain), method, self.streams(memoryview(plain), depth - 1, Encoded.LEFT))

    def _close(
        self, data: memoryview, whole: Runs, body: Runs, plain: bytes, *, depth: int, encoded: Encoded
    ) -> Stream | None:
        """Make a stream of what was inflated, if it can be packed again."""
        packed = join(data, body)
        method = self._settings.find(plain, packed, _header(join(data, whole), packed, plain))
        if method is not None:
            parts = whole if method.window_bits > 0 else body
            inside = self.streams(memoryview(plain), depth - 1, encoded)
            return Stream(parts, len(plain), method, inside)
        form = _tokens(packed)
        if form is None:
            return None
        return Stream(body, len(form), Tokens(), self.streams(memoryview(form), depth - 1, encoded))


def _header(whole: bytes, packed: bytes, plain: bytes) -> bytes:
    """Give zlib's header where one is and the trailer is as zlib would write it, else nothing."""
    header = whole[:_HEADER_BYTES]
    trailer = zlib.adler32(plain).to_bytes(_TRAILER_BYTES, "big")
    return header if whole == header + packed + trailer else b""


def _tokens(packed: bytes) -> bytes | None:
    """Give the token form of a raw stream if it comes back within bounds."""
    if len(packed) > TOKENS_PACKED_MAX_BYTES:
        return None
    try:
        form = to_tokens(packed, size_max=TOKENS_FORM_MAX_BYTES)
        return form if b"".join(from_tokens(form, size_max=len(packed), what="stream")) == packed else None
    except (FormatError, VerifyError):
        return None

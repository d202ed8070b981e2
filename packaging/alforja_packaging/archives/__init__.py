"""Find streams packed inside a file that can be opened and closed again, bit for bit.

By signatures alone, never by the file's name or an archive's directory: so a picture
in a book in an archive is found like any other. Only a hub needs this. A JPEG is only
found here; whether it comes back from JPEG XL is for others to prove.
"""

import zlib
from collections.abc import Iterator
from typing import Final

from alforja_packaging.archives.budget import Budget
from alforja_packaging.archives.inflating import cut, inflate, join
from alforja_packaging.archives.places import Kind, Place, Runs, find_next
from alforja_packaging.archives.settings import Settings, deflate
from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.streams import (
    DEPTH_MAX,
    TOKENS_FORM_MAX_BYTES,
    TOKENS_PACKED_MAX_BYTES,
    Jpeg,
    Stream,
    Tokens,
    Zlib,
)
from alforja_packaging.tokens import from_tokens, to_tokens

__all__ = ["find_streams", "pack_zlib", "unpack"]

_PACKED_MIN_BYTES: Final = 64  # below it a recipe costs more than it saves
_HEADER_BYTES: Final = 2
_TRAILER_BYTES: Final = 4


def find_streams(data: bytes | memoryview, *, depth: int = DEPTH_MAX) -> tuple[Stream, ...]:
    """Find the streams of a file, and those inside them up to `depth`, ascending and apart.

    Each is proven: what `unpack` gives was packed again and is the same. Takes any
    bytes, in time linear in their count.
    """
    return _Search(len(data)).streams(memoryview(data), depth)


def unpack(data: bytes | memoryview, stream: Stream) -> bytes:
    """Give the plain bytes of a stream found in `data`. Raises FormatError when it is not there."""
    packed = stream.packed(data)
    if isinstance(stream.method, Jpeg):
        plain = packed
    elif isinstance(stream.method, Tokens):
        plain = to_tokens(packed, size_max=stream.size)
    else:
        inflater = zlib.decompressobj(15 if stream.method.window_bits > 0 else -15)
        try:
            plain = inflater.decompress(packed, stream.size + 1)
        except zlib.error as error:
            raise FormatError(f"stream at {stream.start}: is not readable ({error})") from None
        if not inflater.eof or inflater.unused_data:
            raise FormatError(f"stream at {stream.start}: does not end after {stream.size} plain bytes")
    if len(plain) != stream.size:
        raise FormatError(f"stream at {stream.start}: does not have {stream.size} plain bytes")
    return plain


def pack_zlib(plain: bytes, method: Zlib) -> bytes:
    """Deflate as zlib does with these settings."""
    return b"".join(deflate(plain, method))


class _Search:
    """A search through one file and all that is inside it."""

    def __init__(self, size: int) -> None:
        self._budget = Budget(size)
        self._settings = Settings()

    def streams(self, data: memoryview, depth: int) -> tuple[Stream, ...]:
        """Find the streams of these bytes."""
        return tuple(self._each(data, depth)) if depth > 0 else ()

    def _each(self, data: memoryview, depth: int) -> Iterator[Stream]:
        at = taken = 0
        while not self._budget.is_spent:
            found = find_next(data, at, self._budget)
            if found is None:
                return
            for place in found.places:
                if place.start >= taken:
                    end, stream = self._look(data, place, depth)
                    taken = max(taken, end)
                    if stream is not None:
                        yield stream
            at = max(taken, found.end)

    def _look(self, data: memoryview, place: Place, depth: int) -> tuple[int, Stream | None]:
        """Give where what stands at a place ends (0: nothing does), and the stream if it can be closed again."""
        if place.kind is Kind.JPEG:
            stream = Stream(place.runs, place.runs[0][1], Jpeg())
            return stream.end, stream
        before = _HEADER_BYTES if place.kind is Kind.ZLIB else 0
        inflated = inflate(data, cut(place.runs, before, len(data)), self._budget)
        if inflated is None:
            return 0, None
        body = cut(place.runs, before, inflated.length)
        end = sum(body[-1])
        if inflated.length < _PACKED_MIN_BYTES:
            return end, None
        whole = cut(place.runs, 0, before + inflated.length + _TRAILER_BYTES) if before else body
        return end, self._close(data, whole, body, inflated.plain, depth)

    def _close(self, data: memoryview, whole: Runs, body: Runs, plain: bytes, depth: int) -> Stream | None:
        """Make a stream of what was inflated, if it can be packed again."""
        packed = join(data, body)
        method = self._settings.find(plain, packed, _header(join(data, whole), packed, plain))
        if method is not None:
            parts = whole if method.window_bits > 0 else body
            return Stream(parts, len(plain), method, self.streams(memoryview(plain), depth - 1))
        form = _tokens(packed)
        if form is None:
            return None
        return Stream(body, len(form), Tokens(), self.streams(memoryview(form), depth - 1))


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

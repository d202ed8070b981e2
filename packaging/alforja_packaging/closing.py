"""Open streams of a patch's bases, and close those of its output: the node's half of opened archives.

Streaming, within what a recipe states; docs/format.md section 7.3. Nothing here
finds a stream.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from alforja_packaging import jpegs, tokens
from alforja_packaging.blocks import BROKEN, pack_runs, unpack_runs, unpacker
from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.recipe import Closing, Opening
from alforja_packaging.streams import TOKENS_FORM_MAX_BYTES, TOKENS_PACKED_MAX_BYTES, Jpeg, Packed, Tokens

_RUN_BYTES = 64 * 1024
OPENED_MAX_BYTES: Final = 256 * 2**20  # what is opened lies on the disk: a card has so much to spare


class Space(Protocol):
    """What can be read by position and grows at its end."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Give bytes by position."""
        ...

    def append(self, data: bytes) -> None:
        """Lay bytes behind the last."""
        ...


def open_streams(openings: Sequence[Opening], space: Space, what: str) -> None:
    """Append the plain bytes of each opening to the space it lies in.

    Raises VerifyError when a stream is not there, or not of its size.
    """
    if sum(opening.size for opening in openings) > OPENED_MAX_BYTES:
        raise VerifyError(f"{what}: opens more than {OPENED_MAX_BYTES} bytes")
    for opening in openings:
        if any(offset + length > space.size for offset, length in opening.parts):
            raise VerifyError(f"{what}: opens a stream outside its bases")
        runs = _tell(opening, space, what) if isinstance(opening.method, Tokens) else _unpack(opening, space, what)
        given = 0
        for run in runs:
            given += len(run)
            if given > opening.size:
                break
            space.append(run)
        if given != opening.size:
            raise VerifyError(f"{what}: a stream of its bases does not open to {opening.size} bytes")


def _packed_runs(opening: Opening, space: Space) -> Iterator[bytes | bytearray]:
    for offset, length in opening.parts:
        for at in range(0, length, _RUN_BYTES):
            yield space.read(offset + at, min(_RUN_BYTES, length - at))


def _unpack(opening: Opening, space: Space, what: str) -> Iterator[bytes]:
    assert isinstance(opening.method, Packed)  # a recipe opens no JPEG
    try:
        yield from unpack_runs(unpacker(opening.method), _packed_runs(opening, space))
    except BROKEN as error:
        raise VerifyError(f"{what}: a stream of its bases is not readable ({error})") from None


def _tell(opening: Opening, space: Space, what: str) -> Iterator[bytes]:
    packed = sum(length for _, length in opening.parts)
    if opening.size > TOKENS_FORM_MAX_BYTES or packed > TOKENS_PACKED_MAX_BYTES:
        raise VerifyError(
            f"{what}: opens a stream of {packed} bytes as {opening.size} bytes of tokens, which is too many"
        )
    try:
        yield tokens.to_tokens(b"".join(_packed_runs(opening, space)), size_max=opening.size)
    except FormatError as error:
        raise VerifyError(f"{what}: {error.message}") from None


class Plain:
    """The plain output as it comes, taken run by run. Raises VerifyError where it ends too early."""

    def __init__(self, runs: Iterator[bytes], what: str) -> None:
        self._runs, self.what = runs, what
        self._left = memoryview(b"")

    def take(self, length: int) -> Iterator[memoryview]:
        """Yield the next `length` bytes in runs."""
        while length:
            if not self._left:
                run = next(self._runs, None)
                if run is None:
                    raise VerifyError(f"{self.what}: ends before its last stream")
                self._left = memoryview(run)
            part = self._left[:length]
            self._left = self._left[len(part) :]
            length -= len(part)
            yield part

    def take_whole(self, length: int, most: int) -> bytes:
        """The next `length` bytes at once; at most `most`."""
        if length > most:
            raise VerifyError(f"{self.what}: a stream of {length} bytes, where {most} are allowed")
        return b"".join(self.take(length))

    def rest(self) -> Iterator[bytes | memoryview]:
        """All that is left."""
        yield self._left
        yield from self._runs


def close_streams(plain: Plain, closings: Sequence[Closing]) -> Iterator[bytes | memoryview]:
    """Yield the output: the plain bytes with their streams packed again. Raises VerifyError."""
    rows = iter(closings)
    for closing in rows:
        yield from plain.take(closing.gap)
        yield from _close(plain, closing, rows)
    yield from plain.rest()


def _close(plain: Plain, closing: Closing, rows: Iterator[Closing]) -> Iterator[bytes | memoryview]:
    gaps = sum(gap for _, gap in closing.parts)
    between = plain.take_whole(gaps, gaps)  # the recipe was checked to have few
    packed = _pack(_content(plain, closing, rows), closing, plain.what)
    yield from _part(packed, closing.parts, between) if closing.parts else packed


def _content(plain: Plain, closing: Closing, rows: Iterator[Closing]) -> Iterator[bytes | memoryview]:
    for _ in range(closing.children):
        child = next(rows)  # the recipe was checked to have it
        yield from plain.take(child.gap)
        yield from _close(plain, child, rows)
    yield from plain.take(closing.tail)


def _pack(content: Iterator[bytes | memoryview], closing: Closing, what: str) -> Iterator[bytes]:
    if isinstance(closing.method, Packed):
        yield from pack_runs(content, closing.method)
    elif isinstance(closing.method, Tokens):
        form = _whole(content, closing.size, TOKENS_FORM_MAX_BYTES, TOKENS_PACKED_MAX_BYTES, what)
        yield from tokens.from_tokens(form, size_max=closing.size, what=what)
    else:
        assert isinstance(closing.method, Jpeg)
        packed = _whole(content, closing.size, jpegs.JPEG_MAX_BYTES, jpegs.JPEG_MAX_BYTES, what)
        yield jpegs.restore(packed, size=closing.size, what=what)


def _whole(content: Iterator[bytes | memoryview], size: int, most: int, size_most: int, what: str) -> bytes:
    """Gather what must be in memory at once, within bounds for it and for the `size` of what comes out."""
    data = bytearray()
    for run in content:
        data += run
        if len(data) > most or size > size_most:
            raise VerifyError(f"{what}: a stream has more bytes than are allowed")
    return bytes(data)


def _part(packed: Iterator[bytes], parts: Sequence[tuple[int, int]], between: bytes) -> Iterator[bytes]:
    """Cut what is packed into parts, and lay what stands between them where it belongs."""
    waiting = list(reversed(parts))
    left = waiting[-1][0]
    at = 0
    for run in packed:
        begin = 0
        while waiting and len(run) - begin >= left:
            yield run[begin : begin + left]
            _, gap = waiting.pop()
            yield between[at : at + gap]
            begin, at = begin + left, at + gap
            left = waiting[-1][0] if waiting else 0
        yield run[begin:]
        left -= len(run) - begin

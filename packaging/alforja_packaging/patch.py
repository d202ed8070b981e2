"""Undo a patch: copy from bases with differences, lay literals between, and close what was open.

docs/format.md section 7.2. Memory is bounded by constants, whatever the size of the
bases: they are read by position, streams are read as they are wanted.
"""

import lzma
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from alforja_packaging import codec
from alforja_packaging.closing import Plain, close_streams, open_streams
from alforja_packaging.columns import Columns, put_numbers
from alforja_packaging.errors import VerifyError
from alforja_packaging.recipe import Recipe, read_recipe
from alforja_packaging.streams import OPENED_MAX_RATIO

RECIPE_MAX_BYTES: Final = 4 * 2**20  # it is held in memory, as numbers
PREFIX_MAX_BYTES: Final = 8 * 2**20  # of bases that literals may refer to
DICTIONARY_MAX_BYTES: Final = 8 * 2**20  # of LZMA
HEADER_MAX_BYTES: Final = 128
SPARE_BYTES: Final = 2**20  # that a plain output may have beyond its ratio

STORED, ZSTD, ZSTD_BASES, LZMA = range(4)
_LZMA_PROPERTIES_MAX = 224  # (4 * 5 + 4) * 9 + 8, as in the header of an .lzma file
_RUN_BYTES = 64 * 1024


class Readable(Protocol):
    """A run of bytes that can be read by position: a frame's bases, or what has arrived of it."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Give `length` bytes from `offset`. Raises StoreError when they cannot be read."""
        ...


class Scratch(Readable, Protocol):
    """Room for what is too large for memory while one frame is decoded; it begins empty."""

    def append(self, data: bytes) -> None:
        """Lay bytes behind those that are there. Raises StoreError."""
        ...


@dataclass(slots=True)
class InMemory:
    """Bytes in memory: bases, a frame, or the room to decode it in."""

    data: bytes | bytearray = field(default_factory=bytearray)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Give `length` bytes from `offset`."""
        return self.data[offset : offset + length]

    def append(self, data: bytes) -> None:
        """Lay bytes behind those that are there."""
        self.data += data


@dataclass(frozen=True, slots=True)
class Section:
    """One stream of a patch: how it is packed, in how many bytes, and what it unpacks to.

    `setting` is the prefix's length for ZSTD_BASES, and LZMA's properties byte for LZMA.
    """

    codec: int
    packed: int
    size: int
    setting: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the streams: the size of the plain output, and what each stream is."""

    plain_size: int
    recipe: Section
    differences: Section
    literals: Section


def write_header(header: Header) -> bytes:
    """Write a header, its own length first."""
    numbers = [header.plain_size]
    for section in (header.recipe, header.differences, header.literals):
        numbers += [section.codec, section.packed, section.size]
        if section.codec in (ZSTD_BASES, LZMA):
            numbers.append(section.setting)
    data = put_numbers(numbers)
    return bytes([len(data)]) + data


def read_header(data: bytes, what: str) -> tuple[Header, int]:
    """Read a header; give it and its length. Raises FormatError."""
    columns = Columns(data[1 : 1 + data[0]] if data else b"", what)
    plain_size = columns.number()
    sections = []
    for _ in range(3):
        number, packed, size = columns.number(LZMA), columns.number(), columns.number()
        setting = 0
        if number in (ZSTD_BASES, LZMA):
            setting = columns.number(PREFIX_MAX_BYTES if number == ZSTD_BASES else _LZMA_PROPERTIES_MAX)
        if number == STORED and packed != size:
            raise columns.fault("stores a stream in another size than its own")
        sections.append(Section(number, packed, size, setting))
    if columns.rest():
        raise columns.fault("has more than its header")
    return Header(plain_size, *sections), 1 + data[0]


def lzma_filter(properties: int, size: int) -> list[dict[str, int]]:
    """The settings of LZMA for a stream of `size` bytes."""
    lp_pb, lc = divmod(properties, 9)
    pb, lp = divmod(lp_pb, 5)
    dictionary = min(max(4096, size), DICTIONARY_MAX_BYTES)
    return [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}]


@dataclass(frozen=True, slots=True)
class Opened:
    """A patch whose header and recipe are read; its other two streams are yet to be."""

    header: Header
    recipe: Recipe
    differences: Iterator[bytes]
    literals: Iterator[bytes]


def open_patch(packed: Readable, bases: Readable, size: int, what: str) -> Opened:
    """Read what a patch of so many bytes of output says. Raises VerifyError or FormatError, naming `what`."""
    header, at = read_header(bytes(packed.read(0, HEADER_MAX_BYTES)), what)
    sections = (header.recipe, header.differences, header.literals)
    if at + sum(section.packed for section in sections) != packed.size:
        raise VerifyError(f"{what}: its streams are not as long as it says")
    if header.recipe.size > RECIPE_MAX_BYTES or header.plain_size > OPENED_MAX_RATIO * size + SPARE_BYTES:
        raise VerifyError(f"{what}: its recipe or its plain output is out of bounds")
    streams = []
    for section in sections:
        streams.append(_unpack(section, packed, at, bases, what))
        at += section.packed
    recipe = read_recipe(b"".join(streams[0]), what)
    return Opened(header, recipe, streams[1], streams[2])


def apply(packed: Readable, bases: Readable, scratch: Scratch, size: int, what: str) -> Iterator[bytes | memoryview]:
    """Yield the output of a patch. Raises VerifyError or FormatError, naming `what`."""
    opened = open_patch(packed, bases, size, what)
    space = _Space(bases, scratch)
    open_streams(opened.recipe.openings, space, what)
    differences, literals = Plain(opened.differences, what), Plain(opened.literals, what)
    plain = _cover(opened.recipe, space, differences, literals, opened.header)
    return close_streams(Plain(plain, what), opened.recipe.closings)


class _Space:
    """The bases, and behind them what was opened of them."""

    def __init__(self, bases: Readable, scratch: Scratch) -> None:
        self._bases, self._scratch = bases, scratch
        self._bases_size = bases.size

    @property
    def size(self) -> int:
        return self._bases_size + self._scratch.size

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Give bytes by position; both parts are never joined."""
        if offset >= self._bases_size:
            return self._scratch.read(offset - self._bases_size, length)
        return self._bases.read(offset, min(length, self._bases_size - offset))

    def append(self, data: bytes) -> None:
        self._scratch.append(data)


def _unpack(section: Section, packed: Readable, start: int, bases: Readable, what: str) -> Iterator[bytes]:
    """Yield what a stream holds, exactly as long as it should be."""
    end = start + section.packed
    runs = (packed.read(at, min(_RUN_BYTES, end - at)) for at in range(start, end, _RUN_BYTES))
    if section.codec == STORED:
        return (bytes(run) for run in runs)
    if section.codec == LZMA:
        return _unpack_lzma(runs, section, what)
    if not section.packed and not section.size:
        return iter(())
    length = min(section.setting, bases.size) if section.codec == ZSTD_BASES else 0
    return codec.decompress(runs, size=section.size, prefix=bases.read(0, length) if length else b"", what=what)


def _unpack_lzma(runs: Iterator[bytes | bytearray], section: Section, what: str) -> Iterator[bytes]:
    given = 0
    try:
        filters = lzma_filter(section.setting, section.size)
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
        for run in runs:
            data: bytes | bytearray = run
            while not decompressor.eof and (data or not decompressor.needs_input):
                piece = decompressor.decompress(data, _RUN_BYTES)
                data = b""
                given += len(piece)
                if given > section.size:
                    raise VerifyError(f"{what}: a stream gives more than the {section.size} bytes it should")
                if piece:
                    yield piece
    except (lzma.LZMAError, ValueError) as error:
        raise VerifyError(f"{what}: is not readable LZMA ({error})") from None
    if given != section.size:
        raise VerifyError(f"{what}: a stream gives {given} of the {section.size} bytes it should")


def _cover(recipe: Recipe, space: _Space, differences: Plain, literals: Plain, header: Header) -> Iterator[bytes]:
    """Yield the plain output."""
    what, left = literals.what, header.plain_size
    changes = _Changes(recipe.differing, differences)
    for cover in recipe.covers:
        left -= cover.literals + cover.length
        if left < 0 or cover.source + cover.length > space.size:
            raise VerifyError(f"{what}: copies bytes that are not there")
        yield from (bytes(run) for run in literals.take(cover.literals))
        at, end = cover.source, cover.source + cover.length
        while at < end:
            run = space.read(at, min(_RUN_BYTES, end - at))
            if not run:
                raise VerifyError(f"{what}: copies bytes that are not there")
            at += len(run)
            yield bytes(changes.over(run))
    yield from (bytes(run) for run in literals.take(left))
    if any(literals.rest()) or any(differences.rest()):
        raise VerifyError(f"{what}: has bytes that nothing takes")


class _Changes:
    """Lays differences over what is copied, in step with it."""

    def __init__(self, runs: tuple[tuple[int, int], ...], differences: Plain) -> None:
        self._runs = iter(runs)
        self._differences = differences
        self._equal, self._unlike = next(self._runs, (-1, 0))

    def over(self, run: bytes | bytearray) -> bytes | bytearray:
        """Give a copied run with its differences."""
        if self._equal < 0:
            return run
        if self._equal >= len(run):
            self._equal -= len(run)
            return run
        changed = bytearray(run)
        at = 0
        while self._equal >= 0:
            at += self._equal
            if at >= len(run):
                self._equal = at - len(run)
                return changed
            self._equal = 0
            length = min(self._unlike, len(run) - at)
            added = b"".join(self._differences.take(length))
            changed[at : at + length] = add_bytes(changed[at : at + length], added)
            at += length
            self._unlike -= length
            if self._unlike:
                return changed
            self._equal, self._unlike = next(self._runs, (-1, 0))
        return changed


def add_bytes(one: bytes | bytearray, other: bytes) -> bytes:
    """Add two runs of equal length byte by byte, modulo 256."""
    if len(one) < 24:  # below it, the numbers' overhead is greater
        return bytes((a + b) & 255 for a, b in zip(one, other, strict=True))
    low = _LOW if len(one) == _RUN_BYTES else int.from_bytes(b"\x7f" * len(one), "little")
    a, b = int.from_bytes(one, "little"), int.from_bytes(other, "little")
    # Seven bits of each byte add without a carry into the next one; the eighth is without carry.
    return (((a & low) + (b & low)) ^ ((a ^ b) & ~low)).to_bytes(len(one), "little")


_LOW = int.from_bytes(b"\x7f" * _RUN_BYTES, "little")

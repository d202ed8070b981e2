"""The recipe of a patch: which streams of its bases are opened, what is copied, and how its output is closed.

Values to columns of numbers and back; docs/format.md section 7.2. A recipe is data:
nothing here packs or unpacks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from alforja_packaging.columns import Columns, fold, put_numbers, unfold
from alforja_packaging.streams import DEPTH_MAX, GAPS_MAX_BYTES, PARTS_MAX, Jpeg, Method, Tokens, Zlib

_RAW, _HEADED, _TOKENS = range(3)  # how a stream of the bases is opened
_CLOSE_TOKENS, _CLOSE_JPEG, _CLOSE_ZLIB = range(3)  # from the last on: settings of zlib by their place
_OPEN_ZLIB: Final = {_RAW: Zlib(0, -15, 0, 0), _HEADED: Zlib(0, 15, 0, 0)}
_BITS_SHIFT: Final = 15  # makes the window bits of zlib, -15 to 15, a number without sign


@dataclass(frozen=True, slots=True)
class Opening:
    """A stream of the bases, by position in them and in what was opened before it.

    Its `size` plain bytes (of `Tokens`: its token form) are appended to the bases.
    """

    parts: tuple[tuple[int, int], ...]
    size: int
    method: Method

    @property
    def window_bits(self) -> int:
        """What zlib must be told to inflate it."""
        return 15 if isinstance(self.method, Zlib) and self.method.window_bits > 0 else -15


@dataclass(frozen=True, slots=True)
class Closing:
    """A stream of the output; those inside it follow it.

    It begins `gap` plain bytes after the stream before it, or the start of what is
    around it. What it packs are its `children`, then `tail` bytes. `size` is the
    length of what comes out where the method does not know (tokens, JPEG), else 0.
    `parts` are the lengths of all its parts but the last, each with the count of
    bytes between it and the next one; those bytes stand before what is packed.
    """

    method: Method
    gap: int
    tail: int
    children: int = 0
    size: int = 0
    parts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Cover:
    """Bytes of the plain output that are copied from the bases, after `literals` bytes that are not."""

    literals: int
    source: int
    length: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a patch says of how bytes come about.

    `differing` are runs in all copied bytes together: how many are as their source
    after the run before, and how many then are not.
    """

    openings: tuple[Opening, ...] = ()
    closings: tuple[Closing, ...] = ()
    covers: tuple[Cover, ...] = ()
    differing: tuple[tuple[int, int], ...] = ()


def write_recipe(recipe: Recipe) -> bytes:
    """Write a recipe as columns, like beside like."""
    settings = sorted({one.method for one in recipe.closings if isinstance(one.method, Zlib)}, key=_settings)
    counts = (len(recipe.openings), len(settings), len(recipe.closings), len(recipe.covers), len(recipe.differing))
    columns = [counts, *_opening_columns(recipe.openings)]
    columns += [tuple(_settings(one)[place] for one in settings) for place in range(4)]
    columns += _closing_columns(recipe.closings, settings)
    columns += _cover_columns(recipe.covers)
    columns += [tuple(run[place] for run in recipe.differing) for place in (0, 1)]
    return b"".join(map(put_numbers, columns))


def read_recipe(data: bytes, what: str) -> Recipe:
    """Read what `write_recipe` wrote. Raises FormatError; memory is in proportion to `data`."""
    columns = Columns(data, what)
    opening_count, settings_count, closing_count, cover_count, run_count = columns.numbers(5)
    openings = tuple(_read_openings(columns, opening_count))
    settings = _read_settings(columns, settings_count)
    closings = tuple(_read_closings(columns, closing_count, settings))
    covers = tuple(_read_covers(columns, cover_count))
    equal, unlike = columns.numbers(run_count), columns.numbers(run_count)
    if columns.rest():
        raise columns.fault("has more than its recipe")
    if not all(unlike):
        raise columns.fault("tells of a difference of no bytes")
    return Recipe(openings, closings, covers, tuple(zip(equal, unlike, strict=True)))


def _settings(method: Zlib) -> tuple[int, int, int, int]:
    return method.level, method.window_bits + _BITS_SHIFT, method.memory_level, method.strategy


def _opening_columns(openings: Sequence[Opening]) -> list[Sequence[int]]:
    methods, offsets, lengths = [], [], []
    end = 0
    for opening in openings:
        is_headed = opening.window_bits > 0
        methods.append(_TOKENS if isinstance(opening.method, Tokens) else _HEADED if is_headed else _RAW)
        for offset, length in opening.parts:
            offsets.append(fold(offset - end))
            lengths.append(length)
            end = offset + length
    return [methods, [one.size for one in openings], [len(one.parts) for one in openings], offsets, lengths]


def _read_openings(columns: Columns, count: int) -> Iterator[Opening]:
    methods, sizes, counts = (columns.numbers(count) for _ in range(3))
    if any(not 1 <= parts <= PARTS_MAX for parts in counts) or any(method > _TOKENS for method in methods):
        raise columns.fault("opens a stream by a method that is not known")
    offsets, lengths = columns.numbers(sum(counts)), columns.numbers(sum(counts))
    at = end = 0
    for method, size, part_count in zip(methods, sizes, counts, strict=True):
        parts = []
        for offset, length in zip(offsets[at : at + part_count], lengths[at : at + part_count], strict=True):
            parts.append((end + unfold(offset), length))
            if parts[-1][0] < 0:
                raise columns.fault("opens a stream outside its bases")
            end = sum(parts[-1])
        at += part_count
        yield Opening(tuple(parts), size, Tokens() if method == _TOKENS else _OPEN_ZLIB[method])


def _closing_columns(closings: Sequence[Closing], settings: Sequence[Zlib]) -> list[Sequence[int]]:
    codes: dict[Method, int] = {Tokens(): _CLOSE_TOKENS, Jpeg(): _CLOSE_JPEG}
    codes |= {one: place for place, one in enumerate(settings, start=_CLOSE_ZLIB)}
    parts = [part for closing in closings for part in closing.parts]
    return [
        [codes[one.method] for one in closings],
        [one.gap for one in closings],
        [one.tail for one in closings],
        [one.children for one in closings],
        [one.size for one in closings if not isinstance(one.method, Zlib)],
        [len(one.parts) for one in closings],
        [length for length, _ in parts],
        [gap for _, gap in parts],
    ]


def _read_settings(columns: Columns, count: int) -> list[Zlib]:
    found = []
    for level, bits, memory, strategy in zip(*(columns.numbers(count) for _ in range(4)), strict=True):
        if not (1 <= level <= 9 and bits <= 30 and abs(bits - _BITS_SHIFT) >= 9 and 1 <= memory <= 9 and strategy <= 4):
            raise columns.fault("closes a stream with settings that zlib does not have")
        found.append(Zlib(level, bits - _BITS_SHIFT, memory, strategy))
    return found


def _read_closings(columns: Columns, count: int, settings: Sequence[Zlib]) -> Iterator[Closing]:
    methods: tuple[Method, ...] = (Tokens(), Jpeg(), *settings)
    codes, gaps, tails, children = (columns.numbers(count) for _ in range(4))
    if any(code >= len(methods) for code in codes):
        raise columns.fault("closes a stream by a method that is not known")
    sizes = iter(columns.numbers(sum(code < _CLOSE_ZLIB for code in codes)))
    counts = columns.numbers(count)
    if any(parts > PARTS_MAX for parts in counts):
        raise columns.fault("closes a stream in too many parts")
    lengths, between = columns.numbers(sum(counts)), columns.numbers(sum(counts))
    at = 0
    for code, gap, tail, inner, part_count in zip(codes, gaps, tails, children, counts, strict=True):
        parts = tuple(zip(lengths[at : at + part_count], between[at : at + part_count], strict=True))
        at += part_count
        if sum(gap for _, gap in parts) > GAPS_MAX_BYTES:
            raise columns.fault("closes a stream with too much between its parts")
        yield Closing(methods[code], gap, tail, inner, next(sizes) if code < _CLOSE_ZLIB else 0, parts)
    _check_depth(columns, children)


def _check_depth(columns: Columns, children: Sequence[int]) -> None:
    """Every stream has as many children as it says, none too deep."""
    left: list[int] = []
    for count in children:
        while left and not left[-1]:
            left.pop()
        if left:
            left[-1] -= 1
        left.append(count)
        if len(left) > DEPTH_MAX:
            raise columns.fault("closes streams within each other too deep")
    if any(left):
        raise columns.fault("promises a stream that it does not have")


def _cover_columns(covers: Sequence[Cover]) -> list[Sequence[int]]:
    sources = []
    end = 0
    for cover in covers:
        sources.append(fold(cover.source - end))
        end = cover.source + cover.length
    return [[one.literals for one in covers], [one.length for one in covers], sources]


def _read_covers(columns: Columns, count: int) -> Iterator[Cover]:
    literals, lengths, sources = (columns.numbers(count) for _ in range(3))
    end = 0
    for before, length, source in zip(literals, lengths, sources, strict=True):
        cover = Cover(before, end + unfold(source), length)
        if cover.source < 0 or not length:
            raise columns.fault("copies bytes that are not there")
        end = cover.source + length
        yield cover

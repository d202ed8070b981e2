"""The recipe of a patch: which streams of its bases are opened, what is copied, and how its output is closed.

Values to columns of numbers and back; docs/format.md section 7.2. A recipe is data:
nothing here packs or unpacks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from alforja_packaging.columns import Columns, fold, put_numbers, unfold
from alforja_packaging.streams import (
    DEPTH_MAX,
    ENCODERS_MAX,
    GAPS_MAX_BYTES,
    PARTS_MAX,
    XZ_PRESET_MAX,
    Jpeg,
    Method,
    Packed,
    Tokens,
    Xz,
    Zlib,
    Zstd,
)

# How a stream of the bases is opened, by its number.
_OPENED: Final[tuple[Method, ...]] = (Zlib(0, -15, 0, 0), Zlib(0, 15, 0, 0), Tokens(), Zstd(0, 0, 0, 0), Xz(0, False))
_RAW, _HEADED, _TOKENS, _ZSTD, _XZ = range(len(_OPENED))
_CLOSE_TOKENS, _CLOSE_JPEG, _CLOSE_PACKED = range(3)  # from the last on: settings by their place
_BITS_SHIFT: Final = 15  # makes the window bits of zlib, -15 to 15, a number without sign
_ZSTD_SHIFT, _XZ_SHIFT, _XZ_EXTREME = 32, 64, 16  # in the first number of settings


@dataclass(frozen=True, slots=True)
class Opening:
    """A stream of the bases, by position in them and in what was opened before it.

    Its `size` plain bytes (of `Tokens`: its token form) are appended to the bases.
    """

    parts: tuple[tuple[int, int], ...]
    size: int
    method: Method


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
    settings = sorted({one.method for one in recipe.closings if isinstance(one.method, Packed)}, key=_settings)
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


def _settings(method: Packed) -> tuple[int, int, int, int]:
    if isinstance(method, Zstd):
        return _ZSTD_SHIFT + method.level, method.window_log, method.hash_log, method.chain_log
    if isinstance(method, Xz):
        return _XZ_SHIFT + method.preset + (_XZ_EXTREME if method.is_extreme else 0), 0, 0, 0
    return method.level, method.window_bits + _BITS_SHIFT, method.memory_level, method.strategy


def _opening_columns(openings: Sequence[Opening]) -> list[Sequence[int]]:
    methods, offsets, lengths = [], [], []
    end = 0
    for opening in openings:
        methods.append(_how(opening.method))
        for offset, length in opening.parts:
            offsets.append(fold(offset - end))
            lengths.append(length)
            end = offset + length
    return [methods, [one.size for one in openings], [len(one.parts) for one in openings], offsets, lengths]


def _how(method: Method) -> int:
    """The number of a way to open."""
    if isinstance(method, Zlib):
        return _HEADED if method.window_bits > 0 else _RAW
    return _ZSTD if isinstance(method, Zstd) else _XZ if isinstance(method, Xz) else _TOKENS


def _read_openings(columns: Columns, count: int) -> Iterator[Opening]:
    methods, sizes, counts = (columns.numbers(count) for _ in range(3))
    if any(not 1 <= parts <= PARTS_MAX for parts in counts) or any(method > _XZ for method in methods):
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
        yield Opening(tuple(parts), size, _OPENED[method])


def _closing_columns(closings: Sequence[Closing], settings: Sequence[Packed]) -> list[Sequence[int]]:
    codes: dict[Method, int] = {Tokens(): _CLOSE_TOKENS, Jpeg(): _CLOSE_JPEG}
    codes |= {one: place for place, one in enumerate(settings, start=_CLOSE_PACKED)}
    parts = [part for closing in closings for part in closing.parts]
    return [
        [codes[one.method] for one in closings],
        [one.gap for one in closings],
        [one.tail for one in closings],
        [one.children for one in closings],
        [one.size for one in closings if not isinstance(one.method, Packed)],
        [len(one.parts) for one in closings],
        [length for length, _ in parts],
        [gap for _, gap in parts],
    ]


def _read_settings(columns: Columns, count: int) -> list[Packed]:
    found = [_read_method(*row) for row in zip(*(columns.numbers(count) for _ in range(4)), strict=True)]
    settings = [method for method in found if method]
    if len(settings) < count:
        raise columns.fault("closes a stream with settings that are not allowed")
    return settings


def _read_method(first: int, second: int, third: int, fourth: int) -> Packed | None:
    """Settings by what their first number says, None when there are no such."""
    if first < _ZSTD_SHIFT:
        has = 1 <= first <= 9 and second <= 30 and abs(second - _BITS_SHIFT) >= 9 and 1 <= third <= 9 and fourth <= 4
        return Zlib(first, second - _BITS_SHIFT, third, fourth) if has else None
    if first < _XZ_SHIFT:
        zstd = Zstd(first - _ZSTD_SHIFT, second, third, fourth)
        return zstd if zstd.is_allowed else None
    extreme, preset = divmod(first - _XZ_SHIFT, _XZ_EXTREME)
    return (
        Xz(preset, bool(extreme)) if extreme <= 1 and preset <= XZ_PRESET_MAX and not second + third + fourth else None
    )


def _read_closings(columns: Columns, count: int, settings: Sequence[Packed]) -> Iterator[Closing]:
    methods: tuple[Method, ...] = (Tokens(), Jpeg(), *settings)
    codes, gaps, tails, children = (columns.numbers(count) for _ in range(4))
    if any(code >= len(methods) for code in codes):
        raise columns.fault("closes a stream by a method that is not known")
    sizes = iter(columns.numbers(sum(code < _CLOSE_PACKED for code in codes)))
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
        yield Closing(methods[code], gap, tail, inner, next(sizes) if code < _CLOSE_PACKED else 0, parts)
    _check_depth(columns, children, [isinstance(methods[code], Zstd | Xz) for code in codes])


def _check_depth(columns: Columns, children: Sequence[int], heavy: Sequence[bool]) -> None:
    """Every stream has as many children as it says, none too deep; heavy encoders are few, and run one at a time."""
    if sum(heavy) > ENCODERS_MAX:
        raise columns.fault(f"closes more than {ENCODERS_MAX} streams by zstd or xz")
    left: list[int] = []
    around: list[bool] = []
    for count, is_heavy in zip(children, heavy, strict=True):
        while left and not left[-1]:
            left.pop()
            around.pop()
        if left:
            left[-1] -= 1
        if is_heavy and any(around):
            raise columns.fault("closes a stream by zstd or xz within another one")
        left.append(count)
        around.append(is_heavy)
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

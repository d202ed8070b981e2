"""Make a patch as small as we find it: what is opened, what is copied, how each stream is packed.

docs/format.md section 7.2. Only a hub needs this.
"""

import lzma
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from alforja_packaging import codec, patch
from alforja_packaging.archives import Encoded
from alforja_packaging.covers import Match, find_differences, find_matches
from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.frames import NEEDS_ENCODERS, NEEDS_ZLIB, Needs
from alforja_packaging.patch import Header, InMemory, Section
from alforja_packaging.recipe import Cover, Opening, Recipe, write_recipe
from alforja_packaging.unfolding import Unfolded, find_openings, unfold

LEVEL_MAX: Final = 22  # of zstd
_LITERALS: Final = 2  # the place of that stream
_LZMA_TRIALS: Final = ((3, 0, 2), (4, 0, 0), (3, 0, 0), (0, 0, 0), (0, 2, 2))
"""lc, lp, pb: zstd's rivals' default, texts, mixtures, columns of numbers, samples of sound."""
_TRIAL_MAX_BYTES: Final = 4 * 2**20  # up to which all of them are tried
_SEARCH: Final = {"mode": lzma.MODE_NORMAL, "mf": lzma.MF_BT4, "nice_len": 273, "depth": 1000}
_ZSTD: Final = {"compression_level": LEVEL_MAX, "target_length": 4096, "checksum_flag": 0}


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch, and the places of the bases that it needs; addresses count over these alone."""

    data: bytes
    bases: tuple[int, ...]
    recipe: Recipe
    needs: int = 0


def make_patches(
    output: bytes, bases: Sequence[bytes], *, level: int = LEVEL_MAX, able: Needs = NEEDS_ZLIB
) -> Iterator[Patch]:
    """Make the patches worth trying: of the bytes as they are, and with what is packed in them opened.

    Streams are opened only for readers that are `able` to close those of zlib; those of
    zstd and xz only if these can be closed too. Each patch was undone once, and gave the output.
    """
    for made in _make_all(output, bases, level, able):
        if _gives(made, bases, output):
            yield made


def _gives(made: Patch, bases: Sequence[bytes], output: bytes) -> bool:
    held = b"".join(bases[place] for place in made.bases)
    try:
        runs = patch.apply(InMemory(made.data), InMemory(held), InMemory(), len(output), "patch")
        return b"".join(runs) == output
    except (FormatError, VerifyError):  # beyond a bound of the format
        return False


def _make_all(output: bytes, bases: Sequence[bytes], level: int, able: Needs) -> Iterator[Patch]:
    old = b"".join(bases)
    matches = find_matches(old, output)
    yield make_patch(Unfolded(output), bases, level=level, matches=matches)
    if not able & NEEDS_ZLIB:
        return
    with_encoders = able & NEEDS_ENCODERS == NEEDS_ENCODERS
    unfolded = unfold(output, matches, old, encoded=Encoded.CLOSED if with_encoders else Encoded.LEFT)
    if unfolded.closings:
        encoded = Encoded.OPENED if unfolded.needs & NEEDS_ENCODERS else Encoded.LEFT
        openings = find_openings(old, matches, output, encoded=encoded)
        yield make_patch(unfolded, bases, openings, level=level)


def make_patch(
    unfolded: Unfolded,
    bases: Sequence[bytes],
    openings: Sequence[tuple[Opening, bytes]] = (),
    *,
    level: int = LEVEL_MAX,
    matches: Sequence[Match] | None = None,
) -> Patch:
    """Make the patch that gives `unfolded` from bases, and from streams of them with their plain bytes.

    Openings and then bases that nothing is copied from are left out. Below the highest
    `level` of zstd streams are packed by zstd at that level alone.
    """
    if matches is None:
        matches = find_matches(b"".join([*bases, *(plain for _, plain in openings)]), unfolded.plain)
    reach = sum(map(len, bases))
    opened = [opening.size for opening, _ in openings]
    used = _used([(one.source, one.length) for one in matches], [reach, *opened])
    kept = _with_outer(openings, {place - 1 for place in used if place}, reach)
    runs = [(one.source, min(one.length, reach - one.source)) for one in matches if one.source < reach]
    runs += [part for place in kept for part in openings[place][0].parts if part[0] < reach]
    needed = sorted(_used(runs, [len(base) for base in bases]))
    move = _Moves([len(base) for base in bases] + opened, [*needed, *(len(bases) + place for place in kept)])
    moved = tuple(
        replace(opening, parts=tuple((move(offset), length) for offset, length in opening.parts))
        for opening, _ in (openings[place] for place in kept)
    )
    old = b"".join([*(bases[place] for place in needed), *(openings[place][1] for place in kept)])
    shifted = [replace(one, source=move(one.source)) for one in matches]
    reached = sum(len(bases[place]) for place in needed)
    recipe, texts = _tell(unfolded, old, moved, shifted)
    prefix = old[: min(reached, patch.PREFIX_MAX_BYTES)]
    packed = [_pack(text, prefix if place == _LITERALS else b"", level) for place, text in enumerate(texts)]
    header = patch.write_header(Header(len(unfolded.plain), *(section for section, _ in packed)))
    return Patch(header + b"".join(data for _, data in packed), tuple(needed), recipe, unfolded.needs)


def _used(runs: Iterable[tuple[int, int]], sizes: Sequence[int]) -> set[int]:
    """The places, of pieces that lie one after the other, that runs (offset, length) touch."""
    ends = np.cumsum(sizes)
    used: set[int] = set()
    for offset, length in runs:
        first, last = np.searchsorted(ends, [offset, offset + length - 1], side="right").tolist()
        used.update(range(first, last + 1))
    return used


def _with_outer(openings: Sequence[tuple[Opening, bytes]], wanted: set[int], reach: int) -> list[int]:
    """The openings that are wanted, and those that these lie in."""
    sizes = [opening.size for opening, _ in openings]
    kept: set[int] = set()
    while wanted:
        kept |= wanted
        runs = [part for place in wanted for part in openings[place][0].parts if part[0] >= reach]
        wanted = _used([(offset - reach, length) for offset, length in runs], sizes) - kept
    return sorted(kept)


class _Moves:
    """Where addresses come to lie when only some of the pieces are kept."""

    def __init__(self, sizes: Sequence[int], kept: Sequence[int]) -> None:
        self._ends = np.cumsum(sizes)
        starts = self._ends - np.array(sizes)
        self._shift = np.zeros(len(sizes), dtype=np.int64)
        at = 0
        for place in kept:
            self._shift[place] = at - starts[place]
            at += sizes[place]

    def __call__(self, offset: int) -> int:
        """The new address of one in a piece that is kept."""
        return offset + int(self._shift[int(np.searchsorted(self._ends, offset, side="right"))])


def _tell(
    unfolded: Unfolded, old: bytes, openings: tuple[Opening, ...], matches: Sequence[Match]
) -> tuple[Recipe, tuple[bytes, bytes, bytes]]:
    """Give the recipe, and the three streams."""
    plain = unfolded.plain
    differing, differences = find_differences(
        np.frombuffer(old, dtype=np.uint8), np.frombuffer(plain, dtype=np.uint8), matches
    )
    recipe = Recipe(openings, unfolded.closings, tuple(_covers(matches)), tuple(differing))
    return recipe, (write_recipe(recipe), differences, b"".join(_literals(plain, matches)))


def _covers(matches: Iterable[Match]) -> Iterator[Cover]:
    end = 0
    for one in matches:
        yield Cover(one.at - end, one.source, one.length)
        end = one.at + one.length


def _literals(plain: bytes, matches: Iterable[Match]) -> Iterator[bytes]:
    end = 0
    for one in matches:
        yield plain[end : one.at]
        end = one.at + one.length
    yield plain[end:]


def _pack(text: bytes, prefix: bytes, level: int) -> tuple[Section, bytes]:
    """Pack one stream by every way worth trying, and keep the smallest."""
    found = [(Section(patch.STORED, len(text), len(text)), text)]
    if not text:
        return found[0]
    options = _ZSTD | ({} if level == LEVEL_MAX else {"compression_level": level, "target_length": 0})
    data = codec.compress(text, options=options)
    found.append((Section(patch.ZSTD, len(data), len(text)), data))
    if len(data) > len(text) * 0.99 and len(text) > 4096 and not prefix:
        return min(found, key=lambda one: len(one[1]))
    if prefix:
        data = codec.compress(text, prefix=prefix, options=options)
        found.append((Section(patch.ZSTD_BASES, len(data), len(text), len(prefix)), data))
    trials = _LZMA_TRIALS if len(text) <= _TRIAL_MAX_BYTES else _LZMA_TRIALS[:2]
    for lc, lp, pb in trials if level == LEVEL_MAX else ():
        properties = (pb * 5 + lp) * 9 + lc
        filters = [one | _SEARCH for one in patch.lzma_filter(properties, len(text))]
        data = lzma.compress(text, lzma.FORMAT_RAW, filters=filters)
        found.append((Section(patch.LZMA, len(data), len(text), properties), data))
    return min(found, key=lambda one: len(one[1]))

"""Make a patch as small as we find it: what is opened, what is copied, how each stream is packed.

docs/format.md section 7.2. Only a hub needs this.
"""

import lzma
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from alforja_packaging import codec, patch
from alforja_packaging.archives import Encoded, may_hold_jpegs
from alforja_packaging.covers import Match, find_differences, find_matches
from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.frames import NEEDS_ENCODERS, NEEDS_JPEG_XL, NEEDS_ZLIB, Needs
from alforja_packaging.patch import Header, InMemory, Section
from alforja_packaging.recipe import Cover, Opening, Recipe, write_recipe
from alforja_packaging.unfolding import Transcode, Unfolded, find_openings, unfold

LEVEL_MAX: Final = 22  # of zstd
_LITERALS: Final = 2  # the place of that stream
_LZMA_TRIALS: Final = ((3, 0, 2), (4, 0, 0), (3, 0, 0), (0, 0, 0), (0, 2, 2))
"""lc, lp, pb: zstd's rivals' default, texts, mixtures, columns of numbers, samples of sound."""
_SMALL_BYTES: Final = 4096  # up to which everything is tried
_SAMPLE_BYTES: Final = 64 * 1024
_SAMPLES_MAX_BYTES: Final = 4 * 2**20
_SAMPLES_HARD_BYTES: Final = 2**18  # of what is hard to pack: the search is slow there, and settings much the same
_HARD: Final = 0.75  # these are parts of a text's size that the probe leaves
_HOPELESS: Final = 0.99
_NOISE: Final = 0.9995
_CHEAP_BYTES: Final = 2**20  # up to which bases are tried where the probe sees no use in them
_BASES_SERVE: Final = 0.997  # of what the probe leaves without bases
_ZSTD_GAINS: Final = 1.02  # over the probe by its highest level, where LZMA is not far ahead
_ZSTD_GAINS_FAR: Final = 1.05  # in a stream that LZMA's dictionary does not span
_SEARCH: Final = {"mode": lzma.MODE_NORMAL, "mf": lzma.MF_BT4, "nice_len": 273, "depth": 1000}
_QUICK_SEARCH: Final = {"mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "nice_len": 32, "depth": 4}
_ZSTD: Final = {"compression_level": LEVEL_MAX, "target_length": 4096, "checksum_flag": 0}
_PROBE: Final = {"compression_level": 9, "checksum_flag": 0}


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
    matches = find_matches(b"".join(bases), output)
    plain = make_patch(Unfolded(output), bases, level=level, matches=matches)
    for made in (plain, _make_opened(output, bases, matches, level=level, able=able)):
        if made is not None and _gives(made, bases, output):
            yield made


def make_choice(
    output: bytes,
    bases: Sequence[bytes],
    *,
    able: Needs,
    beyond: Needs,
    level: int = LEVEL_MAX,
    transcode: Transcode | None = None,
) -> Patch | None:
    """Make the patch, with what is packed opened, for readers that are `able` to do more than what is `beyond`.

    JPEGs travel as what `transcode` gives of them if that can be undone. None where there
    is nothing that only these readers can close. The patch was undone once, and gave the output.
    """
    if not able & ~beyond or (able & ~beyond == NEEDS_JPEG_XL and not may_hold_jpegs(output)):
        return None
    matches = find_matches(b"".join(bases), output)
    made = _make_opened(output, bases, matches, level=level, able=able, beyond=beyond, transcode=transcode)
    return made if made is not None and _gives(made, bases, output) else None


def _gives(made: Patch, bases: Sequence[bytes], output: bytes) -> bool:
    held = b"".join(bases[place] for place in made.bases)
    try:
        runs = patch.apply(InMemory(made.data), InMemory(held), InMemory(), len(output), "patch")
        return b"".join(runs) == output
    except (FormatError, VerifyError):  # beyond a bound of the format
        return False


def _make_opened(
    output: bytes,
    bases: Sequence[bytes],
    matches: Sequence[Match],
    *,
    level: int,
    able: Needs,
    beyond: Needs = 0,
    transcode: Transcode | None = None,
) -> Patch | None:
    if not able & NEEDS_ZLIB:
        return None
    old = b"".join(bases)
    unfolded = unfold(
        output,
        matches,
        old,
        transcode=transcode if able & NEEDS_JPEG_XL else None,
        encoded=Encoded.CLOSED if able & NEEDS_ENCODERS == NEEDS_ENCODERS else Encoded.LEFT,
    )
    # Tokens need nothing, but whoever cannot close zlib's streams has no patch with any of them open.
    if not unfolded.closings or (beyond & NEEDS_ZLIB and not unfolded.needs & ~beyond):
        return None
    encoded = Encoded.OPENED if unfolded.needs & NEEDS_ENCODERS else Encoded.LEFT
    return make_patch(unfolded, bases, find_openings(old, matches, output, encoded=encoded), level=level)


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
    """Pack one stream by every way that may win, and keep the smallest.

    What may win is told by quick trials; their margins were measured on texts, pictures
    and columns of numbers.
    """
    found = [(Section(patch.STORED, len(text), len(text)), text)]
    if not text:
        return found[0]
    if level < LEVEL_MAX:
        haste = {"compression_level": level, "target_length": 0}
        found.append(_pack_zstd(text, b"", _ZSTD | haste))
        if prefix:
            found.append(_pack_zstd(text, prefix, _ZSTD | haste))
        return min(found, key=_packed_size)
    is_far = len(text) > patch.DICTIONARY_MAX_BYTES
    probing = _PROBE | {"enable_long_distance_matching": int(is_far)}
    probe = _pack_zstd(text, b"", probing)
    from_bases = _pack_zstd(text, prefix, probing) if prefix else probe
    found += [probe, from_bases]
    small = len(text) <= _SMALL_BYTES
    # Of what nothing can pack zstd gives a few bytes in a thousand, and LZMA no more.
    if small or _packed_size(from_bases) <= len(text) * _HOPELESS:
        found += [_pack_lzma(text, *setting) for setting in _choose_settings(text, _packed_size(probe))]
    bound = min(map(_packed_size, found)) * (_ZSTD_GAINS_FAR if is_far else _ZSTD_GAINS)
    if small or _packed_size(probe) <= min(bound, len(text) * _NOISE):
        found.append(_pack_zstd(text, b"", _ZSTD))
    most = max(bound if len(text) <= _CHEAP_BYTES else 0, _packed_size(probe) * _BASES_SERVE)
    if prefix and _packed_size(from_bases) <= most:
        found.append(_pack_zstd(text, prefix, _ZSTD))
    return min(found, key=_packed_size)


def _packed_size(packed: tuple[Section, bytes]) -> int:
    return len(packed[1])


def _pack_zstd(text: bytes, prefix: bytes, options: codec.Options) -> tuple[Section, bytes]:
    data = codec.compress(text, prefix=prefix, options=options)
    return Section(patch.ZSTD_BASES if prefix else patch.ZSTD, len(data), len(text), len(prefix)), data


def _pack_lzma(text: bytes, lc: int, lp: int, pb: int, search: dict[str, int] = _SEARCH) -> tuple[Section, bytes]:
    properties = (pb * 5 + lp) * 9 + lc
    filters = [one | search for one in patch.lzma_filter(properties, len(text))]
    data = lzma.compress(text, lzma.FORMAT_RAW, filters=filters)
    return Section(patch.LZMA, len(data), len(text), properties), data


def _choose_settings(text: bytes, probed: int) -> Sequence[tuple[int, int, int]]:
    """Choose LZMA's settings by a quick search: they weigh what it finds much as they do what a long one finds."""
    if len(text) <= _SMALL_BYTES:
        return _LZMA_TRIALS
    most = _SAMPLES_MAX_BYTES if probed <= len(text) * _HARD else _SAMPLES_HARD_BYTES
    step = max(_SAMPLE_BYTES, _SAMPLE_BYTES * len(text) // most)
    sample = b"".join(text[at : at + _SAMPLE_BYTES] for at in range(0, len(text), step))
    sizes = {setting: _packed_size(_pack_lzma(sample, *setting, _QUICK_SEARCH)) for setting in _LZMA_TRIALS}
    return [min(_LZMA_TRIALS, key=sizes.__getitem__)]

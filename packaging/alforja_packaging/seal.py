"""Decide how a release is cut into frames, and make them.

From manifests and features to drafts of frames, pure; `encode` turns one draft's
bytes into the smallest frame it finds. A hub does the reading and the writing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import numpy as np

from alforja_packaging import patch
from alforja_packaging.frames import (
    FRAME_MAX_BYTES,
    NEEDS_JPEG_XL,
    PIECE_MAX_BYTES,
    PLAIN,
    PREFIX,
    Frame,
    Needs,
    Piece,
    cut,
)
from alforja_packaging.layout import Part, part_of
from alforja_packaging.manifest import File, Manifest
from alforja_packaging.patching import LEVEL_MAX, make_choice, make_patches
from alforja_packaging.similarity import Candidate, Features, Pool
from alforja_packaging.unfolding import Transcode

# What frames are to take on average, by what their pieces pack to alone: in the end text takes two thirds of it.
CORE_FRAME_BYTES: Final = 768 * 1024  # the price of taking one lesson alone
LONERS_COUNT: Final = 3  # times in a core frame: what is packed already gains nothing from company
RICH_FRAME_BYTES: Final = 4 * 2**20
INSTALL_FRAME_MAX_BYTES: Final = 16 * 2**20  # plain: leaves as much for bases
ANCHOR_MAX_BYTES: Final = 4 * 2**20
PACKED_ALREADY: Final = 0.9  # what packs to more of its bytes is a picture, a film or an archive
UPDATE_FRAME_BYTES: Final = 32 * 2**20
UPDATE_FRAME_COST_BYTES: Final = 2**20  # an update is seldom taken in part
UPDATE_REACH_BYTES: Final = 96 * 2**20  # of bases: finding covers takes a hub five bytes for each

SURE_MIN_BYTES: Final = 64 * 1024  # of a base: below it, sampling may miss what it shares
UPDATE_WORTH: Final = 64  # a base must serve for one byte in so many of its own
INSTALL_WORTH: Final = 4  # stricter: every base ties a lesson to another one
INSTALL_PLAIN_WITHIN: Final = 0.03  # and what a tie must save, or the frame does without

FeaturesOf = Callable[[bytes, Piece], Features]
"""Features of a piece of the content with a digest."""
PackedOf = Callable[[bytes, Piece], int]
"""How many bytes such a piece packs to by itself, quickly."""

_HARDEST = {"compression_level": LEVEL_MAX, "target_length": 4096}
_PREFIX_OUTPUT_MAX_BYTES = 8 * 2**20
_TRIAL_MAX_BYTES = 8 * 2**20  # bases and output up to which every setting is tried
_INCOMPRESSIBLE = 0.995
_PROBE_LEVEL = 3
_PREFIX_PROBE = {"compression_level": 9}
_PREFIX_GAINS = 0.85  # what the highest level leaves of it, at most
_PREFIX_ALIKE = 1.03  # how far its two settings are apart, at most
_PROBED_MIN_BYTES = 64 * 1024  # smaller ones are tried without


@dataclass(frozen=True, slots=True)
class Draft:
    """A frame yet to be encoded. Contents are numbered as in an index."""

    outputs: tuple[Piece, ...]
    bases: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoding:
    """A frame that is encoded: its kind, its bytes, the places of the bases it needs, and what its reader must know.

    Without any bytes it is none: what was asked for is of no use here.
    """

    kind: str
    data: bytes
    bases: tuple[int, ...] = ()
    needs: Needs = 0


NO_USE: Final = Encoding("plain", b"")


def school_order(manifest: Manifest) -> Sequence[tuple[Part, int]]:
    """Order all contents as a school wants them.

    Cores of lessons in teaching order, then what is core by its kind alone, then
    rich parts in teaching order, then the rest. Contents are numbered as in the
    digest table.
    """
    lessons = manifest.course.lessons()

    def wanted() -> Iterator[tuple[Part, str]]:
        for lesson in lessons:
            yield from (("core", path) for path in lesson.core)
        yield from (("core", file.path) for file in manifest.files if part_of(file.path, file.size) == "core")
        for lesson in lessons:
            yield from (("rich", path) for path in lesson.rich)
        yield from (("rich", file.path) for file in manifest.files)

    placed: dict[int, Part] = {}
    for part, path in wanted():
        placed.setdefault(manifest.number_of[manifest.by_path[path].digest], part)
    return [(part, number) for number, part in placed.items()]


def plan_install(
    manifest: Manifest, kept: Sequence[Frame], features_of: FeaturesOf, packed_of: PackedOf
) -> Sequence[Frame | Draft]:
    """Plan the frames of a first install.

    `kept` are frames of earlier packs that still hold, numbered for this
    manifest; only what they do not give is drafted. Frames come in school order.
    The first core frame serves as a base for all later ones; others serve where
    they resemble a later one strongly.
    """
    order = school_order(manifest)
    rank = {number: place for place, (_, number) in enumerate(order)}
    given = {piece.content for frame in kept for piece in frame.outputs}
    groups = list(_install_groups(manifest, [one for one in order if one[1] not in given], packed_of))
    # What some readers take instead of a frame comes last, so that nothing may be built on what it gives.
    most: dict[int, Needs] = {}
    for frame in kept:
        for piece in frame.outputs:
            most.setdefault(piece.content, frame.needs)
    instead = [frame for frame in kept if any(most[piece.content] != frame.needs for piece in frame.outputs)]
    others = [frame for frame in kept if all(most[piece.content] == frame.needs for piece in frame.outputs)]
    anchor = _anchor(manifest, [frame for frame in others if not frame.needs], groups)
    planned: list[Frame | Draft] = [*others, *_with_bases(manifest, None, groups, features_of, anchor=anchor)]
    return [*_keep_bases_first(planned, rank), *instead]


def plan_update(manifest: Manifest, held: Manifest, features_of: FeaturesOf, packed_of: PackedOf) -> Sequence[Draft]:
    """Plan the frames that bring a node from `held` to `manifest`.

    Every new content gets as bases the old content of its path and whatever
    resembles it most: held files, and outputs of earlier frames.
    """
    new = [number for _, number in school_order(manifest) if manifest.contents[number].digest not in held.number_of]
    groups = list(_update_groups(manifest, held, new, features_of, packed_of))
    return list(_with_bases(manifest, held, groups, features_of, anchor=()))


def find_moves(manifest: Manifest, held: Manifest) -> tuple[tuple[int, int], ...]:
    """List the new contents that are held ones not found by their own path."""
    return tuple(
        (number, held.number_of[content.digest])
        for number, content in enumerate(manifest.contents)
        if content.digest in held.number_of and _same_path(held, content) != held.number_of[content.digest]
    )


def find_kept(manifest: Manifest, earlier: Manifest, frames: Iterable[Frame]) -> Sequence[Frame]:
    """Choose the frames of an earlier first install that are still wholly of use, renumbered."""
    new_of = {old: manifest.number_of.get(content.digest, -1) for old, content in enumerate(earlier.contents)}
    kept = [
        replace(
            frame,
            outputs=tuple(replace(piece, content=new_of[piece.content]) for piece in frame.outputs),
            bases=tuple(replace(piece, content=new_of[piece.content]) for piece in frame.bases),
        )
        for frame in frames
    ]
    while True:
        whole = _given_whole(kept, manifest)
        still = [frame for frame in kept if all(piece.content in whole for piece in (*frame.outputs, *frame.bases))]
        if len(still) == len(kept):
            return kept
        kept = still


def encode(
    output: bytes,
    bases: Sequence[bytes],
    *,
    plain_if_within: float = 0.0,
    level: int = LEVEL_MAX,
    able: Needs = 0,
    beyond: Needs | None = None,
    transcode: Transcode | None = None,
) -> Encoding:
    """Encode one frame by every kind and setting worth trying; give the smallest for readers that are `able`.

    Below the highest `level` of zstd only zstd is tried, at that level: for haste.

    A frame without bases is preferred if it is larger by no more than the part
    `plain_if_within`: it holds for longer, as no other frame's fate is its own.

    With `beyond` the frame stands beside another one, for readers that are able to do
    that: only what they cannot undo is tried, and NO_USE is given where nothing comes of
    it. JPEG XL is made by `transcode`, never in haste.
    """
    if beyond is not None:
        if transcode is None or level < LEVEL_MAX:
            able &= ~NEEDS_JPEG_XL
        made = make_choice(output, bases, level=level, able=able, beyond=beyond, transcode=transcode)
        return Encoding("patch", made.data, made.bases, made.needs) if made else NO_USE
    if not any(bases):
        return _encode_alone(output, level, able)
    probe = PLAIN.encode(output, b"", _options(_PROBE_LEVEL))
    found = [*_encode_patches(output, bases, level, able)]
    if len(output) <= _PREFIX_OUTPUT_MAX_BYTES:  # above it a patch is smaller, and zstd takes a minute to lose
        found += _encode_prefix(output, bases, level, min(map(_length, found), default=len(probe)))
    best = min(found, key=_length, default=None)
    if best and len(best.data) <= len(probe) // 2:  # no effort without bases comes near
        return best
    alone = _encode_alone(output, level, able)
    return best if best and len(alone.data) > len(best.data) * (1 + plain_if_within) else alone


def _encode_alone(output: bytes, level: int, able: Needs) -> Encoding:
    found = [*_encode_patches(output, (), level, able)]
    least = min(found, key=_length, default=None)
    # A patch without bases packs what `plain` does, in zstd too where that wins: only then are there bytes to save.
    if least is None or level < LEVEL_MAX or len(output) < _PROBED_MIN_BYTES or not _is_lzma(least):
        packs = least is None or _length(least) <= _INCOMPRESSIBLE * len(output)
        options = _options(level if packs else _PROBE_LEVEL)
        found.append(Encoding("plain", PLAIN.encode(output, b"", options)))
    return min(found, key=_length)


def _length(one: Encoding) -> int:
    return len(one.data)


def _is_lzma(made: Encoding) -> bool:
    return patch.read_header(made.data, made.kind)[0].literals.codec == patch.LZMA


def _options(level: int) -> dict[str, int]:
    return _HARDEST if level == LEVEL_MAX else {"compression_level": level}


def _encode_patches(output: bytes, bases: Sequence[bytes], level: int, able: Needs) -> Iterator[Encoding]:
    for made in make_patches(output, bases, level=level, able=able):
        yield Encoding("patch", made.data, made.bases, made.needs)


def _encode_prefix(output: bytes, bases: Sequence[bytes], level: int, least: int) -> Iterator[Encoding]:
    """The last bases, as many as there is room for: the best ones come last. Only what may be below `least` bytes."""
    room = FRAME_MAX_BYTES - len(output)
    kept: list[int] = []
    for place in reversed(range(len(bases))):
        if len(bases[place]) > room:
            break
        room -= len(bases[place])
        kept.append(place)
    prefix = b"".join(bases[place] for place in reversed(kept))
    if not prefix:
        return
    if level == LEVEL_MAX and len(output) >= _PROBED_MIN_BYTES:
        probe = PREFIX.encode(output, prefix, _PREFIX_PROBE)
        if len(probe) * _PREFIX_GAINS > least:
            return
    for far in (1, 0) if len(output) + len(prefix) <= _TRIAL_MAX_BYTES and level == LEVEL_MAX else (1,):
        data = PREFIX.encode(output, prefix, _options(level) | {"enable_long_distance_matching": far})
        yield Encoding("prefix", data, tuple(reversed(kept)))
        if len(data) > least * _PREFIX_ALIKE:
            return


@dataclass(frozen=True, slots=True)
class _Costed:
    """A piece, what it is likely to cost on the wire, and a number drawn from its content alone."""

    piece: Piece
    cost: int
    draw: int


def _install_groups(
    manifest: Manifest, order: Iterable[tuple[Part, int]], packed_of: PackedOf
) -> Iterator[tuple[Piece, ...]]:
    limit = {"core": CORE_FRAME_BYTES, "rich": RICH_FRAME_BYTES}
    for part, run in groupby(order, key=lambda one: one[0]):
        costed = [
            _cost(manifest, piece, piece.length, packed_of, loners=LONERS_COUNT if part == "core" else 1)
            for _, number in run
            for piece in cut(number, manifest.contents[number].size)
        ]
        for group in _cut_groups(costed, limit[part], INSTALL_FRAME_MAX_BYTES):
            yield _texts_first(manifest, group, packed_of)


def _update_groups(
    manifest: Manifest, held: Manifest, new: Iterable[int], features_of: FeaturesOf, packed_of: PackedOf
) -> Iterator[tuple[Piece, ...]]:
    """Cut what is new into groups, by size and by what each is likely to cost on the wire."""
    known = _features_of_all(held, features_of)
    costed = [
        _cost(manifest, piece, _novel_bytes(piece, features_of(content.digest, piece), known), packed_of)
        for number, content in ((number, manifest.contents[number]) for number in new)
        for piece in cut(number, content.size)
    ]
    return _cut_groups(costed, UPDATE_FRAME_COST_BYTES, UPDATE_FRAME_BYTES)


def _cost(manifest: Manifest, piece: Piece, novel: int, packed_of: PackedOf, *, loners: int = 1) -> _Costed:
    content = manifest.contents[piece.content]
    draw = int.from_bytes(content.digest[:4], "little") ^ piece.offset // PIECE_MAX_BYTES
    packed = packed_of(content.digest, piece)
    cost = novel * packed // max(1, piece.length)
    return _Costed(piece, cost * loners if packed > piece.length * PACKED_ALREADY else cost, draw)


def _cut_groups(costed: Sequence[_Costed], cost_mean: int, size_max: int) -> Iterator[tuple[Piece, ...]]:
    """Cut into groups of about so much, a third more at most, and of at most so many bytes.

    Where a group may end, in the last half of what it can be, it ends before the piece
    whose number is the smallest. So a change shifts only the cuts near it, and other
    frames are those that there were before.
    """
    least_cost, most_cost = cost_mean * 2 // 3, cost_mean * 4 // 3
    start = 0
    while start < len(costed):
        cost = size = 0
        stop, best = len(costed), 0
        for place in range(start, len(costed)):
            one = costed[place]
            may_end = place > start and (cost >= least_cost or size >= size_max // 2)
            cost, size = cost + one.cost, size + one.piece.length
            if may_end and (not best or one.draw < costed[best].draw):
                best = place
            if place > start and (cost > most_cost or size > size_max):
                stop = best or place
                break
        yield tuple(one.piece for one in costed[start:stop])
        start = stop


def _features_of_all(manifest: Manifest, features_of: FeaturesOf) -> Features:
    found = [
        features_of(content.digest, piece)
        for number, content in enumerate(manifest.contents)
        for piece in cut(number, content.size)
    ]
    return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.uint64)


def _novel_bytes(piece: Piece, features: Features, known: Features) -> int:
    """How many bytes of a piece are likely nowhere among what is known; all of them where nothing can be told."""
    if not features.size:
        return piece.length
    if not known.size:
        return piece.length
    # Both are sorted: `np.isin` would sort all that is known again, for each piece.
    places = np.minimum(np.searchsorted(known, features), known.size - 1)
    return piece.length * (features.size - int((known[places] == features).sum())) // features.size


def _texts_first(manifest: Manifest, group: Sequence[Piece], packed_of: PackedOf) -> tuple[Piece, ...]:
    """Keep like with like inside a frame: text and pictures want different entropy tables.

    The pieces of one content stay together, in their order.
    """
    sizes: dict[int, tuple[int, int]] = {}
    for piece in group:
        length, packed = sizes.get(piece.content, (0, 0))
        packed += packed_of(manifest.contents[piece.content].digest, piece)
        sizes[piece.content] = (length + piece.length, packed)
    packed_already = {content: packed > length * PACKED_ALREADY for content, (length, packed) in sizes.items()}
    return tuple(sorted(group, key=lambda piece: packed_already[piece.content]))


def _default_bases(manifest: Manifest, held: Manifest, group: Iterable[Piece]) -> list[Piece]:
    """The old bytes of the same path at the same place."""
    found: dict[Piece, None] = {}
    for piece in group:
        old = _same_path(held, manifest.contents[piece.content])
        if old is not None:
            found |= dict.fromkeys(
                part for part in cut(old, held.contents[old].size) if part.offset == piece.offset and part.length
            )
    return list(found)


def _with_bases(
    manifest: Manifest,
    held: Manifest | None,
    groups: Sequence[tuple[Piece, ...]],
    features_of: FeaturesOf,
    *,
    anchor: Sequence[Piece],
) -> Iterator[Draft]:
    """Give every group of outputs the bases that serve it best."""
    shift = len(held.contents) if held else 0
    last_frame = {piece.content: place for place, group in enumerate(groups) for piece in group}
    old = [piece for number, content in enumerate(held.contents if held else ()) for piece in cut(number, content.size)]
    new = [piece for group in groups for piece in group]
    pieces = old + [replace(piece, content=piece.content + shift) for piece in new]
    features: dict[Piece, Features] = {}
    candidates = []
    for place, piece in enumerate(pieces):
        content = (held if place < len(old) and held else manifest).contents[
            piece.content - (0 if place < len(old) else shift)
        ]
        features[piece] = features_of(content.digest, piece)
        held_from = -1 if place < len(old) else last_frame[piece.content - shift]
        candidates.append(Candidate(features[piece], piece.length, held_from))
    pool = Pool(candidates, worth=UPDATE_WORTH if held else INSTALL_WORTH)
    place_of = {piece: place for place, piece in enumerate(pieces)}
    for frame, group in enumerate(groups):
        default = _default_bases(manifest, held, group) if held else [piece for piece in anchor if piece not in group]
        wanted = np.unique(np.concatenate([features[replace(piece, content=piece.content + shift)] for piece in group]))
        if not held:  # in an update an old archive serves by what is packed in it, which features do not show
            default = [piece for piece in default if _may_serve(piece, features.get(piece), wanted)]
        for piece in default:
            known = features.get(piece)
            if known is not None:
                wanted = np.setdiff1d(wanted, known, assume_unique=True)
        reach = UPDATE_REACH_BYTES if held else FRAME_MAX_BYTES - _size(group)
        found = pool.rank(
            wanted, frame=frame, budget=reach - _size(default),
            without=[place_of[piece] for piece in default if piece in place_of],
        )  # fmt: skip
        # The best ones last: the nearer a match, the cheaper its offset.
        yield Draft(group, (*(pieces[place] for place in reversed(found)), *default))


def _may_serve(piece: Piece, features: Features | None, wanted: Features) -> bool:
    """Tell whether an obvious base is worth its place: a film that was encoded anew has nothing of the old one."""
    if features is None or piece.length < SURE_MIN_BYTES:
        return True
    return bool(np.isin(features, wanted, assume_unique=True).any())


def _anchor(manifest: Manifest, kept: Sequence[Frame], groups: Sequence[tuple[Piece, ...]]) -> tuple[Piece, ...]:
    first = next((frame.outputs for frame in kept if not frame.bases), groups[0] if groups else ())
    whole = tuple(piece for piece in first if 0 < piece.length == manifest.contents[piece.content].size)
    return whole if _size(whole) <= ANCHOR_MAX_BYTES else ()


def _keep_bases_first(planned: Sequence[Frame | Draft], rank: Mapping[int, int]) -> Sequence[Frame | Draft]:
    """Order frames by the first thing they give, but never before what they need."""
    wanted = sorted(planned, key=lambda frame: min(rank[piece.content] for piece in frame.outputs))
    giver: dict[int, list[Frame | Draft]] = {}
    for frame in planned:
        for piece in frame.outputs:
            giver.setdefault(piece.content, []).append(frame)
    done: dict[int, Frame | Draft] = {}
    stack = list(reversed(wanted))
    while stack:
        frame = stack[-1]
        needed = [one for piece in frame.bases for one in giver[piece.content] if id(one) not in done]
        needed += [
            one for piece in frame.outputs if piece.offset for one in giver[piece.content]
            if id(one) not in done and one is not frame and _gives_before(one, piece)
        ]  # fmt: skip
        if needed:
            stack.extend(needed)
            continue
        done.setdefault(id(stack.pop()), frame)
    return list(done.values())


def _gives_before(frame: Frame | Draft, piece: Piece) -> bool:
    return any(one.content == piece.content and one.offset < piece.offset for one in frame.outputs)


def _given_whole(frames: Iterable[Frame], manifest: Manifest) -> frozenset[int]:
    """The contents that frames give whole to every reader."""
    given: dict[int, int] = {}
    for frame in frames:
        for piece in frame.outputs if not frame.needs else ():
            given[piece.content] = given.get(piece.content, 0) + piece.length
    return frozenset(number for number, size in given.items() if number >= 0 and size == manifest.contents[number].size)


def _same_path(held: Manifest, content: File) -> int | None:
    old = held.by_path.get(content.path)
    return None if old is None else held.number_of[old.digest]


def _size(pieces: Iterable[Piece]) -> int:
    return sum(piece.length for piece in pieces)

"""Make the packs of a release: plan all, encode all at once, and lay the files down.

Updates from several releases share the frames that they have in common.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from alforja_hub import shelf
from alforja_hub.choosing import READERS, choose
from alforja_hub.encoding import Clock, Effort, Encoded, Encoder, Job, Progress, Run
from alforja_hub.features import FeatureShelf
from alforja_packaging import seal
from alforja_packaging.archives import may_hold_encoded
from alforja_packaging.errors import StoreError
from alforja_packaging.frames import NEEDS_ENCODERS, NEEDS_JPEG_XL, NEEDS_ZLIB, Frame, Needs, Piece
from alforja_packaging.index import ELIDED_MAX_BYTES, Index, format_head, met_by_all
from alforja_packaging.layout import INSTALL_NAME, Start, bundle_name, is_text, media_type, update_name
from alforja_packaging.manifest import Manifest
from alforja_packaging.seal import Draft
from alforja_packaging.similarity import Features, choose_alike

ALIKE_MIN = 0.25  # of a release's bytes that another course must have to be a start: an update from it costs a build
ALIKE_MAX = 2  # other courses that are
INSTALL_PACKS_MAX = 8  # a first install scattered over more is built anew: it costs requests, and context
ELIDE_BELOW_BYTES = 512 * 1024  # frames of an update; below it, digests would be a notable part of what is sent
CHOICES_SAVE_BYTES = 1024  # in all, or it is not worth a request more
EAGER_WITHIN = 4  # choices come with the index if others fetch so many times their bytes, of which they were in vain


@dataclass(frozen=True, slots=True)
class Kept:
    """Frames of earlier first installs that still hold, and the packs they lie in."""

    frames: Sequence[Frame] = ()
    packs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """A pack whose frames are chosen, and yet to be encoded where they are drafts.

    `packs` are the earlier ones that its other frames lie in.
    """

    manifest: Manifest
    held: Manifest | None
    frames: Sequence[Frame | Draft]
    packs: Sequence[str] = ()

    @property
    def drafts(self) -> list[Draft]:
        """The frames that are yet to be encoded."""
        return [frame for frame in self.frames if isinstance(frame, Draft)]

    @property
    def name(self) -> str:
        """Its name below the publisher's folder."""
        name = update_name(start_of(self.manifest, self.held)) if self.held else INSTALL_NAME
        return f"{bundle_name(self.manifest.course.id, self.manifest.release)}/{name}"


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished pack: its name below the publisher's folder, its bytes and what a node pays for it.

    `packs` are earlier ones that it refers to. `hasty`: its own frames might be
    smaller, had there been more time. `opening` are the bytes to ask for first where
    it holds choices: what not everybody can undo is not brought unasked.
    """

    name: str
    head: bytes
    bodies: tuple[Path, ...]
    cost: int
    packs: tuple[str, ...] = ()
    hasty: bool = False
    opening: int | None = None

    @property
    def stated(self) -> list[int]:
        """What the signed metadata states: bytes of the index and in all; if need be, needs and how far to open it."""
        return [len(self.head), self.cost, *(() if self.opening is None else (0, self.opening))]


def start_of(manifest: Manifest, held: Manifest) -> Start:
    """Name a held release as the start of an update."""
    return Start(held.release, "" if held.course.id == manifest.course.id else held.course.id)


class Builder:
    """Builds packs from files that lie under their digests, with frames that need no more than `able`."""

    def __init__(
        self,
        path_of: Callable[[bytes], Path],
        cache: Path,
        executor: Executor,
        *,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
        able: Needs = NEEDS_ZLIB,
    ) -> None:
        self._path_of, self._executor, self._clock, self._able = path_of, executor, clock, able
        self._features = FeatureShelf(path_of, cache / "samples")
        self._encoder = Encoder(cache / "frames", executor, workers)

    def build(
        self,
        manifest: Manifest,
        kept: Kept,
        held: Sequence[Manifest],
        progress: Progress,
        *,
        others: Sequence[Manifest] = (),
        max_seconds: float | None = None,
    ) -> list[Pack]:
        """Build the pack of a first install around what is kept, then an update from each held release.

        Of the `others`, releases of other courses, those serve as well that are much alike.
        `max_seconds` are for looking for smaller frames, over all packs together.
        """
        clock = Clock(self._clock, None if max_seconds is None else self._clock() + max_seconds)
        self._features.find_all([manifest, *held], self._executor, progress)
        progress("planning", 0, 0)
        alike = self._alike(manifest, others)
        self._features.find_all(alike, self._executor, progress)
        of, packed_of = self._features.of, self._features.packed_of
        planned = [Planned(manifest, None, seal.plan_install(manifest, kept.frames, of, packed_of), kept.packs)]
        planned += [Planned(manifest, one, seal.plan_update(manifest, one, of, packed_of)) for one in (*held, *alike)]
        jobs = [list(self._jobs(one)) for one in planned]
        encoded = self._encoder.encode([job for some in jobs for choice in some for job in choice], clock, progress)
        progress("finishing", 0, 0)
        return [_finish(one, some, encoded) for one, some in zip(planned, jobs, strict=True)]

    def _alike(self, manifest: Manifest, others: Sequence[Manifest]) -> list[Manifest]:
        found: list[tuple[Manifest, Features]] = []
        for one in others:
            with suppress(StoreError):  # of a course whose files are lost; it does without this one
                found.append((one, self._features.sketch_of(one)))
        sketches = [features for _, features in found]
        wanted = self._features.sketch_of(manifest)
        return [found[place][0] for place in choose_alike(wanted, sketches, least=ALIKE_MIN, most=ALIKE_MAX)]

    def _jobs(self, planned: Planned) -> Iterator[tuple[Job, ...]]:
        """Give for each draft its jobs: for every reader, then for those that can do more, where that may pay."""
        free = met_by_all(update=planned.held is not None) & self._able
        contents = planned.manifest.contents
        for draft in planned.drafts:
            outputs = self._runs(draft.outputs, planned.manifest, None)
            bases = self._runs(draft.bases, planned.manifest, planned.held)
            worth = self._able & _worth_trying([contents[piece.content].path for piece in draft.outputs])
            # Nothing of zstd or xz is opened for a first install: a board would pack all of an archive, for minutes.
            if worth & NEEDS_ZLIB and planned.held and any(may_hold_encoded(run.read()) for run in outputs):
                worth |= self._able & NEEDS_ENCODERS
            # A first install must be of use to every reader: whatever else fails is fetched by it.
            within = 0.0 if planned.held else seal.INSTALL_PLAIN_WITHIN
            readers = [free, *(able for able in dict.fromkeys(one & (free | worth) for one in READERS) if able & ~free)]
            yield (
                Job(outputs, bases, within, free),
                *(
                    Job(outputs, bases if planned.held else (), able=able, beyond=before)
                    for before, able in pairwise(readers)
                ),
            )

    def _runs(self, pieces: Iterable[Piece], manifest: Manifest, held: Manifest | None) -> tuple[Run, ...]:
        return tuple(
            Run(str(self._path_of(digest)), piece.offset, piece.length)
            for piece, digest in zip(pieces, _digests(pieces, manifest, held), strict=True)
        )


def _worth_trying(paths: Sequence[str]) -> Needs:
    """Tell what a frame of these files might make use of, as far as names tell."""
    packed = [path for path in paths if not is_text(path)]
    pictures = [path for path in packed if not media_type(path).startswith(("audio/", "video/"))]
    return (NEEDS_ZLIB if packed else 0) | (NEEDS_ZLIB | NEEDS_JPEG_XL if pictures else 0)


def _finish(planned: Planned, jobs: Sequence[Sequence[Job]], encoded: Mapping[Job, Encoded]) -> Pack:
    """Put the index before frames that are encoded; what some readers take instead of a frame comes last."""
    manifest, held = planned.manifest, planned.held
    choices = [{job.able: encoded[job] for job in some} for some in jobs]
    kept = [frame for frame in planned.frames if isinstance(frame, Frame)]
    chosen = choose(planned.drafts, choices, kept, len(held.contents) if held else 0)
    first, last = (sum(made[place][1].length for made in chosen) for place in (0, -1))
    if last - first < CHOICES_SAVE_BYTES:
        chosen = [made[-1:] for made in chosen]
    firsts = iter(made[0] for made in chosen)
    frames = [frame if isinstance(frame, Frame) else next(firsts)[0] for frame in planned.frames]
    instead = [one for made in chosen for one in made[1:]]
    frames += [frame for frame, _ in instead]
    bodies = [one for _, one in (*(made[0] for made in chosen), *instead)]
    moves = seal.find_moves(manifest, held) if held else ()
    index = Index(held.release if held else None, tuple(frames), moves, tuple(planned.packs))
    # What it costs whoever can do least.
    packed = sum(frame.length for frame in index.everybodys)
    plain_size = sum(frame.size for frame in index.everybodys)
    elide = held is not None and packed < ELIDE_BELOW_BYTES and plain_size <= ELIDED_MAX_BYTES
    head = format_head(index, manifest, held, elide=elide)
    hasty = any(one.effort < Effort.FULL for choice in choices for one in choice.values())
    paths = tuple(one.path for one in bodies)
    opening = len(head) + (first if first * EAGER_WITHIN <= last else 0) if instead else None
    return Pack(planned.name, head, paths, len(head) + packed, tuple(planned.packs), hasty, opening)


def write_pack(folder: Path, pack: Pack) -> None:
    """Lay a pack down under a publisher's folder, durably, whole or not at all."""
    shelf.join(folder / pack.name, pack.head, pack.bodies)


def kept_frames(
    manifest: Manifest,
    earlier: Manifest,
    frames: Sequence[Frame],
    packs: Sequence[str],
    earlier_name: str,
    *,
    without: Collection[str] = (),
) -> Kept:
    """Choose what of an earlier first install still holds, renumbered.

    What lies in the packs `without` is left out. Nothing is kept when it has come to
    lie in too many packs.
    """
    names = [earlier_name, *packs]
    kept = seal.find_kept(manifest, earlier, [frame for frame in frames if names[frame.pack] not in without])
    used = sorted({frame.pack for frame in kept})
    if len(used) > INSTALL_PACKS_MAX:
        return Kept()
    number_of = {pack: number for number, pack in enumerate(used, start=1)}
    return Kept([replace(frame, pack=number_of[frame.pack]) for frame in kept], [names[pack] for pack in used])


def _digests(pieces: Iterable[Piece], manifest: Manifest, held: Manifest | None) -> Iterable[bytes]:
    shift = len(held.contents) if held else 0
    for piece in pieces:
        older = held is not None and piece.content < shift
        contents = held.contents if older and held else manifest.contents
        yield contents[piece.content - (0 if older else shift)].digest

"""Make the packs of a release: plan all, encode all at once, and lay the files down.

Updates from several releases share the frames that they have in common.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from alforja_hub import shelf
from alforja_hub.encoding import Clock, Effort, Encoded, Encoder, Job, Progress, Run
from alforja_hub.features import FeatureShelf
from alforja_packaging import seal
from alforja_packaging.archives import may_hold_encoded
from alforja_packaging.frames import NEEDS_ENCODERS, NEEDS_OF_UPDATES, NEEDS_ZLIB, Frame, Piece
from alforja_packaging.index import ELIDED_MAX_BYTES, Index, format_head
from alforja_packaging.layout import INSTALL_NAME, bundle_name, is_text, update_name
from alforja_packaging.manifest import Manifest
from alforja_packaging.seal import Draft

INSTALL_PACKS_MAX = 8  # a first install scattered over more is built anew: it costs requests, and context
ELIDE_BELOW_BYTES = 512 * 1024  # frames of an update; below it, digests would be a notable part of what is sent


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
    def name(self) -> str:
        """Its name below the publisher's folder."""
        name = update_name(self.held.release) if self.held else INSTALL_NAME
        return f"{bundle_name(self.manifest.course.id, self.manifest.release)}/{name}"


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished pack: its name below the publisher's folder, its bytes and what a node pays for it.

    `packs` are earlier ones that it refers to. `hasty`: its own frames might be
    smaller, had there been more time.
    """

    name: str
    head: bytes
    bodies: tuple[Path, ...]
    cost: int
    packs: tuple[str, ...] = ()
    hasty: bool = False

    @property
    def stated(self) -> list[int]:
        """What the signed metadata states: bytes of the index, bytes in all."""
        return [len(self.head), self.cost]


class Builder:
    """Builds packs from files that lie under their digests."""

    def __init__(
        self,
        path_of: Callable[[bytes], Path],
        cache: Path,
        executor: Executor,
        *,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path_of, self._executor, self._clock = path_of, executor, clock
        self._features = FeatureShelf(path_of, cache / "features")
        self._encoder = Encoder(cache / "frames", executor, workers)

    def build(
        self,
        manifest: Manifest,
        kept: Kept,
        held: Sequence[Manifest],
        progress: Progress,
        max_seconds: float | None = None,
    ) -> list[Pack]:
        """Build the pack of a first install around what is kept, then an update from each held release.

        `max_seconds` are for looking for smaller frames, over all packs together.
        """
        clock = Clock(self._clock, None if max_seconds is None else self._clock() + max_seconds)
        self._features.find_all([manifest, *held], self._executor, progress)
        progress("planning", 0, 0)
        planned = [Planned(manifest, None, seal.plan_install(manifest, kept.frames, self._features.of), kept.packs)]
        planned += [Planned(manifest, one, seal.plan_update(manifest, one, self._features.of)) for one in held]
        jobs = [list(self._jobs(one)) for one in planned]
        encoded = self._encoder.encode([job for some in jobs for choice in some for job in choice], clock, progress)
        progress("finishing", 0, 0)
        return [
            _finish(one, [[encoded[job] for job in choice] for choice in some])
            for one, some in zip(planned, jobs, strict=True)
        ]

    def _jobs(self, planned: Planned) -> Iterator[tuple[Job, ...]]:
        """Give for each draft the job, and behind it another one that needs more of its reader, where that may pay."""
        drafts = [frame for frame in planned.frames if isinstance(frame, Draft)]
        for draft in drafts:
            outputs = self._runs(draft.outputs, planned.manifest, None)
            bases = self._runs(draft.bases, planned.manifest, planned.held)
            contents = planned.manifest.contents
            may_open = not all(is_text(contents[piece.content].path) for piece in draft.outputs)
            if planned.held:
                update = Job(outputs, bases, 0.0, NEEDS_OF_UPDATES)
                opens = may_open and any(may_hold_encoded(run.read()) for run in outputs)
                yield (update, Job(outputs, bases, 0.0, NEEDS_ZLIB | NEEDS_ENCODERS)) if opens else (update,)
                continue
            # A first install must be of use to every reader: whatever else fails is fetched by it.
            # Nothing of zstd or xz is opened for it: a board would pack all of an archive again, for minutes.
            plain = Job(outputs, bases, seal.INSTALL_PLAIN_WITHIN)
            yield (plain, Job(outputs, able=NEEDS_ZLIB)) if may_open else (plain,)

    def _runs(self, pieces: Iterable[Piece], manifest: Manifest, held: Manifest | None) -> tuple[Run, ...]:
        return tuple(
            Run(str(self._path_of(digest)), piece.offset, piece.length)
            for piece, digest in zip(pieces, _digests(pieces, manifest, held), strict=True)
        )


def _finish(planned: Planned, encoded: Sequence[Sequence[Encoded]]) -> Pack:
    """Put the index before frames that are encoded; what some readers take instead of a frame comes last."""
    free = NEEDS_OF_UPDATES if planned.held else 0
    choices = iter(encoded)
    serving = _serving(planned, [plain for plain, *_ in encoded])
    frames: list[Frame] = []
    instead: list[tuple[Draft, Encoded]] = []
    bodies: list[Encoded] = []
    for one in planned.frames:
        if isinstance(one, Frame):
            frames.append(one)
            continue
        plain, *opened = next(choices)
        # Whoever cannot undo a frame must not lack the bases of others.
        is_free = serving.isdisjoint(piece.content for piece in one.outputs)
        best = min([plain, *(opened if is_free else ())], key=lambda each: each.length)
        if best.needs & ~free:
            instead.append((one, plain))
        frames.append(_frame(one, best))
        bodies.append(best)
    frames += [_frame(draft, plain) for draft, plain in instead]
    bodies += [plain for _, plain in instead]
    manifest, held = planned.manifest, planned.held
    moves = seal.find_moves(manifest, held) if held else ()
    index = Index(held.release if held else None, tuple(frames), moves, tuple(planned.packs))
    # What it costs whoever can do least.
    everyones = [frame for frame in frames if not frame.needs & ~free]
    packed = sum(frame.length for frame in everyones)
    plain_size = sum(frame.size for frame in everyones)
    elide = held is not None and packed < ELIDE_BELOW_BYTES and plain_size <= ELIDED_MAX_BYTES
    head = format_head(index, manifest, held, elide=elide)
    hasty = any(one.effort < Effort.FULL for choice in encoded for one in choice)
    return Pack(planned.name, head, tuple(one.path for one in bodies), len(head) + packed, tuple(planned.packs), hasty)


def _serving(planned: Planned, plain: Sequence[Encoded]) -> set[int]:
    """The new contents that are bases of frames, as these were encoded; what is held counts below 0."""
    fresh = iter(plain)
    frames = [_frame(one, next(fresh)) if isinstance(one, Draft) else one for one in planned.frames]
    held_count = len(planned.held.contents) if planned.held else 0  # bases count these first
    return {piece.content - held_count for frame in frames for piece in frame.bases}


def _frame(draft: Draft, encoded: Encoded) -> Frame:
    bases = tuple(draft.bases[place] for place in encoded.bases)
    return Frame(encoded.kind, 0, 0, encoded.length, draft.outputs, bases, encoded.needs)


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

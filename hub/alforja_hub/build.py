"""Make the packs of a release: plan, encode on all cores, and lay the files down.

Every encoded frame is cached by what it is made from, so an interrupted build
goes on where it stopped, and updates from several releases share their frames.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alforja_hub import shelf
from alforja_packaging import seal
from alforja_packaging.frames import Frame, Piece
from alforja_packaging.index import ELIDED_MAX_BYTES, Index, format_head
from alforja_packaging.layout import INSTALL_NAME, bundle_name, update_name
from alforja_packaging.manifest import Manifest
from alforja_packaging.seal import Draft
from alforja_packaging.similarity import Features, find_features

ENCODER_VERSION = 2  # part of every cache key: raise it when `seal.encode` changes
INSTALL_PACKS_MAX = 8  # a first install scattered over more is built anew: it costs requests, and context
ELIDE_BELOW_BYTES = 512 * 1024  # frames of an update; below it, digests would be a notable part of what is sent

Run = tuple[str, int, int]
"""A run of bytes of a file: path, offset, length."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished pack: its name below the publisher's folder, its bytes and what a node pays for it."""

    name: str
    head: bytes
    bodies: tuple[Path, ...]
    cost: int

    @property
    def stated(self) -> list[int]:
        """What the signed metadata states: bytes of the index, bytes in all."""
        return [len(self.head), self.cost]


class Builder:
    """Builds packs from files that lie under their digests."""

    def __init__(self, path_of: Callable[[bytes], Path], cache: Path, executor: Executor) -> None:
        self._path_of, self._cache, self._executor = path_of, cache, executor

    def install(self, manifest: Manifest, kept: Sequence[Frame], packs: Sequence[str], progress: Progress) -> Pack:
        """Build the pack of a first install, around frames of earlier packs that still hold."""
        planned = seal.plan_install(manifest, kept, self._features)
        frames, bodies = self._encode(planned, manifest, None, progress)
        name = f"{bundle_name(manifest.course.id, manifest.release)}/{INSTALL_NAME}"
        return self._finish(name, Index(None, frames, (), tuple(packs)), manifest, None, bodies)

    def update(self, manifest: Manifest, held: Manifest, progress: Progress) -> Pack:
        """Build the pack that brings a node from `held` to `manifest`."""
        drafts = seal.plan_update(manifest, held, self._features)
        frames, bodies = self._encode(drafts, manifest, held, progress)
        name = f"{bundle_name(manifest.course.id, manifest.release)}/{update_name(held.release)}"
        return self._finish(name, Index(held.release, frames, seal.find_moves(manifest, held)), manifest, held, bodies)

    def _finish(
        self, name: str, index: Index, manifest: Manifest, held: Manifest | None, bodies: Sequence[Path]
    ) -> Pack:
        packed = sum(frame.length for frame in index.frames)
        elide = held is not None and packed < ELIDE_BELOW_BYTES and _plain_size(index.frames) <= ELIDED_MAX_BYTES
        head = format_head(index, manifest, held, elide=elide)
        return Pack(name, head, tuple(bodies), len(head) + packed)

    def _encode(
        self, planned: Sequence[Frame | Draft], manifest: Manifest, held: Manifest | None, progress: Progress
    ) -> tuple[tuple[Frame, ...], list[Path]]:
        """Encode all drafts; frames of other packs are passed through."""
        jobs = {
            place: (self._runs(draft.outputs, manifest, None), self._runs(draft.bases, manifest, held))
            for place, draft in enumerate(planned) if isinstance(draft, Draft)
        }  # fmt: skip
        tie = 0.0 if held else seal.INSTALL_PLAIN_WITHIN
        targets = {place: self._cache / "frames" / self._cache_key(planned[place], manifest, held) for place in jobs}
        running = {
            self._executor.submit(encode_frame, outputs, bases, str(targets[place]), tie): place
            for place, (outputs, bases) in jobs.items()
        }
        done: dict[int, Frame] = {}
        try:
            for future in as_completed(running):
                place = running[future]
                kind, length, used, needs = future.result()
                draft = planned[place]
                bases = tuple(draft.bases[number] for number in used)
                done[place] = Frame(kind, 0, 0, length, draft.outputs, bases, needs)
                progress(len(done), len(running))
        finally:
            for future in running:
                future.cancel()
        frames = tuple(frame if isinstance(frame, Frame) else done[place] for place, frame in enumerate(planned))
        return frames, [targets[place] for place in sorted(targets)]

    def _runs(self, pieces: Iterable[Piece], manifest: Manifest, held: Manifest | None) -> list[Run]:
        return [
            (str(self._path_of(digest)), piece.offset, piece.length)
            for piece, digest in zip(pieces, _digests(pieces, manifest, held), strict=True)
        ]

    def _cache_key(self, draft: Frame | Draft, manifest: Manifest, held: Manifest | None) -> str:
        hasher = hashlib.sha256(f"{ENCODER_VERSION} {held is None}".encode())
        for pieces, older in ((draft.outputs, None), (draft.bases, held)):
            for piece, digest in zip(pieces, _digests(pieces, manifest, older), strict=True):
                hasher.update(digest + piece.offset.to_bytes(8) + piece.length.to_bytes(8))
            hasher.update(b"|")
        name = hasher.hexdigest()
        return f"{name[:2]}/{name}"

    def _features(self, digest: bytes, piece: Piece) -> Features:
        """Features of a piece, from the cache where they are there."""
        path = self._cache / "features" / digest.hex()[:2] / f"{digest.hex()}-{piece.offset}"
        try:
            return np.fromfile(path, dtype=np.uint64)
        except FileNotFoundError:
            features = find_features([_read_run((str(self._path_of(digest)), piece.offset, piece.length))])
            shelf.put_cached(path, features.tobytes())
            return features


def encode_frame(
    outputs: Sequence[Run], bases: Sequence[Run], target: str, plain_if_within: float
) -> tuple[str, int, list[int], int]:
    """Encode one frame into the cache file `target`, unless it is there; give kind, length, bases used and needs.

    Runs in a worker process. All but the bytes lies in a small file beside them.
    """
    path = Path(target)
    about_path = path.with_suffix(".json")
    if not (path.exists() and about_path.exists()):
        made = seal.encode(
            b"".join(map(_read_run, outputs)), list(map(_read_run, bases)), plain_if_within=plain_if_within
        )
        shelf.put_cached(path, made.data)
        shelf.put_cached(about_path, json.dumps([made.kind, made.bases, made.needs]).encode())
    kind, used, needs = json.loads(about_path.read_bytes())
    return kind, path.stat().st_size, used, needs


def write_pack(folder: Path, pack: Pack) -> None:
    """Lay a pack down under a publisher's folder, durably, whole or not at all."""
    shelf.join(folder / pack.name, pack.head, pack.bodies)


def kept_frames(
    manifest: Manifest, earlier: Manifest, frames: Sequence[Frame], packs: Sequence[str], earlier_name: str
) -> tuple[Sequence[Frame], Sequence[str]]:
    """Choose what of an earlier first install still holds; give frames and the packs they lie in, renumbered.

    Nothing, when it has come to lie in too many packs.
    """
    kept = seal.find_kept(manifest, earlier, frames)
    names = [earlier_name, *packs]
    used = sorted({frame.pack for frame in kept})
    if len(used) > INSTALL_PACKS_MAX:
        return (), ()
    number_of = {pack: number for number, pack in enumerate(used, start=1)}
    return [replace(frame, pack=number_of[frame.pack]) for frame in kept], [names[pack] for pack in used]


def _digests(pieces: Iterable[Piece], manifest: Manifest, held: Manifest | None) -> Iterable[bytes]:
    shift = len(held.contents) if held else 0
    for piece in pieces:
        older = held is not None and piece.content < shift
        contents = held.contents if older and held else manifest.contents
        yield contents[piece.content - (0 if older else shift)].digest


def _read_run(run: Run) -> bytes:
    path, offset, length = run
    with Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _plain_size(frames: Iterable[Frame]) -> int:
    return sum(frame.size for frame in frames)

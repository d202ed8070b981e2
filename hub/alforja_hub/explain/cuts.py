"""Tell what it costs that a pack is cut into frames, by encoding all that they give as one frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from alforja_hub.encoding import Run
from alforja_packaging import seal
from alforja_packaging.frames import NEEDS_ZLIB, PATCH_MAX_BYTES, Piece
from alforja_packaging.index import Opened
from alforja_packaging.manifest import File, Manifest


@dataclass(frozen=True, slots=True)
class Cuts:
    """How many frames there are, their bytes, and about how many bytes one frame would have; None: it may not be."""

    frames: int
    bytes: int
    as_one: int | None


def weigh_cuts(manifest: Manifest, held: Manifest | None, opened: Opened, path_of: Callable[[bytes], Path]) -> Cuts:
    """Encode what the frames give as one, from all held bases. It takes as long as publishing. Raises StoreError."""
    frames = opened.index.everybodys
    own = len(held.contents) if held else 0
    bases = dict.fromkeys(base for frame in frames for base in frame.bases if base.content < own)
    cut = Cuts(len(frames), sum(frame.length for frame in frames), None)
    if not frames or sum(frame.size for frame in frames) > PATCH_MAX_BYTES:
        return cut
    output = b"".join(_read(piece, manifest.contents, path_of) for frame in frames for piece in frame.outputs)
    held_bytes = [_read(base, held.contents, path_of) for base in bases] if held else []
    return Cuts(cut.frames, cut.bytes, len(seal.encode(output, held_bytes, able=NEEDS_ZLIB if held else 0).data))


def _read(piece: Piece, contents: Sequence[File], path_of: Callable[[bytes], Path]) -> bytes:
    return Run(str(path_of(contents[piece.content].digest)), piece.offset, piece.length).read()

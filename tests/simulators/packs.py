"""Packs in memory: seal trees, and read them back with the reference reader."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from alforja_packaging import seal
from alforja_packaging.frames import Frame, Piece
from alforja_packaging.index import Index, Opened, format_head, parse_head, sign_name
from alforja_packaging.manifest import Manifest
from alforja_packaging.seal import Draft
from alforja_packaging.similarity import Features, find_features
from alforja_packaging.unseal import unseal

Contents = Mapping[bytes, bytes]


@dataclass(frozen=True)
class Sealed:
    """A pack, the manifest it leads to, and other packs it refers to."""

    manifest: Manifest
    data: bytes
    packs: tuple[bytes, ...] = ()

    @property
    def opened(self) -> Opened:
        """Its index, for a first install."""
        return parse_head(self.data, None)

    def read(self, pack: int, offset: int, length: int) -> bytes:
        """Bytes of one of its packs."""
        return (self.data, *self.packs)[pack][offset : offset + length]


def contents_of(*trees: Mapping[str, bytes]) -> Contents:
    """The contents of trees by digest."""
    return {hashlib.sha256(data).digest(): data for tree in trees for data in tree.values()}


def seal_install(manifest: Manifest, contents: Contents, earlier: Sealed | None = None) -> Sealed:
    """Seal a first install, around what of an earlier one still holds."""
    kept: Sequence[Frame] = ()
    packs: tuple[bytes, ...] = ()
    if earlier is not None:
        packs = (earlier.data, *earlier.packs)
        found = seal.find_kept(manifest, earlier.manifest, earlier.opened.index.frames)
        kept = [replace(frame, pack=frame.pack + 1) for frame in found]
    planned = seal.plan_install(manifest, kept, _features_of(contents), _packed_of(contents))
    names = tuple(f"{manifest.course.id}.{number + 1}/install" for number in range(len(packs)))
    return replace(_finish(manifest, None, planned, contents, packs=names), packs=packs)


def seal_update(manifest: Manifest, held: Manifest, contents: Contents, *, elide: bool = True) -> Sealed:
    """Seal an update."""
    planned = seal.plan_update(manifest, held, _features_of(contents), _packed_of(contents))
    return _finish(manifest, held, planned, contents, moves=seal.find_moves(manifest, held), elide=elide)


def read_back(sealed: Sealed, held: Manifest | None = None, contents: Contents | None = None) -> Contents:
    """All contents of a sealed release, verified."""
    digest, _ = sign_name(sealed.manifest)
    manifest, found = unseal(sealed.data, sealed.read, held, contents or {}, digest)
    assert manifest == sealed.manifest
    return found


def _features_of(contents: Contents) -> seal.FeaturesOf:
    def features(digest: bytes, piece: Piece) -> Features:
        return find_features([contents[digest][piece.offset : piece.offset + piece.length]])

    return features


def _packed_of(contents: Contents) -> seal.PackedOf:
    def packed(digest: bytes, piece: Piece) -> int:
        return len(zlib.compress(contents[digest][piece.offset : piece.offset + piece.length], 1))

    return packed


def _finish(
    manifest: Manifest, held: Manifest | None, planned: Sequence[Frame | Draft], contents: Contents, *,
    moves: tuple[tuple[int, int], ...] = (), packs: tuple[str, ...] = (), elide: bool = False,
) -> Sealed:  # fmt: skip
    old = [contents[content.digest] for content in held.contents] if held else []
    new = [contents[content.digest] for content in manifest.contents]
    frames, bodies = [], []
    for one in planned:
        if isinstance(one, Frame):
            frames.append(one)
            continue
        made = seal.encode(_join(one.outputs, new), [_join([base], [*old, *new]) for base in one.bases])
        bases = tuple(one.bases[place] for place in made.bases)
        frames.append(Frame(made.kind, 0, 0, len(made.data), one.outputs, bases, made.needs))
        bodies.append(made.data)
    index = Index(held.release if held else None, tuple(frames), moves, packs)
    return Sealed(manifest, format_head(index, manifest, held, elide=elide) + b"".join(bodies))


def _join(pieces: Sequence[Piece], contents: Sequence[bytes]) -> bytes:
    return b"".join(contents[piece.content][piece.offset : piece.offset + piece.length] for piece in pieces)

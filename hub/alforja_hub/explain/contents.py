"""Read the files that an explanation is about: weigh them, and compare old with new."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alforja_hub.explain.hints import Difference, compare, make_hints
from alforja_hub.explain.rows import Explained, Row, Weighed, make_rows
from alforja_hub.explain.tracing import trace
from alforja_packaging import codec
from alforja_packaging.errors import StoreError
from alforja_packaging.frames import Frame, Piece
from alforja_packaging.index import Opened
from alforja_packaging.manifest import File, Manifest
from alforja_packaging.patch import InMemory, open_patch
from alforja_packaging.seal import FeaturesOf
from alforja_packaging.similarity import Candidate, Features, Pool

_QUICK = {"compression_level": 3, "checksum_flag": 0, "content_size_flag": 0, "enable_long_distance_matching": 0}
_PREFIX_MAX_BYTES = 8 * 2**20
_TOLD_BYTES = 4  # that a recipe takes for a cover or a closing
_FEW_BASES = 3  # are all shown without asking which of them serve
_WORTH = 64  # as in an update: a base serves for one byte in so many of its own
_COMPARED_MAX_BYTES = 2**20


def explain(
    manifest: Manifest,
    held: Manifest | None,
    opened: Opened,
    path_of: Callable[[bytes], Path],
    features_of: FeaturesOf,
    *,
    read_frame: Callable[[Frame], bytes],
) -> Explained:
    """Say what a pack costs a school, file by file. Raises StoreError when a file is missing in the workspace."""
    contents = Contents(manifest, held, path_of, features_of, read_frame)
    rows = make_rows(manifest, held, opened.index, contents.weigh)
    plain = Explained(held.release if held else None, manifest.release, opened.head_length, tuple(rows))
    return replace(plain, hints=tuple(make_hints(rows, list(contents.differences(rows)), plain.total)))


def _quick_size(data: bytes, prefix: bytes = b"") -> int:
    empty = len(codec.compress(b"", options=_QUICK))
    return max(len(codec.compress(data, prefix=prefix, options=_QUICK)) - empty, 1 if data else 0)


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of two releases, by the numbers an index uses."""

    manifest: Manifest
    held: Manifest | None
    path_of: Callable[[bytes], Path]
    features_of: FeaturesOf
    read_frame: Callable[[Frame], bytes]

    def weigh(self, frame: Frame) -> Sequence[Weighed]:
        """Weigh each output by what it takes alone.

        Of a patch that is what the patch itself says of it: what is new packed quickly,
        and a few bytes for whatever is copied; the bases are those it is copied from. Of
        other kinds it is zstd's level 3, with the bases that serve it as prefix: the held
        content of its own path if the frame has it, else what resembles it.
        """
        if frame.kind == "patch":
            return list(self._trace(frame))
        ranked = self._ranking(frame)
        return [self._weigh(piece, frame, ranked) for piece in frame.outputs]

    def _trace(self, frame: Frame) -> Iterator[Weighed]:
        outputs = [self._read(piece, new=True) for piece in frame.outputs]
        bases = b"".join(self._read(base) for base in frame.bases)
        packed = InMemory(self.read_frame(frame))
        output = b"".join(outputs)
        opened = open_patch(packed, InMemory(bases), len(output), f"release {self.manifest.release}: a frame")
        sizes, base_sizes = [one.length for one in frame.outputs], [one.length for one in frame.bases]
        for traced in trace(opened, output, sizes, base_sizes):
            serving = [place for place, count in traced.copied.items() if count * _WORTH >= traced.plain]
            numbers = dict.fromkeys(frame.bases[place].content for place in serving)
            said = _TOLD_BYTES * (traced.covers + traced.closings)
            new = sum(_quick_size(b"".join(run)) for run in (traced.literals, traced.differences))
            yield Weighed(said + new, tuple(numbers), opened=traced.closings > 0)

    def _weigh(self, piece: Piece, frame: Frame, ranked: Callable[[Piece], Sequence[Piece]]) -> Weighed:
        serving = self._own(piece, frame) or ranked(piece)
        numbers = tuple(dict.fromkeys(base.content for base in serving))
        if len(frame.outputs) == 1:
            return Weighed(1, numbers)
        data = self._read(piece, new=True)
        prefix = b"".join(self._read(base) for base in serving)[:_PREFIX_MAX_BYTES]
        return Weighed(_quick_size(data, prefix), numbers)

    def _own(self, piece: Piece, frame: Frame) -> list[Piece]:
        """The bases that are the held content of the piece's own path."""
        file = self.held.by_path.get(self.manifest.contents[piece.content].path) if self.held else None
        if self.held is None or file is None:
            return []
        number = self.held.number_of[file.digest]
        return [base for base in frame.bases if base.content == number]

    def _ranking(self, frame: Frame) -> Callable[[Piece], Sequence[Piece]]:
        """Give what finds the bases that resemble an output; prepared only when it is asked."""
        pools: list[Pool] = []

        def rank(piece: Piece) -> Sequence[Piece]:
            if not frame.bases or (len(frame.outputs) == 1 and len(frame.bases) <= _FEW_BASES):
                return frame.bases
            if not pools:
                found = [Candidate(self._features(base), base.length, -1) for base in frame.bases]
                pools.append(Pool(found, worth=_WORTH))
            best = pools[0].rank(self._features(piece, new=True), frame=0, budget=_PREFIX_MAX_BYTES)
            return [frame.bases[place] for place in best[:_FEW_BASES]]

        return rank

    def differences(self, rows: Sequence[Row]) -> Iterator[tuple[Row, Difference]]:
        """Compare changed files with what they were, as far as they are small enough to be pages."""
        if self.held is None:
            return
        for row in rows:
            old, new = self.held.by_path.get(row.path), self.manifest.by_path[row.path]
            if row.reason == "changed" and old and max(old.size, new.size) <= _COMPARED_MAX_BYTES:
                yield row, compare(self._read_run(old.digest, 0, old.size), self._read_run(new.digest, 0, new.size))

    def _features(self, piece: Piece, *, new: bool = False) -> Features:
        return self.features_of(self._file(piece, new=new).digest, piece)

    def _read(self, piece: Piece, *, new: bool = False) -> bytes:
        return self._read_run(self._file(piece, new=new).digest, piece.offset, piece.length)

    def _file(self, piece: Piece, *, new: bool) -> File:
        """The file of a base, or of an output: those are numbered in the new release alone."""
        held = self.held.contents if self.held and not new else ()
        number = piece.content
        return held[number] if number < len(held) else self.manifest.contents[number - len(held)]

    def _read_run(self, digest: bytes, offset: int, length: int) -> bytes:
        path = self.path_of(digest)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            raise StoreError(f"{path}: is missing", advice="bring the folder `workspace` back from a copy") from None

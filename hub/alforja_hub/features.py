"""Features of files in the workspace: found on all cores, and kept, so that each file is read for them once."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path

import numpy as np

from alforja_hub import shelf
from alforja_hub.encoding import Progress, Run
from alforja_packaging.frames import Piece, cut
from alforja_packaging.manifest import Manifest
from alforja_packaging.similarity import Features, find_features, sketch

_BATCH_BYTES = 16 * 2**20
_BATCH_MAX = 500  # pieces: a report of progress for each batch

Entry = tuple[Run, str]
"""A run of bytes, and the file that keeps its features."""


class FeatureShelf:
    """Features by digest and place. What was asked for once stays in memory: every kept release asks again."""

    def __init__(self, path_of: Callable[[bytes], Path], folder: Path) -> None:
        self._path_of, self._folder = path_of, folder
        self._known: dict[tuple[bytes, int], Features] = {}

    def of(self, digest: bytes, piece: Piece) -> Features:
        """Features of a piece of the content with this digest. Raises StoreError when its file is missing."""
        key = (digest, piece.offset)
        found = self._known.get(key)
        if found is None:
            run, path = self._entry(digest, piece)
            found = self._known[key] = _find(run, path)
        return found

    def sketch_of(self, manifest: Manifest) -> Features:
        """A sample of the features of all contents of a release. Raises StoreError."""
        name = hashlib.sha256(b"".join(file.digest for file in manifest.contents)).hexdigest()
        path = self._folder / "sketches" / name
        try:
            return np.fromfile(path, dtype=np.uint64)
        except FileNotFoundError:
            entries = (
                self._entry(file.digest, piece) for file in manifest.contents for piece in cut(0, file.size)
            )  # fmt: skip
            found = sketch(_find(*entry) for entry in entries)
            shelf.put_cached(path, found.tobytes())
            return found

    def find_all(self, manifests: Iterable[Manifest], executor: Executor, progress: Progress) -> None:
        """Find the features of all contents that nobody has asked for yet. Raises StoreError."""
        contents = {file.digest: file.size for manifest in manifests for file in manifest.contents}
        entries = [
            self._entry(digest, piece) for digest, size in contents.items() for piece in cut(0, size)
        ]  # fmt: skip
        missing = [entry for entry in entries if not shelf.touch(Path(entry[1]))]
        total, done = sum(run.length for run, _ in missing), 0
        running = {executor.submit(find_features_of, batch): batch for batch in _batches(missing)}
        try:
            for future in as_completed(running):
                future.result()
                done += sum(run.length for run, _ in running[future])
                progress("reading", done, total)
        finally:
            for future in running:
                future.cancel()

    def _entry(self, digest: bytes, piece: Piece) -> Entry:
        path = self._folder / digest.hex()[:2] / f"{digest.hex()}-{piece.offset}"
        return Run(str(self._path_of(digest)), piece.offset, piece.length), str(path)


def find_features_of(batch: Sequence[Entry]) -> None:
    """Find the features of some runs of bytes, and keep them. Runs in a worker process."""
    for run, path in batch:
        _find(run, path)


def _find(run: Run, path: str) -> Features:
    try:
        return np.fromfile(path, dtype=np.uint64)
    except FileNotFoundError:
        features = find_features([run.read()])
        shelf.put_cached(Path(path), features.tobytes())
        return features


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry[0].length
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_MAX:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

"""Turn what has arrived of a pack into verified files. Synchronous: runs in a thread.

Every function may be cut off at any instruction and called again: what is known
is read from the disk, never from memory of an earlier run.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alforja_node import disk
from alforja_node.offers import Hop
from alforja_node.planner import Have, Way, core_frames
from alforja_node.store import Store
from alforja_packaging.errors import StoreError, VerifyError
from alforja_packaging.frames import Frame, Material, Piece, decode
from alforja_packaging.index import Opened, parse_head
from alforja_packaging.manifest import Manifest


class DamagedBase(StoreError):
    """A held file has rotted, so nothing can be built on it."""

    def __init__(self, digests: frozenset[bytes]) -> None:
        super().__init__(f"store: {len(digests)} held file(s) no longer have their content")
        self.digests = digests


@dataclass(frozen=True, slots=True)
class OnDisk:
    """Bytes read by position from the files they are in: a frame's bases, or what has arrived of it."""

    runs: tuple[tuple[Path, int, int], ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(length for _, _, length in self.runs)

    def read(self, offset: int, length: int) -> bytearray:
        """Give `length` bytes from `offset` over all runs. Raises StoreError."""
        data = bytearray()
        at = 0
        for path, start, run in self.runs:
            skip = max(0, offset + len(data) - at)
            if skip < run and len(data) < length:
                wanted = min(run - skip, length - len(data))
                with disk.reporting(path), path.open("rb") as file:
                    file.seek(start + skip)
                    data += file.read(wanted)
            at += run
        return data


class Arrival:
    """One hop whose index has arrived, and the files it leads to.

    `manifest` is None while its digests still wait to be computed from all frames
    together.
    """

    def __init__(
        self, store: Store, hop: Hop, opened: Opened, held: Manifest | None, manifest: Manifest | None
    ) -> None:
        self.hop, self.opened, self.manifest = hop, opened, manifest
        self._store, self._held = store, held

    def share_out_spare(self) -> None:
        """Give the bytes that came behind the index to the frames they belong to."""
        spare = self._store.spare_path(self.hop.pack, self.hop.head)
        there = disk.length_of(spare)
        if not there:
            return
        data = spare.read_bytes()
        for frame in self.opened.index.frames:
            part = data[frame.offset - self.hop.head :][: frame.length] if frame.pack == 0 else b""
            if len(part) > self._store.arrived(self._pack(frame), frame):
                disk.write_at(self._arrived(frame), 0, part)
                disk.sync(self._arrived(frame))
        disk.remove(spare)

    def way(self, held: Mapping[bytes, int]) -> Way:
        """Describe for the planner what is there of this hop. `held` are the files of the ledger."""
        done, arrived = set(), {}
        for number, frame in enumerate(self.opened.index.frames):
            here = self._store.arrived(self._pack(frame), frame)
            if here >= frame.length if self.manifest is None else self._is_done(frame, held):
                done.add(number)
            else:
                arrived[number] = here
        cores = core_frames(self.manifest.course.lessons(), self.opened) if self.manifest else ()
        return Way(self.hop, Have(self.hop.head, frozenset(done), arrived), self.opened, cores)

    def waiting(self, held: Mapping[bytes, int]) -> list[int]:
        """The frames that have arrived whole and can be decoded now."""
        if self.manifest is None:
            return []
        return [
            number
            for number, frame in enumerate(self.opened.index.frames)
            if not self._is_done(frame, held) and self._store.arrived(self._pack(frame), frame) >= frame.length
        ]

    def decode(self, number: int, held: Mapping[bytes, int]) -> list[tuple[bytes, int]]:
        """Decode one arrived frame; take in every file it completes, and give their digests and sizes.

        Raises VerifyError when the bytes are wrong (they are dropped), DamagedBase
        when a held file is the reason.
        """
        assert self.manifest is not None
        frame = self.opened.index.frames[number]
        known = self.manifest.contents
        wanted = [piece for piece in frame.outputs if known[piece.content].digest not in held]
        try:
            self._write(frame, {piece.content for piece in wanted})
            taken = []
            for piece in wanted:
                content = known[piece.content]
                if piece.offset + piece.length == content.size:
                    self._store.adopt(self._staged(piece.content), content.digest, content.path)
                    taken.append((content.digest, content.size))
        except VerifyError:
            self._drop(frame)
            self._blame_bases(frame)
            raise
        return taken

    def clear(self, number: int) -> None:
        """Drop the bytes of a frame whose output the ledger knows to be held, or that is staged."""
        disk.remove(self._arrived(self.opened.index.frames[number]))

    def finish(self) -> tuple[Manifest, list[tuple[bytes, int]]]:
        """Decode all frames, compute what digests were left out, and take everything in.

        Only for an index without digests: either the manifest comes out as signed,
        and with it every file is verified, or nothing is kept. Raises VerifyError,
        DamagedBase.
        """
        frames = self.opened.index.frames
        contents = sorted({piece.content for frame in frames for piece in frame.outputs})
        try:
            for frame in frames:
                self._write(frame, {piece.content for piece in frame.outputs})
            computed = {content: disk.digest_of(self._staged(content))[0] for content in contents}
            manifest = self.opened.complete(computed, self.hop.offer.manifest_digest, self.hop.offer.bundle)
        except VerifyError:
            for frame in frames:
                self._drop(frame)
            for frame in frames:
                self._blame_bases(frame)
            raise
        taken = []
        for number in contents:
            content = manifest.contents[number]
            self._store.adopt(self._staged(number), content.digest, content.path)
            taken.append((content.digest, content.size))
        return manifest, taken

    def _is_done(self, frame: Frame, held: Mapping[bytes, int]) -> bool:
        assert self.manifest is not None
        digests = [(piece, self.manifest.contents[piece.content].digest) for piece in frame.outputs]
        # While a frame's bytes lie here, what was decoded of it may not be durable yet.
        return all(
            digest in held
            or (not self._arrived(frame).exists() and self._store.is_staged(self.hop.offer.bundle, piece))
            for piece, digest in digests
        )

    def _write(self, frame: Frame, wanted: set[int]) -> None:
        """Decode a frame into the staged files of the contents that are wanted, durably."""
        packed = OnDisk(((self._arrived(frame), 0, frame.length),))
        bases = OnDisk(tuple((self._base_path(base), base.offset, base.length) for base in frame.bases))
        paths = {piece.content: self._staged(piece.content) for piece in frame.outputs if piece.content in wanted}
        for piece in frame.outputs:
            if piece.content in wanted and piece.length == 0:
                disk.write_at(paths[piece.content], 0, b"")
        what = f"{self._pack(frame)} at byte {frame.offset}"
        with disk.Scratch(self._store.root) as scratch:
            for piece, data in decode(frame, Material(packed, bases, scratch, what)):
                if piece.content in wanted:
                    disk.write_at(paths[piece.content], piece.offset, data)
        for path in paths.values():
            disk.sync(path)

    def _base_path(self, base: Piece) -> Path:
        if base.content < self.opened.held_count:
            assert self._held is not None
            return self._store.path_of(self._held.contents[base.content].digest)
        number = base.content - self.opened.held_count
        if self.manifest is None:
            return self._staged(number)
        return self._store.path_of(self.manifest.contents[number].digest)

    def _blame_bases(self, frame: Frame) -> None:
        """Raise DamagedBase if wrong output comes from a file that has rotted here."""
        if self._held is None:
            return
        digests = {
            self._held.contents[base.content].digest for base in frame.bases if base.content < self.opened.held_count
        }
        rotten = frozenset(digest for digest in digests if _has_rotted(self._store.path_of(digest), digest))
        if rotten:
            raise DamagedBase(rotten)

    def _drop(self, frame: Frame) -> None:
        disk.remove(self._arrived(frame))
        for piece in frame.outputs:
            disk.remove(self._staged(piece.content))

    def _pack(self, frame: Frame) -> str:
        return self.hop.pack_path(self.opened.index.packs, frame.pack)

    def _arrived(self, frame: Frame) -> Path:
        return self._store.arrived_path(self._pack(frame), frame.offset, frame.length)

    def _staged(self, content: int) -> Path:
        return self._store.staged_path(self.hop.offer.bundle, content)


def head_path(store: Store, hop: Hop) -> Path:
    """Where the bytes of a hop's index gather."""
    return store.arrived_path(hop.pack, 0, hop.head)


def open_arrival(store: Store, hop: Hop, held: Manifest | None, known: Manifest | None) -> Arrival | None:
    """Open a hop's index if all of it has arrived.

    `known` is the release's manifest where it is held already (a repair). Raises
    VerifyError or FormatError, and drops the index, when it is not what was signed.
    """
    path = head_path(store, hop)
    if disk.length_of(path) < hop.head:
        return None
    try:
        opened = parse_head(path.read_bytes()[: hop.head], held, signed_length=hop.offer.manifest_length)
        if hop.head + sum(frame.length for frame in opened.index.frames) > hop.total:
            raise VerifyError(f"{hop.pack}: its index asks for more than the {hop.total} bytes that were signed for")
        manifest = known
        if manifest is None and not opened.missing:
            manifest = opened.complete({}, hop.offer.manifest_digest, hop.offer.bundle)
        if manifest is not None and [content.size for content in manifest.contents] != [
            size for _, size in opened.skeleton.contents
        ]:
            raise VerifyError(f"{hop.pack}: its index is for another manifest")
    except Exception:
        disk.remove(path)
        raise
    arrival = Arrival(store, hop, opened, held, manifest)
    arrival.share_out_spare()
    return arrival


def _has_rotted(path: Path, digest: bytes) -> bool:
    with suppress(StoreError):
        return disk.digest_of(path)[0] != digest
    return True

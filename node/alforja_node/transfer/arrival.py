"""Turn what has arrived of a pack into verified files. Synchronous: runs in a thread.

Every function may be cut off at any instruction and called again: what is known
is read from the disk, never from memory of an earlier run.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alforja_node import disk
from alforja_node.offers import Hop
from alforja_node.planning.parts import make_parts
from alforja_node.planning.ways import Have, Kind, Part, Urgency, Way
from alforja_node.selection import Frames, Givers, asked_by, choose_frames, part_frames
from alforja_node.store import Store
from alforja_packaging.abilities import Ability, find_abilities
from alforja_packaging.errors import FormatError, StoreError, VerifyError
from alforja_packaging.frames import Frame, Material, Piece, decode
from alforja_packaging.index import Opened, parse_head
from alforja_packaging.manifest import Manifest

Taken = list[tuple[bytes, int]]
"""Digests and sizes of files that the store has taken in."""


NOT_URGENT: Final = Urgency()

Fault = VerifyError | FormatError
"""What is wrong with the bytes of a frame."""


class DamagedBase(StoreError):
    """A held file has rotted, so nothing can be built on it."""

    def __init__(self, digests: frozenset[bytes]) -> None:
        super().__init__(f"store: {len(digests)} held file(s) no longer have their content")
        self.digests = digests


@dataclass(frozen=True, slots=True)
class Means:
    """What this node can do, and how many bytes of its disk must stay free."""

    able: Ability = find_abilities
    reserve_bytes: int = 0


class Arrival:
    """One hop whose index has arrived, and the files it leads to.

    `manifest` is None while its digests still wait to be computed from all frames
    together; `frames` are the numbers of those that this node takes.
    """

    def __init__(
        self, store: Store, means: Means, hop: Hop, opened: Opened, *, held: Manifest | None, manifest: Manifest | None
    ) -> None:
        """Raises FormatError when this node cannot undo what the index offers."""
        self.hop, self.opened, self.manifest = hop, opened, manifest
        self.frames = choose_frames(opened, means.able(asked_by(opened.index.frames)))
        self._store, self._means, self._held = store, means, held
        self._here = bytearray(len(opened.skeleton.table.sizes))  # of each content, whether the ledger knows it as held
        self._parted: tuple[Frames, Frames, tuple[Part, ...], Mapping[int, Frames]] | None = None

    @property
    def cost(self) -> int:
        """Bytes of the head and of all frames that this node takes."""
        return self.hop.head + sum(self.opened.index.frames[number].length for number in self.frames)

    def share_out_spare(self) -> None:
        """Give the bytes that came behind the index to the frames they belong to."""
        spare = self._store.spare_path(self.hop.pack, self.hop.head)
        there = disk.length_of(spare)
        if not there:
            return
        data = spare.read_bytes()
        for frame in self._frames():
            part = data[frame.offset - self.hop.head :][: frame.length] if frame.pack == 0 else b""
            if len(part) > self._store.arrived(self._pack(frame), frame):
                disk.write_at(self._arrived(frame), 0, part)
                disk.sync(self._arrived(frame))
        disk.remove(spare)

    def way(self, held: Container[bytes], *, served: bool = False, urgency: Urgency = NOT_URGENT) -> Way:
        """Describe for the planner what is there of this hop. `held` are the files of the ledger."""
        self._note_here(self._frames(), held)
        done, arrived = set(), {}
        for number in self.frames:
            frame = self.opened.index.frames[number]
            if self.manifest is not None and self._is_done(frame):
                done.add(number)
                continue
            here = self._store.arrived(self._pack(frame), frame)
            if self.manifest is None and here >= frame.length:
                done.add(number)
            else:
                arrived[number] = here
        if self._parted is None:
            self._parted = self._part(done)
        have = Have(self.hop.head, frozenset(done), arrived)
        return Way(self.hop, have, self.opened, *self._parted, served=served, urgency=urgency)

    def waiting(self, held: Container[bytes]) -> list[int]:
        """The frames that have arrived whole and can be decoded now."""
        if self.manifest is None:
            return []
        self._note_here(self._frames(), held)
        return [
            number
            for number in self.frames
            for frame in [self.opened.index.frames[number]]
            if not self._is_done(frame) and self._store.arrived(self._pack(frame), frame) >= frame.length
        ]

    def decode(self, number: int, held: Container[bytes]) -> tuple[Taken, Fault | DamagedBase | None]:
        """Decode one arrived frame; take in every file it completes, and give their digests and sizes.

        Wrong bytes are dropped, and what is wrong is given (DamagedBase when a held
        file is the reason); what verified all the same is taken in.
        """
        assert self.manifest is not None
        frame = self.opened.index.frames[number]
        self._note_here([frame], held)
        wanted = [piece for piece in frame.outputs if not self._here[piece.content]]
        begun = {piece.content for piece in wanted}
        ended = {piece.content for piece in wanted if self._ends(piece)}
        got, fault = self._write_or_fail(frame, begun)
        taken = []
        for place in sorted(ended if fault is None else got):
            content = self.manifest.contents[place]
            try:
                self._store.adopt(self._staged(place), content.digest, content.path, got.get(place))
                taken.append((content.digest, content.size))
            except VerifyError as error:
                fault = fault or error
        self._store.settle(digest for digest, _ in taken)
        if fault is None:
            for place in begun - ended:
                disk.sync(self._staged(place))
            return taken, None
        self._drop(frame)
        return taken, self._damage_under([frame]) or fault

    def clear(self, number: int) -> None:
        """Drop the bytes of a frame whose output the ledger knows to be held, or that is staged."""
        disk.remove(self._arrived(self.opened.index.frames[number]))

    def finish(self) -> tuple[Manifest, list[tuple[bytes, int]]]:
        """Decode all frames, compute what digests were left out, and take everything in.

        Only for an index without digests: either the manifest comes out as signed,
        and with it every file is verified, or nothing is kept. Raises VerifyError,
        DamagedBase.
        """
        contents = sorted({piece.content for frame in self._frames() for piece in frame.outputs})
        computed: dict[int, bytes] = {}
        try:
            for frame in self._frames():
                got, fault = self._write_or_fail(frame, {piece.content for piece in frame.outputs})
                if fault:
                    raise fault
                computed |= got
            for number in contents:
                computed[number] = computed.get(number) or disk.digest_of(self._staged(number))[0]
            manifest = self.opened.complete(computed, self.hop.offer.manifest_digest, self.hop.offer.bundle)
        except (VerifyError, FormatError):
            for frame in self._frames():
                self._drop(frame)
            if damage := self._damage_under(self._frames()):
                raise damage from None
            raise
        taken = []
        for number in contents:
            content = manifest.contents[number]
            self._store.adopt(self._staged(number), content.digest, content.path, computed[number])
            taken.append((content.digest, content.size))
        self._store.settle(digest for digest, _ in taken)
        return manifest, taken

    def _frames(self) -> Iterator[Frame]:
        return (self.opened.index.frames[number] for number in self.frames)

    def _part(self, done: set[int]) -> tuple[Frames, Frames, tuple[Part, ...], Mapping[int, Frames]]:
        """Tell which frames are for which part of which lesson; without a manifest they all come together."""
        core, rest = part_frames(self.opened, self.frames, done, self._cores())
        older = self._held if self._held and self._held.course.id == self.hop.offer.course else None
        if self.manifest is None:
            return core, rest, (Part("", 0, Kind.CORE, self.frames, in_use=older is not None),), {}
        givers = Givers(self.opened, self.frames)
        in_use = {lesson.id for lesson in older.course.lessons()} if older else ()
        return core, rest, make_parts(self.manifest, givers, in_use), givers.under()

    def _cores(self) -> Iterator[frozenset[int]]:
        """For each lesson, the contents that its core needs."""
        manifest = self.manifest
        if manifest is not None:
            for lesson in manifest.course.lessons():
                yield manifest.contents_of(lesson.needed)

    def _note_here(self, frames: Iterable[Frame], held: Container[bytes]) -> None:
        """Look up which contents of frames have come to be held: by this pack, or by another course's."""
        if self.manifest is not None:
            table = self.manifest.as_table
            for frame in frames:
                for piece in frame.outputs:
                    if not self._here[piece.content] and table.digest(piece.content) in held:
                        self._here[piece.content] = True

    def _is_done(self, frame: Frame) -> bool:
        # While a frame's bytes lie here, what was decoded of it may not be durable yet.
        missing = [piece for piece in frame.outputs if not self._here[piece.content]]
        return not missing or (
            not self._arrived(frame).exists()
            and all(self._store.is_staged(self.hop.offer.bundle, piece) for piece in missing)
        )

    def _write_or_fail(self, frame: Frame, wanted: set[int]) -> tuple[dict[int, bytes], Fault | None]:
        """Decode a frame into the staged files of the contents that are wanted; give the digests of the whole ones.

        Durable only once they are synced. Raises DamagedBase when a base cannot be read.
        """
        got: dict[int, bytes] = {}
        what = f"{self._pack(frame)} at byte {frame.offset}"
        reserve = self._means.reserve_bytes and disk.reserve_of(self._store.root, self._means.reserve_bytes)
        with (
            disk.OnDisk([(0, frame.length)], lambda _: self._arrived(frame)) as packed,
            disk.OnDisk(
                ((base.offset, base.length) for base in frame.bases), lambda run: self._base_path(frame.bases[run])
            ) as bases,
            self._store.scratch(reserve) as scratch,
            disk.Staging() as staging,
        ):
            for piece in frame.outputs:
                if piece.length == 0 and piece.content in wanted:
                    staging.write(path := self._staged(piece.content), 0, b"")
                    self._note_digest(piece, path, staging, got)
            try:
                content, path = -1, self._store.root
                for piece, data in decode(frame, Material(packed, bases, scratch, what)):
                    if piece.content in wanted:
                        if piece.content != content:
                            content, path = piece.content, self._staged(piece.content)
                        staging.write(path, piece.offset, data)
                        self._note_digest(piece, path, staging, got)
            except (VerifyError, FormatError) as error:
                return got, error
            except disk.DiskFull:
                raise
            except StoreError:
                if damage := self._damage_under([frame]):
                    raise damage from None
                raise
        return got, None

    def _note_digest(self, piece: Piece, path: Path, staging: disk.Staging, got: dict[int, bytes]) -> None:
        if self._ends(piece):
            digest = staging.digest(path, self._size(piece.content))
            if digest is not None:
                got[piece.content] = digest

    def _ends(self, piece: Piece) -> bool:
        """Tell whether a piece is the last of its content."""
        return piece.offset + piece.length == self._size(piece.content)

    def _size(self, content: int) -> int:
        return self.opened.skeleton.table.sizes[content]

    def _base_path(self, base: Piece) -> Path:
        digest = self._base_digest(base)
        if digest is None:
            return self._staged(base.content - self.opened.held_count)
        return self._store.path_of(digest)

    def _damage_under(self, frames: Iterable[Frame]) -> DamagedBase | None:
        """Find out whether frames came out wrong because a file they build upon has rotted here."""
        digests = {self._base_digest(base) for frame in frames for base in frame.bases}
        rotten = frozenset(digest for digest in digests if digest and _has_rotted(self._store.path_of(digest), digest))
        return DamagedBase(rotten) if rotten else None

    def _base_digest(self, base: Piece) -> bytes | None:
        """The digest of a held file that is a base; None for one that is not verified yet."""
        if base.content < self.opened.held_count:
            assert self._held is not None
            return self._held.as_table.digest(base.content)
        if self.manifest is None:
            return None
        return self.manifest.as_table.digest(base.content - self.opened.held_count)

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


def open_arrival(store: Store, means: Means, hop: Hop, held: Manifest | None) -> Arrival:
    """Open a hop's index, all of which has arrived. `held` is the manifest that it starts from.

    Raises VerifyError or FormatError, and drops the index, when it is not what was signed.
    """
    path = head_path(store, hop)
    try:
        with disk.reporting(path):
            head = path.read_bytes()[: hop.head]
        opened = parse_head(head, held, signed_length=hop.offer.manifest_length)
        manifest = _manifest_of(store, hop, opened)
        arrival = Arrival(store, means, hop, opened, held=held, manifest=manifest)
        if arrival.cost > hop.total:
            raise VerifyError(f"{hop.pack}: its index asks for more than the {hop.total} bytes that were signed for")
    except StoreError:
        raise
    except Exception:
        disk.remove(path)
        raise
    arrival.share_out_spare()
    return arrival


def _manifest_of(store: Store, hop: Hop, opened: Opened) -> Manifest | None:
    """The signed manifest that an index leads to: completed, or kept here from before; None if it must be computed."""
    if not opened.missing:
        return opened.complete({}, hop.offer.manifest_digest, hop.offer.bundle)
    if not store.has_manifest(hop.offer.bundle, hop.offer.manifest_digest):
        return None
    manifest = store.get_manifest(hop.offer.bundle)
    if opened.skeleton.table.sizes != manifest.as_table.table.sizes:
        raise VerifyError(f"{hop.pack}: its index is for another manifest")
    return manifest


def _has_rotted(path: Path, digest: bytes) -> bool:
    with suppress(StoreError):
        return disk.digest_of(path)[0] != digest
    return True

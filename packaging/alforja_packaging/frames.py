"""The frames of a pack, and the table of their kinds.

A frame turns held bytes (its bases) and compressed bytes into pieces of new
files. Everything that differs between kinds is one row of `KINDS`; planner,
index and node treat all alike (docs/format.md section 7).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from alforja_packaging import codec, patch
from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.patch import Readable, Scratch

FRAME_MAX_BYTES: Final = 32 * 2**20  # format.md section 7: bases and output together, for a board of 1 GiB
PATCH_MAX_BYTES: Final = 64 * 2**20  # what a patch gives; its bases lie on the disk, and have no bound
PIECE_MAX_BYTES: Final = 8 * 2**20  # a larger file is cut, so that a film needs no more memory than a page
PACK_MAX_BYTES: Final = 2**43  # format.md section 6.4: where a frame may end; as much as a file may have

_CHUNK_BYTES: Final = 64 * 1024


Needs = int
"""What a reader must be able to do to undo a frame, as bits (format.md section 7.4)."""
NEEDS_ZLIB: Final = 1  # a zlib that deflates as zlib.net's does, bit for bit
NEEDS_JPEG_XL: Final = 2
NEEDS_ZSTD: Final = 4  # a libzstd that compresses as 1.5.7 does, bit for bit
NEEDS_XZ: Final = 8  # a liblzma that does so as all from 5.2 on did so far
NEEDS_ENCODERS: Final = NEEDS_ZSTD | NEEDS_XZ
NEEDS_KNOWN: Final = NEEDS_ZLIB | NEEDS_JPEG_XL | NEEDS_ENCODERS
NEEDS_OF_UPDATES: Final = NEEDS_ZLIB
"""What every content of an update may need; all else, and all in a first install, is given once more without."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of bytes of one content. `content` is a number in the order the index states."""

    content: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a frame's bytes lie in which pack, what they give, and from what.

    `pack` counts in the index's list of packs (0: the pack the index heads);
    `offset` and `length` are in bytes of that pack. `needs` are what a reader must be
    able to do to undo it, as bits.
    """

    kind: str
    pack: int
    offset: int
    length: int
    outputs: tuple[Piece, ...]
    bases: tuple[Piece, ...] = ()
    needs: Needs = 0

    @property
    def size(self) -> int:
        """Bytes of new files that this frame gives."""
        return sum(piece.length for piece in self.outputs)

    @property
    def reach(self) -> int:
        """Bytes of held files that this frame needs."""
        return sum(piece.length for piece in self.bases)


@dataclass(frozen=True, slots=True)
class Material:
    """What a frame is made from: its compressed bytes, its bases, and room to work in. `what` names it in errors."""

    packed: Readable
    bases: Readable
    scratch: Scratch
    what: str

    def chunks(self) -> Iterator[bytes | bytearray]:
        """The compressed bytes from first to last."""
        return _chunks(self.packed)


def _chunks(run: Readable) -> Iterator[bytes | bytearray]:
    for offset in range(0, run.size, _CHUNK_BYTES):
        yield run.read(offset, min(_CHUNK_BYTES, run.size - offset))


class Kind(Protocol):
    """One way to make new bytes of held and compressed ones."""

    def check(self, frame: Frame) -> None:
        """Raise FormatError when a frame breaks this kind's bounds."""
        ...

    def decode(self, material: Material, size: int) -> Iterator[bytes | memoryview]:
        """Yield exactly `size` bytes of output. Raises VerifyError, naming the frame."""
        ...


class _Plain:
    """zstd by itself: what a first install begins with."""

    def check(self, frame: Frame) -> None:
        if frame.bases:
            raise FormatError("frame of kind plain: has bases")
        _check_size(frame)

    def encode(self, output: bytes, bases: bytes, options: codec.Options) -> bytes:
        assert not bases
        return codec.compress(output, options=options)

    def decode(self, material: Material, size: int) -> Iterator[bytes]:
        return codec.decompress(material.chunks(), size=size, what=material.what)


class _Prefix:
    """zstd whose matches may reach into the bases, as one referenced prefix."""

    def check(self, frame: Frame) -> None:
        if not frame.reach:
            raise FormatError("frame of kind prefix: has no bases")
        _check_size(frame)

    def encode(self, output: bytes, bases: bytes, options: codec.Options) -> bytes:
        return codec.compress(output, prefix=bases, options=options)

    def decode(self, material: Material, size: int) -> Iterator[bytes]:
        bases = material.bases
        if bases.size < codec.PREFIX_MIN_BYTES:
            return codec.decompress(material.chunks(), size=size, what=material.what)
        return codec.decompress_after(_chunks(bases), bases.size, material.chunks(), size=size, what=material.what)


class _Patch:
    """Copies from bases, with differences and literals between; streams inside are packed again."""

    def check(self, frame: Frame) -> None:
        if frame.size > PATCH_MAX_BYTES:
            raise FormatError(f"frame: gives {frame.size} bytes, more than {PATCH_MAX_BYTES}")

    def decode(self, material: Material, size: int) -> Iterator[bytes | memoryview]:
        try:
            yield from patch.apply(material.packed, material.bases, material.scratch, size, material.what)
        except FormatError as error:  # inside a frame that is nobody's fault but these bytes'
            raise VerifyError(error.message) from None


PLAIN: Final = _Plain()
PREFIX: Final = _Prefix()
KINDS: Final[dict[str, Kind]] = {"plain": PLAIN, "prefix": PREFIX, "patch": _Patch()}


def check_frame(frame: Frame) -> None:
    """Raise FormatError when a frame's kind is unknown or its bounds are broken."""
    if frame.kind not in KINDS:
        raise FormatError(f"frame of kind {frame.kind[:40]!r}: unknown to this program", advice="upgrade this program")
    if not frame.outputs or frame.length < 1 or frame.offset < 0:
        raise FormatError("frame: gives nothing, or lies nowhere")
    if frame.offset + frame.length > PACK_MAX_BYTES:
        raise FormatError(f"frame: ends beyond byte {PACK_MAX_BYTES}, where no pack reaches")
    KINDS[frame.kind].check(frame)


def decode(frame: Frame, material: Material) -> Iterator[tuple[Piece, bytes]]:
    """Yield the frame's output as runs of bytes, each with the part of a piece it belongs to.

    Runs come in order and never cross from one piece to the next. Nothing is
    verified against a digest here; sizes are exact or VerifyError is raised.
    """
    pieces = iter([piece for piece in frame.outputs if piece.length])
    piece, done = next(pieces, None), 0
    given = 0
    for data in KINDS[frame.kind].decode(material, frame.size):
        view = memoryview(data)
        given += len(view)
        while view:
            if piece is None:
                raise VerifyError(f"{material.what}: gives more than it should")
            run = bytes(view[: piece.length - done])
            yield Piece(piece.content, piece.offset + done, len(run)), run
            view, done = view[len(run) :], done + len(run)
            if done == piece.length:
                piece, done = next(pieces, None), 0
    if given != frame.size:
        raise VerifyError(f"{material.what}: gives {given} of the {frame.size} bytes it should")


def cut(content: int, size: int) -> Sequence[Piece]:
    """Cut one content into pieces a frame can give; an empty content is one empty piece."""
    return [
        Piece(content, offset, min(PIECE_MAX_BYTES, size - offset))
        for offset in range(0, max(size, 1), PIECE_MAX_BYTES)
    ]


def _check_size(frame: Frame) -> None:
    if frame.size + frame.reach > FRAME_MAX_BYTES:
        raise FormatError(f"frame: {frame.size + frame.reach} bytes with its bases, more than {FRAME_MAX_BYTES}")

"""The head of a pack: which frames give which files from which bases, and the manifest this leads to.

Values to bytes and back; docs/format.md section 6 is the law. A head is a
hint: what it says is believed only once digests agree with the signed manifest.
"""

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alforja_packaging.columns import Columns, put_numbers
from alforja_packaging.coursedelta import put_course, take_course
from alforja_packaging.errors import DigestMismatch, FormatError, UnsupportedFormat
from alforja_packaging.files import DIGEST_BYTES, NOWHERE
from alforja_packaging.framecolumns import Contents, put_frames, take_frames
from alforja_packaging.frames import NEEDS_OF_UPDATES, Frame, Needs
from alforja_packaging.layout import check_pack_name
from alforja_packaging.manifest import (
    MANIFEST_MAX_BYTES,
    Manifest,
    Skeleton,
    check_filled,
    measure,
    sign_name,
)
from alforja_packaging.manifestdelta import ENTRY_MIN_BYTES, Origins, put_files, take_files
from alforja_packaging.runs import pack_run, unpack_run

__all__ = [
    "ELIDED_MAX_BYTES", "Index", "Opened", "format_head", "head_length", "met_by_all", "parse_head", "sign_name",
]  # fmt: skip

NEWEST_KNOWN: Final = 2
HEAD_SPARE_BYTES: Final = 2 * 2**20  # beside the length of the manifest: what frames and bases may take
FIRST_LINE_MAX_BYTES: Final = 80
# Without digests nothing can be verified before everything has arrived, so what may be
# written unverified is bounded (format.md section 6.6).
ELIDED_MAX_BYTES: Final = 64 * 2**20

_FIRST_LINE = re.compile(rb"alforja-pack ([1-9][0-9]{0,5})((?: [0-9]{1,9})*)\n")


@dataclass(frozen=True, slots=True)
class Index:
    """How to come to a release, from nothing or from the held release `from_release`.

    Contents are numbered: first those of the held manifest, then those of the new
    one; `outputs` of frames count in the new manifest alone. `moves` name new
    contents that are held contents under another path. `packs` name packs 1, 2, ...
    below the publisher's folder.
    """

    from_release: int | None
    frames: tuple[Frame, ...]
    moves: tuple[tuple[int, int], ...] = ()
    packs: tuple[str, ...] = ()

    @property
    def everybodys(self) -> tuple[Frame, ...]:
        """The frames for whoever can do least: they give everything by themselves."""
        free = met_by_all(update=self.from_release is not None)
        return tuple(frame for frame in self.frames if not frame.needs & ~free)


@dataclass(frozen=True, slots=True)
class Opened:
    """An index read together with the manifest it leads to.

    `digests` holds one digest for each content of the new manifest, in one run of bytes; of
    `missing` contents the publisher left it out because the frames' output proves it.
    """

    index: Index
    skeleton: Skeleton
    digests: bytes
    missing: frozenset[int]
    head_length: int
    held_count: int

    def complete(self, computed: Mapping[int, bytes], signed_digest: bytes, what: str) -> Manifest:
        """Fill in computed digests and check the whole against the signed digest.

        The one door from an unproven manifest to a proven one. Raises
        DigestMismatch when the result is not what the publisher signed.
        """
        digests = bytearray(self.digests)
        for number in self.missing:
            digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES] = computed[number]
        manifest = self.skeleton.fill(bytes(digests))
        got = measure(manifest)[0]
        if got != signed_digest:
            raise DigestMismatch(f"{what}: manifest", signed_digest.hex(), got.hex())
        return check_filled(manifest)


def met_by_all(*, update: bool) -> Needs:
    """The needs that every reader of a pack is taken to meet: each content is given by frames without any others."""
    return NEEDS_OF_UPDATES if update else 0


def format_head(index: Index, manifest: Manifest, held: Manifest | None, *, elide: bool) -> bytes:
    """Write a pack's head: the index, and the new manifest as a delta of the held one.

    Own frames (pack 0) must follow each other in order; their offsets count from
    the end of the head. With `elide` the digests of new contents are left out.
    """
    files, origins = put_files(manifest, held)
    packs = "\n".join(index.packs).encode()
    frames = put_frames(index.frames, _contents(origins, manifest.as_table.table.sizes, held))
    columns = put_numbers([index.from_release or 0]) + files + put_numbers([len(packs)]) + packs + frames
    columns += put_course(manifest, held, origins.known_of)
    digests = b"" if elide else b"".join(manifest.as_table.digest(content) for content in origins.fresh)
    packed = pack_run(columns)
    sizes = f"{len(packed)} {len(columns)}" + (f" {len(digests)}" if digests else "")
    return f"alforja-pack {NEWEST_KNOWN} {sizes}\n".encode() + packed + digests


def head_length(start: bytes) -> int:
    """Tell from a pack's first bytes how long its head is. Raises FormatError, UnsupportedFormat."""
    packed, _, digests = _sizes(start)
    return start.index(b"\n") + 1 + packed + digests


def parse_head(head: bytes, held: Manifest | None, *, signed_length: int = MANIFEST_MAX_BYTES) -> Opened:
    """Read a pack's head, given the held manifest it starts from (None for a first install).

    `signed_length` is the length in bytes that the manifest is signed with: it
    bounds what an unsigned head may unpack to.

    Raises FormatError or VerifyError for anything `format_head` could not have
    written, UnsupportedFormat for another version.
    """
    length = head_length(head)
    if len(head) < length:
        raise FormatError(f"index: {len(head)} bytes of a head of {length}")
    packed, size, table_bytes = _sizes(head)
    if size > HEAD_SPARE_BYTES + signed_length:
        raise FormatError("index: larger than its manifest accounts for")
    at = length - table_bytes
    columns = Columns(unpack_run(head[at - packed : at], size=size, what="index"), "index")
    return _parse(columns, head[at:length], held, length, signed_length)


def _parse(columns: Columns, digests: bytes, held: Manifest | None, length: int, signed_length: int) -> Opened:
    from_release = columns.number()
    if (held.release if held else 0) != from_release:
        raise FormatError(f"index: starts from release {from_release}, not from the one that is held")
    release, table, origins = take_files(columns, held, signed_length // ENTRY_MIN_BYTES)
    packs = _take_packs(columns)
    frames = take_frames(columns, _contents(origins, table.sizes, held), length, len(packs))
    skeleton = take_course(columns, held, origins.known_of, table, release=release, most=signed_length)
    if columns.rest():
        raise columns.fault("goes on behind its end")
    if len(digests) not in (0, DIGEST_BYTES * len(origins.fresh)):
        raise FormatError(f"index: {len(digests)} bytes of digests for {len(origins.fresh)} new contents")
    if not digests and sum(table.sizes[content] for content in origins.fresh) > ELIDED_MAX_BYTES:
        raise FormatError("index: leaves out the digests of more than the format allows")
    index = Index(from_release or None, frames, origins.moves, packs)
    missing = frozenset[int]() if digests else frozenset(origins.fresh)
    held_count = len(held.as_table.table.owners) if held else 0
    return Opened(index, skeleton, _digests(origins, digests, held), missing, length, held_count)


def _contents(origins: Origins, sizes: "array[int]", held: Manifest | None) -> Contents:
    held_sizes = held.as_table.table.sizes if held else array("Q")
    return Contents(held_sizes, sizes, origins.fresh, origins.olds, met_by_all(update=held is not None))


def _take_packs(columns: Columns) -> tuple[str, ...]:
    text = columns.take(columns.number())
    try:
        return tuple(check_pack_name(name) for name in text.decode("ascii").split("\n")) if text else ()
    except ValueError:
        raise FormatError("index: names a pack by what is no text") from None


def _digests(origins: Origins, sent: bytes, held: Manifest | None) -> bytes:
    """One digest for each content: what was sent, what is held, and zeros for what is yet to be computed."""
    digests, at = bytearray(), 0
    for source in origins.held:
        if source == NOWHERE:
            digests += sent[at : at + DIGEST_BYTES] or bytes(DIGEST_BYTES)
            at += DIGEST_BYTES
        else:
            assert held is not None
            digests += held.as_table.digest(source)
    return bytes(digests)


def _sizes(start: bytes) -> tuple[int, int, int]:
    """Read the first line: bytes of the columns, packed and plain, and of digests."""
    match = _FIRST_LINE.match(start[:FIRST_LINE_MAX_BYTES])
    sizes = [int(size) for size in match[2].split()] if match else []
    if match and int(match[1]) != NEWEST_KNOWN:
        raise UnsupportedFormat("pack", int(match[1]), NEWEST_KNOWN)
    if not 2 <= len(sizes) <= 3:
        raise FormatError("pack: does not begin with `alforja-pack` and its sizes")
    return sizes[0], sizes[1], sizes[2] if sizes[2:] else 0

"""The index at the head of a pack: which frames give which files from which bases.

Values to bytes and back; docs/format.md section 6 is the law. An index is a
hint: what it says is believed only once digests agree with the signed manifest.
"""

import hashlib
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alforja_packaging import codec
from alforja_packaging.errors import DigestMismatch, FormatError, UnsupportedFormat
from alforja_packaging.frames import Frame, Piece, check_frame
from alforja_packaging.layout import check_pack_name
from alforja_packaging.manifest import (
    DIGEST_BYTES,
    MANIFEST_MAX_BYTES,
    Manifest,
    Skeleton,
    fill,
    format_json,
    format_manifest,
    format_skeleton,
    parse_json,
    parse_skeleton,
)

NEWEST_KNOWN: Final = 1
INDEX_MAX_BYTES: Final = 32 * 2**20
INDEX_SPARE_BYTES: Final = 64 * 1024  # with four bytes for each of the manifest: no list of pieces needs more
FIRST_LINE_MAX_BYTES: Final = 80
# Without digests nothing can be verified before everything has arrived, so what may be
# written unverified is bounded (format.md section 6.3).
ELIDED_MAX_BYTES: Final = 64 * 2**20

_FIRST_LINE = re.compile(rb"alforja-pack ([1-9][0-9]{0,5}) ([0-9]{1,9}) ([0-9]{1,9}) ([0-9]{1,9}) ([0-9]{1,9})\n")


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


@dataclass(frozen=True, slots=True)
class Opened:
    """An index read together with the manifest it leads to.

    `digests` holds one digest for each content of the new manifest; None where
    the publisher left it out because the frames' output proves it.
    """

    index: Index
    skeleton: Skeleton
    digests: tuple[bytes | None, ...]
    head_length: int
    held_count: int

    @property
    def missing(self) -> frozenset[int]:
        """The contents whose digests are not known yet."""
        return frozenset(number for number, digest in enumerate(self.digests) if digest is None)

    def complete(self, computed: Mapping[int, bytes], signed_digest: bytes, what: str) -> Manifest:
        """Fill in computed digests and check the whole against the signed digest.

        The one door from an unproven manifest to a proven one. Raises
        DigestMismatch when the result is not what the publisher signed.
        """
        digests = [digest if digest is not None else computed[number] for number, digest in enumerate(self.digests)]
        data = self.skeleton.text + b"".join(digests)
        got = hashlib.sha256(data).digest()
        if got != signed_digest:
            raise DigestMismatch(f"{what}: manifest", signed_digest.hex(), got.hex())
        return fill(self.skeleton, digests)


def format_head(index: Index, manifest: Manifest, held: Manifest | None, *, elide: bool) -> bytes:
    """Write a pack's head: first line, index, and the new manifest as a delta of the held one.

    Own frames (pack 0) must follow each other in order; their offsets count from
    the end of the head. With `elide` the digests of new contents are left out.
    """
    fields: dict[str, Any] = {"frames": _frame_fields(index.frames, manifest, held)}
    optional = {"from": index.from_release, "moves": [list(move) for move in index.moves], "packs": list(index.packs)}
    fields |= {name: value for name, value in optional.items() if value}
    text = format_json(fields).encode()
    new = _new_contents(index.frames)
    document = format_skeleton(manifest)
    if not elide:
        document += b"".join(manifest.contents[number].digest for number in sorted(new))
    prefix = format_skeleton(held) if held else b""
    best = {"compression_level": 22, "target_length": 4096, "checksum_flag": 0}
    packed_text = codec.compress(text, options=best)
    packed_document = codec.compress(document, prefix=prefix, options=best)
    sizes = f"{len(packed_text)} {len(text)} {len(packed_document)} {len(document)}"
    return f"alforja-pack {NEWEST_KNOWN} {sizes}\n".encode() + packed_text + packed_document


def head_length(start: bytes) -> int:
    """Tell from a pack's first bytes how long its head is. Raises FormatError, UnsupportedFormat."""
    packed_text, _, packed_document, _ = _sizes(start)
    return start.index(b"\n") + 1 + packed_text + packed_document


def parse_head(head: bytes, held: Manifest | None, *, signed_length: int = MANIFEST_MAX_BYTES) -> Opened:
    """Read a pack's head, given the held manifest it starts from (None for a first install).

    `signed_length` is the length in bytes that the manifest is signed with: it
    bounds what an unsigned head may unpack to.

    Raises FormatError or VerifyError for anything `format_head` could not have
    written, UnsupportedFormat for a newer version.
    """
    length = head_length(head)
    if len(head) < length:
        raise FormatError(f"index: {len(head)} bytes of a head of {length}")
    packed_text, text_size, packed_document, document_size = _sizes(head)
    if text_size > min(INDEX_MAX_BYTES, INDEX_SPARE_BYTES + 4 * signed_length) or document_size > signed_length:
        raise FormatError("index: larger than an index or a manifest may be")
    at = length - packed_document
    text = codec.decompress_whole(head[at - packed_text : at], size=text_size, what="index")
    prefix = format_skeleton(held) if held else b""
    document = codec.decompress_whole(head[at:length], size=document_size, prefix=prefix, what="manifest")
    skeleton = parse_skeleton(document)
    index = _parse_index(parse_json(text, "index"), skeleton, held, length)
    return Opened(
        index, skeleton, tuple(_digests(index, skeleton, document, held)), length, len(held.contents) if held else 0
    )


def _sizes(start: bytes) -> tuple[int, int, int, int]:
    match = _FIRST_LINE.match(start[:FIRST_LINE_MAX_BYTES])
    if match is None:
        raise FormatError("pack: does not begin with `alforja-pack` and its sizes")
    if int(match[1]) > NEWEST_KNOWN:
        raise UnsupportedFormat("pack", int(match[1]), NEWEST_KNOWN)
    return int(match[2]), int(match[3]), int(match[4]), int(match[5])


def _new_contents(frames: Iterable[Frame]) -> frozenset[int]:
    return frozenset(piece.content for frame in frames for piece in frame.outputs)


def _digests(index: Index, skeleton: Skeleton, document: bytes, held: Manifest | None) -> Iterator[bytes | None]:
    new = _new_contents(index.frames)
    table = document[len(skeleton.text) :]
    if table and len(table) != DIGEST_BYTES * len(new):
        raise FormatError(f"manifest: {len(table)} bytes of digests for {len(new)} new contents")
    if not table and sum(skeleton.contents[number][1] for number in new) > ELIDED_MAX_BYTES:
        raise FormatError("manifest: leaves out the digests of more than the format allows")
    sent = iter([table[at : at + DIGEST_BYTES] for at in range(0, len(table), DIGEST_BYTES)])
    moved = dict(index.moves)
    for number, (path, size) in enumerate(skeleton.contents):
        if number in new:
            yield next(sent, None)
            continue
        source = held.contents[moved[number]] if held and number in moved else held and held.by_path.get(path)
        if not source or source.size != size:
            raise FormatError(f"index: says nothing of where {path!r} comes from")
        yield source.digest


# Frames as JSON: numbers of contents are written as differences, so that runs of
# neighbours compress to almost nothing; whole contents as a number, parts as
# [number, offset, length].


def _frame_fields(frames: Sequence[Frame], manifest: Manifest, held: Manifest | None) -> list[dict[str, Any]]:
    new_sizes = [content.size for content in manifest.contents]
    all_sizes = [content.size for content in held.contents] + new_sizes if held else new_sizes
    rows = []
    for frame in frames:
        row: dict[str, Any] = {"kind": frame.kind, "length": frame.length}
        row["outputs"] = _pieces_to_list(frame.outputs, new_sizes)
        if frame.bases:
            row["bases"] = _pieces_to_list(frame.bases, all_sizes)
        if frame.pack:
            row["at"] = [frame.pack, frame.offset]
        rows.append(row)
    return rows


def _pieces_to_list(pieces: Iterable[Piece], sizes: Sequence[int]) -> list[Any]:
    entries: list[Any] = []
    last = 0
    for piece in pieces:
        step, last = piece.content - last, piece.content
        whole = piece.offset == 0 and piece.length == sizes[piece.content]
        entries.append(step if whole else [step, piece.offset, piece.length])
    return entries


def _list_to_pieces(entries: object, sizes: Sequence[int]) -> Iterator[Piece]:
    last = 0
    if not isinstance(entries, list):
        raise FormatError("index: pieces are not a list")
    for entry in entries:
        step, offset, length = entry if isinstance(entry, list) and len(entry) == 3 else (entry, 0, None)
        if not isinstance(step, int) or not 0 <= last + step < len(sizes):
            raise FormatError("index: names a content that is not there")
        last += step
        size = sizes[last]
        length = size if length is None else length
        if not isinstance(offset, int) or not isinstance(length, int) or not 0 <= offset <= offset + length <= size:
            raise FormatError("index: names bytes outside a content")
        yield Piece(last, offset, length)


def _parse_index(fields: Mapping[str, Any], skeleton: Skeleton, held: Manifest | None, head: int) -> Index:
    new_sizes = [size for _, size in skeleton.contents]
    held_sizes = [content.size for content in held.contents] if held else []
    frames: list[Frame] = []
    next_offset = head
    try:
        from_release = fields.get("from")
        packs = tuple(check_pack_name(str(name)) for name in fields.get("packs", []))
        for row in fields["frames"]:
            pack, offset = row.get("at", (0, next_offset))
            frame = Frame(
                str(row["kind"]), operator.index(pack), operator.index(offset), operator.index(row["length"]),
                tuple(_list_to_pieces(row["outputs"], new_sizes)),
                tuple(_list_to_pieces(row.get("bases", []), held_sizes + new_sizes)),
            )  # fmt: skip
            check_frame(frame)
            if not 0 <= frame.pack <= len(packs):
                raise FormatError("index: names a pack that it does not list")
            frames.append(frame)
            next_offset += frame.length if frame.pack == 0 else 0
        moves = tuple((operator.index(new), operator.index(old)) for new, old in fields.get("moves", []))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"index: a field is not as the format says ({error})") from None
    if (held.release if held else None) != from_release:
        raise FormatError(f"index: starts from release {from_release}, not from the one that is held")
    if any(not (0 <= new < len(new_sizes) and 0 <= old < len(held_sizes)) for new, old in moves):
        raise FormatError("index: moves a content that is not there")
    index = Index(from_release, tuple(frames), moves, packs)
    _check_outputs(index, new_sizes, len(held_sizes))
    return index


def _check_outputs(index: Index, sizes: Sequence[int], held_count: int) -> None:
    """Every content is given once and whole, and only from what is there before."""
    given: dict[int, int] = {}
    for frame in index.frames:
        for base in frame.bases:
            new = base.content - held_count
            if new >= 0 and given.get(new) != sizes[new]:
                raise FormatError("index: a frame's base is not held when it is needed")
        for piece in frame.outputs:
            if given.get(piece.content, 0) != piece.offset or (piece.length == 0 and sizes[piece.content]):
                raise FormatError("index: a content is given twice, or not in order")
            given[piece.content] = piece.offset + piece.length
    if any(given[number] != sizes[number] for number in given):
        raise FormatError("index: a content is given in part only")


def sign_name(manifest: Manifest) -> tuple[bytes, int]:
    """Give the digest and the length that a manifest is signed by."""
    data = format_manifest(manifest)
    return hashlib.sha256(data).digest(), len(data)

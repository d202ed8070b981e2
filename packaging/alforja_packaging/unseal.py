"""The reference reader: packs and held contents in, verified contents out.

All in memory, for tests, vectors and checks; a node does the same with its disk
(`alforja_node.transfer`).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence

from alforja_packaging.errors import DigestMismatch, VerifyError
from alforja_packaging.frames import Frame, Material, decode
from alforja_packaging.index import parse_head
from alforja_packaging.manifest import Manifest
from alforja_packaging.patch import InMemory

ReadPack = Callable[[int, int, int], bytes]
"""Bytes of a pack: its number in the index, offset and length."""


def unseal(
    head: bytes, read_pack: ReadPack, held: Manifest | None, contents: Mapping[bytes, bytes], signed_digest: bytes
) -> tuple[Manifest, Mapping[bytes, bytes]]:
    """Open an index, decode all its frames and verify everything.

    `contents` are the held contents by digest. Returns the new manifest and all
    of its contents. Raises VerifyError or FormatError; nothing half-verified is
    ever returned.
    """
    opened = parse_head(head, held)
    if not opened.missing:  # no memory for sizes that nobody signed
        opened.complete({}, signed_digest, "release")
    old = [contents[content.digest] for content in held.contents] if held else []
    new = [bytearray(size) for _, size in opened.skeleton.contents]
    for frame in opened.index.frames:
        _decode_into(new, old, frame, read_pack)
    given = {piece.content for frame in opened.index.frames for piece in frame.outputs}
    computed = {number: hashlib.sha256(new[number]).digest() for number in given}
    manifest = opened.complete(computed, signed_digest, "release")
    _check_computed(manifest, computed)
    found = {digest: data for digest, data in contents.items() if digest in manifest.number_of}
    found |= {manifest.contents[number].digest: bytes(new[number]) for number in given}
    if missing := set(manifest.number_of) - set(found):
        raise VerifyError(f"release: {len(missing)} contents are neither held nor given")
    return manifest, found


def _decode_into(new: Sequence[bytearray], old: Sequence[bytes], frame: Frame, read_pack: ReadPack) -> None:
    pieces = [
        (new[base.content - len(old)] if base.content >= len(old) else old[base.content])[base.offset :][: base.length]
        for base in frame.bases
    ]
    packed = InMemory(read_pack(frame.pack, frame.offset, frame.length))
    for piece, data in decode(frame, Material(packed, InMemory(b"".join(pieces)), InMemory(), "frame")):
        new[piece.content][piece.offset : piece.offset + piece.length] = data


def _check_computed(manifest: Manifest, computed: Mapping[int, bytes]) -> None:
    for number, digest in computed.items():
        wanted = manifest.contents[number]
        if wanted.digest != digest:
            raise DigestMismatch(wanted.path, wanted.digest.hex(), digest.hex())

"""What is read of bytes that nobody signed: each gives a value or an error of ours, within its bounds.

A target is named for what it reads. Seeds are the vectors in the repository.
"""

import lzma
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from alforja_packaging import patch
from alforja_packaging.archives import Encoded, find_streams, unpack
from alforja_packaging.errors import AlforjaError
from alforja_packaging.frames import KINDS, Material
from alforja_packaging.index import parse_head
from alforja_packaging.manifest import Manifest, parse_manifest
from alforja_packaging.patch import InMemory
from alforja_packaging.recipe import Closing, Opening, Recipe, read_recipe, write_recipe
from alforja_packaging.streams import Xz, Zstd
from alforja_packaging.tokens import from_tokens, to_tokens
from alforja_packaging.trustdelta import parse_delta

VECTORS = Path(__file__).parent.parent / "vectors"
SIZE_MAX = 100_000
"""Of an output, as a signed manifest would state it."""

Target = Callable[[bytes], object]


def manifest(data: bytes) -> object:
    """A manifest, as its publisher would have written it."""
    return parse_manifest(data)


def head(data: bytes) -> object:
    """The head of a first install."""
    return parse_head(data, None, signed_length=SIZE_MAX)


def update(data: bytes) -> object:
    """The head of an update from the first vector."""
    return parse_head(data, _held(), signed_length=SIZE_MAX)


def plain(data: bytes) -> object:
    """A frame of kind `plain`."""
    return _frame("plain", data, b"")


def prefix(data: bytes) -> object:
    """A frame of kind `prefix`."""
    return _frame("prefix", data, (VECTORS / "frame.bases").read_bytes())


def patches(data: bytes) -> object:
    """A frame of kind `patch`."""
    return _frame("patch", data, (VECTORS / "frame.bases").read_bytes())


def stored(data: bytes) -> object:
    """A patch whose recipe is not packed, so that its numbers are reached."""
    data += bytes(2 - min(2, len(data)))
    recipe, literals = data[2 : 2 + data[0]], data[2 + data[0] :]
    sections = [patch.Section(patch.STORED, len(part), len(part)) for part in (recipe, b"", literals)]
    header = patch.write_header(patch.Header(data[1] * 16, *sections))
    return _frame("patch", header + recipe + literals, (VECTORS / "frame.bases").read_bytes())


def recipe(data: bytes) -> object:
    """The recipe of a patch."""
    return read_recipe(data, "recipe")


def trust(data: bytes) -> object:
    """Trust metadata on its way to a node that has none."""
    return parse_delta(data, 0, {})


def token_form(data: bytes) -> object:
    """The token form of a deflate stream."""
    return b"".join(from_tokens(data, size_max=SIZE_MAX, what="tokens"))


def deflate(data: bytes) -> object:
    """A deflate stream, told as tokens and written again."""
    form = to_tokens(data, size_max=SIZE_MAX)
    assert b"".join(from_tokens(form, size_max=len(data), what="tokens")) == data
    return form


def archive(data: bytes) -> object:
    """A file in which streams are looked for, those too that are only to be opened."""
    for encoded in (Encoded.CLOSED, Encoded.OPENED):
        for stream in find_streams(data, encoded=encoded):
            unpack(data, stream)
    return None


TARGETS: Mapping[str, Target] = {
    one.__name__: one
    for one in (
        manifest, head, update, plain, prefix, patches, stored, recipe, trust, token_form, deflate, archive,
    )
}  # fmt: skip


def run(target: Target, data: bytes) -> None:
    """Give a target some bytes; any error but one of ours is a fault."""
    with suppress(AlforjaError):
        target(data)


def seeds() -> Iterable[bytes]:
    """What to begin from."""
    for path in sorted(VECTORS.iterdir()):
        if path.is_file() and path.suffix != ".py":
            yield path.read_bytes()
    text = (VECTORS / "frame.output").read_bytes()
    yield lzma.compress(text, check=lzma.CHECK_CRC32)
    ways = (Zstd(19, 21, 22, 20), Xz(6, True))
    yield write_recipe(
        Recipe(tuple(Opening(((0, 9),), 9, one) for one in ways), tuple(Closing(one, 0, 9) for one in ways))
    )


def _frame(kind: str, data: bytes, bases: bytes) -> int:
    given = 0
    for one in KINDS[kind].decode(Material(InMemory(data), InMemory(bases), InMemory(), "frame"), SIZE_MAX):
        given += len(one)
        if given > SIZE_MAX:
            break
    return given


def _held() -> Manifest:
    return parse_manifest((VECTORS / "water.1.manifest").read_bytes())

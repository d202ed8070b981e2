"""The vectors that lie in the repository are what the format says."""

import pytest

from alforja_packaging.frames import KINDS, Material
from alforja_packaging.index import parse_head, sign_name
from alforja_packaging.manifest import Manifest, parse_manifest
from alforja_packaging.patch import InMemory
from alforja_packaging.trustdelta import parse_delta
from alforja_packaging.unseal import unseal
from tests.simulators.packs import Sealed, contents_of
from tests.vectors.make import BASES, FOLDER, HELD, LATER, NEW, OLD, OUTPUT, canonical, frames, manifest_of, sealed

TREES = {1: OLD, 2: NEW}


@pytest.mark.parametrize("name", canonical())
def test_canonical_files_come_out_the_same_to_the_byte(name: str) -> None:
    assert canonical()[name] == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("release", [1, 2])
def test_a_stored_manifest_is_read(release: int) -> None:
    assert parse_manifest((FOLDER / f"water.{release}.manifest").read_bytes()) == manifest_of(release, TREES[release])


@pytest.mark.parametrize("name", sealed())
def test_a_stored_pack_gives_its_release(name: str) -> None:
    made, held = sealed()[name]
    stored = Sealed(made.manifest, (FOLDER / name).read_bytes())

    assert read(stored, held) == read(made, held) == contents_of(TREES[made.manifest.release])


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_frame_gives_its_output(kind: str) -> None:
    stored = (FOLDER / f"frame.{kind}").read_bytes()
    bases = InMemory(b"" if kind == "plain" else BASES)

    assert b"".join(KINDS[kind].decode(Material(InMemory(stored), bases, InMemory(), "vector"), len(OUTPUT))) == OUTPUT
    assert len(stored) < len(OUTPUT) // (2 if kind == "plain" else 10)


def test_the_stored_packs_show_digests_sent_and_elided() -> None:
    held = manifest_of(1, OLD)
    sent = parse_head((FOLDER / "from-1.pack").read_bytes(), held)
    elided = parse_head((FOLDER / "from-1-elided.pack").read_bytes(), held)

    assert not sent.missing
    assert elided.missing == {piece.content for frame in elided.index.frames for piece in frame.outputs}
    assert elided.missing


def test_every_vector_that_lies_here_is_made_and_compared() -> None:
    made = {*canonical(), *sealed(), *frames(), "after-1", "make.py"}

    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == made


def test_a_stored_trust_delta_gives_the_later_files() -> None:
    assert parse_delta((FOLDER / "after-1").read_bytes(), 1, HELD).files == LATER


def read(pack: Sealed, held: Manifest | None) -> dict[bytes, bytes]:
    manifest, found = unseal(pack.data, pack.read, held, contents_of(OLD) if held else {}, sign_name(pack.manifest)[0])
    assert manifest == pack.manifest
    return dict(found)

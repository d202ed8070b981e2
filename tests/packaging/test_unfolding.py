"""What is packed inside files is opened for a patch, and comes back to the bit."""

import io
import lzma
import random
import struct
import zipfile
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from alforja_packaging import codec, jpegs, patch, seal
from alforja_packaging.covers import Match
from alforja_packaging.frames import NEEDS_JPEG_XL, NEEDS_KNOWN, NEEDS_XZ, NEEDS_ZLIB, NEEDS_ZSTD
from alforja_packaging.patch import InMemory
from alforja_packaging.patching import LEVEL_MAX, make_choice, make_patches
from alforja_packaging.streams import Jpeg, Tokens, Zlib
from alforja_packaging.unfolding import JPEGS_WORTH, Transcode, Unfolded, unfold
from tests.simulators.pictures import a_jpeg, needs_jpeg_xl

WITH_PICTURES = NEEDS_ZLIB | NEEDS_JPEG_XL

WORDS = [b"water", b"well", b"river", b"rain", b"cloud", b"school", b"bread", b"house"]


MIXTURES = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 4}]  # which no preset has


def text(seed: int, size: int) -> bytes:
    chance = random.Random(seed)
    return b" ".join(chance.choice(WORDS) + b"%d" % chance.randrange(99) for _ in range(size))


def a_zip(members: dict[str, bytes], level: int = 6) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, level)
    return file.getvalue()


def a_zstd(data: bytes) -> bytes:
    return b"".join(codec.compress_streaming([data], {"compression_level": 19}))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def a_png(pixels: bytes) -> bytes:
    packed = zlib.compress(pixels, 9)
    parts = [packed[at : at + 300] for at in range(0, len(packed), 300)]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 10, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunk(b"IDAT", part) for part in parts) + chunk(b"IEND", b"")


def flushed(data: bytes) -> bytes:
    """A gzip that no setting of zlib writes in one go."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = b"".join(
        packer.compress(data[at : at + 500]) + packer.flush(zlib.Z_FULL_FLUSH) for at in range(0, len(data), 500)
    )
    return b"\x1f\x8b\x08" + bytes(7) + body + packer.flush() + struct.pack("<II", zlib.crc32(data), len(data))


def sizes_of(output: bytes, bases: list[bytes]) -> list[int]:
    """The sizes of all patches worth trying, each of them undone and compared."""
    sizes = []
    for made in make_patches(output, bases):
        held = b"".join(bases[place] for place in made.bases)
        runs = patch.apply(InMemory(made.data), InMemory(held), InMemory(), len(output), "frame")
        assert b"".join(map(bytes, runs)) == output
        sizes.append(len(made.data))
    return sizes


def test_a_change_inside_an_archive_costs_what_changed() -> None:
    old = {f"{number}.xhtml": text(number, 3_000) for number in range(6)}
    new = old | {"3.xhtml": old["3.xhtml"].replace(b"water7 ", b"milk ", 2)}
    closed, opened = sizes_of(a_zip(new), [a_zip(old)])

    assert opened < closed / 4


def test_an_archive_packed_anew_by_another_level_costs_next_to_nothing() -> None:
    members = {f"{number}.xhtml": text(number, 3_000) for number in range(6)}
    closed, opened = sizes_of(a_zip(members, 9), [a_zip(members, 1)])

    assert opened < closed / 20


def test_a_picture_in_parts_inside_an_archive_is_opened() -> None:
    pixels = text(1, 4_000)
    old, new = a_png(pixels), a_png(pixels[:9_000] + b"dot" + pixels[9_000:])
    closed, opened = sizes_of(a_zip({"a.png": new, "b.html": text(2, 99)}), [a_zip({"a.png": old})])

    assert opened < closed / 2


def test_a_stream_of_another_writer_is_opened_by_its_tokens() -> None:
    words = text(1, 4_000)
    output = flushed(words[:9_000] + b"milk" + words[9_000:])
    sizes = sizes_of(output, [flushed(words)])

    assert isinstance(unfold(output, [], b"").closings[0].method, Tokens)
    assert len(sizes) == 2


def test_what_is_not_changed_stays_packed() -> None:
    archive = a_zip({"a.html": text(1, 900)})

    assert len(sizes_of(archive + b"behind", [archive])) == 1


def test_what_zstd_packed_is_opened_for_whoever_can_close_it() -> None:
    old, new = (b"\5" + a_zstd(text(1, 20_000) + edit + text(2, 20_000)) for edit in (b"", b" an edit "))

    closed, opened = (list(make_patches(new, [old], able=able)) for able in (NEEDS_ZLIB, NEEDS_KNOWN))
    assert [made.needs for made in closed] == [0]
    assert [made.needs for made in opened] == [0, NEEDS_ZSTD]
    assert len(opened[1].data) < 150 < len(opened[0].data) / 4
    assert opened[1].recipe.openings


def test_a_base_that_nobody_could_close_is_opened_all_the_same() -> None:
    plain = text(1, 30_000)
    old, new = lzma.compress(plain, filters=MIXTURES), lzma.compress(plain + b"more", preset=6)

    made = list(make_patches(new, [old], able=NEEDS_KNOWN))
    assert [one.needs for one in made] == [0, NEEDS_XZ]
    assert made[1].recipe.openings
    assert len(made[1].data) < 200


def test_what_a_patch_needs_is_what_its_closings_are() -> None:
    unfolded = unfold(a_zip({"a.html": text(1, 900)}), [], b"")

    assert isinstance(unfolded.closings[0].method, Zlib)
    assert unfolded.needs == NEEDS_ZLIB
    assert Unfolded(b"").needs == 0
    assert not unfolded.needs & NEEDS_JPEG_XL


def halved(jpeg: bytes) -> bytes:
    """Stands for a transcode, where it need not be undone."""
    return jpeg[: len(jpeg) // 2]


@needs_jpeg_xl
def test_pictures_travel_as_jpeg_xl_inside_archives_too() -> None:
    picture = a_jpeg(1)
    for output, needs in (
        (picture, NEEDS_JPEG_XL),
        (a_zip({"a.html": text(1, 99), "a.jpg": picture}), NEEDS_ZLIB | NEEDS_JPEG_XL),
    ):
        closed = min(made.data for made in make_patches(output, []))
        made = make_choice(output, [b"of no use"], able=WITH_PICTURES, beyond=NEEDS_ZLIB, transcode=jpegs.transcode)

        assert made is not None
        assert made.needs == needs
        assert made.bases == ()
        assert len(made.data) < len(closed)


def test_a_picture_that_is_held_is_copied_and_a_few_among_much_else_are_left_alone() -> None:
    asked = []

    def transcode(jpeg: bytes) -> bytes:
        asked.append(jpeg)
        return halved(jpeg)

    picture = a_jpeg(1)
    noise = random.Random(1).randbytes(JPEGS_WORTH * len(picture))
    whole = Match(0, 0, len(picture))

    assert make_choice(picture, [picture], able=WITH_PICTURES, beyond=NEEDS_ZLIB, transcode=transcode) is None
    assert make_choice(noise + picture, [], able=WITH_PICTURES, beyond=NEEDS_ZLIB, transcode=transcode) is None
    assert make_choice(text(1, 99), [], able=WITH_PICTURES, beyond=NEEDS_ZLIB, transcode=transcode) is None
    assert not asked
    assert unfold(picture + noise[:999], [whole], picture, transcode=transcode).closings == ()
    assert [type(closing.method) for closing in unfold(picture, [], b"", transcode=transcode).closings] == [Jpeg]
    assert asked == [picture]


def test_what_does_not_come_back_or_is_made_in_haste_is_no_frame() -> None:
    def beside(transcode: Transcode | None, level: int = LEVEL_MAX) -> seal.Encoding:
        return seal.encode(
            a_jpeg(1), [], able=NEEDS_KNOWN, beyond=NEEDS_KNOWN & ~NEEDS_JPEG_XL, transcode=transcode, level=level
        )

    assert beside(halved) == seal.NO_USE
    assert beside(lambda _: None) == seal.NO_USE
    assert beside(jpegs.transcode, level=3) == seal.NO_USE
    assert beside(None) == seal.NO_USE


def test_what_lies_beside_another_frame_is_only_what_the_other_s_readers_cannot_undo() -> None:
    book = a_zip({"a.html": text(1, 9_000)})

    assert seal.encode(book, [], able=NEEDS_ZLIB, beyond=0).needs == NEEDS_ZLIB
    assert seal.encode(book, [], able=NEEDS_KNOWN, beyond=NEEDS_ZLIB) == seal.NO_USE
    assert seal.encode(text(1, 99), [], able=NEEDS_ZLIB, beyond=0) == seal.NO_USE
    assert seal.encode(book, [], able=0, beyond=0) == seal.NO_USE


@given(st.integers(0, 30), st.integers(1, 9), st.integers(1, 9), st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_archive_changed_in_any_way_comes_back(seed: int, level: int, other: int, noise: bytes) -> None:
    old = {"a.html": text(seed, 400), "b.bin": noise, "c.png": a_png(text(seed + 1, 300))}
    new = {"a.html": text(seed, 300) + noise, "c.png": a_png(text(seed + 1, 290)), "d.gz": flushed(text(seed, 200))}
    sizes_of(noise + a_zip(new, level), [a_zip(old, other), noise])

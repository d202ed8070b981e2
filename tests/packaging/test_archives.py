"""Streams packed inside files are found by what they are, and only if they can be closed again."""

import gzip
import io
import lzma
import random
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alforja_packaging import codec
from alforja_packaging.archives import Encoded, encoders, find_streams, may_hold_encoded, pack, unpack
from alforja_packaging.errors import FormatError
from alforja_packaging.streams import (
    DEPTH_MAX,
    OPENED_MAX_RATIO,
    Jpeg,
    Method,
    Packed,
    Stream,
    Tokens,
    Zlib,
    Zstd,
)
from alforja_packaging.tokens import from_tokens

SHARED = Path(__file__).resolve().parents[3] / "shared" / "samples"


def text(size: int, seed: int = 1) -> bytes:
    chance = random.Random(seed)
    return b" ".join(b"word%d" % chance.randrange(400) for _ in range(size // 5))[:size]


def zipped(members: dict[str, bytes], *, level: int = 6, stored: bool = False) -> bytes:
    file = io.BytesIO()
    kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w", kind, compresslevel=level) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, kind, level)
    return file.getvalue()


def deflate(data: bytes, method: Zlib, *, flush_every: int = 0) -> bytes:
    deflater = zlib.compressobj(method.level, zlib.DEFLATED, method.window_bits, method.memory_level, method.strategy)
    if not flush_every:
        return deflater.compress(data) + deflater.flush()
    pieces = [data[at : at + flush_every] for at in range(0, len(data), flush_every)]
    return b"".join(deflater.compress(piece) + deflater.flush(zlib.Z_SYNC_FLUSH) for piece in pieces) + deflater.flush()


def as_member(packed: bytes) -> bytes:
    """Put raw deflate behind a ZIP's local header, and something behind it."""
    return (
        b"before" + struct.pack("<4s5H3L2H", b"PK\3\4", 20, 8, 8, 0, 0, 0, 0, 0, 4, 3) + b"namexyz" + packed + b"PK\1\2"
    )


def png(packed: bytes, *, chunk: int = 2**20) -> bytes:
    def write(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    idat = b"".join(write(b"IDAT", packed[at : at + chunk]) for at in range(0, len(packed), chunk))
    return b"\x89PNG\r\n\x1a\n" + write(b"IHDR", bytes(13)) + write(b"tEXt", b"a\0b") + idat + write(b"IEND", b"")


def jpeg(size: int = 300, *, frame: int = 0xC0, thumbnail: bytes = b"") -> bytes:
    """Make something with the segments of a JPEG."""

    def segment(code: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, code, len(data) + 2) + data

    scan = random.Random(size).randbytes(size).replace(b"\xff", b"\xff\0") + b"\xff\xd0\xff\0"
    begin = b"\xff\xd8" + segment(0xE1, b"Exif" + thumbnail) + segment(0xDB, bytes(65)) + segment(frame, bytes(9))
    return (
        begin + segment(0xC4, bytes(20)) + segment(0xDA, bytes(8)) + scan + segment(0xDA, bytes(8)) + scan + b"\xff\xd9"
    )


def check(data: bytes, streams: tuple[Stream, ...]) -> None:
    """Every stream is where it says, apart from the others, and comes back."""
    for stream in streams:
        plain = unpack(data, stream)
        assert len(plain) == stream.size
        assert closed(plain, stream) == stream.packed(data)
        assert len(plain) <= OPENED_MAX_RATIO * stream.length or not isinstance(stream.method, Zlib)
        check(plain, stream.inside)
    for before, after in pairwise(streams):
        assert before.end <= after.start
    assert all(0 <= offset <= offset + size <= len(data) for stream in streams for offset, size in stream.parts)


def closed(plain: bytes, stream: Stream) -> bytes:
    if isinstance(stream.method, Packed):
        return pack(plain, stream.method)
    if isinstance(stream.method, Tokens):
        return b"".join(from_tokens(plain, size_max=stream.length, what="it"))
    return plain


def found(data: bytes, depth: int = DEPTH_MAX) -> tuple[Stream, ...]:
    streams = find_streams(data, depth=depth)
    check(data, streams)
    return streams


def plains(data: bytes) -> list[bytes]:
    return [unpack(data, stream) for stream in found(data)]


def methods(data: bytes) -> list[Method]:
    return [stream.method for stream in found(data)]


def zstd(data: bytes, level: int = 19) -> bytes:
    """Compress as libzim does: fed bit by bit, and not told how much will come."""
    pieces = [data[at : at + 5_000] for at in range(0, len(data), 5_000)]
    return b"".join(codec.compress_streaming(pieces, {"compression_level": level}))


# --- where streams lie -------------------------------------------------------------------


def test_the_members_of_a_zip_are_found() -> None:
    members = {f"{seed}.html": text(3_000 * seed, seed) for seed in range(1, 5)}

    assert plains(zipped(members)) == list(members.values())


def test_members_are_found_without_the_directory_of_their_archive() -> None:
    archive = zipped({"a": text(5_000), "b": text(6_000, 2)})

    assert plains(archive[: archive.index(b"PK\1\2")]) == [text(5_000), text(6_000, 2)]


def test_encrypted_and_stored_members_are_left() -> None:
    archive = zipped({"a": text(5_000)})
    flags = archive.index(b"PK\3\4") + 6

    assert found(archive[:flags] + b"\1" + archive[flags + 1 :]) == ()
    assert found(zipped({"a": text(5_000)}, stored=True)) == ()


def test_each_member_of_a_gzip_file_is_found() -> None:
    file = io.BytesIO()
    with gzip.GzipFile("name.txt", "wb", 9, file, 0) as member:
        member.write(text(4_000))
    fancy = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\2\0ab" + b"name\0" + b"comment\0" + b"cs"
    raw = deflate(text(5_000, 2), Zlib(6, -15, 8, 0))

    assert plains(file.getvalue() + fancy + raw + bytes(8)) == [text(4_000), text(5_000, 2)]


def test_a_tar_in_gzip_is_opened() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("page.html")
        member.size = 9_000
        archive.addfile(member, io.BytesIO(text(9_000)))

    (plain,) = plains(file.getvalue())
    assert plain.startswith(b"page.html")


@pytest.mark.parametrize("chunk", [1, 5, 700, 2**20])
def test_the_parts_of_a_picture_are_one_stream(chunk: int) -> None:
    picture = png(zlib.compress(text(4_000), 9), chunk=chunk)

    (stream,) = found(picture)
    assert unpack(picture, stream) == text(4_000)
    assert len(stream.parts) == -(-stream.length // chunk)


def test_of_a_picture_that_zlib_did_not_write_the_header_and_trailer_stay_outside() -> None:
    packed = deflate(text(4_000), Zlib(9, 15, 8, 0), flush_every=999)
    picture = png(packed, chunk=len(packed) - 3)

    (stream,) = found(picture)
    assert stream.method == Tokens()
    assert stream.packed(picture) == packed[2:-4]


@pytest.mark.parametrize("begin", [b"stream\n", b"stream\r\n", b"CWS\x0a\0\1\0\0"])
def test_streams_of_documents_and_films_are_found(begin: bytes) -> None:
    document = b"%PDF-1.5 <</Filter/FlateDecode>>" + begin + zlib.compress(text(3_000)) + b"endstream"

    assert plains(document * 3) == [text(3_000)] * 3


def test_what_follows_the_word_stream_need_not_be_packed() -> None:
    assert found(b"stream\nof consciousness, stream\r\nx\x9c and stream\n") == ()


def test_the_tables_of_a_font_are_found() -> None:
    tables = [zlib.compress(text(2_000, seed), 9) for seed in range(3)]
    at, rows, body = 44 + 20 * 4, b"", b""
    for packed in [*tables, bytes(100)]:
        rows += struct.pack(">4s4L", b"glyf", at + len(body), len(packed), 2_000 if packed[0] else 100, 0)
        body += packed + bytes(-len(packed) % 4)
    font = b"wOFF" + struct.pack(">4sLHHL", b"OTTO", at + len(body), 4, 0, 9) + bytes(24) + rows + body

    assert plains(b"before" + font) == [text(2_000, seed) for seed in range(3)]


@pytest.mark.parametrize("frame", [0xC0, 0xC1, 0xC2])
def test_jpegs_are_found_whole_wherever_they_lie(frame: int) -> None:
    picture = jpeg(frame=frame, thumbnail=jpeg(50))
    archive = b"%PDF stream\n" + picture + b"\nendstream" + zipped({"a.jpg": picture, "b": picture}, stored=True)

    assert plains(archive) == [picture] * 3
    assert set(methods(archive)) == {Jpeg()}


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff",
        jpeg()[:-2],
        jpeg()[:-1],
        jpeg()[:30],
        jpeg(frame=0xC3),
        jpeg(frame=0xDB),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\0\0\xff\xd9",
    ],
)
def test_what_only_begins_like_a_jpeg_is_left(data: bytes) -> None:
    assert found(data) == ()


def test_streams_are_found_in_streams_to_the_depth_asked_for() -> None:
    picture = png(zlib.compress(text(4_000)))
    book = zipped({"image.png": picture + text(90_000), "photo.jpg": jpeg()})
    archive = zipped({"book.epub": book + text(90_000, 3)})

    (member,) = found(archive)
    image, photo = member.inside
    assert [stream.size for stream in image.inside] == [4_000]
    assert isinstance(photo.inside[0].method, Jpeg)
    assert found(archive, depth=2)[0].inside[0].inside == ()
    assert found(archive, depth=1)[0].inside == ()
    assert found(archive, depth=0) == ()


def test_streams_in_a_token_form_are_found_too() -> None:
    archive = as_member(deflate(text(9_000) + png(zlib.compress(text(4_000))), Zlib(6, -15, 8, 0), flush_every=999))

    (stream,) = found(archive)
    assert stream.method == Tokens()
    assert [inner.size for inner in stream.inside] == [4_000]


# --- how they were deflated --------------------------------------------------------------


@pytest.mark.parametrize("level", range(1, 10))
@pytest.mark.parametrize("memory", range(1, 10))
def test_any_level_and_memory_of_zlib_is_found(level: int, memory: int) -> None:
    packed = deflate(text(30_000), Zlib(level, -15, memory, 0))

    assert isinstance(methods(as_member(packed))[0], Zlib)


@pytest.mark.parametrize("strategy", [zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED])
def test_strategies_are_found(strategy: int) -> None:
    data = text(900) + random.Random(3).randbytes(200) + bytes(300)

    assert isinstance(methods(as_member(deflate(data, Zlib(6, -15, 8, strategy))))[0], Zlib)
    if strategy != zlib.Z_FIXED:
        assert isinstance(methods(png(deflate(data, Zlib(6, 15, 8, strategy))))[0], Zlib)


@pytest.mark.parametrize("bits", range(9, 16))
def test_a_small_window_is_read_from_the_header(bits: int) -> None:
    (method,) = methods(png(deflate(text(60_000), Zlib(6, bits, 8, 0))))

    assert method == Zlib(6, bits, 8, 0)


def test_a_header_that_does_not_tell_the_truth_stays_outside() -> None:
    packed = zlib.compress(text(60_000), 9)
    lying = b"\x78\x01" + packed[2:]

    (stream,) = found(png(lying))
    assert stream.packed(png(lying)) == packed[2:-4]
    assert isinstance(stream.method, Zlib)
    assert stream.method.window_bits == -15


def test_a_wrong_trailer_stays_outside() -> None:
    packed = zlib.compress(text(6_000), 9)

    (stream,) = found(png(packed[:-1] + b"?"))
    assert stream.packed(png(packed[:-1] + b"?")) == packed[2:-4]


def test_settings_that_were_right_before_are_tried_first() -> None:
    members = b"".join(as_member(deflate(text(size), Zlib(9, -15, 9, 0))) for size in (300_000, 700, 800))

    assert methods(members) == [Zlib(9, -15, 9, 0)] * 3


def test_what_zlib_did_not_write_so_is_carried_as_its_tokens() -> None:
    packed = deflate(text(9_000), Zlib(6, -15, 8, 0), flush_every=700)

    assert methods(as_member(packed) * 8) == [Tokens()] * 8


def test_a_stream_that_opens_too_far_is_left() -> None:
    assert found(zipped({"bomb": bytes(10_000_000), "text": text(5_000)}))[0].size == 5_000


def test_a_stream_may_open_far_at_its_beginning() -> None:
    picture = bytes(3_000_000) + random.Random(1).randbytes(90_000)

    assert plains(png(zlib.compress(picture))) == [picture]


def test_very_small_streams_are_left() -> None:
    assert found(zipped({"a": b"a" * 500, "b": b"b"})) == ()


# --- zstd and xz -------------------------------------------------------------------------


@pytest.mark.parametrize("level", range(1, 20))
def test_any_level_of_zstd_is_found(level: int) -> None:
    cluster = zstd(text(60_000), level)

    (stream,) = found(b"before" + cluster + b"behind")
    assert isinstance(stream.method, Zstd)
    assert stream.method.is_allowed
    assert stream.start == len(b"before") + 6
    assert stream.end == len(b"before") + len(cluster)


def test_the_clusters_of_a_zim_are_found() -> None:
    texts = [text(size, size) for size in (300_000, 90_000, 20_000)]

    archive = b"ZIM\x04" + b"".join(b"\5" + zstd(one) for one in texts)
    assert plains(archive) == texts
    assert {type(method) for method in methods(archive)} == {Zstd}


def test_where_a_frame_states_its_size_and_a_checksum_these_stay_outside() -> None:
    plain = text(400_000)
    packed = codec.compress(plain, options={"compression_level": 5})

    assert plains(packed) == [plain]
    assert found(packed)[0].start == 4 + 1 + 4
    assert found(packed)[0].end == len(packed) - 4


@pytest.mark.parametrize("preset", [0, 1, 2, 3, 4, 5, 6, 9, 6 | lzma.PRESET_EXTREME, 9 | lzma.PRESET_EXTREME])
def test_any_preset_of_xz_is_found(preset: int) -> None:
    plain = text(200_000)

    assert plains(b"\4" + lzma.compress(plain, check=lzma.CHECK_CRC32, preset=preset)) == [plain]


@pytest.mark.parametrize("kind", ["w:xz", "w:gz"])
def test_what_is_in_a_packed_tar_is_found_too(kind: Any) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=kind) as tar:
        book = tarfile.TarInfo("book.epub")
        data = zipped({"a": text(9_000)})
        book.size = len(data)
        tar.addfile(book, io.BytesIO(data))

    (around,) = found(file.getvalue())
    assert [stream.size for stream in around.inside] == [9_000]


def test_what_others_wrote_is_opened_where_nobody_closes_it() -> None:
    half = random.Random(1).randbytes(3_000)
    packed = zstd(half, 3)[: -3 - len(half)] + b"".join(
        (len(half) << 3 | last).to_bytes(3, "little") + half for last in (0, 1)
    )  # two raw blocks, where zstd makes one

    assert found(packed) == ()
    (stream,) = find_streams(packed, encoded=Encoded.OPENED)
    assert unpack(packed, stream) == half * 2


def test_none_is_opened_where_it_is_not_wanted() -> None:
    both = zstd(text(60_000)) + lzma.compress(text(60_000, 2))

    assert may_hold_encoded(both)
    assert find_streams(both, encoded=Encoded.LEFT) == ()
    assert len(find_streams(both, encoded=Encoded.OPENED)) == len(found(both)) == 2


def test_an_encoder_is_not_needed_within_another_one() -> None:
    inner = random.Random(1).randbytes(4_000) + zstd(text(60_000))

    (around,) = found(lzma.compress(inner))
    assert around.inside == ()


def test_only_so_many_encoders_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "ENCODERS_MAX", 2)

    assert len(found(zstd(text(60_000), 3) * 5)) == 2


def test_what_needs_a_dictionary_or_other_filters_is_left() -> None:
    plain = text(60_000)
    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 6}]
    with_dictionary = b"\x28\xb5\x2f\xfd\1\x68\7" + zstd(plain)[6:]

    assert found(lzma.compress(plain, filters=filters) + with_dictionary) == ()


def test_what_needs_too_much_memory_is_left() -> None:
    assert encoders.zstd_settings(19, 3 * 2**20) is not None
    assert encoders.zstd_settings(19, 5 * 2**20) is None
    assert all(
        method is None or method.is_allowed for method in map(encoders.zstd_settings, range(1, 20), [2**30] * 19)
    )


# --- hostile bytes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "signature",
    [
        as_member(b"")[6:30],
        b"\x1f\x8b\x08\x18",
        b"\x89PNG\r\n\x1a\n\0\0\0\0abcd",
        b"stream\n\x78\x9c",
        b"wOFF" + b"\xff" * 12,
        b"CWS\x0a1234\x78\x9c",
        b"\xff\xd8\xff\xc0\0\2\xff\xda\0\2",
        as_member(b"\0\x40\0\xbf\xff")[6:],
        b"\x28\xb5\x2f\xfd\0\x68",
        zstd(b"abc"),
        lzma.compress(b"", check=lzma.CHECK_CRC32),
        lzma.compress(b"abc"),
    ],
)
def test_many_signatures_cost_no_more_than_their_bytes(signature: bytes) -> None:
    found(signature * (400_000 // len(signature)))


def test_an_archive_of_many_bombs_is_given_up() -> None:
    bomb = deflate(bytes(60_000) + text(3_000), Zlib(9, -15, 8, 0))

    found(as_member(bomb) * 100)


def sources() -> Iterator[bytes]:
    yield zipped({"a": text(700), "b.png": png(zlib.compress(text(900)), chunk=99), "c": jpeg()})
    yield as_member(deflate(text(900), Zlib(6, -15, 8, 0), flush_every=300))
    yield gzip.compress(text(900)) * 2
    yield b"stream\n" + zlib.compress(text(400)) + jpeg(40)
    yield zstd(text(6_000), 3) + lzma.compress(zstd(text(6_000), 1) + gzip.compress(text(900)), preset=1)


ARCHIVES = list(sources())


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([archive[:40] for archive in ARCHIVES]))))
@settings(deadline=None)
def test_any_bytes_give_streams_that_come_back(pieces: list[bytes]) -> None:
    found(b"".join(pieces))


@given(st.sampled_from(ARCHIVES), st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=3)), max_size=4))
@settings(deadline=None, max_examples=200)
@example(ARCHIVES[0], [])
def test_damaged_archives_give_streams_that_come_back(archive: bytes, damages: list[tuple[int, bytes]]) -> None:
    for place, fresh in damages:
        at = place % (len(archive) + 1)
        archive = archive[:at] + fresh + archive[at + len(fresh) :]
    found(archive)


def test_a_stream_that_is_not_there_is_refused() -> None:
    archive = zipped({"a": text(5_000)})
    (stream,) = found(archive)
    for wrong in (
        Stream(stream.parts, stream.size - 1, stream.method),
        Stream(stream.parts, stream.size + 1, stream.method),
        Stream(((0, 90),), 9, stream.method),
        Stream(stream.parts, 9, Tokens()),
        Stream(((0, 9),), 8, Jpeg()),
    ):
        with pytest.raises(FormatError):
            unpack(archive, wrong)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (SHARED / "packages.tar.zst").is_file():
        pytest.skip(f"the samples are not at {SHARED}")
    folder = tmp_path_factory.mktemp("samples")
    packages = SHARED / "packages.tar.zst"
    subprocess.run(["tar", "-I", "zstd -dc --long=27", "-xf", packages, "-C", folder], check=True)
    return folder


@pytest.mark.samples
def test_of_real_archives_nineteen_of_twenty_packed_bytes_are_opened(real: Path) -> None:
    deflated = opened = 0
    for path in sorted(real.rglob("*")):
        if path.suffix in {".zip", ".epub", ".h5p", ".imscc", ".elpx", ".docx", ".pptx"} and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                deflated += sum(one.compress_size for one in archive.infolist() if one.compress_type == 8)
            opened += sum(stream.length for stream in find_streams(path.read_bytes(), depth=1))

    assert deflated > 10_000_000
    assert opened >= 0.95 * deflated

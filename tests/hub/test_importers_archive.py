"""Unpacking archives: only files and folders, inside, within bounds."""

import io
import os
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alforja_hub.importers import open_source
from alforja_hub.importers.archive import Bounds, is_archive, unpack
from alforja_packaging.errors import FormatError

Entries = list[tuple[str, bytes]]


def make_zip(place: Path, entries: Entries) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # a name that is there twice is what some tests are about
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return place


def tar_bytes(entries: Entries, *, more: Callable[[tarfile.TarFile], None] = lambda _: None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", errors="surrogateescape") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name.endswith("/"):
                info.type, info.size = tarfile.DIRTYPE, 0
            archive.addfile(info, io.BytesIO(content))
        more(archive)
    return buffer.getvalue()


def make_tar(place: Path, entries: Entries) -> Path:
    data = tar_bytes(entries)
    place.write_bytes(zstandard.compress(data) if place.suffix == ".zst" else data)
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["c.zip", "c.tar", "c.tar.gz", "c.tar.bz2", "c.tar.xz", "c.tar.zst"])
def test_an_archive_gives_the_folder_it_was_made_of(tmp_path: Path, name: str) -> None:
    entries: Entries = [("c/", b""), ("c/a.md", b"# A"), ("c/d/ñ.bin", b"\0" * 100_000), ("c/empty/", b"")]
    place = tmp_path / name
    kind = name.rpartition(".")[2]
    if kind == "zip":
        make_zip(place, entries)
    elif kind in ("tar", "zst"):
        make_tar(place, entries)
    else:
        with tarfile.open(place, f"w:{kind}") as archive:  # type: ignore[call-overload]
            for entry, content in entries:
                info = tarfile.TarInfo(entry)
                info.size = len(content)
                info.type = tarfile.DIRTYPE if entry.endswith("/") else tarfile.REGTYPE
                archive.addfile(info, io.BytesIO(content))

    folder = open_source(place, tmp_path / "scratch")

    assert folder.name == "c"
    assert contents(folder) == {"a.md": b"# A", "d/ñ.bin": b"\0" * 100_000}
    assert (folder / "empty").is_dir()
    assert is_archive(place)


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a/..", "a/../b"])
def test_a_name_that_leads_out_is_refused_by_name(
    tmp_path: Path, make: Callable[[Path, Entries], Path], name: str
) -> None:
    place = make(tmp_path / "c", [("fine", b"1"), (name, b"2")])

    with pytest.raises(FormatError, match="leads out of the folder") as refused:
        unpack(place, tmp_path / "deep" / "scratch")

    assert repr(name) in str(refused.value)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"c", "fine"}


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("a", b"1"), ("a", b"2")], "entry 'a' is there twice"),
        ([("a", b"1"), ("./a", b"2")], "entry './a' is there twice"),
        ([("a", b"1"), ("a/b", b"2")], "entry 'a/b' is there twice, as a file and a folder"),
        ([("a/b", b"1"), ("a", b"2")], "entry 'a' is there twice"),
    ],
)
def test_names_that_are_there_twice_are_refused(
    tmp_path: Path, make: Callable[[Path, Entries], Path], entries: Entries, message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        unpack(make(tmp_path / "c", entries), tmp_path / "scratch")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("evil")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)

    place = tmp_path / "c.tar"
    place.write_bytes(tar_bytes([("a", b"1")], more=add))

    with pytest.raises(FormatError, match="entry 'evil' is a link or a device"):
        unpack(place, tmp_path / "scratch")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("evil")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")

    with pytest.raises(FormatError, match="entry 'evil' is a link or a device"):
        unpack(tmp_path / "c.zip", tmp_path / "scratch")


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    data = bytearray(make_zip(tmp_path / "c.zip", [("a", b"1")]).read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + at] |= 1
    (tmp_path / "c.zip").write_bytes(data)

    with pytest.raises(FormatError, match="entry 'a' is encrypted"):
        unpack(tmp_path / "c.zip", tmp_path / "scratch")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_bytes_are_counted_as_they_come(tmp_path: Path, make: Callable[[Path, Entries], Path]) -> None:
    place = make(tmp_path / "c.zst", [("bomb", b"\0" * 3_000_000)])

    with pytest.raises(FormatError, match="unpacks to too many bytes, at 'bomb'"):
        unpack(place, tmp_path / "scratch", Bounds(free_bytes=1_000_000, growth=2))


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_entries_are_counted(tmp_path: Path, make: Callable[[Path, Entries], Path]) -> None:
    place = make(tmp_path / "c", [(str(at), b"") for at in range(11)])

    with pytest.raises(FormatError, match="holds too many entries"):
        unpack(place, tmp_path / "scratch", Bounds(entries=10))


def test_a_huge_tar_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**33
    (tmp_path / "c.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))

    with pytest.raises(FormatError, match=r"is broken .a header of 8589934592 bytes"):
        unpack(tmp_path / "c.tar", tmp_path / "scratch")


@pytest.mark.parametrize("suffix", [".tar", ".tar.zst", ".tar.gz", ".zip"])
def test_an_archive_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    entries: Entries = [("a", os.urandom(3000)), ("b", b"2" * 2000)]
    if suffix == ".tar.gz":
        with tarfile.open(whole, "w:gz") as archive:
            for name, content in entries:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    else:
        (make_zip if suffix == ".zip" else make_tar)(whole, entries)
    data = whole.read_bytes()
    end_mark = 512 + 3072 + 512 + 2048  # two headers, two contents in whole blocks
    last = end_mark + 1 if suffix == ".tar" else len(data) - 1

    for length in range(300, last, 97):
        place = tmp_path / f"cut{suffix}"
        place.write_bytes(data[:length])
        with pytest.raises(FormatError, match=r"is broken|neither a folder nor"):
            unpack(place, tmp_path / "scratch")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# Page")

    with pytest.raises(FormatError, match=r"file .page.md.: is neither a folder nor a zip or tar archive"):
        unpack(tmp_path / "page.md", tmp_path)
    assert not is_archive(tmp_path / "page.md")


def test_names_of_old_zips_are_read_as_their_makers_meant(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        windows = zipfile.ZipInfo("dir\\file.txt")
        windows.create_system = 0
        archive.writestr(windows, "w")
    data = make_zip(tmp_path / "u.zip", [("nXX.txt", b"u")]).read_bytes()
    (tmp_path / "u.zip").write_bytes(data.replace(b"nXX.txt", "nñ.txt".encode()))

    assert contents(unpack(tmp_path / "c.zip", tmp_path / "s")) == {"file.txt": b"w"}
    assert contents(unpack(tmp_path / "u.zip", tmp_path / "s")) == {"nñ.txt": b"u"}


def test_a_name_that_is_not_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    place = make_tar(tmp_path / "c.tar", [("a\udcff", b"1"), ("b", b"2")])

    assert sorted(os.listdir(os.fsencode(unpack(place, tmp_path / "s")))) == [b"a\xff", b"b"]  # noqa: PTH208


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_anywhere_is_refused_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    entries: Entries = [("a", b"1" * 700), ("d/b", b"2" * 300)]
    whole = tmp_path / "whole"
    make = data.draw(st.sampled_from([make_zip, make_tar]))
    damaged = bytearray(make(whole, entries).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "damaged").write_bytes(damaged)

    try:
        folder = unpack(tmp_path / "damaged", tmp_path / "scratch")
    except FormatError:
        return

    assert all(not path.is_symlink() for path in folder.rglob("*"))

"""Unpack an archive of a folder without trusting it.

Only regular files and folders come out, below one new folder, within bounds.
Links, devices, names that lead elsewhere and names that are there twice are
refused by name. The folder is new and holds no link, so none is ever followed.
"""

import bz2
import gzip
import lzma
import os
import re
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Self, cast

from alforja_packaging.codec import BrokenFrame, open_packed
from alforja_packaging.errors import FormatError, RequestError, StoreError
from alforja_packaging.layout import check_path

_CHUNK: Final = 2**20
_WINDOW_MAX_BYTES: Final = 2**27  # what `zstd --long` writes; more is asked for only by name
_HEADER_MAX_BYTES: Final = 2**20  # tarfile reads a pax or long-name header whole into memory
_UTF8_NAME: Final = 0x800
_ENCRYPTED: Final = 0x1
_WINDOWS: Final = 0
_UNIX: Final = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an archive may hold."""

    entries: int = 200_000
    total_bytes: int = 64 * 2**30
    free_bytes: int = 2**30
    """So much is always allowed; beyond it, `growth` times the archive's own size."""
    growth: int = 200

    def unpacked_bytes(self, archive_bytes: int) -> int:
        """Give the most bytes that an archive of some size may unpack to."""
        return min(self.total_bytes, max(self.free_bytes, self.growth * archive_bytes))


BOUNDS: Final = Bounds()

# What the standard library's readers raise for bytes that are no archive after all;
# OSError is theirs too, since what goes wrong in writing is caught where it is written.
_BROKEN: Final = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, BrokenFrame),
    *(EOFError, OSError, ValueError, OverflowError, struct.error),
)


@dataclass(slots=True)
class _Unpacking:
    what: str
    into: Path
    entries_left: int
    bytes_left: int
    seen: set[str] = field(default_factory=set)

    def refuse(self, name: str, why: str) -> FormatError:
        advice = "unpack it by hand, and import the folder"
        return FormatError(f"archive {self.what}: entry {name!r} {why}", advice=advice)

    def place(self, name: str) -> Path | None:
        """Check an entry's name and give where it goes; None for the folder itself."""
        self.entries_left -= 1
        if self.entries_left < 0:
            raise FormatError(f"archive {self.what}: holds too many entries")
        path = re.sub(r"^(\./+)+", "", name).rstrip("/")
        if path in ("", ".") and not name.startswith("/"):
            return None
        path = re.sub(r"/(?:\./+|/+)+", "/", path)
        try:
            check_path(path)
        except FormatError:
            raise self.refuse(name, "leads out of the folder or is no file name") from None
        if path in self.seen:
            raise self.refuse(name, "is there twice")
        self.seen.add(path)
        return Path(self.into, os.fsdecode(path.encode("utf-8", "surrogateescape")))

    def put_folder(self, name: str) -> None:
        """Make one folder, which may be there already because of what lies in it."""
        place = self.place(name)
        if place is not None:
            self._make(name, place)

    def put_file(self, name: str, content: IO[bytes] | None) -> None:
        """Write one file, counting its bytes as they come rather than as it claims."""
        place = self.place(name)
        if place is None or content is None:
            raise self.refuse(name, "is no file name")
        self._make(name, place.parent)
        with self._writing(name), place.open("xb") as out:
            while piece := self._next_piece(name, content):
                out.write(piece)

    def _next_piece(self, name: str, content: IO[bytes]) -> bytes:
        try:
            piece = content.read(_CHUNK)
        except _BROKEN as error:
            raise FormatError(f"archive {self.what}: is broken at {name!r} ({error})") from None
        self.bytes_left -= len(piece)
        if self.bytes_left < 0:
            raise FormatError(f"archive {self.what}: unpacks to too many bytes, at {name!r}")
        return piece

    def _make(self, name: str, folder: Path) -> None:
        with self._writing(name):
            folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Tell a name that cannot be from a disk that is full."""
        try:
            yield
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            raise self.refuse(name, "is there twice, as a file and a folder or in other capital letters") from None
        except OSError as error:
            raise StoreError(f"archive {self.what}: {name!r} cannot be written ({error.strerror})") from None


def is_archive(source: Path) -> bool:
    """Tell whether a file begins like an archive that `unpack` opens."""
    return source.is_file() and _kind(source) is not None


def unpack(source: Path, scratch: Path, bounds: Bounds = BOUNDS) -> Path:
    """Unpack a zip, or a tar (plain, gzip, bzip2, xz, zstd), into a new folder in `scratch`.

    Returns the folder the archive was made of: what was unpacked, or the one folder
    that all of it lies in. Raises FormatError for anything unsafe, broken or too
    big, StoreError when the disk is full.
    """
    kind = _kind(source)
    if kind is None:
        raise FormatError(
            f"file {source.name!r}: is neither a folder nor a zip or tar archive",
            advice="give a folder, or a zip or tar archive of one",
        )
    scratch.mkdir(parents=True, exist_ok=True)
    into = Path(tempfile.mkdtemp(prefix="unpacked-", dir=scratch))
    size = source.stat().st_size
    work = _Unpacking(repr(source.name), into, bounds.entries, bounds.unpacked_bytes(size))
    try:
        (_unzip if kind == "zip" else _untar)(source, kind, work)
    except _BROKEN as error:
        raise FormatError(f"archive {work.what}: is broken ({error})") from None
    except NotImplementedError as error:
        raise FormatError(f"archive {work.what}: is packed in a way this program does not know ({error})") from None
    return _top(into)


def _top(into: Path) -> Path:
    held = list(into.iterdir())
    return held[0] if len(held) == 1 and held[0].is_dir() else into


def _kind(source: Path) -> str | None:
    try:
        with source.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise RequestError(f"file {source.name!r}: cannot be read ({error.strerror})") from None
    for kind, magic in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return "tar" if head[257:262] == b"ustar" else None


_MAGIC: Final = {
    "zip": (b"PK\3\4", b"PK\5\6"),
    "gzip": (b"\x1f\x8b",),
    "bzip2": (b"BZh",),
    "xz": (b"\xfd7zXZ\0",),
    "zstd": (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"),
}


def _unzip(source: Path, _kind: str, work: _Unpacking) -> None:
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            name = _zip_name(info)
            kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
            if info.flag_bits & _ENCRYPTED:
                raise work.refuse(name, "is encrypted")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise work.refuse(name, "is a link or a device")
            if name.endswith("/"):
                work.put_folder(name)
            else:
                with archive.open(info) as content:
                    work.put_file(name, content)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Give an entry's name: UTF-8 if its bytes are that, marked or not; backslashes of Windows as `/`."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8_NAME:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/") if info.create_system == _WINDOWS else name


def _untar(source: Path, kind: str, work: _Unpacking) -> None:
    with (
        _plain(source, kind) as stream,
        tarfile.open(
            fileobj=stream, mode="r|", tarinfo=_Entry, encoding="utf-8", errors="surrogateescape", bufsize=2**16
        ) as archive,
    ):
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # a stream of 200 000 entries need not be remembered
            if info.isdir():
                work.put_folder(info.name)
            elif info.isreg():
                work.put_file(info.name, archive.extractfile(info))
            else:
                raise work.refuse(info.name, "is a link or a device")


@contextmanager
def _plain(source: Path, kind: str) -> Iterator[IO[bytes]]:
    """Open the tar stream inside a compressed file."""
    with ExitStack() as stack:
        file = stack.enter_context(source.open("rb"))
        match kind:
            case "gzip":
                yield cast(IO[bytes], stack.enter_context(gzip.open(file)))
            case "bzip2":
                yield stack.enter_context(bz2.open(file))
            case "xz":
                yield stack.enter_context(lzma.open(file))
            case "zstd":
                yield stack.enter_context(open_packed(file, window_max_bytes=_WINDOW_MAX_BYTES))
            case _:
                yield file


class _Entry(tarfile.TarInfo):
    """A tar header that may not be huge, broken, or missing at the end.

    For tarfile an archive ends as well where a header is damaged or the stream was
    cut; only the end mark shows that it is whole.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) != tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends without its end mark")
        try:
            entry = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):
                raise tarfile.ReadError(str(error)) from None
            raise
        extra = entry.type not in (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE)
        if extra and entry.size > _HEADER_MAX_BYTES:
            raise tarfile.ReadError(f"a header of {entry.size} bytes")
        return entry

"""Names and paths: how publishers, courses, releases and files are called.

One layout serves HTTP servers, sticks and neighbours alike (docs/format.md
sections 2 and 3). Nothing here touches a disk.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from alforja_packaging.errors import FormatError

Part = Literal["core", "rich"]

TRUST_DIR: Final = "trust"
BUNDLES_DIR: Final = "bundles"
MANIFEST_NAME: Final = "manifest"
INSTALL_NAME: Final = "install"

PATH_MAX_BYTES: Final = 4096  # PATH_MAX of Linux; format.md section 2.3
NAME_MAX_BYTES: Final = 255  # NAME_MAX of every file system a node may use
CORE_PICTURE_MAX_BYTES: Final = 256 * 1024  # format.md section 5.3: a page of text and its drawings
CORE_TEXT_MAX_BYTES: Final = 4 * 2**20

_START = re.compile(r"(?:([^/.]+)\.)?([1-9][0-9]{0,8})")
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# TUF's own roles, and names that a FAT stick or Windows refuses (trust.md attack C).
_RESERVED: Final = frozenset(
    ["root", "timestamp", "snapshot", "targets", "con", "prn", "aux", "nul"]
    + [f"{port}{number}" for port in ("com", "lpt") for number in range(10)]
)
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")

# Media types by file name ending (format.md section 5.4). Fixed here, never taken from
# the machine, so that two hubs build the same manifest and two nodes serve the same header.
MEDIA_TYPES: Final[dict[str, str]] = {
    "html": "text/html", "htm": "text/html", "xhtml": "application/xhtml+xml",
    "md": "text/markdown", "markdown": "text/markdown", "txt": "text/plain", "csv": "text/csv",
    "css": "text/css", "js": "text/javascript", "mjs": "text/javascript", "json": "application/json",
    "xml": "application/xml", "vtt": "text/vtt", "srt": "application/x-subrip",
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
    "svg": "image/svg+xml", "webp": "image/webp", "avif": "image/avif", "ico": "image/x-icon", "bmp": "image/bmp",
    "mp4": "video/mp4", "m4v": "video/mp4", "webm": "video/webm", "ogv": "video/ogg", "mov": "video/quicktime",
    "mp3": "audio/mpeg", "m4a": "audio/mp4", "ogg": "audio/ogg", "oga": "audio/ogg", "opus": "audio/ogg",
    "wav": "audio/wav", "flac": "audio/flac",
    "pdf": "application/pdf", "epub": "application/epub+zip", "zip": "application/zip", "h5p": "application/zip",
    "woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf", "wasm": "application/wasm",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "webmanifest": "application/manifest+json", "sqlite": "application/vnd.sqlite3",
}  # fmt: skip
_OPAQUE: Final = "application/octet-stream"
_TEXT_LIKE: Final = frozenset(
    [
        "application/xhtml+xml",
        "application/json",
        "application/xml",
        "application/x-subrip",
        "application/manifest+json",
    ]
)


def check_id(what: str, text: str) -> str:
    """Return `text` if it may name a `what` (publisher, course, lesson).

    Raises FormatError otherwise. The alphabet has no dot, slash, percent sign or
    upper case, so that names stay distinct in TUF paths, URLs and on FAT.
    """
    if not _ID.fullmatch(text) or text in _RESERVED:
        raise FormatError(
            f"{what} {text[:80]!r}: not a usable name",
            advice="use 1 to 63 small letters, digits and hyphens, for example `maths-7`",
        )
    return text


def check_language(tag: str) -> str:
    """Return `tag` if it has the shape of a BCP 47 language tag, else raise FormatError."""
    if not _LANGUAGE.fullmatch(tag):
        raise FormatError(
            f"language {tag[:40]!r}: not a BCP 47 tag", advice="write for example `es`, `zh-Hans` or `quz-PE`"
        )
    return tag


def check_path(path: str) -> str:
    """Return `path` if it may name a file of a course, else raise FormatError.

    A path is relative, separated by `/`, without empty, `.` or `..` parts and
    without NUL. Bytes that are not UTF-8 are carried as lone surrogates
    (PEP 383), so every name a POSIX tree can hold has exactly one form.
    """
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise FormatError(f"path {path[:80]!r}: holds a character that no file name can have") from None
    if raw.decode("utf-8", "surrogateescape") != path:
        raise FormatError(f"path {path[:80]!r}: spells out bytes that are a character")
    parts = path.split("/")
    if not raw or len(raw) > PATH_MAX_BYTES or b"\0" in raw:
        raise FormatError(f"path {path[:80]!r}: empty, longer than {PATH_MAX_BYTES} bytes, or holds NUL")
    for part in parts:
        if part in ("", ".", ".."):
            raise FormatError(f"path {path[:80]!r}: has an empty, `.` or `..` part")
        if len(part.encode("utf-8", "surrogateescape")) > NAME_MAX_BYTES:
            raise FormatError(f"path {path[:80]!r}: a part is longer than {NAME_MAX_BYTES} bytes")
    return path


def path_key(path: str) -> bytes:
    """Give the bytes that paths are ordered by: the file name's own bytes."""
    return path.encode("utf-8", "surrogateescape")


def find_clashes(paths: Iterable[str]) -> list[str]:
    """List the paths that are also used as a folder of another path."""
    names = set(paths)
    return sorted(
        {
            parent
            for path in names
            for parent in (path[:at] for at, letter in enumerate(path) if letter == "/")
            if parent in names
        },
        key=path_key,
    )


def join_path(base: str, relative: str) -> str | None:
    """Give the path that `relative` means in the file `base`; None when it leads out of the course.

    A leading `/` counts from the course's root; empty and `.` parts mean nothing.
    """
    parts = [] if relative.startswith("/") else base.split("/")[:-1]
    for part in relative.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def bundle_name(course: str, release: int) -> str:
    """Name one release of a course, as in `algebra.7`."""
    return f"{course}.{release}"


def bundle_path(publisher: str, course: str, release: int) -> str:
    """Give the TUF target path of a release's manifest, and the folder of its packs."""
    return f"{BUNDLES_DIR}/{publisher}/{bundle_name(course, release)}"


def parse_bundle_path(path: str) -> tuple[str, str, int]:
    """Read publisher, course and release back from a bundle path.

    Raises FormatError for anything `bundle_path` would not have written, such
    as `bundles/moe/%2e%2e` or a release with leading zeros.
    """
    match = re.fullmatch(r"bundles/([^/]+)/([^/.]+)\.([1-9][0-9]{0,8})", path)
    if match is None:
        raise FormatError(f"bundle path {path[:80]!r}: not of the form bundles/PUBLISHER/COURSE.RELEASE")
    return check_id("publisher", match[1]), check_id("course", match[2]), int(match[3])


@dataclass(frozen=True, slots=True, order=True)
class Start:
    """The release that an update starts from: an earlier one, or one of another `course` of the same publisher."""

    release: int
    course: str = ""

    def __str__(self) -> str:
        """As it is written: `3`, or `algebra.3` where it is of another course."""
        return bundle_name(self.course, self.release) if self.course else str(self.release)


def parse_start(text: str) -> Start:
    """Read a start back. Raises FormatError for what `str` of one would not have given."""
    match = _START.fullmatch(text)
    if match is None:
        raise FormatError(f"start {text[:80]!r}: not of the form RELEASE or COURSE.RELEASE")
    return Start(int(match[2]), check_id("course", match[1]) if match[1] is not None else "")


def update_name(start: Start) -> str:
    """Name the pack that brings a node from a release."""
    return f"from-{start}"


def check_pack_name(name: str) -> str:
    """Return `name` if it may name a pack below a publisher's folder, as in `algebra.7/install`.

    Raises FormatError otherwise.
    """
    release = r"[a-z0-9-]{1,63}\.[1-9][0-9]{0,8}"
    if not re.fullmatch(rf"{release}/(?:install|from-(?:{release}|[1-9][0-9]{{0,8}}))", name):
        raise FormatError(f"pack {name[:80]!r}: not of the form COURSE.RELEASE/install or COURSE.RELEASE/from-START")
    return name


def trust_delta_path(held_version: int) -> str:
    """Give the path of the metadata published after timestamp `held_version` (0: all of it)."""
    return f"{TRUST_DIR}/after/{held_version}"


def file_path(digest: bytes) -> str:
    """Give the place of a plain file in a store, by its SHA-256."""
    name = digest.hex()
    return f"files/{name[:2]}/{name}"


def ending(path: str) -> str:
    """Give a file name's ending in small letters, without the dot."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name[1:] else ""


def media_type(path: str) -> str:
    """Give the media type that a path's ending stands for."""
    return MEDIA_TYPES.get(ending(path), _OPAQUE)


def is_text(path: str) -> bool:
    """Tell whether a path's ending stands for text, by the format's own table."""
    kind = media_type(path)
    return kind.startswith("text/") or kind in _TEXT_LIKE


def part_of(path: str, size: int) -> Part:
    """Tell whether a file belongs to a lesson's core or to its rich part.

    Core is what a lesson needs to be read and practised: text, exercises,
    captions, styles, small pictures. `size` is in bytes.
    """
    kind = media_type(path)
    if is_text(path) or kind.startswith("font/"):
        return "core" if size <= CORE_TEXT_MAX_BYTES else "rich"
    if kind.startswith(("video/", "audio/")):
        return "rich"
    return "core" if size <= CORE_PICTURE_MAX_BYTES else "rich"

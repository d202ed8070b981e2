"""Trust metadata on its way: what was published after the metadata a node holds.

An unsigned transport encoding: the signed bytes are rebuilt, then verified as TUF
says, so a false delta can do no more than a false mirror. docs/format.md section 8.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alforja_packaging.columns import Columns
from alforja_packaging.errors import FormatError, UnsupportedFormat
from alforja_packaging.jsondelta import Reader, Writer
from alforja_packaging.jsonform import format_json, parse_json
from alforja_packaging.runs import pack_run, unpack_run

NEWEST_KNOWN: Final = 2
DELTA_MAX_BYTES: Final = 16 * 2**20  # on the wire; format.md section 8
METADATA_MAX_BYTES: Final = 31 * 2**20  # rebuilt, with what is held
FILES_MAX: Final = 4096
VERSION_MAX: Final = 2**53 - 1  # what every JSON reader and SQLite keep exactly

_FIRST_LINE = re.compile(rb"alforja-trust ([1-9][0-9]{0,5})((?: [0-9]{1,8})*)\n")
_NAME = re.compile(r"timestamp\.json|([1-9][0-9]{0,15})\.([a-z0-9][a-z0-9-]{0,62})\.json")
_ROLES = ("timestamp", "snapshot", "targets", "root")  # others are named in a text


@dataclass(frozen=True, slots=True)
class Change:
    """One metadata file that is new, with the held file it resembles (`""`: none)."""

    name: str
    data: bytes
    held_name: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """What lies between two versions of the timestamp. Nothing, when they are the same."""

    from_version: int
    to_version: int
    files: Mapping[str, bytes]


def format_delta(from_version: int, to_version: int, changes: Sequence[Change], held: Mapping[str, bytes]) -> bytes:
    """Write a delta against the `held` files that the changes name."""
    writer = Writer()
    writer.number(from_version, to_version, len(changes))
    for change in changes:
        older = _put_name(change, writer)
        value, model = _value_of(change.data), _value_of(held.get(older, b""))
        start = writer.copy()
        if value is not None:
            writer.number(0)
            writer.put(*([value] if model is None else [value, model]))
        if value is None or not _comes_back(start, writer, change.data, model):
            writer = start
            writer.number(1, len(change.data))
            writer.raw += change.data
    packed = pack_run(bytes(writer.columns))
    return f"alforja-trust {NEWEST_KNOWN} {len(packed)} {len(writer.columns)}\n".encode() + packed + writer.raw


def _comes_back(start: Writer, end: Writer, data: bytes, model: dict[str, Any] | None) -> bool:
    """Tell whether what was written gives its bytes again: to Python, True and 1 are the same."""
    columns = Columns(bytes(end.columns[len(start.columns) + 1 :]), "metadata")
    reader = Reader(columns, Columns(bytes(end.raw[len(start.raw) :]), "metadata"), METADATA_MAX_BYTES)
    reader.elapsed, reader.seen = start.elapsed, list(start.seen)
    return format_json(reader.take() if model is None else reader.take(model)).encode() == data


def _put_name(change: Change, writer: Writer) -> str:
    """Write a file's name and that of the held one it is written against, an older one of its role; give that."""
    (role, version), (held_role, held_version) = _parts_of(change.name), _parts_of(change.held_name)
    writer.number(_ROLES.index(role) if role in _ROLES else len(_ROLES))
    if role not in _ROLES:
        writer.text(role.encode())
    if role == "timestamp":
        writer.number(held_role == role)
        return change.held_name if held_role == role else ""
    ahead = max(0, version - held_version) if held_role == role else 0
    writer.number(version, ahead)
    return change.held_name if ahead else ""


def _parts_of(name: str) -> tuple[str, int]:
    """The role and version in a file's name."""
    first, _, rest = name.removesuffix(".json").partition(".")
    return (rest, int(first)) if rest else (first, 0)


def _value_of(data: bytes) -> dict[str, Any] | None:
    """A file as a value, None when that would not give its bytes again."""
    try:
        value = parse_json(data, "metadata")
        return value if format_json(value).encode() == data else None
    except FormatError:
        return None


def parse_delta(data: bytes, held_version: int, held: Mapping[str, bytes]) -> Delta:
    """Rebuild the files of a delta from the `held` ones.

    Raises FormatError or VerifyError for anything but a delta from `held_version`
    that can be rebuilt here; UnsupportedFormat for another version.
    """
    return _parse(*_open(data), held_version, held)


def newest_of(data: bytes) -> int:
    """Tell which version of the timestamp a delta leads to. Raises FormatError or VerifyError as `parse_delta` does."""
    columns, _ = _open(data)
    columns.number(VERSION_MAX)
    return columns.number(VERSION_MAX)


def _open(data: bytes) -> tuple[Columns, Columns]:
    match = _FIRST_LINE.match(data[:60])
    if match is None:
        raise FormatError("trust delta: does not begin with `alforja-trust`")
    if int(match[1]) != NEWEST_KNOWN:
        raise UnsupportedFormat("trust delta", int(match[1]), NEWEST_KNOWN)
    sizes = [int(size) for size in match[2].split()]
    if len(sizes) != 2:
        raise FormatError("trust delta: does not begin with `alforja-trust` and its sizes")
    packed, size = sizes
    if match.end() + packed > len(data) or size > METADATA_MAX_BYTES:
        raise FormatError("trust delta: is cut short, or would unpack to more than metadata may have")
    end = match.end() + packed
    columns = Columns(unpack_run(data[match.end() : end], size=size, what="trust delta"), "trust delta")
    return columns, Columns(data[end:], "trust delta")


def _parse(columns: Columns, raw: Columns, held_version: int, held: Mapping[str, bytes]) -> Delta:
    from_version, to_version = columns.number(VERSION_MAX), columns.number(VERSION_MAX)
    if from_version != held_version:
        raise FormatError(f"trust delta: does not lead on from version {held_version}")
    reader = Reader(columns, raw, METADATA_MAX_BYTES)
    files: dict[str, bytes] = {}
    for _ in range(columns.number(FILES_MAX)):
        name, held_name = _take_name(columns)
        if name in files:
            raise FormatError("trust delta: a file is there twice")
        if held_name and held_name not in held:
            raise FormatError(f"trust delta: takes {held_name!r} to be held, which is not")
        files[name] = _take_file(columns, raw, reader, held.get(held_name, b""))
    reader.end()
    return Delta(held_version, to_version, files)


def _take_file(columns: Columns, raw: Columns, reader: Reader, held: bytes) -> bytes:
    if columns.number(1):
        return raw.take(columns.number())
    model = _value_of(held)
    reader.spend(len(held))
    value = reader.take() if model is None else reader.take(model)
    return format_json(value).encode()


def _take_name(columns: Columns) -> tuple[str, str]:
    """Read a file's name, and that of the held file it resembles."""
    place = columns.number(len(_ROLES))
    role = _ROLES[place] if place < len(_ROLES) else columns.take(columns.number(63)).decode("ascii", "replace")
    if role == "timestamp":
        return "timestamp.json", "timestamp.json" if columns.number(1) else ""
    version = columns.number(VERSION_MAX)
    older = version - columns.number(version)
    name = f"{version}.{role}.json"
    if not _NAME.fullmatch(name) or (place == len(_ROLES) and role in _ROLES):
        raise FormatError("trust delta: names something that is not metadata")
    return name, f"{older}.{role}.json" if older < version else ""


def fingerprint(root: bytes) -> str:
    """What people compare when a root is handed over: SHA-256 of its bytes, in groups of four letters."""
    digest = hashlib.sha256(root).hexdigest()
    return " ".join(digest[at : at + 4] for at in range(0, len(digest), 4))

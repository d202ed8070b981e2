"""Trust metadata on its way: what was published after the metadata a node holds.

An unsigned transport encoding: the signed bytes are rebuilt, then verified as TUF
says, so a false delta can do no more than a false mirror. docs/format.md section 8.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alforja_packaging import codec
from alforja_packaging.errors import FormatError, UnsupportedFormat
from alforja_packaging.jsonform import format_json, parse_json

NEWEST_KNOWN: Final = 1
DELTA_MAX_BYTES: Final = 16 * 2**20  # on the wire; format.md section 8
METADATA_MAX_BYTES: Final = 31 * 2**20  # rebuilt, with what is held: stays within one zstd window
FILES_MAX: Final = 4096
VERSION_MAX: Final = 2**53 - 1  # what every JSON reader and SQLite keep exactly

_FIRST_LINE = re.compile(rb"alforja-trust ([1-9][0-9]{0,5}) ([0-9]{1,7})\n")
_NAME = re.compile(r"timestamp\.json|[1-9][0-9]{0,15}\.[a-z0-9][a-z0-9-]{0,62}\.json")


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
    fields = {
        "files": [[change.name, change.held_name, len(change.data)] for change in changes],
        "from": from_version,
        "to": to_version,
    }
    text = format_json(fields).encode()
    packed = b""
    if changes:
        packed = codec.compress(
            b"".join(change.data for change in changes),
            prefix=_prefix([change.held_name for change in changes], held),
            options={"compression_level": 22, "checksum_flag": 0},
        )
    return f"alforja-trust {NEWEST_KNOWN} {len(text)}\n".encode() + text + packed


def parse_delta(data: bytes, held_version: int, held: Mapping[str, bytes]) -> Delta:
    """Rebuild the files of a delta from the `held` ones.

    Raises FormatError or VerifyError for anything but a delta from `held_version`
    that can be rebuilt here; UnsupportedFormat for a newer version.
    """
    match = _FIRST_LINE.match(data[:40])
    if match is None:
        raise FormatError("trust delta: does not begin with `alforja-trust`")
    if int(match[1]) > NEWEST_KNOWN:
        raise UnsupportedFormat("trust delta", int(match[1]), NEWEST_KNOWN)
    end = match.end() + int(match[2])
    if end > len(data):
        raise FormatError("trust delta: ends within its list of files")
    fields = parse_json(data[match.end() : end], "trust delta")
    versions = [fields.get("from"), fields.get("to")]
    if versions[0] != held_version or not all(type(one) is int and 0 <= one <= VERSION_MAX for one in versions):
        raise FormatError(f"trust delta: does not lead on from version {held_version}")
    entries = _entries(fields.get("files"), held)
    total = sum(length for _, _, length in entries)
    # Before the prefix is put together: thousands of entries may name one large held file.
    if total + sum(len(held[name]) for _, name, _ in entries if name) > METADATA_MAX_BYTES:
        raise FormatError(f"trust delta: would rebuild {total} bytes, more than metadata may have")
    if not entries:
        if data[end:]:
            raise FormatError("trust delta: something follows its end")
        return Delta(held_version, fields["to"], {})
    prefix = _prefix([held_name for _, held_name, _ in entries], held)
    whole = codec.decompress_whole(data[end:], size=total, prefix=prefix, what="trust delta")
    files, at = {}, 0
    for name, _, length in entries:
        files[name] = whole[at : at + length]
        at += length
    return Delta(held_version, fields["to"], files)


def fingerprint(root: bytes) -> str:
    """What people compare when a root is handed over: SHA-256 of its bytes, in groups of four letters."""
    digest = hashlib.sha256(root).hexdigest()
    return " ".join(digest[at : at + 4] for at in range(0, len(digest), 4))


def _prefix(names: Sequence[str], held: Mapping[str, bytes]) -> bytes:
    return b"".join(held[name] for name in names if name)


def _entries(value: object, held: Mapping[str, bytes]) -> list[tuple[str, str, int]]:
    if not isinstance(value, list) or len(value) > FILES_MAX:
        raise FormatError("trust delta: its list of files is missing or too long")
    entries: list[tuple[str, str, int]] = []
    for entry in value:
        match entry:
            case [str(name), str(held_name), int(length)] if (
                _NAME.fullmatch(name) and (not held_name or held_name in held)
                and type(length) is int and 0 <= length <= METADATA_MAX_BYTES
            ):  # fmt: skip
                entries.append((name, held_name, length))
            case _:
                raise FormatError(
                    "trust delta: an entry names something that is not held, or is not as the format says"
                )
    if len({name for name, _, _ in entries}) != len(entries):
        raise FormatError("trust delta: a file is there twice")
    return entries

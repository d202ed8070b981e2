"""The manifest: what a release of a course contains. Values to bytes and back.

Deterministic: the same course, tree and release number give the same bytes on
any machine. docs/format.md section 5 is the law. Nothing here opens a file.
"""

import hashlib
import json
import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

from alforja_packaging.course import Course
from alforja_packaging.coursejson import (
    LessonPaths,
    field_of,
    parse_course,
    refuse_empty,
    section_fields,
    strings,
    unknown,
)
from alforja_packaging.errors import FormatError, UnsupportedFormat
from alforja_packaging.files import (
    DIGEST_BYTES,
    FILE_MAX_BYTES,
    NOWHERE,
    ByPath,
    Contents,
    File,
    Files,
    NumberOf,
    Paths,
    Table,
    make_files,
)
from alforja_packaging.jsonform import format_json, parse_json
from alforja_packaging.layout import PATH_MAX_BYTES, check_id, check_language, check_path, path_key

__all__ = [
    "DIGEST_BYTES",
    "File",
    "Manifest",
    "Skeleton",
    "check_manifest",
    "format_manifest",
    "parse_manifest",
    "sign_name",
]

NEWEST_KNOWN: Final = 1
MANIFEST_MAX_BYTES: Final = 32 * 2**20  # format.md section 5: 150 000 files with long names fit
RELEASE_MAX: Final = 999_999_999

_KNOWN = frozenset(
    [
        "author",
        "course",
        "description",
        "files",
        "folders",
        "languages",
        "licence",
        "publisher",
        "release",
        "sections",
        "title",
    ]
)
_MAGIC = b"alforja-manifest 1\n"
_VERSION = re.compile(rb"alforja-manifest ([1-9][0-9]{0,5})\n")
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN = re.compile(_STRING + rb"(?::\[)?|[{}\[\]]")
_ENTRY = re.compile(rb"\[(%s),(0|[1-9][0-9]{0,14})(?:,(%s))?\]" % (_STRING, _STRING))
_NAME = re.compile(rb"(?:(?!\.{1,2}(?:/|\Z))[^/\0]{1,255}(?:/(?!\Z)|\Z))+")
_ENTRIES_AT_ONCE = 1000


@dataclass(frozen=True)
class Manifest:
    """Everything a release contains and how it is taught.

    `files` are in the order of their paths' bytes. `folders` are those that hold
    no file. `extra` are fields this program does not know; they are kept.
    """

    publisher: str
    release: int
    course: Course
    files: Sequence[File]
    folders: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def contents(self) -> Sequence[File]:
        """One file for each distinct content, in the order of the digest table."""
        if isinstance(self.files, Files):
            return Contents(self.files)
        first: dict[bytes, File] = {}
        for file in self.files:
            first.setdefault(file.digest, file)
        return tuple(first.values())

    @cached_property
    def number_of(self) -> Mapping[bytes, int]:
        """The place of each digest in the digest table."""
        if isinstance(self.files, Files):
            return NumberOf(self.files)
        return {content.digest: number for number, content in enumerate(self.contents)}

    @cached_property
    def by_path(self) -> Mapping[str, File]:
        """The files by their paths."""
        if isinstance(self.files, Files):
            return ByPath(self.files)
        return {file.path: file for file in self.files}

    @cached_property
    def as_table(self) -> Files:
        """The files in one table. Raises FormatError for what no manifest can hold."""
        return self.files if isinstance(self.files, Files) else make_files(self.files)

    def contents_of(self, paths: Iterable[str]) -> frozenset[int]:
        """The numbers of the distinct contents behind some paths of this release."""
        table = self.as_table.table
        numbers = paths.numbers(table) if isinstance(paths, Paths) else None
        if numbers is None:
            return frozenset(self.number_of[self.by_path[path].digest] for path in paths)
        return frozenset(table.content_of[number] for number in numbers)

    def digests_of(self, paths: Iterable[str]) -> frozenset[bytes]:
        """The digests of the distinct contents behind some paths of this release."""
        return frozenset(self.by_path[path].digest for path in paths)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A manifest whose digests are still to be filled in."""

    publisher: str
    release: int
    course: Course
    table: Table
    folders: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def contents(self) -> Iterator[tuple[str, int]]:
        """Paths and sizes in the order of the digest table."""
        return ((self.table.path(owner), size) for owner, size in zip(self.table.owners, self.table.sizes, strict=True))

    @property
    def twins(self) -> Iterator[tuple[str, str]]:
        """Other paths of the same contents, each with the path that owns its content."""
        owners, content_of = self.table.owners, self.table.content_of
        return (
            (self.table.path(number), self.table.path(owners[content]))
            for number, content in enumerate(content_of)
            if owners[content] != number
        )

    def fill(self, digests: bytes) -> Manifest:
        """Make a manifest of this and one digest for each content, all in one run of bytes. Nothing is checked."""
        files = Files(self.table, digests)
        return Manifest(self.publisher, self.release, self.course, files, self.folders, self.extra)


def format_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as bytes.

    Raises FormatError when it breaks the format: a bad name, two files of one
    path, a lesson naming a file that is not there.
    """
    check_manifest(manifest)
    data = b"".join(chunks_of(manifest))
    if len(data) > MANIFEST_MAX_BYTES:
        raise FormatError(
            f"course {manifest.course.id}: its manifest has {len(data)} bytes, {MANIFEST_MAX_BYTES} are allowed",
            advice="part the course in two: so many files are more than one course",
        )
    return data


def sign_name(manifest: Manifest) -> tuple[bytes, int]:
    """Give the digest and the length that a manifest is signed by. Raises FormatError as `format_manifest` does."""
    check_manifest(manifest)
    return measure(manifest)


def measure(manifest: Manifest) -> tuple[bytes, int]:
    """Give the digest and the length of a manifest that need not keep the rules, without writing it out."""
    digest, length = hashlib.sha256(), 0
    for chunk in chunks_of(manifest):
        digest.update(chunk)
        length += len(chunk)
    return digest.digest(), length


def chunks_of(manifest: Manifest) -> Iterator[bytes]:
    """Give the bytes of a manifest, bit by bit: all of them at once would be too much for a board."""
    fields: dict[str, Any] = dict(manifest.extra) | lines_fields(manifest)
    fields |= {"files": None, "release": manifest.release, "sections": None}
    yield _MAGIC
    lead = "{"
    for name in sorted(fields):
        yield f"{lead}{format_json(name)}:".encode()
        if name == "files":
            yield from _entries(manifest.as_table.table)
        elif name == "sections":
            yield from _joined(format_json(section_fields(section)) for section in manifest.course.sections)
        else:
            yield format_json(fields[name]).encode()
        lead = ","
    yield b"}\n"
    yield manifest.as_table.digests


def lines_fields(manifest: Manifest) -> dict[str, Any]:
    """The known fields of a manifest, but for its files, release and sections."""
    course = manifest.course
    fields: dict[str, Any] = {
        "course": course.id,
        "languages": list(course.languages),
        "publisher": manifest.publisher,
        "title": dict(course.title),
    }
    optional = {
        "author": course.author,
        "description": dict(course.description),
        "folders": list(manifest.folders),
        "licence": course.licence,
    }
    return fields | {name: value for name, value in optional.items() if value}


def _joined(texts: Iterable[str]) -> Iterator[bytes]:
    yield b"["
    lead = b""
    for text in texts:
        yield lead + text.encode()
        lead = b","
    yield b"]"


def _entries(table: Table) -> Iterator[bytes]:
    return _joined(
        ",".join(_entry(table, number) for number in range(first, min(first + _ENTRIES_AT_ONCE, len(table))))
        for first in range(0, len(table), _ENTRIES_AT_ONCE)
    )


def _entry(table: Table, number: int) -> str:
    content = table.content_of[number]
    text = f"[{format_json(table.path(number))},{table.sizes[content]}"
    owner = table.owners[content]
    return f"{text}]" if owner == number else f"{text},{format_json(table.path(owner))}]"


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest from bytes.

    Raises FormatError for anything `format_manifest` could not have written,
    UnsupportedFormat for a newer major version.
    """
    if len(data) > MANIFEST_MAX_BYTES:
        raise FormatError(f"manifest: {len(data)} bytes, more than the {MANIFEST_MAX_BYTES} a manifest may have")
    version = _VERSION.match(data[:40])
    if version is None:
        raise FormatError("manifest: does not begin with `alforja-manifest`")
    if int(version[1]) > NEWEST_KNOWN:
        raise UnsupportedFormat("manifest", int(version[1]), NEWEST_KNOWN)
    end = data.find(b"\n", version.end())
    if end < 0:
        raise FormatError("manifest: its second line does not end")
    first, last = _find_files(data, version.end(), end)
    table = _parse_files(data, first, last)
    if len(data) - end - 1 != DIGEST_BYTES * len(table.owners):
        raise FormatError(f"manifest: {len(data) - end - 1} bytes of digests for {len(table.owners)} contents")
    fields = parse_json(data[version.end() : first] + data[last:end], "manifest")
    skeleton = make_skeleton(fields, field_of(int, fields, "release"), table, _named_paths(table))
    manifest = check_filled(skeleton.fill(data[end + 1 :]))
    at = 0
    for chunk in chunks_of(manifest):
        if data[at : at + len(chunk)] != chunk:
            raise FormatError("manifest: not written in the one form the format allows")
        at += len(chunk)
    return manifest


def digests_behind(chunks: Iterable[bytes]) -> bytes:
    """Give the digest table of a manifest that is known to be what was signed, one digest after the other.

    Its lines are passed over, not parsed: a hundred thousand files cost their digests alone.
    """
    lines, table = 0, bytearray()
    for chunk in chunks:
        at = 0
        while lines < 2 and (end := chunk.find(b"\n", at)) >= 0:
            lines, at = lines + 1, end + 1
        if lines == 2:
            table += chunk[at:]
    return bytes(table)


def make_skeleton(fields: Mapping[str, Any], release: int, table: Table, paths_of: LessonPaths) -> Skeleton:
    """Make a skeleton of a manifest's fields and its files. Raises FormatError."""
    try:
        return Skeleton(
            field_of(str, fields, "publisher"), release, parse_course(fields, paths_of), table,
            tuple(strings(fields.get("folders", []), "folders")), unknown(fields, *_KNOWN),
        )  # fmt: skip
    except (TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"manifest: a field is not as the format says ({error})") from None


def _find_files(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Find where the entries of `files` begin, and where they end."""
    depth = 0
    for token in _TOKEN.finditer(data, start, end):
        text = token[0]
        if depth == 1 and text == b'"files":[':
            first = at = token.end()
            while entry := _ENTRY.match(data, at, end):
                at = entry.end()
                if data[at : at + 1] != b",":
                    break
                at += 1
            if data[at : at + 1] != b"]" or (at > first and data[at - 1 : at] == b","):
                raise FormatError("manifest: an entry of `files` is not [path, size] or [path, size, path]")
            return first, at
        depth += text in (b"{", b"[") or text.endswith(b":[")
        depth -= text in (b"}", b"]")
    raise FormatError("manifest: field `files` is missing or of the wrong kind")


def _parse_files(data: bytes, first: int, last: int) -> Table:
    names, ends, content_of, sizes = bytearray(), array("I"), array("I"), array("Q")
    twins: list[tuple[int, bytes, int]] = []
    for entry in _ENTRY.finditer(data, first, last):
        names += _unquote(entry[1])
        if entry[3] is None:
            content_of.append(len(sizes))
            sizes.append(int(entry[2]))
        else:
            twins.append((len(ends), _unquote(entry[3]), int(entry[2])))
            content_of.append(NOWHERE)
        ends.append(len(names))
    table = Table(bytes(names), ends, content_of, sizes)
    for number, owner, size in twins:
        found = table.find_name(owner)
        content = NOWHERE if found is None or found > number else content_of[found]
        if content == NOWHERE or table.owners[content] != found:
            raise FormatError("manifest: a file has the content of one that is not listed before it")
        if sizes[content] != size:
            raise FormatError("manifest: a file has another size than the owner of its content")
        content_of[number] = content
    return table


def _unquote(text: bytes) -> bytes:
    """The bytes of a path from its JSON."""
    if b"\\" not in text:
        return text[1:-1]
    try:
        return path_key(json.loads(text))
    except ValueError as error:
        raise FormatError(f"manifest: a path is not readable ({error})") from None


def _named_paths(table: Table) -> LessonPaths:
    def numbers(lesson: Mapping[str, Any], name: str) -> Paths:
        found = array("I")
        for path in strings(lesson.get(name, [] if name == "rich" else None), name):
            number = table.find(path)
            if number is None:
                raise FormatError(f"lesson {lesson.get('id')}: needs {path!r}, which the course does not hold")
            found.append(number)
        return Paths(table, found)

    def paths_of(lesson: Mapping[str, Any]) -> tuple[Paths, Paths]:
        refuse_empty(lesson, "rich")
        return numbers(lesson, "core"), numbers(lesson, "rich")

    return paths_of


def check_filled(manifest: Manifest) -> Manifest:
    """Return a manifest whose digests were filled in if it obeys the format's rules. Raises FormatError."""
    assert isinstance(manifest.number_of, NumberOf)
    if not manifest.number_of.all_differ:
        raise FormatError("manifest: a digest is there twice")
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: Manifest) -> None:
    """Raise FormatError unless a manifest obeys the format's rules."""
    check_id("publisher", manifest.publisher)
    check_id("course", manifest.course.id)
    if not 1 <= manifest.release <= RELEASE_MAX:
        raise FormatError(f"release {manifest.release}: not a number from 1 to {RELEASE_MAX}")
    table = manifest.as_table.table
    _check_names(table, manifest.folders)
    for content, size in enumerate(table.sizes):
        if size > FILE_MAX_BYTES:
            raise FormatError(f"file {table.path(table.owners[content])!r}: its size is out of bounds")
    _check_course(manifest.course, table)


def _check_names(table: Table, folders: Sequence[str]) -> None:
    hollow = [path_key(check_path(path)) for path in folders]
    if any(one >= two for one, two in pairwise(hollow)):
        raise FormatError("manifest: paths are not in order, or one is there twice")
    last = last_folder = b""
    for number in range(len(table)):
        name = table.name(number)
        if len(name) > PATH_MAX_BYTES or not _NAME.fullmatch(name):
            check_path(name.decode("utf-8", "surrogateescape"))
        if name <= last:
            raise FormatError("manifest: paths are not in order, or one is there twice")
        folder = name.rpartition(b"/")[0]
        if folder != last_folder:
            _check_folder(folder, table, hollow)
        last, last_folder = name, folder
    for name in hollow:
        if table.find_name(name) is not None:
            raise FormatError("manifest: a path is a file and a folder at once")
        _check_folder(name.rpartition(b"/")[0], table, hollow)


def _check_folder(folder: bytes, table: Table, hollow: Collection[bytes]) -> None:
    """Raise FormatError when a folder of a path, or one of its own, is a path itself."""
    while folder:
        if table.find_name(folder) is not None or folder in hollow:
            raise FormatError(f"path {folder.decode('utf-8', 'surrogateescape')!r}: is a file and a folder at once")
        folder = folder.rpartition(b"/")[0]


def _check_course(course: Course, table: Table) -> None:
    texts = [course.title, course.description]
    texts += [section.title for section in course.sections]
    texts += [lesson.title for lesson in course.lessons()]
    for tag in [*course.languages, *(tag for text in texts for tag in text)]:
        check_language(tag)
    seen: set[str] = set()
    for lesson in course.lessons():
        check_id("lesson", lesson.id)
        if lesson.id in seen:
            raise FormatError(f"lesson {lesson.id}: is there twice")
        seen.add(lesson.id)
        for path in (*lesson.core, *lesson.rich):
            if table.find(path) is None:
                raise FormatError(f"lesson {lesson.id}: needs {path!r}, which the course does not hold")

"""The manifest: what a release of a course contains. Values to bytes and back.

Deterministic: the same course, tree and release number give the same bytes on
any machine. docs/format.md section 5 is the law. Nothing here opens a file.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, TypeVar

from alforja_packaging.course import Course, Lesson, Section, Text
from alforja_packaging.errors import FormatError, UnsupportedFormat
from alforja_packaging.layout import check_id, check_language, check_path, find_clashes, path_key

NEWEST_KNOWN: Final = 1
MANIFEST_MAX_BYTES: Final = 32 * 2**20  # format.md section 5: 150 000 files with long names fit
FILE_MAX_BYTES: Final = 2**43  # 8 TiB: more than any card; keeps sums inside SQLite's and JSON's integers
RELEASE_MAX: Final = 999_999_999
DIGEST_BYTES: Final = 32

_T = TypeVar("_T")

_MAGIC = "alforja-manifest"
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
_LONE = re.compile("[\udc80-\udcff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a release: its path, its size in bytes and its SHA-256."""

    path: str
    size: int
    digest: bytes


@dataclass(frozen=True)
class Manifest:
    """Everything a release contains and how it is taught.

    `files` are in the order of their paths' bytes. `folders` are those that hold
    no file. `extra` are fields this program does not know; they are kept.
    """

    publisher: str
    release: int
    course: Course
    files: tuple[File, ...]
    folders: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def contents(self) -> tuple[File, ...]:
        """One file for each distinct content, in the order of the digest table."""
        first: dict[bytes, File] = {}
        for file in self.files:
            first.setdefault(file.digest, file)
        return tuple(first.values())

    @cached_property
    def number_of(self) -> Mapping[bytes, int]:
        """The place of each digest in the digest table."""
        return {content.digest: number for number, content in enumerate(self.contents)}

    @cached_property
    def by_path(self) -> Mapping[str, File]:
        """The files by their paths."""
        return {file.path: file for file in self.files}

    def digests_of(self, paths: Iterable[str]) -> frozenset[bytes]:
        """The distinct contents behind some paths of this release."""
        return frozenset(self.by_path[path].digest for path in paths)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A manifest whose digests are still to be filled in, and where each would go.

    `contents` are paths and sizes in the order of the digest table; `twins` are
    other paths of the same contents, each with the path that owns its content.
    """

    text: bytes
    contents: tuple[tuple[str, int], ...]
    twins: tuple[tuple[str, str], ...] = ()


def format_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as bytes.

    Raises FormatError when it breaks the format: a bad name, two files of one
    path, a lesson naming a file that is not there.
    """
    check_manifest(manifest)
    data = format_skeleton(manifest) + b"".join(file.digest for file in manifest.contents)
    if len(data) > MANIFEST_MAX_BYTES:
        raise FormatError(
            f"course {manifest.course.id}: its manifest has {len(data)} bytes, {MANIFEST_MAX_BYTES} are allowed",
            advice="part the course in two: so many files are more than one course",
        )
    return data


def format_skeleton(manifest: Manifest) -> bytes:
    """Write the readable lines of a manifest, without its digest table."""
    first: dict[bytes, str] = {}
    entries: list[list[Any]] = []
    for file in manifest.files:
        owner = first.setdefault(file.digest, file.path)
        entries.append([file.path, file.size] if owner == file.path else [file.path, file.size, owner])
    course = manifest.course
    fields = dict(manifest.extra) | {
        "course": course.id,
        "files": entries,
        "languages": list(course.languages),
        "publisher": manifest.publisher,
        "release": manifest.release,
        "sections": [_section_fields(section) for section in course.sections],
        "title": dict(course.title),
    }
    optional = {
        "author": course.author,
        "description": dict(course.description),
        "folders": list(manifest.folders),
        "licence": course.licence,
    }
    fields |= {name: value for name, value in optional.items() if value}
    return f"{_MAGIC} {NEWEST_KNOWN}\n{format_json(fields)}\n".encode()


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest from bytes.

    Raises FormatError for anything `format_manifest` could not have written,
    UnsupportedFormat for a newer major version.
    """
    skeleton = parse_skeleton(data)
    table = data[len(skeleton.text) :]
    if len(table) != DIGEST_BYTES * len(skeleton.contents):
        raise FormatError(f"manifest: {len(table)} bytes of digests for {len(skeleton.contents)} contents")
    return fill(skeleton, [table[at : at + DIGEST_BYTES] for at in range(0, len(table), DIGEST_BYTES)])


def parse_skeleton(data: bytes) -> Skeleton:
    """Read the lines before a manifest's digest table.

    Raises FormatError, UnsupportedFormat. The fields are checked by `fill`.
    """
    if len(data) > MANIFEST_MAX_BYTES:
        raise FormatError(f"manifest: {len(data)} bytes, more than the {MANIFEST_MAX_BYTES} a manifest may have")
    magic, _, rest = data.partition(b"\n")
    version = re.fullmatch(rb"alforja-manifest ([1-9][0-9]{0,5})", magic)
    if version is None:
        raise FormatError("manifest: does not begin with `alforja-manifest`")
    if int(version[1]) > NEWEST_KNOWN:
        raise UnsupportedFormat("manifest", int(version[1]), NEWEST_KNOWN)
    end = rest.find(b"\n")
    if end < 0:
        raise FormatError("manifest: its second line does not end")
    text = data[: len(magic) + 1 + end + 1]
    entries = _file_entries(parse_json(rest[:end], "manifest"))
    contents = tuple((path, size) for path, size, owner in entries if owner is None)
    twins = tuple((path, owner) for path, _, owner in entries if owner is not None)
    if not {owner for _, owner in twins} <= {path for path, _ in contents}:
        raise FormatError("manifest: a file has the content of one that is not listed")
    return Skeleton(text, contents, twins)


def fill(skeleton: Skeleton, digests: Sequence[bytes]) -> Manifest:
    """Make a manifest of a skeleton and one digest for each of its contents.

    Raises FormatError when the result breaks the format.
    """
    if len(set(digests)) != len(skeleton.contents) or any(len(digest) != DIGEST_BYTES for digest in digests):
        raise FormatError(f"manifest: {len(set(digests))} distinct digests for {len(skeleton.contents)} contents")
    line = skeleton.text.partition(b"\n")[2].removesuffix(b"\n")
    fields = parse_json(line, "manifest")
    if format_json(fields).encode() != line:
        raise FormatError("manifest: not written in the one form the format allows")
    of_path = {path: (size, digest) for (path, size), digest in zip(skeleton.contents, digests, strict=True)}
    files = []
    for path, size, owner in _file_entries(fields):
        size_of_owner, digest = of_path.get(owner or path, (-1, b""))
        if size_of_owner != size:
            raise FormatError(f"manifest: file {path!r} has the content of {owner!r}, which is not listed so")
        files.append(File(path, size, digest))
    try:
        manifest = Manifest(
            publisher=_a(str, fields, "publisher"),
            release=_a(int, fields, "release"),
            course=_parse_course(fields),
            files=tuple(files),
            folders=tuple(_strings(fields.get("folders", []), "folders")),
            extra=_unknown(fields, *_KNOWN),
        )
    except (TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"manifest: a field is not as the format says ({error})") from None
    if [(content.path, content.size) for content in manifest.contents] != list(skeleton.contents):
        raise FormatError("manifest: the first path of a content does not own it")
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: Manifest) -> None:
    """Raise FormatError unless a manifest obeys the format's rules."""
    check_id("publisher", manifest.publisher)
    check_id("course", manifest.course.id)
    if not 1 <= manifest.release <= RELEASE_MAX:
        raise FormatError(f"release {manifest.release}: not a number from 1 to {RELEASE_MAX}")
    paths = [file.path for file in manifest.files] + list(manifest.folders)
    for path in paths:
        check_path(path)
    if clashes := find_clashes(paths):
        raise FormatError(f"path {clashes[0]!r}: is a file and a folder at once")
    for names in ([file.path for file in manifest.files], list(manifest.folders)):
        keys = [path_key(name) for name in names]
        if any(one >= two for one, two in pairwise(keys)):
            raise FormatError("manifest: paths are not in order, or one is there twice")
    if set(manifest.by_path) & set(manifest.folders):
        raise FormatError("manifest: a path is a file and a folder at once")
    for file in manifest.files:
        if not 0 <= file.size <= FILE_MAX_BYTES or len(file.digest) != DIGEST_BYTES:
            raise FormatError(f"file {file.path!r}: its size or digest is out of bounds")
    _check_course(manifest)


def _check_course(manifest: Manifest) -> None:
    course = manifest.course
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
            if path not in manifest.by_path:
                raise FormatError(f"lesson {lesson.id}: needs {path!r}, which the course does not hold")


def format_json(value: object) -> str:
    """Write a value in the format's one JSON form (format.md section 4).

    Sorted keys, no spaces, UTF-8 as it is; only lone surrogates (bytes of file
    names that are not UTF-8) are escaped. Raises FormatError for numbers JSON
    does not have.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    except ValueError as error:
        raise FormatError(f"cannot be written as JSON ({error})") from None
    text = _LONE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    if _SURROGATE.search(text):
        raise FormatError("cannot be written as JSON (half a character)")
    return text


def parse_json(data: bytes, what: str) -> dict[str, Any]:
    """Read one JSON object, refusing a key that is there twice. Raises FormatError."""
    try:
        value = json.loads(data, object_pairs_hook=_once, parse_float=_whole_only, parse_constant=_whole_only)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what}: is not readable JSON ({error})") from None
    if not isinstance(value, dict):
        raise FormatError(f"{what}: is not a JSON object")
    return value


def _whole_only(number: str) -> None:
    raise ValueError(f"{number[:40]} is not a whole number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is there twice")
    return fields


def _section_fields(section: Section) -> dict[str, Any]:
    return {
        **section.extra,
        "lessons": [_lesson_fields(lesson) for lesson in section.lessons],
        "title": dict(section.title),
    }


def _lesson_fields(lesson: Lesson) -> dict[str, Any]:
    rich = {"rich": list(lesson.rich)} if lesson.rich else {}
    return {**lesson.extra, "core": list(lesson.core), "id": lesson.id, "title": dict(lesson.title), **rich}


def _file_entries(fields: Mapping[str, Any]) -> list[tuple[str, int, str | None]]:
    entries: list[tuple[str, int, str | None]] = []
    for entry in _a(list, fields, "files"):
        match entry:
            case [str(path), int(size)] if size is not True and size is not False:
                entries.append((path, size, None))
            case [str(path), int(size), str(owner)] if size is not True and size is not False:
                entries.append((path, size, owner))
            case _:
                raise FormatError("manifest: an entry of `files` is not [path, size] or [path, size, path]")
    return entries


def _parse_course(fields: Mapping[str, Any]) -> Course:
    _refuse_empty(fields, "author", "description", "folders", "licence")
    return Course(
        id=_a(str, fields, "course"),
        title=_text(fields.get("title")),
        description=_text(fields.get("description", {})),
        languages=tuple(_strings(fields.get("languages"), "languages")),
        licence=_a(str, fields, "licence", ""),
        author=_a(str, fields, "author", ""),
        sections=tuple(_parse_section(section) for section in _a(list, fields, "sections")),
    )


def _parse_section(fields: Mapping[str, Any]) -> Section:
    return Section(
        title=_text(fields.get("title")),
        lessons=tuple(_parse_lesson(lesson) for lesson in _a(list, fields, "lessons")),
        extra=_unknown(fields, "title", "lessons"),
    )


def _parse_lesson(fields: Mapping[str, Any]) -> Lesson:
    _refuse_empty(fields, "rich")
    return Lesson(
        id=_a(str, fields, "id"),
        title=_text(fields.get("title")),
        core=tuple(_strings(fields.get("core"), "core")),
        rich=tuple(_strings(fields.get("rich", []), "rich")),
        extra=_unknown(fields, "id", "title", "core", "rich"),
    )


def _unknown(fields: Mapping[str, Any], *known: str) -> Mapping[str, Any]:
    """The fields that a later version of the format may have added."""
    return {name: value for name, value in fields.items() if name not in known}


def _a(kind: type[_T], fields: Mapping[str, Any], name: str, default: _T | None = None) -> _T:
    value = fields.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise FormatError(f"manifest: field `{name}` is missing or of the wrong kind")
    return value


def _refuse_empty(fields: Mapping[str, Any], *names: str) -> None:
    """What may be absent is absent when it is empty: one value, one form."""
    for name in names:
        if name in fields and not fields[name]:
            raise FormatError(f"manifest: field `{name}` is empty, and so must not be there")


def _text(value: object) -> Text:
    if not isinstance(value, dict) or not all(isinstance(words, str) for words in value.values()):
        raise FormatError("manifest: a text is not given as {language: words}")
    return value


def _strings(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise FormatError(f"manifest: field `{name}` is not a list of texts")
    return value

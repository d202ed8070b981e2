"""How a course is taught, as lines against those of the held release.

docs/format.md section 6.5. A line is one lesson, so an edit costs what was edited.
What is likely of lessons whose files come and go is worked out on both sides.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import chain, pairwise
from typing import Any, Final

from alforja_packaging.columns import Columns, fold, gaps, put_numbers, unfold
from alforja_packaging.course import Lesson
from alforja_packaging.coursejson import LessonPaths, line_fields
from alforja_packaging.errors import FormatError
from alforja_packaging.files import NOWHERE, Paths, Table
from alforja_packaging.jsonform import format_json, parse_json
from alforja_packaging.manifest import Manifest, Skeleton, lines_fields, make_skeleton

NEAR: Final = 64  # how many paths away the like of a new one is looked for

_Change = tuple[int, int, int, int]
"""Old lines from and to, and the new ones that stand in their place, from and to."""

_Lists = tuple[Sequence[int], Sequence[int]]
"""The numbers of a lesson's core and rich files."""

_NONE: Final[_Lists] = ((), ())


def put_course(manifest: Manifest, held: Manifest | None, known_of: Sequence[int]) -> bytes:
    """Write how a course is taught. `known_of` gives for each of its paths the held one's number, or `NOWHERE`."""
    table = manifest.as_table.table
    lines, lists = list(_lines(manifest)), list(_lists(manifest))
    old = list(_lines(held)) if held else []
    changes = [change[1:] for change in _compare(old, lines) if change[0] != "equal"]
    expected = _inherit(old, _expect_lists(held, table, known_of) if held else (), lines, changes)
    return _put_lines(old, lines, changes) + _put_lists(lists, expected)


def _compare(old: list[bytes], new: list[bytes]) -> Sequence[tuple[str, int, int, int, int]]:
    if old == new:
        return []
    return SequenceMatcher(None, old, new, autojunk=False).get_opcodes()


def _put_lines(old: Sequence[bytes], lines: Sequence[bytes], changes: Sequence[_Change]) -> bytes:
    befores, behinds, middles = [], [], bytearray()
    for start, end, first, last in changes:
        for number in range(first, last):
            alike = _reference(old[start:end], number - first, lines[number - 1] if number else b"")
            before = _shared(alike, lines[number])
            behind = _shared(alike[before:][::-1], lines[number][before:][::-1])
            befores.append(before)
            behinds.append(behind)
            middles += lines[number][before : len(lines[number]) - behind] + b"\n"
    columns = [
        [start - end for (_, end, _, _), (start, _, _, _) in pairwise([(0, 0, 0, 0), *changes])],
        [end - start for start, end, _, _ in changes], [last - first for _, _, first, last in changes],
        befores, behinds,
    ]  # fmt: skip
    return put_numbers([len(changes), *chain(*columns), len(middles)]) + middles if changes else put_numbers([0])


def _reference(removed: Sequence[bytes], place: int, before: bytes) -> bytes:
    """The line that a new one most likely resembles: the one it replaces, or the one before it."""
    return removed[place] if place < len(removed) else before


def _shared(one: bytes, two: bytes) -> int:
    """How many bytes two runs begin with alike."""
    most = min(len(one), len(two))
    return next((at for at in range(most) if one[at] != two[at]), most)


def _inherit(
    old: Sequence[bytes], lists: Iterable[_Lists], lines: Sequence[bytes], changes: Iterable[_Change]
) -> list[_Lists]:
    """The lists that the lines of lessons come with: from the held line that they are, or that they replace."""
    held = iter(lists)
    of_old = [next(held) if _is_lesson(line) else _NONE for line in old]
    new: list[_Lists] = []
    at = 0
    for start, end, first, last in (*changes, (len(old), len(old), len(lines), len(lines))):
        new += of_old[at:start]
        new += [of_old[start + place] if start + place < end else _NONE for place in range(last - first)]
        at = end
    return [lists for line, lists in zip(lines, new, strict=True) if _is_lesson(line)]


def _is_lesson(line: bytes) -> bool:
    """Tell a lesson's line: those of sections and of the course begin otherwise."""
    return line.startswith(b"{")


def _put_lists(lists: Sequence[_Lists], expected: Sequence[_Lists]) -> bytes:
    """Write the lists that are not as expected, by steps from the file that was named last."""
    places, cores, riches, steps = [], [], [], []
    last = -1
    for place, (both, likely) in enumerate(zip(lists, expected, strict=True)):
        numbers = (*both[0], *both[1])
        if [list(one) for one in both] != [list(one) for one in likely]:
            places.append(place)
            cores.append(len(both[0]))
            riches.append(len(both[1]))
            steps += [fold(number - before - 1) for before, number in pairwise([last, *numbers])]
        last = numbers[-1] if numbers else last
    return put_numbers([len(places), *gaps(places), *cores, *riches, *steps])


def _lines(manifest: Manifest) -> Iterator[bytes]:
    """The lines of a course: what it says of itself, then each section and its lessons."""
    yield format_json([dict(manifest.extra) | lines_fields(manifest)]).encode()
    for section in manifest.course.sections:
        yield format_json([{**section.extra, "title": dict(section.title)}]).encode()
        for lesson in section.lessons:
            yield format_json(line_fields(lesson)).encode()


def _lists(manifest: Manifest) -> Iterator[_Lists]:
    """The files of all lessons."""
    table = manifest.as_table.table

    def numbers(paths: Sequence[str]) -> Sequence[int]:
        known = paths.numbers(table) if isinstance(paths, Paths) else None
        return known if known is not None else [_find(table, path) for path in paths]

    return ((numbers(lesson.core), numbers(lesson.rich)) for lesson in manifest.course.lessons())


def _find(table: Table, path: str) -> int:
    number = table.find(path)
    if number is None:
        raise FormatError(f"a lesson needs {path!r}, which the course does not hold")
    return number


def _expect_lists(held: Manifest, new: Table, known_of: Sequence[int]) -> Iterator[_Lists]:
    """The files that lessons most likely have now: without what is gone, with what is new beside its like."""
    new_of = array("I", [NOWHERE]) * len(held.as_table)
    for number, known in enumerate(known_of):
        if known != NOWHERE:
            new_of[known] = number
    likes = _find_likes(new, known_of)

    def expected(numbers: Sequence[int]) -> list[int]:
        places = [new_of[known] for known in numbers]
        return _with_new([place for place in places if place != NOWHERE], likes, new)

    return ((expected(core), expected(rich)) for core, rich in _lists(held))


def _find_likes(new: Table, known_of: Sequence[int]) -> dict[int, list[int]]:
    """Find for each new path the nearest held one of its kind: before it, or else behind it."""
    likes: dict[int, list[int]] = {}
    for number, known in enumerate(known_of):
        if known == NOWHERE:
            kind = _kind(new.name(number))
            near = (*range(number - 1, max(-1, number - 1 - NEAR), -1), *range(number + 1, number + 1 + NEAR))
            like = next((one for one in near if _is_like(new, known_of, one, kind)), None)
            if like is not None:
                likes.setdefault(like, []).append(number)
    return likes


def _is_like(new: Table, known_of: Sequence[int], place: int, kind: tuple[bytes, bytes]) -> bool:
    return place < len(known_of) and known_of[place] != NOWHERE and _kind(new.name(place)) == kind


def _kind(name: bytes) -> tuple[bytes, bytes]:
    """A path's folder, and its ending."""
    folder, _, last = name.rpartition(b"/")
    return folder, last.rpartition(b".")[2]


def _with_new(places: list[int], likes: Mapping[int, Sequence[int]], new: Table) -> list[int]:
    """Put new paths beside their likes: behind what lies between both in order, or before it.

    Not where a like stands alone of its kind: there a new page is a lesson of its own.
    """
    added: list[tuple[int, int]] = []
    for at, like in enumerate(places):
        for number in likes.get(like, ()):
            kind, near = _kind(new.name(like)), places[max(0, at - NEAR) : at + NEAR + 1]
            if not any(one != like and _kind(new.name(one)) == kind for one in near):
                continue
            if like < number:
                end = min(at + NEAR + 1, len(places))
                passed = (one for one in range(at + 1, end) if not like < places[one] < number)
                added.append((next(passed, end), number))
            else:
                end = max(at - NEAR, 0) - 1
                passed = (one for one in range(at - 1, end, -1) if not number < places[one] < like)
                added.append((next(passed, end) + 1, number))
    for at, number in sorted(added, reverse=True):
        places.insert(at, number)
    return places


def take_course(
    columns: Columns, held: Manifest | None, known_of: Sequence[int], table: Table, *, release: int, most: int
) -> Skeleton:
    """Read what `put_course` wrote, and make a skeleton with the files. `most` bounds the bytes of all lines."""
    expected = _expect_lists(held, table, known_of) if held else iter(())
    count = columns.number(most)
    if not count and held:
        lists = _take_lists(columns, list(expected), len(table), most)
        return _with_lists(held, release, table, iter(lists))
    old = list(_lines(held)) if held else []
    changes, lines = _take_lines(columns, count, old, most)
    lists = _take_lists(columns, _inherit(old, expected, lines, changes), len(table), most)
    return make_skeleton(_fields(lines), release, table, _giver(table, iter(lists)))


def _with_lists(held: Manifest, release: int, table: Table, lists: Iterator[_Lists]) -> Skeleton:
    """The held course as it is, with the lists of files that lessons have now."""

    def renewed(lesson: Lesson) -> Lesson:
        core, rich = next(lists)
        return replace(lesson, core=Paths(table, array("I", core)), rich=Paths(table, array("I", rich)))

    sections = tuple(
        replace(section, lessons=tuple(renewed(lesson) for lesson in section.lessons))
        for section in held.course.sections
    )
    return Skeleton(held.publisher, release, replace(held.course, sections=sections), table, held.folders, held.extra)


def _take_lines(columns: Columns, count: int, old: Sequence[bytes], most: int) -> tuple[list[_Change], list[bytes]]:
    """Read what has changed, and give the lines as they are now."""
    kept, removed, added = columns.numbers(count), columns.numbers(count), columns.numbers(count)
    new = sum(added)
    befores, behinds = columns.numbers(new), columns.numbers(new)
    middles = columns.take(columns.number(most)).split(b"\n")
    if len(middles) != new + 1 or middles[-1]:
        raise columns.fault("has not as many lines as it says")
    if sum(kept) + sum(removed) > len(old):
        raise columns.fault("names lines that are not there")
    parts = zip(befores, behinds, middles[:-1], strict=True)
    changes, lines, at, left = list[_Change](), list[bytes](), 0, most
    for keep, remove, add in zip(kept, removed, added, strict=True):
        lines += old[at : at + keep]
        start, at = at + keep, at + keep + remove
        changes.append((start, at, len(lines), len(lines) + add))
        for place in range(add):
            before, behind, middle = next(parts)
            alike = _reference(old[start:at], place, lines[-1] if lines else b"")
            left -= before + behind + len(middle)
            if before + behind > len(alike) or left < 0:  # before it is made: a few bytes may stand for very many
                raise columns.fault("has a line that is longer than it can be")
            lines.append(alike[:before] + middle + alike[len(alike) - behind :])
    return changes, lines + list(old[at:])


def _take_lists(columns: Columns, expected: list[_Lists], files: int, most: int) -> list[_Lists]:
    """Read the lists that are not as expected, and give all."""
    count = columns.number(len(expected))
    places = columns.places(count, len(expected))
    counts = zip(columns.numbers(count), columns.numbers(count), strict=True)
    stated = dict(zip(places, counts, strict=True))
    if sum(core + rich for core, rich in stated.values()) > most:
        raise columns.fault("names more files in lessons than its manifest accounts for")
    last = -1
    for place, likely in enumerate(expected):
        if place in stated:
            core, rich = stated[place]
            numbers = array("I")
            for step in columns.numbers(core + rich):
                last += unfold(step) + 1
                if not 0 <= last < files:
                    raise columns.fault("has a lesson with a file that is not there")
                numbers.append(last)
            expected[place] = (numbers[:core], numbers[core:])
        elif named := (*likely[0], *likely[1]):
            last = named[-1]
    return expected


def _fields(lines: Sequence[bytes]) -> dict[str, Any]:
    """The fields of a manifest, but for files and release, from its lines."""
    found: list[dict[str, Any]] = []
    for line in lines:
        if _is_lesson(line):
            if len(found) < 2:
                raise FormatError("manifest: has a lesson outside of any section")
            found[-1]["lessons"].append(_parse_line(line, "core", "rich"))
        elif found:
            found.append(_parse_line(line[1:-1], "lessons") | {"lessons": []})
        else:
            found.append(_parse_line(line[1:-1], "files", "release", "sections"))
    return (found[0] if found else {}) | {"sections": found[1:]}


def _parse_line(line: bytes, *others: str) -> dict[str, Any]:
    """Read a line that must not state what stands elsewhere."""
    fields = parse_json(line, "manifest")
    if any(name in fields for name in others):
        raise FormatError("manifest: a line states what stands elsewhere")
    return fields


def _giver(table: Table, lists: Iterator[_Lists]) -> LessonPaths:
    def paths_of(_: Mapping[str, Any]) -> tuple[Paths, Paths]:
        core, rich = next(lists)
        return Paths(table, array("I", core)), Paths(table, array("I", rich))

    return paths_of

"""The files of a manifest in a pack: what is different from the held ones, as columns.

docs/format.md section 6.3. The signed bytes come out again, byte for byte, once the
digests are filled in. Nothing here is believed: it is to be compared with what was signed.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from alforja_packaging.columns import Columns, fold, gaps, put_numbers, unfold
from alforja_packaging.files import FILE_MAX_BYTES, NOWHERE, Files, Table
from alforja_packaging.layout import PATH_MAX_BYTES
from alforja_packaging.manifest import RELEASE_MAX, Manifest

ENTRY_MIN_BYTES: Final = 6  # of a file in a manifest: `["a",1` and more; so many files it can hold at most

_EMPTY = Files(Table(b"", array("I"), array("I"), array("Q")), b"")


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the contents of a new manifest come from.

    `fresh` are those that frames give, in order; `olds` the held content of each
    one's path, or `NOWHERE`. `held` is for each content of the new manifest the held one it is, or
    `NOWHERE`. `moves` are those held contents that are not held under the path that owns them.
    `known_of` gives for each new path the held one's number, or `NOWHERE`.
    """

    fresh: "array[int]"
    olds: "array[int]"
    held: "array[int]"
    moves: tuple[tuple[int, int], ...]
    known_of: "array[int]"


def put_files(manifest: Manifest, held: Manifest | None) -> tuple[bytes, Origins]:
    """Write which files are there, against the held ones; give also where their contents come from."""
    new, old = manifest.as_table, (held.as_table if held else _EMPTY).table
    held_number = held.number_of if held else {}
    known_of = array("I", (_or_nowhere(old.find_name(new.table.name(number))) for number in range(len(new))))
    held_as = array("I", (held_number.get(new.digest(content), NOWHERE) for content in range(len(new.table.owners))))
    rows = _Rows()
    for number, content in enumerate(new.table.content_of):
        known = known_of[number]
        rows.put(number, new.table, held_as[content], known, old)
    there = set(known_of)
    removed = [number for number in range(len(old)) if number not in there]
    shared, names = _front_code(new.table, rows.added)
    counts = [manifest.release, len(removed), len(rows.added), len(rows.changed), len(rows.moved), len(rows.twins)]
    columns = [gaps(removed), gaps(rows.added), gaps(rows.changed), gaps(rows.moved), gaps(rows.twins)]
    columns += [rows.sources, rows.backs, rows.sizes, shared]
    numbers = put_numbers([*counts, len(names), *(number for column in columns for number in column)])
    origins = _Origins()
    for content, owner in enumerate(new.table.owners):
        known = known_of[owner]
        origins.note(content, held_as[content], NOWHERE if known == NOWHERE else old.content_of[known])
    return numbers + names, origins.done(known_of)


def _or_nowhere(number: int | None) -> int:
    return NOWHERE if number is None else number


class _Rows:
    """The columns of the files that were added or changed, as they are written."""

    def __init__(self) -> None:
        self.added: list[int] = []
        self.changed: list[int] = []
        self.moved: list[int] = []
        self.twins: list[int] = []
        self.sources: list[int] = []
        self.backs: list[int] = []
        self.sizes: list[int] = []
        self._fresh: list[int] = []
        self._source = -1

    def put(self, number: int, table: Table, source: int, known: int, old: Table) -> None:
        content = table.content_of[number]
        if known == NOWHERE:
            self.added.append(number)
        elif source == old.content_of[known]:
            return
        else:
            self.changed.append(number - len(self.added))
        place = len(self.added) + len(self.changed) - 1
        if source != NOWHERE:
            self.moved.append(place)
            self.sources.append(fold(source - self._source - 1))
            self._source = source
        elif table.owners[content] != number:
            self.twins.append(place)
            self.backs.append(len(self._fresh) - 1 - bisect_left(self._fresh, content))
        else:
            self._fresh.append(content)
            size = table.sizes[content]
            self.sizes.append(size if known == NOWHERE else fold(size - old.sizes[old.content_of[known]]))


def _front_code(table: Table, added: Sequence[int]) -> tuple[list[int], bytes]:
    """Write paths as how many bytes they share with the one before, and what follows."""
    shared, names = [], bytearray()
    for number in added:
        name, before = table.name(number), table.name(number - 1) if number else b""
        same = next((at for at, (one, two) in enumerate(zip(name, before, strict=False)) if one != two), None)
        shared.append(min(len(name), len(before)) if same is None else same)
        names += name[shared[-1] :] + b"\0"
    return shared, bytes(names)


class _Origins:
    """Origins as they are gathered, content by content."""

    def __init__(self) -> None:
        self._fresh, self._olds, self._held = array("I"), array("I"), array("I")
        self._moves: list[tuple[int, int]] = []

    def note(self, content: int, source: int, old: int) -> None:
        """Note a new content, whose owner's path had the held content `old`."""
        self._held.append(source)
        if source == NOWHERE:
            self._fresh.append(content)
            self._olds.append(old)
        elif source != old:
            self._moves.append((content, source))

    def done(self, known_of: "array[int]") -> Origins:
        return Origins(self._fresh, self._olds, self._held, tuple(self._moves), known_of)


def take_files(columns: Columns, held: Manifest | None, most: int) -> tuple[int, Table, Origins]:
    """Read what `put_files` wrote: release, files, origins. `most` bounds how many files there can be."""
    old = (held.as_table if held else _EMPTY).table
    release = columns.number(RELEASE_MAX)
    stay = len(old) - columns.number(len(old))
    added, changed = columns.number(max(0, most - stay)), columns.number(stay)
    moved = columns.number(added + changed)
    twins = columns.number(added + changed - moved)
    length = columns.number(added * (PATH_MAX_BYTES + 1))
    removed = _Marks(columns.places(len(old) - stay, len(old)))
    is_added = _Marks(columns.places(added, stay + added))
    reader = _Reader(columns, old, changed=changed, stay=stay, touched=added + changed, moved=moved, twins=twins)
    shared = columns.numbers(added)
    names = columns.take(length).split(b"\0")
    if len(names) != added + 1 or names.pop():
        raise columns.fault("has not as many paths as it says")
    paths, known = zip(shared, names, strict=True), -1
    for number in range(stay + added):
        if is_added.hit(number):
            reader.add(*next(paths))
        else:
            known += 1
            while removed.hit(known):
                known += 1
            reader.keep(known)
    return release, *reader.done()


class _Marks:
    """Rising places, asked for one after the other."""

    def __init__(self, places: Sequence[int]) -> None:
        self._places = iter(places)
        self._next = next(self._places, -1)

    def hit(self, place: int) -> bool:
        """Tell whether this place is one of them; places are asked for in order."""
        if place != self._next:
            return False
        self._next = next(self._places, -1)
        return True


class _Reader:
    """Files as they are read, path by path."""

    def __init__(
        self, columns: Columns, old: Table, *, changed: int, stay: int, touched: int, moved: int, twins: int
    ) -> None:
        self._columns, self._old = columns, old
        self._changed, self._moved = _Marks(columns.places(changed, stay)), _Marks(columns.places(moved, touched))
        self._twins = _Marks(columns.places(twins, touched))
        self._sources, self._backs = iter(columns.numbers(moved)), iter(columns.numbers(twins))
        self._sizes = iter(columns.numbers(touched - moved - twins))
        self._names, self._ends, self._content_of, self._sizes_of = bytearray(), array("I"), array("I"), array("Q")
        self._new_of = array("I", [NOWHERE]) * len(old.owners)
        self._origins, self._fresh, self._known_of = _Origins(), array("I"), array("I")
        self._last, self._source, self._survivors, self._touched = b"", -1, 0, 0

    def add(self, shared: int, rest: bytes) -> None:
        """Take in a path that is not held."""
        if shared > len(self._last):
            raise self._columns.fault("shares more of a path than there is")
        self._put_name(self._last[:shared] + rest, NOWHERE)
        self._touch(NOWHERE)

    def keep(self, known: int) -> None:
        """Take in a held path."""
        self._put_name(self._old.name(known), known)
        old = self._old.content_of[known]
        if self._changed.hit(self._survivors):
            self._touch(old)
        else:
            self._be(old, old)
        self._survivors += 1

    def done(self) -> tuple[Table, Origins]:
        """Give what was read."""
        table = Table(bytes(self._names), self._ends, self._content_of, self._sizes_of)
        return table, self._origins.done(self._known_of)

    def _put_name(self, name: bytes, known: int) -> None:
        if name <= self._last:
            raise self._columns.fault("has paths that are not in order")
        self._names += name
        self._ends.append(len(self._names))
        self._known_of.append(known)
        self._last = name

    def _touch(self, old: int) -> None:
        """Take in the content of a path that was added or changed."""
        place, self._touched = self._touched, self._touched + 1
        if self._moved.hit(place):
            self._source += unfold(next(self._sources)) + 1
            if not 0 <= self._source < len(self._new_of):
                raise self._columns.fault("names a held content that is not there")
            self._be(self._source, old)
        elif self._twins.hit(place):
            back = next(self._backs)
            if back >= len(self._fresh):
                raise self._columns.fault("names a content that is not there yet")
            self._content_of.append(self._fresh[-1 - back])
        else:
            number = next(self._sizes, None)
            if number is None:
                raise self._columns.fault("says two things of one file")
            size = number if old == NOWHERE else self._old.sizes[old] + unfold(number)
            self._fresh.append(len(self._sizes_of))
            self._begin(size, NOWHERE, old)

    def _be(self, source: int, old: int) -> None:
        """Take in a path that has a held content."""
        if self._new_of[source] != NOWHERE:
            self._content_of.append(self._new_of[source])
            return
        self._new_of[source] = len(self._sizes_of)
        self._begin(self._old.sizes[source], source, old)

    def _begin(self, size: int, source: int, old: int) -> None:
        if not 0 <= size <= FILE_MAX_BYTES:
            raise self._columns.fault(f"gives a file {size} bytes")
        content = len(self._sizes_of)
        self._content_of.append(content)
        self._sizes_of.append(size)
        self._origins.note(content, source, old)

"""The files of a release, a hundred thousand of them in a few megabytes.

A board of 1 GiB holds two releases of a large course at once: so paths are one run
of bytes, numbers are arrays, and what looks like a sequence of values makes each
value when it is asked for. Nothing here opens a file.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar, overload

from alforja_packaging.errors import FormatError
from alforja_packaging.layout import path_key

DIGEST_BYTES: Final = 32
FILE_MAX_BYTES: Final = 2**43  # 8 TiB: more than any card; keeps sums inside SQLite's and JSON's integers
NOWHERE: Final = 0xFFFFFFFF  # the number of what is not there

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a release: its path, its size in bytes and its SHA-256."""

    path: str
    size: int
    digest: bytes


class Table:
    """The paths of a release and the sizes of their contents, in order.

    Paths and contents are numbered as in the manifest. `content_of` gives each path's
    content, `owners` the first path of each content, `sizes` that of each content.
    """

    __slots__ = ("_ends", "_last", "_names", "content_of", "owners", "sizes")

    def __init__(self, names: bytes, ends: "array[int]", content_of: "array[int]", sizes: "array[int]") -> None:
        """`names` are the paths' bytes, one after the other; `ends` where each ends."""
        self._names, self._ends, self._last = names, ends, 0
        self.content_of, self.sizes = content_of, sizes
        self.owners = array("I")
        for number, content in enumerate(content_of):
            if content == len(self.owners):
                self.owners.append(number)

    def __len__(self) -> int:
        """The number of paths."""
        return len(self._ends)

    def __eq__(self, other: object) -> bool:
        """Tell whether another table says the same."""
        if not isinstance(other, Table):
            return NotImplemented
        mine = (self._names, self._ends, self.content_of, self.sizes)
        return mine == (other._names, other._ends, other.content_of, other.sizes)

    __hash__ = None  # type: ignore[assignment]

    def name(self, number: int) -> bytes:
        """The bytes of a path."""
        return self._names[self._ends[number - 1] if number else 0 : self._ends[number]]

    def path(self, number: int) -> str:
        """A path as text."""
        return self.name(number).decode("utf-8", "surrogateescape")

    def find(self, path: str) -> int | None:
        """The number of a path, None when it is not there."""
        try:
            return self.find_name(path_key(path))
        except UnicodeEncodeError:
            return None

    def find_name(self, wanted: bytes) -> int | None:
        """The number of a path by its bytes, None when it is not there."""
        place = self._last + 1  # most often the paths that are asked for lie side by side
        if not (place < len(self) and self.name(place) == wanted):
            place = bisect_left(_Names(self), wanted)
        if place < len(self) and self.name(place) == wanted:
            self._last = place
            return place
        return None


class _Names(Sequence[bytes]):
    """The paths' bytes, to look one up among."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, place: Any) -> Any:
        return self._table.name(place)


class _Lazy(Sequence[_T]):
    """A sequence whose members are made when they are asked for; equal to any sequence of the same members."""

    def _make(self, place: int) -> _T:
        raise NotImplementedError

    @overload
    def __getitem__(self, place: int) -> _T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[_T]: ...
    def __getitem__(self, place: int | slice) -> _T | Sequence[_T]:
        if isinstance(place, slice):
            return tuple(self._make(one) for one in range(*place.indices(len(self))))
        at = place + len(self) if place < 0 else place
        if not 0 <= at < len(self):
            raise IndexError(place)
        return self._make(at)

    def __iter__(self) -> Iterator[_T]:
        return (self._make(place) for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))


class Paths(_Lazy[str]):
    """Paths of a table, by their numbers: what a lesson names."""

    def __init__(self, table: Table, numbers: "array[int]") -> None:
        self._table, self._numbers = table, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def _make(self, place: int) -> str:
        return self._table.path(self._numbers[place])

    def numbers(self, table: Table) -> "array[int] | None":
        """The paths' numbers, None when they are counted in another table."""
        return self._numbers if table is self._table else None


class Files(_Lazy[File]):
    """All files of a release: a table, and the digest of each of its contents."""

    def __init__(self, table: Table, digests: bytes) -> None:
        self.table, self.digests = table, digests

    def __len__(self) -> int:
        return len(self.table)

    def _make(self, place: int) -> File:
        content = self.table.content_of[place]
        return File(self.table.path(place), self.table.sizes[content], self.digest(content))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Files):
            return self.table == other.table and self.digests == other.digests
        return super().__eq__(other)

    __hash__ = None

    def digest(self, content: int) -> bytes:
        """The digest of a content."""
        return self.digests[content * DIGEST_BYTES : (content + 1) * DIGEST_BYTES]


class Contents(_Lazy[File]):
    """One file for each distinct content: the first that has it."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files.table.owners)

    def _make(self, place: int) -> File:
        table = self._files.table
        return File(table.path(table.owners[place]), table.sizes[place], self._files.digest(place))


class ByPath(Mapping[str, File]):
    """The files by their paths."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[str]:
        return (self._files.table.path(number) for number in range(len(self)))

    def __getitem__(self, path: str) -> File:
        number = self._files.table.find(path)
        if number is None:
            raise KeyError(path)
        return self._files[number]


class NumberOf(Mapping[bytes, int]):
    """The contents' numbers by their digests."""

    def __init__(self, files: Files) -> None:
        self._files = files
        numbers = range(len(files.table.owners))
        self._order = array("I", sorted(numbers, key=files.digest))

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[bytes]:
        return (self._files.digest(number) for number in range(len(self)))

    def __getitem__(self, digest: bytes) -> int:
        place = bisect_left(self._order, digest, key=self._files.digest)
        if place < len(self) and self._files.digest(self._order[place]) == digest:
            return self._order[place]
        raise KeyError(digest)

    @property
    def all_differ(self) -> bool:
        """Tell whether no digest is there twice."""
        digests = (self._files.digest(number) for number in self._order)
        return all(one != two for one, two in pairwise(digests))


def make_files(files: Iterable[File]) -> Files:
    """Put files, which come in order, into one table. Raises FormatError for a path that no file can have."""
    names, ends, content_of, sizes, digests = bytearray(), array("I"), array("I"), array("Q"), bytearray()
    number_of: dict[bytes, int] = {}
    for file in files:
        try:
            names += path_key(file.path)
        except UnicodeEncodeError:
            raise FormatError(f"path {file.path[:80]!r}: holds a character that no file name can have") from None
        ends.append(len(names))
        number = number_of.setdefault(file.digest, len(number_of))
        if not 0 <= file.size <= FILE_MAX_BYTES or len(file.digest) != DIGEST_BYTES:
            raise FormatError(f"file {file.path!r}: its size or digest is out of bounds")
        if number < len(sizes) and sizes[number] != file.size:
            raise FormatError(f"file {file.path!r}: has another size than a file of the same digest")
        if number == len(sizes):
            sizes.append(file.size)
            digests += file.digest
        content_of.append(number)
    return Files(Table(bytes(names), ends, content_of, sizes), bytes(digests))

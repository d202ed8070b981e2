"""What the content team has imported: plain files by digest, drafts, and the notes of the hub.

A draft is a manifest that has no release number of its own yet. Everything that
could be computed from files is; SQLite holds only what could not.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alforja_hub import shelf
from alforja_hub.importers import Imported
from alforja_packaging.errors import RequestError, StoreError
from alforja_packaging.layout import file_path, path_key
from alforja_packaging.manifest import File, Manifest, format_manifest, parse_manifest

_READ = 1024 * 1024
_SCHEMA = """
create table if not exists courses (
    course text primary key, publisher text not null,
    importer text not null, source text not null, imported_at text not null
) strict;
create table if not exists published (
    course text not null, release integer not null, published_at text not null, primary key (course, release)
) strict;
create table if not exists hasty (
    course text not null, release integer not null, primary key (course, release)
) strict;
"""


@dataclass(frozen=True, slots=True)
class CourseNote:
    """What the hub remembers of a course."""

    course: str
    publisher: str
    importer: str
    source: str
    imported_at: str


class Workspace:
    """Files and drafts below one folder, and the hub's notes beside them."""

    def __init__(self, root: Path, database: Path) -> None:
        self._root, self._database = root, database

    def prepare(self) -> None:
        """Make the folder and the notes if they are not there."""
        (self._root / "drafts").mkdir(parents=True, exist_ok=True)
        with self._notes() as db:
            db.executescript(_SCHEMA)

    def take_in(
        self,
        imported: Imported,
        publisher: str,
        note: CourseNote,
        progress: Callable[[int, int], None],
    ) -> Manifest:
        """Copy an import's files in, and keep its draft. Interrupted, it leaves the draft before it."""
        files = []
        for done, (path, source) in enumerate(
            sorted(imported.files.items(), key=lambda item: path_key(item[0])), start=1
        ):
            digest, size = self._put_bytes(source) if isinstance(source, bytes) else self._put_file(source)
            files.append(File(path, size, digest))
            progress(done, len(imported.files))
        folders = tuple(sorted(imported.folders, key=path_key))
        draft = Manifest(publisher, 1, imported.course, tuple(files), folders)
        shelf.put(self._draft_path(imported.course.id), format_manifest(draft))
        with self._notes() as db:
            db.execute(
                "insert or replace into courses values (?, ?, ?, ?, ?)",
                (note.course, note.publisher, note.importer, note.source, note.imported_at),
            )
        return draft

    def draft_of(self, course: str) -> Manifest:
        """The draft of a course. Raises RequestError when it was never imported."""
        try:
            return parse_manifest(self._draft_path(course).read_bytes())
        except FileNotFoundError:
            raise RequestError(
                f"course {course}: is not in the workspace",
                advice="bring it in with `alforja-hub import SOURCE --course ID`",
            ) from None

    def drafts(self) -> list[str]:
        """The courses that have a draft."""
        return sorted(path.name for path in (self._root / "drafts").iterdir())

    def files(self) -> Iterator[tuple[Path, int]]:
        """All imported files, each named by its digest, and their sizes."""
        for path in self._root.glob(f"files/??/{'?' * 64}"):
            yield path, path.stat().st_size

    def path_of(self, digest: bytes) -> Path:
        """Where the file of a digest lies."""
        return self._root / file_path(digest)

    def courses(self) -> Mapping[str, CourseNote]:
        """What is noted of all imported courses."""
        with self._notes() as db:
            rows = db.execute("select course, publisher, importer, source, imported_at from courses order by course")
            return {row[0]: CourseNote(*row) for row in rows}

    def note_published(self, course: str, release: int, when: str) -> None:
        """Note when a release was published."""
        with self._notes() as db:
            db.execute("insert or replace into published values (?, ?, ?)", (course, release, when))

    def published(self, course: str) -> Mapping[int, str]:
        """When each release of a course was published."""
        with self._notes() as db:
            return dict(
                db.execute(
                    "select release, published_at from published where course = ? order by 1", (course,)
                ).fetchall()
            )

    def note_haste(self, course: str, release: int, hasty: bool) -> None:
        """Note whether frames of a release's first install were made in haste, so that a later one makes them anew."""
        change = (
            "insert or ignore into hasty values (?, ?)"
            if hasty
            else "delete from hasty where (course, release) = (?, ?)"
        )
        with self._notes() as db:
            db.execute(change, (course, release))

    def hasty(self, course: str) -> list[int]:
        """The releases of a course whose first install was made in haste."""
        with self._notes() as db:
            return [row[0] for row in db.execute("select release from hasty where course = ?", (course,))]

    def _draft_path(self, course: str) -> Path:
        return self._root / "drafts" / course

    def _put_file(self, source: Path) -> tuple[bytes, int]:
        hasher, size = hashlib.sha256(), 0
        try:
            with source.open("rb") as file:
                while chunk := file.read(_READ):
                    hasher.update(chunk)
                    size += len(chunk)
        except OSError as error:
            raise StoreError(
                f"{source}: cannot be read ({error.strerror})", advice="mend the file, then import again"
            ) from None
        path = self.path_of(hasher.digest())
        if not _has_length(path, size):
            digest, size = shelf.copy(source, path)
            if digest != hasher.digest():
                shelf.remove(path)
                raise StoreError(f"{source}: changed while it was read", advice="import again when nobody writes to it")
        return hasher.digest(), size

    def _put_bytes(self, data: bytes) -> tuple[bytes, int]:
        digest = hashlib.sha256(data).digest()
        if not _has_length(self.path_of(digest), len(data)):
            shelf.put(self.path_of(digest), data)
        return digest, len(data)

    @contextmanager
    def _notes(self) -> Iterator[sqlite3.Connection]:
        self._database.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self._database, timeout=30)) as db, db:
                db.execute("pragma journal_mode = wal")
                db.execute("pragma synchronous = full")
                yield db
        except sqlite3.Error as error:
            raise StoreError(f"{self._database}: {error}") from None


def _has_length(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False

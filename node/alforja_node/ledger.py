"""What the node knows it has done, in one SQLite file that survives power cuts.

Every write is one transaction, synchronous=FULL: what is confirmed stays.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import aiosqlite

from alforja_node.digests import DigestSet
from alforja_node.disk import DiskFull
from alforja_node.planning.forecast import Day
from alforja_node.planning.wishes import Wish, WishKind
from alforja_packaging.errors import StoreError
from alforja_packaging.layout import bundle_path

_ROWS_AT_ONCE = 1024  # a large course has a hundred thousand
_DAYS_KEPT = 400  # of traffic, over all sources: a year, and what is learnt from

State = Literal["active", "previous", "incoming"]

_MIGRATIONS = [
    """
    create table meta (key text primary key, value text not null) strict, without rowid;
    create table subscriptions (
        publisher text not null, course text not null, primary key (publisher, course)
    ) strict, without rowid;
    create table releases (
        publisher text not null, course text not null, release integer not null,
        state text not null check (state in ('active', 'previous', 'incoming')), digest blob not null,
        primary key (publisher, course, release)
    ) strict, without rowid;
    create unique index one_of_each on releases (publisher, course, state);
    create table refused (
        publisher text not null, course text not null, release integer not null,
        primary key (publisher, course, release)
    ) strict, without rowid;
    create table held (digest blob primary key, size integer not null) strict, without rowid;
    create table damaged (digest blob primary key) strict, without rowid;
    create table contacts (id integer primary key, source text not null, outcome text not null) strict;
    """,
    """
    create table wishes (
        kind text not null check (kind in ('timetable', 'pin', 'request')),
        publisher text not null, course text not null, lessons text not null,
        due text, per_week integer not null, asks integer not null,
        primary key (kind, publisher, course, lessons)
    ) strict, without rowid;
    create table traffic (
        source text not null, day text not null, moved integer not null, seconds real not null,
        contacts integer not null, cut integer not null, primary key (source, day)
    ) strict, without rowid;
    """,
]


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """One release of a course and how the node stands to it."""

    publisher: str
    course: str
    release: int
    state: State
    digest: bytes

    @property
    def key(self) -> tuple[str, str]:
        """The course this is a release of."""
        return self.publisher, self.course

    @property
    def bundle(self) -> str:
        """The path of the release's folder in a repository."""
        return bundle_path(self.publisher, self.course, self.release)


class Ledger:
    """The node's memory. Open it with `open_ledger`."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db

    # Subscriptions

    async def subscriptions(self) -> frozenset[tuple[str, str]]:
        """The courses this school wants, as (publisher, course)."""
        rows = await self._rows("select publisher, course from subscriptions")
        return frozenset((publisher, course) for publisher, course in rows)

    async def subscribe(self, publisher: str, course: str) -> None:
        """Want a course."""
        await self._do("insert or ignore into subscriptions values (?, ?)", (publisher, course))

    async def unsubscribe(self, publisher: str, course: str) -> None:
        """No longer want a course: it is hidden at once, its files wait for `prune`."""
        async with self._transaction():
            for table in ("subscriptions", "wishes", "releases", "refused"):
                await self._db.execute(f"delete from {table} where publisher = ? and course = ?", (publisher, course))  # noqa: S608

    # Wishes

    async def wishes(self) -> tuple[Wish, ...]:
        """What this school wants, beside the courses as such."""
        rows = await self._rows("select * from wishes order by publisher, course, kind, due, lessons")
        return tuple(
            Wish(kind, (publisher, course), lessons, date.fromisoformat(due) if due else None, per_week, asks)
            for kind, publisher, course, lessons, due, per_week, asks in rows
        )

    async def put_wishes(self, wishes: Iterable[Wish]) -> None:
        """Note wishes, each in place of the one of its kind for the same lessons. Requests add up."""
        async with self._transaction():
            await self._db.executemany(
                "insert into wishes values (?, ?, ?, ?, ?, ?, ?) on conflict do update set due = excluded.due,"
                " per_week = excluded.per_week,"
                " asks = iif(kind = 'request', min(asks + excluded.asks, 1000000), excluded.asks)",
                [
                    (
                        one.kind,
                        *one.course,
                        one.lessons,
                        one.due.isoformat() if one.due else None,
                        one.per_week,
                        one.asks,
                    )
                    for one in wishes
                ],
            )

    async def drop_wishes(self, kind: WishKind, course: tuple[str, str], lessons: str | None = None) -> int:
        """Forget wishes of a kind: for these lessons, written the same way, or all of a course; tell how many."""
        before = len(await self.wishes())
        await self._do(
            "delete from wishes where kind = ? and publisher = ? and course = ? and lessons = coalesce(?, lessons)",
            (kind, *course, lessons),
        )
        return before - len(await self.wishes())

    # Releases

    async def releases(self) -> tuple[Release, ...]:
        """All releases the node has to do with."""
        rows = await self._rows("select publisher, course, release, state, digest from releases order by 1, 2, 3")
        return tuple(Release(*row) for row in rows)

    async def expect(self, release: Release) -> None:
        """Note that a release is on its way, in place of any other one of its course."""
        async with self._transaction():
            await self._db.execute(
                "delete from releases where publisher = ? and course = ? and state = 'incoming'",
                (release.publisher, release.course),
            )
            await self._db.execute(
                "insert into releases values (?, ?, ?, 'incoming', ?)",
                (release.publisher, release.course, release.release, release.digest),
            )

    async def activate(self, publisher: str, course: str, release: int, digest: bytes) -> None:
        """Make a release, of this manifest, the one that is served, in one transaction.

        The one served so far becomes the previous one, unless it is the same (a repair).
        """
        key = (publisher, course)
        async with self._transaction():
            served = await self._rows(
                "select release from releases where publisher = ? and course = ? and state = 'active'", key
            )
            if served and served[0][0] != release:
                await self._db.execute(
                    "delete from releases where publisher = ? and course = ? and state = 'previous'", key
                )
                await self._db.execute(
                    "update releases set state = 'previous' where publisher = ? and course = ? and state = 'active'",
                    key,
                )
            await self._db.execute(
                "update releases set state = 'active', digest = ? where publisher = ? and course = ? and release = ?",
                (digest, *key, release),
            )
            await self._db.execute(
                "delete from refused where publisher = ? and course = ? and release < ?", (*key, release)
            )

    async def roll_back(self, publisher: str, course: str) -> tuple[int, int] | None:
        """Serve the previous release again; give (left, returned to), or None when there is none.

        The release that is left is kept, and is not activated again by itself.
        """
        held = {one.state: one for one in await self.releases() if one.key == (publisher, course)}
        if "previous" not in held or "active" not in held:
            return None
        left, back = held["active"].release, held["previous"].release
        key = (publisher, course)
        async with self._transaction():
            await self._db.execute(
                "delete from releases where publisher = ? and course = ? and release = ?", (*key, left)
            )
            await self._db.execute(
                "update releases set state = 'active' where publisher = ? and course = ? and release = ?", (*key, back)
            )
            await self._db.execute(
                "insert into releases values (?, ?, ?, 'previous', ?)", (*key, left, held["active"].digest)
            )
            if left > back:
                await self._db.execute("insert or ignore into refused values (?, ?, ?)", (*key, left))
            else:
                await self._db.execute(
                    "delete from refused where publisher = ? and course = ? and release = ?", (*key, back)
                )
        return left, back

    async def forget_release(self, release: Release) -> None:
        """Drop one release from the ledger."""
        await self._do(
            "delete from releases where publisher = ? and course = ? and release = ?",
            (release.publisher, release.course, release.release),
        )

    async def refused(self) -> frozenset[tuple[str, str, int]]:
        """Releases a person has left: they are not activated again by themselves."""
        rows = await self._rows("select publisher, course, release from refused")
        return frozenset((publisher, course, release) for publisher, course, release in rows)

    # Files

    async def held(self) -> DigestSet:
        """The digests of all files held and whole."""
        held = DigestSet()
        with _reporting():
            async with self._db.execute("select digest from held") as rows:
                while some := await rows.fetchmany(_ROWS_AT_ONCE):
                    held.update(digest for (digest,) in some)
        return held

    async def held_size(self) -> tuple[int, int]:
        """How many files are held, and their bytes."""
        count, size = (await self._rows("select count(*), total(size) from held"))[0]
        return count, int(size)

    async def held_after(self, digest: bytes) -> list[tuple[bytes, int]]:
        """Some files that are held, with their sizes in bytes: the next ones after a digest, in order."""
        return [
            (found, size)
            for found, size in await self._rows(
                "select digest, size from held where digest > ? order by digest limit ?", (digest, _ROWS_AT_ONCE)
            )
        ]

    async def mark_held(self, files: Iterable[tuple[bytes, int]]) -> None:
        """Note files that have been put in the store."""
        async with self._transaction():
            entries = list(files)
            await self._db.executemany("insert or replace into held values (?, ?)", entries)
            await self._db.executemany("delete from damaged where digest = ?", [(digest,) for digest, _ in entries])

    async def forget_files(self, digests: Iterable[bytes]) -> None:
        """Note, before they are removed, that files are no longer held."""
        async with self._transaction():
            await self._db.executemany("delete from held where digest = ?", [(digest,) for digest in digests])

    async def mark_damaged(self, digests: Iterable[bytes]) -> None:
        """Note files whose bytes have rotted: not served, not used as bases, to be fetched again."""
        async with self._transaction():
            entries = [(digest,) for digest in digests]
            await self._db.executemany("delete from held where digest = ?", entries)
            await self._db.executemany("insert or ignore into damaged values (?)", entries)

    async def damaged(self) -> frozenset[bytes]:
        """Digests of files that have rotted and have not been fetched again."""
        return frozenset(digest for (digest,) in await self._rows("select digest from damaged"))

    # Small things

    async def get_meta(self, key: str) -> Any:
        """Read a small value, None when there is none."""
        rows = await self._rows("select value from meta where key = ?", (key,))
        return json.loads(rows[0][0]) if rows else None

    async def set_meta(self, values: Mapping[str, Any]) -> None:
        """Write small values, all or none."""
        async with self._transaction():
            await self._db.executemany(
                "insert or replace into meta values (?, ?)", [(key, json.dumps(value)) for key, value in values.items()]
            )

    async def data_version(self) -> int:
        """A number that changes when another connection has changed the ledger."""
        return int((await self._rows("pragma data_version"))[0][0])

    async def note_contact(self, source: str, outcome: Mapping[str, Any]) -> None:
        """Keep what a contact brought; the last thousand are kept."""
        async with self._transaction():
            await self._db.execute(
                "insert into contacts (source, outcome) values (?, ?)", (source, json.dumps(outcome))
            )
            await self._db.execute("delete from contacts where id <= (select max(id) from contacts) - 1000")

    async def note_traffic(self, source: str, day: Day) -> None:
        """Add to what a source carried on a day."""
        async with self._transaction():
            await self._db.execute(
                "insert into traffic values (?, ?, ?, ?, ?, ?) on conflict do update set"
                " moved = moved + excluded.moved, seconds = seconds + excluded.seconds,"
                " contacts = contacts + excluded.contacts, cut = cut + excluded.cut",
                (source, day.day.isoformat(), day.moved, day.seconds, day.contacts, day.cut),
            )
            await self._db.execute(
                "delete from traffic where day < (select day from traffic order by day desc limit 1 offset ?)",
                (_DAYS_KEPT,),
            )

    async def days_of(self, source: str) -> list[Day]:
        """What a source carried, day by day."""
        rows = await self._rows(
            "select day, moved, seconds, contacts, cut from traffic where source = ? order by day", (source,)
        )
        return [Day(date.fromisoformat(day), *counts) for day, *counts in rows]

    async def last_contact(self) -> Mapping[str, Any] | None:
        """What the newest contact brought."""
        rows = await self._rows("select outcome from contacts order by id desc limit 1")
        return dict(json.loads(rows[0][0])) if rows else None

    async def _do(self, statement: str, values: tuple[Any, ...]) -> None:
        async with self._transaction():
            await self._db.execute(statement, values)

    async def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with _reporting():
            return list(await self._db.execute_fetchall(statement, values))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        with _reporting():
            await self._db.execute("begin immediate")
            try:
                yield
                await self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    await self._db.execute("rollback")
                raise


@asynccontextmanager
async def open_ledger(path: Path) -> AsyncIterator[Ledger]:
    """Open, and where needed make or migrate, the ledger in a file. Raises StoreError."""
    with _reporting():
        db = await aiosqlite.connect(path, isolation_level=None, timeout=30)
    try:
        with _reporting():
            await db.execute("pragma journal_mode = wal")
            await db.execute("pragma synchronous = full")  # NORMAL loses hundreds of commits at a power cut
            await _migrate(db)
        yield Ledger(db)
    finally:
        await db.close()


async def _migrate(db: aiosqlite.Connection) -> None:
    rows = list(await db.execute_fetchall("pragma user_version"))
    version = int(rows[0][0])
    if version > len(_MIGRATIONS):
        raise StoreError(f"ledger: written by a newer program (version {version})", advice="upgrade alforja-node")
    for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        await db.execute("begin immediate")
        for statement in script.split(";"):
            if statement.strip():
                await db.execute(statement)
        await db.execute(f"pragma user_version = {number}")
        await db.execute("commit")


@contextmanager
def _reporting() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if "full" in str(error):
            raise DiskFull(f"ledger: {error}") from None
        raise StoreError(f"ledger: {error}", advice="see the disk's health, then run the command again") from None

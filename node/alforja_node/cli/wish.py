"""`alforja-node wish`: what the school wants first. For whoever helps the teachers."""

import asyncio
import csv
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path

import click

from alforja_node.cli.common import find_subscribed
from alforja_node.planning.wishes import Wish, WishKind
from alforja_node.school import Node, open_node
from alforja_packaging.console import json_option, say_json, say_table
from alforja_packaging.errors import RequestError

_COLUMNS = ("course", "lessons", "from", "per_week")
_DAY = click.DateTime(["%Y-%m-%d"])
_COURSE = click.argument("course", metavar="COURSE")
_LESSONS = click.argument("lessons", metavar="[LESSONS]", default="")
_KINDS: Sequence[WishKind] = ("timetable", "pin", "request")


@click.group()
def command() -> None:
    """Say what this school wants first: a timetable, teachers' pins, students' requests.

    COURSE is one that is subscribed. LESSONS are numbers as the library shows them, spans or ids, with commas
    between (`1-4,9`); without them all lessons of the course are meant.
    """


@command.command()
@_COURSE
@_LESSONS
@click.option("--by", type=_DAY, metavar="YYYY-MM-DD", help="The day on which it must be here. By default at once.")
@json_option
@click.pass_obj
def pin(home: Path, course: str, lessons: str, by: datetime | None, as_json: bool) -> None:
    """Have lessons come before others."""
    _change(home, as_json, lambda node: _put(node, "pin", [(course, lessons, by.date() if by else None, 0)]))


@command.command()
@_COURSE
@_LESSONS
@json_option
@click.pass_obj
def unpin(home: Path, course: str, lessons: str, as_json: bool) -> None:
    """Take pins back: for lessons as they were written, or all of a course."""
    _change(home, as_json, lambda node: _drop(node, "pin", course, lessons))


@command.command()
@_COURSE
@_LESSONS
@json_option
@click.pass_obj
def request(home: Path, course: str, lessons: str, as_json: bool) -> None:
    """Note that a student asked for lessons."""
    _change(home, as_json, lambda node: _put(node, "request", [(course, lessons, None, 0)]))


@command.command("list")
@json_option
@click.pass_obj
def list_(home: Path, as_json: bool) -> None:
    """List all wishes."""
    asyncio.run(_list(home, _KINDS, as_json))


@command.group()
def timetable() -> None:
    """Which lessons are taught from which day."""


@timetable.command()
@_COURSE
@_LESSONS
@click.option("--from", "since", type=_DAY, metavar="YYYY-MM-DD", help="The first day. Without it: taught, some day.")
@click.option("--per-week", type=click.IntRange(1, 100), metavar="N", help="So many lessons a week from then on.")
@json_option
@click.pass_obj
def add(home: Path, course: str, lessons: str, since: datetime | None, per_week: int | None, as_json: bool) -> None:
    """Add lessons to the timetable, or change their day."""
    _change(
        home, as_json,
        lambda node: _put(node, "timetable", [(course, lessons, since.date() if since else None, per_week or 0)]),
    )  # fmt: skip


@timetable.command()
@click.argument("table", metavar="FILE.csv", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@click.pass_obj
def load(home: Path, table: Path, as_json: bool) -> None:
    """Add all lines of a table with the columns course, lessons, from and per_week; all or none.

    Only `course` must be filled in.
    """
    rows = _read_table(table)
    _change(home, as_json, lambda node: _put(node, "timetable", rows))


@timetable.command()
@_COURSE
@_LESSONS
@json_option
@click.pass_obj
def remove(home: Path, course: str, lessons: str, as_json: bool) -> None:
    """Take lessons off the timetable: as they were written, or all of a course."""
    _change(home, as_json, lambda node: _drop(node, "timetable", course, lessons))


@timetable.command("list")
@json_option
@click.pass_obj
def list_timetable(home: Path, as_json: bool) -> None:
    """Show the timetable."""
    asyncio.run(_list(home, ["timetable"], as_json))


_Row = tuple[str, str, date | None, int]


def _change(home: Path, as_json: bool, change: Callable[[Node], Awaitable[str]]) -> None:
    async def carry_out() -> tuple[str, list[dict[str, object]]]:
        async with open_node(home) as node:
            said = await change(node)
            return said, [_as_dict(wish) for wish in await node.ledger.wishes()]

    said, wishes = asyncio.run(carry_out())
    if as_json:
        say_json({"wishes": wishes})
    else:
        click.echo(said)


async def _put(node: Node, kind: WishKind, rows: Iterable[_Row]) -> str:
    wishes = [
        Wish(kind, await find_subscribed(node, course), lessons, day, per_week)
        for course, lessons, day, per_week in rows
    ]
    await node.ledger.put_wishes(wishes)
    if len(wishes) == 1:
        return f"{_name(wishes[0])}: noted; the next sync goes by it"
    return f"{len(wishes)} wishes noted; the next sync goes by them"


async def _drop(node: Node, kind: WishKind, course: str, lessons: str) -> str:
    key = await find_subscribed(node, course)
    count = await node.ledger.drop_wishes(kind, key, lessons or None)
    if not count:
        raise RequestError(
            f"{'/'.join(key)} {lessons}".rstrip() + f": is in no {kind}", advice="see `alforja-node wish list`"
        )
    return f"{'/'.join(key)}: {count} taken back"


async def _list(home: Path, kinds: Sequence[WishKind], as_json: bool) -> None:
    async with open_node(home) as node:
        wishes = [wish for wish in await node.ledger.wishes() if wish.kind in kinds]
    if as_json:
        say_json({"wishes": [_as_dict(wish) for wish in wishes]})
    elif not wishes:
        click.echo("no wishes yet; see `alforja-node wish --help`")
    else:
        rows = [
            (wish.kind, "/".join(wish.course), wish.lessons or "all", wish.due or "", wish.per_week or "", wish.asks)
            for wish in wishes
        ]
        say_table(rows, ("wish", "course", "lessons", "day", "per week", "asked"))


def _as_dict(wish: Wish) -> dict[str, object]:
    return {
        "wish": wish.kind, "publisher": wish.course[0], "course": wish.course[1], "lessons": wish.lessons,
        "day": wish.due.isoformat() if wish.due else None, "per_week": wish.per_week, "asks": wish.asks,
    }  # fmt: skip


def _name(wish: Wish) -> str:
    lessons = f" lessons {wish.lessons}" if wish.lessons else ""
    return "/".join(wish.course) + lessons


def _read_table(path: Path) -> list[_Row]:
    """Read a timetable as spreadsheets save it. Raises RequestError, naming the line."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: cannot be read ({error})", advice="save it as CSV, in UTF-8") from None
    delimiter = ";" if ";" in text.partition("\n")[0] else ","  # as spreadsheets write where the comma is for decimals
    table = csv.DictReader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    if "course" not in (table.fieldnames or ()):
        raise RequestError(f"{path}: has no column `course`", advice=f"its first line names {', '.join(_COLUMNS)}")
    rows = []
    for row in table:
        course, lessons, since, per_week = ((row.get(name) or "").strip() for name in _COLUMNS)
        try:
            day, pace = date.fromisoformat(since) if since else None, int(per_week or 0)
        except ValueError:
            raise RequestError(
                f"{path} line {table.line_num}: {since} {per_week} is no day and number",
                advice="write 2026-03-02 and 2",
            ) from None
        if course:
            rows.append((course, lessons, day, max(0, pace)))
    return rows

"""`alforja-hub cost`: what a release costs a school, and why."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from alforja_hub.cli.common import COURSE, open_authority, open_press, open_workspace, owner_of, say_costs
from alforja_hub.explain import Row, explain
from alforja_hub.features import FeatureShelf
from alforja_hub.publish import Press
from alforja_hub.settings import HubSettings
from alforja_packaging.console import in_words, json_option, say_json, say_table
from alforja_packaging.errors import FormatError
from alforja_packaging.layout import Start, parse_start

_ROWS_SHOWN = 40  # on a terminal: two screens; a pipe and --json get all
_HEADER = ("file", "bytes", "size", "why")


class StartOption(click.ParamType[Start]):
    """A release, by its number or as `algebra.3`."""

    name = "release"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Start:
        """Read one. Raises BadParameter."""
        try:
            return value if isinstance(value, Start) else parse_start(str(value))
        except FormatError:
            self.fail(f"{value!r} is not a release: give a number, or for another course `COURSE.NUMBER`", param, ctx)


@click.command()
@click.argument("course", type=COURSE)
@click.option("--explain", "explained", is_flag=True, help="Tell file by file what costs how much, and why.")
@click.option(
    "--from",
    "start",
    type=StartOption(),
    metavar="RELEASE",
    help="Explain it for a school that holds this release; by default the one before. "
    "Of another course, as in `algebra.3`.",
)
@click.option("--install", is_flag=True, help="Explain it for a school that holds nothing yet.")
@json_option
@click.pass_obj
def command(
    settings: HubSettings, course: str, explained: bool, start: Start | None, install: bool, as_json: bool
) -> None:
    """Show how many bytes the newest release of COURSE costs a school.

    One line for a first install, and one for an update from each release that is
    kept. Bytes are those of the pack; each request adds about 300 more.

    With --explain, --from or --install, one line for each file that costs anything:
    new, changed, or the same content under another name; carried whole, or patched
    from files the school holds, or opened, as the frame itself says. Files travel
    several in one frame, so a file's bytes are an estimate: the frame's, shared out
    by what is new in each when that is compressed quickly (zstd level 3). The sum is
    exact.
    """
    if install and start is not None:
        raise click.UsageError("--from and --install ask for two different schools; give one of them")
    workspace = open_workspace(settings)
    press = open_press(settings, workspace, open_authority(settings))
    publisher = owner_of(workspace, course)
    if explained or install or start is not None:
        _explain(settings, press, publisher, course, start, install=install, as_json=as_json)
        return
    costs = press.costs(publisher, course)
    if as_json:
        say_json({name: {"index": cost[0], "total": cost[1]} for name, cost in costs.items()})
    else:
        say_costs(costs)


def _explain(
    settings: HubSettings,
    press: Press,
    publisher: str,
    course: str,
    start: Start | None,
    *,
    install: bool,
    as_json: bool,
) -> None:
    workspace = open_workspace(settings)
    if start is None and not install:
        start = press.newest_start(publisher, course)
    route = press.open_route(publisher, course, start)
    features = FeatureShelf(workspace.path_of, settings.cache / "features")
    found = explain(
        route.manifest, route.held, route.opened, workspace.path_of, features.of, read_frame=route.read_frame
    )
    sums = [
        {"reason": reason, "how": how, "files": files, "bytes": cost}
        for (reason, how), (files, cost) in found.sums().items()
    ]
    if as_json:
        say_json({
            "course": course, "from": None if start is None else str(start), "to": found.release, "bytes": found.total,
            "index_bytes": found.head, "sums": sums, "hints": list(found.hints),
            "files": [
                {
                    "path": row.path, "bytes": row.cost, "size": row.size, "reason": row.reason, "how": row.how,
                    "bases": list(row.bases),
                }
                for row in found.rows
            ],
        })  # fmt: skip
        return
    way = "first install" if start is None else f"update from release {start}"
    click.echo(f"{course}: release {found.release}, {way}: {in_words(found.total)}, {found.total} bytes\n")
    say_table(
        [
            *((_why(str(one["reason"]), str(one["how"]), ()), one["files"], one["bytes"]) for one in sums),
            ("index and manifest", "", found.head),
        ],
        ("why", "files", "bytes"),
    )
    click.echo()
    rows = [(_shown(row.path), row.cost, row.size, _why(row.reason, row.how, _others(row))) for row in found.rows]
    _say_rows(rows)
    for hint in found.hints:
        click.echo(f"\nhint: {hint}")


def _say_rows(rows: Sequence[tuple[Any, ...]]) -> None:
    """A table for a person's eyes, or plain lines for a pipe."""
    if not sys.stdout.isatty():
        say_table(rows, _HEADER)
        return
    from rich.console import Console  # noqa: PLC0415 (only for a person's eyes)
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _HEADER:
        table.add_column(name, justify="right" if name in ("bytes", "size") else "left", overflow="fold")
    for path, cost, size, why in rows[:_ROWS_SHOWN]:
        table.add_row(Text(path), str(cost), in_words(size), Text(why))
    Console().print(table)
    if rest := rows[_ROWS_SHOWN:]:
        cost = in_words(sum(row[1] for row in rest))
        click.echo(f"and {len(rest)} more files, {cost} together; send this to a file or use --json to see all")


def _why(reason: str, how: str, bases: Sequence[str]) -> str:
    names = [_shown(path) for path in bases]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    source = f" {', '.join(names[:2])}{more}" if names else ""
    if not how:
        return f"{reason} from{source}" if source else reason
    return f"{reason}, {how}{' from' if how == 'patched' and source else ''}{source}"


def _others(row: Row) -> Sequence[str]:
    """The bases worth naming: that a changed page is made from its earlier state goes without saying."""
    return () if row.reason == "changed" and row.bases == (row.path,) else row.bases


def _shown(path: str) -> str:
    """A path as it can be printed: bytes that are not UTF-8, and control characters, spelled out."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)

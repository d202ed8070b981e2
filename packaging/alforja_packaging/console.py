"""How the two commands speak: words for people, JSON for programs, progress, errors.

The hub's and the node's command lines share it; it decides nothing.
"""

import importlib
import json
import keyword
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import click

from alforja_packaging.errors import AlforjaError

if TYPE_CHECKING:
    from rich.progress import Progress

Commands = Mapping[str, str]
"""A command's name and one line of help; its module has the same name (`import_` for a word of Python)."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command runs.

    So `--help` is quick on a slow board.
    """

    def __init__(self, *args: Any, package: str = "", commands_by_name: Commands | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._package, self._help_of = package, dict(commands_by_name or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order they were declared: the order of use."""
        return list(self._help_of)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and give a command."""
        if cmd_name not in self._help_of:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(
            f"{self._package}.{name}_" if keyword.iskeyword(name) else f"{self._package}.{name}"
        )
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._help_of.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was written, saying what there is when it is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message}\nCommands: {', '.join(self._help_of)}", ctx) from None


def run(group: click.Group) -> int:
    """Run a command line; give its exit code. Errors of ours become two lines on standard error."""
    try:
        result = group.main(standalone_mode=False)
    except AlforjaError as error:
        say_error(error)
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        click.echo("stopped; run the command again to go on", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return result if isinstance(result, int) else 0


def say_error(error: AlforjaError) -> None:
    """Print an error: the thing and what is so, then what to do."""
    click.echo(str(error), err=True)
    if error.advice:
        click.echo(f"  {error.advice}", err=True)


def say_json(value: object) -> None:
    """Print one JSON document for a program."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False))


def say_table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> None:
    """Print aligned columns that are as readable in a pipe as on a terminal."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def in_words(size: int) -> str:
    """Write a number of bytes as people do: 512 B, 1.4 kB, 23.1 MB."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def show_progress(*, quiet: bool = False, unit_bytes: bool = False) -> "Progress":
    """Make a progress display; it shows nothing when standard error is no terminal."""
    if quiet or not sys.stderr.isatty():
        return cast("Progress", _NoProgress())
    from rich.console import Console  # noqa: PLC0415 (only long work needs it; 0.1 s on a fast machine)
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = DownloadColumn() if unit_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class _NoProgress:
    """Shows nothing, and spares a small computer the library that could."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add_task(self, *_: object, **__: object) -> int:
        return 0

    def update(self, *_: object, **__: object) -> None:
        pass

    advance = update


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document for a program to read.")(
        function
    )

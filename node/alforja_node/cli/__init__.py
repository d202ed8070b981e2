"""The command `alforja-node`: one module per subcommand."""

import sys
from pathlib import Path

import click

from alforja_packaging.console import LazyGroup, run

_COMMANDS = {
    "init": "Make a node that trusts one root and knows its sources.",
    "courses": "List the courses on offer.",
    "subscribe": "Want a course.",
    "unsubscribe": "No longer want a course.",
    "wish": "Say what is wanted first: a timetable, pins, requests.",
    "sync": "Bring what is wanted from a source.",
    "serve": "Serve the school's library on the local network.",
    "run": "Serve, and sync whenever a source can be reached.",
    "status": "Show what is here, how fresh it is, and what is missing.",
    "verify": "Read all files again and find what has rotted.",
    "export": "Write a course's active release as a plain folder.",
    "rollback": "Serve the previous release of a course again.",
    "prune": "Remove files that no release needs any more.",
}


@click.group(
    cls=LazyGroup,
    package=__name__,
    commands_by_name=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--home", type=click.Path(path_type=Path), envvar="ALFORJA_NODE_HOME", show_envvar=True,
    help="The node's folder. By default where this system keeps such data.",
)  # fmt: skip
@click.version_option(package_name="alforja", prog_name="alforja-node")
@click.pass_context
def group(context: click.Context, home: Path | None) -> None:
    """The school: brings signed courses over whatever connects, and serves them on the local network.

    \b
    A first session:
      alforja-node init --root root.json --source https://courses.example.org
      alforja-node subscribe maths-7
      alforja-node sync
      alforja-node serve
    """  # noqa: D301 (\b is the character that keeps click from wrapping)
    if home is None:
        from platformdirs import user_data_path  # noqa: PLC0415 (not needed when the home is given)

        home = user_data_path("alforja-node", appauthor=False)
    context.obj = home


def main() -> None:
    """Run the command line."""
    sys.exit(run(group))

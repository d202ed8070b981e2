"""The command `alforja-hub`: one module per subcommand."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import click

from alforja_hub.settings import HubSettings
from alforja_packaging.console import LazyGroup, run

_COMMANDS = {
    "init": "Make a hub: keys, trust metadata and a first publisher.",
    "publisher": "Add, list or remove the institutions that publish here.",
    "import": "Bring a course in from a folder or an archive.",
    "publish": "Build, sign and offer the next release of a course.",
    "list": "List courses and their newest releases.",
    "show": "Show what a course contains and how it is built up.",
    "cost": "Show how many bytes a release costs a school.",
    "serve": "Offer the repository over HTTP.",
    "carry": "Write a stick: the same files, only what is asked.",
    "prune": "Remove packs that no release needs any more.",
    "keys": "Renew metadata, and replace keys.",
}
_EXTRA = ("hdiffpatch", "lxml", "numpy", "segno")


@click.group(
    cls=LazyGroup,
    package=__name__,
    commands_by_name=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--home", type=click.Path(path_type=Path), envvar="ALFORJA_HUB_HOME", show_envvar=True,
    help="The hub's folder. By default where this system keeps such data.",
)  # fmt: skip
@click.version_option(package_name="alforja", prog_name="alforja-hub")
@click.pass_context
def group(context: click.Context, home: Path | None) -> None:
    """The centre: imports courses, builds signed and compressed releases, and offers them.

    \b
    A first session:
      alforja-hub init --publisher moe
      alforja-hub import ./my-course --course maths-7
      alforja-hub publish maths-7
      alforja-hub serve
    """  # noqa: D301 (\b is the character that keeps click from wrapping)
    if home is None:
        from platformdirs import user_data_path  # noqa: PLC0415 (not needed when the home is given)

        home = user_data_path("alforja-hub", appauthor=False)
    context.obj = HubSettings(home=home)


def main() -> None:
    """Run the command line."""
    try:
        code = run(group)
    except ModuleNotFoundError as missing:
        if missing.name not in _EXTRA:
            raise
        click.echo(f"alforja-hub: the package {missing.name} is not installed", err=True)
        click.echo("  a hub needs more than a node: install it with `pip install 'alforja[hub]'`", err=True)
        code = 1
    if code:
        # At once: Python would wait for the threads of a pool whose processes were ended, and they may wait for ever.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)

"""The command `alforja-hub`: one module per subcommand."""

import sys
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
    "keys": "Renew metadata, and replace keys.",
}


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
    r"""The centre: imports courses, builds signed and compressed releases, and offers them.

    \b
    A first session:
      alforja-hub init --publisher moe
      alforja-hub import ./my-course --course maths-7
      alforja-hub publish maths-7
      alforja-hub serve
    """
    if home is None:
        from platformdirs import user_data_path  # noqa: PLC0415 (not needed when the home is given)

        home = user_data_path("alforja-hub", appauthor=False)
    context.obj = HubSettings(home=home)


def main() -> None:
    """Run the command line."""
    sys.exit(run(group))

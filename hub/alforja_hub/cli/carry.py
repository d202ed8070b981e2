"""`alforja-hub carry`: write a stick."""

from pathlib import Path

import click

from alforja_hub.carry import carry
from alforja_hub.cli.common import COURSE, open_authority, open_workspace, owner_of
from alforja_hub.settings import HubSettings
from alforja_hub.upkeep import Upkeep
from alforja_packaging.console import in_words, json_option, say_json, show_progress


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--course",
    "courses",
    type=COURSE,
    multiple=True,
    metavar="ID",
    help="Only this course (repeatable). By default all.",
)
@json_option
@click.pass_obj
def command(settings: HubSettings, folder: Path, courses: tuple[str, ...], as_json: bool) -> None:
    """Write FOLDER, for example a mounted USB stick, so that schools can sync from it.

    It gets the same files as the repository; whoever carries it cannot change what
    a school accepts. Run it again to bring a stick up to date.
    """
    workspace = open_workspace(settings)
    keys = {(owner_of(workspace, course), course) for course in courses} or None
    upkeep = Upkeep(settings, open_authority(settings))
    lapsed = {name for key in keys or upkeep.courses() for name in upkeep.lapsed(*key)}
    with show_progress(quiet=as_json) as progress:
        task = progress.add_task(f"writing {folder}", total=None)
        result = carry(
            settings.repository, folder, keys, lambda done, total: progress.update(task, completed=done, total=total),
            lapsed,
        )  # fmt: skip
    if as_json:
        say_json({"files": result.files, "bytes": result.bytes, "already_there": result.skipped})
    else:
        click.echo(
            f"{folder}: wrote {result.files} files, {in_words(result.bytes)}; {result.skipped} were there already"
        )
        click.echo("  a school takes it with `alforja-node sync --source FOLDER`")

"""`alforja-hub list`: what is here."""

import click

from alforja_hub.cli.common import open_authority, open_press, open_workspace
from alforja_hub.settings import HubSettings
from alforja_packaging.console import json_option, say_json, say_table


@click.command()
@json_option
@click.pass_obj
def command(settings: HubSettings, as_json: bool) -> None:
    """List all courses, who publishes them, and their newest releases."""
    workspace = open_workspace(settings)
    press = open_press(settings, workspace, open_authority(settings))
    rows = []
    for note in workspace.courses().values():
        releases = press.releases(note.publisher, note.course)
        published = workspace.published(note.course)
        newest = releases[-1] if releases else None
        rows.append({
            "course": note.course, "publisher": note.publisher, "release": newest,
            "published_at": published.get(newest) if newest else None, "importer": note.importer, "source": note.source,
        })  # fmt: skip
    if as_json:
        say_json(rows)
    elif rows:
        cells = [
            (row["course"], row["publisher"], row["release"] or "not yet", row["published_at"] or "", row["source"])
            for row in rows
        ]
        say_table(cells, ("course", "publisher", "release", "published", "source"))
    else:
        click.echo("no courses yet; bring one in with `alforja-hub import SOURCE --course ID`")

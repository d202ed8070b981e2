"""`alforja-node run`: serve and sync, unattended."""

from pathlib import Path

import click

from alforja_node.cli.listening import listen, listening_options
from alforja_node.school import run
from alforja_packaging.console import json_option


@click.command()
@listening_options
@json_option
@click.pass_obj
def command(home: Path, port: int | None, content_port: int | None, host: str | None, as_json: bool) -> None:
    """Serve the library, and sync by itself whenever a source can be reached.

    This is what a school's computer starts when it is switched on.
    """
    listen(run, home, host, port, content_port, as_json=as_json)

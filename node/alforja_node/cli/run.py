"""`alforja-node run`: serve and sync, unattended."""

from pathlib import Path

import click

from alforja_node.cli.listening import listen, listening_options
from alforja_node.school import run


@click.command()
@listening_options
@click.pass_obj
def command(home: Path, port: int | None, content_port: int | None, host: str | None) -> None:
    """Serve the library, and sync by itself whenever a source can be reached.

    This is what a school's computer starts when it is switched on.
    """
    listen(run, home, host, port, content_port)

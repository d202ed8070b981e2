"""`alforja-node serve`: the school's library."""

from pathlib import Path

import click

from alforja_node.cli.listening import listen, listening_options
from alforja_node.school import serve


@click.command()
@listening_options
@click.pass_obj
def command(home: Path, port: int | None, content_port: int | None, host: str | None) -> None:
    """Serve the school's library on the local network until stopped.

    Pages come from one port, the courses' own files from another, so that what a
    course brings can never act as the library. No internet is needed.
    """
    listen(serve, home, host, port, content_port)

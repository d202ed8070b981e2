"""`alforja-node serve`: the school's library."""

from pathlib import Path

import click

from alforja_node.cli.listening import listen, listening_options
from alforja_node.school import serve
from alforja_packaging.console import json_option


@click.command()
@listening_options
@json_option
@click.pass_obj
def command(home: Path, port: int | None, content_port: int | None, host: str | None, as_json: bool) -> None:
    """Serve the school's library on the local network until stopped.

    Pages come from one port, the courses' own files from another, so that what a
    course brings can never act as the library. No internet is needed.
    """
    listen(serve, home, host, port, content_port, as_json=as_json)

"""`alforja-node rollback`: serve the previous release again."""

import asyncio
from pathlib import Path

import click

from alforja_node.cli.common import find_subscribed
from alforja_node.school import open_node
from alforja_packaging.console import json_option, say_json
from alforja_packaging.errors import RequestError


@click.command()
@click.argument("course", metavar="COURSE")
@json_option
@click.pass_obj
def command(home: Path, course: str, as_json: bool) -> None:
    """Serve the previous release of COURSE again, at once.

    The release that is left is not fetched or served again by itself; the next
    newer one is. Running `rollback` a second time goes forward again.
    """
    asyncio.run(_roll_back(home, course, as_json))


async def _roll_back(home: Path, course: str, as_json: bool) -> None:
    async with open_node(home) as node:
        publisher, name = await find_subscribed(node, course)
        moved = await node.ledger.roll_back(publisher, name)
    if moved is None:
        raise RequestError(f"{publisher}/{name}: no other release is held", advice="there is nothing to go back to")
    if as_json:
        say_json({"publisher": publisher, "course": name, "left": moved[0], "active": moved[1]})
    else:
        click.echo(f"{publisher}/{name}: release {moved[1]} is served again, release {moved[0]} is left")

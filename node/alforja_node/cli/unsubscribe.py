"""`alforja-node unsubscribe`: no longer want a course."""

import asyncio
from pathlib import Path

import click

from alforja_node.cli.common import find_subscribed
from alforja_node.school import open_node
from alforja_packaging.console import json_option, say_json


@click.command()
@click.argument("course", metavar="COURSE")
@json_option
@click.pass_obj
def command(home: Path, course: str, as_json: bool) -> None:
    """No longer want COURSE: it disappears from the library at once.

    Its files stay until `alforja-node prune`, so subscribing again soon costs nothing.
    """
    asyncio.run(_unsubscribe(home, course, as_json))


async def _unsubscribe(home: Path, course: str, as_json: bool) -> None:
    async with open_node(home) as node:
        publisher, name = await find_subscribed(node, course)
        await node.ledger.unsubscribe(publisher, name)
    if as_json:
        say_json({"publisher": publisher, "course": name})
    else:
        click.echo(f"{publisher}/{name}: no longer wanted; `alforja-node prune` frees its room")

"""`alforja-node subscribe`: want a course."""

import asyncio
from pathlib import Path

import click

from alforja_node.cli.common import find_course
from alforja_node.school import open_node
from alforja_packaging.console import json_option, say_json


@click.command()
@click.argument("course", metavar="COURSE")
@json_option
@click.pass_obj
def command(home: Path, course: str, as_json: bool) -> None:
    """Want COURSE: the next sync brings it, and every sync keeps it up to date.

    COURSE is an id as `alforja-node courses` lists it, or PUBLISHER/ID where two
    publishers use the same id.
    """
    asyncio.run(_subscribe(home, course, as_json))


async def _subscribe(home: Path, course: str, as_json: bool) -> None:
    async with open_node(home) as node:
        publisher, name, known = await find_course(node, course)
        await node.ledger.subscribe(publisher, name)
    if as_json:
        say_json({"publisher": publisher, "course": name, "on_offer": known})
        return
    click.echo(f"{publisher}/{name}: subscribed; `alforja-node sync` brings it")
    if not known:
        click.echo("  it is not on offer yet, as far as this node has heard")

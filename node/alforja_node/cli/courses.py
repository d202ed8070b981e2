"""`alforja-node courses`: what is on offer."""

import asyncio
from pathlib import Path

import click

from alforja_node.offers import newest
from alforja_node.school import one_contact_at_a_time, open_node
from alforja_node.sources import open_source
from alforja_packaging.console import in_words, json_option, say_json, say_table
from alforja_packaging.course import choose_text


@click.command()
@click.option("--source", metavar="URL|DIR", help="Ask this source first. By default what the node last heard.")
@json_option
@click.pass_obj
def command(home: Path, source: str | None, as_json: bool) -> None:
    """List the courses on offer, who signed them, and what a first install costs."""
    asyncio.run(_courses(home, source, as_json))


async def _courses(home: Path, source: str | None, as_json: bool) -> None:
    async with open_node(home) as node:
        address = source or next(iter(node.settings.sources), None)
        catalogue = await node.load()
        if address and (source or not catalogue.offers):
            opened = open_source(address)
            try:
                with one_contact_at_a_time(home):
                    catalogue = await node.refresh(opened)
            finally:
                await opened.close()
        wanted = await node.ledger.subscriptions()
    rows = []
    for offer in newest(catalogue.offers).values():
        title, install = offer.custom.get("title"), offer.custom.get("install")
        rows.append({
            "course": offer.course, "publisher": offer.publisher, "release": offer.release,
            "title": title if isinstance(title, dict) else {}, "languages": offer.custom.get("languages", []),
            "install_bytes": install[1] if isinstance(install, list) and len(install) > 1 else None,
            "subscribed": offer.key in wanted,
        })  # fmt: skip
    if as_json:
        say_json(rows)
    elif rows:
        cells = [
            ("*" if row["subscribed"] else "", row["course"], row["publisher"], row["release"],
             in_words(row["install_bytes"]) if row["install_bytes"] else "", choose_text(row["title"], ())[1])
            for row in rows
        ]  # fmt: skip
        say_table(cells, ("", "course", "publisher", "release", "install", "title"))
    else:
        click.echo("nothing is on offer, as far as this node has heard")

"""`alforja-node prune`: remove what nothing needs."""

import asyncio
from pathlib import Path

import click

from alforja_node.school import open_node
from alforja_node.transfer import prune
from alforja_packaging.console import in_words, json_option, say_json


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@json_option
@click.pass_obj
def command(home: Path, dry_run: bool, as_json: bool) -> None:
    """Remove files that no release needs: neither the served one, the one before, nor one under way."""
    asyncio.run(_prune(home, dry_run, as_json))


async def _prune(home: Path, dry_run: bool, as_json: bool) -> None:
    async with open_node(home) as node:
        freed = await prune(node.store, node.ledger, dry_run=dry_run)
    if as_json:
        say_json(dict(freed))
    else:
        click.echo(f"{'would free' if dry_run else 'freed'} {in_words(freed['bytes'])} in {freed['files']} files")

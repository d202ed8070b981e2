"""`alforja-node verify`: find what has rotted."""

import asyncio
from pathlib import Path

import click

from alforja_node.school import Node, contact_with, one_contact_at_a_time, open_node
from alforja_node.transfer import load_releases, scrub
from alforja_packaging.console import json_option, say_error, say_json, show_progress
from alforja_packaging.errors import AlforjaError, RequestError, VerifyError


@click.command()
@click.option("--repair", is_flag=True, help="Fetch again what has rotted, from the node's sources.")
@click.option("--source", metavar="URL|DIR", help="Repair from this source.")
@json_option
@click.pass_obj
def command(home: Path, repair: bool, source: str | None, as_json: bool) -> int:
    """Read every held file again and compare it with its digest.

    A file that has rotted is no longer served or built upon. With --repair it is
    fetched again; without, the next sync does so. The exit code is 3 while
    something is damaged.
    """
    return asyncio.run(_verify(home, repair or source is not None, source, as_json))


async def _verify(home: Path, repair: bool, source: str | None, as_json: bool) -> int:
    async with open_node(home) as node:
        with one_contact_at_a_time(home), show_progress(quiet=as_json) as progress:
            task = progress.add_task("reading files", total=None)
            rotten = await scrub(
                node.store, node.ledger, lambda done, total: progress.update(task, completed=done, total=total)
            )
            failures = await _repair(node, source) if repair else []
        missing = {
            digest
            for one in await load_releases(node.store, node.ledger)
            if one.release.state != "incoming"
            for digest in one.missing
        }
        checked = (await node.ledger.held_size())[0] + len(rotten)
    if as_json:
        say_json({
            "files": checked, "rotten": [digest.hex() for digest in sorted(rotten)], "missing": len(missing),
            "errors": [error.message for error in failures],
        })  # fmt: skip
    else:
        click.echo(f"{checked} files read, {len(rotten)} had rotted, {len(missing)} are missing now")
        for error in failures:
            say_error(error)
        if missing and not repair:
            click.echo("  run `alforja-node verify --repair` or `alforja-node sync` to fetch them again")
    return VerifyError.exit_code if missing else 0


async def _repair(node: Node, source: str | None) -> list[AlforjaError]:
    """Fetch what is missing, from each source in turn until nothing is."""
    addresses = [source] if source else node.settings.by_cost()
    if not addresses:
        raise RequestError(
            "this node knows no source to repair from", advice="name one with --source URL or --source DIR"
        )
    failures: list[AlforjaError] = []
    for address in addresses:
        async with contact_with(node, address) as contact:
            await contact.run()
            failures += contact.failures
        if not any(one.missing for one in await load_releases(node.store, node.ledger)):
            return []
    return failures

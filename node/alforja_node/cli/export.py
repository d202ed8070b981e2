"""`alforja-node export`: a course as a plain folder."""

import asyncio
from pathlib import Path

import click

from alforja_node.cli.common import find_subscribed
from alforja_node.school import open_node
from alforja_node.transfer import export, load_releases
from alforja_packaging.console import in_words, json_option, say_json, show_progress
from alforja_packaging.errors import RequestError


@click.command()
@click.argument("course", metavar="COURSE")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def command(home: Path, course: str, folder: Path, as_json: bool) -> None:
    """Write the active release of COURSE to FOLDER, equal to what was published.

    FOLDER is made; it must be empty or not be there yet.
    """
    asyncio.run(_export(home, course, folder, as_json))


async def _export(home: Path, course: str, folder: Path, as_json: bool) -> None:
    async with open_node(home) as node:
        publisher, name = await find_subscribed(node, course)
        kept = await load_releases(node.store, node.ledger)
        active = next(
            (one for one in kept if one.release.key == (publisher, name) and one.release.state == "active"), None
        )
        if active is None:
            raise RequestError(f"{publisher}/{name}: has no active release yet", advice="run `alforja-node sync` first")
        with show_progress(quiet=as_json) as progress:
            task = progress.add_task(f"writing {folder}", total=len(active.manifest.files))
            size = await asyncio.to_thread(export, node.store, active.manifest, folder, lambda: progress.advance(task))
    if as_json:
        say_json(
            {"course": name, "release": active.release.release, "files": len(active.manifest.files), "bytes": size}
        )
    else:
        what = f"{publisher}/{name} release {active.release.release}"
        click.echo(f"{folder}: {what}, {len(active.manifest.files)} files, {in_words(size)}")

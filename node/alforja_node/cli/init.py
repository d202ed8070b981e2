"""`alforja-node init`: make a node."""

import asyncio
from dataclasses import replace
from pathlib import Path

import click

from alforja_node import disk
from alforja_node.ledger import open_ledger
from alforja_node.settings import SETTINGS_FILE, NodeSettings, format_settings, load_settings
from alforja_node.sources import open_source
from alforja_node.store import Store
from alforja_node.trust import Trust, fetch_root
from alforja_packaging.console import json_option, say_json
from alforja_packaging.errors import RequestError, StoreError, VerifyError
from alforja_packaging.trustdelta import fingerprint


@click.command()
@click.option(
    "--root", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="The root of trust, from the hub's people. Without it the source shows one, and you compare its fingerprint.",
)  # fmt: skip
@click.option(
    "--fingerprint",
    "expected",
    metavar="TEXT",
    help="Take the source's root only if it has this fingerprint, without asking.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    metavar="URL|DIR",
    help="Where courses come from (repeatable, cheapest first).",
)
@click.option(
    "--reserve",
    "reserve",
    type=click.IntRange(min=0),
    metavar="BYTES",
    help="Keep at least so much of the disk free (and 3 %).",
)
@json_option
@click.pass_obj
def command(
    home: Path, root: Path | None, expected: str | None, sources: tuple[str, ...], reserve: int | None, as_json: bool
) -> None:
    """Make a node that believes one root and knows its sources.

    The root says whose signatures count. It must come from somebody you trust: as
    a file, or as a fingerprint that you compare with the one the hub's people show.
    Run again, it only replaces the sources.
    """
    settings = _settings(home, tuple(_absolute(one) for one in sources), reserve)
    asyncio.run(_init(settings, root.read_bytes() if root else None, expected, as_json))


async def _init(settings: NodeSettings, given: bytes | None, expected: str | None, as_json: bool) -> None:
    data = given or await _ask(settings.sources[0], expected, as_json)
    Store(settings.store_dir).prepare()
    async with open_ledger(settings.ledger_path) as ledger:
        await Trust(settings.trust_dir, ledger, strict=settings.strict).bootstrap(data)
    await asyncio.to_thread(disk.put, settings.home / SETTINGS_FILE, format_settings(settings))
    if as_json:
        say_json({"home": str(settings.home), "fingerprint": fingerprint(data), "sources": list(settings.sources)})
        return
    click.echo(f"{settings.home}: this node trusts the root {fingerprint(data)}")
    click.echo("  next: `alforja-node courses`, then `alforja-node subscribe COURSE` and `alforja-node sync`")


def _settings(home: Path, sources: tuple[str, ...], reserve: int | None) -> NodeSettings:
    try:
        settings = replace(load_settings(home), sources=sources)
    except StoreError:
        settings = NodeSettings(home=home, sources=sources)
    return settings if reserve is None else replace(settings, reserve_bytes=reserve)


def _absolute(address: str) -> str:
    return address if "://" in address else str(Path(address).absolute())


async def _ask(address: str, expected: str | None, as_json: bool) -> bytes:
    """Fetch the source's root, and have a person compare its fingerprint."""
    source = open_source(address)
    try:
        data = await fetch_root(source)
    finally:
        await source.close()
    shown = fingerprint(data)
    if expected is not None:
        if _letters(expected) != _letters(shown):
            raise VerifyError(f"{address}: its root has the fingerprint {shown}, not the one given")
        return data
    if as_json:
        raise RequestError(
            "the root of trust is not given", advice="name it with --root FILE, or give --fingerprint TEXT"
        )
    click.echo(f"{address} shows a root with the fingerprint\n\n  {shown}\n")
    click.confirm("Is this exactly the fingerprint that the hub's people gave you?", abort=True, err=True)
    return data


def _letters(text: str) -> str:
    return "".join(text.split()).lower().replace("-", "").replace(":", "")

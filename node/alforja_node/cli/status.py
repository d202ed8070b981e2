"""`alforja-node status`: how things stand."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from alforja_node import disk
from alforja_node.library.plans import say_prospect
from alforja_node.library.words import words_for
from alforja_node.offers import newest
from alforja_node.planning.coming import parse_prospect
from alforja_node.school import Node, load_prospect, look_out_for, open_node
from alforja_node.transfer import load_releases
from alforja_packaging.console import in_words, json_option, say_json
from alforja_packaging.course import choose_text


@click.command()
@json_option
@click.pass_obj
def command(home: Path, as_json: bool) -> None:
    """Show the courses of this school, how fresh they are, what is missing, and the disk."""
    status = asyncio.run(_status(home))
    if as_json:
        say_json(status)
    else:
        _say(status)


async def _status(home: Path) -> dict[str, Any]:
    async with open_node(home) as node:
        catalogue = await node.load()
        last = await node.ledger.last_contact()
        prospect = await load_prospect(node)
        files, size = await node.ledger.held_size()
        return {
            "home": str(home), "sources": list(node.settings.sources),
            "courses": await _courses(node),
            "stale_since": catalogue.stale_since.isoformat() if catalogue.stale_since else None,
            "files": files, "bytes": size, "damaged": len(await node.ledger.damaged()),
            "free_bytes": disk.free_bytes(node.settings.store_dir),
            "reserve_bytes": disk.reserve_of(node.settings.store_dir, node.settings.reserve_bytes),
            "last_contact": last,
            "coming": prospect.as_dict() if prospect else None,
            "terms": [await _terms(node, address) for address in node.settings.by_cost()],
        }  # fmt: skip


async def _terms(node: Node, address: str) -> dict[str, Any]:
    """On which terms a source may be used, and what is expected of it."""
    outlook = await look_out_for(node, address)
    forecast = {"bytes_per_day": outlook.forecast.bytes_per_day, "bytes_per_s": outlook.forecast.bytes_per_s}
    return {"source": address} | asdict(outlook.terms) | {"cap_left": outlook.forecast.cap_left} | forecast


async def _courses(node: Node) -> list[dict[str, Any]]:
    offers = newest((await node.load()).offers)
    kept = await load_releases(node.store, node.ledger)
    rows = []
    for key in sorted(await node.ledger.subscriptions()):
        own = {one.release.state: one for one in kept if one.release.key == key}
        active, incoming = own.get("active"), own.get("incoming")
        shown = active or incoming
        lessons = shown.manifest.course.lessons() if shown else []
        usable = [one for one in lessons if shown and not shown.manifest.digests_of(one.needed) & shown.missing]
        rows.append({
            "publisher": key[0], "course": key[1], "title": dict(shown.manifest.course.title) if shown else {},
            "active": active.release.release if active else None,
            "previous": own["previous"].release.release if "previous" in own else None,
            "incoming": incoming.release.release if incoming else None,
            "offered": offers[key].release if key in offers else None,
            "lessons": len(lessons), "lessons_usable": len(usable), "missing": len(shown.missing) if shown else None,
        })  # fmt: skip
    return rows


def _say(status: dict[str, Any]) -> None:
    if not status["courses"]:
        click.echo("no courses yet; see `alforja-node courses` and `alforja-node subscribe`")
    for row in status["courses"]:
        title = choose_text(row["title"], ())[1] or "not here yet"
        click.echo(f"{row['publisher']}/{row['course']}: {title}")
        served = f"release {row['active']} is served" if row["active"] else "no release is whole yet"
        newer = row["offered"] and row["offered"] != row["active"]
        click.echo(f"  {served}" + (f", release {row['offered']} is on offer" if newer else ""))
        click.echo(
            f"  {row['lessons_usable']} of {row['lessons']} lessons are usable"
            + (f", {row['missing']} files are missing" if row["missing"] else "")
        )
    click.echo(f"store: {status['files']} files, {in_words(status['bytes'])}; {in_words(status['free_bytes'])} free")
    if status["free_bytes"] < status["reserve_bytes"]:
        click.echo(f"  the disk is nearly full: {in_words(status['reserve_bytes'])} are kept in reserve")
        click.echo("  run `alforja-node prune`, or make room")
    if status["stale_since"]:
        click.echo(f"trust: not confirmed current since {status['stale_since']}")
    if status["last_contact"]:
        last = status["last_contact"]
        click.echo(
            f"last contact: {last['source']}, received {in_words(last['received'])}, {len(last['errors'])} errors"
        )
    if status["coming"]:
        click.echo("next:")
        for line in say_prospect(parse_prospect(status["coming"]), words_for(("en",)), ("en",)):
            click.echo(f"  {line}")

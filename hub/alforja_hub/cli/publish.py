"""`alforja-hub publish`: make the next release of a course."""

from dataclasses import replace

import click

from alforja_hub.cli.common import (
    COURSE,
    build_pool,
    now,
    one_change_at_a_time,
    open_authority,
    open_workspace,
    owner_of,
    say_costs,
)
from alforja_hub.cli.keeping import Size, as_fields, chosen, say_tidied
from alforja_hub.publish import Press
from alforja_hub.settings import HubSettings
from alforja_hub.upkeep import Upkeep
from alforja_packaging.abilities import find_abilities
from alforja_packaging.console import in_words, json_option, say_json, show_progress
from alforja_packaging.frames import NEEDS_JPEG_XL, NEEDS_KNOWN


@click.command()
@click.argument("course", type=COURSE)
@click.option(
    "--keep-releases",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Offer updates straight from the last N releases. Remembered for this course; 8 until set.",
)
@click.option(
    "--keep-bytes",
    type=Size(),
    metavar="SIZE",
    help="Keep this course's packs within SIZE, as in 500M or 2G, by giving up updates from the oldest releases; "
    "`all` for no bound. Remembered for this course.",
)
@click.option(
    "--grace",
    type=click.IntRange(0, 36500),
    metavar="DAYS",
    help="Remove packs only so many days after they were last needed, for schools in the middle of a download; "
    "0 removes them at once. Remembered for this course; 14 until set.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(0),
    metavar="S",
    help="Look for smaller packs for about S seconds only: published sooner, but schools fetch more. "
    "By default as long as it takes.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Encode with N processes, each of which takes up to 1 GB of memory. By default one for each core, "
    "or as many as there is memory for.",
)
@json_option
@click.pass_obj
def command(
    settings: HubSettings,
    course: str,
    keep_releases: int | None,
    keep_bytes: int | None,
    grace: int | None,
    max_seconds: float | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Build, sign and offer the next release of COURSE.

    Nothing is published if the workspace holds exactly what the newest release holds.
    Interrupted at any point, it can be run again and goes on where it stopped.
    Packs made in haste (--max-seconds) are right in every way but size; the next
    release that is given its time makes their frames anew.

    With the extra `images` installed here, JPEGs also travel as JPEG XL, about a fifth
    smaller, to schools that have it too; --json tells whether it was (jpeg_xl).
    """
    settings = replace(settings, workers=workers or settings.workers)
    workspace, authority = open_workspace(settings), open_authority(settings)
    with (
        one_change_at_a_time(settings),
        build_pool(settings) as pool,
        show_progress(quiet=as_json, unit_bytes=True) as progress,
    ):
        owner_of(workspace, course)  # nothing is remembered of a course that is not here
        Upkeep(settings, authority).keep(course, chosen(keep_releases, keep_bytes, grace))
        task = progress.add_task(course, total=None)

        def watch(what: str, done: int, total: int) -> None:
            progress.update(task, description=f"{course}: {what}", completed=done, total=total or None)

        able = find_abilities(NEEDS_KNOWN)
        press = Press(settings, workspace, authority, pool, able=able)
        result = press.publish(course, now(), watch, max_seconds=max_seconds)
    if as_json:
        costs = {name: {"index": cost[0], "total": cost[1]} for name, cost in result.costs.items()}
        say_json({
            "course": course, "publisher": result.publisher, "release": result.release, "changed": result.changed,
            "bytes": result.size, "costs": costs, "jpeg_xl": bool(able & NEEDS_JPEG_XL),
            **as_fields(result.tidied, result.dropped),
        })  # fmt: skip
        return
    if result.changed:
        click.echo(f"{course}: release {result.release} is published ({in_words(result.size)} of files)")
        say_costs(result.costs)
    else:
        click.echo(f"{course}: nothing is new since release {result.release}")
    say_tidied(result.tidied, result.dropped)

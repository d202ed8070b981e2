"""`alforja-hub publish`: make the next release of a course."""

import click

from alforja_hub.cli.common import (
    COURSE,
    build_pool,
    now,
    one_change_at_a_time,
    open_authority,
    open_workspace,
    say_costs,
)
from alforja_hub.publish import Press
from alforja_hub.settings import HubSettings
from alforja_packaging.console import in_words, json_option, say_json, show_progress


@click.command()
@click.argument("course", type=COURSE)
@json_option
@click.pass_obj
def command(settings: HubSettings, course: str, as_json: bool) -> None:
    """Build, sign and offer the next release of COURSE.

    Nothing happens if the workspace holds exactly what the newest release holds.
    Interrupted at any point, it can be run again and goes on where it stopped.
    """
    workspace, authority = open_workspace(settings), open_authority(settings)
    with one_change_at_a_time(settings), build_pool(settings) as pool, show_progress(quiet=as_json) as progress:
        tasks = {}

        def watch(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        result = Press(settings, workspace, authority, pool).publish(course, now(), watch)
    if as_json:
        costs = {name: {"index": cost[0], "total": cost[1]} for name, cost in result.costs.items()}
        say_json({
            "course": course, "publisher": result.publisher, "release": result.release, "changed": result.changed,
            "bytes": result.size, "costs": costs,
        })  # fmt: skip
        return
    if not result.changed:
        click.echo(f"{course}: nothing is new since release {result.release}")
        return
    click.echo(f"{course}: release {result.release} is published ({in_words(result.size)} of files)")
    say_costs(result.costs)

"""`alforja-hub prune`: keep the repository small."""

from collections.abc import Sequence
from contextlib import nullcontext

import click

from alforja_hub.cli.common import COURSE, now, one_change_at_a_time, open_authority, open_workspace, owner_of
from alforja_hub.cli.keeping import as_fields, say_tidied
from alforja_hub.settings import HubSettings
from alforja_hub.sweeping import Cached, Sweep, Sweeper
from alforja_hub.upkeep import Lapsed, Tidying, Upkeep
from alforja_packaging.console import in_words, json_option, say_json


@click.command()
@click.argument("courses", type=COURSE, nargs=-1, metavar="[COURSE]...")
@click.option(
    "--grace",
    type=click.IntRange(0, 36500),
    metavar="DAYS",
    help="This time, keep what is no longer needed for so many days; 0 removes it at once. "
    "By default as set with `publish --grace`, else 14.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@json_option
@click.pass_obj
def command(settings: HubSettings, courses: tuple[str, ...], grace: int | None, dry_run: bool, as_json: bool) -> None:
    """Remove packs that no release on offer needs any more; of each COURSE, or of all.

    What schools can be led to is never removed. What a newer release has replaced
    stays for the days of grace, so that a school in the middle of a download, or
    one that reads an older stick or mirror, still finds it. Courses with a bound
    (see `publish --keep-bytes`) stop offering their oldest updates when above it.

    Publishing does the same for its course. Run this from a timer, once a day: it
    also removes imported files that no draft and no release names any more, after
    the same grace, and keeps what can be computed again (`cache/`) below 4 GiB.
    """
    workspace, authority = open_workspace(settings), open_authority(settings)
    upkeep = Upkeep(settings, authority)
    with nullcontext() if dry_run else one_change_at_a_time(settings):
        if not dry_run:
            authority.finish()  # or what a cut run has decided would look as if nobody needed it
        keys = [(owner_of(workspace, course), course) for course in courses] or upkeep.courses()
        plans = []
        for publisher, course in keys:
            plan = upkeep.plan(publisher, course, now(), grace)
            if not dry_run:
                upkeep.carry_out(plan)
            plans.append(plan)
        sweeper = Sweeper(settings, workspace, upkeep)
        sweep = sweeper.plan(now(), grace)
        if not dry_run:
            sweeper.carry_out(sweep)
    if as_json:
        say_json({
            "courses": [
                {"publisher": plan.publisher, "course": plan.course, **as_fields(plan, plan.drop)} for plan in plans
            ],
            "workspace": {"removed": _sum(sweep.remove), "waiting": _sum(sweep.waiting)},
            "cache": {"removed": _sum(sweep.cached)},
        })  # fmt: skip
        return
    for plan in plans:
        say_tidied(plan, plan.drop, planned=dry_run)
    _say_swept(sweep, planned=dry_run)
    _say_rest(plans, sweep)


def _sum(files: Sequence[Lapsed] | Sequence[Cached]) -> dict[str, int]:
    return {"files": len(files), "bytes": sum(one.size for one in files)}


def _say_swept(sweep: Sweep, *, planned: bool) -> None:
    would = "would remove" if planned else "removed"
    if sweep.remove:
        size = in_words(sum(one.size for one in sweep.remove))
        click.echo(f"workspace: {would} {len(sweep.remove)} files that no draft and no release names ({size})")
    if sweep.cached:
        size = in_words(sum(one.size for one in sweep.cached))
        click.echo(f"cache: {would} {len(sweep.cached)} entries that were of no use for longest ({size})")


def _say_rest(plans: list[Tidying], sweep: Sweep) -> None:
    if not (sweep.remove or sweep.cached or any(plan.drop or plan.remove or plan.waiting for plan in plans)):
        click.echo("nothing to remove")
    ahead = max((plan.lapses.newest for plan in plans if plan.lapses.newest), default=None)
    if ahead and ahead > now():
        click.echo(f"note: this machine's clock is behind {ahead:%Y-%m-%d %H:%M}, a time seen before", err=True)
        click.echo("  days of grace are counted from there; set the clock, or remove at once with --grace 0", err=True)

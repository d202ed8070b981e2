"""`alforja-node sync`: one contact."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from alforja_node import session
from alforja_node.library.plans import say_prospect
from alforja_node.library.words import words_for
from alforja_node.offers import describe
from alforja_node.planner import Activate, Fetch, Open, Plan, Step, cost_of, runs_of
from alforja_node.planning.coming import Prospect
from alforja_node.school import Node, contact_with, may_not_use, one_contact_at_a_time, open_node, tidy
from alforja_node.transfer import Contact, Outcome
from alforja_packaging.console import in_words, json_option, say_error, say_json, show_progress
from alforja_packaging.errors import AlforjaError, RequestError


@click.command()
@click.option(
    "--source",
    metavar="URL|DIR",
    help="Where from: a hub, a mirror, a stick. By default the sources of `init`, in order.",
)
@click.option(
    "--budget", type=click.IntRange(min=0), metavar="BYTES", help="Move no more than so many bytes, both ways together."
)
@click.option("--dry-run", is_flag=True, help="Show the plan. Metadata and indexes are fetched, nothing else.")
@json_option
@click.pass_obj
def command(home: Path, source: str | None, budget: int | None, dry_run: bool, as_json: bool) -> int:
    """Bring what is wanted from a source: the newest releases of all subscribed courses.

    What arrives is kept, whatever happens: run it again to go on where it stopped.
    The release that is served stays until the next one is whole.
    """
    return asyncio.run(_sync(home, source, budget, dry_run, as_json))


async def _sync(home: Path, source: str | None, budget: int | None, dry_run: bool, as_json: bool) -> int:
    async with open_node(home) as node:
        addresses = [source] if source else await _usable(node)
        with one_contact_at_a_time(home):
            if dry_run:
                return await _plan(node, addresses[0], budget, as_json)
            for address in addresses:
                contact = await _contact(node, address, budget, as_json)
                if not contact.failures:
                    break
                if address != addresses[-1]:
                    say_error(contact.failures[0])
        if contact.outcome.activated and not contact.outcome.pending:
            await tidy(node)
        _say_outcome(contact.outcome, contact.failures, await node.ledger.subscriptions(), as_json)
        return contact.failures[0].exit_code if contact.failures else 0


async def _usable(node: Node) -> Sequence[str]:
    """The sources that may be used now, what costs least first. Raises RequestError when there is none."""
    addresses = node.settings.by_cost()
    if not addresses:
        raise RequestError("this node knows no source", advice="name one with --source URL or --source DIR")
    reasons = {address: await may_not_use(node, address) for address in addresses}
    usable = [address for address in addresses if not reasons[address]]
    if not usable:
        raise RequestError(reasons[addresses[0]], advice="name it with --source to use it all the same, within its cap")
    return usable


async def _contact(node: Node, address: str, budget: int | None, as_json: bool) -> Contact:
    with show_progress(quiet=as_json, unit_bytes=True) as progress:
        async with contact_with(node, address, budget, Bar(progress)) as contact:
            await contact.run()
    return contact


async def _plan(node: Node, address: str, budget: int | None, as_json: bool) -> int:
    async with contact_with(node, address, budget, dry_run=True) as contact:
        plan = await contact.plan()
        prospect = await contact.foresee()
        assert prospect is not None
    _say_plan(plan, prospect, contact.outcome, as_json)
    return 0


class Bar:
    """Shows a contact as a progress bar. Implements `Watcher`."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._task = progress.add_task("connecting", total=None)
        self._received = 0

    def state(self, state: session.State, what: str) -> None:
        """Name the state."""
        self._progress.update(self._task, description=f"{state} {what}".strip())

    def plan(self, plan: Plan, left: int) -> None:
        """Set the length of the bar."""
        self._progress.update(self._task, total=self._received + left if plan else None)

    def moved(self, received: int) -> None:
        """Move the bar."""
        self._received += received
        self._progress.advance(self._task, received)


def _say_plan(plan: Plan, prospect: Prospect, outcome: Outcome, as_json: bool) -> None:
    requests = runs_of(plan)
    if as_json:
        steps = [_step_as_dict(step) for step in plan]
        say_json(
            {
                "source": outcome.source,
                "steps": steps,
                "requests": len(requests),
                "cost": cost_of(plan),
                "coming": prospect.as_dict(),
                "spent": outcome.as_dict(),
            }
        )
        return
    if not plan:
        click.echo(f"{outcome.source}: nothing to bring")
    for step in plan:
        if isinstance(step, Activate):
            click.echo(f"{describe(step.hop.offer)}: everything is here, it would be made visible")
    for line in say_prospect(prospect, words_for(("en",)), ("en",)):
        click.echo(line)
    click.echo(f"this contact: {in_words(cost_of(plan))} in {len(requests)} requests")
    click.echo(f"{in_words(outcome.received)} were spent on finding out")


def _step_as_dict(step: Step) -> dict[str, object]:
    base: dict[str, object] = {
        "step": type(step).__name__.lower(),
        "release": describe(step.hop.offer),
        "cost": step.cost,
    }
    if isinstance(step, Fetch | Open):
        base |= {"pack": step.hop.pack if isinstance(step, Open) else step.pack, "first": step.first, "last": step.last}
    return base


def _say_outcome(
    outcome: Outcome, failures: Sequence[AlforjaError], wanted: frozenset[tuple[str, str]], as_json: bool
) -> None:
    if as_json:
        say_json(outcome.as_dict())
        return
    for name in outcome.activated:
        click.echo(f"{name} is now served")
    for failure in failures:
        say_error(failure)
    for message in outcome.refused:
        click.echo(f"{message}; it was left, and the rest came another way", err=True)
    if outcome.stale_since:
        click.echo(f"not confirmed current since {outcome.stale_since}", err=True)
    if not wanted:
        click.echo("no course is wanted yet; see `alforja-node courses` and `alforja-node subscribe`")
    elif not outcome.activated and not outcome.pending and not failures:
        click.echo("everything is up to date")
    for name in outcome.pending:
        click.echo(f"{name} is not whole yet; run sync again to go on")
    kinds = (("metadata", outcome.trust), ("manifests", outcome.manifest), ("files", outcome.frames))
    parts = ", ".join(f"{name} {in_words(kind.received)}" for name, kind in kinds)
    click.echo(f"received {in_words(outcome.received)} ({parts})")
    click.echo(f"sent {in_words(outcome.sent)} in {outcome.requests} requests")

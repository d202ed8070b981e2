"""`alforja-hub keys`: renew metadata, and replace keys."""

import click

from alforja_hub.cli.common import one_change_at_a_time, open_authority, open_workspace
from alforja_hub.settings import HubSettings
from alforja_packaging.console import json_option, say_json, say_table


@click.group()
@click.pass_obj
def command(settings: HubSettings) -> None:
    """Renew metadata before it expires, and replace keys."""
    open_workspace(settings)


@command.command("list")
@json_option
@click.pass_obj
def list_(settings: HubSettings, as_json: bool) -> None:
    """Show every role: its version, when it expires, and how many of its keys are here."""
    roles = open_authority(settings).describe()
    if as_json:
        say_json({role: dict(one) for role, one in roles.items()})
        return
    rows = [
        (role, one["version"], one["expires"], f"{one['threshold']} of {one['keys']}", one["keys_here"])
        for role, one in roles.items()
    ]
    say_table(rows, ("role", "version", "expires", "must sign", "keys here"))


@command.command()
@click.pass_obj
def renew(settings: HubSettings) -> None:
    """Sign the timestamp anew, and whatever is past half of its life. Run it daily."""
    with one_change_at_a_time(settings):
        roles = open_authority(settings).renew()
    click.echo(f"signed anew: {', '.join(roles)}")


@command.command()
@click.argument("role")
@click.pass_obj
def rotate(settings: HubSettings, role: str) -> None:
    """Replace the keys of ROLE: timestamp, snapshot, targets, root, or a publisher.

    Do this when a key may have been copied. The keys of root must be here for the
    first four. Schools follow by themselves at their next contact.
    """
    with one_change_at_a_time(settings):
        open_authority(settings).rotate(role)
    click.echo(f"{role}: has new keys; what the old ones sign is no longer accepted")


@command.command()
@click.option("--keys", "count", required=True, type=click.IntRange(1, 16), help="How many root keys there are to be.")
@click.option("--threshold", required=True, type=click.IntRange(1, 16), help="How many of them must sign a change.")
@click.pass_obj
def root(settings: HubSettings, count: int, threshold: int) -> None:
    """Make a new set of root keys. Enough of the old ones must be here to agree."""
    with one_change_at_a_time(settings):
        open_authority(settings).set_root(keys=count, threshold=threshold)
    click.echo(
        f"root: {threshold} of {count} new keys must sign from now on; move {settings.keys / 'root'} to safe places"
    )

"""`alforja-hub publisher`: the institutions that publish here."""

import click

from alforja_hub.cli.common import one_change_at_a_time, open_authority, open_workspace
from alforja_hub.settings import HubSettings
from alforja_packaging.console import json_option, say_json, say_table


@click.group()
@click.pass_obj
def command(settings: HubSettings) -> None:
    """Add, list or remove the institutions that publish here.

    Each signs with its own key, for its own courses only; a school can tell who
    signed a course.
    """
    open_workspace(settings)


@command.command()
@click.argument("name")
@click.pass_obj
def add(settings: HubSettings, name: str) -> None:
    """Let the institution NAME publish here, with a key of its own."""
    with one_change_at_a_time(settings):
        open_authority(settings).add_publisher(name)
    click.echo(f"{name}: may publish; its key lies in {settings.keys / name}")


@command.command("list")
@json_option
@click.pass_obj
def list_(settings: HubSettings, as_json: bool) -> None:
    """List the institutions, with the number of releases each has on offer."""
    publishers = open_authority(settings).list_publishers()
    if as_json:
        say_json([{"publisher": name, "releases": count} for name, count in publishers.items()])
    else:
        say_table(list(publishers.items()), ("publisher", "releases"))


@command.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(settings: HubSettings, name: str, yes: bool) -> None:
    """Stop vouching for the institution NAME.

    Schools accept nothing new of it. What they hold of it stays served until they
    unsubscribe.
    """
    if not yes:
        click.confirm(f"Schools will accept nothing new from {name}. Go on?", abort=True, err=True)
    with one_change_at_a_time(settings):
        open_authority(settings).remove_publisher(name)
    click.echo(f"{name}: nothing it signs is accepted from now on")

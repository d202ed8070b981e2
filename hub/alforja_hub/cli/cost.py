"""`alforja-hub cost`: what a release costs a school."""

import click

from alforja_hub.cli.common import COURSE, open_authority, open_press, open_workspace, owner_of, say_costs
from alforja_hub.settings import HubSettings
from alforja_packaging.console import json_option, say_json


@click.command()
@click.argument("course", type=COURSE)
@json_option
@click.pass_obj
def command(settings: HubSettings, course: str, as_json: bool) -> None:
    """Show how many bytes the newest release of COURSE costs a school.

    One line for a first install, and one for an update from each release that is
    kept. Bytes are those of the pack; each request adds about 300 more.
    """
    workspace = open_workspace(settings)
    press = open_press(settings, workspace, open_authority(settings))
    costs = press.costs(owner_of(workspace, course), course)
    if as_json:
        say_json({name: {"index": cost[0], "total": cost[1]} for name, cost in costs.items()})
    else:
        say_costs(costs)

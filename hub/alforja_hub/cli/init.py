"""`alforja-hub init`: make a hub."""

import sys

import click

from alforja_hub.cli.common import PASSPHRASE_ENV, one_change_at_a_time, open_authority, open_workspace
from alforja_hub.settings import HubSettings
from alforja_packaging.console import json_option, say_json
from alforja_packaging.trustdelta import fingerprint


@click.command()
@click.option(
    "--publisher",
    required=True,
    metavar="NAME",
    help="The first institution that publishes here, as in moe or uni-cusco.",
)
@click.option(
    "--root-keys", default=1, show_default=True, type=click.IntRange(1, 16), help="How many root keys to make."
)
@click.option(
    "--root-threshold",
    default=1,
    show_default=True,
    type=click.IntRange(1, 16),
    help="How many of them must sign a change.",
)
@json_option
@click.pass_obj
def command(settings: HubSettings, publisher: str, root_keys: int, root_threshold: int, as_json: bool) -> None:
    """Make a hub: keys, trust metadata and a first publisher.

    The root of trust it prints is what schools are given. Its keys lie in
    `keys/root`: move that folder to a safe place; it is needed only for rotations.
    Set ALFORJA_HUB_PASSPHRASE to have all keys encrypted.
    """
    with one_change_at_a_time(settings):
        root = open_authority(settings).create(publisher, root_keys=root_keys, root_threshold=root_threshold)
        open_workspace(settings)
    path = settings.repository / "trust" / "1.root.json"
    shown = fingerprint(root)
    if as_json:
        say_json({"home": str(settings.home), "root": str(path), "fingerprint": shown, "publisher": publisher})
        return
    click.echo(f"{settings.home}: a hub for publisher {publisher}")
    click.echo(f"  give schools the file {path}, or its fingerprint:\n\n  {shown}\n")
    _draw(shown)
    click.echo(f"  move {settings.keys / 'root'} to a safe place that is not this machine")
    click.echo(f"  keys are encrypted when {PASSPHRASE_ENV} is set; next: `alforja-hub import SOURCE --course ID`")


def _draw(text: str) -> None:
    """Show the fingerprint as a QR code, where a person looks at a terminal."""
    if sys.stdout.isatty():
        import segno  # noqa: PLC0415 (only for a person's eyes)

        segno.make(text.replace(" ", ""), error="m").terminal(compact=True)

"""`alforja-hub serve`: offer the repository over HTTP."""

import asyncio

import click

from alforja_hub.cli.common import open_workspace
from alforja_hub.settings import HubSettings
from alforja_packaging.errors import RequestError


@click.command()
@click.option("--port", default=8070, show_default=True, help="Port to listen on; 0 takes any free one.")
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")  # noqa: S104 (a hub is public)
@click.pass_obj
def command(settings: HubSettings, port: int, host: str) -> None:
    """Offer the repository over HTTP until stopped.

    Everything offered is signed, and any static web server can do the same with
    the folder `repository` of the hub's home.
    """
    from alforja_hub.server import serve  # noqa: PLC0415 (aiohttp takes 0.2 s; only this command needs it)

    open_workspace(settings)

    def ready(address: str) -> None:
        click.echo(f"offering {settings.repository} at {address}")

    try:
        asyncio.run(serve(settings.repository, host, port, ready))
    except OSError as error:
        raise RequestError(
            f"{host} port {port}: cannot be listened on ({error.strerror or error})",
            advice="choose another one with --port",
        ) from None

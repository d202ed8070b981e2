"""What `serve` and `run` share: their ports, and what to say when one is taken."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from alforja_node.settings import load_settings
from alforja_packaging.console import say_json
from alforja_packaging.errors import RequestError

Serving = Callable[[Path, str, int, int, Callable[[str], None]], Awaitable[None]]

_PORT = click.IntRange(0, 65535)


def listening_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where to listen."""
    options = [
        click.option("--port", type=_PORT, help="Port of the library; 0 takes any.  [default: 8080]"),
        click.option("--content-port", type=_PORT, help="Port of courses' own files.  [default: 8081]"),
        click.option("--host", help="Address to listen on.  [default: 0.0.0.0, everyone on the network]"),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def listen(
    serving: Serving, home: Path, host: str | None, port: int | None, content_port: int | None, *, as_json: bool
) -> None:
    """Serve until stopped, where the options or the node's settings say. Raises RequestError when a port is taken."""
    settings = load_settings(home)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    def ready(address: str) -> None:
        if as_json:
            say_json({"library": address})
        else:
            click.echo(f"the library is open at {address}")

    chosen = (
        settings.host if host is None else host,
        settings.library_port if port is None else port,
        settings.content_port if content_port is None else content_port,
    )
    try:
        asyncio.run(_await(serving(home, *chosen, ready)))
    except OSError as error:
        raise RequestError(
            f"{chosen[0]} ports {chosen[1]} and {chosen[2]}: cannot be listened on ({error.strerror or error})",
            advice="choose others with --port and --content-port",
        ) from None


async def _await(serving: Awaitable[None]) -> None:
    await serving

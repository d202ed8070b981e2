"""The node as a whole: its rooms opened, contacts made, the library served.

The one place that puts store, ledger, trust, transfer and library together.
"""

import asyncio
import fcntl
import logging
import random
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from alforja_node import disk
from alforja_node.ledger import Ledger, open_ledger
from alforja_node.planning.coming import Prospect, parse_prospect
from alforja_node.planning.forecast import Day
from alforja_node.planning.outlook import Outlook, day_of, look_out
from alforja_node.planning.wishes import Wishes
from alforja_node.settings import NodeSettings, load_settings
from alforja_node.sources import Source, open_source
from alforja_node.store import Store
from alforja_node.terms import is_open
from alforja_node.transfer import Catalogue, Contact, Watcher, load_releases, prune
from alforja_node.trust import Trust
from alforja_packaging.errors import AlforjaError, LinkError, RequestError

if TYPE_CHECKING:
    from alforja_node.library.view import Shelf

_log = logging.getLogger(__name__)
_PROSPECT_KEY = "prospect"


@dataclass(frozen=True, slots=True)
class Node:
    """The rooms of one home, open."""

    settings: NodeSettings
    store: Store
    ledger: Ledger
    trust: Trust

    async def refresh(self, source: Source) -> Catalogue:
        """Learn from a source what is on offer, believing only signatures."""
        trusted = await self.trust.refresh(source)
        return Catalogue(trusted.offers, trusted.stale_since)

    async def knows_time(self) -> bool:
        """Tell whether the system's clock can be believed: not earlier than a time that was proven."""
        return not (await self.trust.load()).clock_behind

    async def load(self) -> Catalogue:
        """What was on offer when the node last heard, without asking anybody."""
        trusted = await self.trust.load()
        return Catalogue(trusted.offers, trusted.stale_since)


@asynccontextmanager
async def open_node(home: Path) -> AsyncIterator[Node]:
    """Open a node's home. Raises StoreError when there is none, or when it cannot be read."""
    settings = load_settings(home)
    store = Store(settings.store_dir)
    store.prepare()
    async with open_ledger(settings.ledger_path) as ledger:
        yield Node(settings, store, ledger, Trust(settings.trust_dir, ledger, strict=settings.strict))


@contextmanager
def one_contact_at_a_time(home: Path) -> Iterator[None]:
    """Hold the lock that lets only one contact change a home. Raises RequestError when it is held."""
    with disk.reporting(home):
        lock = (home / "contact.lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RequestError(
                f"{home}: another contact is under way", advice="wait until it is over; `alforja-node status` shows it"
            ) from None
        yield


@asynccontextmanager
async def contact_with(
    node: Node, address: str, budget: int | None = None, watcher: Watcher | None = None, *, dry_run: bool = False
) -> AsyncIterator[Contact]:
    """Make a contact of a node with the source at an address; in the end note what it moved and what comes next.

    A dry run counts too for what it moved.
    """
    retries = node.settings.retries if address.startswith("http") else 0
    outlook = await look_out_for(node, address)
    contact = Contact(
        node.store, node.ledger, open_source(address), node.refresh,
        budget=budget, retries=retries, reserve_bytes=node.settings.reserve_bytes, watcher=watcher,
        wishes=await load_wishes(node), outlook=outlook,
    )  # fmt: skip
    began, began_s = _now(), monotonic()
    try:
        yield contact
    finally:
        await contact.close()
        await _note_traffic(node, contact, monotonic() - began_s, outlook)
        if not dry_run:
            noted = {"began": began.isoformat(), "ended": _now().isoformat()}
            await node.ledger.note_contact(address, contact.outcome.as_dict() | noted)
            await _note_prospect(node, contact)


async def _note_traffic(node: Node, contact: Contact, seconds: float, outlook: Outlook) -> None:
    sure = outlook.now is not None
    # A clock that is wrong tells nothing of days: such a contact counts against a cap, and is not learnt from.
    is_cut = sure and any(isinstance(failure, LinkError) for failure in contact.failures)
    day = day_of(await node.ledger.days_of(outlook.source), _now(), sure=sure)
    moved = contact.outcome.received + contact.outcome.sent
    # Trying in vain says that the link was down, not how long or how quick it is.
    await node.ledger.note_traffic(
        outlook.source, Day(day, moved, seconds if moved else 0.0, int(moved > 0), int(is_cut))
    )


async def _note_prospect(node: Node, contact: Contact) -> None:
    with suppress(AlforjaError):
        prospect = await contact.foresee()
        if prospect is not None:
            await node.ledger.set_meta({_PROSPECT_KEY: prospect.as_dict()})


async def load_wishes(node: Node) -> Wishes:
    """Everything the school wants, beside its subscriptions."""
    settings = node.settings
    return Wishes(await node.ledger.wishes(), settings.languages, settings.variant, settings.breadth_weeks)


async def look_out_for(node: Node, address: str) -> Outlook:
    """What a contact with a source may expect, by what is known of it."""
    opened = any(one.state == "active" for one in await node.ledger.releases())
    return look_out(
        address, node.settings.terms_of(address), await node.ledger.days_of(address), _now(),
        sure=await node.knows_time(), opened=opened,
    )  # fmt: skip


async def may_not_use(node: Node, address: str) -> str:
    """Tell why a source may not be used now, by its terms; empty when it may."""
    terms = node.settings.terms_of(address)
    outlook = await look_out_for(node, address)
    if outlook.now is not None and not is_open(terms, outlook.now.time()):
        return f"{address}: is used from {' and '.join(terms.hours)} only"
    if outlook.forecast.cap_left == 0:
        return f"{address}: its {terms.cap_bytes} bytes are used up until day {terms.renewal_day} of the month"
    return ""


async def load_prospect(node: Node) -> Prospect | None:
    """What came next when the last contact ended."""
    noted = await node.ledger.get_meta(_PROSPECT_KEY)
    return parse_prospect(noted) if noted else None


def _now() -> datetime:
    """The school's local time."""
    return datetime.now().astimezone()


async def tidy(node: Node) -> None:
    """Drop superseded files once everything wanted is whole. What goes wrong here waits for `prune`."""
    with suppress(AlforjaError):
        await prune(node.store, node.ledger)


class ShelfKeeper:
    """Gives the library what it may show, and reads it anew only when the ledger has changed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._version: int | None = None
        self._shelf: Shelf | None = None

    async def load(self) -> "Shelf":
        """The courses as they may be seen now: the active release, or the first one while it arrives."""
        from alforja_node.library.view import Shelf, Shown  # noqa: PLC0415 (aiohttp and jinja only where served)

        version = await self._node.ledger.data_version()
        if self._shelf is None or version != self._version:
            stale_since = (await self._node.load()).stale_since
            kept = await load_releases(self._node.store, self._node.ledger)
            shown = {one.release.key: one for one in kept if one.release.state == "incoming"}
            shown |= {one.release.key: one for one in kept if one.release.state == "active"}
            wanted = await self._node.ledger.subscriptions()
            self._shelf = Shelf(
                {
                    key: Shown(one.manifest, one.missing, stale_since)
                    for key, one in sorted(shown.items())
                    if key in wanted
                },
                await load_prospect(self._node),
            )
            self._version = version
        return self._shelf


async def serve(home: Path, host: str, port: int, content_port: int, ready: Callable[[str], None]) -> None:
    """Serve the library until SIGTERM or SIGINT. Raises OSError when a port is taken."""
    stop = _stopped_by_signals()
    async with open_node(home) as node, _library(node, host, port, content_port) as address:
        ready(address)
        await stop.wait()


async def run(home: Path, host: str, port: int, content_port: int, ready: Callable[[str], None]) -> None:
    """Serve the library, and have a contact whenever one is due, until SIGTERM or SIGINT."""
    stop = _stopped_by_signals()
    async with open_node(home) as node, _library(node, host, port, content_port) as address:
        ready(address)
        contacts = asyncio.create_task(_keep_contact(home))
        await stop.wait()
        contacts.cancel()
        with suppress(asyncio.CancelledError):
            await contacts


async def _keep_contact(home: Path) -> None:
    """Have contacts for ever, with jitter so that schools do not come together."""
    async with open_node(home) as node:  # a ledger connection of its own: the library's then sees its changes
        while True:
            try:
                with one_contact_at_a_time(home):
                    await _any_contact(node)
            except AlforjaError as error:
                _log.warning("contact: %s", error)
            except Exception:  # noqa: BLE001 (one broken contact must not end the ones to come)
                _log.exception("contact")
            await asyncio.sleep(node.settings.contact_interval_s * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)


async def _any_contact(node: Node) -> None:
    """Have one contact with the first source that can be reached."""
    for address in node.settings.by_cost():
        if reason := await may_not_use(node, address):
            _log.info("%s", reason)
            continue
        async with contact_with(node, address) as contact:
            outcome = await contact.run()
        for failure in contact.failures:
            _log.warning("%s", failure)
        _log.info("contact with %s: received %d bytes, activated %s", address, outcome.received, outcome.activated)
        if outcome.activated and not outcome.pending:
            await tidy(node)
        if not contact.failures:
            return


@asynccontextmanager
async def _library(node: Node, host: str, port: int, content_port: int) -> AsyncIterator[str]:
    """Serve both origins while entered; give the library's address."""
    from aiohttp import web  # noqa: PLC0415 (0.2 s; only serving needs it)

    from alforja_node.library.content import make_content  # noqa: PLC0415
    from alforja_node.library.server import make_library  # noqa: PLC0415

    keeper, path_of = ShelfKeeper(node), node.store.path_of
    async with AsyncExitStack() as open_sites:
        # Both ports are taken before either is served: each origin must know the other's.
        sockets = [open_sites.enter_context(_bind(host, one)) for one in (port, content_port)]
        library_port, own_content_port = (one.getsockname()[1] for one in sockets)
        apps = [
            make_library(keeper.load, path_of, own_content_port),
            make_content(keeper.load, path_of, library_port),
        ]
        for app, taken in zip(apps, sockets, strict=True):
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            open_sites.push_async_callback(runner.cleanup)
            await web.SockSite(runner, taken).start()
        yield f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{library_port}/"  # noqa: S104


def _bind(host: str, port: int) -> socket.socket:
    """Take a port. Raises OSError when somebody else has it."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def _stopped_by_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop

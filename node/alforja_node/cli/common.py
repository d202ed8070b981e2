"""What the node's commands share: opening the rooms of a home, and naming courses."""

import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alforja_node import disk
from alforja_node.ledger import Ledger, open_ledger
from alforja_node.offers import newest
from alforja_node.settings import NodeSettings, load_settings
from alforja_node.sources import Source
from alforja_node.store import Store
from alforja_node.transfer import Catalogue
from alforja_node.trust import Trust
from alforja_packaging.errors import RequestError
from alforja_packaging.layout import check_id


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


async def find_course(node: Node, text: str) -> tuple[str, str, bool]:
    """Read a course as a person writes it: (publisher, course, whether it is on offer).

    Raises RequestError when the publisher cannot be told.
    """
    offers = newest((await node.load()).offers)
    publisher, _, course = text.rpartition("/")
    check_id("course", course)
    if publisher:
        check_id("publisher", publisher)
        return publisher, course, (publisher, course) in offers
    publishers = sorted(one for one, name in offers if name == course)
    if len(publishers) == 1:
        return publishers[0], course, True
    if publishers:
        raise RequestError(f"course {course}: several publishers use this name", advice=_choices(publishers, course))
    raise RequestError(
        f"course {course}: is not on offer, as far as this node has heard",
        advice="see `alforja-node courses`, or write PUBLISHER/COURSE to want it all the same",
    )


async def find_subscribed(node: Node, text: str) -> tuple[str, str]:
    """Read the name of a subscribed course as a person writes it. Raises RequestError."""
    publisher, _, course = text.rpartition("/")
    found = sorted(key for key in await node.ledger.subscriptions() if key[1] == course and publisher in ("", key[0]))
    if len(found) == 1:
        return found[0]
    if found:
        raise RequestError(
            f"course {course}: several publishers use this name", advice=_choices([one for one, _ in found], course)
        )
    raise RequestError(f"course {text}: is not subscribed", advice="see `alforja-node status`")


def _choices(publishers: list[str], course: str) -> str:
    return "write " + " or ".join(f"`{publisher}/{course}`" for publisher in publishers)

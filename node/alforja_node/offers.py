"""What is on offer, and by which way a node comes to it. Pure values.

An offer is a release somebody signed; a route is the chain of packs from what a
school holds to that release. What packs cost is stated in the signed metadata, so
a route is chosen before anything is fetched.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from alforja_packaging.errors import FormatError
from alforja_packaging.frames import Needs
from alforja_packaging.layout import INSTALL_NAME, Start, bundle_name, bundle_path, parse_start, update_name

REQUEST_COST_BYTES: Final = 400  # headers both ways; docs/protocol.md section 4

CourseKey = tuple[str, str]
"""Publisher and course."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One signed release. `custom` is what its publisher states beside its digest."""

    publisher: str
    course: str
    release: int
    manifest_digest: bytes
    manifest_length: int
    custom: Mapping[str, Any] = field(hash=False)

    @property
    def key(self) -> CourseKey:
        """The course this is a release of."""
        return self.publisher, self.course

    @property
    def bundle(self) -> str:
        """The path of the release's folder in a repository."""
        return bundle_path(self.publisher, self.course, self.release)


@dataclass(frozen=True, slots=True)
class Hop:
    """One pack that leads to a release: from an earlier one, from one of another course, or from nothing.

    `head` is the length of its index, `total` the bytes of index and frames.
    `needs` are what a node must be able to do to take it at all, `opening` the bytes to
    ask for first where its publisher states them.
    """

    offer: Offer
    start: Start | None
    head: int
    total: int
    needs: Needs = 0
    opening: int | None = None

    @property
    def pack(self) -> str:
        """The pack's path in a repository."""
        name = INSTALL_NAME if self.start is None else update_name(self.start)
        return f"{self.offer.bundle}/{name}"

    def pack_path(self, packs: Sequence[str], number: int) -> str:
        """The path in a repository of pack `number` of this hop's index."""
        return self.pack if number == 0 else f"bundles/{self.offer.publisher}/{packs[number - 1]}"


def newest(
    offers: Iterable[Offer], refused: frozenset[tuple[str, str, int]] = frozenset()
) -> Mapping[CourseKey, Offer]:
    """Choose the newest offer of each course, leaving out releases a person has refused."""
    chosen: dict[CourseKey, Offer] = {}
    for offer in offers:
        held = chosen.get(offer.key)
        if (*offer.key, offer.release) not in refused and (held is None or held.release < offer.release):
            chosen[offer.key] = offer
    return chosen


def hops_to(offer: Offer) -> Sequence[Hop]:
    """List the packs that lead to one release, as its publisher states them.

    Statements that do not have the expected shape are passed over: they are
    signed, but may come from a newer program.
    """
    stated: list[tuple[Start | None, object]] = [(None, offer.custom.get("install"))]
    updates = offer.custom.get("from")
    if isinstance(updates, Mapping):
        for name, cost in updates.items():
            with suppress(FormatError):
                stated.append((parse_start(str(name)), cost))
    hops = []
    for start, cost in stated:
        match cost:
            case [int(head), int(total)] if 0 < head <= total:
                hops.append(Hop(offer, start, head, total))
            case [int(head), int(total), int(needs)] if 0 < head <= total and needs >= 0:
                hops.append(Hop(offer, start, head, total, needs))
            case [int(head), int(total), int(needs), int(opening)] if 0 < head <= total and needs >= 0 <= opening:
                hops.append(Hop(offer, start, head, total, needs, opening))
    return hops


def hops_towards(wanted: Offer, offers: Iterable[Offer]) -> Sequence[Hop]:
    """List the packs on offer that may be of use on the way to a release."""
    towards = (offer for offer in offers if offer.key == wanted.key and offer.release <= wanted.release)
    return [hop for offer in towards for hop in hops_to(offer)]


def needs_of(hops: Iterable[Hop]) -> Needs:
    """All that any of some packs needs."""
    needs = 0
    for hop in hops:
        needs |= hop.needs
    return needs


def cheapest_route(wanted: Offer, hops: Iterable[Hop], held: frozenset[Start]) -> Sequence[Hop]:
    """Find the hops from any held release, or from nothing, that cost the fewest bytes.

    Dijkstra over releases. Empty when no route is on offer.
    """
    leaving: dict[Start | None, list[Hop]] = {}
    for hop in hops:
        leaving.setdefault(hop.start, []).append(hop)
    routes: list[tuple[Hop, ...]] = [()] * (1 + len(held))
    queue: list[tuple[int, int, Start | None]] = [(0, 0, None)]  # the places differ, so starts are never compared
    queue += [(0, place, start) for place, start in enumerate(sorted(held), start=1)]
    done: set[Start | None] = set()
    while queue:
        cost, place, start = heapq.heappop(queue)
        if start == Start(wanted.release):
            return routes[place]
        if start in done:
            continue
        done.add(start)
        for hop in leaving.get(start, ()):
            reached = Start(hop.offer.release)
            if reached not in done:
                heapq.heappush(queue, (cost + hop.total + REQUEST_COST_BYTES, len(routes), reached))
                routes.append((*routes[place], hop))
    return ()


def describe(offer: Offer) -> str:
    """Name an offer as messages do."""
    return f"{offer.publisher}/{bundle_name(offer.course, offer.release)}"

"""What a contact brought, and who may watch it."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol

from alforja_node import session
from alforja_node.offers import Offer
from alforja_node.planner import Plan
from alforja_node.sources import Source


@dataclass(slots=True)
class Bytes:
    """Bytes of one kind, both ways."""

    received: int = 0
    sent: int = 0


@dataclass(slots=True)
class Outcome:
    """What a contact brought: what `sync --json` reports."""

    source: str
    trust: Bytes = field(default_factory=Bytes)
    manifest: Bytes = field(default_factory=Bytes)
    frames: Bytes = field(default_factory=Bytes)
    requests: int = 0
    wasted: int = 0
    stale_since: str | None = None
    lessons_usable: list[str] = field(default_factory=list)
    activated: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # what was broken, and was fetched another way
    errors: list[str] = field(default_factory=list)

    @property
    def received(self) -> int:
        """All bytes received."""
        return self.trust.received + self.manifest.received + self.frames.received

    @property
    def sent(self) -> int:
        """All bytes sent."""
        return self.trust.sent + self.manifest.sent + self.frames.sent

    def as_dict(self) -> dict[str, Any]:
        """Everything, as a program reads it."""
        return asdict(self) | {"received": self.received, "sent": self.sent}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is on offer, as trust has verified it."""

    offers: tuple[Offer, ...]
    stale_since: datetime | None = None


Refresh = Callable[[Source], Awaitable[Catalogue]]


class Watcher(Protocol):
    """Whoever wants to see a contact go on: a progress bar, a log, a page."""

    def state(self, state: session.State, what: str) -> None:
        """The contact has come to a state."""
        ...

    def plan(self, plan: Plan, left: int) -> None:
        """A plan was made; `left` bytes are to come."""
        ...

    def moved(self, received: int) -> None:
        """So many bytes more have been received."""
        ...


class Counted:
    """Adds what a source moves while it is entered to one kind of the outcome."""

    def __init__(self, source: Source, outcome: Outcome, kind: Bytes) -> None:
        self._traffic, self._outcome, self._kind = source.traffic, outcome, kind

    def __enter__(self) -> None:
        self._before = (self._traffic.received, self._traffic.sent, self._traffic.requests)

    def __exit__(self, *exc: object) -> None:
        received, sent, requests = self._before
        self._kind.received += self._traffic.received - received
        self._kind.sent += self._traffic.sent - sent
        self._outcome.requests += self._traffic.requests - requests

"""The states of one contact, as a table. Pure; the diagram in docs/protocol.md is drawn from it."""

from dataclasses import dataclass
from enum import StrEnum

from alforja_packaging.errors import AlforjaError


class State(StrEnum):
    """Where a contact stands."""

    IDLE = "idle"
    TRUSTING = "trusting"
    PLANNING = "planning"
    OPENING = "opening"
    FETCHING = "fetching"
    ACTIVATING = "activating"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A source can be reached, or a person asked for a contact."""


@dataclass(frozen=True, slots=True)
class CatalogueVerified:
    """What is on offer is known and signed."""


@dataclass(frozen=True, slots=True)
class IndexWanted:
    """The plan goes on with an index."""


@dataclass(frozen=True, slots=True)
class FramesWanted:
    """The plan goes on with frames."""


@dataclass(frozen=True, slots=True)
class ReleaseWhole:
    """Everything of a release is here."""


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The source stopped answering."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The pause after a lost link is over."""


@dataclass(frozen=True, slots=True)
class ContactOver:
    """Nothing more is planned, or the contact is given up."""


Event = LinkUp | CatalogueVerified | IndexWanted | FramesWanted | ReleaseWhole | LinkLost | Retry | ContactOver

_WORKING: dict[type[Event], State] = {
    IndexWanted: State.OPENING,
    FramesWanted: State.FETCHING,
    ReleaseWhole: State.ACTIVATING,
    LinkLost: State.WAITING,
    ContactOver: State.IDLE,
}

NEXT: dict[State, dict[type[Event], State]] = {
    State.IDLE: {LinkUp: State.TRUSTING},
    State.TRUSTING: {CatalogueVerified: State.PLANNING, LinkLost: State.WAITING, ContactOver: State.IDLE},
    State.PLANNING: _WORKING,
    State.OPENING: _WORKING,
    State.FETCHING: _WORKING,
    State.ACTIVATING: _WORKING,
    State.WAITING: {Retry: State.TRUSTING, ContactOver: State.IDLE},
}


class OutOfTurn(AlforjaError):
    """An event came in a state that has no row for it: a fault of this program."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"contact: {type(event).__name__} cannot happen while {state}")
        self.state, self.event = state, event


def advance(state: State, event: Event) -> State:
    """Give the state that follows. Raises OutOfTurn when the table has no such row."""
    try:
        return NEXT[state][type(event)]
    except KeyError:
        raise OutOfTurn(state, event) from None


def pause_s(attempt: int, chance: float) -> float:
    """Seconds to wait before retry number `attempt` (from 1), for a `chance` from 0 to 1.

    Exponential with full jitter, so that schools that lost the same hub at once do
    not come back at once (Brooker, "Exponential backoff and jitter", 2015).
    """
    return min(60.0, 0.5 * float(2 ** min(attempt, 10))) * chance

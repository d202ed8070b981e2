"""The states of a contact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_node import session
from alforja_node.session import NEXT, OutOfTurn, State, advance, pause_s


def test_an_event_without_a_row_is_an_error() -> None:
    with pytest.raises(OutOfTurn, match="CatalogueVerified cannot happen while idle"):
        advance(State.IDLE, session.CatalogueVerified())


def test_every_state_can_be_reached_and_every_state_leads_back_to_idle() -> None:
    reached, frontier = {State.IDLE}, [State.IDLE]
    while frontier:
        for state in NEXT[frontier.pop()].values():
            if state not in reached:
                reached.add(state)
                frontier.append(state)

    assert reached == set(State)
    assert all(session.ContactOver in NEXT[state] for state in State if state is not State.IDLE)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_grow_but_stay_within_a_minute(attempt: int, chance: float) -> None:
    assert 0 <= pause_s(attempt, chance) <= 60
    assert pause_s(attempt, 1) <= pause_s(attempt + 1, 1)

"""Which release is wanted, and the cheapest way to it."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from alforja_node.offers import REQUEST_COST_BYTES, Hop, Offer, cheapest_route, hops_to, hops_towards, needs_of, newest
from alforja_packaging.layout import Start


def an_offer(release: int, install: int | None = None, updates: Mapping[int | str, int] | None = None) -> Offer:
    custom: dict[str, object] = {}
    if install is not None:
        custom["install"] = [10, install]
    if updates:
        custom["from"] = {str(old): [10, total] for old, total in updates.items()}
    return Offer("moe", "maths", release, bytes(32), 1, custom)


def test_the_newest_release_is_wanted_unless_a_person_has_left_it() -> None:
    offers = [an_offer(2), an_offer(3), an_offer(1)]

    assert newest(offers)["moe", "maths"].release == 3
    assert newest(offers, frozenset([("moe", "maths", 3)]))["moe", "maths"].release == 2


def test_statements_of_another_shape_are_passed_over() -> None:
    offer = Offer(
        "moe",
        "maths",
        2,
        bytes(32),
        1,
        {"install": "soon", "from": {"1": [50, 10], "x": [1, 2], "9" * 5_000: [1, 5], "3": [1, 5]}},
    )

    assert [hop.start for hop in hops_to(offer)] == [Start(3)]


def starts_of_route(offers: list[Offer], *held: Start) -> list[Start | None]:
    return [hop.start for hop in cheapest_route(offers[-1], hops_towards(offers[-1], offers), frozenset(held))]


def test_a_chain_is_taken_when_it_is_cheaper_than_a_first_install() -> None:
    offers = [an_offer(2, None, {1: 3_000}), an_offer(3, 90_000, {2: 2_000})]

    assert starts_of_route(offers, Start(1)) == [Start(1), Start(2)]


def test_a_first_install_is_taken_when_the_chain_is_dearer() -> None:
    offers = [an_offer(2, None, {1: 60_000}), an_offer(3, 90_000, {2: 60_000})]

    assert starts_of_route(offers, Start(1)) == [None]


def test_a_release_of_another_course_is_a_start_like_any_other() -> None:
    offers = [an_offer(2, 90_000, {"algebra.1": 3_000})]

    assert starts_of_route(offers, Start(1, "algebra")) == [Start(1, "algebra")]
    assert starts_of_route(offers, Start(1), Start(1, "biology")) == [None]
    assert hops_to(offers[0])[1].pack == "bundles/moe/maths.2/from-algebra.1"


def test_there_is_no_route_when_nothing_leads_there() -> None:
    offer = an_offer(3, None, {2: 5})

    assert cheapest_route(offer, hops_to(offer), frozenset([Start(1)])) == ()


def test_what_a_route_needs_may_be_stated_behind_its_cost() -> None:
    offer = Offer("moe", "maths", 2, bytes(32), 1, {"install": [10, 90], "from": {"1": [10, 20, 3], "3": [10, 20, -1]}})

    assert [(hop.start, hop.needs) for hop in hops_to(offer)] == [(None, 0), (Start(1), 3)]
    assert needs_of(hops_to(offer)) == 3


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Offer], frozenset[Start]]:
    count = draw(st.integers(1, 5))
    offers = []
    for release in range(1, count + 1):
        updates: dict[int | str, int] = {
            old: draw(st.integers(10, 5_000)) for old in range(1, release) if draw(st.booleans())
        }
        offers.append(an_offer(release, draw(st.none() | st.integers(10, 9_000)), updates))
    held = draw(st.sets(st.integers(1, max(1, count - 1)), max_size=3)) - {count}
    return offers, frozenset(map(Start, held))


@given(graphs())
def test_no_route_is_cheaper_than_the_one_chosen(world: tuple[list[Offer], frozenset[Start]]) -> None:
    offers, held = world
    hops = [hop for offer in offers for hop in hops_to(offer)]
    chosen = cheapest_route(offers[-1], hops_towards(offers[-1], offers), held)
    routes = [
        route
        for size in range(1, len(hops) + 1)
        if size <= 4
        for route in combinations(sorted(hops, key=lambda hop: hop.offer.release), size)
        if leads(route, held, offers[-1].release)
    ]

    assert bool(chosen) == bool(routes) or len(chosen) > 4
    if routes and chosen:
        assert leads(chosen, held, offers[-1].release)
        assert price(chosen) <= min(map(price, routes))


def leads(hops: Sequence[Hop], held: frozenset[Start], goal: int) -> bool:
    at: Start | None = None
    if hops[0].start is not None and hops[0].start not in held:
        return False
    for number, hop in enumerate(hops):
        if number and hop.start != at:
            return False
        at = Start(hop.offer.release)
    return at == Start(goal)


def price(route: Sequence[Hop]) -> int:
    return sum(hop.total + REQUEST_COST_BYTES for hop in route)

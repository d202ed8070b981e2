"""The planner over a term of a small school, in virtual time, beside simpler policies."""

from functools import cache

import pytest

from alforja_node.planning.ways import Kind
from tests.simulators.policies import make_policies
from tests.simulators.traces import LINKS, LinkModel, School, Size, make_school
from tests.simulators.virtual import Policy, Tally, live

SMALL = Size(courses=15, taught=4, lessons=20, days=42)
SEED = 11
POLICIES: dict[str, Policy] = {policy.name: policy for policy in make_policies()}
ON_LINKS = [link for link in LINKS if link.name in ("2G", "EDGE", "VSAT")]


@cache
def a_school(seed: int = SEED) -> School:
    return make_school(seed, SMALL)


@cache
def lived(link: str, policy: str = "alforja", seed: int = SEED) -> Tally:
    return live(a_school(seed), next(one for one in LINKS if one.name == link), POLICIES[policy], seed)


def ceiling(school: School) -> float:
    """What any policy can reach: lessons of the first morning were due before there was any contact."""
    return sum(one.day > 0 for one in school.teachings) / len(school.teachings)


@pytest.mark.parametrize("link", ON_LINKS, ids=lambda link: link.name)
def test_nearly_every_lesson_that_can_be_there_in_time_is(link: LinkModel) -> None:
    assert lived(link.name).hit_rate(a_school()) >= ceiling(a_school()) - 0.02


@pytest.mark.parametrize("policy", [name for name in POLICIES if not name.startswith("alforja")])
def test_no_simple_policy_has_more_lessons_there_in_time(policy: str) -> None:
    assert lived("2G", policy).hit_rate(a_school()) <= lived("2G").hit_rate(a_school())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_first_lesson_of_a_large_school_comes_within_the_first_three_minutes(seed: int) -> None:
    tally = live(make_school(seed), ON_LINKS[0], POLICIES["alforja"], seed, days=1)

    assert tally.first_lesson_s is not None
    assert tally.first_lesson_s <= tally.first_window_ended_s


def test_nothing_is_wasted_where_bytes_are_kept_and_much_where_they_are_not() -> None:
    assert lived("2G").wasted == 0
    assert lived("2G", "the same, what was cut off begins anew").wasted > lived("2G").moved / 2


def test_a_cap_is_never_passed() -> None:
    link = next(link for link in LINKS if link.name == "EDGE")
    cap = link.terms.cap_bytes
    assert cap is not None

    assert lived("EDGE").moved <= 3 * cap  # begun, renewed once, and once more


def test_the_same_seed_gives_the_same_half_year() -> None:
    link = next(link for link in LINKS if link.name == "2G")
    first, again = (live(make_school(3, SMALL), link, POLICIES["alforja"], 3, days=3) for _ in range(2))

    assert first == again
    assert [*link.trace(3, 2)] == [*link.trace(3, 2)]
    assert [*link.trace(3, 2)] != [*link.trace(4, 2)]


def test_a_made_up_school_is_as_large_as_it_says() -> None:
    school = make_school(1)
    sizes = dict.fromkeys(Kind, 0)
    for way in school.ways:
        for part in way.parts:
            sizes[part.kind] += way.bytes_of(part.frames)

    assert len(school.ways) * school.size.lessons == 2_400
    assert 0.40e9 < sizes[Kind.CORE] < 0.52e9
    assert 35e9 < sizes[Kind.RICH] < 45e9

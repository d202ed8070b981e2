"""What a contact carries, as properties over any state of things."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from alforja_node.offers import Hop, Offer
from alforja_node.planner import (
    OPENING_BYTES,
    Activate,
    Fetch,
    Have,
    Open,
    Plan,
    Way,
    cost_of,
    plan_contact,
    runs_of,
)
from alforja_packaging.course import Course
from alforja_packaging.files import make_files
from alforja_packaging.frames import Frame, Piece
from alforja_packaging.index import Index, Opened
from alforja_packaging.layout import Start
from alforja_packaging.manifest import Skeleton

NO_FILES = Skeleton("moe", 2, Course("maths", {}), make_files([]).table)


def an_offer(course: str, release: int = 2) -> Offer:
    return Offer("moe", course, release, bytes(32), 100, {})


@st.composite
def ways(draw: st.DrawFn, course: str = "maths") -> Way:
    lengths = draw(st.lists(st.integers(1, 5_000), min_size=1, max_size=8))
    head = draw(st.integers(1, 400))
    hop = Hop(an_offer(course), draw(st.sampled_from([None, Start(1)])), head, head + sum(lengths))
    if draw(st.booleans()):
        return Way(hop, Have(head=draw(st.integers(0, head - 1))))
    frames, at = [], head
    for number, length in enumerate(lengths):
        frames.append(Frame("plain", 0, at, length, (Piece(number, 0, 10),)))
        at += length
    opened = Opened(Index(1 if hop.start else None, tuple(frames)), NO_FILES, b"", frozenset(), head, 0)
    done = frozenset(draw(st.sets(st.integers(0, len(frames) - 1))))
    arrived = {
        number: draw(st.integers(0, frame.length - 1)) for number, frame in enumerate(frames) if number not in done
    }
    order = draw(st.permutations(range(len(frames))))
    core = draw(st.integers(0, len(frames)))
    return Way(hop, Have(head, done, arrived), opened, tuple(order[:core]), tuple(sorted(order[core:])))


worlds = st.lists(st.sampled_from(["art", "biology", "maths"]), unique=True).flatmap(
    lambda courses: st.tuples(*[ways(course) for course in courses])
)
budgets = st.none() | st.integers(0, 20_000)


def carried_out(way: Way, plan: Plan) -> Way:
    """The way as it stands when a plan's fetches have been carried out."""
    assert way.opened is not None
    arrived, done = dict(way.have.arrived), set(way.have.done)
    for step in plan:
        if isinstance(step, Fetch) and step.hop == way.hop:
            frame = way.opened.index.frames[step.frame]
            assert step.first == frame.offset + arrived[step.frame]
            arrived[step.frame] += step.last - step.first + 1
            if arrived[step.frame] == frame.length:
                del arrived[step.frame]
                done.add(step.frame)
    return replace(way, have=Have(way.have.head, frozenset(done), arrived))


@given(worlds, budgets)
def test_a_plan_never_costs_more_than_its_budget(world: tuple[Way, ...], budget: int | None) -> None:
    plan = plan_contact(world, budget)

    assert budget is None or cost_of(plan) <= budget


@given(worlds, budgets)
def test_no_byte_is_planned_twice_and_none_that_is_here(world: tuple[Way, ...], budget: int | None) -> None:
    planned = [
        (step.pack, byte)
        for step in plan_contact(world, budget)
        if isinstance(step, Fetch)
        for byte in range(step.first, step.last + 1)
    ]

    here = {
        (way.hop.pack, frame.offset + byte)
        for way in world
        if way.opened
        for number, frame in enumerate(way.opened.index.frames)
        for byte in range(frame.length if number in way.have.done else way.have.arrived[number])
    }
    assert len(planned) == len(set(planned))
    assert not here & set(planned)


@given(worlds)
def test_without_a_budget_everything_missing_is_planned(world: tuple[Way, ...]) -> None:
    plan = plan_contact(world, None)

    for way in world:
        if way.opened is None:
            assert [step.hop for step in plan if isinstance(step, Open)].count(way.hop) == 1
        else:
            assert carried_out(way, plan).have.arrived == {}


@given(worlds, st.integers(0, 20_000))
def test_planning_again_after_any_prefix_goes_on_with_the_rest(world: tuple[Way, ...], budget: int) -> None:
    opened = [way for way in world if way.opened]
    first = plan_contact(opened, budget)
    rest = plan_contact([carried_out(way, first) for way in opened], None)
    whole = plan_contact(opened, None)

    def bytes_of(plan: Plan) -> set[tuple[str, int]]:
        return {
            (step.pack, byte) for step in plan if isinstance(step, Fetch) for byte in range(step.first, step.last + 1)
        }

    assert bytes_of(first) | bytes_of(rest) == bytes_of(whole)
    assert not bytes_of(first) & bytes_of(rest)


@given(worlds, budgets, st.randoms())
def test_the_order_in_which_courses_are_named_does_not_matter(
    world: tuple[Way, ...], budget: int | None, chance: object
) -> None:
    shuffled = list(world)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert plan_contact(shuffled, budget) == plan_contact(world, budget)


@given(worlds)
def test_frames_of_lessons_cores_come_before_all_others(world: tuple[Way, ...]) -> None:
    plan = plan_contact(world, None)
    cores = {way.hop: way.core for way in world}
    kinds = [step.frame in cores[step.hop] for step in plan if isinstance(step, Fetch)]

    assert kinds == sorted(kinds, reverse=True)


@given(worlds, budgets)
def test_whole_releases_are_made_visible_before_anything_is_fetched(world: tuple[Way, ...], budget: int | None) -> None:
    plan = plan_contact(world, budget)
    activations = [step for step in plan if isinstance(step, Activate)]

    assert list(plan[: len(activations)]) == activations


@given(worlds, budgets)
def test_a_run_is_one_contiguous_range_of_one_pack(world: tuple[Way, ...], budget: int | None) -> None:
    for run in runs_of(plan_contact(world, budget)):
        for one, other in pairwise(run):
            assert (one.pack, one.last + 1) == (other.pack, other.first)


def test_a_small_update_comes_whole_with_its_index() -> None:
    hop = Hop(an_offer("maths"), Start(1), 300, 9_000)

    assert plan_contact([Way(hop, Have())], None) == (Open(hop, 0, 8_999),)


def test_a_later_first_install_begins_with_its_index_alone_as_frames_may_lie_in_other_packs() -> None:
    hop = Hop(an_offer("maths", 2), None, 300, 9_000)

    assert plan_contact([Way(hop, Have())], None) == (Open(hop, 0, 299),)


def test_a_small_very_first_install_comes_whole_with_its_index() -> None:
    hop = Hop(an_offer("maths", 1), None, 300, 9_000)

    assert plan_contact([Way(hop, Have())], None) == (Open(hop, 0, 8_999),)


def test_frames_that_are_not_taken_are_neither_planned_nor_waited_for() -> None:
    hop = Hop(an_offer("maths"), Start(1), 100, 400)
    frames = tuple(Frame("plain", 0, 100 + 100 * number, 100, (Piece(number // 2, 0, 10),)) for number in range(3))
    opened = Opened(Index(1, frames), NO_FILES, b"", frozenset(), 100, 0)
    way = Way(hop, Have(100, frozenset(), {1: 0, 2: 0}), opened, (1,), (2,))

    assert plan_contact([way], None) == (Fetch(hop, 1, hop.pack, 200, 299), Fetch(hop, 2, hop.pack, 300, 399, True))
    assert plan_contact([replace(way, have=Have(100, frozenset([1, 2])))], None) == (Activate(hop),)


def test_a_pack_with_choices_is_opened_as_far_as_its_publisher_says() -> None:
    hop = Hop(an_offer("maths"), Start(1), 300, 900_000, 0, 700)

    assert plan_contact([Way(hop, Have())], None) == (Open(hop, 0, 699),)
    assert plan_contact([Way(replace(hop, opening=0), Have())], None) == (Open(replace(hop, opening=0), 0, 299),)
    assert plan_contact([Way(replace(hop, opening=10**9), Have())], None)[0].cost < 70_000


def test_a_large_first_install_begins_with_its_index_alone() -> None:
    hop = Hop(an_offer("maths"), None, 300, OPENING_BYTES * 3)

    assert plan_contact([Way(hop, Have())], None) == (Open(hop, 0, 299),)

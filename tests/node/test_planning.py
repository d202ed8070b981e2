"""The order in which a school gets what it wants, as properties over any courses and wishes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_node.offers import Hop, Offer
from alforja_node.planner import Fetch, Have, Open, Plan, Way, cost_of, is_whole, items_of, plan_contact
from alforja_node.planning.forecast import Forecast
from alforja_node.planning.order import Rank
from alforja_node.planning.outlook import Outlook
from alforja_node.planning.parts import make_parts
from alforja_node.planning.ways import Kind, Part, Urgency, urgency_of
from alforja_node.planning.wishes import Wish, Wishes, WishKind
from alforja_node.selection import Givers
from alforja_node.settings import Variant
from alforja_node.terms import Terms
from alforja_packaging.course import Course, Lesson, Section
from alforja_packaging.files import File, make_files
from alforja_packaging.frames import Frame, Piece
from alforja_packaging.index import Index, Opened
from alforja_packaging.manifest import Manifest, Skeleton

NOW = datetime(2026, 3, 2, 7)  # noqa: DTZ001 (a school's own time)
NO_FILES = Skeleton("moe", 1, Course("maths", {}), make_files([]).table)
HEAD = 100


def a_course(
    name: str, cores: Sequence[int], rich: Sequence[int] = (), *, opened: bool = True, served: bool = False
) -> Way:
    """A course of lessons with cores and films of so many bytes, each in a frame of its own."""
    parts = [Part(f"l{place}", place, Kind.CORE, (place,)) for place in range(len(cores))]
    parts += [Part(f"l{place}", place, Kind.RICH, (len(cores) + place,)) for place in range(len(rich))]
    return a_way(name, [*cores, *rich], sorted(parts, key=lambda part: part.place), opened=opened, served=served)


def a_way(
    name: str, lengths: Sequence[int], parts: Sequence[Part], *, opened: bool = True, served: bool = False
) -> Way:
    frames, at = [], HEAD
    for length in lengths:
        frames.append(Frame("plain", 0, at, length, (Piece(0, 0, length),)))
        at += length
    hop = Hop(Offer("moe", name, 1, bytes(32), 1, {}), None, HEAD, at)
    if not opened:
        return Way(hop, Have(), served=served)
    index = Opened(Index(None, tuple(frames)), NO_FILES, b"", frozenset(), HEAD, 0)
    core = tuple(sorted({number for part in parts if part.kind is Kind.CORE for number in part.frames}))
    rest = tuple(number for number in range(len(frames)) if number not in core)
    return Way(hop, Have(HEAD), index, core, rest, tuple(parts), served=served)


def dated(course: str, lessons: str, days: int | None, kind: WishKind = "timetable") -> Wish:
    return Wish(kind, ("moe", course), lessons, None if days is None else NOW.date() + timedelta(days=days))


def order(ways: Sequence[Way], *wishes: Wish, outlook: Outlook = Outlook(now=NOW), **more: object) -> list[str]:  # noqa: B008
    """What comes next, in short: course, lesson, and a star for what is rich."""
    items = items_of(ways, Wishes(wishes, **more), outlook)  # type: ignore[arg-type]
    return [
        f"{item.way.hop.offer.course}:{'index' if item.part is None else item.part.lesson}"
        + ("*" if item.part and item.part.kind is not Kind.CORE else "")
        for item in items
    ]


@st.composite
def courses(draw: st.DrawFn, name: str) -> Way:
    lengths = draw(st.lists(st.integers(1, 4_000), min_size=1, max_size=8))
    if draw(st.integers(0, 3)) == 0:
        return a_way(name, lengths, [], opened=False)
    numbers = st.integers(0, len(lengths) - 1)
    lessons = draw(st.integers(1, 4))
    parts = [
        Part(f"l{place}", place, kind, tuple(sorted(draw(st.sets(numbers, max_size=3)))))
        for place in range(lessons)
        for kind in (Kind.CORE, Kind.RICH, Kind.MORE)
    ]
    under = {
        number: tuple(sorted(draw(st.sets(st.integers(0, number - 1), max_size=2))))
        for number in range(1, len(lengths))
    }
    way = replace(a_way(name, lengths, parts), under=under)
    done = frozenset(draw(st.sets(numbers)))
    arrived = {number: draw(st.integers(0, length - 1)) for number, length in enumerate(lengths) if number not in done}
    return replace(
        way, have=Have(HEAD, done, arrived), served=draw(st.booleans()), urgency=Urgency(draw(st.booleans()))
    )


worlds = st.lists(st.sampled_from(["art", "biology", "maths"]), unique=True, min_size=1).flatmap(
    lambda names: st.tuples(*[courses(name) for name in names])
)
wishes = st.builds(
    Wishes,
    st.lists(
        st.builds(
            Wish,
            st.sampled_from(["timetable", "pin", "request"]),
            st.tuples(st.just("moe"), st.sampled_from(["art", "biology", "maths", "none"])),
            st.sampled_from(["", "1", "2-3", "l0", "l9,1"]),
            st.none() | st.dates(date(2026, 1, 1), date(2026, 9, 1)),
            st.integers(0, 2),
        ),
        max_size=6,
    ).map(tuple),
    variant=st.sampled_from(["standard", "full"]),
    breadth_weeks=st.sampled_from([0.0, 2.0, 100.0]),
)
outlooks = st.builds(
    Outlook,
    terms=st.just(Terms()),
    now=st.none() | st.just(NOW),
    forecast=st.builds(
        Forecast,
        st.none() | st.floats(0, 5_000),
        cap_left=st.none() | st.integers(0, 20_000),
        cap=st.just(20_000),
        renewal_days=st.integers(1, 31),
    ),
    room=st.none() | st.integers(0, 20_000),
    opened=st.booleans(),
)
free = outlooks.map(lambda outlook: replace(outlook, forecast=Forecast(outlook.forecast.bytes_per_day), room=None))
budgets = st.none() | st.integers(0, 20_000)


def bytes_of(plan: Plan) -> list[tuple[str, int]]:
    return [(step.pack, byte) for step in plan if isinstance(step, Fetch) for byte in range(step.first, step.last + 1)]


def carried_out(way: Way, plan: Plan) -> Way:
    arrived, done = dict(way.have.arrived), set(way.have.done)
    for step in plan:
        if isinstance(step, Fetch) and step.hop == way.hop:
            arrived[step.frame] = arrived.get(step.frame, 0) + step.last - step.first + 1
            if arrived[step.frame] == way.opened.index.frames[step.frame].length:  # type: ignore[union-attr]
                del arrived[step.frame]
                done.add(step.frame)
    return replace(way, have=Have(way.have.head, frozenset(done), arrived))


@given(worlds, budgets, wishes, outlooks)
def test_a_plan_keeps_to_its_budget_and_to_the_sources_cap(
    world: tuple[Way, ...], budget: int | None, wished: Wishes, outlook: Outlook
) -> None:
    plan = plan_contact(world, budget, wished, outlook)

    assert budget is None or cost_of(plan) <= budget
    assert outlook.forecast.cap_left is None or cost_of(plan) <= outlook.forecast.cap_left


@given(worlds, wishes, outlooks)
def test_the_last_bytes_of_a_cap_go_only_to_what_somebody_waits_for(
    world: tuple[Way, ...], wished: Wishes, outlook: Outlook
) -> None:
    items = items_of(world, wished, outlook)
    awaited = {(item.way.hop, number) for item in items if item.rank.is_awaited for number in item.frames}
    opened = {item.way.hop for item in items if item.rank.is_awaited and item.part is None}
    left = outlook.forecast.cap_left
    for step in plan_contact(world, None, wished, outlook):
        left = None if left is None else left - step.cost
        if isinstance(step, Fetch | Open):
            is_awaited = step.hop in opened if isinstance(step, Open) else (step.hop, step.frame) in awaited
            assert left is None or left >= 0
            assert left is None or is_awaited or left >= outlook.kept


@given(worlds, budgets, wishes, outlooks)
def test_no_byte_is_planned_twice_and_none_that_is_here(
    world: tuple[Way, ...], budget: int | None, wished: Wishes, outlook: Outlook
) -> None:
    planned = bytes_of(plan_contact(world, budget, wished, outlook))
    here = {
        (way.hop.pack, frame.offset + byte)
        for way in world
        if way.opened
        for number, frame in enumerate(way.opened.index.frames)
        for byte in range(frame.length if number in way.have.done else way.have.arrived.get(number, 0))
    }

    assert len(planned) == len(set(planned))
    assert not here & set(planned)


@given(worlds, st.integers(0, 20_000), wishes, free)
def test_planning_again_after_any_prefix_yields_the_rest(
    world: tuple[Way, ...], budget: int, wished: Wishes, outlook: Outlook
) -> None:
    opened = [way for way in world if way.opened]
    first = plan_contact(opened, budget, wished, outlook)
    rest = plan_contact([carried_out(way, first) for way in opened], None, wished, outlook)
    whole = plan_contact(opened, None, wished, outlook)

    assert sorted(bytes_of(first) + bytes_of(rest)) == sorted(bytes_of(whole))


@given(worlds, budgets, wishes, outlooks, st.randoms())
def test_the_order_of_offers_and_of_wishes_does_not_matter(
    world: tuple[Way, ...], budget: int | None, wished: Wishes, outlook: Outlook, chance: object
) -> None:
    ways, said = list(world), list(wished.wishes)
    chance.shuffle(ways)  # type: ignore[attr-defined]
    chance.shuffle(said)  # type: ignore[attr-defined]

    assert plan_contact(ways, budget, replace(wished, wishes=tuple(said)), outlook) == plan_contact(
        world, budget, wished, outlook
    )


@given(worlds, wishes, wishes, free, st.integers(500, 20_000))
def test_a_finished_lesson_stays_finished_whatever_is_wished_later(
    world: tuple[Way, ...], wished: Wishes, later: Wishes, outlook: Outlook, budget: int
) -> None:
    ways = [way for way in world if way.opened]
    ways = [carried_out(way, plan_contact(ways, budget, wished, outlook)) for way in ways]
    done = {(way.hop, number) for way in ways for number in way.have.done}
    plan = plan_contact(ways, None, later, outlook)

    assert not done & {(step.hop, step.frame) for step in plan if isinstance(step, Fetch)}


@given(worlds, st.lists(wishes, min_size=1, max_size=3), free, st.integers(401, 3_000))
def test_whatever_is_wanted_comes_in_the_end_however_short_the_contacts(
    world: tuple[Way, ...], moods: list[Wishes], outlook: Outlook, budget: int
) -> None:
    ways = [way for way in world if way.opened]
    total = sum(way.bytes_of(range(len(way.opened.index.frames))) for way in ways if way.opened)
    for contact in range(total // (budget - 400) + 50):
        plan = plan_contact(ways, budget, moods[contact % len(moods)], outlook)
        ways = [carried_out(way, plan) for way in ways]

    assert all(map(is_whole, ways))


@given(worlds, budgets, wishes, outlooks)
def test_bases_come_before_what_is_built_on_them(
    world: tuple[Way, ...], budget: int | None, wished: Wishes, outlook: Outlook
) -> None:
    seen = {(way.hop, number) for way in world for number in way.have.done}
    ways = {way.hop: way for way in world}
    for step in plan_contact(world, budget, wished, outlook):
        if isinstance(step, Fetch):
            assert all((step.hop, base) in seen for base in ways[step.hop].under.get(step.frame, ()))
            seen.add((step.hop, step.frame))


def test_ranks_follow_the_law() -> None:
    ways = [
        a_course("art", [10, 10], [900, 900]),
        a_course("biology", [10, 10], [900, 900]),
        a_course("maths", [10, 10, 10], [900, 900, 900]),
        replace(a_course("recalled", [5], served=True), urgency=Urgency(recall=True)),
    ]

    assert order(
        ways, dated("maths", "2", 9), dated("art", "2", 3, "pin"), Wish("request", ("moe", "biology"), "2")
    ) == [
        "recalled:l0", "art:l1", "maths:l1", "biology:l1", "maths:l0", "maths:l2", "art:l0", "biology:l0",
        "art:l1*", "maths:l1*", "biology:l1*", "maths:l0*", "maths:l2*", "art:l0*", "biology:l0*",
    ]  # fmt: skip


def test_an_index_comes_when_the_first_lesson_it_leads_to_is_due() -> None:
    ways = [a_course("art", [10], opened=False), a_course("biology", [10, 10]), a_course("maths", [10], opened=False)]

    assert order(ways, dated("biology", "1", 2), dated("maths", "", 5), dated("biology", "2", 9)) == [
        "biology:l0", "maths:index", "biology:l1", "art:index",
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 6)), min_size=1, max_size=6))
def test_as_few_lessons_are_late_as_can_be(jobs: list[tuple[int, int]]) -> None:
    ways = [a_course("maths", [100 * size for size, _ in jobs])]
    said = [dated("maths", str(number), days) for number, (_, days) in enumerate(jobs, start=1)]
    now = NOW.replace(hour=8)
    outlook = Outlook(now=now, forecast=Forecast(300.0))

    def late(places: Sequence[int]) -> int:
        total, count = 0, 0
        for place in places:
            total += 100 * jobs[place][0]
            count += total > 300 * jobs[place][1]
        return count

    planned = [int(name.removeprefix("maths:l")) for name in order(ways, *said, outlook=outlook)]
    assert late(planned) == min(late(one) for one in permutations(range(len(jobs))))


def test_without_a_clock_days_keep_their_order_and_nothing_is_late() -> None:
    ways = [a_course("maths", [5000, 10, 10])]
    said = [dated("maths", "1", -90), dated("maths", "2", 3), dated("maths", "3", 1)]
    unknown = Outlook(now=None, forecast=Forecast(10.0))

    assert order(ways, *said, outlook=unknown) == ["maths:l0", "maths:l2", "maths:l1"]
    assert order(ways, *said) == ["maths:l2", "maths:l1", "maths:l0"]


def test_a_lesson_of_last_week_is_still_wanted_now() -> None:
    ways = [a_course("maths", [10, 10])]
    slow = Outlook(now=NOW, forecast=Forecast(15.0))

    assert order(ways, dated("maths", "1", 0), dated("maths", "2", -6), outlook=slow)[0] == "maths:l1"


def test_cores_nobody_teaches_come_before_films_while_they_are_cheap() -> None:
    ways = [a_course("art", [700, 700]), a_course("maths", [10], [100])]
    slow, quick = (Outlook(now=NOW, forecast=Forecast(rate)) for rate in (50.0, 150.0))
    said = dated("maths", "1", 60)

    assert order(ways, said, outlook=slow, breadth_weeks=2.0) == ["maths:l0", "maths:l0*", "art:l0", "art:l1"]
    assert order(ways, said, outlook=quick, breadth_weeks=2.0) == ["maths:l0", "art:l0", "art:l1", "maths:l0*"]
    assert order(ways, said, outlook=slow, breadth_weeks=8.0) == ["maths:l0", "art:l0", "art:l1", "maths:l0*"]


def test_a_film_that_would_be_late_gives_way_to_more_for_its_bytes() -> None:
    ways = [a_course("art", [700, 700]), a_course("maths", [10, 10], [9000, 50])]
    slow = Outlook(now=NOW, forecast=Forecast(50.0))

    assert order(ways, dated("maths", "", 5), outlook=slow, breadth_weeks=2.0) == [
        "maths:l0", "maths:l1", "maths:l1*", "art:l0", "art:l1", "maths:l0*",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("lite", ["maths:l0", "art:l0"]),
        ("standard", ["maths:l0", "art:l0", "maths:l0*", "art:l0*", "maths:l0*"]),
        ("full", ["maths:l0", "art:l0", "maths:l0*", "maths:l0*", "art:l0*"]),
    ],
)
def test_a_school_chooses_how_much_of_films_it_wants(variant: Variant, expected: list[str]) -> None:
    parts = [Part("l0", 0, Kind.CORE, (0,)), Part("l0", 0, Kind.RICH, (1,)), Part("l0", 0, Kind.MORE, (2,))]
    ways = [a_way("maths", [10, 50, 9_000], parts), a_course("art", [10], [800])]

    assert order(ways, dated("maths", "1", 4), variant=variant) == expected


def test_on_an_empty_node_the_smallest_core_of_the_most_wanted_comes_first() -> None:
    ways = [a_course("maths", [5_000, 300, 800])]
    said = [dated("maths", str(number), number) for number in (1, 2, 3)]

    assert order(ways, *said, outlook=Outlook(now=NOW, opened=False))[0] == "maths:l1"
    assert order(ways, *said)[0] == "maths:l0"


def test_an_update_of_what_can_be_opened_makes_nobody_wait() -> None:
    new, old = a_course("art", [10]), a_course("maths", [10], served=True)
    old = replace(old, parts=tuple(replace(part, in_use=True) for part in old.parts))

    assert order([new, old], dated("maths", "1", 1), dated("art", "1", 9)) == ["art:l0", "maths:l0"]


def test_courses_in_other_languages_come_behind() -> None:
    ways = [a_course("art", [10]), a_course("maths", [10])]
    for way, tags in zip(ways, (["fr"], ["es-PE"]), strict=True):
        object.__setattr__(way.hop.offer, "custom", {"languages": tags})

    assert order(ways, languages=("es",)) == ["maths:l0", "art:l0"]


def test_what_has_no_room_is_passed_over_until_nothing_else_is_left() -> None:
    way = a_course("maths", [5_000, 100])
    tight = Outlook(room=1_000)

    first = plan_contact([way], None, Wishes(), tight)
    assert [step.frame for step in first if isinstance(step, Fetch)] == [1]
    shared = replace(way, under={1: (0,)})
    assert (
        plan_contact([shared], None, Wishes(), tight)[-1].cost > 1_000
    )  # nor does what builds upon it come without it
    rest = plan_contact([carried_out(way, first)], None, Wishes(), tight)
    assert [step.frame for step in rest if isinstance(step, Fetch)] == [0]


def test_a_lesson_is_parted_into_its_core_its_films_and_their_larger_forms() -> None:
    sizes = {"a/page.html": 10, "a/v.mp4": 90, "a/v.240p.mp4": 20, "a/song.mp3": 5, "b.mp4": 30, "css": 1}
    files = tuple(File(path, size, bytes([number]) * 32) for number, (path, size) in enumerate(sorted(sizes.items())))
    lessons = (
        Lesson("one", {}, ("a/page.html", "css"), ("a/v.mp4", "a/v.240p.mp4", "a/song.mp3")),
        Lesson("two", {}, (), ("b.mp4",)),
    )
    manifest = Manifest("moe", 1, Course("maths", {}, sections=(Section({}, lessons),)), files)
    numbers = {path: number for number, path in enumerate(sorted(sizes))}
    frames = tuple(Frame("plain", 0, 100, 10, (Piece(number, 0, size),)) for number, size in enumerate(sizes.values()))
    opened = Opened(Index(None, frames), replace(NO_FILES, table=manifest.as_table.table), b"", frozenset(), 100, 0)

    def named(*paths: str) -> tuple[int, ...]:
        return tuple(sorted(numbers[path] for path in paths))

    assert make_parts(manifest, Givers(opened, tuple(range(len(frames)))), {"two"}) == (
        Part("one", 0, Kind.CORE, named("a/page.html", "css")),
        Part("one", 0, Kind.RICH, named("a/v.240p.mp4", "a/song.mp3")),
        Part("one", 0, Kind.MORE, named("a/v.mp4")),
        Part("two", 1, Kind.CORE, named("b.mp4"), in_use=True),
    )


def test_a_publisher_states_what_is_urgent() -> None:
    def stated(**custom: object) -> Urgency:
        return urgency_of(Offer("moe", "maths", 1, bytes(32), 1, custom))

    assert stated(urgency="recall") == stated(urgency="security") == Urgency(recall=True)
    assert stated(exam="2026-06-01") == Urgency(exam=date(2026, 6, 1))
    assert stated(urgency=7, exam={}) == stated() == Urgency()
    ways = [a_course("art", [10]), replace(a_course("maths", [10]), urgency=stated(exam="2026-06-01"))]
    assert [item.rank for item in items_of(ways, Wishes(), Outlook(now=NOW))] == [Rank.DATED, Rank.OTHER]

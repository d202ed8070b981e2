"""What wishes mean, on which terms sources are used, and what is learnt from past contacts."""

from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_node.planning.forecast import Day, Forecast, learn
from alforja_node.planning.outlook import day_of, look_out
from alforja_node.planning.wishes import AT_ONCE, Wish, find_lessons, want
from alforja_node.terms import Terms, cost_order, is_open, next_renewal, parse_terms, renewed_on, terms_for
from alforja_packaging.errors import RequestError

MATHS = ("moe", "maths")
LESSONS = ("sums", "halves", "3", "lesson-4", "angles")
TODAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 2, 9)  # noqa: DTZ001 (a school's own time)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", LESSONS),
        ("2", ("halves",)),
        ("2-4", ("halves", "3", "lesson-4")),
        ("3", ("3",)),
        ("lesson-4, 1", ("lesson-4", "sums")),
        ("4-99,angles,none", ("lesson-4", "angles")),
        ("5-2", ()),
        ("0", ()),
    ],
)
def test_lessons_are_named_by_number_by_span_or_by_id(text: str, found: tuple[str, ...]) -> None:
    assert tuple(find_lessons(text, LESSONS)) == found


def test_the_earliest_day_of_a_lesson_counts() -> None:
    wanted = want(
        [
            Wish("timetable", MATHS, "1-4", TODAY, per_week=2),
            Wish("pin", MATHS, "4", TODAY + timedelta(days=3)),
            Wish("pin", MATHS, "5"),
            Wish("request", MATHS, "2", asks=3),
            Wish("request", MATHS, "2-3"),
        ],
        LESSONS,
    )

    week = TODAY + timedelta(weeks=1)
    assert wanted.due == {
        "sums": TODAY, "halves": TODAY, "3": week, "lesson-4": TODAY + timedelta(days=3), "angles": AT_ONCE
    }  # fmt: skip
    assert wanted.asks == {"halves": 4, "3": 1}
    assert wanted.taught


def test_of_a_course_whose_lessons_are_not_known_the_next_day_counts() -> None:
    said = [
        Wish("timetable", MATHS, "7"),
        Wish("pin", MATHS, "9", TODAY),
        Wish("pin", MATHS, "8", TODAY.replace(month=5)),
    ]
    wanted = want(said, ())

    assert (wanted.taught, wanted.due) == (True, {})
    assert wanted.next_due(None) == TODAY
    assert wanted.next_due(TODAY + timedelta(days=7)) == TODAY
    assert wanted.next_due(TODAY + timedelta(days=8)) == TODAY.replace(month=5)
    assert wanted.next_due(TODAY.replace(year=2027)) == TODAY.replace(month=5)
    assert want([], ()).next_due(TODAY) is None
    assert want([*said, Wish("pin", MATHS)], ()).next_due(TODAY) == AT_ONCE
    weekly = want([Wish("timetable", MATHS, "", TODAY, per_week=2)], ())
    assert weekly.next_due(TODAY.replace(month=6)) == TODAY.replace(month=6)


@pytest.mark.parametrize(
    ("hours", "clock", "may"),
    [
        ((), time(3), True),
        (("22:00-06:00",), time(23, 59), True),
        (("22:00-06:00",), time(5, 59), True),
        (("22:00-06:00",), time(6), False),
        (("8:00-9:30", "20:00-24:00"), time(9, 29), True),
        (("8:00-9:30", "20:00-24:00"), time(10), False),
    ],
)
def test_a_source_is_used_in_its_hours_only(hours: tuple[str, ...], clock: time, may: bool) -> None:
    assert is_open(Terms(hours=hours), clock) is may


@given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), st.integers(1, 31))
def test_a_cap_is_renewed_once_a_month_also_in_short_ones(today: date, day: int) -> None:
    terms = Terms(renewal_day=day)
    last, following = renewed_on(terms, today), next_renewal(terms, today)

    assert last <= today < following
    assert 28 <= (following - last).days <= 31
    assert next_renewal(terms, last) == following


def test_what_is_near_and_free_comes_first() -> None:
    terms = [Terms("metered", 0.2), Terms("metered", 0.1), Terms("unmetered"), Terms("lan"), Terms("stick")]

    assert sorted(terms, key=cost_order) == [*terms[:1:-1], terms[1], terms[0]]
    assert terms_for("/media/stick").kind == "stick"
    assert terms_for("https://courses.example.org").kind == "unmetered"


def test_terms_are_read_from_settings_and_refused_when_they_make_no_sense() -> None:
    values = {"kind": "metered", "cost_per_mb": 1, "cap_bytes": 5, "hours": ["22:00-6:00"], "later": True}

    assert parse_terms("x://y", values) == Terms("metered", 1.0, "", 5, 1, ("22:00-6:00",))
    for wrong in ({"kind": "free"}, {"cap_bytes": -1}, {"renewal_day": 32}, {"hours": ["late"]}, {"cost_per_mb": "1"}):
        with pytest.raises(RequestError, match="x://y: its terms cannot be read"):
            parse_terms("x://y", wrong)


def days(*moved: int, cut: int = 1, until: date = TODAY) -> list[Day]:
    first = until - timedelta(days=len(moved))
    return [Day(first + timedelta(days=number), one, 100.0, 2, cut) for number, one in enumerate(moved)]


def test_a_forecast_is_below_what_a_link_carried_on_most_days() -> None:
    assert learn(days(100), TODAY).bytes_per_day == 80
    assert learn(days(*[100] * 28), TODAY).bytes_per_day == 100
    low = learn(days(*[100, 20, 300, 100, 0, 100, 150] * 4), TODAY).bytes_per_day
    assert low is not None
    assert 50 < low <= 110
    every_two_weeks = learn(days(*([0] * 13 + [7_000]) * 2), TODAY).bytes_per_day
    assert every_two_weeks is not None
    assert every_two_weeks > 0


def test_days_on_which_all_had_come_tell_nothing_of_the_link_and_days_without_contact_do() -> None:
    assert learn(days(5, 5, 5, cut=0), TODAY).bytes_per_day is None
    assert learn([*days(300, until=TODAY - timedelta(days=2))], TODAY).bytes_per_day == pytest.approx(80)
    assert learn([], TODAY) == Forecast()
    assert learn(days(100, 100), TODAY).bytes_per_s == 1.0
    assert learn(days(100, 100), TODAY).window_s == 50.0


def test_a_cap_bounds_what_will_come() -> None:
    forecast = Forecast(100.0, cap_left=500, cap=1_000, renewal_days=10)

    assert [forecast.bytes_by(number) for number in (3, 9, 10, 12, 20, 41)] == [300, 500, 1_000, 1_200, 1_500, 2_500]
    assert [forecast.days_for(size) for size in (300, 501, 1_500)] == [3, 10, 15]
    assert Forecast().bytes_by(1) > 1e300
    assert Forecast().days_for(10) is None


def test_what_was_moved_since_the_renewal_is_off_the_cap() -> None:
    terms = Terms("metered", cap_bytes=1_000, renewal_day=1)
    outlook = look_out("x", terms, days(400, 300, 200), NOW, sure=True)

    assert outlook.forecast.cap_left == 800  # one of the three days lies after the first of March
    assert outlook.forecast.renewal_days == 30
    assert outlook.kept == 50


def test_a_clock_that_fell_back_begins_no_new_month_and_makes_nothing_late() -> None:
    terms = Terms("metered", cap_bytes=1_000, renewal_day=1)
    wrong = datetime(1970, 1, 1)  # noqa: DTZ001
    outlook = look_out("x", terms, days(400, 300, 200), wrong, sure=False)

    assert outlook.now is None
    assert outlook.forecast.bytes_per_day is None
    assert outlook.forecast.cap_left == 800
    assert day_of(days(1), wrong, sure=False) == TODAY - timedelta(days=1)

"""What a teacher's helper types, and what is kept of it."""

import json
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alforja_node import ledger as ledger_module
from alforja_node.cli import group
from alforja_node.ledger import open_ledger
from alforja_node.library.plans import say_prospect
from alforja_node.library.words import TABLES, words_for
from alforja_node.planning.coming import Coming, Prospect, parse_prospect
from alforja_node.planning.forecast import Day
from alforja_node.planning.wishes import Wish
from alforja_node.settings import NodeSettings, format_settings, load_settings
from alforja_node.terms import Terms
from alforja_packaging.errors import RequestError, StoreError

MATHS = ("moe", "maths")


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    (tmp_path / "node.json").write_bytes(format_settings(NodeSettings(tmp_path)))
    async with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        await ledger.subscribe(*MATHS)
        await ledger.subscribe("moe", "art")
    return tmp_path


def typed(home: Path, *words: str) -> Result:
    return CliRunner().invoke(group, ["--home", str(home), "wish", *words])


def wishes(home: Path) -> list[tuple[str, str, str, str | None, int, int]]:
    listed = json.loads(typed(home, "list", "--json").stdout)["wishes"]
    return [(one["wish"], one["course"], one["lessons"], one["day"], one["per_week"], one["asks"]) for one in listed]


def test_pins_are_put_changed_and_taken_back(home: Path) -> None:
    typed(home, "pin", "maths", "1-4", "--by", "2026-03-02")
    typed(home, "pin", "maths", "1-4", "--by", "2026-03-09")
    typed(home, "pin", "moe/art")
    assert wishes(home) == [("pin", "art", "", None, 0, 1), ("pin", "maths", "1-4", "2026-03-09", 0, 1)]

    assert typed(home, "unpin", "maths").stdout == "moe/maths: 1 taken back\n"
    assert wishes(home) == [("pin", "art", "", None, 0, 1)]
    assert isinstance(typed(home, "unpin", "maths").exception, RequestError)


def test_requests_add_up(home: Path) -> None:
    for _ in range(3):
        typed(home, "request", "maths", "7")

    assert wishes(home) == [("request", "maths", "7", None, 0, 3)]


def test_a_timetable_is_loaded_from_what_a_spreadsheet_saves(home: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("\ufeffcourse;lessons;from;per_week\nmaths;1-4;2026-03-02;2\nart;;;\n;;;\n", "utf-8")

    assert typed(home, "timetable", "load", str(table)).stdout == "2 wishes noted; the next sync goes by them\n"
    assert wishes(home) == [("timetable", "art", "", None, 0, 1), ("timetable", "maths", "1-4", "2026-03-02", 2, 1)]
    typed(home, "timetable", "remove", "art")
    typed(home, "timetable", "add", "maths", "9", "--from", "2026-04-01")
    assert "2026-04-01" in typed(home, "timetable", "list").stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lessons\n1\n", "has no column `course`"),
        ("course,from\nmaths,monday\n", "line 2: monday  is no day and number"),
        ("course\nphysics\n", "course physics: is not subscribed"),
    ],
)
def test_a_table_that_cannot_be_read_changes_nothing(home: Path, tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(text)
    found = typed(home, "timetable", "load", str(table)).exception

    assert isinstance(found, RequestError)
    assert message in str(found)
    assert wishes(home) == []


async def test_wishes_end_with_the_subscription(home: Path) -> None:
    async with open_ledger(home / "ledger.sqlite") as ledger:
        await ledger.put_wishes([Wish("pin", MATHS), Wish("pin", ("moe", "art"), "2", date(2026, 3, 2))])
        await ledger.unsubscribe(*MATHS)

        assert await ledger.wishes() == (Wish("pin", ("moe", "art"), "2", date(2026, 3, 2)),)


async def test_a_ledger_from_before_there_were_wishes_is_taken_along(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(f"{ledger_module._MIGRATIONS[0]}; pragma user_version = 1;")
        old.execute("insert into subscriptions values ('moe', 'maths')")
        old.commit()
    async with open_ledger(path) as ledger:
        await ledger.put_wishes([Wish("pin", MATHS)])

        assert await ledger.subscriptions() == {MATHS}
        assert await ledger.wishes() == (Wish("pin", MATHS),)


async def test_traffic_is_summed_by_day_and_kept_for_a_year(home: Path) -> None:
    first = date(2025, 1, 1)
    async with open_ledger(home / "ledger.sqlite") as ledger:
        for number in range(500):
            await ledger.note_traffic("link", Day(first + timedelta(days=number), 10, 1.5, 1, 0))
        await ledger.note_traffic("link", Day(first + timedelta(days=499), 5, 0.5, 1, 1))
        days = await ledger.days_of("link")

        assert days[-1] == Day(first + timedelta(days=499), 15, 2.0, 2, 1)
        assert 400 <= len(days) <= 402
        assert await ledger.days_of("stick") == []


def test_terms_and_tastes_come_back_from_the_settings_as_they_were(tmp_path: Path) -> None:
    terms = {"https://h.example": Terms("metered", 0.05, "USD", 10**9, 5, ("22:00-06:00",))}
    settings = NodeSettings(
        tmp_path, ("https://h.example", "/media/stick"), terms=terms, languages=("es", "qu"), variant="lite"
    )
    (tmp_path / "node.json").write_bytes(format_settings(settings))

    assert load_settings(tmp_path) == settings
    assert settings.by_cost() == ["/media/stick", "https://h.example"]
    (tmp_path / "node.json").write_text('{"variant": "tiny"}')
    with pytest.raises(StoreError, match="variant is tiny"):
        load_settings(tmp_path)


SUMS = ("l7", 7, True, {"en": "Maths"}, {"en": "Sums"})
PROSPECT = Prospect(
    "https://h.example", "metered", "USD", 90_000_000, 3, 20_200_000, 1.01,
    (
        Coming("moe", "maths", "core", "dated", 150_000, 0.01, "2026-03-03", "2026-03-05", *SUMS),
        Coming("moe", "art", "index", "other", 50_000, 0.0, fits=False),
        Coming("moe", "maths", "rich", "dated_rich", 20_000_000, 1.0, "", "", *SUMS),
    ),
)  # fmt: skip


def test_a_plan_is_said_in_plain_words() -> None:
    assert list(say_prospect(PROSPECT, words_for(("en",)), ("en",))) == [
        "Maths, 7. Sums: text and exercises, 150.0 kB, wanted by 2026-03-05, about 0.01 USD, expected on 2026-03-03",
        "art: list of contents, 50.0 kB, the disk has no room for it",
        "Maths, 7. Sums: films and sounds, 20.0 MB, wanted at once, about 1.00 USD, as soon as the link carries it",
        "3 things to come: 20.2 MB from https://h.example, about 1.01 USD",
        "90.0 MB may still be used this month",
    ]
    assert list(say_prospect(Prospect("x", "stick"), words_for(("fr",)), ())) == ["Tout ce qui est voulu est là"]


def test_a_plan_can_be_said_in_every_language_of_the_library() -> None:
    for lang in TABLES:
        lines = list(say_prospect(PROSPECT, words_for((lang,)), (lang,)))
        assert len(lines) == 5
        assert not any("{" in line for line in lines)


def test_a_prospect_comes_back_as_it_was_kept() -> None:
    assert parse_prospect(json.loads(json.dumps(PROSPECT.as_dict()))) == PROSPECT

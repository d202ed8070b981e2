"""What comes next, lesson by lesson, with its bytes, its day and its cost: a plan as people want to see it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final

from alforja_node.planning.order import Item, Rank
from alforja_node.planning.outlook import Outlook
from alforja_node.planning.ways import Kind
from alforja_packaging.course import Text

SHOWN_MAX: Final = 12  # lines that a person reads

_NAMES: Final = {Kind.CORE: "core", Kind.RICH: "rich", Kind.MORE: "more", Kind.REST: "rest"}


@dataclass(frozen=True, slots=True)
class Coming:
    """One thing that comes next. `size` is in bytes; `day` (ISO 8601) is empty when nobody can tell."""

    publisher: str
    course: str
    part: str
    why: str
    size: int
    cost: float
    day: str = ""
    wanted_by: str = ""
    lesson: str = ""
    number: int = 0
    fits: bool = True
    title: Text = field(default_factory=dict)
    lesson_title: Text = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prospect:
    """What comes next from one source: the first few things one by one, all in sum."""

    source: str
    kind: str
    currency: str = ""
    cap_left: int | None = None
    things: int = 0
    size: int = 0
    cost: float = 0.0
    first: tuple[Coming, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Everything, as the ledger and programs read it."""
        return asdict(self)


def parse_prospect(values: Mapping[str, Any]) -> Prospect:
    """Read what `as_dict` gave."""
    first = tuple(Coming(**one) for one in values["first"])
    return Prospect(**{**values, "first": first})


def foresee(items: Sequence[Item], outlook: Outlook, shown: int = SHOWN_MAX) -> Prospect:
    """Say of everything that is missing what comes next, and by which day it will be here."""
    size = sum(item.size for item in items)
    return Prospect(
        outlook.source, outlook.terms.kind, outlook.terms.currency, outlook.forecast.cap_left,
        len(items), size, _cost(size, outlook), tuple(_foresee(items[:shown], outlook)),
    )  # fmt: skip


def _foresee(items: Iterable[Item], outlook: Outlook) -> Iterable[Coming]:
    total = 0
    for item in items:
        total += item.size
        offer, part = item.way.hop.offer, item.part
        course = item.way.opened.skeleton.course if item.way.opened else None
        lessons = course.lessons() if course and part and part.lesson else ()
        lesson = next((one for one in lessons if part and one.id == part.lesson), None)
        named = item.due is not None and item.rank in (Rank.DATED, Rank.DATED_RICH)
        yield Coming(
            offer.publisher, offer.course, "index" if part is None else _NAMES[part.kind], item.rank.name.lower(),
            item.size, _cost(item.size, outlook), _day(total, outlook),
            item.due.isoformat() if named and item.due and item.due.year > 1 else "",
            part.lesson if part else "", part.place + 1 if part and part.lesson else 0, item.fits,
            dict(course.title) if course else _title(offer.custom), dict(lesson.title) if lesson else {},
        )  # fmt: skip


def _title(custom: Mapping[str, Any]) -> Text:
    stated = custom.get("title")
    return {str(tag): str(words) for tag, words in stated.items()} if isinstance(stated, Mapping) else {}


def _day(size: int, outlook: Outlook) -> str:
    days = outlook.forecast.days_for(size)
    if days is None or outlook.now is None:
        return ""
    return (outlook.now + timedelta(days=min(days, 3650))).date().isoformat()


def _cost(size: int, outlook: Outlook) -> float:
    return round(size / 1e6 * outlook.terms.cost_per_mb, 4)

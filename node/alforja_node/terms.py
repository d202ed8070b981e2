"""On which terms a source may be used: its kind, its cost, how much it may carry, and when. Pure."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, time, timedelta
from typing import Any, Final, Literal, get_args

from alforja_packaging.errors import RequestError

SourceKind = Literal["stick", "lan", "unmetered", "metered"]
"""In the order of cost: what costs nothing and is near comes first."""

KINDS: Final[tuple[SourceKind, ...]] = get_args(SourceKind)

_SPAN: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])-([01]?[0-9]|2[0-4]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one source.

    `cap_bytes` is what it may carry, both ways, from one renewal to the next, on day
    `renewal_day` of each month; `hours` are spans of local time, such as `22:00-06:00`,
    empty when any hour will do.
    """

    kind: SourceKind = "unmetered"
    cost_per_mb: float = 0.0
    currency: str = ""
    cap_bytes: int | None = None
    renewal_day: int = 1
    hours: tuple[str, ...] = ()


def terms_for(address: str) -> Terms:
    """The terms of a source that nobody has set any for: a folder is a stick, anything else an unmetered link."""
    return Terms("unmetered" if "://" in address else "stick")


def parse_terms(address: str, values: Mapping[str, Any]) -> Terms:
    """Read the terms of a source as the settings hold them. Raises RequestError, naming the source."""
    known = asdict(terms_for(address)) | {name: value for name, value in values.items() if name in Terms.__slots__}
    match known:
        case {
            "kind": str(kind), "cost_per_mb": int() | float() as cost, "currency": str(currency),
            "cap_bytes": int() | None as cap, "renewal_day": int(day), "hours": [*hours],
        } if cost >= 0 and (cap is None or cap >= 0) and 1 <= day <= 31 and all(map(_is_span, hours)):  # fmt: skip
            for known_kind in KINDS:
                if kind == known_kind:
                    return Terms(known_kind, float(cost), currency, cap, day, tuple(hours))
    raise RequestError(
        f"{address}: its terms cannot be read", advice="docs/operations.md section 2.8 shows how they are written"
    )


def cost_order(terms: Terms) -> tuple[int, float]:
    """What sorts sources by cost: stick, neighbour, then links by their price."""
    return KINDS.index(terms.kind), terms.cost_per_mb


def renewed_on(terms: Terms, today: date) -> date:
    """The day of the last renewal of a cap, today included."""
    this = _renewal_in(today, terms.renewal_day)
    return this if this <= today else _renewal_in(today.replace(day=1) - timedelta(days=1), terms.renewal_day)


def next_renewal(terms: Terms, today: date) -> date:
    """The day of the next renewal of a cap, after today."""
    this = _renewal_in(today, terms.renewal_day)
    return this if this > today else _renewal_in(today.replace(day=28) + timedelta(days=4), terms.renewal_day)


def is_open(terms: Terms, clock: time) -> bool:
    """Tell whether a source may be used at an hour."""
    minute = clock.hour * 60 + clock.minute
    spans = [_span(text) for text in terms.hours]
    return not spans or any(
        first <= minute < last if first <= last else minute >= first or minute < last for first, last in spans
    )


def _renewal_in(month: date, day: int) -> date:
    """Day `day` of the month of a date, or the month's last day where it has none of that number."""
    last = (month.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return last.replace(day=min(day, last.day))


def _is_span(text: object) -> bool:
    return isinstance(text, str) and _SPAN.fullmatch(text) is not None


def _span(text: str) -> tuple[int, int]:
    match = _SPAN.fullmatch(text)
    assert match is not None
    first_hour, first_minute, last_hour, last_minute = map(int, match.groups())
    return first_hour * 60 + first_minute, last_hour * 60 + last_minute

"""The circumstances of a contact: the time, the source, the disk."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Final

from alforja_node.planning.forecast import Day, Forecast, learn
from alforja_node.terms import Terms, next_renewal, renewed_on

SCHOOL_BEGINS: Final = time(8)
KEPT_OF_CAP: Final = 0.05  # of a month's bytes, for what somebody waits for; less as the renewal comes nearer

_DAY_S: Final = 86_400
_MONTH_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a contact may expect.

    `now` is local time; None when the clock cannot be believed: then days keep their
    order, and nothing is late. `room` are the bytes the disk can take, None when
    nobody looks; `opened` tells whether any lesson can be opened here yet.
    """

    source: str = ""
    terms: Terms = field(default_factory=Terms)
    now: datetime | None = None
    forecast: Forecast = field(default_factory=Forecast)
    room: int | None = None
    opened: bool = True

    def days_until(self, due: date) -> float:
        """Days from now until school begins on a day."""
        assert self.now is not None
        begins = datetime.combine(due, SCHOOL_BEGINS, self.now.tzinfo)
        return (begins - self.now).total_seconds() / _DAY_S

    @property
    def kept(self) -> int:
        """Bytes of the cap that are kept for recalls, dated, requested and taught cores."""
        if self.forecast.cap_left is None:
            return 0
        return int(self.forecast.cap * KEPT_OF_CAP * min(1.0, self.forecast.renewal_days / _MONTH_DAYS))


def look_out(
    source: str, terms: Terms, days: Iterable[Day], now: datetime, *, sure: bool, opened: bool = True
) -> Outlook:
    """Put together what to expect of a source, from the days of the past. `sure` tells whether the clock is right."""
    known = list(days)
    today = day_of(known, now, sure=sure)
    forecast = learn(known, today) if sure else Forecast()
    if terms.cap_bytes is not None:
        since = renewed_on(terms, today)
        spent = sum(one.moved for one in known if one.day >= since)
        forecast = replace(
            forecast, cap_left=max(0, terms.cap_bytes - spent), cap=terms.cap_bytes,
            renewal_days=(next_renewal(terms, today) - today).days,
        )  # fmt: skip
    return Outlook(source, terms, now if sure else None, forecast, opened=opened)


def day_of(known: Iterable[Day], now: datetime, *, sure: bool) -> date:
    """The day that bytes are counted on: a clock that fell back does not begin a month anew."""
    return now.date() if sure else max([now.date(), *(one.day for one in known)])

"""What a link will carry, learnt from what it has carried."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

LEARN_DAYS: Final = 28
SURE_DAYS: Final = 7  # from as many days on, a fifth of the worst are told from the others
QUANTILE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Day:
    """What one source carried on one day, both ways. `cut` are the contacts that it broke off."""

    day: date
    moved: int
    seconds: float = 0.0
    contacts: int = 1
    cut: int = 1


@dataclass(frozen=True, slots=True)
class Forecast:
    """What to expect of a source. None: nothing is known, nothing counts as late.

    `cap_left` are the bytes that may be moved until it is renewed, in
    `renewal_days`, to `cap`.
    """

    bytes_per_day: float | None = None
    bytes_per_s: float | None = None
    window_s: float | None = None
    cap_left: int | None = None
    cap: int = 0
    renewal_days: int = 31

    def bytes_by(self, days: float) -> float:
        """Bytes that will have come so many days from now."""
        by_link = math.inf if self.bytes_per_day is None else self.bytes_per_day * max(days, 0.0)
        if self.cap_left is None:
            return by_link
        renewals = max(0, 1 + math.floor((days - self.renewal_days) / 30.4)) if days >= self.renewal_days else 0
        return min(by_link, self.cap_left + self.cap * renewals)

    def days_for(self, size: int) -> float | None:
        """Days from now until so many bytes will have come; None when nobody knows."""
        if self.bytes_per_day is None or not self.bytes_per_day:
            return None
        days = size / self.bytes_per_day
        if self.cap_left is not None and size > self.cap_left:
            if not self.cap:
                return None
            over = math.ceil((size - self.cap_left) / self.cap) - 1
            days = max(days, self.renewal_days + over * 30.4)
        return days


def learn(days: Iterable[Day], today: date) -> Forecast:
    """Learn from the last four weeks.

    A day on which everything wanted had come tells nothing of the link; one without
    any contact tells that there was none. With a week and more, the forecast is
    what four weeks in five surpass; before, four fifths of the mean.
    """
    known = {one.day: one for one in days if today - timedelta(days=LEARN_DAYS) <= one.day < today}
    limited = sorted(day for day, one in known.items() if one.cut)
    if not limited:
        return Forecast(*_window(known.values()))
    span = [limited[0] + timedelta(days=number) for number in range((today - limited[0]).days)]
    moved = [float(known[day].moved) if day in known else 0.0 for day in span if day not in known or known[day].cut]
    mean = sum(moved) / len(moved)
    low = (1 - QUANTILE) * mean
    if len(moved) >= 2 * SURE_DAYS:
        weeks = sorted(sum(moved[at : at + SURE_DAYS]) / SURE_DAYS for at in range(len(moved) - SURE_DAYS + 1))
        low = weeks[int(QUANTILE * len(weeks))] or low  # a stick comes less than weekly
    return replace(Forecast(*_window(known.values())), bytes_per_day=low)


def _window(days: Iterable[Day]) -> tuple[None, float | None, float | None]:
    """Leave the bytes of a day open; give bytes of a second and seconds of a contact."""
    moved = seconds = 0.0
    contacts = 0
    for one in days:
        moved, seconds, contacts = moved + one.moved, seconds + one.seconds, contacts + one.contacts
    if not seconds or not contacts:
        return None, None, None
    return None, moved / seconds, seconds / contacts

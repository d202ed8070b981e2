"""Decide how much of a course's past stays on offer, and when what has lapsed may go.

A pack has lapsed when current metadata no longer names it. Nothing here opens a
file or reads a clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alforja_packaging.layout import Start


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a content team wants kept of one course. `bytes_max` bounds its packs in the repository; None: no bound."""

    releases: int = 8
    bytes_max: int | None = None
    grace_days: int = 14


@dataclass(frozen=True, slots=True)
class Update:
    """A pack that leads from a release, be it of another course, to one of this course, and its size in bytes."""

    start: Start
    end: int
    size: int


@dataclass(frozen=True, slots=True)
class Offered:
    """The packs that metadata leads to: a first install of the newest release, and updates.

    `install_size` is in bytes and counts earlier packs that the first install refers to.
    """

    newest: int
    install_size: int
    updates: tuple[Update, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all these packs."""
        return self.install_size + sum(update.size for update in self.updates)

    def without(self, dropped: Collection[Update]) -> "Offered":
        """The same, less some updates."""
        kept = tuple(update for update in self.updates if update not in dropped)
        return Offered(self.newest, self.install_size, kept)


def choose_dropped(offered: Offered, keeping: Keeping) -> tuple[Update, ...]:
    """Choose the updates to stop offering.

    First direct updates from more releases than are kept; then, while packs are
    more than the bound, what starts from other courses, and whatever starts from the
    oldest release. The first install and the update from the newest earlier release
    always stay, so a small bound may not be reached.
    """
    straight = [update.start for update in offered.updates if update.end == offered.newest]
    direct = sorted(start for start in straight if not start.course)
    too_old = direct[: -keeping.releases]
    dropped = [update for update in offered.updates if update.end == offered.newest and update.start in too_old]
    if keeping.bytes_max is None:
        return tuple(dropped)
    size = offered.without(dropped).size
    # For each start the step of a chain goes before the direct update: a step serves those
    # before it, and they have lost theirs already.
    order = sorted(
        offered.without(dropped).updates, key=lambda update: (not update.start.course, update.start, update.end)
    )
    for update in order:
        if size <= keeping.bytes_max:
            break
        if (update.start, update.end) != (max(direct, default=None), offered.newest):
            dropped.append(update)
            size -= update.size
    return tuple(dropped)


@dataclass(frozen=True, slots=True)
class Lapses:
    """Since when each pack has been named no more, and the newest moment ever seen.

    Packs are named below `bundles/`, as in `moe/maths.1/install`.
    """

    newest: datetime | None = None
    since: Mapping[str, datetime] = field(default_factory=dict)

    def proven(self, now: datetime) -> datetime:
        """The time to count by: never before a time that was seen, so a clock set back makes nothing look old later."""
        return max(now, self.newest) if self.newest else now


def note_lapsed(lapses: Lapses, lapsed: Collection[str], now: datetime, *, publisher: str, course: str) -> Lapses:
    """Note what of one course has lapsed. What was noted keeps its time; what is named again, or gone, is forgotten."""
    proven = lapses.proven(now)
    others = {name: since for name, since in lapses.since.items() if course_of(name) != (publisher, course)}
    return Lapses(proven, others | {name: lapses.since.get(name, proven) for name in sorted(lapsed)})


def end_of_grace(lapses: Lapses, name: str, grace_days: int) -> datetime:
    """When a pack that has lapsed may be removed."""
    try:
        return lapses.since[name] + timedelta(days=grace_days)
    except OverflowError:
        return datetime.max.replace(tzinfo=lapses.since[name].tzinfo)


def course_of(name: str) -> tuple[str, str]:
    """The publisher and the course of a pack named below `bundles/`."""
    publisher, _, rest = name.partition("/")
    return publisher, rest.partition("/")[0].rpartition(".")[0]

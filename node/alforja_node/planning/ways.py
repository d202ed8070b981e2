"""What is there of each course and what is missing, part by part: what plans are made of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum

from alforja_node.offers import Hop, Offer
from alforja_node.selection import Frames
from alforja_packaging.index import Opened


class Kind(IntEnum):
    """Which part of a lesson; `REST` is what belongs to no lesson."""

    CORE = 0
    RICH = 1
    MORE = 2  # larger forms of what is rich
    REST = 3


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a lesson and the frames that give its contents, without those of their bases.

    `place` counts lessons in teaching order. `in_use` tells that an earlier release
    of the lesson can be opened meanwhile.
    """

    lesson: str
    place: int
    kind: Kind
    frames: Frames
    in_use: bool = False


@dataclass(frozen=True, slots=True)
class Urgency:
    """What a publisher states of a release: that the one before should no longer be used, or the day of an exam."""

    recall: bool = False
    exam: date | None = None


@dataclass(frozen=True, slots=True)
class Have:
    """What the node holds of one way to a release.

    `done` are the frames whose output is there, or that have come whole and wait to
    be verified together; `arrived` says how many bytes of the others lie here,
    `head` how many bytes of the index do.
    """

    head: int = 0
    done: frozenset[int] = frozenset()
    arrived: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Way:
    """One hop that a course needs now, with what is known of it.

    `opened` is None until the index has arrived. `core` are the frames that lessons'
    cores need, in teaching order, and `rest` all others that this node takes of it;
    `parts` say which lesson they are for, and `under` from which other frames the
    bases of a frame come. `served` tells that an earlier release is served.
    """

    hop: Hop
    have: Have
    opened: Opened | None = None
    core: Frames = ()
    rest: Frames = ()
    parts: tuple[Part, ...] = ()
    under: Mapping[int, Frames] = field(default_factory=dict)
    served: bool = False
    urgency: Urgency = field(default_factory=Urgency)

    @property
    def has_a_core(self) -> bool:
        """Tell whether any lesson can be opened."""
        return self.served or any(
            part.kind is Kind.CORE and part.frames and self.have.done.issuperset(part.frames) for part in self.parts
        )

    def all_parts(self) -> tuple[Part, ...]:
        """All parts; frames that belong to none come last, as one more."""
        if not self.parts:
            return Part("", 0, Kind.CORE, self.core), Part("", 0, Kind.REST, self.rest)
        claimed = {number for part in self.parts for number in part.frames}
        return *self.parts, Part("", len(self.parts), Kind.REST, tuple(set(self.core + self.rest) - claimed))

    def missing(self, part: Part) -> list[int]:
        """The frames that a part still needs, those that its bases come from included and first."""
        done, under = self.have.done, self.under
        if done.issuperset(part.frames):
            return []
        wanted = {number for number in part.frames if number not in done}
        waiting = [*wanted]
        while waiting:
            for number in under.get(waiting.pop(), ()):
                if number not in wanted and number not in done:
                    wanted.add(number)
                    waiting.append(number)
        return sorted(wanted)

    def bytes_of(self, frames: Iterable[int]) -> int:
        """Bytes of frames that have not arrived."""
        assert self.opened is not None
        own, arrived = self.opened.index.frames, self.have.arrived
        return sum(own[number].length - arrived.get(number, 0) for number in frames)


def is_whole(way: Way) -> bool:
    """Tell whether everything of a release is here."""
    return way.opened is not None and way.have.done.issuperset(way.core) and way.have.done.issuperset(way.rest)


def urgency_of(offer: Offer) -> Urgency:
    """Read what a publisher states. What has another shape is passed over: it may come from a newer program."""
    try:
        exam = date.fromisoformat(str(offer.custom.get("exam")))
    except ValueError:
        exam = None
    return Urgency(offer.custom.get("urgency") in ("recall", "security"), exam)

"""Which frames of a pack this node takes, and in which order it wants them. Pure; docs/protocol.md section 5.

An index may give a content more than once: by a frame that not every node can undo,
and again by one that more can. This is the one place that chooses; planner, costs
and transfer go by what was chosen. Quick and lean for a hundred thousand contents.
"""

from array import array
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from alforja_packaging.errors import FormatError
from alforja_packaging.frames import Frame, Needs, Piece
from alforja_packaging.index import Opened

Frames = tuple[int, ...]
"""Numbers of frames, as the index has them."""


def choose_frames(opened: Opened, able: Needs) -> Frames:
    """Choose for each content the first frame that a node of these abilities can undo.

    Left out are frames beyond its ability, or that build on what only such frames
    give, and frames whose output the chosen ones before them give already. Raises
    FormatError when those that are chosen do not give everything.
    """
    frames = opened.index.frames
    if not any(frame.needs for frame in frames):
        return tuple(range(len(frames)))
    sizes = opened.skeleton.table.sizes
    given = array("q", [-1]) * len(sizes)  # how much of each content the chosen frames give
    chosen = []
    for number, frame in enumerate(frames):
        if frame.needs & ~able or any(given[base] < sizes[base] for base in _new_bases(opened, frame)):
            continue
        fresh = _fresh(frame, given)
        if fresh:
            chosen.append(number)
            for content, end in fresh.items():
                given[content] = end
    for frame in frames:
        for piece in frame.outputs:
            if given[piece.content] < sizes[piece.content]:
                raise FormatError("index: gives something only by frames that this computer cannot undo")
    return tuple(chosen)


def _fresh(frame: Frame, given: Sequence[int]) -> dict[int, int]:
    """How far a frame gives the contents of which it gives more than is given; nothing when it leaves a gap."""
    ends: dict[int, int] = {}
    for piece in frame.outputs:
        before = ends.get(piece.content, given[piece.content])
        if _end(piece) > before:
            if piece.offset > max(0, before):
                return {}
            ends[piece.content] = _end(piece)
    return ends


def asked_by(frames: Iterable[Frame]) -> Needs:
    """All that any of the frames needs."""
    asked = 0
    for frame in frames:
        asked |= frame.needs
    return asked


def part_frames(
    opened: Opened, chosen: Frames, done: Container[int], cores: Iterable[Iterable[int]]
) -> tuple[Frames, Frames]:
    """Part the chosen frames into those that lessons' cores need, in teaching order, and all others.

    `cores` are, lesson by lesson, the contents its core needs. A frame comes with
    those that give its bases, unless it is `done`: what it gave is here.
    """
    givers = Givers(opened, chosen)
    early: dict[int, None] = {}
    for contents in cores:
        lesson: set[int] = set()
        waiting = [frame for content in contents for frame in givers.of(content)]
        while waiting:
            number = waiting.pop()
            if number not in lesson and number not in early and number not in done:
                lesson.add(number)
                bases = set(_new_bases(opened, opened.index.frames[number]))
                waiting += [giver for base in bases for giver in givers.of(base) if giver < number]
        early |= dict.fromkeys(sorted(lesson))
    return tuple(early), tuple(number for number in chosen if number not in early)


class Givers:
    """Which chosen frames give a content (nearly always one), and which ones a frame's bases come from."""

    def __init__(self, opened: Opened, chosen: Frames) -> None:
        self._opened, self._chosen = opened, chosen
        self._first = array("i", [-1]) * len(opened.skeleton.table.sizes)
        self._more: dict[int, list[int]] = {}
        for number in chosen:
            for piece in opened.index.frames[number].outputs:
                if self._first[piece.content] < 0:
                    self._first[piece.content] = number
                else:
                    self._more.setdefault(piece.content, []).append(number)

    def of(self, content: int) -> Sequence[int]:
        """The frames that give a content."""
        first = self._first[content]
        return [first, *self._more.get(content, ())] if first >= 0 else ()

    def giving(self, contents: Iterable[int]) -> Frames:
        """The frames that give some contents, in order."""
        return tuple(sorted({number for content in contents for number in self.of(content)}))

    def under(self) -> Mapping[int, Frames]:
        """For each frame with new contents as bases, the frames that give those: nearly always the same few."""
        same: dict[Frames, Frames] = {}
        found = {}
        for number in self._chosen:
            bases = set(_new_bases(self._opened, self._opened.index.frames[number]))
            if bases:
                frames = tuple(giver for giver in self.giving(bases) if giver < number)
                found[number] = same.setdefault(frames, frames)
        return found


def _new_bases(opened: Opened, frame: Frame) -> Iterator[int]:
    held = opened.held_count
    return (base.content - held for base in frame.bases if base.content >= held)


def _end(piece: Piece) -> int:
    return piece.offset + piece.length

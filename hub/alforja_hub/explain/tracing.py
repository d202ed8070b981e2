"""Tell from a patch itself where each part of its output comes from: what is copied, what is new, what is packed again.

Values only: nothing is decoded but the patch's own three streams.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from alforja_packaging.blocks import STEP_BYTES, unpack_runs, unpacker
from alforja_packaging.patch import Opened
from alforja_packaging.recipe import Closing, Opening
from alforja_packaging.streams import Packed


@dataclass(slots=True)
class Traced:
    """What a patch says of one output: how many bytes come from which base, what is new, and how often it says so.

    `plain` counts the output's bytes with its streams open; `closings` those streams.
    """

    plain: int = 0
    closings: int = 0
    covers: int = 0
    copied: dict[int, int] = field(default_factory=dict)
    literals: list[bytes] = field(default_factory=list)
    differences: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Segment:
    """Plain bytes, and where in the output what they become begins; `closed`: they become packed."""

    start: int
    end: int
    at: int
    closed: bool


def trace(opened: Opened, output: bytes, sizes: Sequence[int], base_sizes: Sequence[int]) -> list[Traced]:
    """Trace a patch whose output is pieces of so many bytes, from bases of so many."""
    traced = [Traced() for _ in sizes]
    spans = list(_spans(opened.recipe.closings, opened.header.plain_size, output, sizes, traced))
    owners = _Owners(spans)
    for start, end, owner in spans:
        traced[owner].plain += end - start
    sources = _Sources(base_sizes, opened.recipe.openings)
    literals, differences = b"".join(opened.literals), b"".join(opened.differences)
    runs = _Runs(opened.recipe.differing)
    at = taken = changed = 0
    for cover in opened.recipe.covers:
        for owner, length in owners.parts(at, at + cover.literals):
            traced[owner].literals.append(literals[taken : taken + length])
            taken += length
        at += cover.literals
        source = cover.source
        for owner, length in owners.parts(at, at + cover.length):
            one = traced[owner]
            one.covers += 1
            for base, count in sources.parts(source, source + length):
                one.copied[base] = one.copied.get(base, 0) + count
            unlike = runs.take(length)
            one.differences.append(differences[changed : changed + unlike])
            changed += unlike
            source += length
        at += cover.length
    for owner, length in owners.parts(at, opened.header.plain_size):
        traced[owner].literals.append(literals[taken : taken + length])
        taken += length
    return traced


def _spans(
    closings: Sequence[Closing], plain_size: int, output: bytes, sizes: Sequence[int], traced: list[Traced]
) -> Iterator[tuple[int, int, int]]:
    """Give runs of the plain output, each with the place of the output it belongs to, ascending and without gaps."""
    ends = list(accumulate(sizes))
    for segment in _segments(closings, plain_size, output):
        owner = min(bisect_right(ends, segment.at), len(ends) - 1)
        start, at = segment.start, segment.at
        if segment.closed:
            traced[owner].closings += 1
            yield start, segment.end, owner
            continue
        while start < segment.end:
            length = min(segment.end - start, max(1, ends[owner] - at))
            yield start, start + length, owner
            start, at = start + length, at + length
            owner = min(bisect_right(ends, at), len(ends) - 1)


def _segments(closings: Sequence[Closing], plain_size: int, output: bytes) -> Iterator[_Segment]:
    start = at = 0
    rows = iter(closings)
    for closing in rows:
        yield _Segment(start, start + closing.gap, at, closed=False)
        start, at = start + closing.gap, at + closing.gap
        size = _plain_size(closing, rows)
        yield _Segment(start, start + size, at, closed=True)
        start, at = start + size, at + _packed_size(closing, output, at)
    yield _Segment(start, plain_size, at, closed=False)


def _plain_size(closing: Closing, rows: Iterator[Closing]) -> int:
    """How many bytes of the plain output a stream takes, with what is inside it."""
    inside = 0
    for _ in range(closing.children):
        child = next(rows)
        inside += child.gap + _plain_size(child, rows)
    return sum(gap for _, gap in closing.parts) + inside + closing.tail


def _packed_size(closing: Closing, output: bytes, at: int) -> int:
    """How many bytes of the output a stream takes; one that was packed tells where it ends, and the recipe need not."""
    if not isinstance(closing.method, Packed):
        return closing.size + sum(gap for _, gap in closing.parts)
    opened = unpacker(closing.method)
    view, end = memoryview(output), at

    def feed() -> Iterator[memoryview]:
        nonlocal end
        for length, gap in closing.parts:
            yield view[end : end + length]
            end += length + gap
        while end < len(view):
            start, end = end, min(end + STEP_BYTES, len(view))
            yield view[start:end]

    for _ in unpack_runs(opened, feed()):
        pass
    return end - len(opened.unused_data) - at


class _Owners:
    """Which output each run of the plain output belongs to."""

    def __init__(self, spans: Sequence[tuple[int, int, int]]) -> None:
        self._spans = [span for span in spans if span[0] < span[1]]
        self._starts = [start for start, _, _ in self._spans]

    def parts(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Cut a run: owners and lengths."""
        place = bisect_right(self._starts, start) - 1
        while start < end:
            stop = min(end, self._spans[place][1])
            yield self._spans[place][2], stop - start
            start, place = stop, place + 1


class _Sources:
    """Which base each address leads to, through what is opened."""

    def __init__(self, base_sizes: Sequence[int], openings: Sequence[Opening]) -> None:
        self._ends = list(accumulate([*base_sizes, *(one.size for one in openings)]))
        self._bases, self._openings = len(base_sizes), openings

    def parts(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Cut a run of addresses: bases and lengths."""
        while start < end:
            place = bisect_right(self._ends, start)
            stop = min(end, self._ends[place])
            yield self._base(place), stop - start
            start = stop

    def _base(self, place: int) -> int:
        while place >= self._bases:
            place = bisect_right(self._ends, self._openings[place - self._bases].parts[0][0])
        return place


class _Runs:
    """Differing runs, taken in step with what is copied."""

    def __init__(self, runs: Sequence[tuple[int, int]]) -> None:
        self._runs = iter(runs)
        self._equal, self._unlike = next(self._runs, (-1, 0))

    def take(self, length: int) -> int:
        """How many of the next copied bytes differ."""
        count = 0
        while length and self._equal >= 0:
            step = min(length, self._equal)
            self._equal, length = self._equal - step, length - step
            if self._equal:
                break
            step = min(length, self._unlike)
            self._unlike, length, count = self._unlike - step, length - step, count + step
            if not self._unlike:
                self._equal, self._unlike = next(self._runs, (-1, 0))
            elif not length:
                break
        return count

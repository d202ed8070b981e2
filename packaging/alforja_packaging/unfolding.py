"""Open an output's streams and those of its bases, so that a patch can tell how what is inside them changed.

Only a hub needs this. What is found, and proven, is `archives`'; this lays it out as
a recipe does (docs/format.md section 7.3).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from alforja_packaging.archives import find_streams, unpack
from alforja_packaging.covers import Match
from alforja_packaging.frames import NEEDS_JPEG_XL, NEEDS_ZLIB
from alforja_packaging.recipe import Closing, Opening
from alforja_packaging.streams import Jpeg, Stream, Tokens, Zlib

Intervals = tuple[np.ndarray, np.ndarray]
Transcode = Callable[[bytes], bytes | None]
"""Gives the JPEG XL of a JPEG, or None where there is none that is worth it: seconds for each megapixel."""

JPEGS_WORTH: Final = 64
"""JPEGs must be one byte in so many of those that are not copied: all else shrinks more, so they weigh most."""


@dataclass(frozen=True, slots=True)
class Unfolded:
    """An output whose streams are open: its plain bytes, how they are closed, and what that needs."""

    plain: bytes
    closings: tuple[Closing, ...] = ()

    @property
    def needs(self) -> int:
        """What a reader must be able to do."""
        methods = {type(closing.method) for closing in self.closings}
        return (NEEDS_ZLIB if Zlib in methods else 0) | (NEEDS_JPEG_XL if Jpeg in methods else 0)


def unfold(output: bytes, matches: Sequence[Match], old: bytes, *, transcode: Transcode | None = None) -> Unfolded:
    """Open the streams of an output, but those whose packed bytes are there to be copied.

    JPEGs are carried as what `transcode` gives of them, where they make up a part
    that is worth it; otherwise they are left as they are.
    """
    exact = _exact(matches, old, output)
    streams = [one for one in find_streams(output) if not _within(one, exact)]
    copied = sum(one.length for one in matches)
    if _jpeg_bytes(streams) * JPEGS_WORTH < max(1, len(output) - copied):
        transcode = None
    plain, closings, _, _ = _open(output, streams, transcode)
    return Unfolded(plain, tuple(closings))


def _jpeg_bytes(streams: Sequence[Stream]) -> int:
    return sum(one.length if isinstance(one.method, Jpeg) else _jpeg_bytes(one.inside) for one in streams)


def find_openings(old: bytes, matches: Sequence[Match], output: bytes) -> list[tuple[Opening, bytes]]:
    """Open the streams of the bases, but those that are copied as they are."""
    if not old:
        return []
    copied = _exact([Match(one.at, one.source, one.length) for one in sorted(matches, key=_source)], output, old)
    streams = [one for one in find_streams(old) if not _within(one, copied)]
    found: list[tuple[Opening, bytes]] = []
    end = len(old)
    waiting = [(old, 0, streams)]
    while waiting:
        data, address, level = waiting.pop()
        for stream in level:
            if isinstance(stream.method, Jpeg):
                continue
            plain = unpack(data, stream)
            parts = tuple((address + offset, length) for offset, length in stream.parts)
            found.append((Opening(parts, len(plain), stream.method), plain))
            if stream.inside:
                waiting.append((plain, end, list(stream.inside)))
            end += len(plain)
    return found


def _source(match: Match) -> int:
    return match.source


def _open(data: bytes, streams: Sequence[Stream], transcode: Transcode | None) -> tuple[bytes, list[Closing], int, int]:
    """Give the plain bytes, the closings in their order, how many of these are not inside others, and the tail."""
    plain: list[bytes] = []
    closings: list[Closing] = []
    count = at = 0
    for stream in streams:
        packed = unpack(data, stream)
        if isinstance(stream.method, Jpeg):
            transcoded = transcode(packed) if transcode else None
            if transcoded is None:
                continue
            packed = transcoded
        inner, inner_closings, children, tail = _open(packed, stream.inside, transcode)
        size = stream.length if isinstance(stream.method, Tokens | Jpeg) else 0
        closings.append(Closing(stream.method, stream.start - at, tail, children, size, tuple(_gaps(stream))))
        closings += inner_closings
        plain += [data[at : stream.start], *_between(data, stream), inner]
        at = stream.end
        count += 1
    plain.append(data[at:])
    return b"".join(plain), closings, count, len(data) - at


def _gaps(stream: Stream) -> Iterator[tuple[int, int]]:
    for before, after in pairwise(stream.parts):
        yield before[1], after[0] - sum(before)


def _between(data: bytes, stream: Stream) -> Iterator[bytes]:
    for before, after in pairwise(stream.parts):
        yield data[sum(before) : after[0]]


def _exact(matches: Sequence[Match], old: bytes, new: bytes) -> Intervals:
    """Where runs of `new` are copied without any difference: starts and ends, joined where they touch."""
    starts, ends = [0], [0]
    for one in matches:
        if old[one.source : one.source + one.length] != new[one.at : one.at + one.length]:
            continue
        if one.at <= ends[-1]:
            ends[-1] = max(ends[-1], one.at + one.length)
        else:
            starts.append(one.at)
            ends.append(one.at + one.length)
    return np.array(starts), np.array(ends)


def _within(stream: Stream, intervals: Intervals) -> bool:
    """Tell whether all bytes of a stream lie within one of the intervals."""
    starts, ends = intervals
    place = int(np.searchsorted(starts, stream.start, side="right")) - 1
    return place >= 0 and bool(stream.end <= ends[place])

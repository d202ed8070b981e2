"""Unpack what stands at a place, as far as it goes and within bounds.

Without what stands around it: headers and trailers are looked at by others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from alforja_packaging.archives.budget import Budget
from alforja_packaging.archives.places import Runs
from alforja_packaging.blocks import BROKEN, unpack_runs, unpacker
from alforja_packaging.streams import OPENED_MAX_RATIO, Packed, Zlib

_FEED_MIN_BYTES: Final = 512  # what is no stream mostly shows at once
_FEED_MAX_BYTES: Final = 64 * 1024
_AHEAD_MAX_BYTES: Final = 8 * 2**20  # a picture may begin with much of one colour
_PLAIN_MAX_BYTES: Final = 128 * 2**20  # held in memory by a hub, and deflated a few times

RAW: Final = Zlib(0, -15, 0, 0)


@dataclass(frozen=True, slots=True)
class Inflated:
    """What a stream unpacks to, and how many packed bytes it takes."""

    plain: bytes
    length: int


def inflate(data: memoryview, runs: Runs, budget: Budget, method: Packed = RAW) -> Inflated | None:
    """Unpack a stream that begins with the runs; None when there is none, or it opens too far."""
    opened = unpacker(method)
    plain, fed = bytearray(), 0
    most = min(budget.opened_left, _PLAIN_MAX_BYTES)
    for feed in _feeds(data, runs):
        fed += len(feed)
        bound = min(most, OPENED_MAX_RATIO * fed + _AHEAD_MAX_BYTES)
        try:
            for piece in unpack_runs(opened, [feed]):
                plain += piece
                if len(plain) > bound:
                    break
        except BROKEN:
            break
        if opened.eof:
            length = fed - len(opened.unused_data)
            if len(plain) > min(most, OPENED_MAX_RATIO * length):
                break
            budget.open(len(plain))
            return Inflated(bytes(plain), length)
        if len(plain) > bound:
            break
    budget.waste(fed + len(plain) // OPENED_MAX_RATIO)
    return None


def cut(runs: Runs, start: int, length: int) -> Runs:
    """Give the runs of so many bytes, from so many bytes on after the first."""
    kept = []
    for offset, size in runs:
        skipped = min(start, size)
        start -= skipped
        taken = min(length, size - skipped)
        length -= taken
        if taken:
            kept.append((offset + skipped, taken))
        if not length:
            break
    return tuple(kept)


def join(data: memoryview, runs: Runs) -> bytes:
    """Give the bytes of the runs, one after the other."""
    return b"".join(data[offset : offset + size] for offset, size in runs)


def _feeds(data: memoryview, runs: Runs) -> Iterator[memoryview]:
    size = _FEED_MIN_BYTES
    for offset, length in runs:
        at, end = offset, offset + length
        while at < end:
            yield data[at : min(at + size, end)]
            at += size
            size = min(2 * size, _FEED_MAX_BYTES)

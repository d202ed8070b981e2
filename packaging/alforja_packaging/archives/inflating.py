"""Inflate what stands at a place, as far as it goes and within bounds.

Always raw: a header and a trailer (RFC 1950) are looked at by others.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from alforja_packaging.archives.budget import Budget
from alforja_packaging.archives.places import Runs
from alforja_packaging.streams import OPENED_MAX_RATIO

_FEED_MIN_BYTES: Final = 512  # what is no stream mostly shows at once
_FEED_MAX_BYTES: Final = 64 * 1024
_PLAIN_MAX_BYTES: Final = 128 * 2**20  # held in memory by a hub, and deflated a few times


@dataclass(frozen=True, slots=True)
class Inflated:
    """What a stream unpacks to, and how many packed bytes it takes."""

    plain: bytes
    length: int


def inflate(data: memoryview, runs: Runs, budget: Budget) -> Inflated | None:
    """Inflate a raw stream that begins with the runs; None when there is none, or it opens too far."""
    inflater = zlib.decompressobj(-15)
    plain, taken = bytearray(), 0
    for fed in _feeds(data, runs):
        most = min(OPENED_MAX_RATIO * (taken + len(fed)), budget.opened_left, _PLAIN_MAX_BYTES)
        try:
            plain += inflater.decompress(fed, most - len(plain) + 1)
        except zlib.error:
            taken += len(fed)
            break
        taken += len(fed) - len(inflater.unused_data)
        if len(plain) > most or inflater.unconsumed_tail:
            break
        if inflater.eof:
            if len(plain) > OPENED_MAX_RATIO * taken:
                break
            budget.open(len(plain))
            return Inflated(bytes(plain), taken)
    budget.waste(taken + len(plain))
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

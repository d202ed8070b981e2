"""Find which held files resemble a new one, by sampled features of their content.

A feature is a hash of 32 neighbouring bytes, kept when it falls below a
threshold: the same bytes give the same features wherever they stand (min-wise
sampling; Broder 1997, Manber 1994). Only a hub needs this.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.uint64]
"""Sorted distinct features of one content."""

SAMPLING_BYTES: Final = 64  # one feature for so many bytes of a small file
FEATURES_MAX: Final = 16384  # of one content: a film keeps its densest sample within 128 KiB

SKETCH_MAX: Final = 4096  # features of a whole release: enough to tell a tenth from a quarter

_SHORTLIST = 256
_WINDOW = 32
_MULTIPLIERS = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64
)
_STEP = 4 * 2**20


def find_features(pieces: Iterable[bytes]) -> Features:
    """Sample the features of a content given in pieces."""
    found = [np.empty(0, dtype=np.uint64)]
    tail = b""
    for piece in pieces:
        for at in range(0, len(piece), _STEP):
            block = tail + piece[at : at + _STEP]
            found.append(_sample(block))
            tail = block[-(_WINDOW - 1) :]
    features = np.unique(np.concatenate(found))
    return features[:FEATURES_MAX]  # the smallest ones: a min-wise sample, comparable between contents


def _sample(block: bytes) -> Features:
    if len(block) < _WINDOW:
        return np.empty(0, dtype=np.uint64)
    # All 8-byte words, at every offset.
    words = np.lib.stride_tricks.as_strided(
        np.frombuffer(block, dtype=np.uint8), shape=(len(block) - 7, 8), strides=(1, 1)
    )
    flat = np.ascontiguousarray(words).view(np.uint64).ravel()
    count = len(block) - _WINDOW + 1
    mixed = np.zeros(count, dtype=np.uint64)
    for part, multiplier in enumerate(_MULTIPLIERS):
        mixed ^= flat[8 * part : 8 * part + count] * multiplier
        mixed *= np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(29)
    return mixed[mixed < np.uint64(2**64 // SAMPLING_BYTES)]


def sketch(features: Iterable[Features]) -> Features:
    """Sample the features of many contents as if they were one: the smallest of them all."""
    smallest = np.empty(0, dtype=np.uint64)
    for one in features:
        smallest = np.unique(np.concatenate([smallest, one[:SKETCH_MAX]]))[:SKETCH_MAX]
    return smallest


def share(wanted: Features, known: Features) -> float:
    """Estimate from two sketches which part of the one's bytes the other has (containment; Broder 1997)."""
    bounds = [one[-1] for one in (wanted, known) if one.size == SKETCH_MAX]
    seen = wanted[wanted <= min(bounds)] if bounds else wanted
    return float(np.isin(seen, known, assume_unique=True).mean()) if seen.size else 0.0


def choose_alike(wanted: Features, others: Sequence[Features], *, least: float, most: int) -> list[int]:
    """Choose at most `most` of some sketches that have at least the part `least` of one, the best first."""
    shares = {place: share(wanted, one) for place, one in enumerate(others)}
    alike = [place for place, part in shares.items() if part >= least]
    return sorted(alike, key=lambda place: (-shares[place], place))[:most]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may serve as a base: its features, its size in bytes, and from which frame on it is held."""

    features: Features
    size: int
    held_from: int


class Pool:
    """Candidates, indexed so that thousands can be ranked at once."""

    def __init__(self, candidates: Sequence[Candidate], *, worth: int) -> None:
        self._candidates, self._worth = candidates, worth
        features = np.concatenate([candidate.features for candidate in candidates] or [np.empty(0, dtype=np.uint64)])
        owners = np.repeat(np.arange(len(candidates)), [candidate.features.size for candidate in candidates])
        order = np.argsort(features, kind="stable")
        self._features, self._owners = features[order], owners[order]
        self._held_from = np.array([candidate.held_from for candidate in candidates], dtype=np.int64)

    def rank(self, wanted: Features, *, frame: int, budget: int, without: Collection[int] = ()) -> list[int]:
        """Choose candidates that together resemble `wanted` most, the best first.

        Greedy cover over what is held before frame number `frame`: each choice has
        the most features not covered yet, until `budget` bytes are used. A choice
        must serve for at least one byte in `worth` of its own.
        """
        first = np.searchsorted(self._features, wanted, side="left")
        last = np.searchsorted(self._features, wanted, side="right")
        runs = [np.arange(one, other) for one, other in zip(first, last, strict=True) if one < other]
        hits = np.concatenate(runs) if runs else np.empty(0, dtype=np.int64)
        counts = np.bincount(self._owners[hits], minlength=len(self._candidates))
        counts[self._held_from >= frame] = 0
        counts[list(without)] = 0
        best = [int(number) for number in np.argsort(-counts, kind="stable")[:_SHORTLIST] if counts[number]]
        return self._cover(wanted, best, budget)

    def _cover(self, left: Features, shortlist: list[int], budget: int) -> list[int]:
        chosen: list[int] = []
        gains = dict.fromkeys(shortlist, left.size)
        while gains:
            # Gains only fall, so an old gain is an upper bound (lazy greedy; Minoux 1978).
            number = max(gains, key=lambda one: (gains[one], -one))
            candidate = self._candidates[number]
            gain = int(np.isin(candidate.features, left, assume_unique=True).sum())
            if gain < gains[number] and any(gain < other for one, other in gains.items() if one != number):
                gains[number] = gain
                if not gain:
                    del gains[number]
                continue
            del gains[number]
            useful = gain * max(SAMPLING_BYTES, candidate.size // max(candidate.features.size, 1))
            if candidate.size > budget or useful * self._worth < candidate.size:
                continue
            chosen.append(number)
            budget -= candidate.size
            left = np.setdiff1d(left, candidate.features, assume_unique=True)
        return chosen

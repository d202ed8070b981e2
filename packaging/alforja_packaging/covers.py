"""Find what new bytes share with old ones, wherever it stands. Only a hub needs this.

The finding is HDiffPatch's (a suffix array over all old bytes, covers chosen by what
they save); what it finds is written in our own form, so no school needs it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import hdiffpatch
import numpy as np
import numpy.typing as npt

from alforja_packaging.errors import FormatError

Bytes = npt.NDArray[np.uint8]

_MAGIC: Final = b"HDIFF13&\0"
_HEADER_NUMBERS: Final = 11
_JOIN_WITHIN: Final = 2  # differing runs so near each other are told as one: a run costs two bytes or more


@dataclass(frozen=True, slots=True)
class Match:
    """Bytes of the new content from `at` on that are those of the old from `source` on, nearly."""

    source: int
    at: int
    length: int


def find_matches(old: bytes, new: bytes) -> list[Match]:
    """Cover as much of `new` as pays by `old`, ascending and apart in `new`."""
    if not old or not new:
        return []
    return list(_parse(hdiffpatch.diff(old, new, validate=False)))


def find_differences(old: Bytes, new: Bytes, matches: Sequence[Match]) -> tuple[list[tuple[int, int]], bytes]:
    """Tell where matched bytes differ: runs in all of them together (equal, then unlike), and by how much."""
    if not matches:
        return [], b""
    changes = np.concatenate(
        [new[one.at : one.at + one.length] - old[one.source : one.source + one.length] for one in matches]
    )
    unlike = np.flatnonzero(changes)
    if not unlike.size:
        return [], b""
    breaks = np.flatnonzero(np.diff(unlike) > 1 + _JOIN_WITHIN)
    begins = unlike[np.concatenate([[0], breaks + 1])]
    ends = unlike[np.concatenate([breaks, [unlike.size - 1]])] + 1
    before = begins - np.concatenate([[0], ends[:-1]])
    values = np.concatenate([changes[begin:end] for begin, end in zip(begins, ends, strict=True)])
    return list(zip(before.tolist(), (ends - begins).tolist(), strict=True)), values.tobytes()


def _parse(data: bytes) -> Iterator[Match]:
    """Read the covers of an uncompressed HDIFF13 (HDiffPatch's `compressed_diff`, serialize_compressed_diff)."""
    if not data.startswith(_MAGIC):
        raise FormatError(
            "hdiffpatch: gives a diff of a kind that is not known", advice="install another version of it"
        )
    at = len(_MAGIC)
    numbers = []
    for _ in range(_HEADER_NUMBERS):
        number, at = _number(data, at, 0)
        numbers.append(number)
    count, packed = numbers[2], numbers[4]
    if packed:
        raise FormatError("hdiffpatch: gives covers that are compressed", advice="install another version of it")
    source_end = new_end = 0
    for _ in range(count):
        back = data[at] >> 7
        step, at = _number(data, at, 1)
        gap, at = _number(data, at, 0)
        length, at = _number(data, at, 0)
        match = Match(source_end + (-step if back else step), new_end + gap, length)
        source_end, new_end = match.source + length, match.at + length
        if length:
            yield match


def _number(data: bytes, at: int, tag_bits: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the highest first; its first byte has `tag_bits` bits of something else."""
    more = 1 << 7 - tag_bits
    byte = data[at]
    number, going = byte & more - 1, byte & more
    at += 1
    while going:
        byte = data[at]
        at += 1
        number, going = number << 7 | byte & 127, byte & 128
    return number, at

"""Numbers in few bits: columns of LEB128, which lie so that a compressor sees like beside like.

Written by appending, read from first to last; a reader never makes more numbers
than there are bytes. docs/format.md section 6.2.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from alforja_packaging.errors import FormatError

NUMBER_MAX: Final = 2**63 - 1
_BYTES_MAX = 9  # of one number: seven bits in each


def put_numbers(numbers: Iterable[int]) -> bytes:
    """Write numbers from 0 to 2^63 - 1, seven bits to a byte, the lowest first."""
    data = bytearray()
    for number in numbers:
        left = number
        while left > 127:
            data.append(left & 127 | 128)
            left >>= 7
        data.append(left)
    return bytes(data)


def fold(number: int) -> int:
    """Make a number with a sign one without: 0, -1, 1, -2, ... become 0, 1, 2, 3, ..."""
    return number << 1 if number >= 0 else ~(number << 1)


def unfold(number: int) -> int:
    """Undo `fold`."""
    return number >> 1 if not number & 1 else ~(number >> 1)


def gaps(places: Iterable[int]) -> list[int]:
    """Write rising places as how many lie between each and the one before it."""
    return [after - before - 1 for before, after in pairwise([-1, *places])]


class Columns:
    """What was written as columns, read in the same order. Raises FormatError, naming `what`."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._at, self._what = data, 0, what

    def number(self, most: int = NUMBER_MAX) -> int:
        """One number, at most `most`."""
        number = self.numbers(1)[0]
        if number > most:
            raise FormatError(f"{self._what}: states {number} where at most {most} can be")
        return number

    def numbers(self, count: int) -> list[int]:
        """A column of `count` numbers."""
        data, at = self._data, self._at
        if count > len(data) - at:
            raise self.fault("ends within its columns")
        found = []
        try:
            for _ in range(count):
                byte = data[at]
                at += 1
                if byte < 128:
                    found.append(byte)
                    continue
                number, shift = byte & 127, 7
                while byte > 127:
                    byte = data[at]
                    at += 1
                    number |= (byte & 127) << shift
                    shift += 7
                    if shift > 7 * _BYTES_MAX:
                        raise self.fault("holds a number beyond all bounds")
                found.append(number)
        except IndexError:
            raise self.fault("ends within its columns") from None
        self._at = at
        return found

    def places(self, count: int, below: int) -> list[int]:
        """A column of `count` rising places, all below `below`."""
        found, last = [], -1
        for gap in self.numbers(count):
            last += gap + 1
            found.append(last)
        if last >= below:
            raise self.fault(f"names place {last} of {below}")
        return found

    def take(self, length: int) -> bytes:
        """So many bytes as they are."""
        if length > len(self._data) - self._at:
            raise self.fault("ends within its columns")
        self._at += length
        return self._data[self._at - length : self._at]

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(len(self._data) - self._at)

    def fault(self, words: str) -> FormatError:
        """Make the error that says what is wrong."""
        return FormatError(f"{self._what}: {words}")

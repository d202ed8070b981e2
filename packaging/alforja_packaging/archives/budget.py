"""Bound what a search may cost, so that hostile bytes take time in proportion to their count and no more.

Nothing here measures time: the same bytes give the same answer on any computer.
"""

from typing import Final

from alforja_packaging.streams import OPENED_MAX_RATIO

_WASTE_RATIO: Final = 8  # bytes looked at in vain for each byte of the file
_WASTE_MIN_BYTES: Final = 2**20
_OPENED_MAX_BYTES: Final = 2**30  # of a file and all that is inside it: a hub has a few GB


class Budget:
    """What is left to spend on one file and all that is inside it."""

    def __init__(self, size: int) -> None:
        self._waste = _WASTE_RATIO * size + _WASTE_MIN_BYTES
        self._opened = min(OPENED_MAX_RATIO * size, _OPENED_MAX_BYTES)

    @property
    def is_spent(self) -> bool:
        """Whether the search should end here."""
        return self._waste <= 0

    @property
    def opened_left(self) -> int:
        """How many more plain bytes may be looked at."""
        return self._opened

    def waste(self, count: int) -> None:
        """Note that so many bytes were looked at in vain."""
        self._waste -= count

    def open(self, count: int) -> None:
        """Note that so many plain bytes were found."""
        self._opened -= count

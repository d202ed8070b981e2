"""A set of digests in little memory: what a node holds of a course of 100 000 files fits in some 5 MB.

A Python set of as many would take 20 MB: a fifth of all that a sync may use.
"""

from array import array
from collections.abc import Iterable, Iterator

_DIGEST_BYTES = 32
_EMPTY = 0xFFFFFFFF


class DigestSet:
    """Digests, to look up and to add to. An open hash table of places in one run of bytes."""

    __slots__ = ("_mask", "_places", "_run")

    def __init__(self, digests: Iterable[bytes] = ()) -> None:
        self._run = bytearray()
        self._places, self._mask = _table(1024)
        self.update(digests)

    def __len__(self) -> int:
        return len(self._run) // _DIGEST_BYTES

    def __iter__(self) -> Iterator[bytes]:
        return (bytes(self._run[at : at + _DIGEST_BYTES]) for at in range(0, len(self._run), _DIGEST_BYTES))

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, bytes) and self._places[self._find(digest)] != _EMPTY

    def add(self, digest: bytes) -> None:
        """Take one digest in."""
        slot = self._find(digest)
        if self._places[slot] != _EMPTY:
            return
        self._places[slot] = len(self)
        self._run += digest
        if len(self) * 2 > self._mask:
            self._grow()

    def update(self, digests: Iterable[bytes]) -> None:
        """Take digests in."""
        for digest in digests:
            self.add(digest)

    def _find(self, digest: bytes) -> int:
        """Give the slot of a digest, or the empty one where it would go."""
        # Python's own hash is keyed anew in each process: nobody can make digests that fall together.
        slot = hash(digest) & self._mask
        places, run = self._places, self._run
        while (place := places[slot]) != _EMPTY:
            at = place * _DIGEST_BYTES
            if run[at : at + _DIGEST_BYTES] == digest:
                break
            slot = (slot + 1) & self._mask
        return slot

    def _grow(self) -> None:
        self._places, self._mask = _table(4 * (self._mask + 1))
        for place, digest in enumerate(self):
            self._places[self._find(digest)] = place


def _table(size: int) -> tuple["array[int]", int]:
    return array("I", [_EMPTY]) * size, size - 1

"""Find by trial with which settings a stream was packed.

What was right once is tried first the next time. After some streams that nothing was
right for, trials become few.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from alforja_packaging.blocks import pack_runs
from alforja_packaging.streams import Packed

_KNOWN_MAX: Final = 4  # settings that are remembered
_MISSES_MAX: Final = 4  # streams in a row, until trials become few
_WHOLES_MAX: Final = 6  # times the whole text that trials for one stream may take
_BEGUN_MAX_BYTES: Final = 8 * 2**20  # and besides, by trials that end early

_T = TypeVar("_T")


class Trials(Generic[_T]):
    """What was right for the streams of one file so far."""

    def __init__(self) -> None:
        self.known: list[_T] = []
        self._misses = 0

    @property
    def are_few(self) -> bool:
        """Whether only what is common is worth a trial."""
        return self._misses >= _MISSES_MAX

    def in_order(self, common: Sequence[_T], others: Sequence[_T]) -> Iterator[_T]:
        """Give what was right before, then `others`, or what is `common` alone."""
        yield from self.known
        yield from (one for one in (common if self.are_few else others) if one not in self.known)

    def find(self, candidates: Iterable[_T], method_of: Callable[[_T], Packed | None], text: "Text") -> _T | None:
        """Give the first candidate whose method packs the text so. None: no trial was right, within bounded work."""
        work = _WHOLES_MAX * len(text.plain) + _BEGUN_MAX_BYTES
        for candidate in candidates:
            method = method_of(candidate)
            if method is None:
                continue
            same, cost = text.is_packed_by(method)
            if same:
                self._misses = 0
                self.known = [candidate, *(known for known in self.known if known != candidate)][:_KNOWN_MAX]
                return candidate
            work -= cost
            if work < 0:
                break
        self._misses += 1
        return None


class Text:
    """A text and what it was packed to; `step` are the bytes after which a trial is compared."""

    def __init__(self, plain: bytes, packed: bytes, step: int) -> None:
        self.plain, self._packed, self._step = plain, packed, step

    def is_packed_by(self, method: Packed) -> tuple[bool, int]:
        """Tell whether a method gives these bytes, and how much of the text was needed to tell."""
        view = memoryview(self.plain)
        at = taken = 0

        def feed() -> Iterator[memoryview]:
            nonlocal taken
            for start in range(0, len(view), self._step):
                taken = min(start + self._step, len(view))
                yield view[start:taken]

        for piece in pack_runs(feed(), method):
            if not self._packed.startswith(piece, at):
                return False, taken
            at += len(piece)
        return at == len(self._packed), taken

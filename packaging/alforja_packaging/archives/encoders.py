"""Find with which settings zstd or liblzma packed a stream, by trial.

What was right once is tried first the next time. An encoder costs so much to begin
with that trials of one file are counted.
"""

from collections.abc import Iterator
from typing import Final

from alforja_packaging.blocks import STEP_BYTES, pack_runs
from alforja_packaging.streams import ENCODERS_MAX, Xz, Zstd

_ZSTD_LOGS: Final = (
    (19, 13, 14), (20, 15, 16), (21, 16, 17), (21, 18, 18), (21, 18, 19), (21, 18, 19), (21, 19, 20), (21, 19, 20),
    (22, 20, 21), (22, 21, 22), (22, 21, 22), (22, 22, 23), (22, 22, 22), (22, 22, 23), (22, 23, 23), (22, 22, 22),
    (23, 23, 22), (23, 23, 22), (23, 24, 22),
)  # fmt: skip
"""Window, chain, hash of each level from 1 on, for more than 256 KiB or nobody knows how much (zstd, clevels.h)."""
_ZSTD_BY_ROWS: Final = range(5, 13)  # levels that have no chains
_ZSTD_BY_TREE: Final = range(13, 20)  # whose chains are trees, of two places for each byte
_ZSTD_COMMON: Final = (19, 3)  # libzim's; everybody's
_ZSTD_LEVELS: Final = (*_ZSTD_COMMON, 1, 6, 9, 10, 12, 15, 18, 2, 4, 5, 7, 8, 11, 13, 14, 16, 17)
_ZSTD_CHAIN_LOG_NONE: Final = 10

_XZ_COMMON: Final = (Xz(6, False), Xz(6, True))  # xz's, Python's and tar's; libzim's, but for the dictionary
_XZ_PRESETS: Final = (*_XZ_COMMON, *(Xz(preset, False) for preset in (5, 4, 3, 2, 1, 0)), Xz(5, True), Xz(3, True))
_MISSES_MAX: Final = 4  # streams in a row that no trial gives, until trials become few
_KNOWN_MAX: Final = 4
_WHOLES_MAX: Final = 6  # times the whole text that trials for one stream may take
_BEGUN_MAX_BYTES: Final = 8 * 2**20  # and besides, by trials that end early


class Encoders:
    """What the streams of one file were packed by so far."""

    def __init__(self) -> None:
        self._known: list[int | Xz] = []
        self._misses = 0
        self._left = ENCODERS_MAX

    @property
    def is_spent(self) -> bool:
        """Whether no further stream may be closed by zstd or liblzma."""
        return self._left <= 0

    def find(self, plain: bytes, packed: bytes, kind: type[Zstd] | type[Xz]) -> Zstd | Xz | None:
        """Give settings with which `plain` becomes `packed`."""
        self._left -= 1
        work = _WHOLES_MAX * len(plain) + _BEGUN_MAX_BYTES
        for candidate in self._candidates(kind):
            method = candidate if isinstance(candidate, Xz) else zstd_settings(candidate, len(plain))
            if method is None:
                continue
            same, cost = _packs_to(plain, packed, method)
            if same:
                self._misses = 0
                self._known = [candidate, *(known for known in self._known if known != candidate)][:_KNOWN_MAX]
                return method
            work -= cost
            if work < 0:
                break
        self._misses += 1
        return None

    def _candidates(self, kind: type[Zstd] | type[Xz]) -> Iterator[int | Xz]:
        """Levels of zstd, or presets of liblzma."""
        few = self._misses >= _MISSES_MAX
        trials: tuple[int | Xz, ...] = (
            (_ZSTD_COMMON if few else _ZSTD_LEVELS) if kind is Zstd else (_XZ_COMMON if few else _XZ_PRESETS)
        )
        known = [one for one in self._known if isinstance(one, Xz) == (kind is Xz)]
        yield from known
        yield from (one for one in trials if one not in known)


def zstd_settings(level: int, size: int) -> Zstd | None:
    """The settings of a level, as small as give the same for so many bytes; None when still too large."""
    window, chain, hashes = _ZSTD_LOGS[level - 1]
    reach = (size + 8).bit_length()  # places are counted from 2 on
    window = max(min(window, reach), hashes - 1)  # zstd itself makes tables no larger than twice the window
    if level in _ZSTD_BY_ROWS:
        chain = _ZSTD_CHAIN_LOG_NONE
    elif level in _ZSTD_BY_TREE:
        chain = min(chain, max(reach + 1, _ZSTD_CHAIN_LOG_NONE))
    method = Zstd(level, window, hashes, chain)
    return method if method.is_allowed else None


def _packs_to(plain: bytes, packed: bytes, method: Zstd | Xz) -> tuple[bool, int]:
    """Tell whether the settings give these bytes, and how much of the text was needed to tell."""
    view = memoryview(plain)
    at = taken = 0

    def feed() -> Iterator[memoryview]:
        nonlocal taken
        for start in range(0, len(view), STEP_BYTES):
            taken = start + STEP_BYTES
            yield view[start:taken]

    for piece in pack_runs(feed(), method):
        if not packed.startswith(piece, at):
            return False, taken
        at += len(piece)
    return at == len(packed), taken

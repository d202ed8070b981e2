"""Find with which settings zstd or liblzma packed a stream, by trial.

An encoder costs so much to begin with that the streams of one file are counted.
"""

from typing import Final

from alforja_packaging.archives.trials import Text, Trials
from alforja_packaging.blocks import STEP_BYTES
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


class Encoders:
    """What the streams of one file were packed by so far."""

    def __init__(self) -> None:
        self._levels, self._presets = Trials[int](), Trials[Xz]()
        self._left = ENCODERS_MAX

    @property
    def is_spent(self) -> bool:
        """Whether no further stream may be closed by zstd or liblzma."""
        return self._left <= 0

    def find(self, plain: bytes, packed: bytes, kind: type[Zstd] | type[Xz]) -> Zstd | Xz | None:
        """Give settings with which `plain` becomes `packed`."""
        self._left -= 1
        text = Text(plain, packed, STEP_BYTES)
        if kind is Xz:
            presets = self._presets.in_order(_XZ_COMMON, _XZ_PRESETS)
            return self._presets.find(presets, lambda preset: preset, text)
        levels = self._levels.in_order(_ZSTD_COMMON, _ZSTD_LEVELS)
        level = self._levels.find(levels, lambda level: zstd_settings(level, len(plain)), text)
        return None if level is None else zstd_settings(level, len(plain))


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

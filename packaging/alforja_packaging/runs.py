"""One run of bytes in the smallest form there is for it: as it is, zstd, or LZMA.

LZMA learns faster, which tells for a few hundred bytes; zstd can refer to a prefix.
docs/format.md section 6.1.
"""

import lzma
from typing import Final

from alforja_packaging import codec
from alforja_packaging.errors import FormatError, VerifyError

LZMA_MAX_BYTES: Final = 4 * 2**20  # what it unpacks to, and so its dictionary

_STORED, _ZSTD, _LZMA = 0, 1, 2
_HARDEST = {"compression_level": 22, "target_length": 4096, "checksum_flag": 0}
_FILTERS = [
    {
        "id": lzma.FILTER_LZMA1, "dict_size": LZMA_MAX_BYTES, "lc": 1, "lp": 0, "pb": 0, "mode": lzma.MODE_NORMAL,
        "nice_len": 273, "mf": lzma.MF_BT4,
    }
]  # fmt: skip


def pack_run(data: bytes, *, prefix: bytes = b"") -> bytes:
    """Write a run: a byte that says how, then the bytes."""
    forms = [bytes([_STORED]) + data, bytes([_ZSTD]) + codec.compress(data, prefix=prefix, options=_HARDEST)]
    if len(data) <= LZMA_MAX_BYTES and not prefix:
        forms.append(bytes([_LZMA]) + _to_lzma(data))
    return min(forms, key=len)


def unpack_run(packed: bytes, *, size: int, prefix: bytes = b"", what: str) -> bytes:
    """Give the `size` bytes of a run. Raises FormatError for an unknown form, VerifyError for anything broken."""
    form, body = packed[:1], packed[1:]
    if form == bytes([_STORED]):
        if len(body) != size:
            raise VerifyError(f"{what}: gives {len(body)} of the {size} bytes it should")
        return body
    if form == bytes([_ZSTD]):
        return codec.decompress_whole(body, size=size, prefix=prefix, what=what)
    if form == bytes([_LZMA]) and size <= LZMA_MAX_BYTES:
        return _from_lzma(body, size, what)
    raise FormatError(f"{what}: is packed in a form unknown to this program", advice="upgrade this program")


def _to_lzma(data: bytes) -> bytes:
    """Compress, and leave away what a reader that knows the size has no use for: the end's mark."""
    packed = lzma.compress(data, lzma.FORMAT_RAW, filters=_FILTERS)
    enough = len(packed)
    while enough and _unpack(packed[: enough - 1], len(data)) == data:
        enough -= 1
    return packed[:enough]


def _from_lzma(packed: bytes, size: int, what: str) -> bytes:
    try:
        data = _unpack(packed, size)
    except lzma.LZMAError as error:
        raise VerifyError(f"{what}: is not readable LZMA ({error})") from None
    if len(data) != size:
        raise VerifyError(f"{what}: gives {len(data)} of the {size} bytes it should")
    return data


def _unpack(packed: bytes, size: int) -> bytes:
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS).decompress(packed, max_length=size)

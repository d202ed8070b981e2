"""Decide how much of a file to answer with: RFC 9110's conditions and ranges, over values.

aiohttp's own file answer takes a stale `If-Range` for a fresh one, which would join
two releases into one file; that is why this is ours.
"""

import re
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.IGNORECASE)
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class Reply:
    """The status to answer with, and which bytes."""

    status: int
    offset: int = 0
    length: int = 0


def plan_reply(etag: str, size: int, *, if_none_match: str = "", if_range: str = "", wanted: str = "") -> Reply:
    """Choose status and bytes for a file of `size` bytes whose strong ETag is `etag`, quotes included.

    `wanted` is the `Range` header. Several ranges at once, or a range not
    understood, get the whole file, as RFC 9110 section 14.2 allows.
    """
    if if_none_match and _matches(etag, if_none_match):
        return Reply(304)
    match = _RANGE.fullmatch(wanted)
    if match is None or (if_range and if_range.strip() != etag) or not (match[1] or match[2]):
        return Reply(200, 0, size)
    if not match[1]:
        length = min(int(match[2]), size)
        return Reply(206, size - length, length) if length else Reply(416)
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return Reply(200, 0, size)
    if first >= size:
        return Reply(416)
    return Reply(206, first, min(last, size - 1) - first + 1)


def _matches(etag: str, stated: str) -> bool:
    return stated.strip() == "*" or etag in (match[1] for match in _TAG.finditer(stated))

"""Decide what a content team might do about a cost: what looks as if nobody meant to change it."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from alforja_hub.explain.rows import Row
from alforja_packaging.console import in_words
from alforja_packaging.layout import is_text, media_type

SMALL_BYTES: Final = 64  # a date, a build number, an identifier: nothing a teacher wrote
MANY: Final = 10  # files, before it looks like a tool's doing
_SPAN_MAX_BYTES = 4096
_AROUND_BYTES = 32
_REENCODED_MIN_BYTES = 10_000

Mark = Literal["time", "identifier", ""]

_TIME = re.compile(
    rb"\d{4}[-/.]\d\d?[-/.]\d\d?(?:[T ]\d\d?:\d\d(?::\d\d)?)?|\d\d?[-/.]\d\d?[-/.]\d{4}|\d\d?:\d\d(?::\d\d)?"
    rb"|\d{1,2}\.? [A-Z][a-z]{2,8}\.? \d{4}|[A-Z][a-z]{2,8} \d{1,2}, \d{4}"
    rb"|\b1[5-9]\d{8}(?:\d{3})?\b|\b20\d{6}(?:\d{6})?\b"  # seconds since 1970, and 20260203
)
_IDENTIFIER = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{8,}")


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two contents differ: bytes, and what stands in the place that differs."""

    bytes: int
    mark: Mark = ""


def compare(old: bytes, new: bytes) -> Difference:
    """Count the bytes that differ; with different lengths, those between the first and the last difference."""
    if old == new:
        return Difference(0)
    shorter = min(len(old), len(new))
    one, other = np.frombuffer(old, dtype=np.uint8), np.frombuffer(new, dtype=np.uint8)
    unlike = np.flatnonzero(one[:shorter] != other[:shorter])
    first = int(unlike[0]) if unlike.size else shorter
    if len(old) == len(new):
        return Difference(int(unlike.size), _mark(new, first, int(unlike[-1]) + 1))
    behind = np.flatnonzero(one[::-1][: shorter - first] != other[::-1][: shorter - first])
    same_end = int(behind[0]) if behind.size else shorter - first
    return Difference(max(len(old), len(new)) - same_end - first, _mark(new, first, len(new) - same_end))


def make_hints(rows: Sequence[Row], differences: Collection[tuple[Row, Difference]], total: int) -> list[str]:
    """Say what may be worth a look. `differences` are those of changed files that could be compared."""
    return [*_hint_small(rows, differences), *_hint_reencoded(rows, total)]


def _hint_small(rows: Sequence[Row], differences: Collection[tuple[Row, Difference]]) -> list[str]:
    changed = sum(row.reason == "changed" for row in rows)
    small = [(row, found) for row, found in differences if found.bytes < SMALL_BYTES]
    if len(small) < max(MANY, changed / 3):
        return []
    pages = all("html" in media_type(row.path) for row, _ in small)
    many, one = ("pages", "page") if pages else ("files", "file")
    times = sum(found.mark == "time" for _, found in small)
    names = sum(found.mark == "identifier" for _, found in small)
    if times > len(small) / 2:
        where, question = ", at a date or a time", f"does the export tool write when it ran into every {one}?"
    elif names > len(small) / 2:
        where, question = (
            ", at what looks like an identifier",
            f"does the export tool make up a new one for every {one}?",
        )
    else:
        where, question = "", f"does the export tool write a date or a number of its own into every {one}?"
    cost = in_words(sum(row.cost for row, _ in small))
    return [f"{len(small)} {many} changed by fewer than {SMALL_BYTES} bytes each{where} ({cost} in all): {question}"]


def _hint_reencoded(rows: Sequence[Row], total: int) -> list[str]:
    found = [
        row for row in rows
        if row.reason == "changed" and row.how == "whole" and row.size >= _REENCODED_MIN_BYTES and not is_text(row.path)
    ]  # fmt: skip
    cost = sum(row.cost for row in found)
    if not found or cost * 10 < total:
        return []
    what = "1 picture, film or the like" if len(found) == 1 else f"{len(found)} pictures, films or the like"
    return [f"{what} kept the name but nothing of the content ({in_words(cost)}): encoded again with nothing changed?"]


def _mark(new: bytes, first: int, last: int) -> Mark:
    """Tell what a difference from `first` to `last` lies in."""
    if last - first > _SPAN_MAX_BYTES:
        return ""
    start = max(0, first - _AROUND_BYTES)
    window = new[start : last + _AROUND_BYTES]
    marks: tuple[tuple[Mark, re.Pattern[bytes]], ...] = (("time", _TIME), ("identifier", _IDENTIFIER))
    for mark, pattern in marks:
        for match in pattern.finditer(window):
            if match.start() + start <= first < match.end() + start:
                return mark
    return ""

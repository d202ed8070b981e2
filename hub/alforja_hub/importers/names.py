"""Make names people and programs can use out of file names.

Titles, lesson ids that stay the same from release to release, and the order a
person would put `lesson2` and `lesson10` in.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection
from typing import Final

from alforja_packaging.errors import FormatError
from alforja_packaging.layout import check_id, path_key

_SLUG_MAX: Final = 48
_DIGITS: Final = re.compile(r"([0-9]+)")


def make_id(key: str, taken: Collection[str] = ()) -> str:
    """Make a lesson's id of the name its files share.

    The same key gives the same id in every release. A long key keeps its end, which
    tells most. A short digest of the key is added when letters were lost, the id was
    clipped, or it is taken or reserved.
    """
    folded = unicodedata.normalize("NFKD", key.casefold())
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    slug = words if len(words) <= _SLUG_MAX else words[-_SLUG_MAX:].partition("-")[2] or words[-_SLUG_MAX:]
    lost = any(letter.isalpha() and not letter.isascii() for letter in plain)
    if slug == words and not lost and slug not in taken and _usable(slug):
        return slug
    digest = hashlib.sha256(path_key(key)).hexdigest()[:8]
    return f"{slug or 'lesson'}-{digest}"


def tidy_title(name: str) -> str:
    """Turn a file or folder name into a title: `01_el-agua` into `El agua`."""
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    words = re.sub(r"[\s_-]+", " ", shown).strip()
    without_number = re.sub(r"^[0-9]+(?:[.)]|\b)[\s.]*", "", words)
    title = without_number or words
    return title[:1].upper() + title[1:]


def reading_order(path: str) -> tuple[tuple[tuple[int, int, str], ...], bytes]:
    """Order as a reader would: by folder, numbers by value, the index of a folder first, then by bytes."""
    folders, _, name = path.rpartition("/")
    keys: list[tuple[int, int, str]] = []
    for part in folders.split("/") if folders else []:
        keys += [(1, 0, ""), *_pieces(part)]
    keys.append((0, 0, "") if is_index(name) else (0, 1, ""))
    return (*keys, *_pieces(name)), path_key(path)


def is_index(name: str) -> bool:
    """Tell whether a file name (with its ending or not) opens its folder."""
    return name.partition(".")[0].casefold() in ("index", "readme", "_index", "start")


def _pieces(text: str) -> list[tuple[int, int, str]]:
    return [
        (2, int(piece[:18]), "") if piece[0] in "0123456789" else (3, 0, piece.casefold())
        for piece in _DIGITS.split(text)
        if piece
    ]


def _usable(slug: str) -> bool:
    try:
        check_id("lesson", slug)
    except FormatError:
        return False
    return True

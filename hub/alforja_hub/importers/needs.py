"""Decide which files a page needs to be shown, and which it only points to.

Pure: what a page holds is given as bytes, what the course holds as its paths.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from alforja_hub.importers.languages import language_of_name
from alforja_hub.importers.references import is_external, read_page, resolve
from alforja_packaging.layout import ending, media_type

HTML: Final = frozenset(["text/html", "application/xhtml+xml"])
READ_FOR_LINKS: Final = HTML | {"text/markdown", "text/css", "image/svg+xml"}
_DOCUMENT_ENDINGS: Final = frozenset(
    re.findall("[a-z0-9]+", "pdf epub docx pptx xlsx odt odp ods doc ppt xls rtf h5p gift ggb sb3 ipynb elpx")
)
_CAPTION_ENDINGS: Final = frozenset(["vtt", "srt"])
_PARAMETERS: Final = re.compile("[?#]")
_LISTING_MIN: Final = 5  # a page that points to so many documents lists them rather than needs them


@dataclass(frozen=True, slots=True)
class Facts:
    """What one page says, its addresses turned into paths the course holds.

    `pulls` are shown by the page; `offers` are documents and media it points to.
    `missing` are addresses it shows that nothing in the course answers, `online`
    those that need the internet.
    """

    title: str = ""
    language: str = ""
    pulls: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    online: tuple[str, ...] = ()


def find_facts(path: str, data: bytes, held: Collection[str]) -> Facts:
    """Read one page against the paths a course holds. Raises FormatError when it is not readable."""
    page = read_page(path, data)
    pulls: dict[str, None] = {}
    missing: list[str] = []
    for address in page.pulls:
        wanted = resolve(path, address)
        if wanted is None:
            continue
        found = next((choice for choice in (wanted, f"{wanted}/index.html".lstrip("/")) if choice in held), None)
        if found is None:
            missing.append(address)
        elif found != path:
            pulls[found] = None
    named = (address for address in page.links if is_document(_PARAMETERS.split(address, maxsplit=1)[0]))
    offers = dict.fromkeys(found for address in named if (found := resolve(path, address)) in held and found)
    online = tuple(address for address in page.pulls if is_external(address))
    return Facts(page.title, page.language, tuple(pulls), tuple(offers), tuple(missing[:3]), online[:3])


def is_document(path: str) -> bool:
    """Tell whether a learner would open a file by itself, though it is no page: a PDF, a video, a worksheet."""
    return is_media(path) or ending(path) in _DOCUMENT_ENDINGS


def is_media(path: str) -> bool:
    """Tell whether a file is played: video or audio."""
    return media_type(path).startswith(("video/", "audio/"))


def is_caption(path: str) -> bool:
    """Tell whether a file holds captions."""
    return ending(path) in _CAPTION_ENDINGS


def pair_captions(paths: Iterable[str], known: Collection[str] = ()) -> Mapping[str, tuple[str, ...]]:
    """Give the captions that belong to each video or audio file by their names.

    `v.vtt`, `v.es.vtt`, `v-es.srt` and `v_es.vtt` belong to `v.mp4` of the same folder.
    """
    media: dict[str, list[str]] = {}
    captions: list[str] = []
    for path in paths:
        if is_media(path):
            media.setdefault(_stem(path), []).append(path)
        elif is_caption(path):
            captions.append(path)
    pairs: dict[str, list[str]] = {}
    for path in captions:
        for owner in media.get(_caption_owner(path, media, known), ()):
            pairs.setdefault(owner, []).append(path)
    return {owner: tuple(found) for owner, found in pairs.items()}


def close_over(pages: Iterable[str], facts: Mapping[str, Facts], captions: Mapping[str, tuple[str, ...]]) -> list[str]:
    """List all that some pages need: the pages, then what they show, what that shows, captions, and what they offer."""
    order = dict.fromkeys(pages)
    waiting = list(order)
    offered: list[str] = []
    while waiting:
        path = waiting.pop(0)
        known = facts.get(path, Facts())
        offered += known.offers if len(known.offers) < _LISTING_MIN else ()
        for found in (*known.pulls, *captions.get(path, ())):
            if found not in order:
                order[found] = None
                waiting.append(found)
    for path in offered:
        order.update(dict.fromkeys((path, *captions.get(path, ()))))
    return list(order)


def _stem(path: str) -> str:
    return path[: -len(ending(path)) - 1]


def _caption_owner(path: str, media: Collection[str], known: Collection[str]) -> str:
    stem = _stem(path)
    if stem in media:
        return stem
    for at in range(len(stem) - 1, -1, -1):
        if stem[at] in ".-_" and stem[:at] in media and language_of_name(stem[at + 1 :], known):
            return stem[:at]
        if stem[at] == "/":
            break
    return ""

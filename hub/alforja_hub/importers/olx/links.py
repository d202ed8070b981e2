"""Turn Open edX's addresses into links between the pages and files of one folder.

Decides by names alone: what the course holds, which lesson a block is on.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import quote, unquote

from lxml import etree

from alforja_hub.importers.olx.fragments import Element, drop, replace, tag, text_of
from alforja_hub.importers.olx.words import Words

STATIC: Final = "static/"
CAPTIONS: Final = "captions/"

_ASSET: Final = re.compile(r"(?:^|/)(?:asset-v1:[^/@]+\+type@asset\+block@|c4x/[^/]+/[^/]+/asset/)([^?#]+)")
_STATIC: Final = re.compile(r"^(?:\.{0,2}/)*static/([^?#]+)")
_JUMP: Final = re.compile(r"(?:^|/)jump_to(?:_id)?/(?:[^/#?]*@)?([^/#?@]+)")
_I4X: Final = re.compile(r"^i4x://[^/]+/[^/]+/[^/]+/([^/?#]+)")
_KEPT: Final = re.compile(r"^(?:#|data:|mailto:|tel:|javascript:|about:|blob:)", re.IGNORECASE)
_ONLINE: Final = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_CSS_URL: Final = re.compile(r"""url\(\s*(["']?)([^"')]+)\1\s*\)""")

_SHOWING: Final = {"iframe": "src", "embed": "src", "object": "data", "img": "src", "input": "src"}


@dataclass(frozen=True, slots=True)
class Aim:
    """What an address leads to: a file held, a lesson, itself (`kept`), the internet, or nothing."""

    kind: Literal["held", "lesson", "kept", "online", "lost"]
    href: str


@dataclass(slots=True)
class Links:
    """Where things lie: `held` are the course's static paths, `places` the page and anchor of each block."""

    held: Collection[str]
    places: Mapping[str, str] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)
    lost: dict[str, None] = field(default_factory=dict)

    def find_static(self, name: str) -> str | None:
        """Give the course path of a static file by the name a page calls it; None when it is not held."""
        plain = unquote(name).strip().lstrip("/")
        for choice in (plain, served_name(plain), served_name(plain.replace("/", "_"))):
            if STATIC + choice in self.held:
                return STATIC + choice
        return None

    def aim(self, address: str) -> Aim:
        """Tell what an address of a page leads to."""
        address = address.strip()
        if not address or _KEPT.match(address) or address.startswith(f"../{CAPTIONS}"):
            return Aim("kept", address)
        if named := _ASSET.search(address) or _STATIC.match(address):
            if path := self.find_static(named[1]):
                return Aim("held", href_of(path) + _fragment(address))
            return Aim("online" if _ONLINE.match(address) else "lost", address)
        for pattern in (_JUMP, _I4X):
            if (jump := pattern.search(address)) and (place := self.places.get(unquote(jump[1]))):
                return Aim("lesson", place)
        if place := self.places.get(address.partition("#")[0]):
            return Aim("lesson", place)
        return Aim("online" if _ONLINE.match(address) else "lost", address)

    def mend(self, root: Element, words: Words) -> None:
        """Make every link in a piece of a page lead somewhere in the course, or say where it led."""
        for element in list(root.iter(etree.Element)):
            if style := element.get("style"):
                element.set("style", self.mend_css(style))
            match element.tag:
                case "a" | "area":
                    self._mend_anchor(element)
                case "script" | "link":
                    self._mend_support(element)
                case "style":
                    element.text = self.mend_css(element.text or "")
                case "img" | "iframe" | "embed" | "object" | "input":
                    self._mend_shown(element, words)
                case "video" | "audio" | "source" | "track":
                    self._mend_media(element, words)

    def mend_css(self, text: str) -> str:
        """Make the addresses in a style lead into the course."""

        def turn(match: re.Match[str]) -> str:
            return f"url({match[1]}{self.aim(match[2]).href}{match[1]})"

        return _CSS_URL.sub(turn, text)

    def _mend_anchor(self, element: Element) -> None:
        element.attrib.pop("target", "")
        address = element.get("href")
        if address is None:
            return
        aim = self.aim(address)
        if aim.kind == "lost":
            element.attrib.pop("href")
            self._lose(address, "links")
        else:
            element.set("href", aim.href)

    def _mend_support(self, element: Element) -> None:
        name = "src" if element.tag == "script" else "href"
        address = element.get(name)
        if address is None:
            return
        aim = self.aim(address)
        if aim.kind in ("held", "kept"):
            element.set(name, aim.href)
        else:
            self._lose(address, "online" if aim.kind == "online" else "files")
            drop(element)  # a style that waits for the internet would keep the page blank

    def _mend_shown(self, element: Element, words: Words) -> None:
        name = _SHOWING[str(element.tag)]
        element.attrib.pop("srcset", "")
        address = element.get(name)
        if address is None:
            return
        aim = self.aim(address)
        if aim.kind in ("held", "kept", "lesson"):
            element.set(name, aim.href)
            return
        self._lose(address, "online" if aim.kind == "online" else "files")
        title = element.get("alt") or element.get("title") or text_of(element)
        if aim.kind == "online":
            replace(element, pointer(words["external"], aim.href, title))
        else:
            replace(element, tag("span", f"[{words['lost']}: {title or address}]", class_="note"))

    def _mend_media(self, element: Element, words: Words) -> None:
        if poster := element.get("poster"):
            element.set("poster", self.aim(poster).href)
        address = element.get("src")
        if address is None:
            return
        aim = self.aim(address)
        if aim.kind in ("held", "kept"):
            element.set("src", aim.href)
            return
        self._lose(address, "online" if aim.kind == "online" else "files")
        replace(element, pointer(words["video"], aim.href, ""))

    def _lose(self, address: str, kind: str) -> None:
        self.tally[kind] += 1
        if kind == "files":
            self.lost[address] = None


def served_name(name: str) -> str:
    """Give the name Open edX serves a static file by: all but letters, digits, `.`, `-` and `%` becomes `_`."""
    return re.sub("_+", "_", re.sub(r"[^\w.%-]", "_", name))


def served_paths(paths: Iterable[str]) -> dict[str, str]:
    """Give the course paths of static files, and the file behind each.

    A name with letters that Open edX replaces gives two paths, its own and the one it
    is served by, so that styles and scripts, which nobody rewrites, find it too. Being
    the same content, the second costs nothing.
    """
    own = list(paths)
    served = {STATIC + served_name(path.removeprefix(STATIC).replace("/", "_")): path for path in own}
    return served | {path: path for path in own}


def href_of(path: str) -> str:
    """Write a course path as an address on a lesson's page, which lies one folder down."""
    return "../" + quote(path, safe="/!$&'()*+,;=:@~-._", errors="surrogateescape")


def pointer(words: str, address: str, title: str) -> Element:
    """Say that something is on the internet, and where, readable on paper too."""
    link = tag("a", address, href=address)
    return tag("span", f"{words} ", tag("q", title) if title else None, " " if title else None, link, class_="note")


def _fragment(address: str) -> str:
    return "#" + address.partition("#")[2] if "#" in address else ""

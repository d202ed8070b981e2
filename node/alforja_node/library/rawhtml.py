"""Keep, of raw HTML in a Markdown text, what a reader would miss and what can do no harm.

Real courses write `<br>`, `<sup>` and `<img>` in their Markdown. A tag is kept only
by its name in a short list, never with attributes of its own; addresses are decided
as Markdown's are; whatever is opened is closed. The words between tags stay.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import Final

_KEPT: Final = frozenset(
    [
        "b", "blockquote", "code", "dd", "del", "dl", "dt", "em", "i", "kbd", "li", "mark", "ol", "p", "pre", "s",
        "small", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
    ]
)  # fmt: skip
_EMPTY: Final = frozenset(["br", "hr"])
_RENAMED: Final = {"summary": "strong", "ins": "u", "strike": "s", "tt": "code"}
_SILENT: Final = frozenset(["script", "style", "title", "template", "iframe", "object", "svg", "math", "noscript"])
_BLOCKS: Final = frozenset(["div", "h1", "h2", "h3", "h4", "h5", "h6", "center", "section", "figure", "figcaption"])
_PIXELS: Final = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class Shows:
    """What a picture's address leads to: where it is, and the first half of its media type."""

    url: str
    kind: str = "image"


@dataclass(frozen=True, slots=True)
class Leads:
    """Where a link's address leads; `out` of the school, where there may be no internet."""

    url: str
    out: bool = False


@dataclass(frozen=True, slots=True)
class Addresses:
    """Decides addresses of a text. `link` and `picture` give None for what leads nowhere."""

    link: Callable[[str], Leads | None]
    picture: Callable[[str], Shows | None]


class Sieve:
    """Lets raw HTML through, tag by tag, as far as it is harmless. One for each run of text."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._open: list[str] = []

    def let_through(self, html: str) -> str:
        """Give what may stay of some raw HTML. What it leaves open is closed by `close`."""
        parser = _Parser(self._addresses, self._open)
        parser.feed(html)
        parser.close()
        return "".join(parser.kept)

    def close(self) -> str:
        """Close what is still open."""
        closing = "".join(f"</{name}>" for name in reversed(self._open))
        self._open.clear()
        return closing


def open_link(leads: Leads) -> str:
    """Write the opening tag of a link; one that leads out of the school is marked."""
    rel = ' rel="external noopener noreferrer"' if leads.out else ""
    return f'<a href="{escape(leads.url)}"{rel}>'


def show(shows: Shows, alt: str, width: str = "") -> str:
    """Write a picture, or a player where the address is of something that is played."""
    if shows.kind in ("video", "audio"):
        named = f'src="{escape(shows.url)}" aria-label="{escape(alt)}"'
        return f'<{shows.kind} controls preload="metadata" {named}></{shows.kind}>'
    sized = f' width="{width}"' if _PIXELS.fullmatch(width) else ""
    return f'<img src="{escape(shows.url)}" alt="{escape(alt)}"{sized} loading="lazy">'


class _Parser(HTMLParser):
    def __init__(self, addresses: Addresses, opened: list[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.kept: list[str] = []
        self._addresses, self._open = addresses, opened
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = _RENAMED.get(tag, tag)
        if name in _SILENT:
            self._silent += 1
        elif self._silent:
            return
        elif name == "img":
            self._show({key: value or "" for key, value in attrs})
        elif name == "a":
            address = dict(attrs).get("href")
            leads = self._addresses.link(address) if address else None
            if leads is not None:
                self.kept.append(open_link(leads))
                self._open.append("a")
        elif name in _EMPTY:
            self.kept.append(f"<{name}>")
        elif name in _KEPT:
            self.kept.append(f"<{name}>")
            self._open.append(name)
        elif name in _BLOCKS:
            self.kept.append("<br>" if self.kept else "")

    def handle_endtag(self, tag: str) -> None:
        name = _RENAMED.get(tag, tag)
        if name in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif name in self._open and not self._silent:
            while (last := self._open.pop()) != name:
                self.kept.append(f"</{last}>")
            self.kept.append(f"</{name}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _EMPTY or tag == "img":
            self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.kept.append(escape(data, quote=False))

    def _show(self, attributes: dict[str, str]) -> None:
        alt = attributes.get("alt", "")
        shows = self._addresses.picture(attributes.get("src", ""))
        self.kept.append(escape(alt) if shows is None else show(shows, alt, attributes.get("width", "")))

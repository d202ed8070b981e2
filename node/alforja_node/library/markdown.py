"""Turn a lesson's Markdown into HTML that can do nothing but be read.

Raw HTML never passes, every address is decided by the caller, and headings fit
below the page's own.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_NOT_IN_SLUG: Final = re.compile(r"[^\w\- ]")
_NESTING_MAX: Final = 20
_MEDIA_ENDINGS: Final = {"video": "video", "audio": "audio"}
ANCHOR: Final = "t-"  # before every anchor of a text, so that none is one of the page's own


@dataclass(frozen=True, slots=True)
class Shows:
    """What an image's address leads to: where it is, and the first half of its media type."""

    url: str
    kind: str = "image"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Decides addresses of a text. `link` and `picture` give None for what leads nowhere."""

    link: Callable[[str], str | None]
    picture: Callable[[str], Shows | None]


def render_markdown(text: str, title: str, addresses: Addresses) -> str:
    """Give the HTML of a text; its first heading is left out when it only repeats the page's `title`."""
    parser = _parser()
    tokens = parser.parse(_FRONT_MATTER.sub("", text.replace("\r\n", "\n"), count=1))
    tokens = _drop_title(tokens, title)
    _fit_headings(tokens)
    for token in tokens:
        if token.children:
            _mend(token.children, addresses)
    return str(parser.renderer.render(tokens, parser.options, {}))


def slug_of(heading: str) -> str:
    """Give the anchor of a heading, as GitHub makes it, so that a course's own links to it hold."""
    return _NOT_IN_SLUG.sub("", heading.strip().lower()).replace(" ", "-")


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # noqa: PLC0415 (2 MiB that a library without Markdown need not hold)

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _NESTING_MAX}).enable(["table", "strikethrough"])
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", _close_table)
    parser.add_render_rule("fence", _focusable("fence"))
    parser.add_render_rule("code_block", _focusable("code_block"))
    parser.add_render_rule("image", _show)
    return parser


def _open_table(_self: Any, _tokens: Sequence["Token"], _at: int, _options: Any, _env: Any) -> str:
    return '<div class="wide" tabindex="0"><table>\n'  # scrolls by itself on a phone, by keyboard too


def _close_table(_self: Any, _tokens: Sequence["Token"], _at: int, _options: Any, _env: Any) -> str:
    return "</table></div>\n"


def _focusable(name: str) -> Callable[..., str]:
    def render(self: Any, tokens: Sequence["Token"], at: int, options: Any, env: Any) -> str:
        html: str = getattr(type(self), name)(self, tokens, at, options, env)
        return html.replace("<pre>", '<pre tabindex="0">', 1)

    return render


def _show(self: Any, tokens: Sequence["Token"], at: int, options: Any, env: Any) -> str:
    token = tokens[at]
    kind = str(token.meta.get("kind", "image"))
    if kind in _MEDIA_ENDINGS:
        from markdown_it.common.utils import escapeHtml  # noqa: PLC0415 (as above)

        url, name = escapeHtml(str(token.attrs["src"])), escapeHtml(token.content)
        return f'<{kind} controls preload="metadata" src="{url}" aria-label="{name}"></{kind}>'
    return str(type(self).image(self, tokens, at, options, env))


def _drop_title(tokens: list["Token"], title: str) -> list["Token"]:
    if (
        len(tokens) > 2
        and tokens[0].type == "heading_open"
        and tokens[1].content.strip().casefold() == title.casefold()
    ):
        return tokens[3:]
    return tokens


def _fit_headings(tokens: Sequence["Token"]) -> None:
    """Begin at level 2, and never skip a level on the way down."""
    opened = [at for at, token in enumerate(tokens) if token.type == "heading_open" and token.level == 0]
    highest = min((int(tokens[at].tag[1]) for at in opened), default=2)
    level, seen = 1, set()
    for at in opened:
        level = min(int(tokens[at].tag[1]) - highest + 2, level + 1, 6)
        tokens[at].tag = tokens[at + 2].tag = f"h{level}"
        slug = slug_of(_words_of(tokens[at + 1]))
        if slug and slug not in seen:
            tokens[at].attrSet("id", ANCHOR + slug)
            seen.add(slug)
    for token in tokens:
        if token.type in ("heading_open", "heading_close") and token.level > 0:
            token.tag = f"h{min(level + 1, 6)}"  # a heading inside a quotation or a list


def _words_of(inline: "Token") -> str:
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))


def _mend(children: Sequence["Token"], addresses: Addresses) -> None:
    """Decide every address in a run of text; what leads nowhere keeps its words alone."""
    opened: list[bool] = []
    for token in children:
        if token.type == "link_open":
            url = addresses.link(str(token.attrs.get("href", "")))
            opened.append(url is None)
            token.hidden = url is None
            if url is not None:
                token.attrs = {"href": url} | ({"rel": "noopener noreferrer"} if "://" in url else {})
        elif token.type == "link_close" and opened:
            token.hidden = opened.pop()
        elif token.type == "image":
            _mend_picture(token, addresses)


def _mend_picture(token: "Token", addresses: Addresses) -> None:
    shows = addresses.picture(str(token.attrs.get("src", "")))
    if shows is None:
        token.type, token.tag, token.attrs = "text", "", {}
        token.children = None
        return
    token.attrs = {"src": shows.url, "alt": token.content, "loading": "lazy"}
    token.meta["kind"] = shows.kind

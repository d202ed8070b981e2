"""Turn a lesson's Markdown into HTML that can do nothing but be read.

Every address is decided by the caller, headings fit below the page's own, and raw
HTML passes a sieve.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from alforja_node.library.rawhtml import Addresses, Sieve, open_link, show

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_NOT_IN_SLUG: Final = re.compile(r"[^\w\- ]")
_NESTING_MAX: Final = 20
_HEADING_MAX: Final = 6
ANCHOR: Final = "t-"  # before every anchor of a text, so that none is one of the page's own


def render_markdown(text: str, title: str, addresses: Addresses) -> str:
    """Give the HTML of a text; its first heading is left out when it only repeats the page's `title`."""
    parser = _parser()
    tokens = parser.parse(_FRONT_MATTER.sub("", text.replace("\r\n", "\n"), count=1))
    tokens = _drop_title(tokens, title)
    _fit_headings(tokens)
    for token in tokens:
        if token.type == "inline":
            token.children = _mend(token.children or [], addresses)
        elif token.type == "html_block":
            sieve = Sieve(addresses)
            token.content = sieve.let_through(token.content) + sieve.close() + "\n"
    return str(parser.renderer.render(tokens, parser.options, {}))


def slug_of(heading: str) -> str:
    """Give the anchor of a heading, as GitHub makes it, so that a course's own links to it hold."""
    return _NOT_IN_SLUG.sub("", heading.strip().lower()).replace(" ", "-")


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # noqa: PLC0415 (2 MiB that a library without Markdown need not hold)

    # Raw HTML is only recognised here; what may stay of it, `Sieve` says.
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": _NESTING_MAX}).enable(["table", "strikethrough"])
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", _close_table)
    parser.add_render_rule("fence", _focusable("fence"))
    parser.add_render_rule("code_block", _focusable("code_block"))
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


def _drop_title(tokens: list["Token"], title: str) -> list["Token"]:
    at = next((at for at, token in enumerate(tokens) if token.type != "html_block"), 0)
    first = tokens[at : at + 2]
    if len(first) > 1 and first[0].type == "heading_open" and first[1].content.strip().casefold() == title.casefold():
        return tokens[:at] + tokens[at + 3 :]
    return tokens


def _fit_headings(tokens: Sequence["Token"]) -> None:
    """Begin at level 2, and never skip a level on the way down."""
    opened = [at for at, token in enumerate(tokens) if token.type == "heading_open"]
    highest = min((int(tokens[at].tag[1]) for at in opened), default=2)
    level, seen = 1, set()
    for at in opened:
        level = min(int(tokens[at].tag[1]) - highest + 2, level + 1, _HEADING_MAX)
        tokens[at].tag = tokens[at + 2].tag = f"h{level}"
        slug = slug_of(_words_of(tokens[at + 1]))
        if slug and slug not in seen:
            tokens[at].attrSet("id", ANCHOR + slug)
            seen.add(slug)


def _words_of(inline: "Token") -> str:
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))


def _mend(children: Sequence["Token"], addresses: Addresses) -> list["Token"]:
    """Decide every address in a run of text; what leads nowhere keeps its words alone."""
    links: list[bool] = []
    sieves = [Sieve(addresses)]  # one for each depth, so that raw HTML and Markdown never close one another
    mended = []
    for token in children:
        if token.nesting < 0:
            mended.append(_ready(sieves.pop().close()))
        mended.append(_mend_one(token, addresses, sieves[-1], links))
        if token.nesting > 0:
            sieves.append(Sieve(addresses))
    return [*mended, _ready(sieves.pop().close())]


def _mend_one(token: "Token", addresses: Addresses, sieve: Sieve, links: list[bool]) -> "Token":
    match token.type:
        case "link_open":
            leads = addresses.link(str(token.attrs.get("href", "")))
            links.append(leads is not None)
            return _ready("" if leads is None else open_link(leads))
        case "link_close":
            return _ready("</a>" if links and links.pop() else "")
        case "image":
            address = str(token.attrs.get("src", ""))
            shows, alt = addresses.picture(address), _words_of(token)
            return _text(alt or address.rpartition("/")[2]) if shows is None else _ready(show(shows, alt))
        case "html_inline":
            return _ready(sieve.let_through(token.content))
        case _:
            return token


def _ready(html: str) -> "Token":
    """Make a token of HTML that we wrote."""
    from markdown_it.token import Token  # noqa: PLC0415 (as in `_parser`)

    return Token("html_inline", "", 0, content=html)


def _text(words: str) -> "Token":
    from markdown_it.token import Token  # noqa: PLC0415 (as in `_parser`)

    return Token("text", "", 0, content=words)

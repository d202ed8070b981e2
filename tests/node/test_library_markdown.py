"""Markdown becomes a page that can only be read."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alforja_node.library.markdown import render_markdown
from alforja_node.library.rawhtml import Addresses, Leads, Shows

HARMLESS = frozenset(
    re.findall(
        "[a-z0-9]+",
        """
    a audio b blockquote br code dd del div dl dt em h2 h3 h4 h5 h6 hr i img kbd li mark ol p pre s small strong
    sub sup table tbody td th thead tr u ul video
    """,
    )
)
ATTRIBUTES = frozenset(
    re.findall("[a-z-]+", "alt aria-label class controls href id loading preload rel src start style tabindex width")
)
NOWHERE = Addresses(lambda _: None, lambda _: None)
OWN = Addresses(
    lambda address: Leads("/to", out=address.startswith("http")),
    lambda address: Shows("http://content/of", "video" if address.endswith(".mp4") else "image"),
)


class Census(HTMLParser):
    """Counts what a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")
        if tag not in ("br", "hr", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


HOSTILE = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<img src='x' style='x' srcset='//evil.example/y 2x'>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "![x](javascript:alert(1))",
    "<a href='javascript:alert(1)'>x</a>",
    "<svg onload=alert(1)><script>1</script></svg>",
    "<iframe srcdoc='<script>1</script>'></iframe>",
    "</article></main></body><h1>mine</h1>",
    "a <b>never closed\n\nnext",
    "<table><tr><td>never closed\n\nnext",
    "<form action=//evil.example><input name=q></form>",
    "<style>*{display:none}</style>",
    "<math><mtext></table><script>1</script>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example>",
    '![a" onerror="alert(1)](x.png)',
    '[a](x "t\\" onclick=\\"alert(1)")',
    '```x" onmouseover="alert(1)\ncode\n```',
    "<!-- <script>alert(1)</script> -->",
    "<!--><script>alert(1)</script>-->",
    "<details open ontoggle=alert(1)><summary>s</summary>",
    "<div><p><b></div></p></b>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<b>**x</b>**",
    "*a <i>b* c</i>",
    "[a <b>b](x) c</b>",
    "<b id=main class=top>x</b>",
    "<a name=x>y</a>",
    "> <script>\n> alert(1)\n> </script>",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("addresses", [NOWHERE, OWN], ids=["nowhere", "own"])
def test_hostile_markdown_can_only_be_read(text: str, addresses: Addresses) -> None:
    check_harmless(render_markdown(text, "", addresses))


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([*HOSTILE, "# h", "- l", "|a|b|\n|-|-|\n|1|2|", "text", "**b**", "\n", "`c`", ">"]), max_size=8
    )
)
def test_hostile_markdown_stays_harmless_however_it_is_joined(pieces: list[str]) -> None:
    for joint in ("\n", "\n\n", " "):
        check_harmless(render_markdown(joint.join(pieces), "", OWN))


@settings(deadline=None)
@given(st.text(alphabet="<>/ab!-&;=\"'[](){}`#*_|\n\\ :scriptmg", max_size=80))
def test_any_text_is_harmless(text: str) -> None:
    check_harmless(render_markdown(text, "", OWN))


def check_harmless(html: str) -> None:
    found = Census(html)

    assert found.tags <= HARMLESS
    assert found.attributes.keys() <= ATTRIBUTES
    assert not found.open
    assert found.attributes.get("href", set()) <= {"/to"}
    assert found.attributes.get("src", set()) <= {"http://content/of"}
    assert all(value.startswith("t-") for value in found.attributes.get("id", set()))
    assert all(value.startswith("text-align:") for value in found.attributes.get("style", set()))


def test_what_leads_nowhere_keeps_its_words() -> None:
    html = render_markdown("[words](gone.md) ![a picture](gone.png) ![](http://x/y.png)", "", NOWHERE)

    assert html == "<p>words a picture y.png</p>\n"


def test_common_raw_html_stays_and_comments_do_not() -> None:
    html = render_markdown("<!-- note -->\n\nH<sub>2</sub>O<br>x <img src='a.png' alt='A' width=40>", "", OWN)

    assert html == ('\n\n<p>H<sub>2</sub>O<br>x <img src="http://content/of" alt="A" width="40" loading="lazy"></p>\n')


def test_a_title_that_repeats_the_page_is_left_out() -> None:
    assert render_markdown("# Water\n\ntext", "Water", OWN) == "<p>text</p>\n"
    assert render_markdown("# Rain\n\ntext", "Water", OWN).startswith('<h2 id="t-rain">')


def test_headings_begin_below_the_page_and_skip_no_level() -> None:
    html = render_markdown("### a\n\n##### b\n\n# c\n\n> ###### d\n", "", OWN)

    assert [html[at + 1 : at + 3] for at in range(len(html)) if html[at : at + 2] == "<h"] == ["h2", "h3", "h2", "h3"]


def test_front_matter_is_not_shown() -> None:
    assert render_markdown("---\ntitle: x\n---\ntext\n", "", OWN) == "<p>text</p>\n"
    assert "<hr>" in render_markdown("text\n\n---\n\nmore\n", "", OWN).replace(" /", "")


def test_an_image_of_a_video_becomes_a_player() -> None:
    html = render_markdown('![a "drop"](v.mp4)', "", OWN)

    assert '<video controls preload="metadata" src="http://content/of" aria-label="a &quot;drop&quot;"></video>' in html


def test_links_out_of_the_school_are_marked() -> None:
    html = render_markdown("[a](http://example.org) [b](page.md)", "", OWN)

    assert html == '<p><a href="/to" rel="external noopener noreferrer">a</a> <a href="/to">b</a></p>\n'


def test_wide_tables_and_code_scroll_by_keyboard() -> None:
    html = render_markdown("|a|\n|-|\n|1|\n\n```\ncode\n```\n\n    more\n", "", OWN)

    assert html.count('tabindex="0"') == 3

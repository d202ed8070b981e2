"""Lay a lesson's parts out as one HTML page."""

from collections.abc import Iterable
from typing import Final

from alforja_hub.importers.olx.fragments import Element, add_all, drop, format_fragment, tag
from alforja_hub.importers.olx.words import Words, direction

STYLE_PATH: Final = "style.css"

STYLE: Final = b"""\
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 46rem; padding: 1rem; font: 1.06rem/1.6 system-ui, sans-serif; }
body { overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.3rem; line-height: 1.25; margin-top: 2.5rem; border-top: 2px solid; padding-top: 1rem; }
img, video, svg, canvas, object, embed { max-width: 100%; height: auto; }
object, embed { height: 70vh; }
iframe { max-width: 100%; }
video { width: 100%; background: #000; }
table { border-collapse: collapse; display: block; max-width: 100%; overflow-x: auto; }
td, th { border: 1px solid #8888; padding: .3rem .5rem; }
pre { overflow-x: auto; }
nav { border: 1px solid #8888; border-radius: .5rem; padding: .5rem 1rem; }
.block { margin: 1.25rem 0; }
.problem { border-inline-start: .3rem solid #3b7ddd; padding-inline-start: 1rem; }
.ask { font-weight: 600; }
.about, .how, .paper, .note { font-size: .95rem; opacity: .85; }
.note { border-inline-start: .2rem solid #c80; padding-inline-start: .5rem; }
.choices li { margin: .3rem 0; padding-inline-start: .3rem; }
.blank { display: inline-block; min-width: 9rem; height: 1.4em; border-bottom: 2px solid; vertical-align: bottom; }
.blank.tall { display: block; height: 6rem; border: 2px solid #8888; border-radius: .3rem; margin: .5rem 0; }
.material-icons, .material-symbols-outlined { display: none; }
details { margin: .6rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .3rem 0; }
@media print { nav { display: none; } details::details-content { content-visibility: visible; } }
"""


def anchor(name: str) -> str:
    """Give the place of a block on its page."""
    return f"block-{name}"


def format_page(title: str, language: str, parts: Iterable[tuple[str, str, list[Element]]], words: Words) -> bytes:
    """Write a lesson's page. A part has a name, a title and what is in it."""
    listed = list(parts)
    main = tag("main", tag("h1", title))
    if sum(1 for _, heading, _ in listed if heading) > 1:
        entries = [tag("li", tag("a", heading, href=f"#{anchor(name)}")) for name, heading, _ in listed if heading]
        main.append(tag("nav", tag("ol", *entries), aria_label=words["contents"]))
    for name, heading, pieces in listed:
        section = tag("section", tag("h2", heading) if heading else None)
        if all(piece.get("id") != anchor(name) for piece in pieces):
            section.set("id", anchor(name))
        add_all(section, pieces)
        main.append(section)
    _drop_repeated(main)
    for element in main.iter("section", "h1", "nav"):
        element.tail = "\n"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="stylesheet", href=f"../{STYLE_PATH}"),
    )
    page = tag("html", head, tag("body", main), lang=language, dir=direction(language))
    return f"<!DOCTYPE html>\n{format_fragment(page)}\n".encode("utf-8", "replace")


def _drop_repeated(main: Element) -> None:
    """Keep each style and script once: units that were pages of their own each brought theirs."""
    seen: set[tuple[str, str]] = set()
    for element in list(main.iter("link", "script")):
        address = element.get("href") if element.tag == "link" else element.get("src")
        if address and (str(element.tag), address) in seen:
            drop(element)
        elif address:
            seen.add((str(element.tag), address))

"""Make, read and write pieces of HTML as trees. Values to values."""

import re
from collections.abc import Iterable
from typing import Final

from lxml import etree

from alforja_packaging.errors import FormatError

Element = etree._Element  # noqa: SLF001 - lxml gives its type no public name

_OUTER: Final = re.compile(r"<!doctype[^>]*>|</?(?:html|head|body)(?:\s[^<>]*)?>", re.IGNORECASE)
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_CLOSED_VOID: Final = re.compile(r"(<(source|track|wbr)\b[^<>]*>)</\2>")  # libxml2 does not know these are void
_NEVER: Final = frozenset(["title", "base", "meta", "head"])


def tag(name: str, /, *inside: "str | Element | None", **attributes: str) -> Element:
    """Make an element of texts and elements. `class_` stands for `class`, `_` in other names for `-`."""
    made = etree.Element(name)
    for key, value in attributes.items():
        made.set(key.rstrip("_").replace("_", "-"), clean(value))
    for piece in inside:
        if isinstance(piece, str):
            add_text(made, piece)
        elif piece is not None:
            made.append(piece)
    return made


def clean(text: str) -> str:
    """Drop the control characters that neither XML nor HTML may hold."""
    return _CONTROL.sub("", text)


def add_text(parent: Element, text: str) -> None:
    """Write text after what an element holds so far."""
    text = clean(text)
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def add_all(parent: Element, pieces: Iterable[Element]) -> None:
    """Put elements, with the text that follows each, at the end of another."""
    for piece in list(pieces):
        parent.append(piece)


def drop(element: Element) -> None:
    """Take an element away and keep the text after it."""
    parent = element.getparent()
    if parent is None:
        return
    before = element.getprevious()
    tail = element.tail or ""
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    parent.remove(element)


def replace(element: Element, other: Element) -> None:
    """Put another element in one's place, before the text that follows it."""
    other.tail = element.tail
    parent = element.getparent()
    if parent is not None:
        parent.replace(element, other)
    element.tail = None


def parse_fragment(what: str, text: str) -> Element:
    """Read a piece of HTML, however untidy, into a `div`. Raises FormatError when nothing can be made of it."""
    whole = f"<!DOCTYPE html><html><head></head><body>{clean(_OUTER.sub('', text))}</body></html>"
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        body = etree.fromstring(whole.encode("utf-8", "replace"), parser).find("body")
    except (etree.LxmlError, ValueError) as error:
        raise FormatError(f"{what}: is not readable HTML ({error})") from None
    if body is None:
        raise FormatError(f"{what}: is not readable HTML")
    body.tag = "div"
    body.attrib.clear()
    for element in [found for found in body.iter(etree.Element) if found.tag in _NEVER]:
        drop(element)
    return body


def format_fragment(element: Element) -> str:
    """Write an element as HTML, without the text that follows it."""
    written = etree.tostring(element, method="html", encoding="unicode", with_tail=False)
    return _CLOSED_VOID.sub(r"\1", written)


def text_of(element: Element) -> str:
    """Give all the words in an element on one line."""
    return " ".join("".join(str(piece) for piece in element.itertext()).split())

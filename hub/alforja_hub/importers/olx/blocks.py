"""Follow an Open edX course's pointers: from files of XML to one tree of blocks.

A part that cannot be read is left out with a note; the rest goes on.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.entities import html5
from pathlib import Path
from typing import Any, Final

from lxml import etree

from alforja_hub.importers.tree import read_file
from alforja_packaging.errors import FormatError

XML_MAX_BYTES: Final = 16 * 2**20
UNREAD: Final = "broken"
"""The kind of a block that is named in the course but could not be read; its field `kind` tells what it was."""
_DEPTH_MAX: Final = 40
_POINTER: Final = frozenset(["url_name", "org", "course", "library", "xblock-family"])
_CONTAINERS: Final = frozenset(
    [
        *("course", "chapter", "sequential", "videosequence", "vertical", "wrapper", "problemset", "section"),
        *("library", "library_content", "itembank", "split_test", "conditional", "randomize", "problem-builder"),
    ]
)
_EXPECTED: Final = _CONTAINERS | {"html", "problem", "video"}
_NOT_BLOCKS: Final = frozenset(["wiki", "textbook", "grading_policy", "policy", "show", "transcripts"])
_XML_ENTITIES: Final = frozenset(["amp", "lt", "gt", "quot", "apos"])


@dataclass(frozen=True, slots=True)
class Block:
    """One part of a course: a chapter, a unit, a page of HTML, a problem.

    `fields` are its attributes with the course policy's laid over; `element` is where
    its content lies, `content` its separate HTML file, if it has one.
    """

    kind: str
    name: str
    fields: Mapping[str, str]
    element: etree._Element
    children: tuple["Block", ...] = ()
    content: bytes | None = None

    @property
    def title(self) -> str:
        """What the block is called; empty when nobody said."""
        return " ".join(self.fields.get("display_name", "").split())

    def walk(self) -> Iterator["Block"]:
        """Give this block and all below it, in teaching order."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(slots=True)
class Reader:
    """Reads blocks out of the files of one course. `files` go by path from the course's own folder."""

    files: Mapping[str, Path]
    policy: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    hidden: Counter[str] = field(default_factory=Counter)

    def read_root(self, path: str) -> Block:
        """Read the whole course. Raises FormatError when not even its first file is XML."""
        element = parse_xml(path, self._bytes(path))
        run = element.get("url_name", "")
        self.policy = self._policy(run)
        block = self._follow(element, ())
        if block is None:
            raise FormatError(f"{path}: points to a course that is not there")
        return block

    def read_tabs(self) -> list[Block]:
        """Read the course's own pages (`tabs/`), those shown beside the course's outline."""
        course = next((fields for key, fields in self.policy.items() if key.startswith("course/")), {})
        tabs = course.get("tabs", [])
        blocks = []
        for tab in tabs if isinstance(tabs, list) else []:
            if isinstance(tab, dict) and tab.get("type") == "static_tab" and not tab.get("is_hidden"):
                element = etree.Element("static_tab", url_name=str(tab.get("url_slug", "")))
                element.set("display_name", str(tab.get("name", "")))
                found = self._follow(element, ())
                blocks += [found] if found and found.content is not None else []
        return blocks

    def read_text(self, path: str) -> str:
        """Give a small text file of the course; empty when it is not there."""
        return self._bytes(path).decode("utf-8", "replace") if path in self.files else ""

    def _follow(self, element: etree._Element, above: tuple[str, ...]) -> Block | None:
        kind = str(element.tag)
        name = element.get("url_name") or element.get("slug") or ""
        path = f"{kind}/{name.replace(':', '/')}.xml"
        said: dict[str, str] = {}
        pointer = set(element.attrib) <= _POINTER and not len(element) and not (element.text or "").strip()
        if path in self.files and (pointer or kind == "course"):
            if path in above or len(above) > _DEPTH_MAX:
                self.notes.append(f"{kind} {name}: lies in itself, and was left out there")
                return None
            said = {str(key): str(value) for key, value in element.attrib.items()}
            element = self._load(path, element)
            kind = str(element.tag)
        elif pointer and name and kind in _EXPECTED and f"{kind}/{name}.html" not in self.files:
            self.notes.append(f"{kind} {name}: is named in the course, but {path} is not there")
            element, kind = _broken(element), UNREAD
        fields = said | {str(key): str(value) for key, value in element.attrib.items()}
        fields |= {key: _as_text(value) for key, value in self.policy.get(f"{kind}/{name}", {}).items()}
        if fields.get("visible_to_staff_only", "").lower() == "true":
            self.hidden[kind] += 1
            return None
        children = self._children(element, (*above, path)) if kind in _CONTAINERS else ()
        return Block(kind, name, fields, element, children, self._content(kind, name, element))

    def _children(self, element: etree._Element, above: tuple[str, ...]) -> tuple[Block, ...]:
        found = (self._follow(child, above) for child in element.iterchildren(etree.Element) if _is_block(child))
        return tuple(block for block in found if block is not None)

    def _load(self, path: str, pointer: etree._Element) -> etree._Element:
        try:
            return parse_xml(path, self._bytes(path))
        except FormatError as error:
            self.notes.append(f"{error.message}; it was left out")
            return _broken(pointer)

    def _content(self, kind: str, name: str, element: etree._Element) -> bytes | None:
        if kind not in ("html", "static_tab", "about", "course_info"):
            return None
        folder = "tabs" if kind == "static_tab" else kind
        wanted = element.get("filename") or name
        for path in (f"{folder}/{wanted}.html", f"{folder}/{name.replace(':', '/')}.html"):
            if path in self.files:
                return self._bytes(path)
        if element.get("filename"):
            self.notes.append(f"{kind} {name}: its text {folder}/{wanted}.html is not there")
        return None

    def _policy(self, run: str) -> Mapping[str, Mapping[str, Any]]:
        paths = (f"policies/{run}/policy.json", f"policies/{run}.json")
        path = next((path for path in paths if path in self.files), "")
        try:
            fields = json.loads(self._bytes(path)) if path else {}
        except (ValueError, RecursionError) as error:
            self.notes.append(f"{path}: is not readable JSON ({error}), and was not used")
            return {}
        tables = fields.items() if isinstance(fields, dict) else ()
        return {key: value for key, value in tables if isinstance(value, dict)}

    def _bytes(self, path: str) -> bytes:
        return read_file(path, self.files[path], XML_MAX_BYTES + 1)


def parse_xml(what: str, data: bytes) -> etree._Element:
    """Parse XML without looking anything up. Raises FormatError when it is not well formed or too long."""
    if len(data) > XML_MAX_BYTES:
        raise FormatError(f"{what}: longer than the {XML_MAX_BYTES} bytes it may have")
    try:
        return etree.fromstring(data, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        named = re.sub(rb"&([A-Za-z][A-Za-z0-9]*);", _plain_entity, data)  # &nbsp; is HTML's, and common here
        if named != data:
            return parse_xml(what, named)
        raise FormatError(f"{what}: is not well-formed XML ({str(error).partition(' (<')[0]})") from None


def _plain_entity(match: re.Match[bytes]) -> bytes:
    name = match[1].decode("ascii")
    if name in _XML_ENTITIES or f"{name};" not in html5:
        return match[0]
    return "".join(f"&#{ord(letter)};" for letter in html5[f"{name};"]).encode()


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True, huge_tree=False
    )


def _broken(pointer: etree._Element) -> etree._Element:
    return etree.Element(UNREAD, url_name=pointer.get("url_name", ""), kind=str(pointer.tag))


def _is_block(element: etree._Element) -> bool:
    return str(element.tag) not in _NOT_BLOCKS


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)

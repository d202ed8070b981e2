"""Read what a page says of itself and which other files it needs.

Bytes to values: HTML by lxml, Markdown and CSS by a few patterns. Nothing is
opened or fetched; an address is only turned into a course path.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from lxml import etree

from alforja_packaging.errors import FormatError
from alforja_packaging.layout import check_language, join_path, media_type

PAGE_MAX_BYTES: Final = 8 * 2**20  # a page a phone can open is far smaller; a data dump is not read for links

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
_HEADINGS: Final = ("h1", "h2", "h3")
_PULLING: Final = {
    **dict.fromkeys(("img", "script", "iframe", "frame", "embed", "source", "track", "audio", "input"), ("src",)),
    **dict.fromkeys(("body", "table", "td"), ("background",)),
    **dict.fromkeys(("image", "use"), ("href", "xlink:href")),
    "video": ("src", "poster"),
    "object": ("data",),
}
_LINK_RELS: Final = frozenset(["stylesheet", "icon", "apple-touch-icon", "manifest", "preload", "modulepreload"])
_CSS_URL: Final = re.compile(r"""url\(\s*(?:"([^"]*)"|'([^']*)'|([^)"'\s]*))\s*\)|@import\s+["']([^"']+)["']""")
_MD_LINK: Final = re.compile(
    r"""(!?)\[(?:[^\[\]]|\[[^\[\]]*\]){0,999}\]\(\s*(?:<([^<>\n]+)>|([^\s()]+(?:\([^\s()]*\)[^\s()]*)*))"""
)
_MD_DEFINITION: Final = re.compile(r"^ {0,3}\[[^\]\n]+\]:\s*(?:<([^<>\n]+)>|(\S+))", re.MULTILINE)
_MD_TAG: Final = re.compile(r"<(\w+)(\s[^<>]*)>")
_MD_ATTRIBUTE: Final = re.compile(r"""\s(src|href|poster)\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_MD_HEADING: Final = re.compile(
    r"^ {0,3}#{1,3}[ \t]+(.+?)[ \t]*#*[ \t]*$|^(\S[^\n]*)\n(?:=+|-{3,})[ \t]*$", re.MULTILINE
)
_MD_TOP: Final = re.compile(r"^ {0,3}#[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_META_CHARSET: Final = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_-]{3,20})""", re.IGNORECASE)
_FRONT: Final = re.compile(r"\A(?:---|\+\+\+)[ \t]*\n(.*?)\n(?:---|\+\+\+)[ \t]*(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """What one page says of itself; empty where it is silent.

    `pulls` are the addresses it shows, `links` those it only points to.
    """

    title: str = ""
    language: str = ""
    pulls: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


def read_page(path: str, data: bytes) -> Page:
    """Read an HTML, Markdown, text or CSS file. Raises FormatError when it cannot be understood."""
    match media_type(path):
        case "text/html" | "application/xhtml+xml" | "image/svg+xml":
            return _read_html(path, data)
        case "text/markdown":
            return _read_markdown(decode_text(data))
        case "text/css":
            return Page(pulls=tuple(_css_urls(decode_text(data))))
        case _:
            return Page()


def resolve(base: str, address: str) -> str | None:
    """Give the course path that an address in the file `base` stands for.

    None when it leads out of the course or to nothing that could be a file. An
    address that begins with `/` counts from the course's root.
    """
    address = address.strip()
    if not address or _SCHEME.match(address) or "\0" in address:
        return None
    plain = unquote(re.split(r"[?#]", address, maxsplit=1)[0], errors="surrogateescape")
    return join_path(base, plain) if plain else None


def is_external(address: str) -> bool:
    """Tell whether an address needs the internet."""
    return re.match(r"\s*(?:https?:|//)", address, re.IGNORECASE) is not None


def decode_text(data: bytes) -> str:
    """Decode text as its mark or its letters tell: UTF-16 or UTF-8, else Windows-1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def parse_html(path: str, data: bytes) -> etree._Element:
    """Parse HTML leniently, as browsers do. Raises FormatError when nothing can be made of it."""
    parser = etree.HTMLParser(encoding=_encoding(data), no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, ValueError) as error:
        raise FormatError(f"page {path!r}: is not readable HTML ({error})") from None
    if root is None:
        raise FormatError(f"page {path!r}: is empty")
    return root


def clean_language(tag: str) -> str:
    """Give a language tag in BCP 47 shape, or nothing."""
    try:
        return check_language(tag.strip().replace("_", "-"))
    except FormatError:
        return ""


def squeeze(words: str) -> str:
    """Put words on one line."""
    return " ".join(words.split())


def _encoding(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        named = _META_CHARSET.search(data[:4096])
        name = named[1].decode("ascii").lower() if named else "cp1252"
        return name if name not in ("utf-8", "utf8") and _knows(name) else "cp1252"
    return "utf-8"


def _knows(encoding: str) -> bool:
    try:
        etree.HTMLParser(encoding=encoding)
    except LookupError:
        return False
    return True


def _read_html(path: str, data: bytes) -> Page:
    root = parse_html(path, data)
    titles = [*root.iter("title"), *(found for name in _HEADINGS for found in root.iter(name))]
    title = next((words for words in map(_words, titles) if words), "")
    pulls: list[str] = []
    links: list[str] = []
    for element in root.iter(etree.Element):
        _collect(element, pulls, links)
    language = clean_language(root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or "")
    return Page(title, language, tuple(dict.fromkeys(pulls)), tuple(dict.fromkeys(links)))


def _words(element: etree._Element) -> str:
    return squeeze("".join(str(piece) for piece in element.itertext()))


def _collect(element: etree._Element, pulls: list[str], links: list[str]) -> None:
    tag = str(element.tag)
    pulls += [address for name in _PULLING.get(tag, ()) if (address := element.get(name))]
    if style := element.get("style"):
        pulls += _css_urls(style)
    match tag:
        case "a" | "area":
            links.append(element.get("href", ""))
        case "link" if _LINK_RELS & set(element.get("rel", "").lower().split()):
            pulls.append(element.get("href", ""))
        case "img" | "source" if srcset := element.get("srcset"):
            pulls += re.findall(r"(?:^|,)\s*([^\s,]+)", srcset)
        case "style":
            pulls += _css_urls(element.text or "")


def _css_urls(text: str) -> Iterator[str]:
    for match in _CSS_URL.finditer(text):
        if address := next(filter(None, match.groups()), ""):
            yield address


def _read_markdown(text: str) -> Page:
    text = text.replace("\r\n", "\n")
    front = _FRONT.match(text)
    fields = _front_fields(front[1]) if front else {}
    body = text[front.end() :] if front else text
    pulls: list[str] = []
    links: list[str] = []
    for image, angled, bare in _MD_LINK.findall(body):
        (pulls if image else links).append(angled or bare)
    links += [angled or bare for angled, bare in _MD_DEFINITION.findall(body)]
    for tag, attributes in _MD_TAG.findall(body):
        for name, double, single in _MD_ATTRIBUTE.findall(attributes):
            (links if (tag.lower(), name.lower()) == ("a", "href") else pulls).append(double or single)
    title = fields.get("title") or _markdown_title(body)
    language = clean_language(fields.get("lang") or fields.get("language") or "")
    return Page(title, language, tuple(dict.fromkeys(pulls)), tuple(dict.fromkeys(links)))


def _front_fields(front: str) -> dict[str, str]:
    """Read the plain `name: words` lines of YAML or TOML front matter."""
    lines = re.findall(r"^([A-Za-z_-]+)[ \t]*[:=][ \t]*(.+?)[ \t]*$", front, re.MULTILINE)
    return {name.lower(): words.strip("\"'") for name, words in lines}


def _markdown_title(body: str) -> str:
    without_code = re.sub(r"^(```|~~~).*?^\1", "", body, flags=re.MULTILINE | re.DOTALL)
    heading = _MD_TOP.search(without_code) or _MD_HEADING.search(without_code)
    if heading is None:
        return ""
    words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", next(filter(None, heading.groups())))
    words = re.sub(r"\{[:#.][^}]*\}|<[^>]*>", "", words)
    return squeeze(re.sub(r"[*_`]{1,3}(\S(?:.*?\S)?)[*_`]{1,3}", r"\1", words))

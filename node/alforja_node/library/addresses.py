"""Write and read the addresses of the library and of its courses' content.

Two origins: pages of the library, and whatever a course brings. Both answer under
any name the node is reached by, so an origin is made from what the browser asked
for. Bytes of file names travel percent-encoded, UTF-8 or not.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from alforja_packaging.layout import join_path, path_key

_HOST: Final = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SAFE: Final = "/-._~"


@dataclass(frozen=True, slots=True)
class Reached:
    """How a browser reached one of our origins: scheme, host name or address, port."""

    scheme: str
    name: str
    port: int

    @property
    def by_number(self) -> bool:
        """An IPv6 literal, which a content security policy cannot name."""
        return self.name.startswith("[")

    def at(self, port: int) -> "Reached":
        """The same host at another port."""
        return Reached(self.scheme, self.name, port)

    def __str__(self) -> str:
        """Write as an origin, with the port only where a browser would."""
        port = "" if self.port == _DEFAULT_PORTS.get(self.scheme) else f":{self.port}"
        return f"{self.scheme}://{self.name}{port}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address on the content origin names. `path` may be empty or end in a slash: a folder."""

    publisher: str
    course: str
    release: int
    path: str


def parse_host(scheme: str, host: str) -> Reached | None:
    """Read a `Host` header; None unless it is a plain name or address, fit to be repeated in a header."""
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    port = int(match[2]) if match[2] else _DEFAULT_PORTS.get(scheme, 80)
    return Reached(scheme, match[1].lower(), port) if 0 < port < 65536 else None


def package_path(publisher: str, course: str, release: int) -> str:
    """Give the folder that a release's files are served below."""
    return f"/{publisher}/{course}/{release}/"


def format_path(path: str) -> str:
    """Percent-encode a course path by its bytes."""
    return quote_from_bytes(path_key(path), safe=_SAFE)


def parse_content_path(raw: str) -> Asked | None:
    """Read the path of a request to the content origin, as it came; None when it can name nothing.

    Nothing is normalised: a dot segment or an encoded slash names no file.
    """
    parts = raw.split("?", 1)[0].split("/")
    if len(parts) < 5 or parts[0] or not re.fullmatch("[1-9][0-9]{0,8}", parts[3]):
        return None
    names = [unquote_to_bytes(part) for part in parts[4:]]
    if any(b"/" in name or b"\0" in name for name in names):
        return None
    return Asked(parts[1], parts[2], int(parts[3]), b"/".join(names).decode("utf-8", "surrogateescape"))


def resolve(page: str, address: str) -> tuple[str, str] | None:
    """Turn an address that a page uses into a course path and a fragment; None when it leads out of the course.

    An empty path stands for the page itself.
    """
    try:
        split = urlsplit(address.strip())
    except ValueError:
        return None
    if split.scheme or split.netloc or "\\" in address:
        return None
    wanted = unquote_to_bytes(split.path).decode("utf-8", "surrogateescape")
    if not wanted:
        return page, split.fragment
    path = join_path(page, wanted)
    return None if path is None else (path, split.fragment)


def readable(path: str) -> str:
    """Give a path's last name as text that can be written on a page, whatever its bytes."""
    return path_key(path.rpartition("/")[2]).decode("utf-8", "replace")

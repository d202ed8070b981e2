"""Where content can come from: anything that holds the repository layout.

A source is never trusted. It is asked for a small mutable file (`check`) or for
one range of an immutable one (`stream`), and answers with bytes or a LinkError.
"""

from pathlib import Path

from alforja_node.sources.directory import DirectorySource
from alforja_node.sources.protocol import Answer, NotThere, Source, Traffic

__all__ = ["Answer", "DirectorySource", "NotThere", "Source", "Traffic", "open_source"]


def open_source(address: str) -> Source:
    """Make the source for an address: a URL, or the path of a folder."""
    if address.startswith(("http://", "https://")):
        from alforja_node.sources.http import HttpSource  # noqa: PLC0415 (aiohttp takes 0.2 s to import)

        return HttpSource(address)
    return DirectorySource(Path(address.removeprefix("file://")))

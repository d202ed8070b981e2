"""Where content can come from: anything that holds the repository layout.

A source is never trusted. It is asked for a small mutable file (`check`) or for
one range of an immutable one (`stream`), and answers with bytes or a LinkError.
"""

from alforja_node.sources.protocol import Answer, NotThere, Source

__all__ = ["Answer", "NotThere", "Source"]

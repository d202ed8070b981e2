"""Why a release costs what it costs, file by file. It changes nothing.

`rows` and `hints` decide over values; `contents` reads the files they ask about.
"""

from alforja_hub.explain.contents import Contents, explain
from alforja_hub.explain.cuts import Cuts, weigh_cuts
from alforja_hub.explain.rows import Explained, Row

__all__ = ["Contents", "Cuts", "Explained", "Row", "explain", "weigh_cuts"]

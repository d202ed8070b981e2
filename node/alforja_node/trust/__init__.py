"""Whom the node believes: the only room that knows python-tuf."""

from alforja_node.trust.client import Trust, Trusted, fetch_root

__all__ = ["Trust", "Trusted", "fetch_root"]

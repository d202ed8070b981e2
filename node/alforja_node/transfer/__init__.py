"""Carry out plans: bring bytes from a source into the store, and make releases visible."""

from alforja_node.transfer.contact import Contact
from alforja_node.transfer.export import export
from alforja_node.transfer.outcome import Catalogue, Outcome, Watcher
from alforja_node.transfer.upkeep import Kept, load_releases, prune, scrub

__all__ = ["Catalogue", "Contact", "Kept", "Outcome", "Watcher", "export", "load_releases", "prune", "scrub"]

"""The hub's signatures: the only room that knows python-tuf and securesystemslib."""

from alforja_hub.signing.authority import Authority, Lifetimes, Target

__all__ = ["Authority", "Lifetimes", "Target"]

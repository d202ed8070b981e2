"""What every source can do, whatever lies behind it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from alforja_packaging.errors import LinkError


class NotThere(LinkError):
    """The source answered that it does not hold a file."""

    def __init__(self, source: str, path: str) -> None:
        super().__init__(f"{source}: does not hold {path}")
        self.source, self.path = source, path


@dataclass(slots=True)
class Traffic:
    """What one source has cost so far, in bytes of headers and bodies."""

    received: int = 0
    sent: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A small file, or the word that it has not changed (`body` is None)."""

    body: bytes | None
    etag: str | None = None


class Source(Protocol):
    """A place with the repository layout. Paths are as `alforja_packaging.layout` writes them."""

    name: str
    """How messages call this source: its URL or its folder."""
    traffic: Traffic

    async def check(self, path: str, *, max_bytes: int, etag: str | None = None) -> Answer:
        """Fetch a small file whole, unless it still is what `etag` names.

        Raises NotThere, LinkError (no answer, broken off), VerifyError (more than `max_bytes`).
        """
        ...

    def stream(self, path: str, first: int, last: int) -> AsyncIterator[bytes]:
        """Yield the bytes `first` to `last` (both included) of a file, in order.

        Raises NotThere, LinkError when it breaks off early, and VerifyError, before
        anything is yielded, when the answer is not exactly the range asked for.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...

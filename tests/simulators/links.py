"""Sources that break off, lie or rot, as told."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from alforja_node.sources import Answer, DirectorySource, NotThere
from alforja_packaging.errors import LinkError, VerifyError


class CuttingSource(DirectorySource):
    """A folder behind a link that breaks off once so many bytes of packs have passed."""

    def __init__(self, root: Path, cut_after: int) -> None:
        super().__init__(root)
        self.left = cut_after
        self.streamed: list[tuple[str, int, int]] = []

    async def stream(self, path: str, first: int, last: int) -> AsyncIterator[bytes]:
        """Yield bytes until the link breaks."""
        at = first
        async for chunk in super().stream(path, first, last):
            part = chunk[: self.left]
            self.left -= len(part)
            if part:
                self.streamed.append((path, at, at + len(part) - 1))
                at += len(part)
                yield part
            if len(part) < len(chunk):
                raise LinkError(f"{self.name}: broke off")


class TamperingSource(DirectorySource):
    """A folder whose bytes are changed on their way."""

    def __init__(self, root: Path, change: Callable[[str, int, bytes], bytes]) -> None:
        super().__init__(root)
        self._change = change

    async def stream(self, path: str, first: int, last: int) -> AsyncIterator[bytes]:
        """Yield changed bytes."""
        at = first
        async for chunk in super().stream(path, first, last):
            yield self._change(path, at, chunk)
            at += len(chunk)


class LyingSource(DirectorySource):
    """A folder whose small files are answered as told: changed, withheld (None), or as they are."""

    def __init__(self, root: Path, answer: Callable[[str, bytes], bytes | None]) -> None:
        super().__init__(root)
        self._answer = answer

    async def check(self, path: str, *, max_bytes: int, etag: str | None = None) -> Answer:
        """Give a changed answer."""
        body = (await super().check(path, max_bytes=max_bytes, etag=etag)).body
        changed = self._answer(path, body or b"")
        if changed is None:
            raise NotThere(self.name, path)
        if len(changed) > max_bytes:
            raise VerifyError(f"{self.name}: {path} is longer than the {max_bytes} bytes it may have")
        return Answer(changed)


class NothingNewSource(DirectorySource):
    """A source that says, as a server with ETags may, that nothing has changed."""

    async def check(self, path: str, *, max_bytes: int, etag: str | None = None) -> Answer:
        """Say so without a look."""
        self.traffic.requests += 1
        return Answer(None, etag)

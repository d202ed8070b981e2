"""A shelf in a folder, and both origins served from it: the library tests' world."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer, unused_port

from alforja_node.library.content import make_content
from alforja_node.library.server import make_library
from alforja_node.library.view import Shelf, Shown
from alforja_node.planning.coming import Prospect
from alforja_packaging.course import Course, Lesson, Section, Text
from alforja_packaging.layout import path_key
from alforja_packaging.manifest import File, Manifest, check_manifest

BIG = bytes(range(256)) * 1024  # 256 KiB: sent from disk, not from memory


def make_manifest(
    files: Mapping[str, bytes],
    lessons: Sequence[Lesson] = (),
    *,
    sections: Sequence[Section] = (),
    title: Text | None = None,
    description: Text | None = None,
    languages: Sequence[str] = ("es", "en"),
    publisher: str = "moe",
    course: str = "water",
    release: int = 1,
) -> Manifest:
    """Make the manifest of a small course."""
    manifest = Manifest(
        publisher,
        release,
        Course(
            course,
            title or {"es": "El agua", "en": "Water"},
            description or {},
            tuple(languages),
            sections=tuple(sections) or (Section({"es": "El agua", "en": "Water"}, tuple(lessons)),),
        ),
        tuple(
            File(path, len(files[path]), hashlib.sha256(files[path]).digest()) for path in sorted(files, key=path_key)
        ),
    )
    check_manifest(manifest)
    return manifest


class SimulatedShelf:
    """A node's files and what it shows of them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._courses: dict[tuple[str, str], Shown] = {}
        self.broken = False
        self.prospect: Prospect | None = None

    def path_of(self, digest: bytes) -> Path:
        return self._root / digest.hex()

    async def load(self) -> Shelf:
        if self.broken:
            raise RuntimeError("the ledger is gone")
        return Shelf(self._courses, self.prospect)

    def put(
        self,
        manifest: Manifest,
        files: Mapping[str, bytes],
        *,
        missing: Iterable[str] = (),
        stale_since: datetime | None = None,
    ) -> Manifest:
        """Show a course; the files of `missing` paths have not arrived."""
        absent = manifest.digests_of(missing)
        for path, data in files.items():
            digest = manifest.by_path[path].digest
            if digest not in absent:
                self.path_of(digest).write_bytes(data)
        self._courses[manifest.publisher, manifest.course.id] = Shown(manifest, absent, stale_since)
        return manifest


@dataclass(frozen=True, slots=True)
class Served:
    """Both origins, and where they are."""

    library: TestClient  # type: ignore[type-arg]
    content: TestClient  # type: ignore[type-arg]
    library_port: int
    content_port: int

    @property
    def library_origin(self) -> str:
        return f"http://127.0.0.1:{self.library_port}"

    @property
    def content_origin(self) -> str:
        return f"http://127.0.0.1:{self.content_port}"

    async def page(self, path: str, **headers: str) -> str:
        """Open a page of the library."""
        async with self.library.get(
            path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        ) as got:
            return await got.text()


@asynccontextmanager
async def serve(shelf: SimulatedShelf) -> AsyncIterator[Served]:
    """Serve both origins."""
    library_port, content_port = unused_port(), unused_port()
    library = make_library(shelf.load, shelf.path_of, content_port)
    content = make_content(shelf.load, shelf.path_of, library_port)
    async with (
        TestClient(TestServer(library, port=library_port)) as library_client,
        TestClient(TestServer(content, port=content_port)) as content_client,
    ):
        yield Served(library_client, content_client, library_port, content_port)


async def ask_raw(port: int, path: str, *headers: str, host: str | None = None) -> tuple[int, str]:
    """Ask with a path and headers exactly as written, as no well-behaved client would."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    named = [f"Host: {host if host is not None else f'127.0.0.1:{port}'}", "Connection: close", *headers]
    writer.write("\r\n".join([f"GET {path} HTTP/1.1", *named, "", ""]).encode("latin-1"))
    answer = (await reader.read()).decode("latin-1")
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer

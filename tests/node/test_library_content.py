"""The content's origin: whole files, parts of them, and what a course's page may do."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from alforja_node.library.addresses import format_path
from alforja_node.library.content import SANDBOX
from alforja_node.library.files import Memory, _FromDisk
from alforja_packaging.manifest import Manifest
from tests.node.library_shelf import BIG, Served, SimulatedShelf, ask_raw, make_manifest, serve

RAW_NAME = b"caf\xe9 50%.txt".decode("utf-8", "surrogateescape")
FILES = {
    "app/index.html": b"<!doctype html><script>1</script>",
    "app/style.css": b"body{}",
    "empty.txt": b"",
    "guide.pdf": b"%PDF-1.4",
    "latin.html": "<p>a\xf1o</p>".encode("latin-1"),
    "page.md": "# Año\n".encode(),
    "v.es.vtt": b"WEBVTT\n",
    "video.mp4": BIG,
    RAW_NAME: b"any name a disk can hold",
}
PACKAGE = "/moe/water/1/"


@pytest.fixture
def shelf(tmp_path: Path) -> SimulatedShelf:
    return SimulatedShelf(tmp_path)


@pytest.fixture
def manifest(shelf: SimulatedShelf) -> Manifest:
    return shelf.put(make_manifest(FILES), FILES)


@pytest.fixture
async def served(shelf: SimulatedShelf, manifest: Manifest) -> AsyncIterator[Served]:
    async with serve(shelf) as both:
        yield both


@pytest.mark.parametrize("path", sorted(FILES))
async def test_every_file_is_answered_whole_under_its_digest(served: Served, manifest: Manifest, path: str) -> None:
    async with served.content.get(URL(PACKAGE + format_path(path), encoded=True)) as got:
        body = await got.read()

    assert (got.status, body) == (200, FILES[path])
    assert got.headers["ETag"] == f'"{manifest.by_path[path].digest.hex()}"'
    assert got.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert got.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("path", ["video.mp4", "page.md"])
async def test_a_range_is_answered_with_just_those_bytes(served: Served, path: str) -> None:
    async with served.content.get(PACKAGE + path, headers={"Range": "bytes=2-5"}) as got:
        body = await got.read()

    assert (got.status, body) == (206, FILES[path][2:6])
    assert got.headers["Content-Range"] == f"bytes 2-5/{len(FILES[path])}"


@pytest.mark.parametrize("path", ["video.mp4", "page.md"])
async def test_a_download_of_another_release_is_begun_anew(served: Served, path: str) -> None:
    headers = {"Range": "bytes=2-5", "If-Range": '"of another release"'}
    async with served.content.get(PACKAGE + path, headers=headers) as got:
        body = await got.read()

    assert (got.status, body) == (200, FILES[path])


async def test_a_range_beyond_the_end_is_refused(served: Served) -> None:
    async with served.content.get(PACKAGE + "video.mp4", headers={"Range": f"bytes={len(BIG)}-"}) as got:
        assert (got.status, got.headers["Content-Range"]) == (416, f"bytes */{len(BIG)}")


async def test_what_a_browser_has_is_not_sent_again(served: Served, manifest: Manifest) -> None:
    etag = f'"{manifest.by_path["video.mp4"].digest.hex()}"'
    async with served.content.get(PACKAGE + "video.mp4", headers={"If-None-Match": etag}) as got:
        body = await got.read()

    assert (got.status, body, got.headers["ETag"]) == (304, b"", etag)


@pytest.mark.parametrize("path", ["video.mp4", "page.md"])
async def test_head_tells_what_get_would_send(served: Served, path: str) -> None:
    async with served.content.head(PACKAGE + path) as got:
        body = await got.read()

    assert (got.status, body) == (200, b"")
    assert got.headers["Content-Length"] == str(len(FILES[path]))


async def test_many_readers_of_one_video_all_get_it(served: Served) -> None:
    async def read() -> bytes:
        async with served.content.get(PACKAGE + "video.mp4") as got:
            return await got.read()

    assert set(await asyncio.gather(*(read() for _ in range(20)))) == {BIG}


async def test_a_folder_opens_with_its_index(served: Served) -> None:
    async with served.content.get(PACKAGE + "app/") as got:
        assert (got.status, await got.read()) == (200, FILES["app/index.html"])


async def test_a_folder_without_its_slash_leads_to_it_so_that_links_inside_work(served: Served) -> None:
    async with served.content.get(PACKAGE + "app", allow_redirects=False) as got:
        assert (got.status, got.headers["Location"]) == (302, PACKAGE + "app/")


async def test_a_page_opened_before_an_update_still_finds_its_files(served: Served) -> None:
    async with served.content.get("/moe/water/7/app/style.css", allow_redirects=False) as got:
        assert (got.status, got.headers["Location"]) == (302, PACKAGE + "app/style.css")
        assert got.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/moe/water/1/app/../page.md",
        "/moe/water/1/%2e%2e/1/page.md",
        "/moe/water/1/app%2findex.html",
        "/moe/water/1/app%2Findex.html",
        "/moe/water/1//page.md",
        "/moe/water/1/page.md%00",
        "/moe/water/1/..%5c..%5cetc",
        "/moe/water/01/page.md",
        "/moe/water/1",
        "/moe/other/1/page.md",
        "/../../../etc/passwd",
        "//etc/passwd",
        "/",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
    ],
)
async def test_an_address_that_is_not_exactly_a_file_finds_nothing(served: Served, path: str) -> None:
    status, answer = await ask_raw(served.content_port, path)

    assert status == 404
    assert "<script>" not in answer
    assert "default-src 'none'" in answer


async def test_what_a_course_brings_reaches_its_own_package_and_nothing_else(served: Served) -> None:
    async with served.content.get(PACKAGE + "app/index.html") as got:
        policy = dict(part.strip().partition(" ")[::2] for part in got.headers["Content-Security-Policy"].split(";"))

    own = f"{served.content_origin}{PACKAGE}"
    assert policy == {
        "default-src": f"{own} 'unsafe-inline' 'unsafe-eval' data: blob:",
        "base-uri": own,
        "form-action": own,
        "frame-ancestors": f"'self' {served.library_origin} http://127.0.0.1",
        "sandbox": SANDBOX,
    }
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in got.headers
    assert "Server" not in got.headers


def test_a_framed_page_can_never_move_the_page_around_it() -> None:
    assert "top-navigation" not in SANDBOX


async def test_captions_may_be_read_by_the_library_and_by_nobody_else(served: Served) -> None:
    allowed = {}
    for origin in (served.library_origin, "http://evil.example", served.content_origin):
        async with served.content.get(PACKAGE + "v.es.vtt", headers={"Origin": origin}) as got:
            allowed[origin] = got.headers.get("Access-Control-Allow-Origin")
            assert got.headers["Vary"] == "Origin"

    assert allowed == {
        served.library_origin: served.library_origin,
        "http://evil.example": None,
        served.content_origin: None,
    }


async def test_a_pdf_is_saved_from_a_frame_and_opened_from_the_library(served: Served) -> None:
    async with (
        served.content.get(PACKAGE + "guide.pdf") as saved,
        served.content.get(PACKAGE + "guide.pdf?open") as opened,
    ):
        assert saved.headers["Content-Disposition"] == "attachment"
        assert "Content-Disposition" not in opened.headers
        assert "sandbox" not in opened.headers["Content-Security-Policy"]


async def test_text_is_called_utf_8_only_when_it_is(served: Served) -> None:
    types = {}
    for path in ("page.md", "latin.html", "video.mp4"):
        async with served.content.get(PACKAGE + path) as got:
            types[path] = got.headers["Content-Type"]

    assert types == {
        "page.md": "text/markdown; charset=utf-8",
        "latin.html": "text/html",
        "video.mp4": "video/mp4",
    }


async def test_a_file_on_its_way_is_said_to_be_coming(shelf: SimulatedShelf) -> None:
    shelf.put(make_manifest(FILES), FILES, missing=["video.mp4"])
    spanish = {"Accept-Language": "es"}
    async with serve(shelf) as served, served.content.get(PACKAGE + "video.mp4", headers=spanish) as got:
        text = await got.text()

    assert got.status == 503
    assert "Este archivo está en camino" in text
    assert got.headers["Retry-After"] == "600"
    assert got.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["video.mp4", "page.md"])
@pytest.mark.parametrize("fault", ["gone", "short", "longer"])
async def test_a_file_that_is_no_longer_what_it_was_is_not_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str, fault: str
) -> None:
    shelf = SimulatedShelf(tmp_path)
    place = shelf.path_of(shelf.put(make_manifest(FILES), FILES).by_path[path].digest)
    if fault == "gone":
        place.unlink()
    else:
        place.write_bytes(FILES[path][:-1] if fault == "short" else FILES[path] + b"!")
    with caplog.at_level(logging.WARNING):
        async with serve(shelf) as served, served.content.get(PACKAGE + path) as got:
            text = await got.text()

    assert got.status == 503
    assert "cannot be read" in text
    assert path in caplog.text


async def test_a_reader_who_leaves_in_the_middle_troubles_nobody(
    shelf: SimulatedShelf, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"long.mp4": bytes(32 * 2**20)}
    shelf.put(make_manifest(files), files)
    async with serve(shelf) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.content_port)
        writer.write(f"GET {PACKAGE}long.mp4 HTTP/1.1\r\nHost: 127.0.0.1:{served.content_port}\r\n\r\n".encode())
        assert await reader.read(15) == b"HTTP/1.1 200 OK"
        writer.transport.abort()
        async with served.content.get(PACKAGE + "long.mp4", headers={"Range": "bytes=0-9"}) as got:
            assert await got.read() == bytes(10)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_file_that_shrinks_while_it_is_sent_is_cut_short_and_never_filled_up(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"only this")

    async def get(_request: web.Request) -> web.StreamResponse:
        return _FromDisk(place.open("rb", buffering=0), 0, 100, status=200, headers={})

    app = web.Application()
    app.router.add_get("/", get)
    async with TestClient(TestServer(app)) as client:
        with pytest.raises(ClientPayloadError):
            async with client.get("/") as got:
                await got.read()


async def test_a_rotten_page_is_not_served(served: Served, shelf: SimulatedShelf, manifest: Manifest) -> None:
    shelf.path_of(manifest.by_path["page.md"].digest).write_bytes(b"x" * len(FILES["page.md"]))
    async with served.content.get(PACKAGE + "page.md") as got:
        assert got.status == 503


async def test_a_page_once_read_is_served_from_memory(
    served: Served, shelf: SimulatedShelf, manifest: Manifest
) -> None:
    async with served.content.get(PACKAGE + "page.md") as got:
        assert got.status == 200
    shelf.path_of(manifest.by_path["page.md"].digest).unlink()
    async with served.content.get(PACKAGE + "page.md") as got:
        assert (got.status, await got.read()) == (200, FILES["page.md"])


def test_memory_forgets_what_was_not_used_for_longest() -> None:
    memory: Memory[str] = Memory(10)
    memory.put("one", b"1234")
    memory.put("two", b"1234")
    memory.get("one")
    memory.put("three", b"1234")

    assert (memory.get("one"), memory.get("two"), memory.get("three")) == (b"1234", None, b"1234")
    assert memory.held_bytes == 8


@pytest.mark.parametrize("host", ["evil.example; sandbox", "a b", "x'y", "[::1", "host:99999", ""])
async def test_a_host_that_is_no_name_is_refused(served: Served, host: str) -> None:
    status, answer = await ask_raw(served.content_port, PACKAGE + "page.md", host=host)

    assert status == 400
    assert not host or host not in answer


async def test_any_name_the_node_is_reached_by_will_do(served: Served) -> None:
    _, by_name = await ask_raw(served.content_port, PACKAGE + "page.md", host="alforja.local:8081")
    _, by_number = await ask_raw(served.content_port, PACKAGE + "page.md", host="[fe80::1]:8081")

    assert "default-src http://alforja.local:8081/moe/water/1/ " in by_name
    assert f"frame-ancestors 'self' http://alforja.local:{served.library_port} http://alforja.local;" in by_name
    assert "default-src 'self' " in by_number


async def test_a_fault_of_the_node_is_a_plain_page_and_a_line_in_the_log(
    served: Served, shelf: SimulatedShelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.broken = True
    async with served.content.get(PACKAGE + "page.md") as got:
        text = await got.text()

    assert (got.status, "the ledger is gone" in text) == (500, False)
    assert "the ledger is gone" in caplog.text

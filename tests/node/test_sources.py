"""What every source keeps to, over HTTP and in a folder; and what only a link can do wrong."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from alforja_hub.server import make_hub_app
from alforja_node.sources import NotThere, Source, open_source
from alforja_packaging.errors import LinkError, VerifyError
from alforja_packaging.trustdelta import format_delta

PACK = "bundles/moe/maths.1/install"
DATA = bytes(range(256)) * 2_000


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository" / PACK
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    small = tmp_path / "repository" / "trust" / "after" / "3"
    small.parent.mkdir(parents=True)
    small.write_bytes(format_delta(3, 3, [], {}))
    return tmp_path / "repository"


@asynccontextmanager
async def over_http(repository: Path) -> AsyncIterator[Source]:
    async with TestServer(make_hub_app(repository)) as server:
        source = open_source(str(server.make_url("")))
        yield source
        await source.close()


@asynccontextmanager
async def in_a_folder(repository: Path) -> AsyncIterator[Source]:
    yield open_source(str(repository))


KINDS = pytest.mark.parametrize("kind", [over_http, in_a_folder])
Kind = Callable[[Path], "asyncio.AbstractEventLoop"]


async def read(source: Source, path: str, first: int, last: int) -> bytes:
    return b"".join([chunk async for chunk in source.stream(path, first, last)])


@KINDS
@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, len(DATA) - 1), (1_000, 400_000), (len(DATA) - 1,) * 2])
async def test_a_range_is_exactly_what_was_asked_for(
    repository: Path, kind: Callable[..., object], first: int, last: int
) -> None:
    async with kind(repository) as source:  # type: ignore[attr-defined]
        assert await read(source, PACK, first, last) == DATA[first : last + 1]
        assert source.traffic.received >= last - first + 1


@KINDS
async def test_a_range_beyond_the_end_is_refused(repository: Path, kind: Callable[..., object]) -> None:
    async with kind(repository) as source:  # type: ignore[attr-defined]
        with pytest.raises(VerifyError, match=re.escape(PACK)):
            await read(source, PACK, 0, len(DATA))


@KINDS
@pytest.mark.parametrize("path", ["bundles/moe/maths.2/install", "trust/after/9", "bundles/moe", "keys/root.pem"])
async def test_what_is_not_there_is_said_so(repository: Path, kind: Callable[..., object], path: str) -> None:
    async with kind(repository) as source:  # type: ignore[attr-defined]
        with pytest.raises(NotThere):
            await source.check(path, max_bytes=10)
        with pytest.raises(NotThere):
            await read(source, path, 0, 1)


@KINDS
async def test_a_small_file_that_is_too_long_is_refused(repository: Path, kind: Callable[..., object]) -> None:
    async with kind(repository) as source:  # type: ignore[attr-defined]
        with pytest.raises(VerifyError, match="longer than the 1000 bytes"):
            await source.check(PACK, max_bytes=1000)


async def test_an_unchanged_small_file_costs_one_small_request(repository: Path) -> None:
    async with over_http(repository) as source:
        answer = await source.check("trust/after/3", max_bytes=1000, etag='"3"')

        assert answer.body is None
        assert source.traffic.requests == 1
        assert source.traffic.received + source.traffic.sent < 300


@pytest.mark.parametrize("where", ["file", "folder"])
async def test_links_on_a_stick_are_not_followed(tmp_path: Path, repository: Path, where: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "install").write_bytes(DATA)
    pack = repository / PACK
    pack.unlink()
    if where == "file":
        pack.symlink_to(secret / "install")
    else:
        pack.parent.rmdir()
        pack.parent.symlink_to(secret)
    async with in_a_folder(repository) as source:
        with pytest.raises(LinkError):
            await read(source, PACK, 0, 10)


async def test_a_pipe_on_a_stick_does_not_hold_the_node(repository: Path) -> None:
    (repository / PACK).unlink()
    os.mkfifo(repository / PACK)
    async with in_a_folder(repository) as source:
        with pytest.raises(LinkError):
            await asyncio.wait_for(read(source, PACK, 0, 10), 5)


async def test_a_stick_that_is_gone_is_a_lost_link(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="there is no such folder"):
        await open_source(str(tmp_path / "gone")).check("trust/after/0", max_bytes=10)


Answer = Callable[[web.Request], web.StreamResponse]


@asynccontextmanager
async def a_liar(answer: Answer) -> AsyncIterator[Source]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return answer(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    async with TestServer(app) as server:
        source = open_source(str(server.make_url("")))
        yield source
        await source.close()


LIES: dict[str, tuple[Answer, type[Exception], str]] = {
    "all of it": (lambda _: web.Response(body=DATA), VerifyError, "answers with all of"),
    "another range": (
        lambda _: web.Response(status=206, body=DATA[1:12], headers={"Content-Range": f"bytes 1-11/{len(DATA)}"}),
        VerifyError, "where bytes 0-10 were asked for",
    ),
    "no range stated": (lambda _: web.Response(status=206, body=DATA[:11]), VerifyError, "were asked for"),
    "another length": (
        lambda _: web.Response(status=206, body=DATA[:12], headers={"Content-Range": f"bytes 0-10/{len(DATA)}"}),
        VerifyError, "not the length",
    ),
    "a redirect": (
        lambda _: web.Response(status=302, headers={"Location": "http://169.254.169.254/"}), LinkError, "redirects",
    ),
    "a fault": (lambda _: web.Response(status=500), LinkError, "answers 500"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
async def test_an_answer_that_is_not_the_range_is_refused_before_it_is_read(lie: str) -> None:
    answer, error, words = LIES[lie]
    async with a_liar(answer) as source:
        with pytest.raises(error, match=words) as caught:
            await read(source, PACK, 0, 10)

        assert source.name in str(caught.value)
        assert source.traffic.received < 400


async def test_a_hub_that_cannot_be_reached_is_a_lost_link() -> None:
    source = open_source("http://127.0.0.1:9")
    with pytest.raises(LinkError, match=re.escape("http://127.0.0.1:9")):
        await source.check("trust/after/0", max_bytes=10)
    await source.close()

"""Nothing that has come over a link is lost because the disk was slow."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from alforja_node.sources.ahead import read_ahead


async def runs_of(*runs: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for run in runs:
        await asyncio.sleep(0)
        yield run
    if error is not None:
        raise error


@pytest.mark.parametrize("slow", [0.0, 0.01])
async def test_all_that_came_is_given_before_the_break_is_told(slow: float) -> None:
    found = b""

    async def gather() -> None:
        nonlocal found
        async for run in read_ahead(runs_of(b"one ", b"two ", b"three", error=OSError("broke"))):
            found += run
            await asyncio.sleep(slow)

    with pytest.raises(OSError, match="broke"):
        await gather()
    assert found == b"one two three"


async def test_a_link_is_held_back_when_too_much_waits() -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b"x"

    ahead = read_ahead(endless())
    await anext(ahead)
    await asyncio.sleep(0.05)
    assert given < 50
    await ahead.aclose()  # type: ignore[attr-defined]
    last = given
    await asyncio.sleep(0.01)
    assert given == last


async def test_nothing_is_given_of_nothing() -> None:
    assert [run async for run in read_ahead(runs_of())] == []

"""Take bytes off a link as they come, however slow the disk is.

aiohttp forgets what it has received and nobody has read yet when a connection
breaks: up to 128 KiB that a school has paid for.
"""

import asyncio
from collections.abc import AsyncIterator

_RUNS_MAX = 16  # that wait for the disk; of 256 KiB at most, as much as one read of a socket gives


async def read_ahead(runs: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what `runs` yields, joined where several have come, and raise what it raises after all that came before."""
    queue: asyncio.Queue[bytes] = asyncio.Queue(_RUNS_MAX)
    taking = asyncio.create_task(_take(runs, queue))
    try:
        while not (taking.done() and queue.empty()):
            getting = asyncio.create_task(queue.get())
            await asyncio.wait((getting, taking), return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                continue
            found = [getting.result()]
            while not queue.empty():
                found.append(queue.get_nowait())
            yield b"".join(found)
        taking.result()
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


async def _take(runs: AsyncIterator[bytes], queue: "asyncio.Queue[bytes]") -> None:
    async for run in runs:
        await queue.put(run)

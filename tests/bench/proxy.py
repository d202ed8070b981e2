"""A proxy that counts what passes, and an ear on the loopback interface that counts packets."""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self


@dataclass(slots=True)
class Count:
    """Bytes of TCP payload each way, and what was asked for: the path of each request, and the length of its answer."""

    up: int = 0
    down: int = 0
    bodies: list[tuple[str, int]] = field(default_factory=list)


class CountingProxy:
    """Passes bytes on to a hub and counts them. Use as a context manager."""

    def __init__(self, port: int) -> None:
        self._target, self.count, self.port = port, Count(), 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where to ask."""
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> Count:
        """Begin to count anew."""
        self.count = Count()
        return self.count

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_hub, to_hub = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._copy(reader, to_hub, self._asked), self._copy(from_hub, writer, self._answered))

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[bytes], None]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                note(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    def _asked(self, data: bytes) -> None:
        self.count.up += len(data)
        self.count.bodies += [(path.decode(), 0) for path in re.findall(rb"^GET /(\S+) HTTP", data, re.MULTILINE)]

    def _answered(self, data: bytes) -> None:
        self.count.down += len(data)
        # A node asks for one thing at a time, so an answer never begins within what is read of the one before.
        length = re.match(rb"HTTP/1\.1 2.*?\r\ncontent-length: (\d+)\r\n", data, re.IGNORECASE | re.DOTALL)
        if length:
            self.count.bodies[-1] = (self.count.bodies[-1][0], int(length[1]))


@contextmanager
def listening_to_packets(port: int) -> Iterator[dict[str, int]]:
    """Count IP packets of a port on loopback: `packets`, `ip_bytes` with IP headers, `ip_payload` without.

    Needs the right to open a packet socket; without it the counts stay -1.
    """
    heard = {"packets": -1, "ip_bytes": -1, "ip_payload": -1}
    try:
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    except OSError:
        yield heard
        return
    heard.update(packets=0, ip_bytes=0, ip_payload=0)
    ear.bind(("lo", 0x0800))
    ear.settimeout(0.3)

    def listen() -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                packet, address = ear.recvfrom(65536)
                head = (packet[0] & 15) * 4
                source, target = struct.unpack("!HH", packet[head : head + 4])
                # Loopback shows every packet twice: going out (4) and coming in.
                if address[2] != 4 and packet[9] == socket.IPPROTO_TCP and port in (source, target):
                    length = struct.unpack("!H", packet[2:4])[0]
                    heard["packets"] += 1
                    heard["ip_bytes"] += length
                    heard["ip_payload"] += length - head

    stop = threading.Event()
    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heard
    finally:
        threading.Event().wait(0.5)
        stop.set()
        thread.join()
        ear.close()

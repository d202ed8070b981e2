"""A proxy that counts what passes, and an ear on the loopback interface that counts packets."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self


@dataclass(slots=True)
class Count:
    """Bytes of TCP payload each way, and requests: all, and those for content."""

    up: int = 0
    down: int = 0
    requests: int = 0
    content_requests: int = 0

    @property
    def total(self) -> int:
        """Bytes both ways."""
        return self.up + self.down


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
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_hub_reader, to_hub = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._copy(reader, to_hub, up=True), self._copy(to_hub_reader, writer, up=False))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if up:
                    self.count.up += len(data)
                    self.count.requests += data.count(b"\r\n\r\n")
                    self.count.content_requests += data.count(b"GET /bundles/")
                else:
                    self.count.down += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


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

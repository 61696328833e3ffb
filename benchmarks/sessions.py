"""SMTP sessions within one process, without sockets: what one received message costs of Python.

Imports nothing of ours, so that a peer's own environment can run it as well.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

_HEADER = (
    b"Subject: bench\r\nFrom: a@b.example\r\nDate: Sun, 01 Mar 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@b.example>\r\n"
)
_TEXT = _HEADER + b"\r\n" + (b"x" * 70 + b"\r\n") * 55
STEPS = (
    b"EHLO client.example\r\n",
    b"MAIL FROM:<sender@client.example>\r\n",
    b"RCPT TO:<user123@sink.example>\r\n",
    b"DATA\r\n",
    _TEXT + b".\r\n",
    b"QUIT\r\n",
)
"""What a client says for one message of 4 KiB, waiting for each reply."""
_CODES = (b"220", b"250", b"250", b"250", b"354", b"250", b"221")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one message: CPU in microseconds, and calls of Python functions, which never vary much."""

    cpu_us: float
    calls: float


class MemoryTransport(asyncio.Transport):
    """Keeps the last line of each reply that a server sends."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 25)})
        self.sent: list[bytes] = []
        self._has_sent = asyncio.Event()
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += [line for line in bytes(data).splitlines() if line[3:4] == b" "]
        self._has_sent.set()

    async def wait_sent(self, replies: int) -> None:
        """Return when so many replies were sent."""
        while len(self.sent) < replies:
            self._has_sent.clear()
            await self._has_sent.wait()

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    abort = close

    def write_eof(self) -> None:
        """Nobody is told."""

    def pause_reading(self) -> None:
        """Nothing comes unasked."""

    resume_reading = pause_reading


async def receive_one(make: Callable[[], asyncio.Protocol]) -> None:
    """Hold one session; every reply must be the one that a client hopes for."""
    protocol, transport = make(), MemoryTransport()
    protocol.connection_made(transport)
    await transport.wait_sent(1)
    for number, step in enumerate(STEPS, 2):
        protocol.data_received(step)
        await transport.wait_sent(number)
    protocol.connection_lost(None)
    assert tuple(reply[:3] for reply in transport.sent) == _CODES, transport.sent


async def measure(make: Callable[[], asyncio.Protocol], messages: int) -> Cost:
    """Receive so many messages, one after the other."""
    for _ in range(messages // 10 + 1):
        await receive_one(make)
    before = time.process_time()
    for _ in range(messages):
        await receive_one(make)
    cpu = (time.process_time() - before) / messages
    return Cost(cpu * 1e6, await _count_calls(make))


async def _count_calls(make: Callable[[], asyncio.Protocol]) -> float:
    counted, calls = 20, 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        for _ in range(counted):
            await receive_one(make)
    finally:
        sys.setprofile(None)
    return calls / counted

"""One DNS message to one server and one back, by UDP or TCP.

RFC 1035 §4.2. Against forged answers each question has a socket of its own (RFC 5452 §9.2),
connected, so that only that server's datagrams arrive. Time limits are the caller's.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from letterlock.network.dialing import Dialer
from letterlock.network.wire import Lost

MAX_STRAY_DATAGRAMS = 64
"""Datagrams passed over while waiting for one that answers; more than that is an attack."""

_DATAGRAM_OCTETS = 4096

T = TypeVar("T")


async def exchange_udp(
    server: tuple[str, int],
    query: bytes,
    read: Callable[[bytes], T | None],
    end: float | None = None,
) -> T | None:
    """Send a message; give what `read` makes of the first datagram that it makes something of.

    None: too many came that it did not. Raises OSError, and TimeoutError when the loop's clock
    shows `end`.
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(0)
        udp.connect(server)
        udp.send(query)
        awaited = _Awaited(udp, read, loop.create_future())
        timer = loop.call_at(end, awaited.give_up) if end is not None else None
        loop.add_reader(udp, awaited.receive)
        try:
            return await awaited.answer
        finally:
            loop.remove_reader(udp)
            if timer is not None:
                timer.cancel()


@dataclass(slots=True)
class _Awaited(Generic[T]):
    """What is to come to a socket. This and a timer cost half of `sock_recv` under a timeout."""

    udp: socket.socket
    read: Callable[[bytes], T | None]
    answer: "asyncio.Future[T | None]"
    strays: int = 0

    def receive(self) -> None:
        """Take a datagram that is there."""
        if self.answer.done():
            return
        try:
            found = self.read(self.udp.recv(_DATAGRAM_OCTETS))
        except BlockingIOError:
            # Its checksum was wrong: select(2), BUGS.
            return
        except Exception as error:  # noqa: BLE001 - given to who waits
            self.answer.set_exception(error)
            return
        self.strays += found is None
        if found is not None or self.strays == MAX_STRAY_DATAGRAMS:
            self.answer.set_result(found)

    def give_up(self) -> None:
        """End the wait: the time is over."""
        if not self.answer.done():
            self.answer.set_exception(TimeoutError())


async def exchange_tcp(server: tuple[str, int], query: bytes) -> bytes:
    """Send a message; give the one that comes back. Raises OSError and EOFError."""
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(query).to_bytes(2) + query)
        size = int.from_bytes(await reader.readexactly(2))
        return await reader.readexactly(size)
    finally:
        writer.transport.abort()


async def exchange_dialed(
    dialer: Dialer, server: tuple[str, int], query: bytes, seconds: float
) -> bytes | Lost:
    """Do as `exchange_tcp`, over a connection that a dialer opens; each wait takes `seconds`."""
    wire = await dialer.connect(*server, seconds)
    if isinstance(wire, Lost):
        return wire
    try:
        if lost := await wire.write(len(query).to_bytes(2) + query, seconds):
            return lost
        found = b""
        while len(found) < 2 or len(found) < 2 + int.from_bytes(found[:2]):
            octets = await wire.read(seconds)
            if isinstance(octets, Lost):
                return octets
            found += octets
        return found[2 : 2 + int.from_bytes(found[:2])]
    finally:
        wire.close()


def explain_os_error(error: OSError) -> str:
    """Say it without the address, which asyncio adds."""
    return os.strerror(error.errno) if error.errno else str(error)

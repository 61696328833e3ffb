"""One DNS message to one server and one back, by UDP or TCP.

RFC 1035 §4.2. Against forged answers each question has a socket of its own, connected, so that
only that server's datagrams arrive. Time limits are the caller's.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import TypeVar

from letterlock.network.dialing import Dialer
from letterlock.network.wire import Lost

MAX_STRAY_DATAGRAMS = 64
"""Datagrams passed over while waiting for one that answers; more than that is an attack."""

_DATAGRAM_OCTETS = 4096

T = TypeVar("T")


async def exchange_udp(
    server: tuple[str, int], query: bytes, read: Callable[[bytes], T | None]
) -> T | None:
    """Send a message; give what `read` makes of the first datagram that it makes something of.

    None: too many came that it did not. Raises OSError.
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(0)
        udp.connect(server)
        udp.send(query)
        for _ in range(MAX_STRAY_DATAGRAMS):
            found = read(await loop.sock_recv(udp, _DATAGRAM_OCTETS))
            if found is not None:
                return found
    return None


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

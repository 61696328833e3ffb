"""How a process ends: at once, or when what it has begun has come to its own end.

A new configuration or certificate makes a new generation of processes. The old one drains: the
sockets that it listened on are the new one's too, and nobody who reached the old one is cut off.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from socket import socket
from typing import Protocol

from letterlock.base.waiting import finish_within

DRAIN = timedelta(minutes=10)
"""For how long a drained process may go on with what it has begun."""


class Server(Protocol):
    """What can be let run empty."""

    async def run(self, listeners: Sequence[socket]) -> None:
        """Accept on listening sockets until cancelled."""

    def stop_accepting(self) -> None:
        """Accept no more connections; those there are go on."""

    async def wait_empty(self) -> None:
        """Return when no connection is left; one that was accepted just now counts."""


Served = tuple[Server, Sequence[socket]]
"""A server and the sockets that it listens on."""


class End:
    """Told by the signals of a process, and waited for by what it is."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        """It ends, now or soon: nothing is begun any more."""
        self._stopped = asyncio.Event()

    @property
    def is_draining(self) -> bool:
        """What was begun goes on."""
        return self.told.is_set() and not self._stopped.is_set()

    def stop(self) -> None:
        """End now, whatever is under way."""
        self._stopped.set()
        self.told.set()

    def drain(self) -> None:
        """Begin nothing new, and end when what was begun has ended."""
        self.told.set()

    async def wait(self, servers: Sequence[Server], work: Sequence[Awaitable[object]] = ()) -> None:
        """Return when nothing is under way that may go on: on the servers, or of the work."""
        await self.told.wait()
        for server in servers:
            server.stop_accepting()
        first = _wait_for_first(self._stopped.wait(), _wait_for_all(servers, work))
        await finish_within(first, DRAIN.total_seconds())


async def _wait_for_all(servers: Sequence[Server], work: Sequence[Awaitable[object]]) -> None:
    """Wait until all are over. What fails fails elsewhere too: it is in a group of its own."""
    empty = (server.wait_empty() for server in servers)
    await asyncio.gather(*work, *empty, return_exceptions=True)


async def _wait_for_first(*waits: Awaitable[object]) -> None:
    """Wait until one of them is over; the others are given up."""
    waiting = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for item in waiting:
            item.cancel()

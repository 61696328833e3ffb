"""Accept connections that are short: so many at a time, and each for so long.

Room is made for a new one at the cost of the oldest, the client's own first: it is the slow ones
that are old, and an authority that comes to look is done within a second.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from socket import socket

from letterlock.base.client_keys import client_key
from letterlock.base.waiting import let_arrive
from letterlock.network.listening import Listening
from letterlock.network.wire import Wire

_BACKLOG = 256

Serve = Callable[[Wire, float], Awaitable[None]]
"""Serves a connection until it ends; the second is when it must, by the event loop's clock."""


@dataclass(frozen=True, slots=True)
class AcceptorLimits:
    """Connections at a time, of all clients and of each, and the seconds that one may take."""

    connections: int = 200
    connections_per_client: int = 50
    seconds: float = 20.0


USUAL_LIMITS = AcceptorLimits()


class Acceptor:
    """Takes connections for `serve`, and closes them after it: what servers stand on."""

    def __init__(self, serve: Serve, limits: AcceptorLimits = USUAL_LIMITS) -> None:
        self._serve = serve
        self._limits = limits
        self._listening = Listening()
        self._tasks: asyncio.TaskGroup | None = None
        self._clients: dict[asyncio.Task[None], str] = {}

    async def run(self, listeners: Sequence[socket]) -> None:
        """Accept on listening sockets until cancelled; then what is open is cut off."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await self._listening.start(listeners, lambda: _Client(self._begin), _BACKLOG)
                await asyncio.Event().wait()
            finally:
                self.stop_accepting()
                self._tasks = None

    def stop_accepting(self) -> None:
        """Accept no more connections; those there are go on."""
        self._listening.stop()

    async def wait_empty(self) -> None:
        """Return when no connection is left; one that was accepted just now counts."""
        await let_arrive()
        while self._clients:
            await asyncio.wait(tuple(self._clients))

    def _begin(self, wire: Wire, ip: str) -> None:
        if self._tasks is None:  # accepted in the moment of the end
            wire.close()
            return
        client = client_key(ip)
        self._make_room(client)
        end = asyncio.get_running_loop().time() + self._limits.seconds
        task = self._tasks.create_task(self._run_one(wire, end))
        self._clients[task] = client
        # Not in the task itself: one that is cancelled before its first step runs none of it.
        task.add_done_callback(lambda _: self._end(task, wire))

    def _end(self, task: asyncio.Task[None], wire: Wire) -> None:
        self._clients.pop(task, None)
        wire.close()

    async def _run_one(self, wire: Wire, end: float) -> None:
        await self._serve(wire, end)

    def _make_room(self, client: str) -> None:
        own = [task for task, each in self._clients.items() if each == client]
        oldest = None
        if len(own) >= self._limits.connections_per_client:
            oldest = own[0]
        elif len(self._clients) >= self._limits.connections:
            oldest = next(iter(self._clients))
        if oldest is not None:
            del self._clients[oldest]
            oldest.cancel()


class _Client(Wire):
    """A connection that comes in."""

    def __init__(self, begin: Callable[[Wire, str], None]) -> None:
        super().__init__()
        self._begin = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # A client that is gone already has no address.
        ip, *_ = transport.get_extra_info("peername") or ("",)
        self._begin(self, ip)


def left_until(end: float) -> float:
    """Give the seconds left, by the event loop's clock."""
    return max(0.0, end - asyncio.get_running_loop().time())

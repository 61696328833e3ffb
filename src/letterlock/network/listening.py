"""Accepting on sockets that were bound before, until somebody says that it is enough.

Also where that is said before it began, or while it does: the sockets are a successor's too.
"""

import asyncio
from collections.abc import Callable, Iterable
from socket import socket


class Listening:
    """The listening of one server."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._may_accept = True

    async def start(
        self,
        listeners: Iterable[socket],
        make_protocol: Callable[[], asyncio.BaseProtocol],
        backlog: int,
    ) -> None:
        """Accept. `create_server` would lower the backlog to 100: connections then wait 1 s."""
        loop = asyncio.get_running_loop()
        for listener in listeners:
            if not self._may_accept:
                break
            server = await loop.create_server(make_protocol, sock=listener, backlog=backlog)
            self._servers.append(server)
        if not self._may_accept:  # said while we began
            self.stop()

    def stop(self) -> None:
        """Accept no more connections; those there are go on."""
        self._may_accept = False
        for server in self._servers:
            server.close()

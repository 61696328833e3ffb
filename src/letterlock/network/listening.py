"""Accepting on sockets that were bound before, until somebody says that it is enough.

Also where that is said before it began, or while it does: the sockets are a successor's too.

Where no descriptor is left, libuv gives one up that it keeps for this, so that it can take and
close whoever comes. Another thread may get hold of that one: then clients would wait for nothing,
and the loop would be told of them without end. So one more is kept here, looked after each second.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from socket import socket

LOOK_SECONDS = 1.0
MAX_TURNED_AWAY = 1000
"""In one look."""


class Listening:
    """The listening of one server."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._listeners: list[socket] = []
        self._may_accept = True
        self._spare: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(
        self,
        listeners: Iterable[socket],
        make_protocol: Callable[[], asyncio.BaseProtocol],
        backlog: int,
    ) -> None:
        """Accept. `create_server` would lower the backlog to 100: connections then wait 1 s."""
        loop = asyncio.get_running_loop()
        if self._timer is None and self._may_accept:
            self._look(loop)
        for listener in listeners:
            if not self._may_accept:
                break
            server = await loop.create_server(make_protocol, sock=listener, backlog=backlog)
            self._servers.append(server)
            self._listeners.append(listener)
        if not self._may_accept:  # said while we began
            self.stop()

    def stop(self) -> None:
        """Accept no more connections; those there are go on."""
        self._may_accept = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._give_up_spare()
        for server in self._servers:
            server.close()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep a descriptor; where there is no other, turn away with it who waits for one."""
        if self._spare is None:
            self._spare = _open_any()
        elif (another := _open_any()) is not None:
            os.close(another)
        else:
            self._give_up_spare()
            for listener in self._listeners:
                _turn_away(listener)
            self._spare = _open_any()
        self._timer = loop.call_later(LOOK_SECONDS, self._look, loop)

    def _give_up_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)


def _open_any() -> int | None:
    """Open something; None: no descriptor is left."""
    try:
        # It has no path, which we might not be allowed to read.
        return os.eventfd(0)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return None
        raise


def _turn_away(listener: socket) -> None:
    """Take and close those who wait, which needs one descriptor at a time."""
    with suppress(OSError):
        for _ in range(MAX_TURNED_AWAY):
            listener.accept()[0].close()

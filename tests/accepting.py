"""Servers of tests, on asyncio's streams: at their end nothing of a connection is left."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from socket import socket

from letterlock.base.waiting import let_arrive

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Accepted:
    """The connections of a server. A client that leaves ends what serves it."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one; for `asyncio.start_server`."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError):
            pass
        except asyncio.CancelledError:
            # By `end`: asyncio's callback would log a task that was cancelled.
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def end(self) -> None:
        """Break off what is left, when the server takes no more.

        What was accepted in the last moment is begun in a later turn: left alone, its socket
        would be found open by the collector, in a test that knows nothing of it.
        """
        await let_arrive()
        for task in (running := tuple(self._tasks)):
            task.cancel()
        if running:
            await asyncio.wait(running)
        for writer in self._writers:
            writer.transport.abort()
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def accepting(
    serve: Serve,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = 0,
    *,
    path: Path | None = None,
    listener: socket | None = None,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Serve at a unix socket, a listener, or a port (0: a free one); gives the port, or 0."""
    accepted = Accepted(serve)
    if path is not None:
        server = await asyncio.start_unix_server(accepted.take, path)
    elif listener is not None:
        server = await asyncio.start_server(accepted.take, sock=listener, ssl=context)
    else:
        server = await asyncio.start_server(accepted.take, host, port, ssl=context)
    try:
        yield 0 if path is not None else server.sockets[0].getsockname()[1]
    finally:
        await stop_accepting(server)
        await accepted.end()


async def stop_accepting(server: asyncio.Server) -> None:
    """Close it when what it accepted has begun: asyncio's loop takes that amiss in a closed one.

    It fails by an assertion that nobody is told of (up to Python 3.14 at least), and the socket is
    open until the collector finds it. uvloop begins with a connection as it accepts it.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    await let_arrive()
    server.close()

"""Run one of our servers on a free port of loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from socket import socket

Run = Callable[[Sequence[socket]], Awaitable[None]]


@asynccontextmanager
async def listening(run: Run) -> AsyncIterator[int]:
    """Have a server's `run` accept; gives its port. At the end it must have run until cancelled."""
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
        running = asyncio.ensure_future(run([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()

"""Run one of our servers on a free port of loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from socket import AF_INET, AF_INET6, socket

Run = Callable[[Sequence[socket]], Awaitable[None]]


@asynccontextmanager
async def listening(run: Run, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Have a server's `run` accept; gives its port. At the end it must have run until cancelled."""
    with socket(AF_INET6 if ":" in host else AF_INET) as listener:
        listener.bind((host, 0))
        listener.listen()
        listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
        running = asyncio.ensure_future(run([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()

"""Asynchronous servers for tests that wait for processes: each in an event loop of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

from letterlock.network.zone_server import ZoneServer
from tests.journeys.running_node import PATIENCE

T = TypeVar("T")

_ENTERING = 5 * PATIENCE
"""Seconds: programs may be started in it one after another, and each has `PATIENCE`."""


@contextmanager
def in_background(context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Hold an asynchronous context open in another thread, while the block runs."""
    entered: Future[tuple[T, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def hold() -> None:
        try:
            async with context as value:
                is_over = asyncio.Event()
                entered.set_result((value, asyncio.get_running_loop(), is_over))
                await is_over.wait()
        except BaseException as error:
            if not entered.done():
                entered.set_exception(error)
            raise

    thread = threading.Thread(target=lambda: asyncio.run(hold()), daemon=True)
    thread.start()
    value, loop, is_over = entered.result(_ENTERING)
    try:
        yield value
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join(_ENTERING)
        assert not thread.is_alive(), "a server in the background does not end"


@contextmanager
def zones(
    records: Mapping[str, str],
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    authentic_data: bool = False,
) -> Iterator[str]:
    """Run a name server that has these zones, as `ZoneServer` does; gives its address."""
    server = ZoneServer(records, authentic_data=authentic_data)
    with in_background(_serve(server, host, port)) as address:
        yield address


@asynccontextmanager
async def _serve(server: ZoneServer, host: str, port: int) -> AsyncIterator[str]:
    host, port = await server.start(host, port)
    try:
        yield f"{host}:{port}"
    finally:
        await server.close()

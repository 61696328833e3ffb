"""A name server for the nodes that are measured: clients have a name, as 127.0.0.1 has one."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from letterlock.network.zone_server import ZoneServer

_ZONES = {
    "0.127.in-addr.arpa": "1.0 PTR localhost.\n",
    "localhost": "@ A 127.0.0.1\n",
}


@contextmanager
def name_server() -> Iterator[str]:
    """Run it in a thread; gives its address as HOST:PORT."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = ZoneServer(_ZONES)
    host, port = asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    try:
        yield f"{host}:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

"""What the journeys share: a name server beside the nodes."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from letterlock.network.zone_server import ZoneServer
from tests.journeys.running_node import PATIENCE

ZONES = {
    "example.org": """
        @ MX 10 mx
        mx A 127.0.0.2
    """,
    # The same host under a name that its certificate does not have.
    "wrong.example": """
        @ MX 10 mx
        mx A 127.0.0.2
    """,
    "broken.example": """
        @ MX 10 mx.example.org.
    """,
    "odd.example": """
        @ MX 10 mx.example.org.
    """,
    "plain.example": """
        @ MX 10 mx.example.org.
    """,
    "second.example": """
        @ MX 10 mx
        mx A 127.0.0.3
    """,
}


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    """Run a name server in a thread; gives its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = ZoneServer(ZONES)
    host, port = asyncio.run_coroutine_threadsafe(server.start(), loop).result(PATIENCE)
    yield f"{host}:{port}"
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()

"""Accepting where no descriptor is left."""

import subprocess
import sys

# In a process of its own: what it takes from itself, others would miss.
_SCRIPT = """
import asyncio, os, resource, socket
import uvloop
from letterlock.network.listening import Listening

def open_any():
    try:
        return os.open("/dev/null", os.O_RDONLY)
    except OSError:
        return None

async def main():
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    listener.setblocking(False)
    clients = [socket.socket() for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
    while (found := open_any()) is not None:
        last = found
    os.close(last)
    listening = Listening()
    await listening.start([listener], asyncio.Protocol, 100)
    # That took the last one: libuv, which wants one for itself with each socket, has got none.
    assert open_any() is None
    for client in clients:
        client.connect(listener.getsockname())  # that is the kernel's work alone
        client.setblocking(False)
        async with asyncio.timeout(30):
            assert await loop.sock_recv(client, 1) == b""
    listening.stop()
    print("turned away")

uvloop.run(main())
"""


def test_nobody_waits_where_libuv_has_no_descriptor_to_turn_clients_away() -> None:
    """As where another thread took the one that it gives up to take and close a client."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "turned away\n", done.stderr

"""Accepting where no descriptor is left."""

import subprocess
import sys

# In a process of its own: what it takes from itself, others would miss.
_SCRIPT = """
import asyncio, os, resource, socket, threading
import uvloop
from letterlock.network.listening import Listening

def open_any():
    try:
        return os.open("/dev/null", os.O_RDONLY)
    except OSError:
        return None

def steal(stolen):
    while (found := open_any()) is None:
        pass
    stolen.append(found)

async def main():
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    listener.setblocking(False)
    listening = Listening()
    await listening.start([listener], asyncio.Protocol, 100)
    clients = [socket.socket() for _ in range(60)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
    while open_any() is not None:
        pass
    stolen = []
    threading.Thread(target=steal, args=(stolen,), daemon=True).start()
    after = 0
    for client in clients:
        after += bool(stolen)
        if after == 4:
            break
        client.connect(listener.getsockname())  # that is the kernel's work alone
        client.setblocking(False)
        async with asyncio.timeout(10):
            assert await loop.sock_recv(client, 1) == b""
    listening.stop()
    print(f"turned away: {after - 1}")

uvloop.run(main())
"""


def test_nobody_waits_where_another_thread_took_the_last_descriptor() -> None:
    """libuv has given it up to take and close a client, and does not get it back."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "turned away: 3\n", done.stderr

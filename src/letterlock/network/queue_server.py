"""A socket that tells whoever connects something, by who that is: a user of this machine.

The kernel says who it is (SO_PEERCRED). Nothing is read from it.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from letterlock.base.waiting import let_arrive
from letterlock.network.control_client import socket_address

MODE = 0o666
MAX_CONNECTIONS = 8
"""More are closed at once: anybody may connect."""
PATIENCE_SECONDS = 30.0
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid

Answer = Callable[[int], Awaitable[bytes]]
"""Takes the user's number, gives what he is told."""


class QueueServer:
    """Listens at a path in a folder where others may leave files too; it replaces what is there."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self._path = path
        self._answer = answer
        self._connections = 0

    async def run(self) -> None:
        """Listen until cancelled. Raises OSError where it can't."""
        listener, inode = self._bind()
        try:
            server = await asyncio.start_server(self._serve, sock=listener)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                server.close()
                await let_arrive()
        finally:
            listener.close()
            with contextlib.suppress(OSError):
                if self._path.lstat().st_ino == inode:
                    self._path.unlink()

    def _bind(self) -> tuple[socket.socket, int]:
        """Bind beside the place and move it there: it is replaced, and never missing."""
        beside = self._path.with_name(f"{self._path.name}.{os.urandom(8).hex()}")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket_address(beside) as address:
                listener.bind(address)
            beside.chmod(MODE)
            inode = beside.lstat().st_ino
            beside.replace(self._path)
            listener.setblocking(False)  # noqa: FBT003 - the standard library's way
        except BaseException:
            listener.close()
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        return listener, inode

    async def _serve(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections > MAX_CONNECTIONS:
                return
            async with asyncio.timeout(PATIENCE_SECONDS):
                writer.write(await self._answer(_find_user(writer)))
                await writer.drain()
        except (OSError, TimeoutError):
            pass  # the one who asked is gone
        except asyncio.CancelledError:
            # The process ends. Let out, later ones of Python 3.11 complain on standard error.
            pass
        finally:
            self._connections -= 1
            writer.close()


def _find_user(writer: asyncio.StreamWriter) -> int:
    sock = writer.get_extra_info("socket")
    peer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(peer)
    return int(user)

"""The control socket: how the commands reach a running node.

A Unix socket that only the node's user (and root) can use; see `control_client` for what goes over
it. What a command does is passed in.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from letterlock.base.waiting import let_arrive
from letterlock.network.control_client import (
    MAX_DOCUMENT_OCTETS,
    format_document,
    parse_document,
    socket_address,
)

Command = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Takes the arguments, gives the answer; a ValueError's text is the answer's error."""

IDLE_SECONDS = 30.0
"""How long a connection may stay without a request."""
MAX_CONNECTIONS = 16
_BACKLOG = 16
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class ControlInUse(Exception):  # noqa: N818 - a state, not a mistake
    """Another node listens on the socket already."""


class ControlServer:
    """Answers commands on one socket."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self._path = path
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._inode: tuple[int, int] | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Begin to listen; makes the folder. A socket that nobody serves any more is replaced.

        Raises ControlInUse, or OSError where folder or socket can't be made.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        listener = bind_unix_socket(self._path)
        status = self._path.stat()
        self._inode = (status.st_dev, status.st_ino)
        # Not `start_unix_server`: since Python 3.13 that removes the file in its own way.
        self._server = await asyncio.start_server(
            self._serve, sock=listener, limit=MAX_DOCUMENT_OCTETS, backlog=_BACKLOG
        )

    async def close(self) -> None:
        """Stop listening, break off what is open, and take the socket away if it is still ours."""
        if self._server is None:
            return
        self._is_closed = True
        self._server.close()
        await let_arrive()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None
        with contextlib.suppress(OSError):
            status = self._path.stat()
            if (status.st_dev, status.st_ino) == self._inode:
                self._path.unlink()

    async def run(self) -> None:
        """Listen until cancelled."""
        if self._server is None:
            await self.open()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        refusal = self._find_refusal(writer)
        try:
            # Also one who is refused is heard first: a close before that would lose the answer.
            while not self._is_closed and (line := await _read_line(reader)):
                answer = refusal or await self._answer(line)
                writer.write(format_document(answer))
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.drain()
                if refusal:
                    break
        except (ConnectionError, TimeoutError):
            pass  # the one who asked is gone
        except asyncio.CancelledError:
            # Later ones of Python 3.11 complain on standard error of a server's task that ends so.
            if not self._is_closed:
                raise
        finally:
            self._connections.discard(task)
            writer.close()

    def _find_refusal(self, writer: asyncio.StreamWriter) -> dict[str, object] | None:
        if not _is_allowed(writer):
            return {"error": "only the node's user and root may do this"}
        if len(self._connections) > MAX_CONNECTIONS:
            return {"error": "too many commands at a time; try again"}
        return None

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            match parse_document(line):
                case {"command": str() as name, "arguments": dict() as arguments}:
                    command = self._commands.get(name)
                case _:
                    return {"error": "a request has command and arguments"}
            if command is None:
                return {"error": f"this node knows no command {name[:40]!r}"}
            return {"answer": await command(arguments)}
        except ValueError as error:
            return {"error": str(error)[:1000] or "it could not be done"}


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """Give a whole line; nothing when the other side is done, too slow or too long."""
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            return await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
        return b""


def bind_unix_socket(path: Path, mode: int = 0o600) -> socket.socket:
    """Make a socket; one that nobody serves any more is replaced. Raises ControlInUse, OSError.

    Nobody can connect before `listen`, so the mode is set in time.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(path) as address:
            try:
                listener.bind(address)
            except OSError:
                _remove_stale(path, address)
                listener.bind(address)
        path.chmod(mode)
        listener.setblocking(False)  # noqa: FBT003 - the standard library's way
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path, address: str) -> None:
    """Remove a socket that was left behind; leaves everything else where it is."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise ControlInUse(f"{path}: {error.strerror or error}") from error
    raise ControlInUse(f"a node runs already: {path} answers")


def _is_allowed(writer: asyncio.StreamWriter) -> bool:
    """Allow the same user, and root. The socket's mode says so too, where the system heeds it."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(peer)
    return user in (0, os.geteuid())

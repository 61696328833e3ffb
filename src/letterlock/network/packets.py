"""Packets between two of our processes: a pair of sockets made before they are forked.

A packet arrives whole or not at all, also where the process at one end is replaced by another that
inherits the same socket.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable

MAX_PACKET_OCTETS = 128 * 1024
_BUFFER_OCTETS = 4 * 1024 * 1024


def make_packet_sockets() -> tuple[socket.socket, socket.socket]:
    """Make both ends."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)  # noqa: FBT003 - the standard library's signature
        # The kernel makes it what is allowed.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_OCTETS)
    return ends


class PacketChannel:
    """One end, in an event loop. What does not fit yet waits here: whoever sends bounds it."""

    def __init__(self, end: socket.socket, receive: Callable[[bytes], None]) -> None:
        """Call `receive` with each packet."""
        self._end = end
        self._receive = receive
        self._waiting: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end.fileno(), self._read)

    def send(self, packet: bytes) -> None:
        """Send a packet, at once or as soon as there is room."""
        if not self._waiting:
            if self._try(packet):
                return
            self._loop.add_writer(self._end.fileno(), self._write)
        self._waiting.append(packet)

    def close(self) -> None:
        """Send and receive nothing more. The socket stays open for the next process."""
        self._loop.remove_reader(self._end.fileno())
        self._loop.remove_writer(self._end.fileno())
        self._waiting.clear()

    def _read(self) -> None:
        try:
            packet = self._end.recv(MAX_PACKET_OCTETS)
        except BlockingIOError:
            return
        if not packet:
            # The other end is closed for good: it would read as ready again and again.
            self._loop.remove_reader(self._end.fileno())
            return
        self._receive(packet)

    def _write(self) -> None:
        while self._waiting and self._try(self._waiting[0]):
            self._waiting.popleft()
        if not self._waiting:
            self._loop.remove_writer(self._end.fileno())

    def _try(self, packet: bytes) -> bool:
        """Send; False when there is no room. What nobody will ever read is lost."""
        try:
            self._end.send(packet)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return True
        return True

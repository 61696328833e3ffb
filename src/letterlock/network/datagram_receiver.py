"""Datagrams on a Unix socket: one thread that only receives, into a queue that has its bounds.

What the kernel keeps until then is `net.unix.max_dgram_qlen` datagrams and one more, as it was
when the socket was made, whatever SO_RCVBUF says; a sender that finds it full gets EAGAIN, and
libtlsrpt's lets the datagram go. So nothing else is done here: no file, no parsing.
"""

import select
import socket
import struct
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from letterlock.network.control_client import socket_address

QUEUE_LENGTH_FILE = Path("/proc/sys/net/unix/max_dgram_qlen")
_WAKE_SECONDS = 0.2
"""How long it may take to see that it is to end."""
_LAST = 10_000
"""How many are received at the most when it is to end: more than a kernel is told to keep."""
_TIMEVAL = struct.Struct("ll")


class SocketInUse(Exception):  # noqa: N818 - a state, not a mistake
    """Another program receives on the socket already."""


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """What may wait to be taken, and the octets of one datagram."""

    datagrams: int = 200_000
    octets: int = 128 * 1024 * 1024
    datagram_octets: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """What came since it was last asked. `dropped`: the queue was full; `too_large`: cut off."""

    datagrams: list[bytes]
    dropped: int = 0
    too_large: int = 0


USUAL_LIMITS = ReceiverLimits()


class DatagramReceiver:
    """Receives until stopped. The socket is the caller's, who closes it."""

    def __init__(self, listener: socket.socket, limits: ReceiverLimits = USUAL_LIMITS) -> None:
        self._listener = listener
        self._limits = limits
        self._queue: deque[bytes] = deque()
        # Each of these is written by one thread: nothing has to be locked.
        self._octets_in = self._dropped = self._too_large = 0
        self._octets_out = self._told_dropped = self._told_too_large = 0
        self._is_over = False
        self._last = _LAST
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self.fault: OSError | None = None
        """Why it ended although nobody stopped it."""

    def start(self) -> None:
        self._listener.setblocking(True)  # noqa: FBT003 - the standard library's signature
        # Not `settimeout`: that asks the kernel twice for each datagram.
        timeout = _TIMEVAL.pack(0, int(_WAKE_SECONDS * 1_000_000))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        self._thread.start()

    def stop(self) -> None:
        """End the thread. What was sent to it before can still be taken."""
        self._is_over = True
        self._thread.join()

    def take(self) -> Received:
        """Give what came, and forget it."""
        queue = self._queue
        datagrams = [queue.popleft() for _ in range(len(queue))]
        self._octets_out += sum(map(len, datagrams))
        dropped, too_large = self._dropped, self._too_large
        received = Received(
            datagrams, dropped - self._told_dropped, too_large - self._told_too_large
        )
        self._told_dropped, self._told_too_large = dropped, too_large
        return received

    def _run(self) -> None:
        receive, queue, limits = self._listener.recv_into, self._queue, self._limits
        # One octet more than there may be: so what is cut off is seen.
        buffer = bytearray(limits.datagram_octets + 1)
        view = memoryview(buffer)
        while not self._is_over or self._is_more_there():
            try:
                size = receive(buffer)
            except BlockingIOError:
                continue
            except OSError as error:
                self.fault = error
                return
            if size > limits.datagram_octets:
                self._too_large += 1
            elif (
                len(queue) >= limits.datagrams
                or self._octets_in - self._octets_out + size > limits.octets
            ):
                self._dropped += 1
            else:
                self._octets_in += size
                queue.append(bytes(view[:size]))

    def _is_more_there(self) -> bool:
        """Tell if the kernel has more, whose senders were told that it was taken."""
        self._last -= 1
        arrivals = select.poll()
        arrivals.register(self._listener, select.POLLIN)
        return self._last >= 0 and bool(arrivals.poll(0))


def bind_datagram_socket(path: Path, mode: int) -> socket.socket:
    """Make a socket; one that nobody receives on any more is replaced.

    Raises SocketInUse, or OSError.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        with socket_address(path) as address:
            try:
                listener.bind(address)
            except OSError:
                _remove_stale(path, address)
                listener.bind(address)
        path.chmod(mode)
    except BaseException:
        listener.close()
        raise
    return listener


def find_queue_length() -> int | None:
    """Give how many datagrams the kernel keeps for a new socket; None where it does not say."""
    try:
        return int(QUEUE_LENGTH_FILE.read_text())
    except (OSError, ValueError):
        return None


def _remove_stale(path: Path, address: str) -> None:
    """Remove a socket that was left behind; leaves everything else where it is."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            path.unlink()
            return
    raise SocketInUse(f"another program receives on {path}")

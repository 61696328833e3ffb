"""Where log lines go over a socket or standard error, never waiting: the journal, syslog.

RFC 5426 (syslog over UDP), RFC 6587 §3.4.1 (over TCP, octet counting); the journal's is systemd's
native protocol. What a sink did not take is the caller's still: see `base.log_outbox`. Not there:
syslog over TLS (RFC 5425); an rsyslog beside us does that.
"""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from letterlock.base.log import join_lines

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
MAX_UDP_OCTETS = 8192
"""What rsyslog and syslog-ng take by default; RFC 5426 §3.2 asks them for 2048."""
_BUSY = {errno.EAGAIN, errno.ENOBUFS}
_SEALS = (
    fcntl.F_ADD_SEALS,
    (fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE),
)


class DatagramSink:
    """One datagram a line: to a socket of this machine (a path), or by UDP to (host, port).

    Who is not there, or starts anew, is tried again with the same line.
    """

    def __init__(self, target: Path | tuple[str, int]) -> None:
        self._target = target
        self._socket: socket.socket | None = None
        self.fault = ""

    def take(self, records: Sequence[bytes]) -> int:
        for number, record in enumerate(records):
            if not self._try_sending(record):
                return number
        return len(records)

    def _try_sending(self, record: bytes) -> bool:
        # A socket whose other end was closed says so once: then a new one.
        for _ in range(2):
            try:
                self._send(self._connect(), record)
            except OSError as error:
                if error.errno in _BUSY:
                    return False
                self.close()
                self.fault = f"{_name(self._target)}: {error.strerror}"
            else:
                self.fault = ""
                return True
        return False

    def _send(self, connected: socket.socket, record: bytes) -> None:
        if not isinstance(self._target, Path):
            record = record[:MAX_UDP_OCTETS]
        try:
            connected.send(record)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            self._send_large(connected, record)

    def _send_large(self, connected: socket.socket, record: bytes) -> None:
        """Send what is too large for a datagram: here, its beginning."""
        connected.send(record[:MAX_UDP_OCTETS])

    def _connect(self) -> socket.socket:
        if self._socket is None:
            target = self._target
            family = socket.AF_UNIX if isinstance(target, Path) else _family(target[0])
            made = socket.socket(
                family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            )
            try:
                made.connect(str(target) if isinstance(target, Path) else target)
            except OSError:
                made.close()
                raise
            self._socket = made
        return self._socket

    def close(self) -> None:
        """Let go of the socket; the next line makes a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class JournalSink(DatagramSink):
    """systemd's journal: entries that no datagram holds are handed over as a sealed memory file."""

    def __init__(self, path: Path = JOURNAL_SOCKET) -> None:
        super().__init__(path)

    def _send_large(self, connected: socket.socket, record: bytes) -> None:
        memory = os.memfd_create("letterlock-log", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        try:
            os.write(memory, record)
            fcntl.fcntl(memory, *_SEALS)
            socket.send_fds(connected, [b""], [memory])
        finally:
            os.close(memory)


class StreamSink:
    """Syslog over TCP: each process has a connection of its own, made anew when it is gone.

    What the operating system had taken when a connection broke may be lost: TCP does not tell.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._socket: socket.socket | None = None
        self._process = 0
        self._rest = b""
        """What is still to be sent of a line."""
        self._is_connected = False
        self.fault = ""

    def take(self, records: Sequence[bytes]) -> int:
        taken = 0
        try:
            connected = self._connect()
            for record in records:
                # A line that was cut by a lost connection is sent again as a whole.
                self._rest = self._rest or b"%d %s" % (len(record), record)
                while self._rest:
                    self._rest = self._rest[connected.send(self._rest) :]
                taken += 1
        except OSError as error:
            if error.errno not in _BUSY:
                self.close()
                self.fault = f"{_name(self._target)}: {error.strerror}"
        else:
            self.fault = ""
        return taken

    def _connect(self) -> socket.socket:
        """Give the connection; raises BlockingIOError until it stands."""
        if self._process != os.getpid():
            # Inherited: it is our parent's.
            self.close()
            self._process = os.getpid()
        if self._socket is None:
            kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            made = socket.socket(_family(self._target[0]), kind)
            self._socket, self._is_connected = made, False
            with suppress(BlockingIOError):
                made.connect(self._target)
        if not self._is_connected:
            self._note_connection(self._socket)
        return self._socket

    def _note_connection(self, made: socket.socket) -> None:
        if error := made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        try:
            made.getpeername()
        except OSError:
            raise BlockingIOError(errno.EAGAIN, "not connected yet") from None
        self._is_connected = True

    def close(self) -> None:
        """Let go of the connection; the next line makes a new one."""
        self._rest = b""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class StandardError:
    """Standard error: a pipe or socket that nobody reads, or a stopped terminal, is not waited for.

    A file there takes all lines, as files do.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self.fault = ""
        self._socket: socket.socket | None = None
        self._rest = b""
        self._process = os.getpid()
        mode = os.fstat(descriptor).st_mode
        self._descriptor = descriptor
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            # An open file of our own: not to wait is a quality that others would share.
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
            with suppress(OSError):
                self._descriptor = os.open(f"/proc/self/fd/{descriptor}", flags)

    def take(self, records: Sequence[bytes]) -> int:
        taken = 0
        if self._process != (process := os.getpid()):
            # The rest of a line is our parent's.
            self._process, self._rest = process, b""
        try:
            self._write(self._rest)
            for piece, lines in join_lines(records):
                if self._rest:
                    break
                self._write(piece)
                # Counted with a rest too: what was begun is not written again.
                taken += lines
        except OSError as error:
            if error.errno not in _BUSY:
                self.fault = f"standard error: {error.strerror}"
        else:
            self.fault = ""
        return taken

    def _write(self, octets: bytes) -> None:
        """Write, and keep the rest of what was begun. Raises OSError if nothing was taken."""
        if not octets:
            return
        if self._socket is not None:
            written = self._socket.send(octets, socket.MSG_DONTWAIT)
        else:
            written = os.write(self._descriptor, octets)
        self._rest = octets[written:]


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _name(target: Path | tuple[str, int]) -> str:
    return str(target) if isinstance(target, Path) else f"{target[0]} port {target[1]}"

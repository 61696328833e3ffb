"""How the supervisor learns which of its children accept clients: by a pipe they all write to.

The pipe sends a signal when something was written, so that one who waits for signals hears of it.
"""

import fcntl
import os
import signal
import struct
from typing import Final

SIGNAL: Final = signal.SIGURG
"""To be blocked by all threads of one who waits for it. SIGIO, the usual one, would end a process
that did not block it; this one is ignored there."""
_RECORD = struct.Struct("=i")
_MAX_OCTETS = 4096


class Readiness:
    """Children tell it, their parent takes it. Make it before the fork."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        fcntl.fcntl(self._reader, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._reader, fcntl.F_SETSIG, SIGNAL)
        flags = fcntl.fcntl(self._reader, fcntl.F_GETFL)
        fcntl.fcntl(self._reader, fcntl.F_SETFL, flags | os.O_ASYNC)

    def tell(self) -> None:
        """Say in a child that it is ready."""
        os.write(self._writer, _RECORD.pack(os.getpid()))

    def take(self) -> list[int]:
        """Give the processes that told it since they were last taken."""
        octets = b""
        while True:
            try:
                # Records are written whole (pipe(7)), and the size is a multiple of theirs.
                octets += os.read(self._reader, _MAX_OCTETS)
            except BlockingIOError:
                return [process for (process,) in _RECORD.iter_unpack(octets)]

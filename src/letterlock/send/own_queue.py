"""`mailq` for a user who cannot read the queue itself: the node tells him of his own mail."""

import os
import socket
import struct
import sys

from letterlock.send.failures import TRY_LATER, UNAVAILABLE, SendError
from letterlock.storage.drop import QUEUE

PATIENCE_SECONDS = 30.0
_PIECE_OCTETS = 64 * 1024
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def show_own_queue(drop_dir: str) -> None:
    """Print what the node tells. Raises SendError."""
    path = os.path.join(drop_dir, QUEUE)  # noqa: PTH118 - as elsewhere in this package
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        try:
            connection.connect(path)
            # Anybody may leave a file in that folder, a socket too.
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            if _CREDENTIALS.unpack(peer)[1] != os.stat(drop_dir).st_uid:  # noqa: PTH116 - as above
                raise SendError(UNAVAILABLE, f"{path}: it is not the node's")
            while octets := connection.recv(_PIECE_OCTETS):
                sys.stdout.buffer.write(octets)
        except OSError as error:
            text = f"{path}: {error.strerror or error}: the node must run (and see send.show_queue)"
            raise SendError(TRY_LATER, text) from None
    sys.stdout.flush()

"""Asking the node's socket in the drop folder what waits of one's own mail: see `queue_server`."""

import os
import socket
import struct
from collections.abc import Iterator

PATIENCE_SECONDS = 30.0
_PIECE_OCTETS = 64 * 1024
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class NotTheNodes(Exception):  # noqa: N818 - a fact
    """Whoever listens there is not the node."""


def fetch_queue(path: str, owner: int) -> Iterator[bytes]:
    """Give what a user with the number `owner` tells there. Raises OSError, NotTheNodes.

    Anybody may leave a file in that folder, a socket too; the kernel says whose it is.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        connection.connect(os.fspath(path))
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(peer)[1] != owner:
            raise NotTheNodes
        while octets := connection.recv(_PIECE_OCTETS):
            yield octets

"""Ports for programs that are told theirs, and bind it later: nobody gets one in between.

They are below those that the kernel gives to who asks for any port, as connections and most tests
do, and each is locked for this process: the others that run tests beside it take another one.
"""

import random
import socket

_PORTS = range(10_000, 32_000)
_ANY = random.SystemRandom()
_LOCKS: list[int] = []
"""Descriptors of the locks, which end with the process."""


def free_port(*ips: str) -> int:
    """Find a port that is free for TCP and UDP on all of these addresses, and stays ours."""
    while True:
        port = _ANY.choice(_PORTS)
        if _is_free(port, ips or ("127.0.0.1",)) and _lock(port):
            return port


def _is_free(port: int, ips: tuple[str, ...]) -> bool:
    try:
        for ip in ips:
            socket.create_server((ip, port)).close()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                datagrams.bind((ip, port))
    except OSError:
        return False
    return True


def _lock(port: int) -> bool:
    """Take the name that stands for this port, which one process can have (unix(7), abstract)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        try:
            lock.bind(f"\0letterlock-tests-port-{port}")
        except OSError:
            return False
        _LOCKS.append(lock.detach())
    return True

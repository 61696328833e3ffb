"""Asking `letterlock policy serve` as a Postfix does, from tests."""

import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from letterlock.protocols.maps.netstrings import format_netstring
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode

COMMAND = (sys.executable, "-m", "letterlock", "policy", "serve", "--config")


class Client:
    """Asks as Postfix does."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(address)

    def ask(self, key: str) -> str:
        self._socket.sendall(format_netstring(f"postfix {key}".encode()))
        answer = b""
        while not answer.endswith(b","):
            piece = self._socket.recv(65536)
            if not piece:
                raise ConnectionResetError(f"it ended behind {answer!r}")
            answer += piece
        return answer.partition(b":")[2][:-1].decode()

    def close(self) -> None:
        self._socket.close()


@contextmanager
def client(address: tuple[str, int] | str) -> Iterator[Client]:
    with closing(Client(address)) as found:
        yield found


def make_files(folder: Path, resolver: str) -> NodeFiles:
    files = NodeFiles(folder)
    files.change("dns", resolver=resolver, signed_name="dane.example", bogus_name="bogus.example")
    files.change("policy_service", listen=["127.0.0.1:0"], socket=str(folder / "policy"))
    return files


def find_address(node: RunningNode, since: int = 0) -> tuple[str, int]:
    """Give where it answers, as a line from number `since` on has it."""
    line = r"answering Postfix.* on 127\.0\.0\.1:(\d+)"
    return "127.0.0.1", int(node.wait_log(line, since=since)[1])


def ask_once(address: tuple[str, int] | str, key: str) -> str:
    """Ask over a new connection, again where the process that took it has just ended."""
    for _ in range(100):
        try:
            with client(address) as asking:
                return asking.ask(key)
        except (ConnectionResetError, BrokenPipeError):
            continue
    raise AssertionError("every connection is broken off")

"""A port that a test was given stays its own until it is bound."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import free_ports
from tests.free_ports import free_port

ROOT = Path(__file__).resolve().parent.parent
IPS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
OTHER = """
import sys
from tests import free_ports
free_ports._PORTS = [int(port) for port in sys.argv[1:]]
print(free_ports.free_port())
"""


@pytest.fixture
def two_ports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    ports: list[int] = []
    while not ports or not all(free_ports._is_free(port, IPS) for port in ports):
        first = free_ports._ANY.choice(range(8_000, 10_000, 2))
        ports = [first, first + 1]
    monkeypatch.setattr(free_ports, "_PORTS", ports)
    return ports


def test_who_asks_again_gets_another_port(two_ports: list[int]) -> None:
    assert {free_port(), free_port("127.0.0.2", "127.0.0.3")} == set(two_ports)


def test_another_process_gets_another_port(two_ports: list[int]) -> None:
    ours = free_port()
    words = [sys.executable, "-c", OTHER, *map(str, two_ports)]
    theirs = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {ours, int(theirs)} == set(two_ports)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken_at_one_address_is_not_given(
    two_ports: list[int], kind: socket.SocketKind
) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.3", two_ports[0]))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        assert free_port("127.0.0.2", "127.0.0.3") == two_ports[1]


def test_no_port_is_one_that_the_kernel_gives_to_who_asks_for_any() -> None:
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
    if int(limits[0]) != 32768:
        pytest.skip("this machine's range is not Linux's own")
    assert free_ports._PORTS.stop <= int(limits[0])

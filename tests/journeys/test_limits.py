"""What one client, and all together, may have of a node: over real sockets, with low limits.

Time is in tests/services/receive/test_time.py, with a clock that is moved.
"""

import socket
from collections.abc import Iterator

import pytest

from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, mx_certificate, running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """Give a node whose limits are low; every test comes from an address of its own."""
    files = NodeFiles(tmp_path_factory.mktemp("limits"))
    files.add_certificate(mx_certificate())
    files.change(
        "receive",
        max_connections=12,
        max_connections_per_client=3,
        max_connection_rate_per_client=6,
        max_message_bytes=65536,
        max_recipients=100,
        max_errors=4,
    )
    with running(files) as node:
        yield node


def connect(node: RunningNode, source: str) -> socket.socket:
    return socket.create_connection(
        (node.files.host, node.port), PATIENCE, source_address=(source, 0)
    )


def read_line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (octets := connection.recv(1)):
        line += octets
    return line


def test_connections_of_one_client_are_limited(node: RunningNode) -> None:
    """RFC 5321 §3.8 (421), RFC 3463 §3.8."""
    three = [connect(node, "127.0.1.1") for _ in range(3)]
    assert [read_line(each)[:3] for each in three] == [b"220"] * 3
    with connect(node, "127.0.1.1") as fourth:
        assert read_line(fourth).startswith(b"421 4.7.0 Too many connections at once")
        assert fourth.recv(1) == b""
    with connect(node, "127.0.1.2") as other:
        assert read_line(other).startswith(b"220")
    three.pop().close()
    # The fourth's line may come after its end.
    node.wait_log(r"disconnect from \S+\[127\.0\.1\.1\]", count=2)
    with connect(node, "127.0.1.1") as again:
        assert read_line(again).startswith(b"220")
    for each in three:
        each.close()


def test_the_rate_of_one_client_is_limited(node: RunningNode) -> None:
    """The window is a minute of the clock's: over its edge there is room for one window more."""
    replies = []
    for number in range(1, 14):
        with connect(node, "127.0.1.3") as connection:
            replies.append(read_line(connection))
        node.wait_log(r"disconnect from \S+\[127\.0\.1\.3\]", count=number)
    refused = [line for line in replies if line.startswith(b"421 4.7.0 Too many connections a")]
    assert refused
    assert all(line.startswith(b"220") for line in replies[:6])


def test_connections_in_all_are_limited(node: RunningNode) -> None:
    many = [connect(node, f"127.0.2.{number}") for number in range(1, 13)]
    assert {read_line(each)[:3] for each in many} == {b"220"}
    with connect(node, "127.0.2.100") as more:
        assert read_line(more).startswith(b"421 4.3.2 ")
    for each in many:
        each.close()
    node.wait_log(r"disconnect from \S+\[127\.0\.2\.", count=13)


def test_errors_are_limited(node: RunningNode) -> None:
    client = node.client(source="127.0.3.1")
    client.ehlo()
    codes = [client.docmd("NONSENSE")[0] for _ in range(4)]
    assert (codes, client.getreply()[0]) == ([500] * 4, 421)
    client.close()


def test_a_message_is_limited_in_size_and_recipients(node: RunningNode) -> None:
    """RFC 1870 §6 (552 at MAIL), RFC 5321 §4.5.3.1.10 (452 too many recipients)."""
    with node.client(source="127.0.3.2") as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "65536"
        code, reply = client.docmd("MAIL", "FROM:<bob@example.net> SIZE=65537")
        assert (code, reply[:5]) == (552, b"5.3.4")
        client.begin("bob@example.net", ["alice@example.org"])
        code, reply = client.data("Subject: too long\n\n" + ("x" * 70 + "\n") * 1000)
        assert (code, reply[:5]) == (552, b"5.3.4")
        client.begin("bob@example.net", [])
        codes = [client.rcpt("alice@example.org")[0] for _ in range(101)]
        assert codes == [250] * 100 + [452]
        assert client.data("Subject: for a hundred\n\nhello\n")[0] == 250

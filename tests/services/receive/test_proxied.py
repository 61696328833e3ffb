"""Clients that come by a proxy: who they are, what they may, what is logged of them and counted.

The PROXY protocol §2.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.network.proxy_gate import HEADER_SECONDS
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.proxy.binary_form import format_binary_header
from letterlock.protocols.proxy.headers import Endpoint, ProxiedTls, ProxyHeader
from letterlock.protocols.proxy.text_form import format_text_header
from letterlock.protocols.tls.handshake import Handshake
from letterlock.services.receive.clients import ClientLimits
from tests.fakes import FakeClock
from tests.network.certificates import client_context, issue, make_chooser
from tests.services.receive.test_receiving import MESSAGE, Node, read_reply, receiving

HERE = Endpoint("198.51.100.25", 25)
LOCAL = format_binary_header(ProxyHeader(is_local=True))
TALK = (
    b"EHLO client.example\r\n",
    b"MAIL FROM:<bob@example.net>\r\n",
    b"RCPT TO:<alice@elsewhere.example>\r\n",
    b"QUIT\r\n",
)


def client(ip: str = "192.0.2.7") -> bytes:
    return format_binary_header(ProxyHeader(Endpoint(ip, 56324), HERE))


async def talk(port: int, header: bytes, *steps: bytes) -> list[bytes]:
    """Send a header, and then each step; gives the replies."""
    wire = await connect("127.0.0.1", port, 5)
    assert isinstance(wire, Wire)
    await wire.write(header, 5)
    answers = [await read_reply(wire)]
    for step in steps:
        await wire.write(step, 5)
        answers.append(await read_reply(wire))
    wire.close()
    return answers


def codes(answers: list[bytes]) -> list[int]:
    return [int(answer[:3]) for answer in answers if answer]


@asynccontextmanager
async def proxied(tmp_path: Path, **settings: object) -> AsyncIterator[Node]:
    """Serve behind a proxy on 127.0.0.1; the whole of 127.0.0.0/8 may relay, and 192.0.2.0/24."""
    async with receiving(tmp_path, proxy_from="127.0.0.1/32", **settings) as node:  # type: ignore[arg-type] # passed on
        yield node


@pytest.mark.parametrize("write", [format_text_header, format_binary_header])
async def test_the_client_is_who_the_proxy_says(tmp_path: Path, write: object) -> None:
    """In Received, in the log, and in what it may."""
    assert callable(write)
    header = write(ProxyHeader(Endpoint("192.0.2.7", 56324), HERE))
    async with proxied(tmp_path) as node:
        answers = await talk(node.port, header, *TALK[:3], b"DATA\r\n", MESSAGE, b"QUIT\r\n")
        assert codes(answers) == [220, 250, 250, 250, 354, 250, 221]
        (stored,) = await node.store.list_messages()
        body = b"".join([piece async for piece in node.store.read_body(stored.queue_id)])
        assert body.startswith(b"Received: from client.example (unknown [192.0.2.7])\r\n")
        assert "connect from unknown[192.0.2.7] by proxy [127.0.0.1]" in node.log.texts
        assert any("client=unknown[192.0.2.7]" in text for text in node.log.texts)


async def test_a_client_of_a_proxy_that_may_relay_may_not(tmp_path: Path) -> None:
    """Rule 179: the proxy's own address is in `relay_from`, that of its client is not."""
    async with proxied(tmp_path, relay_from="127.0.0.0/8") as node:
        assert codes(await talk(node.port, client("203.0.113.9"), *TALK)) == [
            220,
            250,
            250,
            554,
            221,
        ]


@pytest.mark.parametrize(
    "header",
    [
        LOCAL,
        b"PROXY UNKNOWN\r\n",
        client("127.0.0.1"),
        client("127.0.0.2"),
        client("0.0.0.0"),
        b"PROXY TCP6 ::ffff:127.0.0.9 ::1 1 2\r\n",
    ],
)
async def test_what_a_proxy_has_of_its_own_gives_no_rights(tmp_path: Path, header: bytes) -> None:
    """No open relay (rule 179): a proxy behind a proxy may well show everybody as 127.0.0.1."""
    async with proxied(tmp_path, relay_from="127.0.0.0/8") as node:
        assert codes(await talk(node.port, header, *TALK)) == [220, 250, 250, 554, 221]


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"EHLO client.example\r\n", "it does not begin with a PROXY header"),
        (b"PROXY TCP4 nonsense\r\n", "the PROXY header is malformed"),
        (b"\x16\x03\x01", "it does not begin with a PROXY header"),
    ],
)
async def test_a_listed_proxy_that_does_not_tell_is_closed(
    tmp_path: Path, octets: bytes, fault: str
) -> None:
    """The PROXY protocol §2: it is never guessed whether there is a header."""
    async with proxied(tmp_path) as node:
        assert await talk(node.port, octets) == [b""]
        assert node.log.texts == [f"127.0.0.1: {fault}"]


async def test_a_proxy_has_some_seconds_to_tell(tmp_path: Path) -> None:
    """The PROXY protocol §2: a short time, and nothing is said before."""
    clock = FakeClock()
    async with proxied(tmp_path, clock=clock) as node:
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        while not node.server._gates:
            await talk_to_nobody(node.port)
        clock.move(timedelta(seconds=HEADER_SECONDS + 1))
        node.server.sweep()
        assert isinstance(await wire.read(5), Lost)
        wire.close()
        assert "127.0.0.1: no PROXY header came within 10 s" in node.log.texts


async def talk_to_nobody(port: int) -> None:
    wire = await connect("127.0.0.1", port, 5)
    assert isinstance(wire, Wire)
    wire.close()


async def test_a_header_that_breaks_off_is_logged_and_a_look_at_the_port_is_not(
    tmp_path: Path,
) -> None:
    async with proxied(tmp_path) as node:
        await talk_to_nobody(node.port)
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        await wire.write(b"PROXY TC", 5)
        wire.close()
        # After them both: connections are taken in order.
        await talk(node.port, client(), b"QUIT\r\n")
        await node.server.wait_empty()
        faults = [text for text in node.log.texts if "PROXY" in text]
        assert faults == ["127.0.0.1: the connection was lost within the PROXY header"]


async def test_who_is_not_listed_cannot_tell(tmp_path: Path) -> None:
    """What anybody else says first is a command, and none that there is."""
    async with receiving(tmp_path, proxy_from="192.0.2.1/32", relay_from="192.0.2.0/24") as node:
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        assert (await read_reply(wire)).startswith(b"220 ")
        await wire.write(format_text_header(ProxyHeader(Endpoint("192.0.2.7", 1), HERE)), 5)
        assert (await read_reply(wire)).startswith(b"500 ")
        wire.close()
        assert "connect from unknown[127.0.0.1]" in node.log.texts


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n", client("127.0.0.1")])
async def test_a_proxys_look_is_neither_logged_nor_counted(tmp_path: Path, header: bytes) -> None:
    """HAProxy's `option smtpchk` comes every two seconds."""
    limits = ClientLimits(connections_per_client=1, connection_rate_per_client=1)
    async with proxied(tmp_path, limits=limits) as node:
        for _ in range(4):
            answers = await talk(node.port, header, b"EHLO localhost\r\n", b"QUIT\r\n")
            assert codes(answers) == [220, 250, 221]
        await talk(node.port, header)
        await node.server.wait_empty()
        assert node.log.lines == []
        assert node.counters.totals()["connections"] == 0


@pytest.mark.parametrize("step", [b"\x16\x03\x01nonsense", b""])
async def test_a_proxys_look_at_tls_is_not_logged(tmp_path: Path, step: bytes) -> None:
    """HAProxy's `check-ssl`, and a check that closes within the handshake."""
    chooser = make_chooser(tmp_path, issue(("mx.example.org",)))
    async with proxied(tmp_path, certificates=chooser) as node:
        answers = await talk(
            node.port, LOCAL, b"EHLO h\r\n", b"STARTTLS\r\n", *filter(None, [step])
        )
        assert codes(answers[:3]) == [220, 250, 220]
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        await wire.write(LOCAL, 5)
        for line in (b"", b"EHLO h\r\n", b"STARTTLS\r\n"):
            await wire.write(line, 5)
            await read_reply(wire)
        assert isinstance(
            await wire.start_tls(TlsDriver.client(client_context(), "mx.example.org"), 5), Handshake
        )
        wire.close()
        await node.server.wait_empty()
        assert node.log.lines == []
        assert node.counters.totals()["tls"] == node.counters.totals()["tls_failed"] == 0


async def test_what_a_proxy_does_beside_looking_is_logged(tmp_path: Path) -> None:
    async with proxied(tmp_path) as node:
        await talk(node.port, LOCAL, *TALK)
        await node.server.wait_empty()
        assert any("Relay access denied" in text for text in node.log.texts)
        assert "disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=0/1" in node.log.texts[-1]


async def test_limits_are_each_clients_and_not_the_proxys(tmp_path: Path) -> None:
    limits = ClientLimits(connections_per_client=1, connection_rate_per_client=2)
    async with proxied(tmp_path, limits=limits) as node:
        for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1", "192.0.2.2"):
            assert codes(await talk(node.port, client(ip), b"QUIT\r\n")) == [220, 221]
            await node.server.wait_empty()
        assert codes(await talk(node.port, client("192.0.2.1"))) == [421]


async def test_what_comes_with_the_header_is_the_clients(tmp_path: Path) -> None:
    """Octet by octet, and in one piece."""
    async with proxied(tmp_path) as node:
        assert codes(await talk(node.port, client() + b"QUIT\r\n")) == [220]
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        for octet in client():
            await wire.write(bytes((octet,)), 5)
        assert (await read_reply(wire)).startswith(b"220 ")
        wire.close()


async def test_tls_that_ended_at_the_proxy_is_told_and_is_none_of_ours(tmp_path: Path) -> None:
    tls = ProxiedTls("TLSv1.3", "TLS_AES_128_GCM_SHA256\r\n]: a[1]" + "x" * 500)
    header = format_binary_header(ProxyHeader(Endpoint("192.0.2.7", 1), HERE, tls=tls))
    async with proxied(tmp_path) as node:
        await talk(node.port, header, *TALK[:3], b"DATA\r\n", MESSAGE, b"QUIT\r\n")
        line = next(text for text in node.log.texts if text.startswith("connect from "))
        assert "by proxy [127.0.0.1], which it reached by TLSv1.3 with cipher TLS_AES" in line
        assert "SHA256?????a?1?xxx" in line, "nothing of it can begin a part of the line"
        assert len(line) < 300
        (stored,) = await node.store.list_messages()
        body = b"".join([piece async for piece in node.store.read_body(stored.queue_id)])
        assert b"with ESMTP id" in body


async def test_a_server_that_stops_waits_for_no_header(tmp_path: Path) -> None:
    async with proxied(tmp_path, clock=SystemClock()) as node:
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        while not node.server._gates:
            await talk_to_nobody(node.port)
    assert isinstance(await wire.read(5), Lost)
    wire.close()

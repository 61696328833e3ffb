"""What a connection writes, and in how many packets."""

import asyncio
from pathlib import Path
from typing import cast

import pytest
from OpenSSL import SSL

from letterlock.network.server_certificates import Choice, ServerCertificates
from letterlock.network.server_limits import ServerLimits
from letterlock.network.smtp_connection import Connection
from letterlock.network.smtp_owner import Peer, SessionOwner
from letterlock.network.tls import TlsDriver
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.server_session import (
    Aside,
    Hello,
    Quit,
    Reset,
    ServerSession,
    SessionSettings,
)
from letterlock.protocols.tls.handshake import Handshake
from tests.network.certificates import client_context, issue, make_chooser

NAME = "mx.example.org"


class Owner:
    """Refuses nobody."""

    def start_connection(self, *, is_crowded: bool = False) -> Reply | None:
        del is_crowded
        return None

    def answer_hello(self, event: Hello) -> None: ...

    def note_command(self, event: Reset | Quit | Aside) -> None: ...

    def note_tls(self, handshake: Handshake, choice: Choice | None) -> None: ...

    def end_connection(self, reason: str) -> None: ...


class Home:
    """A server with one connection."""

    limits = ServerLimits()
    is_crowded = is_ending = False

    def __init__(self, certificates: ServerCertificates) -> None:
        self.certificates: ServerCertificates | None = certificates

    def now(self) -> float:
        return 0.0

    def begin(self, _: Connection, peer: Peer) -> tuple[ServerSession, SessionOwner]:
        del peer
        settings = SessionSettings(hostname=NAME, offer_starttls=True)
        return ServerSession(settings), cast("SessionOwner", Owner())

    def end(self, connection: Connection) -> None: ...


class Packets(asyncio.Transport):
    """Keeps each write apart."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 50000)})
        self.sent: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def take(self) -> bytes:
        """Give the one packet that was sent since the last call."""
        (packet,) = self.sent
        self.sent.clear()
        return packet


async def shake(connection: Connection, packets: Packets, client: TlsDriver) -> None:
    """Begin TLS; all that the server sent is taken."""
    connection.connection_made(packets)
    connection.data_received(b"EHLO client.example\r\n")
    connection.data_received(b"STARTTLS\r\n")
    packets.sent.clear()
    while client.do_handshake() is None:
        connection.data_received(client.bytes_to_send())
        for packet in packets.sent:
            client.receive(packet)
        packets.sent.clear()
    connection.data_received(client.bytes_to_send())


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
async def test_the_last_reply_and_the_end_of_tls_are_one_packet(
    tmp_path: Path, version: int
) -> None:
    """RFC 5321 §4.1.1.10, RFC 8446 §6.1: each packet wakes the client up."""
    packets, client = Packets(), TlsDriver.client(client_context(max_version=version), NAME)
    async with asyncio.TaskGroup() as tasks:
        connection = Connection(Home(make_chooser(tmp_path, issue((NAME,)))), tasks)
        await shake(connection, packets, client)
        for command, code in ((b"EHLO client.example\r\n", b"250"), (b"QUIT\r\n", b"221")):
            client.write(command)
            connection.data_received(client.bytes_to_send())
            client.receive(packets.take())
            assert client.read().startswith(code)
    client.read()
    assert client.is_closed
    assert client.failure is None
    assert packets.is_closed


async def test_tickets_are_no_packet_of_their_own(tmp_path: Path) -> None:
    """RFC 8446 §4.6.1: the client speaks first, and has them with the reply."""
    packets, client = Packets(), TlsDriver.client(client_context(), NAME)
    async with asyncio.TaskGroup() as tasks:
        connection = Connection(Home(make_chooser(tmp_path, issue((NAME,)))), tasks)
        await shake(connection, packets, client)
        assert packets.sent == []

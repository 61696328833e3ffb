"""Sessions over sockets: what a client says, what is stored, what it is told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.domains import Domain
from letterlock.base.log import Service
from letterlock.base.shared_counters import NamedCounters, SharedCounters
from letterlock.network.proxy_gate import Proxies
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.server_limits import ServerLimits
from letterlock.network.smtp_owner import Peer
from letterlock.network.smtp_server import SmtpServer
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.smtp.server_session import ServerSession, SessionSettings
from letterlock.services.filter.chain import FilterChain
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.queue.schedule import Schedule
from letterlock.services.receive.clients import ClientLimits, Clients
from letterlock.services.receive.filtered import Filters
from letterlock.services.receive.names import ClientNames
from letterlock.services.receive.opening import ResultsGuard
from letterlock.services.receive.proxied import may_name_clients
from letterlock.services.receive.recipients import RelayClients
from letterlock.services.receive.session import COUNTERS, Receiver, ReceivingSession
from letterlock.services.sign.signer import Signer
from letterlock.storage.ids import QueueIds
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeLog, FixtureResolver


@dataclass
class Node:
    """A receiving server on loopback."""

    port: int
    store: SqliteQueue
    log: FakeLog
    counters: NamedCounters
    server: SmtpServer
    woken: list[str] = field(default_factory=list)


@asynccontextmanager
async def receiving(  # noqa: PLR0913 - each is what some tests vary
    tmp_path: Path,
    *,
    relay_from: str = "192.0.2.0/24",
    certificates: ServerCertificates | None = None,
    limits: ClientLimits | None = None,
    server_limits: ServerLimits | None = None,
    signer: Signer | None = None,
    proxy_from: str | None = None,
    xclient_from: str = "203.0.113.1/32",
    clock: Clock | None = None,
    results: ResultsGuard | None = None,
    chain: FilterChain | None = None,
    exempt: str = "192.0.2.0/24",
) -> AsyncIterator[Node]:
    clock, log = clock or SystemClock(), FakeLog()
    store = SqliteQueue(tmp_path / "queue" / "shard-000.db", clock)
    await store.open()
    counters = NamedCounters(COUNTERS, 1)
    woken: list[str] = []
    example = Domain("example.org")
    receiver = Receiver(
        hostname=Domain("mx.example.org"),
        directory=LocalDirectory(
            Domain("mx.example.org"),
            frozenset({example}),
            frozenset({"alice@example.org", "postmaster@example.org"}),
            "postmaster",
        ),
        relay=RelayClients((ip_network(relay_from),)),
        clients=Clients(limits or ClientLimits(), SharedCounters(1, b"x", slots=4096), 0, clock),
        store=store,
        schedule=Schedule(),
        names=ClientNames(FixtureResolver(), clock),
        max_hops=50,
        clock=clock,
        log=log,
        make_id=QueueIds(clock).make,
        count=counters.adder(0),
        wake=woken.extend,
        proxies=RelayClients((ip_network(xclient_from),)),
        signer=signer,
        results=results,
    )
    if chain is not None:
        networks = RelayClients((ip_network(exempt),))
        filters = Filters(chain, networks, tmp_path, receiver.make_id, receiver.count)
        receiver = replace(receiver, filters=filters)
    settings = SessionSettings(
        hostname="mx.example.org",
        offer_starttls=certificates is not None,
        offer_requiretls=True,
    )

    def owner(peer: Peer) -> tuple[ServerSession, ReceivingSession]:
        may = may_name_clients(peer, receiver.proxies)
        its = replace(settings, may_name_clients=may, may_tell_origins=may)
        return ServerSession(its), ReceivingSession(receiver, peer)

    proxies = None
    if proxy_from is not None:
        is_listed = RelayClients((ip_network(proxy_from),)).may_relay
        proxies = Proxies(is_listed, lambda *fault: log.write(Service.SMTPD, ": ".join(fault)))
    server = SmtpServer(owner, certificates, server_limits or ServerLimits(), clock, proxies)
    listener = socket.create_server(("127.0.0.1", 0))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run([listener]))
        try:
            yield Node(listener.getsockname()[1], store, log, counters, server, woken)
        finally:
            running.cancel()
    await store.close()


async def talk(port: int, *steps: bytes) -> list[bytes]:
    """Send each step and give what came before the next."""
    wire = await connect("127.0.0.1", port, 5)
    assert isinstance(wire, Wire)
    answers = [await read_reply(wire)]
    for step in steps:
        await wire.write(step, 5)
        answers.append(await read_reply(wire))
    wire.close()
    return answers


async def read_reply(wire: Wire) -> bytes:
    received = b""
    while not (received.endswith(b"\r\n") and received.splitlines()[-1][3:4] == b" "):
        octets = await wire.read(5)
        if isinstance(octets, Lost):
            return received
        received += octets
    return received


MESSAGE = b"Subject: hi\r\n\r\nhello\r\n.\r\n"


async def test_a_message_is_stored_before_its_250(tmp_path: Path) -> None:
    """RFC 5321 §6.1: a 250 takes over the responsibility."""
    async with receiving(tmp_path) as node:
        answers = await talk(
            node.port,
            b"EHLO client.example\r\n",
            b"MAIL FROM:<bob@example.net>\r\n",
            b"RCPT TO:<alice@example.org>\r\n",
            b"DATA\r\n",
            MESSAGE,
            b"QUIT\r\n",
        )
        assert [answer[:3] for answer in answers] == [
            b"220", b"250", b"250", b"250", b"354", b"250", b"221",
        ]  # fmt: skip
        (stored,) = await node.store.list_messages()
        assert f"queued as {stored.queue_id}".encode() in answers[5]
        assert node.woken == ["example.org"]
        body = b"".join([piece async for piece in node.store.read_body(stored.queue_id)])
        assert body.startswith(b"Received: from client.example (unknown [127.0.0.1])\r\n")
        assert f"id {stored.queue_id}".encode() in body
        assert body.endswith(b"Subject: hi\r\n\r\nhello\r\n")


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        (b"alice@example.org", b"250"),
        (b"ALICE@Example.ORG", b"250"),
        (b"postmaster", b"250"),
        (b"postmaster@mx.example.org", b"250"),
        (b"abuse@example.org", b"250"),
        (b"nobody@example.org", b"550"),
        (b"user@elsewhere.example", b"554"),
        (b"user%elsewhere.example@example.org", b"550"),
        (b"elsewhere.example!user@example.org", b"550"),
        (b"@example.org:user@elsewhere.example", b"554"),
        (b'"user@elsewhere.example"@example.org', b"550"),
        (b"user@[192.0.2.99]", b"554"),
        (b"alice@example.org.elsewhere.example", b"554"),
    ],
)
async def test_it_is_no_open_relay(tmp_path: Path, recipient: bytes, code: bytes) -> None:
    """RFC 5321 §3.6.2, §4.5.1: the usual tricks."""
    async with receiving(tmp_path) as node:
        answers = await talk(
            node.port,
            b"EHLO client.example\r\n",
            b"MAIL FROM:<bob@example.net>\r\n",
            b"RCPT TO:<" + recipient + b">\r\n",
        )
        assert answers[-1][:3] == code, answers[-1]


async def test_a_listed_client_may_relay(tmp_path: Path) -> None:
    async with receiving(tmp_path, relay_from="127.0.0.0/8") as node:
        answers = await talk(
            node.port,
            b"EHLO client.example\r\n",
            b"MAIL FROM:<bob@example.net>\r\n",
            b"RCPT TO:<user@elsewhere.example>\r\n",
        )
        assert answers[-1][:3] == b"250"


async def test_a_client_with_too_many_connections_is_told(tmp_path: Path) -> None:
    async with receiving(tmp_path, limits=ClientLimits(connections_per_client=1)) as node:
        first = await connect("127.0.0.1", node.port, 5)
        assert isinstance(first, Wire)
        assert (await read_reply(first)).startswith(b"220")
        second = await connect("127.0.0.1", node.port, 5)
        assert isinstance(second, Wire)
        assert (await read_reply(second)).startswith(b"421")
        # Its end does not wait for the client's.
        assert isinstance(await second.read(5), Lost)
        first.close()
        second.close()
        await node.server.wait_empty()
    client = "from unknown[127.0.0.1]"
    refusal = "421 4.7.0 Too many connections at once from 127.0.0.1"
    assert node.log.texts[1:4] == [
        f"connect {client}",
        f"NOQUEUE: reject: CONNECT {client}: {refusal}; proto=SMTP",
        f"disconnect {client} commands=0",
    ]


async def test_a_process_without_room_tells_clients_and_takes_none(tmp_path: Path) -> None:
    """RFC 5321 §3.8 (421). Connections that are only closed slowly take room as well."""
    async with receiving(tmp_path, server_limits=ServerLimits(connections=2)) as node:
        wires = []
        for _ in range(4):
            wire = await connect("127.0.0.1", node.port, 5)
            assert isinstance(wire, Wire)
            wires.append((wire, await read_reply(wire)))
        assert [greeting[:10] for _, greeting in wires] == [b"220 mx.exa"] * 2 + [b"421 4.3.2 "] * 2
        for wire, _ in wires:
            wire.close()
        await node.server.wait_empty()
        assert (await talk(node.port))[0].startswith(b"220")


async def test_what_breaks_in_one_session_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a fault of ours: the worker has everybody's sessions."""

    class BrokenWriter:
        def write(self, data: bytes) -> Awaitable[None] | None:
            return None if data.startswith(b"Received") else self._break()

        async def _break(self) -> None:
            raise RuntimeError("a bug")

        def discard(self) -> None: ...

    async with receiving(tmp_path) as node:
        other = await connect("127.0.0.1", node.port, 5)
        assert isinstance(other, Wire)
        assert (await read_reply(other)).startswith(b"220")
        with monkeypatch.context() as patch:
            patch.setattr(node.store, "write_body", BrokenWriter)
            answers = await talk(
                node.port,
                b"EHLO client.example\r\n",
                b"MAIL FROM:<bob@example.net>\r\n",
                b"RCPT TO:<alice@example.org>\r\n",
                b"DATA\r\n",
                MESSAGE,
            )
        assert answers[-1] == b""
        await other.write(b"EHLO client.example\r\n", 5)
        assert (await read_reply(other)).startswith(b"250")
        other.close()
        assert any("internal error: RuntimeError('a bug')" in text for text in node.log.texts)


async def logged(node: Node, *steps: bytes) -> list[str]:
    """Give what a session wrote to the log, without the port."""
    await talk(node.port, *steps)
    await node.server.wait_empty()
    return node.log.texts


async def test_what_is_refused_is_logged_in_postfix_s_shape(tmp_path: Path) -> None:
    """Rules made for Postfix's log (fail2ban, pflogsumm) must find it."""
    async with receiving(tmp_path) as node:
        lines = await logged(
            node,
            b"VRFY\r\n",
            b"EHLO client.example\r\n",
            b"MAIL FROM:<Bob@example.net>\r\n",
            b"RCPT TO:<user@elsewhere.example>\r\n",
            b"RCPT TO:<nobody@example.org>\r\n",
            b"RSET\r\n",
            b"RCPT TO:<alice@example.org>\r\n",
            b"FROB\r\n",
            b"QUIT\r\n",
        )
    client = "from unknown[127.0.0.1]"
    hello = "proto=ESMTP helo=<client.example>"
    relay, unknown = "user@elsewhere.example", "nobody@example.org"
    refused, sender = f"NOQUEUE: reject: RCPT {client}", "from=<Bob@example.net>"
    no_user = "Recipient address rejected: User unknown"
    counts = "ehlo=1 mail=1 rcpt=0/3 rset=1 vrfy=0/1 quit=1 unknown=0/1 commands=4/9"
    assert lines == [
        f"connect {client}",
        f"NOQUEUE: reject: VRFY {client}: 501 5.5.4 Syntax: VRFY address; proto=SMTP",
        f"{refused}: 554 5.7.1 <{relay}>: Relay access denied; {sender} to=<{relay}> {hello}",
        f"{refused}: 550 5.1.1 <{unknown}>: {no_user}; {sender} to=<{unknown}> {hello}",
        f"{refused}: 503 5.5.1 Need MAIL command first; {hello}",
        f"NOQUEUE: reject: FROB {client}: 500 5.5.2 Command not recognised; {hello}",
        f"disconnect {client} {counts}",
    ]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (b"a: b\r\n\r\nx\ny\r\n.\r\n", "550 5.5.2 "),
        (b"Received: x\r\n" * 51 + b"\r\n.\r\n", "554 5.4.6 Mail loop: the message has 51 "),
    ],
)
async def test_a_refused_message_is_logged(tmp_path: Path, text: bytes, refusal: str) -> None:
    async with receiving(tmp_path) as node:
        lines = await logged(
            node,
            b"HELO client.example\r\n",
            b"MAIL FROM:<>\r\n",
            b"RCPT TO:<alice@example.org>\r\n",
            b"DATA\r\n",
            text,
            b"QUIT\r\n",
        )
    (line,) = [line for line in lines if "reject" in line]
    assert line.startswith(f"NOQUEUE: reject: END-OF-MESSAGE from unknown[127.0.0.1]: {refusal}")
    assert line.endswith("; from=<> proto=SMTP helo=<client.example>")
    assert lines[-1].endswith(" helo=1 mail=1 rcpt=1 data=0/1 quit=1 commands=4/5")


async def test_a_session_in_which_all_was_taken_counts_plainly(tmp_path: Path) -> None:
    async with receiving(tmp_path) as node:
        lines = await logged(
            node,
            b"EHLO client.example\r\n",
            b"MAIL FROM:<>\r\n",
            b"RCPT TO:<alice@example.org>\r\n",
            b"DATA\r\n",
            MESSAGE,
            b"QUIT\r\n",
        )
    assert lines[-1].endswith(" ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5")


async def test_commands_that_change_nothing_count(tmp_path: Path) -> None:
    async with receiving(tmp_path) as node:
        lines = await logged(
            node,
            b"EHLO client.example\r\n",
            b"MAIL FROM:<bob@example.net>\r\n",
            b"NOOP\r\n",
            b"NOOP\r\n",
            b"VRFY alice\r\n",
            b"HELP\r\n",
            b"RCPT TO:<user@elsewhere.example>\r\n",
            b"QUIT\r\n",
        )
    assert "from=<bob@example.net>" in lines[-2]
    assert lines[-1].endswith(" ehlo=1 mail=1 rcpt=0/1 noop=2 vrfy=1 quit=1 help=1 commands=7/8")


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (b"hello: you\r\n", b"hello: you\r\n"),
        (b"hello you\r\n", b"\r\nhello you\r\n"),
        (b"hello", b"\r\nhello\r\n"),
        (b"From bob\r\nA: b\r\n", b"X-Mailbox-Line: From bob\r\nA: b\r\n"),
        (b"", b""),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
async def test_a_body_never_joins_our_received_field(
    tmp_path: Path, text: bytes, stored: bytes, size: int
) -> None:
    """RFC 5322 §2.1: where a message has no header section, an empty line comes first."""
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    chunks = [f"BDAT {len(piece)}\r\n".encode() + piece for piece in pieces]
    async with receiving(tmp_path) as node:
        answers = await talk(
            node.port,
            b"EHLO client.example\r\n",
            b"MAIL FROM:<bob@example.net>\r\n",
            b"RCPT TO:<alice@example.org>\r\n",
            *chunks,
            b"BDAT 0 LAST\r\n",
        )
        assert answers[-1].startswith(b"250")
        (message,) = await node.store.list_messages()
        body = b"".join([piece async for piece in node.store.read_body(message.queue_id)])
    trace_end = body.index(b"+0000\r\n") + len(b"+0000\r\n")
    assert body[trace_end:] == stored


async def test_no_reply_waits_for_an_acknowledgement(tmp_path: Path) -> None:
    """TCP_NODELAY is on, though the listening socket was made without naming a protocol."""
    async with receiving(tmp_path) as node:
        await talk(node.port, b"QUIT\r\n")  # the server runs
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        await read_reply(wire)
        connection = max(node.server._connections, key=lambda each: each._started)
        accepted = connection._transport.get_extra_info("socket")
        assert accepted.proto == 0, "else asyncio sets it by itself"
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        wire.close()

"""A submission server on loopback with accounts of its own, and a client that talks to it."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.domains import Domain
from letterlock.base.shared_counters import NamedCounters, SharedCounters
from letterlock.network.server_limits import ServerLimits
from letterlock.network.smtp_owner import Peer
from letterlock.network.submission_server import SubmissionServer
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.sasl.channel_binding import TLS_EXPORTER
from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.protocols.sasl.scram import make_verifier
from letterlock.protocols.smtp.server_session import SessionSettings
from letterlock.protocols.smtp.submission_session import SubmissionSession
from letterlock.protocols.tls.handshake import Handshake
from letterlock.services.filter.chain import FilterChain
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.queue.schedule import Schedule
from letterlock.services.receive.accounts import AccountChange, make_user
from letterlock.services.receive.clients import ClientLimits, Clients
from letterlock.services.receive.filtered import Filters
from letterlock.services.receive.guesses import Guesses, GuessLimits
from letterlock.services.receive.logins import AccountSource
from letterlock.services.receive.names import ClientNames
from letterlock.services.receive.own_accounts import OwnAccounts, PasswordChecks
from letterlock.services.receive.proxied import may_name_clients
from letterlock.services.receive.quotas import QuotaLimits, Quotas
from letterlock.services.receive.recipients import NOBODY, RelayClients
from letterlock.services.receive.session import COUNTERS, Receiver
from letterlock.services.receive.submission import Submitter, SubmittingSession
from letterlock.storage.ids import QueueIds
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.sqlite.users import SqliteUsers
from letterlock.storage.users import User
from tests.fakes import FakeLog, FixtureResolver
from tests.network.certificates import client_context, issue, make_chooser

HOST = "mx.example.org"
SETTINGS = SessionSettings(
    HOST,
    max_recipients=5,
    require_tls=True,
    offer_requiretls=True,
    auth_mechanisms=tuple(Mechanism),
)
EHLO = b"EHLO client.example\r\n"
PASSWORD = "correct horse"
ITERATIONS = 4096


@dataclass
class Desk:
    """What a test looks at."""

    implicit_port: int
    starttls_port: int
    queue: SqliteQueue
    users: SqliteUsers
    log: FakeLog

    async def body(self) -> bytes:
        """Give the only message in the queue."""
        (message,) = await self.queue.list_messages()
        return b"".join([piece async for piece in self.queue.read_body(message.queue_id)])

    @asynccontextmanager
    async def client(self, *, is_implicit: bool = True) -> AsyncIterator["Talk"]:
        """Connect, and go on to EHLO under TLS."""
        port = self.implicit_port if is_implicit else self.starttls_port
        wire = await connect("127.0.0.1", port, 5)
        assert isinstance(wire, Wire)
        talk = Talk(wire)
        if not is_implicit:
            assert (await talk.read()).startswith(b"220")
            await talk.say(EHLO)
            assert (await talk.say(b"STARTTLS\r\n")).startswith(b"220")
        driver = TlsDriver.client(client_context(), HOST)
        assert isinstance(await wire.start_tls(driver, 5), Handshake)
        if is_implicit:
            assert (await talk.read()).startswith(b"220")
        assert b"AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" in await talk.say(EHLO)
        try:
            yield talk
        finally:
            wire.close()


class Talk:
    """One client's side."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def exporter(self) -> bytes:
        """Give what a login is bound to on this connection."""
        return self._wire.find_channel_bindings()[TLS_EXPORTER]

    async def say(self, octets: bytes) -> bytes:
        await self._wire.write(octets, 5)
        return await self.read()

    async def codes(self, *lines: bytes) -> list[int]:
        return [int((await self.say(line))[:3]) for line in lines]

    async def read(self) -> bytes:
        """Give one whole reply."""
        received = b""
        while not (received.endswith(b"\r\n") and received.splitlines()[-1][3:4] == b" "):
            octets = await self._wire.read(10)
            if isinstance(octets, Lost):
                return received
            received += octets
        return received

    def close(self) -> None:
        self._wire.close()

    async def log_in(self, name: str = "alice", password: str = PASSWORD) -> bytes:
        return await self.say(plain(name, password))


def plain(name: str, password: str = PASSWORD) -> bytes:
    return b"AUTH PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()) + b"\r\n"


async def add_user(users: SqliteUsers, name: str, **wanted: object) -> None:
    assert await users.add_user(_make_user(name, **wanted))


@cache
def _make_user(name: str, **wanted: object) -> User:
    """Make an account, once: that takes long."""
    change = AccountChange(**wanted)  # type: ignore[arg-type] # a test's own
    user = make_user(name, change, (Domain("example.org"),), SystemClock().now())
    if user.scram is None:
        return user
    # As few rounds as there may be: a test's client counts through them too.
    return replace(user, scram=make_verifier(PASSWORD, user.scram.salt, ITERATIONS))


@dataclass(frozen=True)
class Limits:
    guesses: GuessLimits = field(default_factory=GuessLimits)
    quotas: QuotaLimits = field(default_factory=QuotaLimits)
    clients: ClientLimits = field(default_factory=ClientLimits)
    proxies: RelayClients = NOBODY
    """Who may name clients with XCLIENT."""
    chain: FilterChain | None = None
    """Filters that see what is submitted."""


@asynccontextmanager
async def submitting(
    folder: Path,
    limits: Limits = Limits(),
    source: AccountSource | None = None,
    **choices: Any,
) -> AsyncIterator[Desk]:
    """Serve both ports, with the accounts alice, bob (disabled), and carol, without a password.

    `choices` are Submitter's.
    """
    clock, log = SystemClock(), FakeLog()
    queue = SqliteQueue(folder / "queue" / "shard-000.db", clock)
    await queue.open()
    database = NodeDatabase(folder / "node.sqlite", clock)
    await database.open()
    users = SqliteUsers(database)
    await add_user(users, "alice", password=PASSWORD)
    await add_user(users, "bob", password=PASSWORD, is_disabled=True)
    await add_user(users, "carol")
    checks = PasswordChecks()
    shared = SharedCounters(1, b"x", slots=4096)
    receiver = replace(
        _receiver(queue, clock, log, Clients(limits.clients, shared, 0, clock)),
        proxies=limits.proxies,
    )
    if limits.chain is not None:
        make_id, count = receiver.make_id, receiver.count
        filters = Filters(limits.chain, NOBODY, folder, make_id, count)
        receiver = replace(receiver, filters=filters)
    submitter = Submitter(
        receiver,
        source or OwnAccounts(users, checks),
        Guesses(limits.guesses, shared, 0, clock),
        Quotas(limits.quotas, shared, 0, clock),
        **choices,
    )
    chooser = make_chooser(folder, issue((HOST,)))

    def serve(*, is_implicit_tls: bool) -> SubmissionServer:
        def own(peer: Peer) -> tuple[SubmissionSession, SubmittingSession]:
            may = may_name_clients(peer, limits.proxies)
            settings = replace(SETTINGS, may_name_clients=may)
            session = SubmissionSession(settings, is_implicit_tls=is_implicit_tls)
            return session, SubmittingSession(submitter, peer)

        return SubmissionServer(own, chooser, ServerLimits(), clock)

    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(serve(is_implicit_tls=is_implicit).run([listener]))
            for is_implicit, listener in zip((True, False), listeners, strict=True)
        ]
        try:
            ports = [listener.getsockname()[1] for listener in listeners]
            yield Desk(ports[0], ports[1], queue, users, log)
        finally:
            for task in running:
                task.cancel()
    checks.close()
    await database.close()
    await queue.close()


def _receiver(queue: SqliteQueue, clock: Clock, log: FakeLog, clients: Clients) -> Receiver:
    counters = NamedCounters(COUNTERS, 1)
    return Receiver(
        hostname=Domain(HOST),
        directory=LocalDirectory(
            Domain(HOST),
            frozenset({Domain("example.org")}),
            frozenset({"alice@example.org"}),
            "postmaster",
        ),
        relay=RelayClients(()),
        clients=clients,
        store=queue,
        schedule=Schedule(),
        names=ClientNames(FixtureResolver(), clock),
        max_hops=50,
        clock=clock,
        log=log,
        make_id=QueueIds(clock).make,
        count=counters.adder(0),
        wake=lambda _: None,
    )

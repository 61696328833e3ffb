"""All that keeps certificates, with an authority, a zone and a clock in memory."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from letterlock.network.acme_client import AcmeClient
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.certify.accounts import Accounts
from letterlock.services.certify.authority import Authority, Terms
from letterlock.services.certify.issuing import Issuer, Patience
from letterlock.services.certify.left import LeftOrders
from letterlock.services.certify.renewing import Renewer, Source
from letterlock.services.certify.rollover import PublishedTlsa
from letterlock.services.certify.solvers import Proof
from letterlock.services.certify.tending import NOTHING_MORE, Wish, tend
from letterlock.services.certify.tools import Tools
from letterlock.services.certify.waits import Waits
from letterlock.services.discover.caa import CaaFinder
from letterlock.storage.certificates import CertificateId, CertificateState, KeptFacts
from letterlock.storage.sqlite.acme_accounts import SqliteAccounts
from letterlock.storage.sqlite.certificates import SqliteCertificates
from letterlock.storage.sqlite.issued import SqliteIssued
from letterlock.storage.sqlite.node import MEMORY, NodeDatabase
from letterlock.storage.sqlite.watched import SqliteWatched
from tests.acme_server import FakeAcmeServer
from tests.fakes import FakeClock, FakeLog, FixtureResolver

NAME = "mx1.example.org"
ID = CertificateId(NAME, KeyType.ECDSA)
TTL = timedelta(hours=1)


@dataclass
class FakeZone:
    """TLSA records, as two servers of a zone have them; the second lags until `transfer`."""

    is_ours_to_change: bool = True
    records: set[TlsaRecord] = field(default_factory=set)
    lagging: set[TlsaRecord] | None = None
    fault: str = ""
    doubt: str = ""
    ttl: timedelta = TTL
    added_ttls: list[timedelta] = field(default_factory=list)
    refusal: str | None = None
    changes: list[tuple[str, TlsaRecord]] = field(default_factory=list)

    async def look(self, name: str) -> PublishedTlsa:
        second = self.records if self.lagging is None else self.lagging
        everywhere, anywhere = frozenset(self.records & second), frozenset(self.records | second)
        base = f"_25._tcp.{name}"
        return PublishedTlsa(base, everywhere, anywhere, self.ttl, self.fault, self.doubt)

    async def add(self, name: str, record: TlsaRecord, ttl: timedelta = timedelta()) -> str | None:
        self.added_ttls.append(ttl)
        return self._change(name, "add", record, self.records.add)

    async def remove(self, name: str, record: TlsaRecord) -> str | None:
        return self._change(name, "remove", record, self.records.discard)

    def _change(
        self, name: str, what: str, record: TlsaRecord, change: Callable[[TlsaRecord], None]
    ) -> str | None:
        assert name == NAME
        self.changes.append((what, record))
        if self.refusal is None:
            change(record)
        return self.refusal


class FakeSolver:
    """Proves whatever is asked."""

    kind: ChallengeType = "http-01"

    async def present(self, proof: Proof) -> str | None:
        del proof
        return None

    async def cleanup(self, proof: Proof) -> None:
        del proof


@dataclass
class Scene:
    """What tests look at and turn."""

    server: FakeAcmeServer
    other: FakeAcmeServer
    zone: FakeZone
    clock: FakeClock
    log: FakeLog
    store: SqliteCertificates
    issued: SqliteIssued
    database: NodeDatabase
    make_accounts: Callable[[], Accounts]
    directories: list[str]
    servers: dict[str, FakeAcmeServer]
    resolver: FixtureResolver = field(default_factory=FixtureResolver)
    methods: list[tuple[ChallengeType, ...]] = field(default_factory=list)
    """By which names were to be proved, order by order."""

    def __post_init__(self) -> None:
        self.waits = Waits(self.clock)
        self.left = LeftOrders(self.clock)
        self.resolver.set("org", "NS", b"")
        self.accounts = self.make_accounts()

    def use_server(self, server: FakeAcmeServer) -> None:
        """Have the first authority answered by another server."""
        self.servers[self.directories[0]] = server
        self.forget_process()

    def forget_process(self) -> None:
        """Be another process: nothing but the store is left."""
        self.accounts = self.make_accounts()
        self.waits = Waits(self.clock)
        self.left = LeftOrders(self.clock)

    def tools(self, store: SqliteCertificates | None = None) -> Tools:
        """Give what a process has; another store stands between."""
        clock = self.clock

        async def pause(seconds: float) -> None:
            clock.move(timedelta(seconds=seconds))

        def make_issuer(authority: Authority, methods: Sequence[ChallengeType]) -> Issuer:
            self.methods.append(tuple(methods))
            return Issuer(authority, [FakeSolver()], clock, Patience(), pause)

        sources = {directory: Source(directory) for directory in self.directories}
        renewer = Renewer(
            sources,
            self.accounts,
            make_issuer,
            ("http-01", "dns-01"),
            self.issued,
            self.zone,
            CaaFinder(self.resolver, clock),
            clock,
            self.left,
        )
        return Tools(
            store=store or self.store,
            issued=self.issued,
            renewer=renewer,
            accounts=self.accounts,
            zone=self.zone,
            directories=self.directories,
            takeover_after=2,
            clock=clock,
            log=self.log,
            chance=lambda: 0.5,
            watched=SqliteWatched(self.database),
            waits=self.waits,
        )

    async def tend(self, wish: Wish = NOTHING_MORE) -> CertificateState:
        """Do what is due."""
        state = await tend(self.tools(), ID, wish)
        assert state is not None
        return state

    async def obtain(self) -> KeptFacts:
        """Get a first certificate."""
        state = await self.tend()
        assert state.facts is not None, self.log.texts
        return state.facts

    def said(self, words: str) -> bool:
        return any(words in text for text in self.log.texts)


@asynccontextmanager
async def making_scene(terms: Iterable[str] = ()) -> AsyncIterator[Scene]:
    """Make one; the authorities of `terms` want them agreed to, and they are not."""
    clock = FakeClock()
    server, other = FakeAcmeServer(now=clock.now), FakeAcmeServer(now=clock.now)
    database = NodeDatabase(MEMORY, clock)
    await database.open()
    ours, theirs = "https://ca.example/directory", "https://ca.example/directory?other"
    servers = {ours: server, theirs: other}

    def make_client(directory: str) -> AcmeClient:
        return AcmeClient(servers[directory], parse_url(directory), clock)

    agreed = {each: Terms(is_agreed=each not in terms) for each in servers}

    def make_accounts() -> Accounts:
        return Accounts(SqliteAccounts(database), make_client, agreed, clock)

    try:
        yield Scene(
            server,
            other,
            FakeZone(),
            clock,
            FakeLog(),
            SqliteCertificates(database),
            SqliteIssued(database),
            database,
            make_accounts,
            [ours],
            servers,
        )
    finally:
        await database.close()

"""The sending half of a node in one process: queue, routes, policy, connections, settlements.

Everything is real but the clock, the log and DNS; the servers are those of `tests.misbehaving`.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from letterlock.base.domains import Domain
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.smtp_client import Dialer, DialTimeouts
from letterlock.network.smtp_login import DEFAULT_TERMS, LoginTerms
from letterlock.protocols.dns.answers import MxRecord, Security
from letterlock.protocols.pki.throwaway_ca import GOOD_LEAF, Issued, KeyKind, Shape
from letterlock.protocols.policy.judge import ClearFallback
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import Entry, PolicyTable, TableEntry
from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.protocols.smtp.plan import TransactionSettings
from letterlock.protocols.smtp.timeouts import ClientTimeouts
from letterlock.services.deliver.anchors import AnchorFiles
from letterlock.services.deliver.logins import RelayLogins
from letterlock.services.deliver.outgoing import RemoteSettings, SourceAddress
from letterlock.services.deliver.pool import ConnectionPool
from letterlock.services.deliver.remote import RemoteDelivery
from letterlock.services.deliver.sending import Sender
from letterlock.services.deliver.unreachable_hosts import UnreachableHosts
from letterlock.services.discover.hop_policy import HopPolicy
from letterlock.services.discover.mta_sts import MtaStsFinder
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.discover.routes import RouteFinder
from letterlock.services.discover.tlsa import TlsaFinder
from letterlock.services.queue.notices import NoticeMaker
from letterlock.services.queue.outcomes import Delivery, Outcome
from letterlock.services.queue.schedule import Schedule
from letterlock.services.queue.settlements import Settlements
from letterlock.storage.ids import QueueIds
from letterlock.storage.queue import Claim, NewMessage, QueueId
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeClock, FakeLog, FixtureResolver
from tests.misbehaving import Server
from tests.network.certificates import NOW, authority

DOMAIN = "example.com"
HOST = "mx1.example.com"
CONTENT = b"Received: by mx1\r\nSubject: hi\r\n\r\nhello\r\n.a dot\r\n"
PATIENT = timedelta(seconds=60)
"""Longer than a busy machine makes anything take."""


class NoChance:
    """Equal preferences stay in their order."""

    def random(self) -> float:
        return 0.0


@cache
def leaf(names: tuple[str, ...] = (HOST,), shape: Shape = GOOD_LEAF, key: KeyKind = "ec") -> Issued:
    """Issue a certificate that the sending node trusts; the same one for the same arguments."""
    return authority().issue(names, now=NOW, shape=shape, key=key)


def timeouts(**steps: timedelta) -> DialTimeouts:
    """Give time-outs that no test waits for, but those named."""
    connect, handshake = steps.pop("connect", PATIENT), steps.pop("handshake", PATIENT)
    usual = {name: PATIENT for name in ClientTimeouts.__slots__ if name != "quit"}
    return DialTimeouts(connect, handshake, ClientTimeouts(**(usual | steps)))


@dataclass(slots=True)
class Outbound:
    """A sending node. What a test changes, it changes before the first delivery."""

    store: SqliteQueue
    folder: Path
    clock: FakeClock
    port: int = 25
    log: FakeLog = field(default_factory=FakeLog)
    resolver: FixtureResolver = field(default_factory=FixtureResolver)
    entries: dict[str, Entry] = field(default_factory=dict)
    level: Level = Level.MAY
    fallback: ClearFallback = field(default_factory=ClearFallback)
    timeouts: DialTimeouts = field(default_factory=timeouts)
    schedule: Schedule = field(default_factory=Schedule)
    transactions: TransactionSettings = field(default_factory=TransactionSettings)
    max_recipients: int = 100
    max_uses: int = 100
    is_verbose: bool = False
    is_counting: bool = False
    own_addresses: frozenset[str] = frozenset()
    is_dane: bool = False
    mta_sts: MtaStsFinder | None = None
    logins: RelayLogins | None = None
    login_terms: LoginTerms = DEFAULT_TERMS
    ids: QueueIds = field(init=False)
    pool: ConnectionPool = field(init=False)
    unreachable: UnreachableHosts = field(init=False)
    _remote: RemoteDelivery | None = None

    def __post_init__(self) -> None:
        self.ids = QueueIds(self.clock)
        self.pool = ConnectionPool(self.clock, idle_seconds=10)
        self.unreachable = UnreachableHosts(self.clock, max_trials=1)

    def route(
        self,
        servers: Sequence[Server],
        domain: str = DOMAIN,
        security: Security = Security.INSECURE,
    ) -> None:
        """Let servers be the MX hosts of a domain, the first one preferred."""
        records = []
        for number, server in enumerate(servers, start=1):
            name = Domain(f"mx{number}.{domain}")
            records.append(MxRecord(10 * number, name))
            self.resolver.set(name, "A", ip_address(server.ip))
            self.port = server.port
        self.resolver.set(domain, "MX", *records, security=security)

    @property
    def remote(self) -> RemoteDelivery:
        if self._remote is None:
            self._remote = self._make_remote()
        return self._remote

    def _make_remote(self) -> RemoteDelivery:
        tlsa = TlsaFinder(self.resolver) if self.is_dane else None
        anchor_file = self.folder / "anchors.pem"
        anchor_file.write_bytes(authority().pem)
        default = TableEntry("", self.level, "letterlock.toml: policy.default_level")
        self.pool.max_uses = self.max_uses
        own = SourceAddress("out.example.org")
        return RemoteDelivery(
            finder=RouteFinder(
                self.resolver,
                NoChance(),
                is_own_address=lambda ip, _port: str(ip) in self.own_addresses,
            ),
            dialer=Dialer(
                ClientContexts(None, (anchor_file,)), self.timeouts, self.clock, self.login_terms
            ),
            pool=self.pool,
            sender=Sender(self.transactions, self.max_recipients),
            unreachable=self.unreachable,
            policy=HopPolicy(PolicyTable(self.entries, default), tlsa, self.mta_sts, self.clock),
            anchors=AnchorFiles((anchor_file,)),
            settings=RemoteSettings(
                own, own, self.fallback, is_verbose=self.is_verbose, is_counting=self.is_counting
            ),
            clock=self.clock,
            log=self.log,
            logins=self.logins,
        )

    @property
    def settlements(self) -> Settlements:
        return Settlements(
            notices=NoticeMaker(
                hostname=Domain("out.example.org"),
                schedule=self.schedule,
                clock=self.clock,
                make_id=self.ids.make,
                make_token=lambda: "0123456789abcdef",
            ),
            schedule=self.schedule,
            clock=self.clock,
            log=self.log,
            jitter=lambda: 0.0,
        )

    async def save(
        self,
        *recipients: str | Recipient,
        content: bytes = CONTENT,
        origin: Mapping[str, str] | None = None,
        **envelope: Any,
    ) -> QueueId:
        """Put a message into the queue."""
        given = recipients or (f"bob@{DOMAIN}",)
        everyone = tuple(Recipient(item) if isinstance(item, str) else item for item in given)
        sealed = Envelope(sender="alice@example.org", recipients=everyone)
        writer = self.store.write_body()
        if (waiting := writer.write(content)) is not None:
            await waiting
        queue_id, now = self.ids.make(), self.clock.now()
        sealed = replace(sealed, **envelope)
        message = NewMessage(
            queue_id=queue_id,
            envelope=sealed,
            destinations=tuple(item.address.rpartition("@")[2] for item in everyone),
            body=await writer.finish(),
            received=now,
            expires=self.schedule.expires(now, sealed.sender),
            origin=origin or {},
        )
        await self.store.save(message)
        return queue_id

    async def claim(self) -> Claim:
        """Claim what is due; there must be one claim."""
        (claim,) = await self.store.claim(self.clock.now(), limit=10, lease=timedelta(minutes=15))
        return claim

    async def deliver(self, claim: Claim | None = None) -> Delivery:
        """Try to deliver the one claim that is due; nothing is settled."""
        claim = claim or await self.claim()
        next_hop = parse_next_hop(claim.destination, self.port)
        return await self.remote.deliver(claim, next_hop, self.store)

    async def send(self, *recipients: str | Recipient, **envelope: Any) -> Delivery:
        """Save a message and try to deliver it."""
        await self.save(*recipients, **envelope)
        return await self.deliver()

    async def send_and_settle(self, *recipients: str | Recipient, **envelope: Any) -> Delivery:
        """Save a message, try to deliver it, settle what it came to."""
        await self.save(*recipients, **envelope)
        return await self.try_and_settle()

    async def try_and_settle(self) -> Delivery:
        """Work on the one claim that is due."""
        claim = await self.claim()
        delivery = await self.deliver(claim)
        await self.settlements.settle(claim, delivery, self.store)
        return delivery


@contextlib.asynccontextmanager
async def sending(folder: Path, servers: Sequence[Server] = ()) -> AsyncIterator[Outbound]:
    """Make a sending node; `servers` are the MX hosts of DOMAIN."""
    clock = FakeClock(NOW)
    store = SqliteQueue(folder / "queue" / "shard-000.db", clock)
    await store.open()
    node = Outbound(store, folder, clock)
    if servers:
        node.route(servers)
    try:
        yield node
    finally:
        clock.move(timedelta(hours=1))
        await node.pool.sweep()
        await store.close()


def only(delivery: Delivery) -> Outcome:
    """Give the outcome of the one recipient."""
    (outcome,) = delivery.outcomes
    return outcome


def stories(delivery: Delivery) -> list[Mapping[str, Any]]:
    """Give what is told of each attempt, in their order."""
    return [attempt.story for attempt in delivery.attempts]

"""What keeps certificates and what belongs to them, in each engine's database of a node."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types

from letterlock.base.clock import Clock
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.acme_accounts import AccountStore
from letterlock.storage.certificates import (
    CertificateId,
    CertificateLease,
    CertificateState,
    CertificateStore,
    KeptFacts,
    KeptPair,
)
from letterlock.storage.challenges import ChallengeStore
from letterlock.storage.issued import IssuedStore
from letterlock.storage.postgres import node as postgres
from letterlock.storage.postgres.acme_accounts import PostgresAccounts
from letterlock.storage.postgres.certificates import PostgresCertificates
from letterlock.storage.postgres.challenges import PostgresChallenges
from letterlock.storage.postgres.issued import PostgresIssued
from letterlock.storage.postgres.served_policies import PostgresServedPolicies
from letterlock.storage.postgres.users import PostgresUsers
from letterlock.storage.postgres.watched import PostgresWatched
from letterlock.storage.served_policies import ServedPolicies
from letterlock.storage.sqlite import node as sqlite
from letterlock.storage.sqlite.acme_accounts import SqliteAccounts
from letterlock.storage.sqlite.certificates import SqliteCertificates
from letterlock.storage.sqlite.challenges import SqliteChallenges
from letterlock.storage.sqlite.issued import SqliteIssued
from letterlock.storage.sqlite.served_policies import SqliteServedPolicies
from letterlock.storage.sqlite.users import SqliteUsers
from letterlock.storage.sqlite.watched import SqliteWatched
from letterlock.storage.users import UserStore
from letterlock.storage.watched import WatchStore
from tests.fakes import START

TABLES = (
    *("certificates", "certificate_pairs", "issued_certificates", "acme_accounts", "challenges"),
    *("served_policies", "watched_certificates", "users", "user_decoys"),
    *("own_reports", "own_report_days", "received_results", "received_reports", "tls_alerts"),
    "failed_mails",
)

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
DIRECTORY = "https://one.example/directory"
NAME = CertificateId("mx.example.org", KeyType.ECDSA)
FACTS = KeptFacts(
    *("3af1", ("mx.example.org",), START, START + 90 * DAY, b"\x00" * 32, "CN=One"),
    *(DIRECTORY, START + MINUTE),
)
PAIR = KeptPair(b"chain", b"the key")


@dataclass(frozen=True, slots=True)
class NodeStores:
    """One process's stores; opening the first opens all."""

    certificates: CertificateStore
    accounts: AccountStore
    issued: IssuedStore
    challenges: ChallengeStore
    served: ServedPolicies
    watched: WatchStore
    users: UserStore


MakeNode = Callable[[], NodeStores]


def sqlite_node(path: Path, clock: Clock) -> NodeStores:
    database = sqlite.NodeDatabase(path, clock)
    return NodeStores(
        SqliteCertificates(database),
        SqliteAccounts(database),
        SqliteIssued(database),
        SqliteChallenges(database),
        SqliteServedPolicies(database),
        SqliteWatched(database),
        SqliteUsers(database),
    )


def postgres_node(dsn: str, clock: Clock) -> NodeStores:
    database = postgres.NodeDatabase(dsn, "node1", clock)
    return NodeStores(
        PostgresCertificates(database),
        PostgresAccounts(database),
        PostgresIssued(database),
        PostgresChallenges(database),
        PostgresServedPolicies(database),
        PostgresWatched(database),
        PostgresUsers(database),
    )


async def emptied_node(dsn: str) -> str:
    """Give the same schema with empty tables."""
    connection = await asyncpg.connect(dsn)
    if await connection.fetchval("SELECT to_regclass('certificates')") is not None:
        await connection.execute(";".join(f"DELETE FROM {table}" for table in TABLES))
        await connection.execute("UPDATE certificate_version SET version = 0")
    await connection.close()
    return dsn


async def claim(store: CertificateStore, which: CertificateId = NAME) -> CertificateLease:
    lease = await store.claim(which, START, START + MINUTE)
    assert lease is not None
    return lease


async def add(
    store: CertificateStore, which: CertificateId = NAME, pair: KeptPair = PAIR
) -> CertificateState:
    """Keep a certificate as a first order leaves it."""
    state = CertificateState(which, FACTS)
    assert await store.settle(await claim(store, which), state, pair=pair)
    kept = await store.load(which)
    assert kept is not None
    return kept

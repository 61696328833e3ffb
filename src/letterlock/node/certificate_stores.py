"""What a node keeps of certificates, and of its policies, in the database of either engine."""

from dataclasses import dataclass
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.node.own_database import make_own_database
from letterlock.node.shared_database import find_database
from letterlock.storage.acme_accounts import AccountStore
from letterlock.storage.certificates import CertificateStore
from letterlock.storage.challenges import ChallengeStore
from letterlock.storage.issued import IssuedStore
from letterlock.storage.served_policies import ServedPolicies
from letterlock.storage.sqlite.acme_accounts import SqliteAccounts
from letterlock.storage.sqlite.certificates import SqliteCertificates
from letterlock.storage.sqlite.challenges import SqliteChallenges
from letterlock.storage.sqlite.issued import SqliteIssued
from letterlock.storage.sqlite.served_policies import SqliteServedPolicies
from letterlock.storage.sqlite.watched import SqliteWatched
from letterlock.storage.watched import WatchStore


class NodeStore(Protocol):
    """The node's database of either engine."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CertificateStores:
    """What is kept of certificates, and of the MTA-STS policies served: parts of one database."""

    database: NodeStore
    certificates: CertificateStore
    issued: IssuedStore
    accounts: AccountStore
    challenges: ChallengeStore
    served: ServedPolicies
    watched: WatchStore


def make_stores(config: Config, name: str, clock: Clock) -> CertificateStores:
    """Make the stores, not opened yet; `name` is this process's among all that share them.

    Raises LocalError when the address of the database is not there.
    """
    address = find_database(config)
    if address is None:
        database = make_own_database(config, clock)
        return CertificateStores(
            database,
            SqliteCertificates(database),
            SqliteIssued(database),
            SqliteAccounts(database),
            SqliteChallenges(database),
            SqliteServedPolicies(database),
            SqliteWatched(database),
        )
    return _make_postgres_stores(address, name, clock)


def _make_postgres_stores(address: str, name: str, clock: Clock) -> CertificateStores:
    # asyncpg is an extra: only loaded where it is used.
    from letterlock.storage.postgres.acme_accounts import PostgresAccounts  # noqa: PLC0415 - asyncpg is an extra
    from letterlock.storage.postgres.certificates import PostgresCertificates  # noqa: PLC0415 - asyncpg is an extra
    from letterlock.storage.postgres.challenges import PostgresChallenges  # noqa: PLC0415 - asyncpg is an extra
    from letterlock.storage.postgres.issued import PostgresIssued  # noqa: PLC0415 - asyncpg is an extra
    from letterlock.storage.postgres.node import NodeDatabase as PostgresDatabase  # noqa: PLC0415 - asyncpg is an extra
    from letterlock.storage.postgres.served_policies import (  # noqa: PLC0415 - asyncpg is an extra
        PostgresServedPolicies,
    )
    from letterlock.storage.postgres.watched import PostgresWatched  # noqa: PLC0415 - asyncpg is an extra

    database = PostgresDatabase(address, name, clock)
    return CertificateStores(
        database,
        PostgresCertificates(database),
        PostgresIssued(database),
        PostgresAccounts(database),
        PostgresChallenges(database),
        PostgresServedPolicies(database),
        PostgresWatched(database),
    )

"""The accounts for submission in the node's database of either engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.node.certificate_stores import NodeStore
from letterlock.node.own_database import make_own_database
from letterlock.node.shared_database import find_database, name_process
from letterlock.storage.sqlite.users import SqliteUsers
from letterlock.storage.users import UserStore

_COMMAND_NUMBER = 2_000_000
"""Commands have names of processes behind those of any node."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The store, and the database that it is a part of."""

    database: NodeStore
    users: UserStore


def make_accounts(config: Config, name: str, clock: Clock) -> Accounts:
    """Make the store, not opened yet; `name` is this process's among all that share it.

    Raises LocalError when the address of the database is not there.
    """
    address = find_database(config)
    if address is None:
        database = make_own_database(config, clock)
        return Accounts(database, SqliteUsers(database))
    # asyncpg is an extra: only loaded where it is used.
    from letterlock.storage.postgres.node import NodeDatabase as Postgres  # noqa: PLC0415 - as said
    from letterlock.storage.postgres.users import PostgresUsers  # noqa: PLC0415 - as said

    shared = Postgres(address, name, clock)
    return Accounts(shared, PostgresUsers(shared))


@asynccontextmanager
async def opened_users(config: Config, clock: Clock) -> AsyncIterator[UserStore]:
    """Give the accounts to a command. Raises LocalError and StoreUnavailable."""
    accounts = make_accounts(config, name_process(config, _COMMAND_NUMBER), clock)
    await accounts.database.open()
    try:
        yield accounts.users
    finally:
        await accounts.database.close()

"""Accounts at ACME authorities in PostgreSQL, which all nodes share."""

from datetime import datetime

from letterlock.storage.acme_accounts import ACCOUNT_COLUMNS, AcmeAccountRecord, read_account_row
from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.records import to_micros

_COLUMNS = ", ".join(ACCOUNT_COLUMNS)
_ADD = """
    INSERT INTO acme_accounts (directory, private_key, created) VALUES ($1, $2, $3)
    ON CONFLICT (directory) DO NOTHING
"""
_LOAD = f"SELECT {_COLUMNS} FROM acme_accounts WHERE directory = $1"  # noqa: S608 - constants
_LIST = f"SELECT {_COLUMNS} FROM acme_accounts ORDER BY directory"  # noqa: S608 - constants
_NOTE = """
    UPDATE acme_accounts SET url = $3 WHERE directory = $1 AND private_key = $2 RETURNING true
"""
_BEGIN = "UPDATE acme_accounts SET next_key = $2 WHERE directory = $1 AND next_key IS NULL"
_END = """
    UPDATE acme_accounts SET private_key = $2, next_key = NULL
    WHERE directory = $1 AND $2 IN (private_key, next_key) RETURNING true
"""
_FORGET = "DELETE FROM acme_accounts WHERE directory = $1 AND private_key = $2 RETURNING true"


class PostgresAccounts:
    """Fulfils `storage.acme_accounts.AccountStore`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def add_account(self, directory: str, key: bytes, now: datetime) -> AcmeAccountRecord:
        async def add(connection: Connection) -> AcmeAccountRecord:
            await connection.execute(_ADD, directory, key, to_micros(now))
            return read_account_row(tuple(await connection.fetchrow(_LOAD, directory)))

        return await self._database.run(add)

    async def note_account(self, directory: str, key: bytes, url: str) -> bool:
        return await self._database.has_changed(_NOTE, directory, key, url)

    async def list_accounts(self) -> list[AcmeAccountRecord]:
        return [read_account_row(row) for row in await self._database.fetch(_LIST)]

    async def begin_key_change(self, directory: str, next_key: bytes) -> AcmeAccountRecord | None:
        async def begin(connection: Connection) -> AcmeAccountRecord | None:
            await connection.execute(_BEGIN, directory, next_key)
            row = await connection.fetchrow(_LOAD, directory)
            return None if row is None else read_account_row(tuple(row))

        return await self._database.run(begin)

    async def end_key_change(self, directory: str, key: bytes) -> bool:
        return await self._database.has_changed(_END, directory, key)

    async def forget_account(self, directory: str, key: bytes) -> bool:
        return await self._database.has_changed(_FORGET, directory, key)

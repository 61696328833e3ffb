"""Accounts at ACME authorities in SQLite."""

from datetime import datetime

import apsw

from letterlock.storage.acme_accounts import ACCOUNT_COLUMNS, AcmeAccountRecord, read_account_row
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.connection import Value, fetch_row, fetch_rows
from letterlock.storage.sqlite.node import NodeDatabase

_COLUMNS = ", ".join(ACCOUNT_COLUMNS)
_ADD = """
    INSERT INTO acme_accounts (directory, private_key, created) VALUES (?, ?, ?)
    ON CONFLICT (directory) DO NOTHING
"""
_LOAD = f"SELECT {_COLUMNS} FROM acme_accounts WHERE directory = ?"  # noqa: S608 - constants
_LIST = f"SELECT {_COLUMNS} FROM acme_accounts ORDER BY directory"  # noqa: S608 - constants
_NOTE = "UPDATE acme_accounts SET url = ? WHERE directory = ? AND private_key = ?"
_BEGIN = "UPDATE acme_accounts SET next_key = ? WHERE directory = ? AND next_key IS NULL"
_END = """
    UPDATE acme_accounts SET private_key = ?, next_key = NULL
    WHERE directory = ? AND ? IN (private_key, next_key)
"""
_FORGET = "DELETE FROM acme_accounts WHERE directory = ? AND private_key = ?"


class SqliteAccounts:
    """Fulfils `storage.acme_accounts.AccountStore`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def add_account(self, directory: str, key: bytes, now: datetime) -> AcmeAccountRecord:
        def add(connection: apsw.Connection) -> AcmeAccountRecord:
            connection.execute(_ADD, (directory, key, to_micros(now)))
            row = fetch_row(connection, _LOAD, (directory,))
            assert row is not None
            return read_account_row(row)

        return await self._database.run(add)

    async def note_account(self, directory: str, key: bytes, url: str) -> bool:
        return await self._change(_NOTE, url, directory, key)

    async def list_accounts(self) -> list[AcmeAccountRecord]:
        rows = await self._database.read(lambda connection: fetch_rows(connection, _LIST))
        return [read_account_row(row) for row in rows]

    async def begin_key_change(self, directory: str, next_key: bytes) -> AcmeAccountRecord | None:
        def begin(connection: apsw.Connection) -> AcmeAccountRecord | None:
            connection.execute(_BEGIN, (next_key, directory))
            row = fetch_row(connection, _LOAD, (directory,))
            return None if row is None else read_account_row(row)

        return await self._database.run(begin)

    async def end_key_change(self, directory: str, key: bytes) -> bool:
        return await self._change(_END, key, directory, key)

    async def forget_account(self, directory: str, key: bytes) -> bool:
        return await self._change(_FORGET, directory, key)

    async def _change(self, sql: str, *values: Value) -> bool:
        def change(connection: apsw.Connection) -> bool:
            connection.execute(sql, values)
            return connection.changes() > 0

        return await self._database.run(change)

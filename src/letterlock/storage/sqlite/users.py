"""Accounts for submission in SQLite."""

import apsw

from letterlock.storage.sqlite.connection import Value, fetch_row, fetch_rows
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.users import USER_COLUMNS, User, make_user_row, read_user_row

_COLUMNS = ", ".join(USER_COLUMNS)
_ADD = f"""
    INSERT INTO users ({_COLUMNS}) VALUES ({", ".join("?" for _ in USER_COLUMNS)})
    ON CONFLICT (name) DO NOTHING
"""  # noqa: S608 - constants
_CHANGE = f"""
    UPDATE users SET {", ".join(f"{column} = ?" for column in USER_COLUMNS)} WHERE name = ?
"""  # noqa: S608 - constants
_FIND = f"SELECT {_COLUMNS} FROM users WHERE name = ?"  # noqa: S608 - constants
_LIST = f"SELECT {_COLUMNS} FROM users WHERE name > ? ORDER BY name LIMIT ?"  # noqa: S608 - constants
_DELETE = "DELETE FROM users WHERE name = ?"
_KEEP = """
    INSERT INTO user_decoys (secret) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM user_decoys)
"""
_LOAD = "SELECT secret FROM user_decoys"


class SqliteUsers:
    """Fulfils `storage.users.UserStore`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def add_user(self, user: User) -> bool:
        return await self._change(_ADD, *make_user_row(user))

    async def change_user(self, user: User) -> bool:
        return await self._change(_CHANGE, *make_user_row(user), user.name)

    async def find_user(self, name: str) -> User | None:
        row = await self._database.read(lambda connection: fetch_row(connection, _FIND, (name,)))
        return None if row is None else read_user_row(row)

    async def list_users(self, *, limit: int = 1000, after: str = "") -> list[User]:
        values = (after, limit)
        rows = await self._database.read(lambda connection: fetch_rows(connection, _LIST, values))
        return [read_user_row(row) for row in rows]

    async def delete_user(self, name: str) -> bool:
        return await self._change(_DELETE, name)

    async def load_decoy_secret(self, fresh: bytes) -> bytes:
        def load(connection: apsw.Connection) -> bytes:
            connection.execute(_KEEP, (fresh,))
            row = fetch_row(connection, _LOAD)
            assert row is not None
            return bytes(row[0])

        return await self._database.run(load)

    async def _change(self, sql: str, *values: Value) -> bool:
        def change(connection: apsw.Connection) -> bool:
            connection.execute(sql, values)
            return connection.changes() > 0

        return await self._database.run(change)

"""Accounts for submission in PostgreSQL, which all nodes share."""

from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.users import USER_COLUMNS, User, make_user_row, read_user_row

_COLUMNS = ", ".join(USER_COLUMNS)
_PLACES = ", ".join(f"${number}" for number, _ in enumerate(USER_COLUMNS, 1))
_ADD = f"""
    INSERT INTO users ({_COLUMNS}) VALUES ({_PLACES})
    ON CONFLICT (name) DO NOTHING RETURNING true
"""  # noqa: S608 - constants
_CHANGE = f"""
    UPDATE users SET ({_COLUMNS}) = ({_PLACES}) WHERE name = $1 RETURNING true
"""  # noqa: S608 - constants
_FIND = f"SELECT {_COLUMNS} FROM users WHERE name = $1"  # noqa: S608 - constants
_LIST = f"SELECT {_COLUMNS} FROM users WHERE name > $1 ORDER BY name LIMIT $2"  # noqa: S608 - constants
_DELETE = "DELETE FROM users WHERE name = $1 RETURNING true"
_KEEP = """
    INSERT INTO user_decoys (single, secret) VALUES (true, $1) ON CONFLICT (single) DO NOTHING
"""
_LOAD = "SELECT secret FROM user_decoys"


class PostgresUsers:
    """Fulfils `storage.users.UserStore`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def add_user(self, user: User) -> bool:
        return await self._database.has_changed(_ADD, *make_user_row(user))

    async def change_user(self, user: User) -> bool:
        return await self._database.has_changed(_CHANGE, *make_user_row(user))

    async def find_user(self, name: str) -> User | None:
        row = await self._database.fetch_row(_FIND, name)
        return None if row is None else read_user_row(row)

    async def list_users(self, *, limit: int = 1000, after: str = "") -> list[User]:
        return [read_user_row(row) for row in await self._database.fetch(_LIST, after, limit)]

    async def delete_user(self, name: str) -> bool:
        return await self._database.has_changed(_DELETE, name)

    async def load_decoy_secret(self, fresh: bytes) -> bytes:
        async def load(connection: Connection) -> bytes:
            await connection.execute(_KEEP, fresh)
            return bytes(await connection.fetchval(_LOAD))

        return await self._database.run(load)

"""Proofs that authorities may come and look at, in SQLite."""

from datetime import datetime

import apsw

from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.storage.challenges import (
    CHALLENGE_COLUMNS,
    PendingChallenge,
    make_challenge_row,
    read_challenge_row,
)
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.connection import Value, fetch_row
from letterlock.storage.sqlite.node import NodeDatabase

_COLUMNS = ", ".join(CHALLENGE_COLUMNS)
_SWEEP = "DELETE FROM challenges WHERE until <= ?"
_PUT = f"""
    INSERT OR REPLACE INTO challenges ({_COLUMNS})
    VALUES ({", ".join("?" for _ in CHALLENGE_COLUMNS)})
"""  # noqa: S608 - constants
_SELECT = f"SELECT {_COLUMNS} FROM challenges"  # noqa: S608 - constants
_BY_TOKEN = f"{_SELECT} WHERE kind = ? AND token = ? AND until > ?"
_BY_NAME = f"""
    {_SELECT} WHERE kind = ? AND server_name = ? AND until > ?
    ORDER BY until DESC, token LIMIT 1
"""
_REMOVE = "DELETE FROM challenges WHERE kind = ? AND token = ?"


class SqliteChallenges:
    """Fulfils `storage.challenges.ChallengeStore`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def put(self, challenge: PendingChallenge, now: datetime) -> None:
        def put(connection: apsw.Connection) -> None:
            connection.execute(_SWEEP, (to_micros(now),))
            connection.execute(_PUT, make_challenge_row(challenge))

        await self._database.run(put)

    async def find_by_token(
        self, kind: ChallengeType, token: str, now: datetime
    ) -> PendingChallenge | None:
        return await self._find(_BY_TOKEN, kind, token, to_micros(now))

    async def find_by_server_name(
        self, kind: ChallengeType, server_name: str, now: datetime
    ) -> PendingChallenge | None:
        return await self._find(_BY_NAME, kind, server_name, to_micros(now))

    async def remove(self, kind: ChallengeType, token: str) -> None:
        await self._database.run(
            lambda connection: connection.execute(_REMOVE, (kind, token)).fetchall()
        )

    async def _find(self, sql: str, *values: Value) -> PendingChallenge | None:
        row = await self._database.read(lambda connection: fetch_row(connection, sql, values))
        return None if row is None else read_challenge_row(row)

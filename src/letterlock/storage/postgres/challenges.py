"""Proofs that authorities may come and look at, in PostgreSQL, which all nodes share."""

from datetime import datetime

from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.storage.challenges import (
    CHALLENGE_COLUMNS,
    PendingChallenge,
    make_challenge_row,
    read_challenge_row,
)
from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.records import to_micros

_COLUMNS = ", ".join(CHALLENGE_COLUMNS)
_PLACES = ", ".join(f"${number}" for number, _ in enumerate(CHALLENGE_COLUMNS, 1))
_UPDATES = ", ".join(f"{name} = excluded.{name}" for name in CHALLENGE_COLUMNS[2:])
# What another transaction removes just now is left to it: two that wait for each other's rows
# would be a deadlock.
_SWEEP = """
    DELETE FROM challenges WHERE (kind, token) IN (
        SELECT kind, token FROM challenges WHERE until <= $1 FOR UPDATE SKIP LOCKED
    )
"""
_PUT = f"""
    INSERT INTO challenges ({_COLUMNS}) VALUES ({_PLACES})
    ON CONFLICT (kind, token) DO UPDATE SET {_UPDATES}
"""  # noqa: S608 - constants
_SELECT = f"SELECT {_COLUMNS} FROM challenges"  # noqa: S608 - constants
_BY_TOKEN = f"{_SELECT} WHERE kind = $1 AND token = $2 AND until > $3"
_BY_NAME = f"""
    {_SELECT} WHERE kind = $1 AND server_name = $2 AND until > $3
    ORDER BY until DESC, token LIMIT 1
"""
_REMOVE = "DELETE FROM challenges WHERE kind = $1 AND token = $2"


class PostgresChallenges:
    """Fulfils `storage.challenges.ChallengeStore`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def put(self, challenge: PendingChallenge, now: datetime) -> None:
        async def put(connection: Connection) -> None:
            await connection.execute(_SWEEP, to_micros(now))
            await connection.execute(_PUT, *make_challenge_row(challenge))

        await self._database.run(put)

    async def find_by_token(
        self, kind: ChallengeType, token: str, now: datetime
    ) -> PendingChallenge | None:
        return await self._find(_BY_TOKEN, kind, token, now)

    async def find_by_server_name(
        self, kind: ChallengeType, server_name: str, now: datetime
    ) -> PendingChallenge | None:
        return await self._find(_BY_NAME, kind, server_name, now)

    async def remove(self, kind: ChallengeType, token: str) -> None:
        await self._database.fetch(_REMOVE, kind, token)

    async def _find(
        self, query: str, kind: ChallengeType, text: str, now: datetime
    ) -> PendingChallenge | None:
        row = await self._database.fetch_row(query, kind, text, to_micros(now))
        return None if row is None else read_challenge_row(row)

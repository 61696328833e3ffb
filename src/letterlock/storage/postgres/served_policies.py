"""The MTA-STS policies that we served, in PostgreSQL, which all nodes share."""

from datetime import datetime

from letterlock.base.domains import Domain
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.records import to_micros
from letterlock.storage.served_policies import (
    SERVED_COLUMNS,
    ServedPolicy,
    make_served_row,
    read_served_row,
)

_COLUMNS = ", ".join(SERVED_COLUMNS)
_PLACES = ", ".join(f"${number}" for number, _ in enumerate(SERVED_COLUMNS, 1))
_NOTE = f"""
    INSERT INTO served_policies ({_COLUMNS}) VALUES ({_PLACES})
    ON CONFLICT (domain, policy_id) DO UPDATE SET
        served_until = greatest(served_policies.served_until, excluded.served_until),
        held_until = greatest(served_policies.held_until, excluded.held_until)
"""  # noqa: S608 - constants
_LIST = f"""
    SELECT {_COLUMNS} FROM served_policies WHERE domain = $1 AND held_until > $2
    ORDER BY served_until DESC, policy_id
"""  # noqa: S608 - constants
_FORGET = "DELETE FROM served_policies WHERE held_until <= $1 RETURNING true"


class PostgresServedPolicies:
    """Fulfils `storage.served_policies.ServedPolicies`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def note(self, served: ServedPolicy) -> None:
        await self._database.fetch(_NOTE, *make_served_row(served))

    async def list_served(self, domain: Domain, now: datetime) -> list[ServedPolicy]:
        rows = await self._database.fetch(_LIST, domain, to_micros(now))
        return [served for row in rows if (served := read_served_row(row)) is not None]

    async def forget(self, now: datetime) -> int:
        return len(await self._database.fetch(_FORGET, to_micros(now)))

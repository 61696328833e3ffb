"""The MTA-STS policies that we served, in SQLite."""

from datetime import datetime

import apsw

from letterlock.base.domains import Domain
from letterlock.storage.records import to_micros
from letterlock.storage.served_policies import (
    SERVED_COLUMNS,
    ServedPolicy,
    make_served_row,
    read_served_row,
)
from letterlock.storage.sqlite.connection import fetch_rows
from letterlock.storage.sqlite.node import NodeDatabase

_COLUMNS = ", ".join(SERVED_COLUMNS)
_NOTE = f"""
    INSERT INTO served_policies ({_COLUMNS}) VALUES ({", ".join("?" for _ in SERVED_COLUMNS)})
    ON CONFLICT (domain, policy_id) DO UPDATE SET
        served_until = max(served_until, excluded.served_until),
        held_until = max(held_until, excluded.held_until)
"""  # noqa: S608 - constants
_LIST = f"""
    SELECT {_COLUMNS} FROM served_policies WHERE domain = ? AND held_until > ?
    ORDER BY served_until DESC, policy_id
"""  # noqa: S608 - constants
_FORGET = "DELETE FROM served_policies WHERE held_until <= ?"


class SqliteServedPolicies:
    """Fulfils `storage.served_policies.ServedPolicies`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def note(self, served: ServedPolicy) -> None:
        row = make_served_row(served)
        await self._database.run(lambda connection: connection.execute(_NOTE, row).fetchall())

    async def list_served(self, domain: Domain, now: datetime) -> list[ServedPolicy]:
        values = (domain, to_micros(now))
        rows = await self._database.read(lambda connection: fetch_rows(connection, _LIST, values))
        return [served for row in rows if (served := read_served_row(row)) is not None]

    async def forget(self, now: datetime) -> int:
        def forget(connection: apsw.Connection) -> int:
            connection.execute(_FORGET, (to_micros(now),))
            return connection.changes()

        return await self._database.run(forget)

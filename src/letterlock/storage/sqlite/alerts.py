"""Alerts on what reports on TLS say, in SQLite."""

import apsw

from letterlock.storage.alerts import AlertState, KeptAlerts, format_state, take_state
from letterlock.storage.sqlite.connection import fetch_rows
from letterlock.storage.sqlite.node import NodeDatabase

_LOAD = "SELECT version, state FROM tls_alerts"
_ADD = "INSERT INTO tls_alerts (id, version, state) VALUES (1, 1, ?) ON CONFLICT DO NOTHING"
_SAVE = "UPDATE tls_alerts SET version = version + 1, state = ? WHERE version = ?"


class SqliteAlerts:
    """Fulfils `storage.alerts.AlertStore`."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def load(self) -> KeptAlerts:
        rows = await self._database.read(lambda connection: fetch_rows(connection, _LOAD))
        return take_state(*rows[0]) if rows else KeptAlerts()

    async def save(self, version: int, state: AlertState) -> bool:
        text = format_state(state)

        def save(connection: apsw.Connection) -> bool:
            if version:
                connection.execute(_SAVE, (text, version))
            else:
                connection.execute(_ADD, (text,))
            return connection.changes() > 0

        return await self._database.run(save)

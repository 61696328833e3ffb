"""Alerts on what reports on TLS say, in PostgreSQL, which all nodes share."""

from letterlock.storage.alerts import AlertState, KeptAlerts, format_state, take_state
from letterlock.storage.postgres.node import NodeDatabase

_LOAD = "SELECT version, state FROM tls_alerts"
_ADD = """
    INSERT INTO tls_alerts (id, version, state) VALUES (1, 1, $1) ON CONFLICT DO NOTHING
    RETURNING true
"""
_SAVE = """
    UPDATE tls_alerts SET version = version + 1, state = $1 WHERE version = $2 RETURNING true
"""


class PostgresAlerts:
    """Fulfils `storage.alerts.AlertStore`."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def load(self) -> KeptAlerts:
        row = await self._database.fetch_row(_LOAD)
        return KeptAlerts() if row is None else take_state(*row)

    async def save(self, version: int, state: AlertState) -> bool:
        text = format_state(state)
        if version:
            return await self._database.has_changed(_SAVE, text, version)
        return await self._database.has_changed(_ADD, text)

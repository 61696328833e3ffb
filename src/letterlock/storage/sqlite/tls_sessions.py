"""Counts of TLS sessions in a queue's SQLite file."""

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import apsw

from letterlock.protocols.tlsrpt.sessions import Session
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.connection import Value
from letterlock.storage.sqlite.node import read_beside
from letterlock.storage.sqlite.transaction import execute_rows
from letterlock.storage.tls_sessions import (
    CountedSession,
    format_day,
    make_session_rows,
    restore_sessions,
)

_ADD = """
    INSERT INTO tls_sessions (day, domain, digest, outcomes, sessions) VALUES {rows}
    ON CONFLICT (day, domain, digest) DO UPDATE SET sessions = sessions + excluded.sessions
"""
_FORGET = "DELETE FROM tls_sessions WHERE day < ?"
_DAYS = "SELECT DISTINCT day FROM tls_sessions ORDER BY day"
_DAY = "SELECT domain, outcomes, sessions FROM tls_sessions WHERE day = ?"


def add_sessions(
    connection: apsw.Connection, settled: Iterable[tuple[int, Iterable[Session]]]
) -> None:
    """Count sessions, each with the moment in microseconds."""
    if rows := make_session_rows(settled):
        execute_rows(connection, _ADD, rows)


def forget_sessions(connection: apsw.Connection, before: date) -> int:
    """Remove the counts of days before a day; gives how many rows."""
    connection.execute(_FORGET, (format_day(before),))
    return connection.changes()


async def load_session_days(path: Path) -> list[date]:
    """List beside who writes the days of which something is counted. Raises StoreUnavailable."""
    return [date.fromisoformat(row[0]) for row in await _read(path, _DAYS)]


async def load_day(path: Path, day: date) -> list[CountedSession]:
    """Give beside who writes what is counted of a day. Raises StoreUnavailable."""
    return list(restore_sessions(await _read(path, _DAY, (format_day(day),))))


async def _read(path: Path, sql: str, parameters: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
    try:
        return await read_beside(path, sql, parameters)
    except StoreUnavailable as error:
        # The shard was not opened since the release before.
        if "no such table" in str(error):
            return []
        raise

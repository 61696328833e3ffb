"""Counts of TLS sessions beside the queue in PostgreSQL."""

from collections.abc import Iterable
from datetime import date

from letterlock.protocols.tlsrpt.sessions import Session
from letterlock.storage.postgres.connection import Connection, fetch_beside
from letterlock.storage.tls_sessions import (
    CountedSession,
    format_day,
    make_session_rows,
    restore_sessions,
)

_ADD = """
    INSERT INTO tls_sessions (day, domain, digest, outcomes, sessions)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bigint[])
    ON CONFLICT (day, domain, digest)
        DO UPDATE SET sessions = tls_sessions.sessions + excluded.sessions
"""
_FORGET = "DELETE FROM tls_sessions WHERE day < $1 RETURNING true"
_DAYS = "SELECT DISTINCT day FROM tls_sessions ORDER BY day"
_DAY = "SELECT domain, outcomes, sessions FROM tls_sessions WHERE day = $1"


async def add_sessions(
    connection: Connection, settled: Iterable[tuple[int, Iterable[Session]]]
) -> None:
    """Count sessions, each with the moment in microseconds."""
    if rows := make_session_rows(settled):
        await connection.execute(_ADD, *(list(column) for column in zip(*rows, strict=True)))


async def forget_sessions(connection: Connection, before: date) -> int:
    """Remove the counts of days before a day; gives how many rows."""
    return len(await connection.fetch(_FORGET, format_day(before)))


async def load_session_days(dsn: str) -> list[date]:
    """List beside the nodes the days of which something is counted.

    Raises LocalError and StoreUnavailable.
    """
    return [date.fromisoformat(row[0]) for row in await fetch_beside(dsn, _DAYS)]


async def load_day(dsn: str, day: date) -> list[CountedSession]:
    """Give beside the nodes what is counted of a day. Raises LocalError and StoreUnavailable."""
    return list(restore_sessions(await fetch_beside(dsn, _DAY, format_day(day))))

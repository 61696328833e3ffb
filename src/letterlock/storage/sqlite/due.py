"""When things are due: keeps `deliveries` and `destinations` true to what recipients wait for.

All here runs inside the writer's transaction. Times are microseconds.
"""

from collections.abc import Sequence

import apsw

from letterlock.storage.sqlite.connection import fetch_row, fetch_value
from letterlock.storage.sqlite.transaction import execute_rows

_ADD_DELIVERIES = "INSERT INTO deliveries (message_id, destination, due) VALUES {rows}"
_ADVANCE = """
    INSERT INTO destinations (destination, next_due) VALUES {rows}
    ON CONFLICT (destination) DO UPDATE SET next_due = max(excluded.next_due, served)
    WHERE max(excluded.next_due, served) < next_due
"""
_FIND_FIRST_DUE = """
    SELECT due FROM deliveries INDEXED BY deliveries_due
    WHERE destination = ? AND due IS NOT NULL ORDER BY due LIMIT 1
"""
_REFRESH_DESTINATION = """
    INSERT INTO destinations (destination, next_due) VALUES (?, ?)
    ON CONFLICT (destination) DO UPDATE SET next_due = max(excluded.next_due, served)
"""
_SERVE_DESTINATION = """
    INSERT INTO destinations (destination, next_due, served) VALUES (?1, max(?2, ?3), ?3)
    ON CONFLICT (destination) DO UPDATE SET next_due = excluded.next_due, served = excluded.served
"""
_FORGET_TURNS = """
    UPDATE destinations SET served = 0, next_due = coalesce(
        (SELECT min(due) FROM deliveries
         WHERE deliveries.destination = destinations.destination AND due IS NOT NULL), next_due)
    WHERE served > ?
"""
_FIND_WAITING = """
    SELECT min(next_attempt) FROM recipients
    WHERE message_id = ? AND destination = ? AND state IN ('queued', 'held')
    HAVING count(*) > 0
"""
REMOVE_DONE = """
    DELETE FROM deliveries WHERE (message_id, destination) IN (VALUES {rows}) AND NOT EXISTS (
        SELECT 1 FROM recipients WHERE recipients.message_id = deliveries.message_id
            AND recipients.destination = deliveries.destination AND state IN ('queued', 'held'))
"""


def add_deliveries(
    connection: apsw.Connection, deliveries: Sequence[tuple[int, str, int | None]]
) -> None:
    """Add messages at destinations, each with when it is due; None: it is held."""
    execute_rows(connection, _ADD_DELIVERIES, deliveries)
    first: dict[str, int] = {}
    for _, destination, due in deliveries:
        if due is not None:
            first[destination] = min(due, first.get(destination, due))
    execute_rows(connection, _ADVANCE, list(first.items()))


def end_leases(connection: apsw.Connection, ended: Sequence[tuple[int, str]]) -> None:
    """End leases as `end_lease` does; at once where nobody waits any more, as after most."""
    before = connection.total_changes()
    execute_rows(connection, REMOVE_DONE, ended)
    if connection.total_changes() - before < len(ended):
        for message_id, destination in ended:
            end_lease(connection, message_id, destination)


def end_lease(connection: apsw.Connection, message_id: int, destination: str) -> None:
    """Make a delivery due when its first recipient is; remove it when none waits any more.

    If the message was held while it was claimed, its recipients are held from now on.
    """
    key = (message_id, destination)
    waiting = fetch_row(connection, _FIND_WAITING, key)
    if waiting is None:
        connection.execute("DELETE FROM deliveries WHERE message_id = ? AND destination = ?", key)
        return
    (due,) = waiting
    sql = "SELECT hold IS NOT NULL FROM messages WHERE message_id = ?"
    if fetch_value(connection, sql, (message_id,)):
        connection.execute(
            "UPDATE recipients SET state = 'held', next_attempt = NULL "
            "WHERE message_id = ? AND destination = ? AND state = 'queued'",
            key,
        )
        due = None
    connection.execute(
        "UPDATE deliveries SET due = ?, lease = NULL WHERE message_id = ? AND destination = ?",
        (due, *key),
    )


def refresh_destination(connection: apsw.Connection, destination: str) -> None:
    """Say anew when a destination is due, after its deliveries changed."""
    due = _find_first_due(connection, destination)
    if due is None:
        _remove(connection, destination)
    else:
        connection.execute(_REFRESH_DESTINATION, (destination, due))


def serve_destination(connection: apsw.Connection, destination: str, now: int) -> None:
    """Do the same after a claim there: what is still due goes behind the other destinations."""
    due = _find_first_due(connection, destination)
    if due is None:
        _remove(connection, destination)
    else:
        connection.execute(_SERVE_DESTINATION, (destination, due, now))


def forget_turns(connection: apsw.Connection, now: int) -> None:
    """Forget claims made in what is the future now: the clock was set back."""
    connection.execute(_FORGET_TURNS, (now,))


def _find_first_due(connection: apsw.Connection, destination: str) -> int | None:
    due: int | None = fetch_value(connection, _FIND_FIRST_DUE, (destination,))
    return due


def _remove(connection: apsw.Connection, destination: str) -> None:
    connection.execute("DELETE FROM destinations WHERE destination = ?", (destination,))

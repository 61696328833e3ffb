"""What an operator does to messages: hold, release, retry, delete; and forgetting old stories.

Each function changes the messages it is given, in one transaction; the engine calls it for some
hundred at a time, so that a million don't hold up the mail that comes in.
"""

from collections.abc import Iterable, Sequence

import apsw

from letterlock.storage.sqlite.connection import fetch_rows
from letterlock.storage.sqlite.due import end_lease, refresh_destination
from letterlock.storage.sqlite.settling import finish_if_done
from letterlock.storage.sqlite.transaction import Transaction

_RETRY = """
    UPDATE recipients SET next_attempt = min(next_attempt, ?)
    WHERE message_id = ? AND state = 'queued' AND EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.message_id = recipients.message_id
            AND deliveries.destination = recipients.destination AND deliveries.lease IS NULL)
"""
_RELEASE = """
    UPDATE recipients SET state = 'queued', next_attempt = ?
    WHERE message_id = ? AND state = 'held'
"""
_DELETE = """
    UPDATE recipients SET state = 'deleted', next_attempt = NULL
    WHERE message_id = ? AND state IN ('queued', 'held')
"""


def find_waiting(
    connection: apsw.Connection, queue_ids: Sequence[str]
) -> list[tuple[int, str | None]]:
    """Give the rows of those messages that are not finished: number and reason of hold."""
    found: list[tuple[int, str | None]] = []
    for queue_id in queue_ids:
        sql = "SELECT message_id, hold FROM messages WHERE queue_id = ? AND finished IS NULL"
        found += [(row[0], row[1]) for row in fetch_rows(connection, sql, (queue_id,))]
    return found


def hold_messages(connection: apsw.Connection, queue_ids: Sequence[str], reason: str) -> int:
    """Keep back those that are not held; what is claimed follows in `end_lease`."""
    changed = 0
    touched: set[str] = set()
    for message_id, hold in find_waiting(connection, queue_ids):
        if hold is None:
            connection.execute(
                "UPDATE messages SET hold = ? WHERE message_id = ?", (reason, message_id)
            )
            touched.update(_reschedule(connection, message_id))
            changed += 1
    _refresh(connection, touched)
    return changed


def release_messages(connection: apsw.Connection, queue_ids: Sequence[str], now: int) -> int:
    """Let go on what is held."""
    changed = 0
    touched: set[str] = set()
    for message_id, hold in find_waiting(connection, queue_ids):
        connection.execute("UPDATE messages SET hold = NULL WHERE message_id = ?", (message_id,))
        connection.execute(_RELEASE, (now, message_id))
        if hold is not None or connection.changes():
            touched.update(_reschedule(connection, message_id))
            changed += 1
    _refresh(connection, touched)
    return changed


def retry_messages(connection: apsw.Connection, queue_ids: Sequence[str], now: int) -> int:
    """Make due what waits and is not claimed."""
    changed = 0
    touched: set[str] = set()
    for message_id, _ in find_waiting(connection, queue_ids):
        connection.execute(_RETRY, (now, message_id))
        if connection.changes():
            touched.update(_reschedule(connection, message_id))
            changed += 1
    _refresh(connection, touched)
    return changed


def delete_messages(transaction: Transaction, queue_ids: Sequence[str], now: int) -> int:
    """Remove messages, claimed or not: a claim of theirs settles as no longer ours."""
    connection = transaction.connection
    touched: set[str] = set()
    messages = find_waiting(connection, queue_ids)
    for message_id, _ in messages:
        connection.execute(_DELETE, (message_id,))
        transaction.totals.recipients -= connection.changes()
        sql = "DELETE FROM deliveries WHERE message_id = ? RETURNING destination"
        touched.update(destination for (destination,) in fetch_rows(connection, sql, (message_id,)))
    finish_if_done(transaction, [message_id for message_id, _ in messages], now)
    _refresh(connection, touched)
    return len(messages)


def forget_finished(connection: apsw.Connection, before: int, limit: int) -> int:
    """Remove the stories of at most `limit` messages."""
    rows = fetch_rows(
        connection, "SELECT message_id FROM messages WHERE finished < ? LIMIT ?", (before, limit)
    )
    for row in rows:
        connection.execute("DELETE FROM attempts WHERE message_id = ?", row)
        connection.execute("DELETE FROM recipients WHERE message_id = ?", row)
        connection.execute("DELETE FROM messages WHERE message_id = ?", row)
    return len(rows)


def free_leases(connection: apsw.Connection) -> int:
    """Make everything claimed due again: the one who claimed it is no more."""
    rows = fetch_rows(
        connection, "SELECT message_id, destination FROM deliveries WHERE lease IS NOT NULL"
    )
    for message_id, destination in rows:
        end_lease(connection, message_id, destination)
    _refresh(connection, {destination for _, destination in rows})
    return len(rows)


def _reschedule(connection: apsw.Connection, message_id: int) -> set[str]:
    """Set when a message's unclaimed deliveries are due; gives their destinations."""
    rows = fetch_rows(
        connection,
        "SELECT destination FROM deliveries WHERE message_id = ? AND lease IS NULL",
        (message_id,),
    )
    for (destination,) in rows:
        end_lease(connection, message_id, destination)
    return {destination for (destination,) in rows}


def _refresh(connection: apsw.Connection, destinations: Iterable[str]) -> None:
    for destination in destinations:
        refresh_destination(connection, destination)

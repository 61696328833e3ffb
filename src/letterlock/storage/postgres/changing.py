"""What an operator does to messages: hold, release, retry, delete; and forgetting old stories.

As in `storage.sqlite.changing`. Messages are locked first, in their order.
"""

from collections.abc import Sequence

from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.due import end_leases, refresh_destinations
from letterlock.storage.postgres.settling import finish_if_done
from letterlock.storage.postgres.totals import add_totals

_LOCK = """
    SELECT message_id, hold FROM messages
    WHERE queue_id = ANY ($1::text[]) AND finished IS NULL ORDER BY message_id FOR UPDATE
"""
_LOCK_UNCLAIMED = """
    SELECT message_id, destination FROM deliveries
    WHERE message_id = ANY ($1::bigint[]) AND lease IS NULL
    ORDER BY message_id, destination FOR UPDATE
"""
_RELEASE = """
    UPDATE recipients SET state = 'queued', next_attempt = $2
    WHERE message_id = ANY ($1::bigint[]) AND state = 'held' RETURNING message_id
"""
_RETRY = """
    UPDATE recipients SET next_attempt = least(next_attempt, $3)
    FROM unnest($1::bigint[], $2::text[]) AS waiting (message_id, destination)
    WHERE recipients.message_id = waiting.message_id
        AND recipients.destination = waiting.destination AND state = 'queued'
    RETURNING recipients.message_id
"""
_DELETE = """
    UPDATE recipients SET state = 'deleted', next_attempt = NULL
    WHERE message_id = ANY ($1::bigint[]) AND state IN ('queued', 'held') RETURNING message_id
"""
_FORGET = """
    SELECT message_id FROM messages WHERE finished < $1 ORDER BY message_id LIMIT $2
    FOR UPDATE SKIP LOCKED
"""
_FREE = """
    SELECT message_id, destination FROM deliveries
    WHERE lease > $1 || '/' AND lease < $1 || '0' FOR UPDATE SKIP LOCKED
"""  # '0' follows '/': all leases of a node


async def hold_messages(connection: Connection, queue_ids: Sequence[str], reason: str) -> int:
    """Keep back those that are not held; what is claimed follows in `end_leases`."""
    rows = await connection.fetch(_LOCK, list(queue_ids))
    held = [row["message_id"] for row in rows if row["hold"] is None]
    sql = "UPDATE messages SET hold = $2 WHERE message_id = ANY ($1::bigint[])"
    await connection.execute(sql, held, reason)
    await _reschedule(connection, held)
    return len(held)


async def release_messages(connection: Connection, queue_ids: Sequence[str], now: int) -> int:
    """Let go on what is held."""
    rows = await connection.fetch(_LOCK, list(queue_ids))
    released = await connection.fetch(_RELEASE, [row["message_id"] for row in rows], now)
    changed = {row["message_id"] for row in rows if row["hold"] is not None}
    changed |= {row["message_id"] for row in released}
    sql = "UPDATE messages SET hold = NULL WHERE message_id = ANY ($1::bigint[])"
    await connection.execute(sql, list(changed))
    await _reschedule(connection, list(changed))
    return len(changed)


async def retry_messages(connection: Connection, queue_ids: Sequence[str], now: int) -> int:
    """Make due what waits and is not claimed."""
    rows = await connection.fetch(_LOCK, list(queue_ids))
    unclaimed = await connection.fetch(_LOCK_UNCLAIMED, [row["message_id"] for row in rows])
    keys = ([row["message_id"] for row in unclaimed], [row["destination"] for row in unclaimed])
    changed = {row["message_id"] for row in await connection.fetch(_RETRY, *keys, now)}
    await _reschedule(connection, list(changed))
    return len(changed)


async def delete_messages(connection: Connection, queue_ids: Sequence[str], now: int) -> int:
    """Remove messages, claimed or not: a claim of theirs settles as no longer ours."""
    rows = await connection.fetch(_LOCK, list(queue_ids))
    message_ids = [row["message_id"] for row in rows]
    deleted = await connection.fetch(_DELETE, message_ids)
    await add_totals(connection, 0, 0, -len(deleted))
    sql = "DELETE FROM deliveries WHERE message_id = ANY ($1::bigint[]) RETURNING destination"
    removed = await connection.fetch(sql, message_ids)
    await refresh_destinations(connection, {row["destination"] for row in removed})
    await finish_if_done(connection, message_ids, now)
    return len(message_ids)


async def forget_finished(connection: Connection, before: int, limit: int) -> int:
    """Remove the stories of at most `limit` messages."""
    rows = await connection.fetch(_FORGET, before, limit)
    message_ids = [row["message_id"] for row in rows]
    for table in ("attempts", "recipients", "messages"):
        sql = f"DELETE FROM {table} WHERE message_id = ANY ($1::bigint[])"  # noqa: S608 - see above
        await connection.execute(sql, message_ids)
    return len(message_ids)


async def forget_destinations(connection: Connection) -> None:
    """Remove the rows of destinations where nothing waits any more."""
    await connection.execute(
        "DELETE FROM destinations WHERE destination IN ("
        " SELECT destination FROM destinations WHERE next_due IS NULL AND NOT EXISTS ("
        "  SELECT 1 FROM deliveries WHERE deliveries.destination = destinations.destination)"
        " FOR UPDATE SKIP LOCKED)"
    )


async def free_leases(connection: Connection, node: str) -> int:
    """Make all that a node claimed due again, and count it: the process that did is no more."""
    rows = await connection.fetch(_FREE, node)
    await end_leases(connection, [(row["message_id"], row["destination"]) for row in rows])
    await refresh_destinations(connection, {row["destination"] for row in rows})
    return len(rows)


async def _reschedule(connection: Connection, message_ids: Sequence[int]) -> None:
    """Set when the unclaimed deliveries of messages are due."""
    rows = await connection.fetch(_LOCK_UNCLAIMED, message_ids)
    await end_leases(connection, [(row["message_id"], row["destination"]) for row in rows])
    await refresh_destinations(connection, {row["destination"] for row in rows})

"""Settling a claim: recipients, attempts, the bounces it causes, and the message's end."""

from collections.abc import Collection, Sequence

from letterlock.storage.postgres.bodies import remove_bodies
from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.due import end_leases, refresh_destinations
from letterlock.storage.postgres.saving import save_messages
from letterlock.storage.queue import (
    AttemptRecord,
    Claim,
    RecipientResult,
    RecipientState,
    Settlement,
)
from letterlock.storage.records import to_duration, to_json, to_micros, to_text

_LOCK_MESSAGE = "SELECT message_id FROM messages WHERE queue_id = $1 FOR UPDATE"
_LOCK_LEASED = """
    SELECT message_id FROM deliveries
    WHERE message_id = $1 AND destination = $2 AND lease = $3 FOR UPDATE
"""
_SET_RECIPIENTS = """
    UPDATE recipients SET state = result.state, attempts = attempts + 1,
        next_attempt = result.next_attempt, is_delay_notified = result.is_delay_notified,
        last_status = result.status, last_reply = result.reply
    FROM unnest($3::integer[], $4::text[], $5::bigint[], $6::boolean[], $7::text[], $8::text[])
        AS result (number, state, next_attempt, is_delay_notified, status, reply)
    WHERE message_id = $1 AND destination = $2 AND recipients.number = result.number
        AND recipients.state = 'queued'
"""
_ADD_ATTEMPTS = """
    INSERT INTO attempts (message_id, started, duration, relay, summary, story, recipients)
    SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[],
        $7::text[])
"""
_FINISH = """
    UPDATE messages SET finished = $2
    WHERE message_id = ANY ($1::bigint[]) AND finished IS NULL AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.message_id = messages.message_id)
    RETURNING message_id, body_id
"""


async def extend_lease(connection: Connection, claim: Claim, until: int) -> bool:
    """Move a lease's end; False when another has it."""
    message_id = await _lock(connection, claim)
    if message_id is None:
        return False
    await connection.execute(
        "UPDATE deliveries SET due = $3 WHERE message_id = $1 AND destination = $2",
        *(message_id, claim.destination, until),
    )
    await refresh_destinations(connection, [claim.destination])
    return True


async def settle_claim(connection: Connection, settlement: Settlement, now: int) -> bool:
    """Save what a claim came to; False when another has it."""
    claim = settlement.claim
    message_id = await _lock(connection, claim)
    if message_id is None:
        return False
    await _set_recipients(connection, message_id, claim.destination, settlement.results)
    await _add_attempts(connection, message_id, settlement.attempts)
    await save_messages(connection, settlement.messages)
    await end_leases(connection, [(message_id, claim.destination)])
    await refresh_destinations(connection, [claim.destination])
    await finish_if_done(connection, [message_id], now)
    return True


async def finish_if_done(connection: Connection, message_ids: Collection[int], now: int) -> None:
    """Remove the octets of messages that wait nowhere. Their rows must be locked: of two nodes
    that settle the last two destinations of one, the second must see what the first did.
    """  # noqa: D205 - the second sentence is the rule
    rows = await connection.fetch(_FINISH, list(message_ids), now)
    finished = [row["message_id"] for row in rows]
    large = [row["body_id"] for row in rows if row["body_id"] is not None]
    if finished:
        sql = "DELETE FROM bodies WHERE message_id = ANY ($1::bigint[])"
        await connection.execute(sql, finished)
    if large:
        sql = "UPDATE messages SET body_id = NULL WHERE message_id = ANY ($1::bigint[])"
        await connection.execute(sql, finished)
        await remove_bodies(connection, large)


async def _lock(connection: Connection, claim: Claim) -> int | None:
    message_id = await connection.fetchval(_LOCK_MESSAGE, claim.queue_id)
    leased: int | None = await connection.fetchval(
        _LOCK_LEASED, message_id, claim.destination, claim.lease
    )
    return leased


async def _set_recipients(
    connection: Connection, message_id: int, destination: str, results: Sequence[RecipientResult]
) -> None:
    rows = [
        (
            result.number,
            result.state.value,
            _next_attempt(result),
            result.is_delay_notified,
            to_text(result.status),
            to_text(result.reply),
        )
        for result in results
    ]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(_SET_RECIPIENTS, message_id, destination, *columns)


def _next_attempt(result: RecipientResult) -> int | None:
    if result.state is not RecipientState.QUEUED:
        return None
    if result.next_attempt is None:
        raise ValueError("a recipient that stays queued needs its next attempt")
    return to_micros(result.next_attempt)


async def _add_attempts(
    connection: Connection, message_id: int, attempts: Sequence[AttemptRecord]
) -> None:
    rows = [
        (
            to_micros(attempt.started),
            to_duration(attempt.duration),
            to_text(attempt.relay),
            to_text(attempt.summary),
            to_json(attempt.story),
            to_json(attempt.recipients),
        )
        for attempt in attempts
    ]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(_ADD_ATTEMPTS, message_id, *columns)

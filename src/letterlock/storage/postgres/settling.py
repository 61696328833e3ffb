"""Settling a claim: recipients, attempts, the bounces it causes, and the message's end."""

from collections.abc import Collection, Sequence
from typing import Any

from letterlock.storage.postgres.bodies import remove_bodies
from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.due import end_leases, refresh_destinations
from letterlock.storage.postgres.saving import save_messages
from letterlock.storage.postgres.tls_sessions import add_sessions
from letterlock.storage.postgres.totals import add_totals
from letterlock.storage.queue import (
    AttemptRecord,
    Claim,
    RecipientResult,
    RecipientState,
    Settlement,
)
from letterlock.storage.records import to_duration, to_json, to_micros, to_text

_LOCK_MESSAGES = """
    SELECT message_id, queue_id FROM messages WHERE queue_id = ANY ($1::text[])
    ORDER BY message_id FOR UPDATE
"""
_LOCK_LEASED = """
    SELECT deliveries.message_id, deliveries.destination, deliveries.lease FROM deliveries
    JOIN unnest($1::bigint[], $2::text[], $3::text[]) AS claimed (message_id, destination, lease)
        USING (message_id, destination, lease)
    ORDER BY message_id, destination FOR UPDATE OF deliveries
"""
_SET_RECIPIENTS = """
    UPDATE recipients SET state = result.state, attempts = attempts + 1,
        next_attempt = result.next_attempt, is_delay_notified = result.is_delay_notified,
        last_status = result.status, last_reply = result.reply
    FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::bigint[], $6::boolean[],
            $7::text[], $8::text[])
        AS result (message_id, destination, number, state, next_attempt, is_delay_notified,
            status, reply)
    WHERE recipients.message_id = result.message_id
        AND recipients.destination = result.destination AND recipients.number = result.number
        AND recipients.state = 'queued'
    RETURNING recipients.state NOT IN ('queued', 'held') AS is_done
"""
_ADD_ATTEMPTS = """
    INSERT INTO attempts (message_id, started, duration, relay, summary, story, recipients)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[],
        $6::text[], $7::text[])
"""
_FINISH = """
    UPDATE messages SET finished = $2
    WHERE message_id = ANY ($1::bigint[]) AND finished IS NULL AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.message_id = messages.message_id)
    RETURNING message_id, body_id, size
"""


async def extend_lease(connection: Connection, claim: Claim, until: int) -> bool:
    """Move a lease's end; False when another has it."""
    (message_id,) = await _lock(connection, [claim])
    if message_id is None:
        return False
    await connection.execute(
        "UPDATE deliveries SET due = $3 WHERE message_id = $1 AND destination = $2",
        *(message_id, claim.destination, until),
    )
    await refresh_destinations(connection, [claim.destination])
    return True


async def settle_claims(
    connection: Connection, settlements: Sequence[tuple[Settlement, int]]
) -> list[bool]:
    """Save what claims came to, each with the moment it ended; False for one that another has.

    Many at once: those of one destination would else wait for each other's commits.
    """
    locked = await _lock(connection, [settlement.claim for settlement, _ in settlements])
    ours = [
        (message_id, settlement)
        for message_id, (settlement, _) in zip(locked, settlements, strict=True)
        if message_id is not None
    ]
    if ours:
        results = [_result_row(*each, result) for each in ours for result in each[1].results]
        changed = await _fetch(connection, _SET_RECIPIENTS, results)
        await add_totals(connection, 0, 0, -sum(row["is_done"] for row in changed))
        attempts = [_attempt_row(each[0], attempt) for each in ours for attempt in each[1].attempts]
        await _fetch(connection, _ADD_ATTEMPTS, attempts)
        await save_messages(connection, [new for _, each in ours for new in each.messages])
        ended = [(message_id, each.claim.destination) for message_id, each in ours]
        await end_leases(connection, ended)
        await refresh_destinations(connection, {destination for _, destination in ended})
        now = max(moment for _, moment in settlements)
        await finish_if_done(connection, [message_id for message_id, _ in ours], now)
        await add_sessions(
            connection,
            [
                (moment, settlement.sessions)
                for message_id, (settlement, moment) in zip(locked, settlements, strict=True)
                if message_id is not None and settlement.sessions
            ],
        )
    return [message_id is not None for message_id in locked]


async def finish_if_done(connection: Connection, message_ids: Collection[int], now: int) -> None:
    """Remove the octets of messages that wait nowhere. Their rows must be locked: of two nodes
    that settle the last two destinations of one, the second must see what the first did.
    """  # noqa: D205 - the second sentence is the rule
    rows = await connection.fetch(_FINISH, list(message_ids), now)
    finished = [row["message_id"] for row in rows]
    await add_totals(connection, -len(rows), -sum(row["size"] for row in rows), 0)
    large = [row["body_id"] for row in rows if row["body_id"] is not None]
    if finished:
        sql = "DELETE FROM bodies WHERE message_id = ANY ($1::bigint[])"
        await connection.execute(sql, finished)
    if large:
        sql = "UPDATE messages SET body_id = NULL WHERE message_id = ANY ($1::bigint[])"
        await connection.execute(sql, finished)
        await remove_bodies(connection, large)


async def _lock(connection: Connection, claims: Sequence[Claim]) -> list[int | None]:
    """Lock what was claimed, and give its messages; None where another has the lease."""
    rows = await connection.fetch(_LOCK_MESSAGES, [claim.queue_id for claim in claims])
    numbers = {row["queue_id"]: row["message_id"] for row in rows}
    keys = [(numbers.get(each.queue_id), each.destination, each.lease) for each in claims]
    columns = [list(column) for column in zip(*keys, strict=True)]
    leased = {tuple(row) for row in await connection.fetch(_LOCK_LEASED, *columns)}
    found: list[int | None] = []
    for key in keys:
        found.append(key[0] if key in leased else None)
        # The same claim once more in this batch is no longer ours.
        leased.discard(key)
    return found


async def _fetch(
    connection: Connection, sql: str, rows: Sequence[tuple[object, ...]]
) -> Sequence[Any]:
    if not rows:
        return ()
    found: Sequence[Any] = await connection.fetch(
        sql, *(list(column) for column in zip(*rows, strict=True))
    )
    return found


def _result_row(
    message_id: int, settlement: Settlement, result: RecipientResult
) -> tuple[object, ...]:
    return (
        message_id,
        settlement.claim.destination,
        result.number,
        result.state.value,
        _next_attempt(result),
        result.is_delay_notified,
        to_text(result.status),
        to_text(result.reply),
    )


def _next_attempt(result: RecipientResult) -> int | None:
    if result.state is not RecipientState.QUEUED:
        return None
    if result.next_attempt is None:
        raise ValueError("a recipient that stays queued needs its next attempt")
    return to_micros(result.next_attempt)


def _attempt_row(message_id: int, attempt: AttemptRecord) -> tuple[object, ...]:
    return (
        message_id,
        to_micros(attempt.started),
        to_duration(attempt.duration),
        to_text(attempt.relay),
        to_text(attempt.summary),
        to_json(attempt.story),
        to_json(attempt.recipients),
    )

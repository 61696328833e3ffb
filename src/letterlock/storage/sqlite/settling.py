"""Settling claims: recipients, attempts, the bounces it causes, and messages' ends."""

from collections.abc import Collection, Sequence

import apsw
from msgspec import Struct

from letterlock.storage.queue import (
    AttemptRecord,
    Claim,
    RecipientResult,
    RecipientState,
    Settlement,
)
from letterlock.storage.records import to_duration, to_json, to_micros, to_text
from letterlock.storage.sqlite.connection import Value
from letterlock.storage.sqlite.due import end_leases, refresh_destination
from letterlock.storage.sqlite.saving import save_messages
from letterlock.storage.sqlite.tls_sessions import add_sessions
from letterlock.storage.sqlite.transaction import Transaction, execute_rows

FIND_LEASED = """
    WITH claimed (place, queue_id, destination, lease) AS (VALUES {rows})
    SELECT place, message_id FROM claimed
    CROSS JOIN messages USING (queue_id)
    CROSS JOIN deliveries USING (message_id, destination)
    WHERE deliveries.lease = claimed.lease
"""
SET_RECIPIENTS = """
    WITH result (message_id, destination, number, state, next_attempt, is_delay_notified, status,
        reply) AS (VALUES {rows})
    UPDATE recipients SET state = result.state, attempts = attempts + 1,
        next_attempt = result.next_attempt, is_delay_notified = result.is_delay_notified,
        last_status = result.status, last_reply = result.reply
    FROM result WHERE recipients.message_id = result.message_id
        AND recipients.destination = result.destination AND recipients.number = result.number
        AND recipients.state = 'queued'
"""
_ADD_ATTEMPTS = """
    INSERT INTO attempts (message_id, started, duration, relay, summary, story, recipients)
    VALUES {rows}
"""
FIND_DONE = """
    SELECT message_id, body_file, size FROM messages
    WHERE message_id IN (VALUES {rows}) AND finished IS NULL AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.message_id = messages.message_id)
"""
FINISH = """
    UPDATE messages SET finished = ?, body_file = NULL WHERE message_id IN (VALUES {rows})
"""
REMOVE_BODIES = "DELETE FROM bodies WHERE message_id IN (VALUES {rows})"


class Settle(Struct, frozen=True):
    """The operation that settles a claim, at `now` in microseconds.

    The writer puts those of a batch together. It need not sync them: lost with the power, the same
    is delivered and settled again, which a power cut just before would have caused as well.
    """

    settlement: Settlement
    now: int

    def __call__(self, transaction: Transaction) -> bool:
        (is_ours,) = settle_claims(transaction, [self])
        return is_ours


def extend_lease(connection: apsw.Connection, claim: Claim, until: int) -> bool:
    """Move a lease's end; False when another has it."""
    (message_id,) = _find_leased(connection, [claim])
    if message_id is None:
        return False
    connection.execute(
        "UPDATE deliveries SET due = ? WHERE message_id = ? AND destination = ?",
        (until, message_id, claim.destination),
    )
    refresh_destination(connection, claim.destination)
    return True


def settle_claims(transaction: Transaction, settles: Sequence[Settle]) -> list[bool]:
    """Save what claims came to; False for one that another has."""
    connection = transaction.connection
    settlements = [each.settlement for each in settles]
    leased = _find_leased(connection, [each.claim for each in settlements])
    ours = [
        (message_id, settlement)
        for message_id, settlement in zip(leased, settlements, strict=True)
        if message_id is not None
    ]
    if ours:
        _set_recipients(transaction, ours)
        attempts = [_attempt_row(each[0], attempt) for each in ours for attempt in each[1].attempts]
        execute_rows(connection, _ADD_ATTEMPTS, attempts)
        notices = [message for _, settlement in ours for message in settlement.messages]
        if notices:
            save_messages(transaction, notices)
        ended = [(message_id, settlement.claim.destination) for message_id, settlement in ours]
        end_leases(connection, ended)
        transaction.touched.update(destination for _, destination in ended)
        counted = [
            (each.now, each.settlement.sessions)
            for each, message_id in zip(settles, leased, strict=True)
            if message_id is not None and each.settlement.sessions
        ]
        if counted:
            add_sessions(connection, counted)
        now = max(each.now for each in settles)
        finish_if_done(transaction, [message_id for message_id, _ in ours], now)
    return [message_id is not None for message_id in leased]


def finish_if_done(transaction: Transaction, message_ids: Collection[int], now: int) -> None:
    """Remove the octets of messages that wait nowhere; their stories stay."""
    connection = transaction.connection
    # Once each: two destinations of a message may end together.
    asked = [(message_id,) for message_id in dict.fromkeys(message_ids)]
    done = execute_rows(connection, FIND_DONE, asked)
    finished = [(message_id,) for message_id, _, _ in done]
    execute_rows(connection, FINISH, finished, now)
    kept = [(message_id,) for message_id, body_file, _ in done if body_file is None]
    execute_rows(connection, REMOVE_BODIES, kept)
    transaction.removed_files += (body_file for _, body_file, _ in done if body_file is not None)
    transaction.totals.messages -= len(done)
    transaction.totals.octets -= sum(size for _, _, size in done)


def _find_leased(connection: apsw.Connection, claims: Sequence[Claim]) -> list[int | None]:
    """Give the messages of claims; None for one that another has, or that is here twice."""
    keys = [(each.queue_id, each.destination, each.lease) for each in claims]
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    found: list[int | None] = [None] * len(keys)
    rows = [(place, *key) for key, place in first.items()]
    for place, message_id in execute_rows(connection, FIND_LEASED, rows):
        found[place] = message_id
    return found


def _set_recipients(transaction: Transaction, ours: Sequence[tuple[int, Settlement]]) -> None:
    connection = transaction.connection
    waiting: list[tuple[Value, ...]] = []
    done: list[tuple[Value, ...]] = []
    for message_id, settlement in ours:
        for result in settlement.results:
            row = _result_row(message_id, settlement.claim.destination, result)
            is_waiting = result.state in (RecipientState.QUEUED, RecipientState.HELD)
            (waiting if is_waiting else done).append(row)
    before = connection.total_changes()
    execute_rows(connection, SET_RECIPIENTS, done)
    transaction.totals.recipients -= connection.total_changes() - before
    execute_rows(connection, SET_RECIPIENTS, waiting)


def _result_row(message_id: int, destination: str, result: RecipientResult) -> tuple[Value, ...]:
    next_attempt = None
    if result.state is RecipientState.QUEUED:
        if result.next_attempt is None:
            raise ValueError("a recipient that stays queued needs its next attempt")
        next_attempt = to_micros(result.next_attempt)
    return (
        message_id,
        destination,
        result.number,
        result.state,
        next_attempt,
        result.is_delay_notified,
        to_text(result.status),
        to_text(result.reply),
    )


def _attempt_row(message_id: int, attempt: AttemptRecord) -> tuple[Value, ...]:
    return (
        message_id,
        to_micros(attempt.started),
        to_duration(attempt.duration),
        to_text(attempt.relay),
        to_text(attempt.summary),
        to_json(attempt.story),
        to_json(attempt.recipients),
    )

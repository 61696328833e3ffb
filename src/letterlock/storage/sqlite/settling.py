"""Settling a claim: recipients, attempts, the bounces it causes, and the message's end."""

from dataclasses import dataclass

import apsw

from letterlock.storage.queue import (
    AttemptRecord,
    Claim,
    RecipientResult,
    RecipientState,
    Settlement,
)
from letterlock.storage.records import to_duration, to_json, to_micros, to_text
from letterlock.storage.sqlite.connection import fetch_row, fetch_value
from letterlock.storage.sqlite.due import end_lease, refresh_destination
from letterlock.storage.sqlite.saving import save_messages
from letterlock.storage.sqlite.transaction import Transaction

_FIND_LEASED = """
    SELECT message_id FROM deliveries JOIN messages USING (message_id)
    WHERE messages.queue_id = ? AND deliveries.destination = ? AND deliveries.lease = ?
"""
_FIND_DONE = """
    SELECT body_file, size FROM messages WHERE message_id = ?1 AND finished IS NULL
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message_id = ?1)
"""
_SET_RECIPIENT = """
    UPDATE recipients SET state = ?, attempts = attempts + 1, next_attempt = ?,
        is_delay_notified = ?, last_status = ?, last_reply = ?
    WHERE message_id = ? AND destination = ? AND number = ? AND state = 'queued'
"""
_ADD_ATTEMPT = """
    INSERT INTO attempts (message_id, started, duration, relay, summary, story, recipients)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True)
class Settle:
    """The operation that settles a claim, at `now` in microseconds.

    The writer need not sync it: lost with the power, the same is delivered and settled again, which
    a power cut just before would have caused as well.
    """

    settlement: Settlement
    now: int

    def __call__(self, transaction: Transaction) -> bool:
        return settle_claim(transaction, self.settlement, self.now)


def extend_lease(connection: apsw.Connection, claim: Claim, until: int) -> bool:
    """Move a lease's end; False when another has it."""
    message_id = _find_leased(connection, claim)
    if message_id is None:
        return False
    connection.execute(
        "UPDATE deliveries SET due = ? WHERE message_id = ? AND destination = ?",
        (until, message_id, claim.destination),
    )
    refresh_destination(connection, claim.destination)
    return True


def settle_claim(transaction: Transaction, settlement: Settlement, now: int) -> bool:
    """Save what a claim came to; False when another has it."""
    connection, claim = transaction.connection, settlement.claim
    message_id = _find_leased(connection, claim)
    if message_id is None:
        return False
    for result in settlement.results:
        _set_recipient(transaction, message_id, claim.destination, result)
    for attempt in settlement.attempts:
        _add_attempt(connection, message_id, attempt)
    if settlement.messages:
        save_messages(transaction, settlement.messages)
    end_lease(connection, message_id, claim.destination)
    transaction.touched.add(claim.destination)
    finish_if_done(transaction, message_id, now)
    return True


def finish_if_done(transaction: Transaction, message_id: int, now: int) -> None:
    """Remove the octets of a message that waits nowhere; its story stays."""
    connection = transaction.connection
    done = fetch_row(connection, _FIND_DONE, (message_id,))
    if done is None:
        return
    body_file, size = done
    transaction.totals.messages -= 1
    transaction.totals.octets -= size
    connection.execute(
        "UPDATE messages SET finished = ?, body_file = NULL WHERE message_id = ?",
        (now, message_id),
    )
    if body_file is None:
        connection.execute("DELETE FROM bodies WHERE message_id = ?", (message_id,))
    else:
        transaction.removed_files.append(body_file)


def _find_leased(connection: apsw.Connection, claim: Claim) -> int | None:
    key = (claim.queue_id, claim.destination, claim.lease)
    message_id: int | None = fetch_value(connection, _FIND_LEASED, key)
    return message_id


def _set_recipient(
    transaction: Transaction, message_id: int, destination: str, result: RecipientResult
) -> None:
    next_attempt = None
    if result.state is RecipientState.QUEUED:
        if result.next_attempt is None:
            raise ValueError("a recipient that stays queued needs its next attempt")
        next_attempt = to_micros(result.next_attempt)
    row = (
        result.state.value,
        next_attempt,
        result.is_delay_notified,
        to_text(result.status),
        to_text(result.reply),
        message_id,
        destination,
        result.number,
    )
    transaction.connection.execute(_SET_RECIPIENT, row)
    if result.state not in (RecipientState.QUEUED, RecipientState.HELD):
        transaction.totals.recipients -= transaction.connection.changes()


def _add_attempt(connection: apsw.Connection, message_id: int, attempt: AttemptRecord) -> None:
    row = (
        message_id,
        to_micros(attempt.started),
        to_duration(attempt.duration),
        to_text(attempt.relay),
        to_text(attempt.summary),
        to_json(attempt.story),
        to_json(attempt.recipients),
    )
    connection.execute(_ADD_ATTEMPT, row)

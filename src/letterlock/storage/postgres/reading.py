"""Looking at the queue: lists, stories, counts, and when something is due."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.storage.postgres.connection import Connection
from letterlock.storage.queue import (
    AttemptRecord,
    MessageStory,
    QueuedMessage,
    QueuedRecipient,
    QueueId,
    RecipientState,
)
from letterlock.storage.records import (
    from_duration,
    from_micros,
    from_optional_micros,
    mapping_from_json,
    numbers_from_json,
    texts_from_json,
    to_micros,
)

_COLUMNS = """
    message_id, queue_id, sender, size, received, expires, hold, origin, finished, tls_demand
"""
_LIST_WAITING = f"""
    SELECT {_COLUMNS} FROM messages
    WHERE queue_id > $1 AND finished IS NULL ORDER BY queue_id LIMIT $2
"""  # noqa: S608 - put together from constants
_LIST_FINISHED = f"""
    SELECT {_COLUMNS} FROM messages
    WHERE queue_id > $1 AND finished IS NOT NULL ORDER BY queue_id LIMIT $2
"""  # noqa: S608 - put together from constants
_FIND_RECIPIENTS = """
    SELECT message_id, number, address, destination, state, attempts, next_attempt, last_status,
        last_reply, state = 'queued' AND lease IS NOT NULL AS is_claimed
    FROM recipients LEFT JOIN deliveries USING (message_id, destination)
    WHERE message_id = ANY ($1::bigint[]) ORDER BY message_id, number
"""
_FIND_ATTEMPTS = """
    SELECT started, duration, relay, summary, story, recipients FROM attempts
    WHERE message_id = $1 ORDER BY started, attempt_id
"""
_LIST_IDS = """
    SELECT queue_id FROM messages WHERE finished IS NULL AND queue_id > $1
    ORDER BY queue_id LIMIT $2
"""
_NEXT_DUE = """
    SELECT min(next_due) AS first, max(next_due) AS last FROM destinations
    WHERE next_due IS NOT NULL AND destination <> ALL ($1::text[])
"""
_COUNT = """
    WITH kept AS (
        SELECT coalesce(sum(messages), 0)::bigint AS messages,
            coalesce(sum(bytes), 0)::bigint AS bytes, coalesce(sum(waiting), 0)::bigint AS waiting
        FROM totals
    ), held AS (
        SELECT count(*) AS held FROM recipients WHERE state = 'held'
    ), claimed AS (
        SELECT count(*) AS claimed FROM deliveries JOIN recipients USING (message_id, destination)
        WHERE lease IS NOT NULL AND state = 'queued'
    )
    SELECT messages, bytes, waiting - held AS queued, held, claimed FROM kept, held, claimed
"""


async def list_messages(
    connection: Connection, limit: int, after: str, *, is_finished: bool
) -> list[QueuedMessage]:
    sql = _LIST_FINISHED if is_finished else _LIST_WAITING
    return await _messages(connection, await connection.fetch(sql, after, limit))


async def list_ids(connection: Connection, limit: int, after: str) -> list[QueueId]:
    """List the ids of messages that are not finished."""
    return [QueueId(row[0]) for row in await connection.fetch(_LIST_IDS, after, limit)]


async def find_story(connection: Connection, queue_id: QueueId) -> MessageStory | None:
    sql = f"SELECT {_COLUMNS} FROM messages WHERE queue_id = $1"  # noqa: S608 - as above
    rows = await connection.fetch(sql, queue_id)
    if not rows:
        return None
    (message,) = await _messages(connection, rows)
    attempts = await connection.fetch(_FIND_ATTEMPTS, rows[0]["message_id"])
    return MessageStory(message, tuple(_attempt(row) for row in attempts))


async def count(connection: Connection) -> Mapping[str, int]:
    return dict(await connection.fetchrow(_COUNT))


async def find_next_due(
    connection: Connection, now: datetime, horizon: datetime, saturated: Sequence[str]
) -> datetime | None:
    """As `QueueStore.next_due`; `now` when something lies past the horizon."""
    row = await connection.fetchrow(_NEXT_DUE, list(saturated))
    if row["first"] is None:
        return None
    first = from_micros(row["first"])
    return min(first, now) if row["last"] > to_micros(horizon) else first


async def _messages(connection: Connection, rows: Sequence[Any]) -> list[QueuedMessage]:
    found: defaultdict[int, list[QueuedRecipient]] = defaultdict(list)
    message_ids = [row["message_id"] for row in rows]
    for row in await connection.fetch(_FIND_RECIPIENTS, message_ids):
        found[row["message_id"]].append(_recipient(row))
    return [_message(row, found[row["message_id"]]) for row in rows]


def _message(row: Any, recipients: Sequence[QueuedRecipient]) -> QueuedMessage:
    return QueuedMessage(
        queue_id=QueueId(row["queue_id"]),
        sender=row["sender"],
        size=row["size"],
        received=from_micros(row["received"]),
        expires=from_micros(row["expires"]),
        hold=row["hold"],
        origin=texts_from_json(row["origin"]),
        recipients=tuple(recipients),
        finished=from_optional_micros(row["finished"]),
        tls_demand=TlsDemand(row["tls_demand"]),
    )


def _recipient(row: Any) -> QueuedRecipient:
    return QueuedRecipient(
        number=row["number"],
        address=row["address"],
        destination=row["destination"],
        state=RecipientState(row["state"]),
        attempts=row["attempts"],
        next_attempt=from_optional_micros(row["next_attempt"]),
        last_status=row["last_status"],
        last_reply=row["last_reply"],
        is_claimed=row["is_claimed"],
    )


def _attempt(row: Any) -> AttemptRecord:
    return AttemptRecord(
        started=from_micros(row["started"]),
        duration=from_duration(row["duration"]),
        relay=row["relay"],
        summary=row["summary"],
        story=mapping_from_json(row["story"]),
        recipients=numbers_from_json(row["recipients"]),
    )

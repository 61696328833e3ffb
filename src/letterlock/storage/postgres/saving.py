"""Storing messages, many in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from letterlock.storage.bodies import MemoryBody
from letterlock.storage.postgres.connection import Connection, is_duplicate, is_reference_error
from letterlock.storage.postgres.due import add_deliveries
from letterlock.storage.postgres.totals import add_totals
from letterlock.storage.queue import Body, NewMessage, RecipientState
from letterlock.storage.records import format_notify, to_json, to_micros

_NEXT_IDS = """
    SELECT nextval(pg_get_serial_sequence('messages', 'message_id')) FROM generate_series(1, $1)
"""
_ADD_MESSAGES = """
    INSERT INTO messages (message_id, queue_id, sender, body_type, smtputf8, ret, envid, size,
        body_id, received, expires, origin, hold, tls_demand)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::boolean[],
        $6::text[], $7::text[], $8::bigint[], $9::text[], $10::bigint[], $11::bigint[],
        $12::text[], $13::text[], $14::text[])
"""
_ADD_BODIES = """
    INSERT INTO bodies (message_id, content) SELECT * FROM unnest($1::bigint[], $2::bytea[])
"""
_ADD_RECIPIENTS = """
    INSERT INTO recipients (message_id, destination, number, address, notify, orcpt, state,
        next_attempt)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::text[],
        $6::text[], $7::text[], $8::bigint[])
"""


@dataclass(frozen=True, slots=True)
class PieceBody:
    """A body in rows of `body_pieces`, committed."""

    body_id: str
    size: int


async def save_messages(connection: Connection, messages: Sequence[NewMessage]) -> None:
    """Add messages. Raises ValueError for an id that is known, or a body that was discarded."""
    if not messages:
        return
    rows = await connection.fetch(_NEXT_IDS, len(messages))
    numbered = [(row[0], message) for row, message in zip(rows, messages, strict=True)]
    try:
        await _insert(connection, _ADD_MESSAGES, [_message_row(*each) for each in numbered])
    except Exception as error:
        if is_duplicate(error):
            raise ValueError("a message of this id is in the queue already") from error
        if is_reference_error(error):
            raise ValueError("the body was discarded before") from error
        raise
    bodies = [
        (message_id, message.body.content)
        for message_id, message in numbered
        if isinstance(message.body, MemoryBody)
    ]
    await _insert(connection, _ADD_BODIES, bodies)
    recipients = [row for each in numbered for row in _recipient_rows(*each)]
    await _insert(connection, _ADD_RECIPIENTS, recipients)
    deliveries = [
        (message_id, destination, _due(message))
        for message_id, message in numbered
        for destination in dict.fromkeys(message.destinations)
    ]
    await add_deliveries(connection, deliveries)
    octets = sum(message.body.size for message in messages)
    await add_totals(connection, len(messages), octets, len(recipients))


async def _insert(connection: Connection, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        await connection.execute(sql, *(list(column) for column in zip(*rows, strict=True)))


def _message_row(message_id: int, message: NewMessage) -> tuple[object, ...]:
    envelope = message.envelope
    return (
        message_id,
        message.queue_id,
        envelope.sender,
        envelope.body_type.value,
        envelope.smtputf8,
        envelope.ret.value if envelope.ret else None,
        envelope.envid,
        message.body.size,
        _body_id(message.body),
        to_micros(message.received),
        to_micros(message.expires),
        to_json(message.origin),
        message.hold,
        envelope.tls_demand.value,
    )


def _recipient_rows(message_id: int, message: NewMessage) -> list[tuple[object, ...]]:
    state = RecipientState.QUEUED if message.hold is None else RecipientState.HELD
    pairs = zip(message.envelope.recipients, message.destinations, strict=True)
    return [
        (
            message_id,
            destination,
            number,
            recipient.address,
            format_notify(recipient.notify),
            recipient.orcpt,
            state.value,
            _due(message),
        )
        for number, (recipient, destination) in enumerate(pairs)
    ]


def _due(message: NewMessage) -> int | None:
    return to_micros(message.received) if message.hold is None else None


def _body_id(body: Body) -> str | None:
    match body:
        case MemoryBody():
            return None
        case PieceBody(body_id=body_id):
            return body_id
        case _:
            raise ValueError("a body is saved with the store that wrote it")

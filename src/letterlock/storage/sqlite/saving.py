"""Storing a message: one row, its octets, its recipients, and when each destination is due."""

from collections.abc import Iterator, Sequence

import apsw
from msgspec import Struct

from letterlock.storage.bodies import FileBody, MemoryBody
from letterlock.storage.queue import Body, NewMessage, RecipientState
from letterlock.storage.records import format_notify, to_json, to_micros
from letterlock.storage.sqlite.connection import Value
from letterlock.storage.sqlite.due import add_deliveries
from letterlock.storage.sqlite.transaction import Transaction, execute_rows

_ADD_MESSAGE = """
    INSERT INTO messages (queue_id, sender, body_type, smtputf8, ret, envid, size, body_file,
        received, expires, origin, hold, tls_demand)
    VALUES {rows}
"""
_ADD_BODY = "INSERT INTO bodies (message_id, content) VALUES {rows}"
_ADD_RECIPIENT = """
    INSERT INTO recipients (message_id, destination, number, address, notify, orcpt, state,
        next_attempt)
    VALUES {rows}
"""


class Save(Struct, frozen=True):
    """The operation that saves one message; the writer puts those of a batch together."""

    message: NewMessage

    def __call__(self, transaction: Transaction) -> None:
        save_messages(transaction, [self.message])


def save_messages(transaction: Transaction, messages: Sequence[NewMessage]) -> None:
    """Add messages. Raises ValueError when the id of one is known already."""
    connection = transaction.connection
    try:
        execute_rows(connection, _ADD_MESSAGE, [_message_row(message) for message in messages])
    except apsw.ConstraintError as error:
        names = ", ".join(message.queue_id for message in messages)
        raise ValueError(f"{names}: in the queue already") from error
    # They were given the numbers up to this one. To ask for the next one before would be one more
    # statement, and with it one more turn at the interpreter's lock.
    last = connection.last_insert_rowid()
    numbered = list(enumerate(messages, last - len(messages) + 1))
    bodies = [
        (message_id, message.body.content)
        for message_id, message in numbered
        if isinstance(message.body, MemoryBody)
    ]
    execute_rows(connection, _ADD_BODY, bodies)
    recipients = [row for each in numbered for row in _recipient_rows(*each)]
    execute_rows(connection, _ADD_RECIPIENT, recipients)
    deliveries = [
        (message_id, destination, _due(message))
        for message_id, message in numbered
        for destination in dict.fromkeys(message.destinations)
    ]
    add_deliveries(connection, deliveries)
    totals = transaction.totals
    totals.messages += len(messages)
    totals.octets += sum(message.body.size for message in messages)
    totals.recipients += len(recipients)


def _message_row(message: NewMessage) -> tuple[Value, ...]:
    envelope = message.envelope
    return (
        message.queue_id,
        envelope.sender,
        envelope.body_type,
        envelope.smtputf8,
        envelope.ret,
        envelope.envid,
        message.body.size,
        _file_name(message.body),
        to_micros(message.received),
        to_micros(message.expires),
        to_json(message.origin),
        message.hold,
        envelope.tls_demand,
    )


def _recipient_rows(message_id: int, message: NewMessage) -> Iterator[tuple[Value, ...]]:
    state = RecipientState.QUEUED if message.hold is None else RecipientState.HELD
    pairs = zip(message.envelope.recipients, message.destinations, strict=True)
    for number, (recipient, destination) in enumerate(pairs):
        yield (
            message_id,
            destination,
            number,
            recipient.address,
            format_notify(recipient.notify),
            recipient.orcpt,
            state,
            _due(message),
        )


def _due(message: NewMessage) -> int | None:
    return to_micros(message.received) if message.hold is None else None


def _file_name(body: Body) -> str | None:
    match body:
        case MemoryBody():
            return None
        case FileBody(name=name):
            return name
        case _:
            raise ValueError("a body is saved with the store that wrote it")

"""Storing a message: one row, its octets, its recipients, and when each destination is due."""

import apsw

from letterlock.storage.bodies import FileBody, MemoryBody
from letterlock.storage.queue import NewMessage, RecipientState
from letterlock.storage.records import format_notify, to_json, to_micros
from letterlock.storage.sqlite.due import add_delivery

_ADD_MESSAGE = """
    INSERT INTO messages (queue_id, sender, body_type, smtputf8, ret, envid, size, body_file,
        received, expires, origin, hold)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD_RECIPIENT = """
    INSERT INTO recipients (message_id, destination, number, address, notify, orcpt, state,
        next_attempt)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


def save_message(connection: apsw.Connection, message: NewMessage) -> None:
    """Add a message. Raises ValueError when its id is known already."""
    due = to_micros(message.received) if message.hold is None else None
    message_id = _add_message(connection, message)
    if isinstance(message.body, MemoryBody):
        connection.execute(
            "INSERT INTO bodies (message_id, content) VALUES (?, ?)",
            (message_id, message.body.content),
        )
    state = RecipientState.QUEUED if message.hold is None else RecipientState.HELD
    pairs = zip(message.envelope.recipients, message.destinations, strict=True)
    for number, (recipient, destination) in enumerate(pairs):
        notify = format_notify(recipient.notify)
        row = (destination, number, recipient.address, notify, recipient.orcpt, state.value, due)
        connection.execute(_ADD_RECIPIENT, (message_id, *row))
    for destination in dict.fromkeys(message.destinations):
        add_delivery(connection, message_id, destination, due)


def _add_message(connection: apsw.Connection, message: NewMessage) -> int:
    envelope = message.envelope
    row = (
        message.queue_id,
        envelope.sender,
        envelope.body_type.value,
        envelope.smtputf8,
        envelope.ret.value if envelope.ret else None,
        envelope.envid,
        message.body.size,
        _file_name(message),
        to_micros(message.received),
        to_micros(message.expires),
        to_json(message.origin),
        message.hold,
    )
    try:
        connection.execute(_ADD_MESSAGE, row)
    except apsw.ConstraintError as error:
        raise ValueError(f"{message.queue_id} is in the queue already") from error
    return connection.last_insert_rowid()


def _file_name(message: NewMessage) -> str | None:
    match message.body:
        case MemoryBody():
            return None
        case FileBody(name=name):
            return name
        case _:
            raise ValueError("a body is saved with the store that wrote it")

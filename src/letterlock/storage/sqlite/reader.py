"""Looking into a queue's file without changing it: for the engine, and for commands beside a node.

Works while the owner writes and never holds it up. No asyncio here: `letterlock queue list` starts
without it.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import apsw
import msgspec

from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.storage.queue import (
    AttemptRecord,
    BodyGone,
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
from letterlock.storage.sqlite.connection import (
    connect_reader,
    fetch_row,
    fetch_rows,
    fetch_value,
    is_broken,
    translate,
)
from letterlock.storage.sqlite.owner import require_known

_COLUMNS = """
    message_id, queue_id, sender, size, received, expires, hold, origin, finished, {tls_demand}
"""
_LIST_WAITING = f"""
    SELECT {_COLUMNS} FROM messages INDEXED BY messages_waiting
    WHERE finished IS NULL AND queue_id > ? ORDER BY queue_id LIMIT ?
"""  # noqa: S608 - put together from constants
_LIST_IDS = """
    SELECT queue_id FROM messages INDEXED BY messages_waiting
    WHERE finished IS NULL AND queue_id > ? ORDER BY queue_id LIMIT ?
"""
_LIST_FINISHED = f"""
    SELECT {_COLUMNS} FROM messages
    WHERE finished IS NOT NULL AND queue_id > ? ORDER BY queue_id LIMIT ?
"""  # noqa: S608 - put together from constants
_HAS_TLS_DEMAND = "SELECT 1 FROM pragma_table_info('messages') WHERE name = 'tls_demand'"
_FIND_MESSAGE = f"SELECT {_COLUMNS} FROM messages WHERE queue_id = ?"  # noqa: S608 - as above
_FIND_RECIPIENTS = """
    SELECT recipients.message_id, number, address, recipients.destination, state, attempts,
        next_attempt, last_status, last_reply, state = 'queued' AND lease IS NOT NULL
    FROM json_each(?) AS wanted CROSS JOIN recipients ON recipients.message_id = wanted.value
        LEFT JOIN deliveries USING (message_id, destination)
    ORDER BY recipients.message_id, number
"""
_FIND_ATTEMPTS = """
    SELECT started, duration, relay, summary, story, recipients FROM attempts
    WHERE message_id = ? ORDER BY started, attempt_id
"""
_FIND_BODY = """
    SELECT body_file, content FROM messages LEFT JOIN bodies USING (message_id)
    WHERE queue_id = ? AND finished IS NULL
"""
_NEXT_DUE = """
    SELECT next_due FROM destinations WHERE destination NOT IN (SELECT value FROM json_each(?))
    ORDER BY next_due {order} LIMIT 1
"""
_COUNT_ANEW = """
    SELECT count(*) AS messages, coalesce(sum(size), 0) AS bytes,
        (SELECT count(*) FROM deliveries JOIN recipients USING (message_id, destination)
            WHERE state IN ('queued', 'held')) AS waiting
    FROM messages INDEXED BY messages_waiting WHERE finished IS NULL
"""
"""As `totals` has it, in a file that an older release owns."""
_COUNT = """
    SELECT messages, bytes, waiting - held, held, claimed FROM ({kept}),
        (SELECT count(*) AS held FROM recipients WHERE state = 'held'),
        (SELECT count(*) AS claimed FROM deliveries INDEXED BY deliveries_leased
            JOIN recipients USING (message_id, destination)
            WHERE lease IS NOT NULL AND state = 'queued')
"""

_COUNTED = ("messages", "bytes", "queued", "held", "claimed")

T = TypeVar("T")


class SqliteQueueReader:
    """A queue's file, read only. One thread at a time; each call sees one moment of the queue.

    One whose owner is just about to make it is empty. Its methods raise StoreUnavailable when there
    is no such file, or none that can be read, as a newer release changed it beyond us.
    """

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        self._path = path
        self._vfs = vfs
        self._connection: apsw.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # As the last one to close it would checkpoint, and fails: nothing was to be written.
            with contextlib.suppress(apsw.Error):
                connection.close(force=True)

    def list_messages(
        self, *, limit: int = 1000, after: QueueId | None = None, is_finished: bool = False
    ) -> list[QueuedMessage]:
        """As `QueueStore.list_messages`."""
        sql = _LIST_FINISHED if is_finished else _LIST_WAITING
        return self._read(
            lambda connection: _messages(
                connection,
                fetch_rows(connection, _fit(connection, sql), (after or "", limit)),
            ),
            [],
        )

    def list_ids(self, limit: int, after: QueueId | None) -> list[QueueId]:
        """List the ids of messages that are not finished."""
        return self._read(
            lambda connection: [
                QueueId(queue_id)
                for (queue_id,) in fetch_rows(connection, _LIST_IDS, (after or "", limit))
            ],
            [],
        )

    def find_story(self, queue_id: QueueId) -> MessageStory | None:
        """As `QueueStore.find_story`."""
        return self._read(lambda connection: _find_story(connection, queue_id), None)

    def count(self) -> Mapping[str, int]:
        """As `QueueStore.count`."""
        return self._read(_count, dict.fromkeys(_COUNTED, 0))

    def next_due(
        self, now: datetime, horizon: datetime, saturated: Sequence[str]
    ) -> datetime | None:
        """As `QueueStore.next_due`; `now` when something lies past the horizon."""
        names = msgspec.json.encode(list(saturated)).decode()
        none: list[Any] = [None, None]
        first, last = self._read(
            lambda connection: [
                fetch_value(connection, _NEXT_DUE.format(order=order), (names,))
                for order in ("ASC", "DESC")
            ],
            none,
        )
        if first is None:
            return None
        return min(from_micros(first), now) if last > to_micros(horizon) else from_micros(first)

    def find_body(self, queue_id: QueueId) -> bytes | str:
        """Give a message's octets, or the name of the file that has them. Raises BodyGone."""
        row = self._read(lambda connection: fetch_row(connection, _FIND_BODY, (queue_id,)), None)
        if row is None:
            raise BodyGone(f"{queue_id} is not in the queue")
        found: bytes | str = row[0] if row[1] is None else row[1]
        return found

    def _connect(self) -> apsw.Connection:
        connection = connect_reader(self._path, self._vfs)
        try:
            require_known(connection, self._path)
        except BaseException:
            connection.close(force=True)
            raise
        return connection

    def _read(self, work: Callable[[apsw.Connection], T], empty: T) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.execute("BEGIN")
            try:
                return work(self._connection)
            except apsw.SQLError:
                # The file is there before its tables; a moment later these may be there too.
                is_made = self._connection.table_exists("main", "messages")
                return work(self._connection) if is_made else empty
            finally:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            if is_broken(error):
                self.close()
            raise translate(error, self._path) from error


def _fit(connection: apsw.Connection, sql: str) -> str:
    """Fit a query to the file: one that was last opened by an older release lacks a column."""
    is_there = fetch_value(connection, _HAS_TLS_DEMAND)
    return sql.format(tls_demand="tls_demand" if is_there else "'normal'")


def _messages(connection: apsw.Connection, rows: Sequence[Sequence[Any]]) -> list[QueuedMessage]:
    found: defaultdict[int, list[QueuedRecipient]] = defaultdict(list)
    numbers = msgspec.json.encode([row[0] for row in rows]).decode()
    for message_id, *recipient in connection.execute(_FIND_RECIPIENTS, (numbers,)):
        found[message_id].append(_recipient(recipient))
    return [_message(row, found[row[0]]) for row in rows]


def _message(row: Sequence[Any], recipients: Sequence[QueuedRecipient]) -> QueuedMessage:
    _, queue_id, sender, size, received, expires, hold, origin, finished, demand = row
    return QueuedMessage(
        queue_id=QueueId(queue_id),
        sender=sender,
        size=size,
        received=from_micros(received),
        expires=from_micros(expires),
        hold=hold,
        origin=texts_from_json(origin),
        recipients=tuple(recipients),
        finished=from_optional_micros(finished),
        tls_demand=TlsDemand(demand),
    )


def _recipient(row: Sequence[Any]) -> QueuedRecipient:
    number, address, destination, state, attempts, next_attempt, status, reply, claimed = row
    return QueuedRecipient(
        number=number,
        address=address,
        destination=destination,
        state=RecipientState(state),
        attempts=attempts,
        next_attempt=from_optional_micros(next_attempt),
        last_status=status,
        last_reply=reply,
        is_claimed=bool(claimed),
    )


def _find_story(connection: apsw.Connection, queue_id: QueueId) -> MessageStory | None:
    row = fetch_row(connection, _fit(connection, _FIND_MESSAGE), (queue_id,))
    if row is None:
        return None
    attempts = tuple(_attempt(each) for each in fetch_rows(connection, _FIND_ATTEMPTS, (row[0],)))
    (message,) = _messages(connection, [row])
    return MessageStory(message, attempts)


def _attempt(row: Sequence[Any]) -> AttemptRecord:
    started, duration, relay, summary, story, recipients = row
    return AttemptRecord(
        started=from_micros(started),
        duration=from_duration(duration),
        relay=relay,
        summary=summary,
        story=mapping_from_json(story),
        recipients=numbers_from_json(recipients),
    )


def _count(connection: apsw.Connection) -> Mapping[str, int]:
    is_kept = connection.table_exists("main", "totals")
    sql = _COUNT.format(kept="SELECT * FROM totals" if is_kept else _COUNT_ANEW)
    return dict(zip(_COUNTED, fetch_row(connection, sql) or (), strict=True))

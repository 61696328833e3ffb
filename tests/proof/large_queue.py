"""Queues with many messages, made quickly: by the engines' own statements, without their syncs."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types

from letterlock.base.clock import SystemClock
from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.storage.bodies import MemoryBody
from letterlock.storage.ids import QueueIds
from letterlock.storage.postgres import saving as postgres_saving
from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.queue import NewMessage
from letterlock.storage.sqlite.connection import connect_writer
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.sqlite.saving import save_messages
from letterlock.storage.sqlite.transaction import Transaction

CLOCK = SystemClock()
IDS = QueueIds(CLOCK)
CONTENT = b"Received: by mx1\r\nSubject: a\r\n\r\n" + b"as good as any other line\r\n" * 38
"""1 KiB: the octets lie apart from all that is looked through."""
AT_ONCE = 1000
LIFETIME = timedelta(days=5)


def make_message(destination: str, due_in: timedelta = timedelta()) -> NewMessage:
    """Make a message that is due after a while: as one that was deferred."""
    now = CLOCK.now()
    return NewMessage(
        queue_id=IDS.make(),
        envelope=Envelope("alice@example.org", (Recipient(f"bob@{destination}"),)),
        destinations=(destination,),
        body=MemoryBody(CONTENT),
        received=now + due_in,
        expires=now + LIFETIME,
        origin={"client": "mail.example.net[192.0.2.1]", "helo": "mail.example.net", "tls": ""},
    )


def make_deferred(messages: int, destinations: int, seed: int = 1) -> Iterator[list[NewMessage]]:
    """Make messages that wait for an hour or two, in batches."""
    chance = random.Random(seed)
    for start in range(0, messages, AT_ONCE):
        yield [
            make_message(
                f"d{chance.randrange(destinations)}.example",
                timedelta(hours=1 + chance.random()),
            )
            for _ in range(min(AT_ONCE, messages - start))
        ]


async def fill_sqlite(path: Path, batches: Iterator[list[NewMessage]]) -> None:
    """Make a shard that holds messages."""
    queue = SqliteQueue(path, CLOCK)
    await queue.open()
    await queue.close()
    connection = connect_writer(path)
    connection.pragma("synchronous", "off")
    connection.pragma("wal_autocheckpoint", 10_000)
    for batch in batches:
        with connection:
            transaction = Transaction(connection)
            save_messages(transaction, batch)
            transaction.save_totals()
    connection.close()


async def fill_postgres(dsn: str, batches: Iterator[list[NewMessage]]) -> None:
    """Fill a schema's queue."""
    queue = PostgresQueue(dsn, "filling", CLOCK)
    await queue.open()
    await queue.close()
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET synchronous_commit = off")
    for batch in batches:
        async with connection.transaction():
            await postgres_saving.save_messages(connection, batch)
    # What autovacuum would have done meanwhile.
    await connection.execute("VACUUM ANALYZE")
    await connection.close()

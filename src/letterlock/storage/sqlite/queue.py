"""The queue in one SQLite file, owned by one process: a shard.

Changes go to the writer thread, looking goes through a second connection in a thread of its own.
Bodies over SPILL_BYTES are files in `bodies/<shard>/` beside it.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import apsw

from letterlock.base.clock import Clock
from letterlock.storage.bodies import PIECE_BYTES, BodyFolder, FileBody, Saving, SpillingWriter
from letterlock.storage.queue import (
    BodyWriter,
    Claim,
    MessageStory,
    NewMessage,
    QueuedMessage,
    QueueId,
    Settlement,
    StoreUnavailable,
)
from letterlock.storage.records import to_micros
from letterlock.storage.schedule import CHANGED_AT_ONCE, DEFAULT_HORIZON, ClaimOrder
from letterlock.storage.sqlite import changing
from letterlock.storage.sqlite.claiming import ClaimDue
from letterlock.storage.sqlite.connection import translate
from letterlock.storage.sqlite.due import forget_turns
from letterlock.storage.sqlite.owner import OwnerLock, make_private, migrate
from letterlock.storage.sqlite.reader import SqliteQueueReader
from letterlock.storage.sqlite.recent import RecentBodies
from letterlock.storage.sqlite.saving import Save
from letterlock.storage.sqlite.settling import Settle, extend_lease
from letterlock.storage.sqlite.tls_sessions import forget_sessions
from letterlock.storage.sqlite.transaction import Operation, Transaction
from letterlock.storage.sqlite.writer import CommitUncertain, Writer

SPACE_SECONDS = 0.02
"""How long what the disk has free is taken to be so, unless much is saved meanwhile."""
DEFAULT_RESERVE_BYTES = 64 * 1024 * 1024
T = TypeVar("T")


class SqliteQueue:
    """Fulfils `storage.queue.QueueStore`.

    `path` is the shard's file; `horizon` is longer than any message lives (see QueueStore).
    New mail is refused as "full" while the disk has less than `reserve_bytes` free, so that what is
    in the queue can still be settled and leave it. `vfs` names a SQLite VFS, for tests.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        horizon: timedelta = DEFAULT_HORIZON,
        reserve_bytes: int = DEFAULT_RESERVE_BYTES,
        random_name: Callable[[], str] = lambda: secrets.token_hex(12),
        vfs: str | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._horizon = horizon
        self._reserve_bytes = reserve_bytes
        self._random_name = random_name
        self._vfs = vfs
        self._lock = OwnerLock(path.with_name(path.name + ".lock"))
        self._bodies = BodyFolder(path.parent / "bodies" / path.stem, random_name)
        self._reader = SqliteQueueReader(path, vfs=vfs)
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="queue-reader")
        self._writer: Writer | None = None
        self._latest_claim: datetime | None = None
        self._recent = RecentBodies()
        self._space_checked = float("-inf")
        self._saved_since = 0

    async def open(self) -> None:
        writer = Writer(self._path, self._bodies.remove, self._clock, vfs=self._vfs)
        await asyncio.to_thread(self._open, writer)
        self._writer = writer

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.finish()
            await asyncio.to_thread(self._close, writer)

    def write_body(self) -> BodyWriter:
        self._require_writer()
        return SpillingWriter(self._bodies.begin_spill)

    async def save(self, message: NewMessage) -> None:
        self._require_space(message.body.size)
        await self._submit(Save(message), (message,))
        self._recent.keep(message)

    async def claim(
        self,
        now: datetime,
        *,
        limit: int,
        lease: timedelta,
        saturated: Sequence[str] = (),
    ) -> list[Claim]:
        is_set_back = self._latest_claim is not None and now < self._latest_claim
        self._latest_claim = now
        order = ClaimOrder(
            now=now,
            horizon=now + self._horizon,
            limit=limit,
            lease=self._random_name(),
            lease_until=now + lease,
            saturated=tuple(saturated),
            is_clock_set_back=is_set_back,
        )
        return await self._submit(ClaimDue(order))

    async def extend(self, claim: Claim, until: datetime) -> bool:
        micros = to_micros(until)
        return await self._submit(
            lambda transaction: extend_lease(transaction.connection, claim, micros)
        )

    async def settle(self, settlement: Settlement) -> bool:
        self._recent.forget(settlement.claim.queue_id)
        now = to_micros(settlement.settled or self._clock.now())
        return await self._submit(Settle(settlement, now), settlement.messages)

    async def read_body(self, queue_id: QueueId) -> AsyncGenerator[bytes, None]:
        found: bytes | str | None = self._recent.find(queue_id)
        if found is None:
            found = await self._read(lambda: self._reader.find_body(queue_id))
        if isinstance(found, bytes):
            for start in range(0, len(found), PIECE_BYTES):
                yield found[start : start + PIECE_BYTES]
            return
        # Closed with us: else it would keep its file open until somebody collects garbage.
        async with aclosing(self._bodies.read(found)) as pieces:
            async for piece in pieces:
                yield piece

    async def next_due(self, *, saturated: Sequence[str] = ()) -> datetime | None:
        now = self._clock.now()
        return await self._read(
            lambda: self._reader.next_due(now, now + self._horizon, tuple(saturated))
        )

    async def list_messages(
        self,
        *,
        limit: int = 1000,
        after: QueueId | None = None,
        is_finished: bool = False,
    ) -> list[QueuedMessage]:
        return await self._read(
            lambda: self._reader.list_messages(limit=limit, after=after, is_finished=is_finished)
        )

    async def find_story(self, queue_id: QueueId) -> MessageStory | None:
        return await self._read(lambda: self._reader.find_story(queue_id))

    async def hold(self, queue_ids: Sequence[QueueId] | None, reason: str) -> int:
        return await self._change(
            queue_ids,
            lambda transaction, queue_ids: changing.hold_messages(
                transaction.connection, queue_ids, reason
            ),
        )

    async def release(self, queue_ids: Sequence[QueueId] | None, now: datetime) -> int:
        micros = to_micros(now)
        return await self._change(
            queue_ids,
            lambda transaction, queue_ids: changing.release_messages(
                transaction.connection, queue_ids, micros
            ),
        )

    async def retry(self, queue_ids: Sequence[QueueId] | None, now: datetime) -> int:
        micros = to_micros(now)
        return await self._change(
            queue_ids,
            lambda transaction, queue_ids: changing.retry_messages(
                transaction.connection, queue_ids, micros
            ),
        )

    async def delete(self, queue_ids: Sequence[QueueId] | None, now: datetime) -> int:
        micros = to_micros(now)
        try:
            return await self._change(
                queue_ids,
                lambda transaction, queue_ids: changing.delete_messages(
                    transaction, queue_ids, micros
                ),
            )
        finally:
            self._recent.clear()

    async def forget_stories(self, before: datetime) -> int:
        micros = to_micros(before)
        forgotten = 0
        while True:
            count = await self._submit(
                lambda transaction: changing.forget_finished(
                    transaction.connection, micros, CHANGED_AT_ONCE
                )
            )
            forgotten += count
            if count < CHANGED_AT_ONCE:
                return forgotten

    async def forget_sessions(self, before: date) -> int:
        return await self._submit(
            lambda transaction: forget_sessions(transaction.connection, before)
        )

    async def free_abandoned(self) -> int:
        # A file has one owner, and `open` has freed what the one before had claimed.
        return 0

    async def count(self) -> Mapping[str, int]:
        return await self._read(self._reader.count)

    def _open(self, writer: Writer) -> None:
        self._lock.take()
        try:
            make_private(self._path)
            writer.start(self._prepare)
        except apsw.Error as error:
            self._lock.release()
            raise translate(error, self._path) from error
        except BaseException:
            self._lock.release()
            raise

    def _prepare(self, connection: apsw.Connection) -> None:
        now = to_micros(self._clock.now())
        migrate(connection, self._path, now)
        with connection:
            changing.free_leases(connection)
            forget_turns(connection, now)
        self._bodies.sweep(lambda name: _is_named(connection, name))

    def _close(self, writer: Writer) -> None:
        # The reader first: closed last, a connection checkpoints, which this one may not.
        self._reading.submit(self._reader.close).result()
        self._reading.shutdown()
        writer.close()
        self._bodies.close()
        self._lock.release()

    def _require_writer(self) -> Writer:
        if self._writer is None:
            raise StoreUnavailable("the store is not open")
        return self._writer

    def _require_space(self, octets: int) -> None:
        """Look at the disk now and then, and whenever a part of the reserve may have been used."""
        now = self._clock.monotonic()
        self._saved_since += octets
        is_known = now < self._space_checked + SPACE_SECONDS
        if is_known and self._saved_since <= self._reserve_bytes // 64:
            return
        try:
            space = os.statvfs(self._path.parent)
        except OSError as error:
            raise StoreUnavailable(f"{self._path.parent}: {error.strerror}") from error
        if space.f_bavail * space.f_frsize < self._reserve_bytes:
            raise StoreUnavailable(
                f"{self._path.parent}: less than {self._reserve_bytes} bytes are free", is_full=True
            )
        self._space_checked, self._saved_since = now, 0

    async def _submit(self, operation: Operation[T], messages: Sequence[NewMessage] = ()) -> T:
        """Wait for the commit that holds an operation. Cancelled, the operation still happens."""
        future = self._require_writer().submit(operation)
        names = [each.body.name for each in messages if isinstance(each.body, FileBody)]
        if not names:
            # Cancelled, the future is done: the writer looks for that before it sets a result.
            return await future
        for name in names:
            self._bodies.begin_save(name)
        future.add_done_callback(lambda done: self._end_saves(names, done))
        return await asyncio.shield(future)

    def _end_saves(self, names: list[str], done: "asyncio.Future[T]") -> None:
        error = done.exception()
        how = Saving.ROLLED_BACK
        if error is None and done.result() is not False:
            how = Saving.DONE
        elif isinstance(error, CommitUncertain):
            how = Saving.UNCERTAIN
        for name in names:
            self._bodies.end_save(name, how)
        if how is Saving.DONE:
            self._settle_doubts()

    def _settle_doubts(self) -> None:
        """Look whether files whose commit failed are named: a later commit succeeded."""
        doubtful = self._bodies.find_doubtful()
        if doubtful and self._writer is not None:
            checked = self._writer.submit(lambda transaction: _find_named(transaction, doubtful))
            checked.add_done_callback(lambda done: self._end_doubts(doubtful, done))

    def _end_doubts(self, doubtful: list[str], done: "asyncio.Future[set[str]]") -> None:
        if done.exception() is None:
            for name in doubtful:
                self._bodies.end_doubt(name, is_named=name in done.result())

    async def _read(self, work: Callable[[], T]) -> T:
        self._require_writer()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reading, work)

    async def _change(
        self,
        queue_ids: Sequence[QueueId] | None,
        change: "_Change",
    ) -> int:
        changed = 0
        async for chunk in self._chunks(queue_ids):
            changed += await self._submit(partial(change, queue_ids=chunk))
        return changed

    async def _chunks(
        self, queue_ids: Sequence[QueueId] | None
    ) -> AsyncIterator[Sequence[QueueId]]:
        if queue_ids is not None:
            unique = list(dict.fromkeys(queue_ids))
            for start in range(0, len(unique), CHANGED_AT_ONCE):
                yield unique[start : start + CHANGED_AT_ONCE]
            return
        after: QueueId | None = None
        while chunk := await self._read(partial(self._reader.list_ids, CHANGED_AT_ONCE, after)):
            yield chunk
            after = chunk[-1]


class _Change(Protocol):
    def __call__(self, transaction: Transaction, queue_ids: Sequence[str]) -> int: ...


def _is_named(connection: apsw.Connection, name: str) -> bool:
    sql = "SELECT 1 FROM messages WHERE body_file = ?"
    return connection.execute(sql, (name,)).fetchone() is not None


def _find_named(transaction: Transaction, names: Sequence[str]) -> set[str]:
    return {name for name in names if _is_named(transaction.connection, name)}

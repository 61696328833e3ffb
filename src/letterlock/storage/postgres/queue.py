"""The queue in PostgreSQL: many nodes share one, each claims what others have not.

Saves, and settlements, are committed in groups; every other change in a transaction of its own.
"""

import asyncio
import secrets
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from datetime import date, datetime, timedelta
from functools import partial

from letterlock.base.clock import Clock
from letterlock.storage.bodies import SpillingWriter
from letterlock.storage.postgres import changing, reading, totals
from letterlock.storage.postgres.bodies import PieceSpill, read_body, sweep
from letterlock.storage.postgres.claiming import claim_due
from letterlock.storage.postgres.connection import Connection, Database
from letterlock.storage.postgres.group import Group
from letterlock.storage.postgres.owners import Owners
from letterlock.storage.postgres.saving import save_messages
from letterlock.storage.postgres.settling import extend_lease, settle_claims
from letterlock.storage.postgres.tls_sessions import forget_sessions
from letterlock.storage.queue import (
    BodyWriter,
    Claim,
    MessageStory,
    NewMessage,
    QueuedMessage,
    QueueId,
    Settlement,
)
from letterlock.storage.records import to_micros
from letterlock.storage.schedule import CHANGED_AT_ONCE, DEFAULT_HORIZON, ClaimOrder


class PostgresQueue:
    """Fulfils `storage.queue.QueueStore`.

    `node` names this process among all that share the database: its leases are free when another
    process opens the queue under the same name after this one's end. `horizon`: see QueueStore.
    """

    def __init__(
        self,
        dsn: str,
        node: str,
        clock: Clock,
        *,
        horizon: timedelta = DEFAULT_HORIZON,
        random_name: Callable[[], str] = lambda: secrets.token_hex(12),
    ) -> None:
        self._node = node
        self._clock = clock
        self._horizon = horizon
        self._random_name = random_name
        self._database = Database(dsn, node)
        self._owners = Owners(self._database, node, clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._saves = Group(self._save_all, self._begin)
        self._settlements = Group(self._settle_all, self._begin)
        self._latest_claim: datetime | None = None

    async def open(self) -> None:
        is_alone = await self._database.open(to_micros(self._clock.now()))
        try:
            await self._database.run(partial(sweep, node=self._node, is_alone=is_alone))
            if is_alone:
                await self._database.run(partial(changing.free_leases, node=self._node))
        except BaseException:
            await self._database.close()
            raise

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._database.close()

    def write_body(self) -> BodyWriter:
        self._database.require_open()
        return SpillingWriter(
            lambda: PieceSpill(self._database, self._node, self._random_name(), self._begin)
        )

    async def save(self, message: NewMessage) -> None:
        self._database.require_open()
        await self._saves.add(message)

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
            lease=f"{self._node}/{self._random_name()}",
            lease_until=now + lease,
            saturated=tuple(saturated),
            is_clock_set_back=is_set_back,
        )
        return await self._database.run(lambda connection: claim_due(connection, order))

    async def extend(self, claim: Claim, until: datetime) -> bool:
        micros = to_micros(until)
        return await self._database.run(lambda connection: extend_lease(connection, claim, micros))

    async def settle(self, settlement: Settlement) -> bool:
        now = to_micros(settlement.settled or self._clock.now())
        self._database.require_open()
        return await self._settlements.add((settlement, now))

    def read_body(self, queue_id: QueueId) -> AsyncGenerator[bytes, None]:
        return read_body(self._database, queue_id)

    async def next_due(self, *, saturated: Sequence[str] = ()) -> datetime | None:
        now = self._clock.now()
        return await self._database.run(
            lambda connection: reading.find_next_due(
                connection, now, now + self._horizon, saturated
            )
        )

    async def list_messages(
        self,
        *,
        limit: int = 1000,
        after: QueueId | None = None,
        is_finished: bool = False,
    ) -> list[QueuedMessage]:
        return await self._database.run(
            lambda connection: reading.list_messages(
                connection, limit, after or "", is_finished=is_finished
            )
        )

    async def find_story(self, queue_id: QueueId) -> MessageStory | None:
        return await self._database.run(lambda connection: reading.find_story(connection, queue_id))

    async def hold(self, queue_ids: Sequence[QueueId] | None, reason: str) -> int:
        return await self._change(
            queue_ids, lambda connection, ids: changing.hold_messages(connection, ids, reason)
        )

    async def release(self, queue_ids: Sequence[QueueId] | None, now: datetime) -> int:
        micros = to_micros(now)
        return await self._change(
            queue_ids, lambda connection, ids: changing.release_messages(connection, ids, micros)
        )

    async def retry(self, queue_ids: Sequence[QueueId] | None, now: datetime) -> int:
        micros = to_micros(now)
        return await self._change(
            queue_ids, lambda connection, ids: changing.retry_messages(connection, ids, micros)
        )

    async def delete(self, queue_ids: Sequence[QueueId] | None, now: datetime) -> int:
        micros = to_micros(now)
        return await self._change(
            queue_ids, lambda connection, ids: changing.delete_messages(connection, ids, micros)
        )

    async def forget_stories(self, before: datetime) -> int:
        micros = to_micros(before)
        forgotten = 0
        while True:
            count = await self._database.run(
                lambda connection: changing.forget_finished(connection, micros, CHANGED_AT_ONCE)
            )
            forgotten += count
            if count < CHANGED_AT_ONCE:
                await self._database.run(changing.forget_destinations)
                await self._database.run(totals.fold)
                return forgotten

    async def forget_sessions(self, before: date) -> int:
        return await self._database.run(lambda connection: forget_sessions(connection, before))

    async def free_abandoned(self) -> int:
        return await self._owners.free_abandoned()

    async def count(self) -> Mapping[str, int]:
        return await self._database.run(reading.count)

    async def _save_all(self, messages: Sequence[NewMessage]) -> list[None]:
        await self._database.run(lambda connection: save_messages(connection, messages))
        return [None] * len(messages)

    async def _settle_all(self, settlements: Sequence[tuple[Settlement, int]]) -> list[bool]:
        return await self._database.run(lambda connection: settle_claims(connection, settlements))

    async def _change(
        self,
        queue_ids: Sequence[QueueId] | None,
        change: Callable[[Connection, Sequence[str]], Awaitable[int]],
    ) -> int:
        changed = 0
        async for chunk in self._chunks(queue_ids):
            changed += await self._database.run(partial(_call, change, chunk))
        return changed

    async def _chunks(
        self, queue_ids: Sequence[QueueId] | None
    ) -> AsyncIterator[Sequence[QueueId]]:
        if queue_ids is not None:
            unique = list(dict.fromkeys(queue_ids))
            for start in range(0, len(unique), CHANGED_AT_ONCE):
                yield unique[start : start + CHANGED_AT_ONCE]
            return
        after = ""
        while chunk := await self._database.run(
            partial(reading.list_ids, limit=CHANGED_AT_ONCE, after=after)
        ):
            yield chunk
            after = chunk[-1]

    def _begin(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        """Begin what must end though the one who asked for it is cancelled; `close` waits for it.

        Its error is for the one who waits for it, if someone does.
        """
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()


async def _call(
    change: Callable[[Connection, Sequence[str]], Awaitable[int]],
    queue_ids: Sequence[str],
    connection: Connection,
) -> int:
    return await change(connection, queue_ids)

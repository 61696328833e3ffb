"""Large bodies as rows of 256 KiB: nodes share no file system.

The rows are committed before the message that names them. They are not waited for on the disk: the
log is written in order, so the message's own commit, which is, makes them durable too. What no
message names is removed by `sweep`; a foreign key keeps what one names.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

from letterlock.storage.postgres.connection import Connection, Database, is_reference_error
from letterlock.storage.postgres.saving import PieceBody
from letterlock.storage.queue import SPILL_BYTES, BodyGone, QueueId

_SWEEP = """
    DELETE FROM large_bodies
    WHERE (node = $1 AND $2 OR begun < now() - interval '2 days')
        AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.body_id = large_bodies.body_id)
"""
_OVERLAY = """
    UPDATE body_pieces SET content = overlay(content PLACING $2::bytea FROM $3::integer)
    WHERE body_id = $1 AND number = 0
"""
_FIND_BODY = """
    SELECT body_id, content FROM messages LEFT JOIN bodies USING (message_id)
    WHERE queue_id = $1 AND finished IS NULL
"""


class PieceSpill:
    """Fulfils `storage.bodies.Spill`."""

    def __init__(
        self,
        database: Database,
        node: str,
        body_id: str,
        begin: Callable[[Coroutine[None, None, None]], "asyncio.Task[None]"],
    ) -> None:
        self._database = database
        self._node = node
        self._body_id = body_id
        self._begin = begin
        self._pieces = 0
        self._size = 0
        self._pending: asyncio.Task[None] | None = None

    def write(self, data: bytes) -> Awaitable[None]:
        self._pending = self._begin(self._append(data, self._pending))
        return self._pending

    async def rewrite(self, offset: int, octets: bytes) -> None:
        async def overlay(connection: Connection) -> None:
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(_OVERLAY, self._body_id, octets, offset + 1)

        self._pending = self._begin(self._database.run(overlay))
        await self._pending

    async def finish(self) -> PieceBody:
        if self._pending is not None:
            await self._pending
        return PieceBody(self._body_id, self._size)

    def discard(self) -> None:
        self._begin(self._remove(self._pending))

    async def _append(self, data: bytes, before: Awaitable[None] | None) -> None:
        if before is not None:
            await before
        pieces = [data[start : start + SPILL_BYTES] for start in range(0, len(data), SPILL_BYTES)]
        numbers = list(range(self._pieces, self._pieces + len(pieces)))

        async def insert(connection: Connection) -> None:
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(
                "INSERT INTO large_bodies (body_id, node) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                *(self._body_id, self._node),
            )
            await connection.execute(
                "INSERT INTO body_pieces (body_id, number, content) "
                "SELECT $1, * FROM unnest($2::integer[], $3::bytea[])",
                *(self._body_id, numbers, pieces),
            )

        await self._database.run(insert)
        self._pieces += len(pieces)
        self._size += len(data)

    async def _remove(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await self._database.run(lambda connection: remove_bodies(connection, [self._body_id]))
        except Exception as error:
            # A message names it: it was saved.
            if not is_reference_error(error):
                raise


async def remove_bodies(connection: Connection, body_ids: list[str]) -> None:
    """Remove the pieces of large bodies."""
    await connection.execute("DELETE FROM large_bodies WHERE body_id = ANY ($1::text[])", body_ids)


async def sweep(connection: Connection, node: str, *, is_alone: bool) -> None:
    """Remove what no message names: this node's, if no other process has its name; all's if old."""
    await connection.execute(_SWEEP, node, is_alone)


async def read_body(database: Database, queue_id: QueueId) -> AsyncGenerator[bytes, None]:
    """Give a message's octets, one piece in memory at a time. Raises BodyGone."""
    row = await database.run(lambda connection: connection.fetchrow(_FIND_BODY, queue_id))
    if row is None:
        raise BodyGone(f"{queue_id} is not in the queue")
    if row["body_id"] is None:
        if row["content"]:
            yield row["content"]
        return
    number = 0
    while (piece := await _read_piece(database, row["body_id"], number)) is not None:
        yield piece
        number += 1
    if await database.run(lambda connection: connection.fetchrow(_FIND_BODY, queue_id)) is None:
        raise BodyGone(f"{queue_id} is no longer in the queue")


async def _read_piece(database: Database, body_id: str, number: int) -> bytes | None:
    sql = "SELECT content FROM body_pieces WHERE body_id = $1 AND number = $2"
    return await database.run(lambda connection: connection.fetchval(sql, body_id, number))

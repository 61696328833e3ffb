"""Group commit: messages that arrive while one commit runs are saved together by the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from letterlock.storage.queue import NewMessage, StoreUnavailable

MAX_BATCH = 128


class GroupedSaves:
    """Saves messages by `commit`, which saves several or none."""

    def __init__(
        self,
        commit: Callable[[Sequence[NewMessage]], Awaitable[None]],
        begin: Callable[[Coroutine[None, None, None]], "asyncio.Task[None]"],
    ) -> None:
        self._commit = commit
        self._begin = begin
        self._waiting: deque[tuple[NewMessage, asyncio.Future[None]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def save(self, message: NewMessage) -> None:
        """Wait for the commit that holds a message. Cancelled, the message may be saved."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, future))
        if self._running is None or self._running.done():
            self._running = self._begin(self._run())
        await asyncio.shield(future)

    async def _run(self) -> None:
        while self._waiting:
            count = min(MAX_BATCH, len(self._waiting))
            await self._save([self._waiting.popleft() for _ in range(count)])

    async def _save(self, batch: list[tuple[NewMessage, "asyncio.Future[None]"]]) -> None:
        try:
            await self._commit([message for message, _ in batch])
        except StoreUnavailable as error:
            for _, future in batch:
                future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - given to the one who waits for it
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for each in batch:
                await self._save([each])
        else:
            for _, future in batch:
                future.set_result(None)

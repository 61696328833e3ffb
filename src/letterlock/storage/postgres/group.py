"""Group commit: what arrives while one commit runs is done together by the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Generic, TypeVar

from letterlock.storage.queue import StoreUnavailable

MAX_BATCH = 128

Item = TypeVar("Item")
Result = TypeVar("Result")


class Group(Generic[Item, Result]):
    """Does items by `commit`, which does several in one transaction, or none."""

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        begin: Callable[[Coroutine[None, None, None]], "asyncio.Task[None]"],
    ) -> None:
        self._commit = commit
        self._begin = begin
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> Result:
        """Wait for the commit that holds an item. Cancelled, it may be done all the same."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None or self._running.done():
            self._running = self._begin(self._run())
        return await asyncio.shield(future)

    async def _run(self) -> None:
        while self._waiting:
            count = min(MAX_BATCH, len(self._waiting))
            await self._do([self._waiting.popleft() for _ in range(count)])

    async def _do(self, batch: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        try:
            results = await self._commit([item for item, _ in batch])
        except StoreUnavailable as error:
            for _, future in batch:
                future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - given to the one who waits for it
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for each in batch:
                await self._do([each])
        else:
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)

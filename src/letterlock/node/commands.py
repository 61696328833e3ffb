"""What the control socket can ask of a worker: its status, and changes to the queue it owns."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from letterlock.base.clock import Clock
from letterlock.network.control import Command
from letterlock.node.stores import WorkerStores
from letterlock.storage.ids import is_queue_id
from letterlock.storage.queue import QueueId, QueueStore, StoreUnavailable


@dataclass(frozen=True, slots=True)
class Commands:
    """One worker's commands. Arguments are as docs/reference/control.md has them."""

    stores: WorkerStores
    clock: Clock
    tell_status: Callable[[], Awaitable[Mapping[str, Any]]]
    wake_reports: Callable[[], None] = lambda: None
    """Has TLS reports that are due be sent now, where this worker sends them."""

    def by_name(self) -> Mapping[str, Command]:
        return {
            "status": self._status,
            "queue.wake": self._wake,
            "queue.hold": self._hold,
            "queue.release": self._release,
            "queue.retry": self._retry,
            "queue.delete": self._delete,
            "reports.wake": self._wake_reports,
        }

    async def _status(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        del arguments
        return await self.tell_status()

    async def _wake(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        del arguments
        for deliveries in self.stores.all():
            deliveries.forget_unreachable()
            deliveries.wake()
        return {}

    async def _wake_reports(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        del arguments
        self.wake_reports()
        return {}

    async def _hold(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        ids, reason = _read_ids(arguments), str(arguments.get("reason") or "held by the operator")
        return await self._change(lambda store: store.hold(ids, reason))

    async def _release(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        ids = _read_ids(arguments)
        return await self._change(lambda store: store.release(ids, self.clock.now()))

    async def _retry(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        ids = _read_ids(arguments)
        return await self._change(lambda store: store.retry(ids, self.clock.now()), is_retry=True)

    async def _delete(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        ids = _read_ids(arguments)
        return await self._change(lambda store: store.delete(ids, self.clock.now()))

    async def _change(
        self, change: Callable[[QueueStore], Awaitable[int]], *, is_retry: bool = False
    ) -> Mapping[str, Any]:
        changed = 0
        try:
            self.stores.require_open()
            await self.stores.adopt_left()
            for deliveries in self.stores.all():
                if is_retry:
                    deliveries.forget_unreachable()
                changed += await change(deliveries.store)
                deliveries.wake()
        except StoreUnavailable as error:
            raise ValueError(f"the queue cannot be changed now: {error}") from error
        return {"changed": changed}


def _read_ids(arguments: Mapping[str, Any]) -> Sequence[QueueId] | None:
    """Read which messages are meant; None: all. Raises ValueError."""
    ids = arguments.get("ids")
    if ids is None:
        return None
    if not isinstance(ids, list) or not all(is_queue_id(str(item)) for item in ids):
        raise ValueError("ids must be a list of queue ids, or null for all")
    return [QueueId(str(item)) for item in ids]

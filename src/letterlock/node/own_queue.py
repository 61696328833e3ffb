"""`mailq` for users of this machine: each is told of the mail that he handed in himself.

Root and the node's user see all by `letterlock queue list`; who else may is the setting
`send.show_queue`. What waits says who writes to whom, so it is not everybody's business.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from textwrap import wrap

from letterlock.base.clock import format_time
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.base.config.sending import ShownQueue
from letterlock.base.log import Log, Service
from letterlock.base.printable import make_printable
from letterlock.network.queue_server import QueueServer
from letterlock.node.pickup import find_user_by_id
from letterlock.services.deliver.deliveries import Deliveries
from letterlock.storage.drop import QUEUE
from letterlock.storage.queue import QueuedMessage, RecipientState, StoreUnavailable
from letterlock.storage.sqlite.reader import SqliteQueueReader
from letterlock.storage.sqlite.shard_files import find_shards

PAGE = 500
MAX_MESSAGES = 5000
"""Of one answer; root sees the rest."""
FIRST_SECONDS = 0.5
RETRY_SECONDS = 10.0
_HEAD = "-Queue ID------- --Size-- -----Arrival time---- -Sender/Recipients-------"
_INDENT = " " * 48
_WIDTH = 76
_WAITING = (RecipientState.QUEUED, RecipientState.HELD)


class OwnQueue:
    """Answers at the socket in the drop folder.

    Shards are read where they lie, all of them; where nodes share one store, it is asked as this
    worker's.
    """

    def __init__(
        self, config: Config, find_own: Callable[[], Sequence[Deliveries]], log: Log
    ) -> None:
        self.config = config
        self._find_own = find_own
        self._log = log

    async def run(self) -> None:
        """Answer until cancelled; where the folder can't be used, look again."""
        if self.config.send.show_queue is ShownQueue.NONE:
            return
        # The folder may be made only now, by who picks up there.
        fault: str | None = None
        while True:
            try:
                await QueueServer(self.config.send.drop_dir / QUEUE, self.tell).run()
            except OSError as error:
                text = f"{self.config.send.drop_dir}: {error.strerror}; users cannot see the queue"
                if fault is not None and text != fault:
                    self._log.write(Service.PICKUP, f"warning: {text}")
                seconds = FIRST_SECONDS if fault is None else RETRY_SECONDS
                fault = "" if fault is None else text
                await asyncio.sleep(seconds)

    async def tell(self, user: int) -> bytes:
        """Give what a user may see, as lines."""
        try:
            if self.config.queue.engine is QueueEngine.SQLITE:
                messages = await asyncio.to_thread(self._read_shards)
            else:
                messages = await self._read_store()
        except StoreUnavailable as error:
            return f"mailq: the queue cannot be read: {error}\n".encode()
        if user not in (0, os.geteuid()) and self.config.send.show_queue is not ShownQueue.ALL:
            name = (await asyncio.to_thread(find_user_by_id, user)).name
            messages = [each for each in messages if _is_own(each, name)]
        return "".join(f"{line}\n" for line in _format(messages)).encode("utf-8", "replace")

    def _read_shards(self) -> list[QueuedMessage]:
        found: list[QueuedMessage] = []
        for path in find_shards(self.config.queue_dir):
            with SqliteQueueReader(path) as reader:
                page = reader.list_messages(limit=PAGE)
                while page and len(found) < MAX_MESSAGES:
                    found += page
                    page = reader.list_messages(limit=PAGE, after=page[-1].queue_id)
        return sorted(found, key=lambda message: message.queue_id)[:MAX_MESSAGES]

    async def _read_store(self) -> list[QueuedMessage]:
        found: list[QueuedMessage] = []
        for deliveries in self._find_own()[:1]:
            page = await deliveries.store.list_messages(limit=PAGE)
            while page and len(found) < MAX_MESSAGES:
                found += page
                page = await deliveries.store.list_messages(limit=PAGE, after=page[-1].queue_id)
        return found


def _is_own(message: QueuedMessage, name: str) -> bool:
    return message.origin.get("client") == "local" and message.origin.get("user") == name


def _format(messages: Sequence[QueuedMessage]) -> Iterator[str]:
    if not messages:
        yield "Mail queue is empty"
        return
    yield _HEAD
    for message in messages:
        time, sender = format_time(message.received), message.sender or "MAILER-DAEMON"
        yield f"{message.queue_id}  {message.size:8} {time:21} {make_printable(sender)}"
        for recipient in message.recipients:
            if recipient.state not in _WAITING:
                continue
            reason = make_printable(recipient.last_reply or "")
            lines = wrap(f"({reason})", _WIDTH - 4) if reason else []
            yield from (f"    {line}" for line in lines)
            yield f"{_INDENT}{make_printable(recipient.address)}"
    kib = (sum(message.size for message in messages) + 1023) // 1024
    yield f"-- {kib} Kbytes in {len(messages)} Request{'s' if len(messages) > 1 else ''}."

"""The octets of messages that were saved a moment ago.

Most messages are sent on at once: their octets then need not be read from the file again.
"""

from letterlock.storage.bodies import MemoryBody
from letterlock.storage.queue import NewMessage, QueueId

MAX_OCTETS = 16 * 1024 * 1024


class RecentBodies:
    """Bodies by queue id, the oldest forgotten first beyond MAX_OCTETS."""

    def __init__(self, max_octets: int = MAX_OCTETS) -> None:
        self._max_octets = max_octets
        self._octets = 0
        self._bodies: dict[QueueId, bytes] = {}

    def keep(self, message: NewMessage) -> None:
        """Keep the body of a message whose save is done; one that is in a file has no need."""
        body = message.body
        if not isinstance(body, MemoryBody) or body.size > self._max_octets:
            return
        self._bodies[message.queue_id] = body.content
        self._octets += body.size
        while self._octets > self._max_octets:
            self.forget(next(iter(self._bodies)))

    def find(self, queue_id: QueueId) -> bytes | None:
        return self._bodies.get(queue_id)

    def forget(self, queue_id: QueueId) -> None:
        """Forget a body: nobody will read it again soon."""
        self._octets -= len(self._bodies.pop(queue_id, b""))

    def clear(self) -> None:
        self._bodies.clear()
        self._octets = 0

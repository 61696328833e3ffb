"""Log lines on their way: in order, bounded, and counted where they are lost.

A sink takes what it can without waiting. The rest waits here, up to a limit; beyond it new lines
are dropped, and a line in their place says how many.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

MAX_WAITING_OCTETS = 4 * 1024 * 1024
"""Of one process: about 20,000 lines."""


class Sink(Protocol):
    """Where lines go."""

    @property
    def fault(self) -> str:
        """Why it takes nothing; empty when it works, or is only busy."""

    def take(self, records: Sequence[bytes]) -> int:
        """Take as many as go now, from the first on, without waiting; gives how many."""


class Outbox:
    """What a sink has not taken yet. `tell_loss` makes the line about so many lost ones."""

    def __init__(
        self,
        sink: Sink,
        tell_loss: Callable[[int], bytes],
        max_octets: int = MAX_WAITING_OCTETS,
    ) -> None:
        self._sink = sink
        self._tell_loss = tell_loss
        self._max_octets = max_octets
        self._waiting: deque[bytes] = deque()
        self._octets = 0
        self.lost = 0
        """Lines dropped since the last line about that."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, record: bytes) -> None:
        """Let a line wait for `send`, or count it as lost."""
        octets = self._octets + len(record)
        if self.lost or octets > self._max_octets:
            # Once full, half of it must have gone: else every other line would be one about losses.
            if octets > self._max_octets // 2:
                self.lost += 1
                return
            self._own_up()
            octets = self._octets + len(record)
        self._waiting.append(record)
        self._octets = octets

    def send(self) -> bool:
        """Give the sink what waits; False: there is more, for later."""
        while self._waiting:
            records = list(self._waiting)
            taken = self._sink.take(records)
            if taken < len(records):
                for record in records[:taken]:
                    self._octets -= len(record)
                    self._waiting.popleft()
                return False
            self._waiting.clear()
            self._octets = 0
            if self.lost:
                self._own_up()
        return True

    def clear(self) -> None:
        """Forget what waits: it is another process's."""
        self._waiting.clear()
        self._octets = self.lost = 0

    def _own_up(self) -> None:
        record = self._tell_loss(self.lost)
        self._waiting.append(record)
        self._octets += len(record)
        self.lost = 0

"""A queue that keeps what is put into it."""

from collections.abc import Awaitable, Collection
from dataclasses import dataclass, field

from letterlock.storage.queue import Body, BodyWriter, NewMessage, QueueId


@dataclass(frozen=True)
class _Body:
    """Fulfils `storage.queue.Body`."""

    size: int


@dataclass
class _Writer:
    """Fulfils `storage.queue.BodyWriter`."""

    bodies: list[bytes]
    octets: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes) -> Awaitable[None]:
        self.octets += data
        return self._done()

    async def rewrite(self, offset: int, octets: bytes) -> None:
        raise NotImplementedError

    async def finish(self) -> Body:
        self.bodies.append(bytes(self.octets))
        return _Body(len(self.octets))

    def discard(self) -> None:
        raise NotImplementedError

    async def _done(self) -> None: ...


@dataclass
class FakeOutbox:
    """Fulfils `services.report.carrying.Outbox`."""

    messages: list[NewMessage] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    woken: set[str] = field(default_factory=set)

    def make_id(self) -> QueueId:
        return QueueId(f"q{len(self.messages)}")

    def write_body(self) -> BodyWriter:
        return _Writer(self.bodies)

    async def save(self, message: NewMessage) -> None:
        self.messages.append(message)

    def wake(self, destinations: Collection[str]) -> None:
        self.woken.update(destinations)

"""A message on its way through the filters: cut into header section and body while it comes in.

RFC 5322 §2.1. What filters see as the header section is what everyone later sees as one: it ends
before the first line that is no field, and an empty line is put there, as Postfix does.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from msgspec import Struct

from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.header_edits import cut_fields
from letterlock.services.filter.contract import Body, NewBody
from letterlock.storage.spool import Spool


class WholeMessage(Struct, frozen=True):
    """A whole message: `contract.FilterMessage`."""

    queue_id: str
    envelope: Envelope
    header: bytes
    body: Body
    begin_body: Callable[[], NewBody]

    @property
    def body_octets(self) -> int:
        return self.body.size

    def read_body(self) -> AsyncGenerator[bytes, None]:
        return self.body.read()


class MessageCutter:
    """Takes a content in pieces; its body goes to a spool in `folder`, as do those that replace it.

    How long its header section may be, whoever gives it has seen to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.body = Spool(folder)
        self._new_bodies: list[Spool] = []
        # A line end before the first line: so an empty line is found there as anywhere.
        self._held = bytearray(b"\r\n")
        self._header: bytes | None = None

    def receive(self, octets: bytes) -> Awaitable[None] | None:
        """Take more; an awaitable is to be waited for first. It raises StoreUnavailable."""
        if self._header is not None:
            return self.body.write(octets)
        start = max(0, len(self._held) - 3)
        self._held += octets
        end = self._held.find(b"\r\n\r\n", start)
        return None if end < 0 else self._end_header(end + 2, b"\r\n")

    async def finish(self, queue_id: str, envelope: Envelope) -> WholeMessage:
        """Give the message. Raises StoreUnavailable."""
        if self._header is None and (waiting := self._end_header(len(self._held), b"")) is not None:
            await waiting
        assert self._header is not None
        return WholeMessage(queue_id, envelope, self._header, self.body, self._begin_body)

    def close(self) -> None:
        """Forget all bodies."""
        for each in (self.body, *self._new_bodies):
            each.close()

    def _begin_body(self) -> Spool:
        spool = Spool(self._folder)
        self._new_bodies.append(spool)
        return spool

    def _end_header(self, end: int, empty_line: bytes) -> Awaitable[None] | None:
        """Cut what is held at `end`, where there is an empty line or nothing, or sooner."""
        header, rest = bytes(self._held[2:end]), bytes(self._held[end + 2 :])
        self._held.clear()
        fields = cut_fields(header)
        length = 0
        for field in fields:
            if not field.name:
                rest = header[length:] + empty_line + rest
                break
            length += len(field.octets)
        self._header = header[:length]
        return self.body.write(rest) if rest else None

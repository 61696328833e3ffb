"""A filter that says what a test wants, and notes what it was told."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from letterlock.base.config.filters import FilteredMail
from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.services.filter.contract import (
    Answer,
    FilterClient,
    FilterMail,
    FilterMessage,
    Judgement,
    Passed,
)
from letterlock.services.filter.message import WholeMessage

CLIENT = FilterClient(
    source=FilteredMail.OUTSIDE,
    hostname="mx.example.org",
    ip="192.0.2.7",
    port=4711,
    name="client.example.net",
    helo="client.example.net",
)
MAIL = FilterMail("Q1", "alice@example.net")


@dataclass(slots=True)
class MemoryBody:
    """A body that a test gives, or a filter writes."""

    octets: bytes = b""

    @property
    def size(self) -> int:
        return len(self.octets)

    def write(self, octets: bytes) -> None:
        self.octets += octets

    async def read(self) -> AsyncGenerator[bytes, None]:
        if self.octets:
            yield self.octets


@dataclass(slots=True)
class ScriptedFilter:
    """Both Filter and its only Filtering: `told` has what it was told, in order."""

    name: str = "scripted"
    at_mail: Answer = field(default_factory=Passed)
    at_rcpt: Sequence[Answer] = ()
    judgement: Judgement = field(default_factory=Judgement)
    told: list[str] = field(default_factory=list)
    seen: WholeMessage | None = None
    clients: list[FilterClient] = field(default_factory=list)

    def begin(self, client: FilterClient) -> "ScriptedFiltering":
        self.told.append(f"client {client.ip} {client.source}")
        self.clients.append(client)
        return ScriptedFiltering(self)


class ScriptedFiltering:
    def __init__(self, script: ScriptedFilter) -> None:
        self._script = script
        self._answers = iter(script.at_rcpt)

    async def begin(self, mail: FilterMail) -> Answer:
        self._script.told.append(f"mail {mail.sender}")
        return self._script.at_mail

    async def take_recipient(self, address: str, parameters: tuple[str, ...]) -> Answer:
        self._script.told.append(" ".join(("rcpt", address, *parameters)))
        return next(self._answers, Passed())

    async def judge(self, message: FilterMessage) -> Judgement:
        body = b"".join([piece async for piece in message.read_body()])
        self._script.told.append("judge")
        self._script.seen = WholeMessage(
            message.queue_id, message.envelope, message.header, MemoryBody(body), MemoryBody
        )
        return self._script.judgement

    def abort(self) -> None:
        self._script.told.append("abort")

    def close(self) -> None:
        self._script.told.append("close")


def make_message(
    header: bytes = b"From: <alice@example.net>\r\nSubject: hello\r\n",
    body: bytes = b"text\r\n",
    recipients: Sequence[str] = ("bob@example.org",),
) -> WholeMessage:
    envelope = Envelope("alice@example.net", tuple(Recipient(each) for each in recipients))
    return WholeMessage("Q1", envelope, header, MemoryBody(body), MemoryBody)

"""Messages for the store's tests, and what is often done with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from letterlock.protocols.smtp.envelope import BodyType, Envelope, Notify, Recipient, Ret
from letterlock.storage.ids import QueueIds
from letterlock.storage.queue import (
    Body,
    Claim,
    NewMessage,
    QueuedMessage,
    QueueId,
    QueueStore,
    RecipientResult,
    RecipientState,
    Settlement,
)
from tests.fakes import FakeClock

LEASE = timedelta(minutes=15)
LIFETIME = timedelta(days=5)
CONTENT = b"Received: by mx1\r\nSubject: a\r\n\r\nhello\r\n"


@dataclass
class Mail:
    """A store, its clock, and short words for what tests do."""

    store: QueueStore
    clock: FakeClock
    ids: QueueIds = field(init=False)

    def __post_init__(self) -> None:
        self.ids = QueueIds(self.clock)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    async def body(self, content: bytes = CONTENT, piece: int = 65536) -> Body:
        writer = self.store.write_body()
        for start in range(0, len(content), piece):
            wait = writer.write(content[start : start + piece])
            if wait is not None:
                await wait
        return await writer.finish()

    async def message(
        self,
        *destinations: str,
        content: bytes = CONTENT,
        hold: str | None = None,
        sender: str = "alice@example.org",
    ) -> NewMessage:
        destinations = destinations or ("example.com",)
        recipients = tuple(
            Recipient(f"user{number}@{destination}", frozenset({Notify.DELAY, Notify.FAILURE}))
            for number, destination in enumerate(destinations)
        )
        return NewMessage(
            queue_id=self.ids.make(),
            envelope=Envelope(
                sender, recipients, BodyType.EIGHT_BIT, smtputf8=True, ret=Ret.HEADERS, envid="e+20"
            ),
            destinations=destinations,
            body=await self.body(content),
            received=self.now,
            expires=self.now + LIFETIME,
            origin={"client": "mail.example.net[192.0.2.1]", "helo": "é"},
            hold=hold,
        )

    async def save(
        self, *destinations: str, content: bytes = CONTENT, hold: str | None = None
    ) -> QueueId:
        message = await self.message(*destinations, content=content, hold=hold)
        await self.store.save(message)
        return message.queue_id

    async def claim(
        self, limit: int = 100, *, saturated: Sequence[str] = (), lease: timedelta = LEASE
    ) -> list[Claim]:
        return await self.store.claim(self.now, limit=limit, lease=lease, saturated=saturated)

    async def claim_one(self) -> Claim:
        (claim,) = await self.claim()
        return claim

    async def read(self, queue_id: QueueId) -> bytes:
        return b"".join([piece async for piece in self.store.read_body(queue_id)])

    async def find(self, queue_id: QueueId) -> QueuedMessage:
        story = await self.store.find_story(queue_id)
        assert story is not None
        return story.message

    async def states(self, queue_id: QueueId) -> list[RecipientState]:
        return [recipient.state for recipient in (await self.find(queue_id)).recipients]

    async def deliver(self, claim: Claim) -> bool:
        return await self.settle(claim, RecipientState.DELIVERED)

    async def defer(self, claim: Claim, by: timedelta = timedelta(minutes=5)) -> bool:
        return await self.settle(claim, RecipientState.QUEUED, self.now + by)

    async def settle(
        self, claim: Claim, state: RecipientState, next_attempt: datetime | None = None
    ) -> bool:
        results = tuple(
            RecipientResult(recipient.number, state, "2.0.0", "250 fine", next_attempt)
            for recipient in claim.recipients
        )
        return await self.store.settle(Settlement(claim, results, settled=self.now))


def addresses(claims: Sequence[Claim]) -> list[str]:
    return [each.recipient.address for claim in claims for each in claim.recipients]

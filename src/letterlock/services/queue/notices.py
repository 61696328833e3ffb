"""Makes notifications ready for the queue: what goes back, who gets it, and our signature.

RFC 3461 §6.1 (the null reverse-path); RFC 6376 §5 (what we write ourselves is signed, by who has
the keys). The message itself is made by `protocols.smtp.dsn`.
"""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.protocols.smtp.content import ContentScan
from letterlock.protocols.smtp.dsn import MAX_RETURNED_OCTETS, is_content_returned, make_dsn
from letterlock.protocols.smtp.dsn_report import (
    Action,
    DsnReport,
    OriginalMessage,
    ReportedRecipient,
    Tried,
)
from letterlock.protocols.smtp.dsn_templates import NoticeTexts
from letterlock.protocols.smtp.envelope import Envelope
from letterlock.services.queue.schedule import Schedule
from letterlock.storage.queue import (
    AttemptRecord,
    BodyGone,
    BodyWriter,
    Claim,
    NewMessage,
    QueueId,
    QueueStore,
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a notification is to tell; the fields are those of `DsnReport`."""

    action: Action
    recipients: tuple[ReportedRecipient, ...]
    tried: tuple[Tried, ...] = ()
    next_attempt: datetime | None = None
    retry_until: datetime | None = None
    addressee: str | None = None


@dataclass(frozen=True, slots=True)
class NoticeMaker:
    """Makes notifications. `make_token` gives 8 to 60 random letters and digits."""

    hostname: Domain
    schedule: Schedule
    clock: Clock
    make_id: Callable[[], QueueId]
    make_token: Callable[[], str]
    redirect: Callable[[Envelope], Envelope] = lambda envelope: envelope
    """Follows the aliases of those who get a notification."""
    find_hindrance: Callable[[str], str | None] = lambda _: None
    """Says why that cannot be done now for an address."""
    sign: Callable[[bytes], bytes] = lambda content: content
    """Puts our signatures in front of a message, if we have keys for its author."""
    texts: NoticeTexts = field(default_factory=NoticeTexts)
    max_returned: int = MAX_RETURNED_OCTETS

    async def make(
        self,
        told: Told,
        original: OriginalMessage,
        write_body: Callable[[], BodyWriter],
        queue_id: QueueId | None = None,
    ) -> NewMessage:
        """Make one, under a new id where none is given. Raises StoreUnavailable."""
        queue_id, now = queue_id or self.make_id(), self.clock.now()
        dsn = make_dsn(
            DsnReport(
                action=told.action,
                original=original,
                recipients=told.recipients,
                reporting_mta=self.hostname,
                queue_id=queue_id,
                now=now,
                token=self.make_token(),
                next_attempt=told.next_attempt,
                retry_until=told.retry_until,
                tried=told.tried,
                addressee=told.addressee,
            ),
            self.texts,
        )
        writer = write_body()
        if (waiting := writer.write(self.sign(dsn.content))) is not None:
            await waiting
        body = await writer.finish()
        envelope = self.redirect(dsn.envelope)
        return NewMessage(
            queue_id=queue_id,
            envelope=envelope,
            destinations=tuple(item.address.rpartition("@")[2] for item in envelope.recipients),
            body=body,
            received=now,
            expires=self.schedule.expires(now, envelope.sender),
            origin={"client": "local", "helo": self.hostname, "tls": ""},
        )

    async def read_original(self, claim: Claim, told: Told, store: QueueStore) -> OriginalMessage:
        """Read as much of a claim's message as goes back: to our postmaster its header only."""
        envelope = Envelope(
            sender=claim.sender,
            recipients=tuple(item.recipient for item in claim.recipients),
            body_type=claim.body_type,
            smtputf8=claim.smtputf8,
            ret=claim.ret,
            envid=claim.envid,
            tls_demand=claim.tls_demand,
        )
        is_whole = told.addressee is None and is_content_returned(
            told.action, envelope, claim.size, self.max_returned
        )
        header, content = await gather_returned(store.read_body(claim.queue_id), is_whole=is_whole)
        return OriginalMessage(
            envelope=envelope,
            queue_id=claim.queue_id,
            arrived=claim.received,
            size=claim.size,
            header=header,
            content=content,
        )


async def gather_returned(
    body: AsyncGenerator[bytes, None], *, is_whole: bool
) -> tuple[bytes, bytes | None]:
    """Read a message's header section, and all of it where that is wanted and it is still there."""
    scan, pieces = ContentScan(), []
    try:
        async with aclosing(body) as content:
            async for piece in content:
                scan.receive(piece)
                if is_whole:
                    pieces.append(piece)
                elif scan.is_header_complete:
                    break
    except BodyGone:
        is_whole = False
    return scan.header, b"".join(pieces) if is_whole else None


def gather_tried(attempts: Iterable[AttemptRecord], numbers: Iterable[int]) -> tuple[Tried, ...]:
    """Give what was tried for some recipients; what came to the same counts, and stands once."""
    wanted = frozenset(numbers)
    found: dict[tuple[str, str], list[datetime]] = {}
    for attempt in attempts:
        if not wanted.isdisjoint(attempt.recipients):
            found.setdefault((attempt.relay, attempt.summary), []).append(attempt.started)
    return tuple(
        Tried(relay, summary, min(moments), max(moments), len(moments))
        for (relay, summary), moments in found.items()
    )

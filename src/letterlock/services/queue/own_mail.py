"""Mail that the node writes itself, other than bounces: it is kept as any message is.

RFC 8460 §5.3, RFC 8689 §5: what tells of failures of TLS has to arrive in spite of them.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from letterlock.protocols.smtp.envelope import Envelope, Notify, Recipient, TlsDemand
from letterlock.storage.queue import BodyWriter, NewMessage, QueueId


class Outbox(Protocol):
    """Where mail is put that is to be sent."""

    def write_body(self) -> BodyWriter: ...

    async def save(self, message: NewMessage) -> None: ...

    def wake(self, destinations: Collection[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class OwnMail:
    """Puts mail of the node's own into its queue. Nobody is told of what cannot be delivered."""

    outbox: Outbox
    make_id: Callable[[], QueueId]
    redirect: Callable[[Envelope], Envelope]
    """Follows the aliases of those who get mail here."""
    lifetime: timedelta

    async def put(
        self,
        sender: str,
        recipients: Collection[str],
        content: bytes,
        now: datetime,
        about: Mapping[str, str],
    ) -> None:
        """Keep a message, which `about` then tells from others. Raises StoreUnavailable."""
        envelope = self.redirect(
            Envelope(
                sender,
                tuple(Recipient(each, frozenset({Notify.NEVER})) for each in recipients),
                smtputf8=not "".join((sender, *recipients)).isascii(),
                tls_demand=TlsDemand.TLS_REQUIRED_NO,
            )
        )
        body = self.outbox.write_body()
        if (waiting := body.write(content)) is not None:
            await waiting
        domains = tuple(item.address.rpartition("@")[2] for item in envelope.recipients)
        await self.outbox.save(
            NewMessage(
                queue_id=self.make_id(),
                envelope=envelope,
                destinations=domains,
                body=await body.finish(),
                received=now,
                expires=now + self.lifetime,
                origin={"client": "local", "helo": "", "tls": "", **about},
            )
        )
        self.outbox.wake(domains)

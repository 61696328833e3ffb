"""What a delivery status notification tells: the values it is made of.

RFC 3464 §2.2, §2.3. They come from the queue; `dsn` makes the message.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.protocols.tlsrpt.result_types import ResultType


class Action(StrEnum):
    """What became of the message, for all recipients of one notification (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    """Handed to a server that does not report success itself (RFC 3461 §5.2.2)."""
    EXPANDED = "expanded"
    """Sent on to each address that an alias stands for (RFC 3461 §5.2.7.3)."""


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """One recipient's fate.

    `diagnostic` is what decided: the reply of `remote_mta` (`host` or `host[address]`), or our own
    words when that is None.
    `tls_result`: not None when it was TLS that kept us from sending. `cause`: the status of the
    last attempt, where `status` says only that the time is over; or the name of a cause.
    """

    recipient: Recipient
    status: str
    diagnostic: str
    remote_mta: str | None = None
    last_attempt: datetime | None = None
    tls_result: ResultType | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried, and came to the same each time. `relay` is `host[ip]:port`, or `none`."""

    relay: str
    summary: str
    first: datetime
    last: datetime
    count: int = 1


@dataclass(frozen=True, slots=True)
class OriginalMessage:
    """The message that is reported on.

    `header` is its header section without the empty line; `content` the whole of it, to be given
    when `is_content_returned` says so, else None.
    """

    envelope: Envelope
    queue_id: str
    arrived: datetime
    size: int
    header: bytes
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class DsnReport:
    """All that a notification is made of.

    `queue_id` is the notification's own; `token` is random, 8 to 60 letters and digits.
    `next_attempt` and `retry_until` are for DELAYED. `addressee`: who gets it instead of the
    sender, where the sender may get none.
    """

    action: Action
    original: OriginalMessage
    recipients: tuple[ReportedRecipient, ...]
    reporting_mta: str
    queue_id: str
    now: datetime
    token: str
    next_attempt: datetime | None = None
    retry_until: datetime | None = None
    tried: tuple[Tried, ...] = ()
    addressee: str | None = None

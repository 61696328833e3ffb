"""The queue as its users see it: values, and the interface that each engine fulfils.

A message is stored with all its recipients in one commit, or not at all; what is claimed is ours
until the lease ends; what was done is settled in one transaction, the bounces it causes included.
The engines are `storage.sqlite` and `storage.postgres`; `tests/storage` runs one suite on both.
"""

from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NewType, Protocol

from msgspec import Struct, field

from letterlock.protocols.smtp.envelope import BodyType, Envelope, Recipient, Ret, TlsDemand
from letterlock.protocols.tlsrpt.sessions import Session

QueueId = NewType("QueueId", str)
"""Names a message for its whole life: in the 250, in Received, in every log line. Made by
`storage.ids`: letters and digits without vowels, unique over nodes, ordered by time."""

SPILL_BYTES = 256 * 1024
"""A body over this is not kept in memory (`design.md`, Storage)."""


class Body(Protocol):
    """A message's octets: CRLF lines, our trace header first. In memory, or where they spilled to.

    Made by the `write_body` of the engine it is saved with.
    """

    @property
    def size(self) -> int: ...


class BodyWriter(Protocol):
    """Takes a message as it arrives; memory use is bounded by SPILL_BYTES."""

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Take more octets; an awaitable says that the disk must be waited for before the next."""

    async def rewrite(self, offset: int, octets: bytes) -> None:
        """Put octets over as many that were written, all of them among the first SPILL_BYTES.

        For what is known last and stands first. Raises ValueError for a place that is elsewhere.
        """

    async def finish(self) -> Body:
        """End the body; when this returns, a file that holds it was synced."""

    def discard(self) -> None:
        """Forget what was written; after `finish` too, and harmless once the body was saved."""


class NewMessage(Struct, frozen=True):
    """A message to keep. `destinations` has one next-hop key for each recipient, in their order."""

    queue_id: QueueId
    envelope: Envelope
    destinations: tuple[str, ...]
    body: Body
    received: datetime
    expires: datetime
    origin: Mapping[str, str] = field(default_factory=dict)
    """Where it came from, for people: client, helo, protocol, tls."""
    hold: str | None = None
    """Not None: kept back for this reason until released."""


class RecipientState(StrEnum):
    """What becomes of one recipient. Of those that are done, the story is kept for a while."""

    QUEUED = "queued"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"
    DELETED = "deleted"


class ClaimedRecipient(Struct, frozen=True):
    """A recipient in a claim. `attempts` counts those before this one."""

    number: int
    recipient: Recipient
    attempts: int
    is_delay_notified: bool
    last_reply: str = ""


class Claim(Struct, frozen=True):
    """One message's recipients at one destination, ours until `lease_until`."""

    queue_id: QueueId
    destination: str
    lease: str
    lease_until: datetime
    sender: str
    recipients: tuple[ClaimedRecipient, ...]
    body_type: BodyType
    smtputf8: bool
    ret: Ret | None
    envid: str | None
    size: int
    received: datetime
    expires: datetime
    tls_demand: TlsDemand = TlsDemand.NORMAL


class RecipientResult(Struct, frozen=True):
    """What a claim came to for one recipient.

    QUEUED needs `next_attempt`. `status` is an enhanced status code (`4.7.5`); `reply` the words
    that the next attempt, the list and the bounce show.
    """

    number: int
    state: RecipientState
    status: str
    reply: str
    next_attempt: datetime | None = None
    is_delay_notified: bool = False


class AttemptRecord(Struct, frozen=True):
    """One connection tried, for `queue show`: no message content in it.

    `story` is JSON-ready: requirement, handshake, verdict, dialogue (list of lines), outcome.
    """

    started: datetime
    duration: timedelta
    relay: str
    """`host[ip]:port`, or `none` when no connection was made."""
    summary: str
    story: Mapping[str, Any]
    recipients: tuple[int, ...] = ()


class Settlement(Struct, frozen=True):
    """All that a claim came to; saved whole. `messages` are the DSNs it causes."""

    claim: Claim
    results: tuple[RecipientResult, ...]
    attempts: tuple[AttemptRecord, ...] = ()
    messages: tuple[NewMessage, ...] = ()
    settled: datetime | None = None
    sessions: tuple[Session, ...] = ()
    """What is counted for TLS reports, on the day (UTC) of `settled`."""


@dataclass(frozen=True, slots=True)
class QueuedRecipient:
    """A recipient as `queue list` and `queue show` give it."""

    number: int
    address: str
    destination: str
    state: RecipientState
    attempts: int
    next_attempt: datetime | None
    last_status: str
    last_reply: str
    is_claimed: bool


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message as `queue list` and `queue show` give it."""

    queue_id: QueueId
    sender: str
    size: int
    received: datetime
    expires: datetime
    hold: str | None
    origin: Mapping[str, str]
    recipients: tuple[QueuedRecipient, ...]
    finished: datetime | None = None
    """When its last recipient was done; only its story is kept since."""
    tls_demand: TlsDemand = TlsDemand.NORMAL


@dataclass(frozen=True, slots=True)
class MessageStory:
    """A message and every attempt made for it, oldest first."""

    message: QueuedMessage
    attempts: tuple[AttemptRecord, ...]


class StoreUnavailable(Exception):  # noqa: N818 - a state of the store, not a mistake
    """The disk or database cannot work now: the answer is 451 or 452, nothing is lost.

    `is_full` when there is no space.
    """

    def __init__(self, reason: str, *, is_full: bool = False) -> None:
        super().__init__(reason)
        self.is_full = is_full


class BodyGone(LookupError):  # noqa: N818 - not a mistake: others may delete at any time
    """There is no such message, or it is finished and its octets were removed."""


class QueueStore(Protocol):
    """What an engine does. Every method that changes something returns after its commit.

    Raises StoreUnavailable when the engine cannot work now; it works again by itself when it can.

    Times that lie further ahead than a message can live (the engines' `horizon`) were written under
    a clock that was wrong, and count as due. A clock set back by less delays mail by as much.
    """

    async def open(self) -> None:
        """Open or create, migrate, sweep orphaned bodies, make leases of dead owners claimable.

        Raises LocalError when the operator must act first: another process owns the store.
        """

    async def close(self) -> None:
        """Finish what was begun; later calls raise StoreUnavailable."""

    def write_body(self) -> BodyWriter:
        """Begin a body."""

    async def save(self, message: NewMessage) -> None:
        """Keep a message: durable when this returns. Its recipients are due at `received`.

        Raises ValueError when its id is known already.
        """

    async def claim(
        self,
        now: datetime,
        *,
        limit: int,
        lease: timedelta,
        saturated: Sequence[str] = (),
    ) -> list[Claim]:
        """Take what is due: at most `limit` claims, none of `saturated`.

        Destinations take turns, the one served longest ago first; within one, the oldest first.
        """

    async def extend(self, claim: Claim, until: datetime) -> bool:
        """Make a lease longer; False when the claim is no longer ours."""

    async def settle(self, settlement: Settlement) -> bool:
        """Save what a claim came to; False (and nothing saved) when the claim is no longer ours.

        Each result counts as an attempt; a claimed recipient without one is due as before.
        """

    def read_body(self, queue_id: QueueId) -> AsyncGenerator[bytes, None]:
        """Give a message's octets in pieces; memory use is bounded. Raises BodyGone."""

    async def next_due(self, *, saturated: Sequence[str] = ()) -> datetime | None:
        """Give the moment at which the next claim can be made; None when nothing waits.

        A lease's end counts: what is claimed now can be claimed again then.
        """

    async def list_messages(
        self,
        *,
        limit: int = 1000,
        after: QueueId | None = None,
        is_finished: bool = False,
    ) -> list[QueuedMessage]:
        """List messages in the order of their ids."""

    async def find_story(self, queue_id: QueueId) -> MessageStory | None:
        """Give a message's story, also for one finished not long ago."""

    async def hold(self, queue_ids: Sequence[QueueId] | None, reason: str) -> int:
        """Keep back (None: all); gives how many messages changed.

        Recipients that are claimed follow when they are settled, or when their lease ends.
        """

    async def release(self, queue_ids: Sequence[QueueId] | None, now: datetime) -> int:
        """Let held messages go on, due now."""

    async def retry(self, queue_ids: Sequence[QueueId] | None, now: datetime) -> int:
        """Make waiting (not held) recipients due now."""

    async def delete(self, queue_ids: Sequence[QueueId] | None, now: datetime) -> int:
        """Remove messages without a bounce; their story stays for a while."""

    async def forget_stories(self, before: datetime) -> int:
        """Remove the stories of messages finished before a moment."""

    async def forget_sessions(self, before: date) -> int:
        """Remove what was counted of TLS sessions on days before a day (UTC); gives how much."""

    async def free_abandoned(self) -> int:
        """Make claimable what processes that share the store had claimed and are gone.

        To be called every few seconds: it also tells the others that this one lives. Gives how many
        claims it freed.
        """

    async def count(self) -> Mapping[str, int]:
        """Count what is kept: `messages`, `bytes`, and recipients `queued`, `held`, `claimed`.

        Those that are claimed count as `queued` too.
        """

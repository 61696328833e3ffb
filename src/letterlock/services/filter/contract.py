"""What a filter is asked, and what it answers: the contract between receiving and any filter.

A `Filter` begins a `Filtering` for each SMTP session (or dropped message) that has mail. It is told
of each transaction's sender and recipients while the client waits for their replies, and gets the
message when it is whole, before anything of it is stored. All it says is a value; that it says
nothing, or nonsense, is one too (`Failed`), and a setting says what is done then. No method raises
for what a filter does.
"""

from collections.abc import AsyncGenerator, Awaitable
from typing import Protocol

from msgspec import Struct

from letterlock.base.config.filters import FilteredMail
from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.field_edits import FieldEdit
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.trace import TlsFacts


class FilterClient(Struct, frozen=True):
    """Who gives the message. For mail of this machine `ip` is 127.0.0.1 and `name` localhost."""

    source: FilteredMail
    hostname: str
    """Ours."""
    ip: str
    port: int
    name: str | None
    """Its verified reverse name; None: it has none."""
    helo: str
    is_extended: bool = True
    """It said EHLO."""
    tls: TlsFacts | None = None
    login: str | None = None
    """The account that is logged in, or the user of this machine."""
    mechanism: str | None = None
    """The SASL mechanism that it logged in with."""
    may_relay: bool = False
    """It is ours: listed in `receive.relay_from`, logged in, or a program of this machine."""
    has_rights: bool = True
    """False: lists count for nothing (`network.smtp_owner.Peer`), and `ip` is 0.0.0.0: who it is
    nobody knows."""


class FilterMail(Struct, frozen=True):
    """A transaction's MAIL. `sender` is "" for the null reverse-path.

    `parameters` are ESMTP's, as `SIZE=1000`.
    """

    queue_id: str
    sender: str
    parameters: tuple[str, ...] = ()


class Body(Protocol):
    """What stands behind the empty line."""

    @property
    def size(self) -> int: ...

    def read(self) -> AsyncGenerator[bytes, None]:
        """Give its octets in pieces, as often as one likes. Raises StoreUnavailable."""


class NewBody(Body, Protocol):
    """A body that is being written; on disk where it is large."""

    def write(self, octets: bytes) -> Awaitable[None] | None:
        """Append; an awaitable is to be waited for first. It raises StoreUnavailable."""


class FilterMessage(Protocol):
    """A whole message, as the filters before left it."""

    @property
    def queue_id(self) -> str: ...

    @property
    def envelope(self) -> Envelope:
        """With the recipients that were taken."""

    @property
    def header(self) -> bytes:
        """The header section: fields with their CRLF, and not the empty line behind them."""

    @property
    def body_octets(self) -> int: ...

    def read_body(self) -> AsyncGenerator[bytes, None]:
        """Give what stands behind the empty line, in pieces; as often as one likes."""

    def begin_body(self) -> NewBody:
        """Begin what may stand in place of the body; it lasts as long as the message."""


class Passed(Struct, frozen=True):
    """The filter has nothing against it."""


class Refused(Struct, frozen=True):
    """The client gets this reply, 4xx or 5xx: the message, or this recipient, is not taken."""

    reply: Reply


class Discarded(Struct, frozen=True):
    """The client is told that the message was taken, and nobody gets it; the log says so."""

    reason: str = ""


class Failed(Struct, frozen=True):
    """The filter could not be asked, or not understood. `reason` is for the log: one line."""

    reason: str


Answer = Passed | Refused | Discarded | Failed


class Judgement(Struct, frozen=True):
    """What a filter says of a whole message. Only with Passed do the other fields count."""

    answer: Answer = Passed()
    edits: tuple[FieldEdit, ...] = ()
    quarantine: str | None = None
    """Not None: the message is kept in the queue for this reason until somebody releases it."""
    sender: str | None = None
    """Not None: the reverse-path that it is sent with ("" for the null one)."""
    added: tuple[str, ...] = ()
    """Addresses of further recipients."""
    removed: tuple[str, ...] = ()
    """Addresses of recipients that get nothing."""
    body: Body | None = None
    """Not None: what stands in place of the body, with CRLFs (`FilterMessage.begin_body`)."""


class Filtering(Protocol):
    """One session's way through a filter. Its methods are called one at a time.

    After Failed only `close` is called. Discarded, at any time, is about the whole message.
    """

    async def begin(self, mail: FilterMail) -> Answer:
        """Begin a transaction."""

    async def take_recipient(self, address: str, parameters: tuple[str, ...]) -> Answer:
        """Take a recipient that we would accept; Refused concerns this one only."""

    async def judge(self, message: FilterMessage) -> Judgement:
        """Judge the whole message; the transaction ends."""

    def abort(self) -> None:
        """End the transaction, if there is one, without a message; nothing is awaited."""

    def close(self) -> None:
        """End the session. Nothing is called after it; called once, and after a failure too."""


class Filter(Protocol):
    """One filter, for all sessions of a process."""

    @property
    def name(self) -> str:
        """How the log calls it: its address."""

    def begin(self, client: FilterClient) -> Filtering:
        """Begin a session; nothing is awaited, and nothing can go wrong yet."""

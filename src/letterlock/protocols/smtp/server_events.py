"""What a server session tells its driver, in the order in which it happened.

Authenticate, ClientNamed, MailFrom, RcptTo, MessageStart and MessageEnd without a violation ask:
the session goes on when `ServerSession.answer` was given their reply. The others only tell.
"""

from msgspec import Struct

from letterlock.protocols.smtp.envelope import BodyType, Envelope, Notify, Ret
from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.smtp.replies import Reply


class Hello(Struct, frozen=True):
    """The client gave its name; the session has answered. Any open transaction is forgotten."""

    name: str
    is_extended: bool


class Authenticate(Struct, frozen=True):
    """Asks, with an answer 334 (its text is the challenge, in base64), 235, 4xx or 5xx.

    `mechanism` begins an exchange, with the initial response if there is one; None: `response`, not
    None then, is the one to the last challenge. An exchange that was not ended is forgotten when
    another begins.
    """

    mechanism: str | None
    response: bytes | None


class MailFrom(Struct, frozen=True):
    """Asks. `sender` is None for the null reverse-path; `size` in octets, None when not told."""

    sender: Mailbox | None
    size: int | None = None
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None


class RcptTo(Struct, frozen=True):
    """Asks. `is_postmaster`: `<Postmaster>` without a domain; the mailbox has our host's then."""

    mailbox: Mailbox
    notify: frozenset[Notify] = frozenset()
    orcpt: str | None = None
    is_postmaster: bool = False


class MessageStart(Struct, frozen=True):
    """Asks whether a message may come. A positive answer becomes 354, or nothing for BDAT."""

    is_chunked: bool
    envelope: Envelope


class MessageOctets(Struct, frozen=True):
    """A piece of the message, without dot-stuffing; never empty."""

    data: bytes


class MessageEnd(Struct, frozen=True):
    """The message is whole. Asks, unless there is a `violation`.

    The answer is given when the message is kept, or can't be. With a violation the session has
    answered with it, and what came is to be discarded.
    """

    violation: Reply | None = None


class MessageAborted(Struct, frozen=True):
    """The message that was started will not be whole: it is to be discarded."""


class Reset(Struct, frozen=True):
    """RSET: any open transaction is forgotten."""


class Aside(Struct, frozen=True):
    """A command that changes nothing was answered: NOOP, VRFY or HELP, by its verb."""

    command: str


class ClientNamed(Struct, frozen=True):
    """Asks, with a refusal. Else the driver makes a session for the client that was named.

    `attributes` are those of `client_attributes.parse_xclient`.
    """

    attributes: dict[str, str]


class OriginTold(Struct, frozen=True):
    """Where the next message comes from; answered. It adds to what was told before.

    `attributes` are those of `client_attributes.parse_xforward`.
    """

    attributes: dict[str, str]


class StartTls(Struct, frozen=True):
    """Send what is queued (the reply 220), do the handshake, then call `tls_started`.

    Until then no octets may be given to the session; everything it knew is forgotten.
    """


class Quit(Struct, frozen=True):
    """QUIT was answered; `Closed` follows."""


class Closed(Struct, frozen=True):
    """The last event: send what is queued and close. `reason` is for the log."""

    reason: str


class ProtocolError(Struct, frozen=True):
    """The session itself answered a command with 4xx or 5xx. `command` is its verb, or none."""

    reply: Reply
    command: str


Event = (
    Hello
    | Authenticate
    | MailFrom
    | RcptTo
    | MessageStart
    | MessageOctets
    | MessageEnd
    | MessageAborted
    | Reset
    | Aside
    | ClientNamed
    | OriginTold
    | StartTls
    | Quit
    | Closed
    | ProtocolError
)

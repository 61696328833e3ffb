"""What a server session tells its driver, in the order in which it happened.

MailFrom, RcptTo, MessageStart and MessageEnd without a violation ask: the session goes on when
`ServerSession.answer` was given their reply. The others only tell.
"""

from dataclasses import dataclass

from letterlock.protocols.smtp.envelope import BodyType, Envelope, Notify, Ret
from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.smtp.replies import Reply


@dataclass(frozen=True, slots=True)
class Hello:
    """The client gave its name; the session has answered. Any open transaction is forgotten."""

    name: str
    is_extended: bool


@dataclass(frozen=True, slots=True)
class MailFrom:
    """Asks. `sender` is None for the null reverse-path; `size` in octets, None when not told."""

    sender: Mailbox | None
    size: int | None = None
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class RcptTo:
    """Asks. `is_postmaster`: `<Postmaster>` without a domain; the mailbox has our host's then."""

    mailbox: Mailbox
    notify: frozenset[Notify] = frozenset()
    orcpt: str | None = None
    is_postmaster: bool = False


@dataclass(frozen=True, slots=True)
class MessageStart:
    """Asks whether a message may come. A positive answer becomes 354, or nothing for BDAT."""

    is_chunked: bool
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class MessageOctets:
    """A piece of the message, without dot-stuffing; never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """The message is whole. Asks, unless there is a `violation`.

    The answer is given when the message is kept, or can't be. With a violation the session has
    answered with it, and what came is to be discarded.
    """

    violation: Reply | None = None


@dataclass(frozen=True, slots=True)
class MessageAborted:
    """The message that was started will not be whole: it is to be discarded."""


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET: any open transaction is forgotten."""


@dataclass(frozen=True, slots=True)
class Aside:
    """A command that changes nothing was answered: NOOP, VRFY or HELP, by its verb."""

    command: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """The reply 220 is queued: send it, do the handshake, then call `tls_started`.

    Until then no octets may be given to the session; everything it knew is forgotten.
    """


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT was answered; `Closed` follows."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The last event: send what is queued and close. `reason` is for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class ProtocolError:
    """The session itself answered a command with 4xx or 5xx. `command` is its verb, or none."""

    reply: Reply
    command: str


Event = (
    Hello
    | MailFrom
    | RcptTo
    | MessageStart
    | MessageOctets
    | MessageEnd
    | MessageAborted
    | Reset
    | Aside
    | StartTls
    | Quit
    | Closed
    | ProtocolError
)

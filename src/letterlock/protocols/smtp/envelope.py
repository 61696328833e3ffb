"""What travels beside a message: sender, recipients and what was asked for them.

RFC 5321 §2.3.1; RFC 3461 §4 (DSN parameters); RFC 6531 §3.4; RFC 6152; RFC 3030; RFC 8689 §4.1.
"""

from enum import StrEnum

from msgspec import Struct


class BodyType(StrEnum):
    """BODY= of RFC 6152 §2 and RFC 3030 §3."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"


class Notify(StrEnum):
    """NOTIFY= of RFC 3461 §4.1. NEVER stands alone; none at all means failures and delays."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


class Ret(StrEnum):
    """RET= of RFC 3461 §4.3."""

    FULL = "FULL"
    HEADERS = "HDRS"


class TlsDemand(StrEnum):
    """What the sender asks of TLS on every hop that follows: the tag of RFC 8689 §4.1.

    REQUIRETLS is the parameter of MAIL FROM, TLS_REQUIRED_NO the header field `TLS-Required: No`,
    which counts for nothing beside the parameter.
    """

    NORMAL = "normal"
    REQUIRETLS = "requiretls"
    TLS_REQUIRED_NO = "tls-required-no"


class Recipient(Struct, frozen=True):
    """One RCPT TO. `address` is a Mailbox as text, its domain in A-labels; `orcpt` in xtext."""

    address: str
    notify: frozenset[Notify] = frozenset()
    orcpt: str | None = None


class Envelope(Struct, frozen=True):
    """A transaction's envelope. `sender` is "" for the null reverse-path; `envid` in xtext."""

    sender: str
    recipients: tuple[Recipient, ...]
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    tls_demand: TlsDemand = TlsDemand.NORMAL

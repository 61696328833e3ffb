"""What a handshake gave: facts, without judgement.

The driver in `network.tls` makes these values; `protocols.policy.judge` judges them. Names of
versions, ciphers and groups are OpenSSL's.
"""

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Handshake:
    """A completed handshake.

    `chain` holds what the peer sent, as DER, leaf first, unverified. `sni` is the name we sent
    (client) or the peer sent (server); None when none was sent. `alert` names an alert that came
    after the handshake.
    """

    version: str
    cipher: str
    cipher_bits: int
    group: str | None
    sni: str | None
    chain: tuple[bytes, ...] = ()
    alpn: str | None = None
    resumed: bool = False


class FailureCause(StrEnum):
    """How a handshake failed, as seen from our side."""

    ALERT_RECEIVED = "alert-received"
    """The peer sent a fatal alert; `alert` names it as RFC 8446 §6 does (`handshake_failure`)."""
    ALERT_SENT = "alert-sent"
    """We refused and sent the alert in `alert`."""
    CERTIFICATE_REFUSED = "certificate-refused"
    """We refused the peer's chain inside the handshake; `chain` holds what is known of it."""
    CLOSED = "closed"
    """The peer closed the connection (FIN)."""
    RESET = "reset"
    """The peer reset the connection (RST)."""
    TIMED_OUT = "timed-out"
    NOT_TLS = "not-tls"
    """What came is not a TLS record."""
    VERSION = "version"
    """No common protocol version (found by us, or by the alert protocol_version)."""
    PROTOCOL = "protocol"
    """Anything else OpenSSL refused; `detail` holds its words."""


@dataclass(frozen=True, slots=True)
class HandshakeFailed:
    """A handshake that did not complete. `detail` is one line for people, of printable ASCII."""

    cause: FailureCause
    detail: str
    alert: str | None = None
    chain: tuple[bytes, ...] = field(default=())
    sni: str | None = None
    is_alert_received: bool = False
    """`alert` came from the peer; else we sent it."""

"""What was seen of a sender: its sessions at the hosts of a test, and the test itself.

They are kept as JSON, and so are of types that JSON has. Names of versions, ciphers and groups are
OpenSSL's. RFC 8689 §2 (REQUIRETLS), RFC 6066 §3 (SNI).
"""

from datetime import datetime

from msgspec import Struct

from letterlock.protocols.inbound.cases import Case, Place

MAX_SESSIONS = 200
"""Of one test. A sender tries each address for days, every hour: 6 cases of 30 tries."""
MAX_TEXT = 300
"""Characters of what a client said."""


class TlsSeen(Struct, frozen=True):
    """A handshake that was completed."""

    version: str
    cipher: str
    group: str | None = None
    sni: str | None = None


class SessionSeen(Struct, frozen=True):
    """One connection. `key` tells it from all others; it is the same when more of it is known.

    `cases` are those that recipients or the name it asked for told; none: it named none, at an
    address of several. `failure` is why its handshake failed, in our words, `sni` then the name it
    asked for. `is_guessed`: it named no recipient, and is taken for this test's because only this
    test has seen its client.
    """

    key: str
    started: datetime
    ip: str
    place: Place
    hello: str = ""
    cases: tuple[Case, ...] = ()
    tls: TlsSeen | None = None
    failure: str | None = None
    failed_sni: str | None = None
    delivered: tuple[Case, ...] = ()
    requiretls: bool = False
    is_guessed: bool = False

    @property
    def is_encrypted(self) -> bool:
        return self.tls is not None

    @property
    def sni(self) -> str | None:
        """Give the name it asked for; None: for none, or there was no handshake."""
        return self.tls.sni if self.tls is not None else self.failed_sni

    @property
    def has_handshake(self) -> bool:
        """Say whether a handshake was begun."""
        return self.tls is not None or self.failure is not None


class InboundTest(Struct, frozen=True):
    """A test: its token names it in addresses and on the page.

    `offered` are the cases that had an address when it was made. `awaited` is the only sender who
    may be written to, None: whoever's message comes first. `report_to` is who is, once that is
    known; `reported` when that was done, or begun.
    """

    token: str
    created: datetime
    expires: datetime
    offered: tuple[Case, ...]
    awaited: str | None = None
    report_to: str | None = None
    reported: datetime | None = None
    sessions: tuple[SessionSeen, ...] = ()

    @property
    def is_full(self) -> bool:
        """Say whether it takes no more sessions."""
        return len(self.sessions) >= MAX_SESSIONS

    @property
    def last_seen(self) -> datetime | None:
        """Give when its newest session began; None: there was none."""
        return max((each.started for each in self.sessions), default=None)

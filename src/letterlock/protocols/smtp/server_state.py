"""What a server session is given, and what it keeps of one mail transaction.

RFC 5321 §4.1.1.2 to §4.1.1.4 (buffers), §4.5.3.1.8 (recipients); RFC 3207 §4; RFC 8314 §4;
RFC 8689 §4.1.
"""

from dataclasses import dataclass

from msgspec import Struct, field

from letterlock.protocols.smtp.commands import Mail
from letterlock.protocols.smtp.envelope import Envelope, Recipient, TlsDemand
from letterlock.protocols.smtp.message_data import BareNewline


# eq=False: replies are kept by them, and they are made once for all clients that may the same: to
# compare their parts for each session would find nothing else.
@dataclass(frozen=True, slots=True, eq=False)
class SessionSettings:
    """How a server session behaves. Those that are about one client may differ by its address."""

    hostname: str
    """Ours, in banner and EHLO, and the domain of `<Postmaster>`."""
    max_message_bytes: int = 50 * 1024 * 1024
    """Announced as SIZE. Of a message that is longer the same amount again is read and dropped."""
    max_recipients: int = 1000
    max_errors: int = 20
    """So many replies 4xx and 5xx without a message accepted, then 421."""
    max_commands: int = 100
    """So many commands that further nothing (NOOP, RSET, VRFY, HELP, EHLO, empty chunks) without a
    message accepted; each one more is an error. Postfix: smtpd_junk_command_limit."""
    bare_newline: BareNewline = BareNewline.REJECT
    require_tls: bool = False
    """Never for a host that an MX record names (RFC 3207 §4)."""
    offer_starttls: bool = True
    """Off while there is no certificate (RFC 8314 §4)."""
    offer_requiretls: bool = False
    """Under TLS only, and only where mail that asks for it is passed on so (RFC 8689 §2)."""
    may_name_clients: bool = False
    """The client is a proxy that names its own (XCLIENT)."""
    may_tell_origins: bool = False
    """The client tells where messages come from, for the log (XFORWARD)."""
    auth_mechanisms: tuple[str, ...] = ()
    """In the order in which EHLO lists them, under TLS only (RFC 4954 §3). Empty: AUTH is not
    offered. `submission_session` is what carries it out."""


class Transaction(Struct):
    """One mail transaction, from an accepted MAIL on.

    `has_failed`: a chunk was refused, only RSET helps (RFC 3030 §2). `refused_for_number` counts
    recipients beyond the limit.
    """

    mail: Mail
    recipients: list[Recipient] = field(default_factory=list)
    has_tried_recipients: bool = False
    refused_for_number: int = 0
    is_chunked: bool = False
    has_failed: bool = False

    @property
    def sender(self) -> str:
        return "" if self.mail.sender is None else self.mail.sender.format()

    @property
    def tls_demand(self) -> TlsDemand:
        """What MAIL asked; the message's header may ask otherwise where MAIL did not."""
        is_asked = self.mail.parameters.requiretls
        return TlsDemand.REQUIRETLS if is_asked else TlsDemand.NORMAL

    def envelope(self) -> Envelope:
        """Who named a recipient twice means one; what was asked for it first holds."""
        asked = self.mail.parameters
        recipients: dict[str, Recipient] = {}
        for item in self.recipients:
            recipients.setdefault(item.address, item)
        return Envelope(
            self.sender,
            tuple(recipients.values()),
            asked.body_type,
            asked.smtputf8,
            asked.ret,
            asked.envid,
            self.tls_demand,
        )

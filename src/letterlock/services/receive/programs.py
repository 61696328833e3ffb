"""Mail that programs of this machine send by port 25, and what their messages lack.

RFC 5321 §6.4: a message that comes from where it was written may get what it should have had, one
that is on its way may not. Postfix draws the line there too (local_header_rewrite_clients); large
receivers refuse mail without From or Message-ID, and the program that wrote it is not told.
"""

import re
from functools import partial

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.smtp_owner import Peer
from letterlock.protocols.smtp.header_fields import format_date, format_field, format_message_id
from letterlock.services.receive.opening import Opening
from letterlock.services.receive.receiver import Receiver

_ESSENTIALS = {b"from", b"date", b"message-id"}
_SIGNATURE = b"dkim-signature"
_FIELDS = re.compile(rb"^(from|date|message-id|dkim-signature)[ \t]*:", re.MULTILINE)


def make_opening(
    receiver: Receiver, peer: Peer, sender: str, token: str, *, is_new: bool
) -> Opening:
    """Make what lets a message in. `is_new`: it comes from where it was written.

    Then it gets what it lacks: a `token` that was never used before makes its Message-ID, and
    `sender`, its envelope's, is its author.
    """
    find_missing = None
    if is_new:
        find_missing = partial(format_missing, sender, token, receiver.hostname, receiver.clock)
    return Opening(receiver.results, peer.ip if peer.has_rights else "", find_missing)


def format_missing(sender: str, token: str, hostname: Domain, clock: Clock, header: bytes) -> bytes:
    """Give the fields that a header section should have and has not (RFC 5322 §3.6).

    None for one that is signed: it has been on its way before, and the signature may say that it
    has no such field (RFC 6376 §5.4).
    """
    names = set(_FIELDS.findall(header.lower()))
    if names == _ESSENTIALS or _SIGNATURE in names:
        return b""
    added, now = "", clock.now()
    if b"from" not in names:
        added += format_field("From", sender or f"MAILER-DAEMON@{hostname}")
    if b"date" not in names:
        added += format_field("Date", format_date(now))
    if b"message-id" not in names:
        added += format_field("Message-ID", format_message_id(token, hostname, now))
    return added.encode()

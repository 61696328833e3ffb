"""The one mail that a test sends: what was seen, to who wrote to it.

RFC 3834 §2 (automatic responses): it goes to the envelope's sender, has the null reverse-path, and
says what it is. It quotes nothing of what came.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from letterlock.base.domains import Domain
from letterlock.protocols.inbound.texts import format_result
from letterlock.protocols.smtp.header_fields import format_date, format_message_id

# Printable ASCII without what quotes or folds: other senders get no mail, the page tells them.
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}\Z")


@dataclass(frozen=True, slots=True)
class Answering:
    """Who writes, from which host, to whom; all are plain addresses and names."""

    author: str
    recipient: str
    hostname: Domain
    now: datetime


def may_be_answered(sender: str) -> bool:
    """Say whether a reverse-path is an address that the mail can name as it is."""
    return bool(_PLAIN_ADDRESS.match(sender))


def format_answer(document: Mapping[str, Any], answering: Answering) -> bytes:
    """Write the mail, with CRLF."""
    token = document["token"]
    lines = [
        f"From: {answering.author}",
        f"To: {answering.recipient}",
        f"Date: {format_date(answering.now)}",
        f"Message-ID: {format_message_id(token, answering.hostname, answering.now)}",
        f"Subject: How your server sends (inbound test {token})",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        *format_result(document),
    ]
    return "\r\n".join([*lines, ""]).encode("ascii")

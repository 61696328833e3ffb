"""Enhanced status codes: which one stands for a reply that came without one.

RFC 3463 (the codes), RFC 5248 §2.4 (basic codes they go with), RFC 7504 §3 (521, 556),
RFC 3461 §6.3 (what to do when none suits). Parsing them is in `reply_reader`.
"""

import re

from letterlock.protocols.smtp.replies import Reply

# Only basic codes that mean one thing. 450, 550 and 554 cover too much (no such user, policy,
# greylisting): for those RFC 3461 §6.3 (g) wants x.0.0, and so does Postfix.
_BY_CODE = {
    421: "4.3.2",
    451: "4.3.0",
    452: "4.3.1",
    454: "4.7.0",
    500: "5.5.2",
    501: "5.5.4",
    502: "5.5.1",
    503: "5.5.1",
    504: "5.5.4",
    521: "5.3.2",
    523: "5.7.10",
    530: "5.7.0",
    534: "5.7.9",
    535: "5.7.8",
    538: "5.7.11",
    551: "5.1.6",
    553: "5.1.3",
    555: "5.5.4",
    556: "5.1.10",
}

# RFC 2034 §4 status-code; RFC 3464 §2.3.4: no leading zeros.
_STATUS = re.compile(r"[245]\.(?:0|[1-9][0-9]{0,2})\.(?:0|[1-9][0-9]{0,2})\Z")


def is_status(text: str) -> bool:
    """Say whether a text is an enhanced status code, and nothing else."""
    return _STATUS.match(text) is not None


def status_of_code(code: int) -> str:
    """Give the enhanced status for a basic code; `x.0.0` when no other is certain.

    A code that is neither success nor permanent failure counts as transient: nothing is ever
    bounced for a code that nobody understands.
    """
    if (status := _BY_CODE.get(code)) is not None:
        return status
    first = code // 100
    return f"{first}.0.0" if first in (2, 5) else "4.0.0"


def status_of(reply: Reply) -> str:
    """Give a reply's enhanced status: its own, or the one its code stands for."""
    return reply.status or status_of_code(reply.code)

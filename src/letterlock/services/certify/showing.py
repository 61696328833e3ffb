"""Where a key may still be shown that was changed: what nodes saw when they looked after that.

RFC 7671 §8.1: its TLSA record goes when nobody is shown it any more. Each node looks at its own
listeners, and at what it has written for other programs (`watching`); what those have made of it
only they know.
"""

from collections.abc import Iterable
from datetime import datetime

from letterlock.base.clock import format_time
from letterlock.storage.certificates import CertificateState
from letterlock.storage.watched import REMEMBERED, Look, Watched

_ABOUT_KEYS = (Look.SERVED, Look.EXPORTED)


def find_holdup(state: CertificateState, watched: Iterable[Watched], now: datetime) -> str:
    """Say in one line which node may still show the key before; empty: none.

    A node that has looked last more than `REMEMBERED` ago is gone.
    """
    reasons: list[str] = []
    for each in watched:
        if abs(now - each.looked) > REMEMBERED:
            continue
        if each.version != state.version:
            reasons.append(f"{each.node} has not looked since {format_time(each.looked)}")
        reasons += [
            f"{each.node}: {finding.reason}"
            for finding in each.findings
            if each.version == state.version and finding.look in _ABOUT_KEYS
        ]
    return "; ".join(reasons)

"""By what a check judges."""

from dataclasses import dataclass
from datetime import datetime

from letterlock.protocols.pki.anchors import TrustAnchors

DEFAULT_DAYS = 21
"""How long before its end a certificate is told of."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Whom senders trust, when it is, and how many days ahead is looked."""

    anchors: TrustAnchors
    now: datetime
    days: int = DEFAULT_DAYS

"""Whether a proof is of the past: one by a clock that was ahead counts for nothing.

Baseline Requirements 4.2.1 (how old a proof may be). It would count for as long as that clock was
ahead. When a proof that is of the past ends is its authorization's to say.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from letterlock.protocols.acme.server.objects import Authorization, Challenge
from letterlock.protocols.acme.server.refusals import ErrorType, NameFault, Refusal, refuse_names

SKEW = timedelta(minutes=5)
"""By how much the clocks of two processes may differ."""


def is_of_past(challenge: Challenge, now: datetime) -> bool:
    """Say if a challenge was validated before now, if it was."""
    return challenge.validated is None or challenge.validated <= now + SKEW


def find_future_proofs(authorizations: Iterable[Authorization], now: datetime) -> Refusal | None:
    """Refuse an order that rests on proofs of the future; None: it rests on none."""
    found = [
        NameFault(each.ordered, ErrorType.UNAUTHORIZED, "its proof is later than now")
        for each in authorizations
        if not all(is_of_past(challenge, now) for challenge in each.challenges)
    ]
    return refuse_names(found, "a clock was set back: make a new order") if found else None

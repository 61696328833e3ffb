"""The ids of all that a watch may tell of: who names one that is none is told so."""

import difflib

from letterlock.protocols.check.chain_breaks import Cause
from letterlock.protocols.check.chain_findings import DISAGREES, NOT_VALIDATING
from letterlock.protocols.check.findings import FindingId
from letterlock.services.check.watching import LOOKUP_FAILED
from letterlock.services.publish.findings import Code

FINDING_IDS: frozenset[str] = frozenset(
    (
        *(each.value for each in FindingId),
        *(each.value for each in Code),
        *(f"dnssec-{cause}" for cause in Cause),
        DISAGREES,
        NOT_VALIDATING,
        LOOKUP_FAILED,
    )
)


def find_nearest(name: str) -> str | None:
    """Give the id that a name may have been meant for; None: none is like it."""
    return next(iter(difflib.get_close_matches(name[:100], sorted(FINDING_IDS), n=1)), None)

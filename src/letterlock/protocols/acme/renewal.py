"""When a certificate is renewed, how failures are waited out, and which authority is asked.

RFC 9773 §4.2 (the authority's suggestion), §4.3.3 (without one). What is left to the client there
is decided here: two thirds of life without a suggestion, a twentieth of life whatever is suggested.
Chance and the time are arguments; asking is in `services.certify`, keeping in
`storage.certificates`.
"""

from dataclasses import dataclass
from datetime import datetime

from letterlock.protocols.acme.renewal_info import RenewalInfo


@dataclass(frozen=True, slots=True)
class RenewalPlan:
    """When one certificate is to be renewed, chosen once.

    `window` is the authority's suggestion that `moment` was chosen in; None: it made none.
    `ask_again` is when to ask for the suggestion (again); None: never.
    """

    moment: datetime
    window: RenewalInfo | None = None
    ask_again: datetime | None = None

    @property
    def explanation(self) -> str | None:
        """The authority's page for the operator on why."""
        return self.window.explanation if self.window else None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Failures in a row to get one certificate from one authority. `directory` is its URL.

    It is not asked again before `not_before`; `reason` is one line on the last failure.
    """

    directory: str
    count: int
    last: datetime
    not_before: datetime
    reason: str

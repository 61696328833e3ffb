"""What follows from a requirement and the facts of a connection."""

from dataclasses import dataclass
from enum import StrEnum

from letterlock.protocols.tlsrpt.findings import Finding
from letterlock.protocols.tlsrpt.result_types import ResultType

__all__ = ["Finding", "Outcome", "Verdict"]


class Outcome(StrEnum):
    """What a connection is worth, or what becomes of mail for it."""

    AUTHENTICATED = "authenticated"
    ENCRYPTED = "encrypted"
    CLEAR = "clear"
    DEFER = "defer"
    BOUNCE = "bounce"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one connection.

    `result_type` is None exactly when nothing was wrong. At `may` it can be set although mail
    goes (a bad certificate is recorded, not refused). `findings` holds every fault, the one that
    names the result first. `trust` is Postfix's word for its log line.
    """

    outcome: Outcome
    result_type: ResultType | None
    reason_code: str
    reason: str
    findings: tuple[Finding, ...] = ()
    is_chain_trusted: bool = False
    matched_name: str | None = None

    @property
    def may_send(self) -> bool:
        """Mail may leave over this connection."""
        return self.outcome in (Outcome.AUTHENTICATED, Outcome.ENCRYPTED, Outcome.CLEAR)

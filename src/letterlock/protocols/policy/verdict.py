"""What follows from a requirement and the facts of a connection."""

from dataclasses import dataclass
from enum import StrEnum

from letterlock.protocols.policy.dane import TlsaMatch
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

    `result_type` is None exactly when nothing was wrong. It can be set although mail goes: a bad
    certificate at `may`, a policy in mode testing. `findings` holds every fault, the one that names
    the result first. `tlsa_match` is the TLSA record that was met, and by which certificate.
    """

    outcome: Outcome
    result_type: ResultType | None
    reason_code: str
    reason: str
    findings: tuple[Finding, ...] = ()
    is_chain_trusted: bool = False
    matched_name: str | None = None
    tlsa_match: TlsaMatch | None = None

    @property
    def may_send(self) -> bool:
        """Mail may leave over this connection."""
        return self.outcome in (Outcome.AUTHENTICATED, Outcome.ENCRYPTED, Outcome.CLEAR)

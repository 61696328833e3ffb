"""One fault of TLS, named in RFC 8460's words.

RFC 8460 §4.3 (result types), §4.4 (types of policies). Every part that finds faults makes these:
reading handshakes (`protocols.tls.failures`), chains (`protocols.pki.chain`) and policy
(`protocols.policy.judge`).
"""

from dataclasses import dataclass
from enum import StrEnum

from letterlock.protocols.tlsrpt.result_types import ResultType


class PolicyType(StrEnum):
    """RFC 8460 §4.4, `policy-type`: what a session was held to."""

    TLSA = "tlsa"
    STS = "sts"
    NO_POLICY_FOUND = "no-policy-found"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of a chain or handshake, in the words of RFC 8460 and our reason codes."""

    result_type: ResultType
    reason_code: str
    text: str
    depth: int | None = None
    """0 is the leaf; None when the fault is not one certificate's."""
    policy_type: PolicyType | None = None
    """The policy that it offends, where it is only that one's."""

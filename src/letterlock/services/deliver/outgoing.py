"""How a connection to a host is made and what failed TLS means for it, for mail and for trials.

RFC 3207 §4.1, RFC 8689 §4.2.2. Dialling is `network.smtp_client`, the judgement `protocols.policy`.
"""

from dataclasses import dataclass, replace

from letterlock.network.smtp_client import Connected, TlsFailed
from letterlock.network.smtp_speaker import Target
from letterlock.protocols.policy.judge import NOT_OFFERED, ClearFallback
from letterlock.protocols.policy.verdict import Outcome
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.services.discover.next_hop import NextHop
from letterlock.services.discover.routes import HostAddress, MxHost

MAX_ADDRESSES = 12
"""Addresses tried in one delivery, all hosts together; the next try comes in a new order."""

_PASSING_FAILURES = (FailureCause.TIMED_OUT, FailureCause.CLOSED, FailureCause.RESET)


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """What we come from, and call ourselves, in one address family; None: the kernel's choice."""

    helo: str
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """How we go out."""

    ipv4: SourceAddress
    ipv6: SourceAddress
    clear_fallback: ClearFallback
    is_verbose: bool = False
    is_counting: bool = False
    """Whether what TLS came to is counted, for reports (RFC 8460)."""

    def find_target(self, next_hop: NextHop, host: MxHost, address: HostAddress) -> Target:
        """Say where to dial for one address of a host, and as whom."""
        source = self.ipv6 if address.ip.version == 6 else self.ipv4
        ip = str(address.ip)
        is_implicit = next_hop.is_implicit_tls
        return Target(host.name or ip, ip, next_hop.port, source.helo, source.ip, is_implicit)


async def keep_from_clear(connection: Connected) -> TlsFailed:
    """Leave a host that offered STARTTLS and did not start it: mail may not go in clear now."""
    await connection.quit()
    reason = f"{connection.verdict.reason}, and mail may not go in clear now"
    verdict = replace(connection.verdict, outcome=Outcome.DEFER, reason=reason)
    return TlsFailed(verdict, None, connection.take_dialogue())


def is_starttls_refused(connection: Connected) -> bool:
    """Say if the host offered STARTTLS, and then did not start it."""
    verdict = connection.verdict
    return verdict.result_type is not None and (
        connection.handshake is None and verdict.reason_code != NOT_OFFERED
    )


def is_proved(connection: Connected) -> bool:
    """Say if the peer had to prove who it is, and did (RFC 8689 §2)."""
    return connection.handshake is not None and (
        connection.verdict.outcome is Outcome.AUTHENTICATED
    )


def may_pass(failed: TlsFailed) -> bool:
    """Say if TLS failed for a reason of the moment: a later try may go better."""
    match failed.handshake:
        case HandshakeFailed(cause=cause):
            return cause in _PASSING_FAILURES
        case None:
            return failed.verdict.reason_code.startswith("smtp-starttls-reply-code-4")
        case Handshake():
            return False

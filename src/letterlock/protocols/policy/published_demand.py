"""What DANE and MTA-STS, each by itself, ask of one MX host.

RFC 7672 §2.1.2, §2.2, §3.2.2, §6; RFC 8461 §4.1, §5. What follows from both, and from the
operator's table, is in `decide`.
"""

from dataclasses import dataclass

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy, find_mx_pattern
from letterlock.protocols.pki.names import parse_ip
from letterlock.protocols.policy.dane import explain_unusable, find_usable
from letterlock.protocols.policy.facts import MtaStsFacts, Published, TlsaFacts, TlsaStatus
from letterlock.protocols.policy.requirement import DaneDemand, Level, MtaStsDemand
from letterlock.protocols.tlsrpt.findings import Finding, PolicyType
from letterlock.protocols.tlsrpt.result_types import ResultType

MX_MISMATCH = "mtasts-policy-mx-mismatch"
NO_RECORDS = "no-secure-tlsa-records"
CACHED_POLICY = "fallback-to-cached-policy"
NO_POLICY = "no-policy"

_MAX_RECORDS_SHOWN = 3
_MAX_PATTERNS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Host:
    """The host that is decided about; `name` and `next_hop` as for `decide`."""

    name: str
    next_hop: Domain | None
    published: Published

    @property
    def is_mx_secure(self) -> bool:
        """The host is the next hop's: by DNSSEC, or because it is the next hop itself."""
        return self.published.mx_security in (None, Security.SECURE)


@dataclass(frozen=True, slots=True)
class DaneSays:
    """What the host's TLSA records come to. At most one of `demand`, `is_out`, `is_tls_asked`.

    `is_out`: the host must not be used. `is_tls_asked`: TLS without proof. `reason` is empty when
    nothing follows from them.
    """

    reason: str = ""
    demand: DaneDemand | None = None
    is_out: bool = False
    is_tls_asked: bool = False
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class MtaStsSays:
    """What the domain's policy comes to. `is_out`: it enforces, and does not list the host."""

    reason: str = ""
    demand: MtaStsDemand | None = None
    is_out: bool = False
    findings: tuple[Finding, ...] = ()


def hear_dane(host: Host, level: Level) -> DaneSays:
    """Say what follows from the host's TLSA records, at the level that the operator wants.

    At `dane-only` (RFC 7672 §6) every host without usable records, or by an insecure MX, is out.
    """
    if trouble := _find_trouble(host, level):
        text, result_type = trouble
        finding = _finding(text, result_type)
        return DaneSays(f"DANE: {text}", is_out=True, findings=(finding,))
    tlsa = host.published.tlsa
    if tlsa is None or tlsa.status not in (TlsaStatus.USABLE, TlsaStatus.UNUSABLE):
        return DaneSays()
    if find_usable(tlsa.records):
        return _ask_proof(host, tlsa)
    text = _explain_all_unusable(tlsa)
    finding = _finding(text, ResultType.TLSA_INVALID)
    return DaneSays(f"DANE: TLS is a must, but {text}", is_tls_asked=True, findings=(finding,))


def hear_mta_sts(host: Host) -> MtaStsSays:
    """Say what follows from the domain's MTA-STS policy; mode none is no policy (RFC 8461 §5)."""
    facts = host.published.mta_sts
    if facts is None:
        return MtaStsSays()
    findings = _find_faults(facts)
    policy = facts.policy
    if policy is None or policy.mode is MtaStsMode.NONE:
        return MtaStsSays(findings=findings)
    pattern = None if parse_ip(host.name) else find_mx_pattern(policy, Domain(host.name))
    is_enforcing = policy.mode is MtaStsMode.ENFORCE
    demand = MtaStsDemand(
        domain=facts.domain,
        mode=policy.mode,
        names=(host.name,),
        is_listed=pattern is not None,
        is_enforced=is_enforcing and pattern is not None,
    )
    if pattern is None:
        text = _explain_unlisted(facts.domain, policy, host.name)
        mismatch = Finding(
            ResultType.VALIDATION_FAILURE, MX_MISMATCH, text, policy_type=PolicyType.STS
        )
        return MtaStsSays(f"MTA-STS: {text}", demand, is_enforcing, (mismatch, *findings))
    verb = "enforces" if is_enforcing else "is testing (what fails is recorded)"
    reason = f"MTA-STS: the policy of {facts.domain} {verb}, and lists {host.name} ({pattern})"
    return MtaStsSays(reason, demand, findings=findings)


def _find_trouble(host: Host, level: Level) -> tuple[str, ResultType] | None:
    """Find why the host must not be used, whatever it would show."""
    tlsa = host.published.tlsa
    is_mandatory = level is Level.DANE_ONLY
    if tlsa is None:
        # Level `dane` rests on the look-up; an address has no records (RFC 7672 §2.2).
        if is_mandatory or (level is Level.DANE and parse_ip(host.name) is None):
            return "its TLSA records were not looked up", ResultType.DANE_REQUIRED
        return None
    if tlsa.status is TlsaStatus.FAILED:
        return f"the TLSA lookup failed: {tlsa.reason}", ResultType.DNSSEC_INVALID
    return _find_lack(host, tlsa) if is_mandatory else None


def _find_lack(host: Host, tlsa: TlsaFacts) -> tuple[str, ResultType] | None:
    """Find what mandatory DANE lacks (RFC 7672 §2.2.1, §6)."""
    if not host.is_mx_secure:
        return "its MX record is not secured by DNSSEC", ResultType.DANE_REQUIRED
    if tlsa.status not in (TlsaStatus.USABLE, TlsaStatus.UNUSABLE):
        text = f"it has no TLSA records secured by DNSSEC: {tlsa.reason or tlsa.status}"
        return text, ResultType.DANE_REQUIRED
    if not find_usable(tlsa.records):
        return _explain_all_unusable(tlsa), ResultType.TLSA_INVALID
    return None


def _ask_proof(host: Host, tlsa: TlsaFacts) -> DaneSays:
    base = tlsa.base_domain or Domain(host.name)
    demand = DaneDemand(tlsa.records, _find_names(host, base), host.is_mx_secure)
    reason = f"DANE: by the TLSA records of {base}"
    if not host.is_mx_secure:
        # RFC 7672 §2.2.1: must not be taken for delivery to the domain.
        reason += ", which prove the host and not the domain: its MX record is insecure"
    return DaneSays(reason, demand)


def _find_names(host: Host, base: Domain) -> tuple[str, ...]:
    """RFC 7672 §3.2.2: behind an insecure MX only the host's own."""
    names: list[str] = [base]
    if host.is_mx_secure:
        names += [name for name in (host.next_hop, host.published.expanded_domain) if name]
    return tuple(dict.fromkeys(names))


def _explain_all_unusable(tlsa: TlsaFacts) -> str:
    shown = tlsa.records[:_MAX_RECORDS_SHOWN]
    why = "; ".join(f"{str(record)[:40]}: {explain_unusable(record)}" for record in shown)
    return f"none of its TLSA records can be used ({why or tlsa.reason})"


def _finding(text: str, result_type: ResultType) -> Finding:
    return Finding(result_type, _REASON_CODES[result_type], text, policy_type=PolicyType.TLSA)


_REASON_CODES = {
    ResultType.DNSSEC_INVALID: "tlsa-lookup-failed",
    ResultType.TLSA_INVALID: "all-unusable-records",
    ResultType.DANE_REQUIRED: NO_RECORDS,
}


def _find_faults(facts: MtaStsFacts) -> tuple[Finding, ...]:
    """RFC 8461 §6: a look that failed is told of, also while a cached policy holds."""
    if facts.result_type is None:
        return ()
    is_cached = facts.policy is not None
    reason_code = CACHED_POLICY if is_cached else NO_POLICY
    text = f"MTA-STS policy of {facts.domain}: {facts.error or facts.result_type}"
    if is_cached:
        text += "; the cached one holds"
    return (Finding(facts.result_type, reason_code, text, policy_type=PolicyType.STS),)


def _explain_unlisted(domain: Domain, policy: MtaStsPolicy, host: str) -> str:
    more = ", ..." if len(policy.mx) > _MAX_PATTERNS_SHOWN else ""
    listed = ", ".join(policy.mx[:_MAX_PATTERNS_SHOWN]) + more
    return f"the policy of {domain} ({policy.mode}) does not list {host}; it lists {listed}"

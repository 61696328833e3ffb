"""What is to be done where a chain of trust breaks, and by whom: findings of `check --dnssec`.

RFC 4035 §5, RFC 6781 §4 (operating a signed zone: what goes wrong with keys and with signatures).
DS records are given in at the registrar, which has the zone above publish them; all else is in the
hands of who runs the zone's name servers and signs it.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from letterlock.protocols.check.chain_breaks import Break, Cause
from letterlock.protocols.check.findings import Finding, Severity
from letterlock.protocols.check.name_status import DnssecStatus
from letterlock.protocols.check.trust_chain import RecordState, ZoneState
from letterlock.protocols.dns.answers import Answer, Security
from letterlock.protocols.dns.dnssec_records import ROOT, DsRecord, list_ds


class Who(StrEnum):
    """Who can mend it."""

    REGISTRAR = "registrar"
    DNS_OPERATOR = "dns-operator"
    RESOLVER = "resolver"
    """Who runs the resolver that was asked."""


_NO_FAULTS = (Cause.UNSIGNED, Cause.OPTED_OUT)
"""The one is told by who looks at what is published; the other is as it should be."""

WORDS = {
    Who.REGISTRAR: "at the registrar of {zone}",
    Who.DNS_OPERATOR: "by who runs the DNS of {zone}",
    Who.RESOLVER: "at the resolver",
}
DISAGREES = "dnssec-resolver-disagrees"
NOT_VALIDATING = "dnssec-resolver-not-validating"

_WHO = {
    Cause.NO_DS: Who.REGISTRAR,
    Cause.DS_WITHOUT_KEY: Who.REGISTRAR,
    Cause.KEYS_MISSING: Who.REGISTRAR,
}
_RFCS = {
    Cause.NO_DS: "RFC 4035 §5.2",
    Cause.ALGORITHM_UNSUPPORTED: "RFC 4035 §5.2",
    Cause.TOO_MANY_ITERATIONS: "RFC 9276 §3.2",
    Cause.DS_WITHOUT_KEY: "RFC 4035 §5.2",
    Cause.KEYS_MISSING: "RFC 4035 §5.2",
    Cause.KEYS_NOT_SIGNED: "RFC 4035 §5.2",
    Cause.DENIAL_MISSING: "RFC 4035 §5.4",
    Cause.NO_ANSWER: "RFC 4035 §5.5",
    Cause.ROOT_NOT_PROVED: "RFC 4035 §4.4",
}
_SIGNATURES = "RFC 4035 §5.3"
_FIXES = {
    Cause.ALGORITHM_UNSUPPORTED: "sign with algorithm 13 (ECDSA P-256) and publish its DS record: "
    "to those who don't know this one the zone is not signed",
    Cause.TOO_MANY_ITERATIONS: "sign anew with NSEC, or with NSEC3 of 0 iterations and no salt",
    Cause.KEYS_NOT_SIGNED: "sign the DNSKEY records with the key that the DS record names, or "
    "publish the DS record of the key that signs",
    Cause.SIGNATURE_MISSING: "let every name server of the zone have the signed zone, and hold no "
    "signatures back",
    Cause.SIGNATURE_EXPIRED: "sign the zone anew, and see why its signer has stopped",
    Cause.SIGNATURE_NOT_YET_VALID: "set the signer's clock, and sign the zone anew; or set the "
    "clock here",
    Cause.SIGNATURE_WRONG: "sign the zone anew, and see that all its name servers have the same",
    Cause.SIGNATURE_WITHOUT_KEY: "publish the key that signed again, or sign the zone anew with "
    "the keys that it has",
    Cause.DENIAL_MISSING: "sign the zone anew with its NSEC or NSEC3 records, and let all its name "
    "servers have them",
    Cause.NO_ANSWER: "see that the name servers of the zone answer, and can be reached",
    Cause.ROOT_NOT_PROVED: "ask a resolver that passes on what DNSSEC needs, and has the root of "
    "the Internet; or name the root's key in dns.trust_anchor",
}


def find_who(broken: Break) -> Who:
    """Say who can mend it; what the root seems to lack, the resolver does not give."""
    if broken.zone == ROOT:
        return Who.RESOLVER
    return _WHO.get(broken.cause, Who.DNS_OPERATOR)


def find_fix(broken: Break) -> str:
    """Say what is to be done, with the records to publish; empty: nothing has to be."""
    lines = "; ".join(_format_ds(broken.zone, each) for each in list_ds(broken.zone, broken.keys))
    match broken.cause:
        case Cause.UNSIGNED | Cause.OPTED_OUT:
            return ""
        case Cause.NO_DS:
            return f"publish {lines}"
        case Cause.DS_WITHOUT_KEY:
            return f"put in its place {lines}" if lines else "take it away: no key can be named"
        case Cause.KEYS_MISSING:
            return "take the DS record away, or have the zone signed with its key again"
        case _:
            return _FIXES[broken.cause]


def find_chain_faults(
    zones: Sequence[ZoneState], records: Sequence[RecordState]
) -> Iterator[Finding]:
    """Find each break once for each zone, and what it makes of all that hangs below it."""
    groups: dict[tuple[Cause, str], list[tuple[DnssecStatus, Break]]] = {}
    judged: list[ZoneState | RecordState] = [*zones, *records]
    for each in judged:
        if each.broken is not None and each.broken.cause not in _NO_FAULTS:
            group = groups.setdefault((each.broken.cause, each.broken.zone), [])
            if (each.status, each.broken) not in group:
                group.append((each.status, each.broken))
    for (cause, zone), group in groups.items():
        status, broken = group[0]
        more = f" (and {len(group) - 1} more)" if len(group) > 1 else ""
        words = WORDS[find_who(broken)].format(zone=zone)
        yield Finding(
            f"dnssec-{cause}",
            _SEVERITIES[status],
            zone,
            f"{broken.evidence}{more}",
            _RFCS.get(cause, _SIGNATURES),
            f"{words}: {find_fix(broken)}",
        )


def find_disagreements(
    records: Sequence[RecordState], said: Sequence[Answer | None]
) -> Iterator[Finding]:
    """Find where a resolver that validates says another thing than its answers give."""
    for each, answer in zip(records, said, strict=True):
        if answer is None:
            continue
        ours, security, reason = each.status, answer.security, answer.reason
        if ours is DnssecStatus.SECURE and security is Security.BOGUS:
            text = f"{each.rdtype} of {each.name} validates, and the resolver says: {reason}"
            fix = "at the resolver: empty its cache, look at its clock and its trust anchor"
        elif ours is DnssecStatus.BOGUS and security in (Security.SECURE, Security.INSECURE):
            text = (
                f"{each.rdtype} of {each.name} does not validate, and to the resolver it is "
                f"{security}: it may have it from before, or forgive more than others"
            )
            fix = "at the resolver: see that it validates without exceptions"
        else:
            continue
        yield Finding(DISAGREES, Severity.WARNING, each.name, text, "RFC 4035 §5", fix)


def find_not_validating(domain: str, reason: str, advice: str) -> Finding:
    """Say that the resolver's own word on DNSSEC counts for nothing."""
    fix = f"at the resolver: {advice}"
    return Finding(NOT_VALIDATING, Severity.NOTICE, domain, reason, "RFC 4035 §4.9.3", fix)


_SEVERITIES = {
    DnssecStatus.SECURE: Severity.INFO,
    DnssecStatus.INSECURE: Severity.NOTICE,
    DnssecStatus.BOGUS: Severity.CRITICAL,
    # Who is asked the next time may answer; what mail meets meanwhile, the verdicts say.
    DnssecStatus.UNDECIDED: Severity.NOTICE,
}


def _format_ds(zone: str, ds: DsRecord) -> str:
    return f"{zone}. IN DS {ds}"

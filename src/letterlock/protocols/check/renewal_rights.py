"""Whether who issued a host's certificate may issue the next one, by the CAA records.

RFC 8659 §3, RFC 8657 §3 and §4. Deciding is `caa.decide`'s, as for `caa check` and before each
order of our own; what is not known here are the account and the method that the host's operator
renews with, so that records with such limits are named, and not judged. No host has a fault by its
records now: the fault comes at renewal, when nobody looks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from letterlock.base.domains import Domain, parse_domain
from letterlock.protocols.caa.decide import CaaCause, CaaVerdict, Issuance, shorten
from letterlock.protocols.caa.publishing import find_remedy
from letterlock.protocols.check.facts import AskedSni, DomainFacts, HostFacts
from letterlock.protocols.check.findings import Finding, FindingId, Severity, make_finding
from letterlock.protocols.check.issuers import find_identities
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.names import find_match
from letterlock.protocols.tls.handshake import Handshake


@dataclass(frozen=True, slots=True)
class Renewal:
    """The next certificate of a host, were it like the one that is served.

    `organization` is the issuer's. `issuance` has no issuers where it is none that is known.
    """

    host: Domain
    organization: str
    issuance: Issuance

    @property
    def is_issuer_known(self) -> bool:
        return bool(self.issuance.issuers)


def list_renewals(domain: DomainFacts) -> tuple[Renewal, ...]:
    """List the certificates that hosts show under their own names, each once.

    One whose names do not cover its host says nothing of who will issue a right one.
    """
    return tuple(
        dict.fromkeys(
            renewal
            for host in domain.hosts
            for leaf in list_leaves(host)
            if (renewal := _make_renewal(host.name, leaf)) is not None
        )
    )


def list_leaves(host: HostFacts) -> Iterator[CertificateFacts]:
    """Give what a host shows to who asks rightly, at each address and for each type of key."""
    for address in host.addresses:
        for probe in address.probes:
            if probe.asked is not AskedSni.OWN or not isinstance(probe.handshake, Handshake):
                continue
            leaf = read_certificate(probe.handshake.chain[0]) if probe.handshake.chain else None
            if isinstance(leaf, CertificateFacts):
                yield leaf


def find_rights(renewals: Iterable[tuple[Renewal, CaaVerdict]]) -> Iterator[Finding]:
    """Find what would keep a certificate from being renewed, and what allows it to anybody."""
    for renewal, verdict in renewals:
        found = _judge(renewal, verdict)
        if found is not None:
            yield found


def _make_renewal(host: Domain | None, leaf: CertificateFacts) -> Renewal | None:
    match = find_match(leaf.names, (host,)) if host is not None else None
    if host is None or match is None:
        return None
    presented = match.presented.lower()
    name = parse_domain(presented.removeprefix("*."))
    issuance = Issuance(name, presented.startswith("*."), find_identities(leaf))
    return Renewal(host, leaf.issuer_organization, issuance)


def _judge(renewal: Renewal, verdict: CaaVerdict) -> Finding | None:
    issuance, where = renewal.issuance, str(renewal.host)
    if verdict.cause is CaaCause.LOOKUP_FAILED:
        if verdict.relevant.security is not Security.BOGUS:
            return None
        fix = "have the zone signed anew: no authority issues before"
        return make_finding(FindingId.CAA_BOGUS, Severity.WARNING, where, verdict.reason, fix)
    if verdict.cause is CaaCause.NO_RECORDS:
        first = issuance.issuers[0] if issuance.issuers else "the authority's domain"
        fix = f'{issuance.name}. CAA 0 issue "{first}" leaves it to one'
        return make_finding(FindingId.CAA_MISSING, Severity.INFO, where, verdict.reason, fix)
    if not renewal.is_issuer_known:
        return None
    return _judge_records(renewal, verdict, where)


def _judge_records(renewal: Renewal, verdict: CaaVerdict, where: str) -> Finding | None:
    who = renewal.organization
    match verdict.cause:
        case CaaCause.OTHER_ISSUER | CaaCause.OTHER_LIMITS | CaaCause.UNKNOWN_CRITICAL:
            evidence = f"{who} may not renew its certificate: {verdict.reason}"
            remedy = find_remedy(verdict, ())
            record = shorten(verdict.record) if verdict.record is not None else "the record"
            fix = f"add {remedy}" if remedy else f"take {record} away"
            return make_finding(FindingId.CAA_FORBIDS, Severity.WARNING, where, evidence, fix)
        case CaaCause.UNKNOWN_LIMITS:
            fix = "see that it is the account and the method that the host renews with"
            return make_finding(FindingId.CAA_LIMITED, Severity.INFO, where, verdict.reason, fix)
        case CaaCause.MALFORMED_TAG:
            fix = "publish it as it should be, or take it away"
            return make_finding(
                FindingId.CAA_UNREADABLE, Severity.NOTICE, where, verdict.reason, fix
            )
        case _:
            return None

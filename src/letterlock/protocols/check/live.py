"""What connections to a domain's hosts show: certificates, names, answers to clients without SNI.

RFC 5280 §6, RFC 9525 §6.3 (certificates, by `pki.chain`), RFC 6066 §3 and RFC 7672 §8.1 (SNI), RFC
9325 §3.1.1, §4.5. Every fault is found, not only the first; which name had to match is said, since
the host's HELO name and the mail domain do not count (RFC 8461 §4.1, RFC 7672 §3.2.2). How bad a
fault is depends on who would fail by it: that is asked of `senders`.
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from letterlock.base.counts import format_count
from letterlock.protocols.check.facts import (
    AddressFacts,
    AskedSni,
    DomainFacts,
    HostFacts,
    Probe,
    State,
)
from letterlock.protocols.check.findings import Finding, FindingId, Severity
from letterlock.protocols.check.findings import make_finding as _make
from letterlock.protocols.check.senders import SENDERS, judge_host
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.chain import compare_names, judge_chain
from letterlock.protocols.pki.names import CertificateNames
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed

POST_QUANTUM = "MLKEM"
_OLD_VERSIONS = frozenset({"SSLv3", "TLSv1", "TLSv1.1"})
_FOLLOWING = tuple(
    each
    for each in SENDERS
    if (each.follows_dane or each.follows_mta_sts)
    # These ask for more than is published.
    and each.name not in ("dane-only", "requiretls")
)

_BY_REASON = {
    "no-certificate": FindingId.NO_CERTIFICATE,
    "unreadable-certificate": FindingId.UNREADABLE,
    "self-signed-certificate": FindingId.SELF_SIGNED,
    "missing-intermediate": FindingId.MISSING_INTERMEDIATE,
    "expired": FindingId.EXPIRED,
    "not-yet-valid": FindingId.NOT_YET_VALID,
    "unsuitable-purpose": FindingId.WRONG_PURPOSE,
    "weak-key": FindingId.WEAK,
    "weak-signature": FindingId.WEAK,
}
"""By the reason codes of `pki.chain`; what is not here is UNTRUSTED."""

_FIXES = {
    FindingId.NO_CERTIFICATE: "give the server a certificate",
    FindingId.UNREADABLE: "replace the certificate",
    FindingId.SELF_SIGNED: "get a certificate of a public authority, or publish TLSA records",
    FindingId.UNTRUSTED: "get a certificate of an authority that all trust",
    FindingId.MISSING_INTERMEDIATE: "serve the full chain (fullchain.pem, not cert.pem)",
    FindingId.EXPIRED: "renew it, and load it into every server behind that name",
    FindingId.NOT_YET_VALID: "wait, or look at the clock of who issued it",
    FindingId.WRONG_PURPOSE: "get one with the extended key usage serverAuth",
    FindingId.WEAK: "use RSA of 2048 bits or an elliptic curve, signed with SHA-256 or better",
}


def find_live(domain: DomainFacts, terms: Terms) -> Iterator[Finding]:
    """Find what connections show. Each finding is told once for each place."""
    if domain.no_route is not None and domain.is_unasked:
        # It tells of us, and not of the domain.
        fix = "have the resolver of this machine answer, or name another with --resolver"
        yield _make(FindingId.RESOLVER_SILENT, Severity.INFO, domain.domain, domain.no_route, fix)
    elif domain.no_route is not None and not domain.has_null_mx:
        # Whether a null MX is meant, what else is published tells (`mx-null`).
        severity = Severity.CRITICAL
        yield _make(FindingId.NO_ROUTE, severity, domain.domain, domain.no_route)
    for host in domain.hosts:
        for address in host.addresses:
            yield from _check_address(domain, host, address, terms)
        yield from _compare_addresses(host)


def _check_address(
    domain: DomainFacts, host: HostFacts, address: AddressFacts, terms: Terms
) -> Iterator[Finding]:
    where = f"{host.name or address.ip}[{address.ip}]"
    if address.state is State.BLOCKED:
        detail = f"{address.detail}: it tells of us, and not of other senders"
        fix = "try again later, or from an address that it knows"
        yield _make(FindingId.BLOCKED, Severity.INFO, where, detail, fix)
        return
    own = address.find(AskedSni.OWN)
    if address.state is State.NOT_TESTED:
        fix = "ask it alone, or with --connections"
        yield _make(FindingId.NOT_ASKED, Severity.INFO, where, address.detail, fix)
        return
    if address.state is State.UNREACHABLE or own is None:
        fix = "make it answer, or take its address out of the DNS"
        yield _make(FindingId.UNREACHABLE, Severity.WARNING, where, address.detail, fix)
        return
    severity = _find_severity(domain, host, address, terms)
    if own.handshake is None:
        yield _describe_no_tls(own, severity, where)
    elif isinstance(own.handshake, HandshakeFailed):
        fix = "see the server's own log: a key or certificate may not load"
        yield _make(FindingId.HANDSHAKE_FAILED, severity, where, own.handshake.detail, fix)
    else:
        yield from _check_ciphers(own, own.handshake, where, severity)
        yield from _check_handshake(own.handshake, host, where, severity, terms)
        yield from _check_others(own.handshake, host, address, where, terms)
    for probe in address.probes:
        is_other_key = probe.key is not None and probe.asked is AskedSni.OWN
        if is_other_key and isinstance(probe.handshake, Handshake):
            place = f"{where} {probe.key}"
            yield from _check_certificates(probe.handshake.chain, host, place, severity, terms)


def _find_severity(
    domain: DomainFacts, host: HostFacts, address: AddressFacts, terms: Terms
) -> Severity:
    """Say how bad a fault of an address is: does mail of those who follow its policies fail."""
    if host.tlsa is None and domain.mta_sts is None:
        return Severity.WARNING
    alone = HostFacts(host.name, host.preference, (address,), host.tlsa)
    fails = any(
        each.verdict is not None and not each.verdict.may_send
        for sender in _FOLLOWING
        for each in judge_host(sender, domain, alone, terms.anchors, terms.now)
    )
    return Severity.CRITICAL if fails else Severity.WARNING


def _describe_no_tls(probe: Probe, severity: Severity, where: str) -> Finding:
    if probe.starttls is None:
        return _make(
            FindingId.NO_STARTTLS,
            severity,
            where,
            "STARTTLS is not offered",
            "switch TLS on; where it is on, something on the way takes STARTTLS out",
        )
    return _make(
        FindingId.STARTTLS_REFUSED,
        severity,
        where,
        f"STARTTLS is offered, and refused: {probe.starttls.text}",
        "see the server's own log: a key or certificate may not load",
    )


def _check_ciphers(
    own: Probe, handshake: Handshake, where: str, severity: Severity
) -> Iterator[Finding]:
    """RFC 9325 §4.2: where the version is good, it is the ciphers that strict senders refuse."""
    if own.strict_failure is not None and handshake.version not in _OLD_VERSIONS:
        evidence = f"nothing that strict senders take: {handshake.version} with {handshake.cipher}"
        fix = "offer TLS 1.3, or ECDHE with AES-GCM or ChaCha20 in TLS 1.2"
        yield _make(FindingId.WEAK_CIPHERS, severity, where, evidence, fix)


def _check_handshake(
    handshake: Handshake, host: HostFacts, where: str, severity: Severity, terms: Terms
) -> Iterator[Finding]:
    if handshake.version in _OLD_VERSIONS:
        evidence = f"it has no newer version than {handshake.version}"
        yield _make(FindingId.OLD_TLS, severity, where, evidence, "switch TLS 1.2 and 1.3 on")
    elif POST_QUANTUM not in (handshake.group or ""):
        evidence = f"the group is {handshake.group or 'none'}"
        fix = "offer X25519MLKEM768 (OpenSSL 3.5 and later have it)"
        yield _make(FindingId.NO_POST_QUANTUM, Severity.INFO, where, evidence, fix)
    yield from _check_certificates(handshake.chain, host, where, severity, terms)


def _check_certificates(
    chain: tuple[bytes, ...], host: HostFacts, where: str, severity: Severity, terms: Terms
) -> Iterator[Finding]:
    judgement = judge_chain(chain, terms.anchors, terms.now)
    for fault in judgement.findings:
        found = _BY_REASON.get(fault.reason_code, FindingId.UNTRUSTED)
        yield _make(found, severity, where, fault.text, _FIXES[found])
    if judgement.leaf is not None and host.name is not None:
        yield from _check_name(judgement.leaf.names, host.name, where, severity)
        yield from _check_end(judgement.leaf, where, terms)
    yield from _check_order(chain, where)


def _check_name(
    names: CertificateNames, name: str, where: str, severity: Severity
) -> Iterator[Finding]:
    match, faults = compare_names(names, (name,))
    if match is not None:
        return
    reason = "the MX host's name had to match; its HELO name and the mail domain do not count"
    fix = f"get a certificate with the name {name}"
    covering = next((each for each in names.dns if _covers_above(each, name)), None)
    if covering is not None:
        evidence = f"{covering} covers one label only, so not {name}; {reason}"
        yield _make(FindingId.WILDCARD_TOO_HIGH, severity, where, evidence, fix)
        return
    for fault in faults:
        evidence = f"{fault.text}; {reason}"
        yield _make(FindingId.NAME_MISMATCH, severity, where, evidence, fix)


def _covers_above(presented: str, name: str) -> bool:
    """Say if a wildcard would cover the name, were it worth more than one label."""
    return presented.startswith("*.") and name.endswith(presented[1:].lower())


def _check_end(leaf: CertificateFacts, where: str, terms: Terms) -> Iterator[Finding]:
    left = leaf.not_after - terms.now
    if timedelta(0) <= left < timedelta(days=terms.days):
        evidence = (
            f"it ends at {leaf.not_after:%Y-%m-%dT%H:%M:%SZ}, in {format_count(left.days, 'day')}"
        )
        fix = "see why it was not renewed yet"
        yield _make(FindingId.EXPIRES_SOON, Severity.WARNING, where, evidence, fix)


def _check_order(chain: tuple[bytes, ...], where: str) -> Iterator[Finding]:
    facts = [found for der in chain if isinstance(found := read_certificate(der), CertificateFacts)]
    is_ordered = all(below.issuer == above.subject for below, above in pairwise(facts))
    if not is_ordered:
        subjects = "; ".join(each.subject for each in facts)
        fix = "send the leaf, then each certificate that signs the one before"
        yield _make(FindingId.CHAIN_ORDER, Severity.NOTICE, where, subjects, fix)
    if len(facts) > 1 and facts[-1].is_self_issued:
        evidence = f"{facts[-1].subject} is sent, which senders have or do not trust"
        yield _make(FindingId.ROOT_SENT, Severity.INFO, where, evidence, "leave the root out")


def _check_others(
    own: Handshake, host: HostFacts, address: AddressFacts, where: str, terms: Terms
) -> Iterator[Finding]:
    """See what clients get that send no name, or one that the host does not know."""
    for asked, refused, differs in (
        (AskedSni.NONE, FindingId.NO_SNI_REFUSED, FindingId.NO_SNI_CERTIFICATE),
        (AskedSni.WRONG, FindingId.WRONG_SNI_REFUSED, FindingId.WRONG_SNI_CERTIFICATE),
    ):
        probe = address.find(asked)
        if probe is None:
            continue
        who = "without SNI" if asked is AskedSni.NONE else f"that ask for {probe.sni}"
        if isinstance(probe.handshake, HandshakeFailed):
            severity = Severity.CRITICAL if asked is AskedSni.NONE else Severity.WARNING
            evidence = f"the handshake fails for clients {who}: {probe.handshake.detail}"
            fix = "have a default certificate, and go on with it whatever name is sent"
            yield _make(refused, severity, where, evidence, fix)
        elif isinstance(probe.handshake, Handshake):
            yield from _compare_leaves(own, probe.handshake, differs, (host, where, who), terms)


def _compare_leaves(
    own: Handshake,
    other: Handshake,
    differs: FindingId,
    place: tuple[HostFacts, str, str],
    terms: Terms,
) -> Iterator[Finding]:
    host, where, who = place
    if not own.chain or not other.chain or own.chain[0] == other.chain[0]:
        return
    judgement = judge_chain(other.chain, terms.anchors, terms.now)
    faults = [fault.text for fault in judgement.findings]
    if judgement.leaf is not None and host.name is not None:
        faults += [fault.text for fault in compare_names(judgement.leaf.names, (host.name,))[1]]
    if not faults:
        evidence = f"clients {who} get another certificate, which is good as well"
        yield _make(differs, Severity.INFO, where, evidence)
        return
    evidence = f"clients {who} get another certificate: {'; '.join(faults)}"
    fix = f"make {host.name}'s certificate the default; senders: send SNI (servername=hostname)"
    severity = Severity.WARNING if differs is FindingId.NO_SNI_CERTIFICATE else Severity.NOTICE
    yield _make(differs, severity, where, evidence, fix)


def _compare_addresses(host: HostFacts) -> Iterator[Finding]:
    """RFC 5321 §5.1: a sender takes whichever answers; all should show the same."""
    shown: dict[bytes, list[str]] = {}
    for address in host.addresses:
        own = address.find(AskedSni.OWN)
        if own is not None and isinstance(own.handshake, Handshake) and own.handshake.chain:
            shown.setdefault(own.handshake.chain[0], []).append(str(address.ip))
    if len(shown) > 1:
        evidence = "different certificates at " + " and at ".join(
            ", ".join(ips) for ips in shown.values()
        )
        fix = "load the same certificate into every server behind that name"
        yield _make(FindingId.ADDRESSES_DIFFER, Severity.INFO, str(host.name), evidence, fix)

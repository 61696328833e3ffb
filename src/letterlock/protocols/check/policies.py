"""What is published of a domain's hosts beside what they show: TLSA records, and MTA-STS.

RFC 7672 §3.2 and RFC 7671 §8 (records match every certificate in use, on every address), RFC 8461
§4.1. Matching is `policy.dane`'s; what a policy comes to is what `senders` say, as in deliveries.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from letterlock.protocols.check.facts import AddressFacts, AskedSni, DomainFacts, HostFacts
from letterlock.protocols.check.findings import Finding, FindingId, Severity, make_finding
from letterlock.protocols.check.senders import SENDERS, Sender, judge_host
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.policy.dane import find_usable, judge_dane
from letterlock.protocols.policy.facts import TlsaStatus
from letterlock.protocols.tls.handshake import Handshake

_MAX_SHOWN = 80
_MAX_LISTED = 5

Chain = tuple[bytes, ...]


def find_policies(domain: DomainFacts, terms: Terms) -> Iterator[Finding]:
    """Find where hosts do not meet what is published, and what is published in vain."""
    for host in domain.hosts:
        records = host.tlsa.records if host.tlsa is not None else ()
        yield from _find_repeated(str(host.name), records)
        if host.tlsa is not None and host.tlsa.status is TlsaStatus.FAILED:
            evidence = f"{host.tlsa.reason}: there may be records, so that mail waits for who asks"
            fix = "have every name server of the zone answer, also that there are none (RFC 4035)"
            yield make_finding(
                FindingId.TLSA_LOOKUP_FAILED, Severity.CRITICAL, str(host.name), evidence, fix
            )
        if usable := find_usable(records):
            yield from _check_dane(domain, host, usable, terms)
        yield from _compare(domain, host, terms)


def _find_repeated(where: str, records: Sequence[TlsaRecord]) -> Iterator[Finding]:
    """Find records that are there more than once."""
    times = Counter(records)
    repeated = [
        f"{str(each)[:_MAX_SHOWN]} is there {n} times" for each, n in times.items() if n > 1
    ]
    if repeated:
        more = f"; and {len(repeated) - _MAX_LISTED} more" if len(repeated) > _MAX_LISTED else ""
        evidence = "; ".join(repeated[:_MAX_LISTED]) + more
        fix = "publish each once"
        yield make_finding(FindingId.TLSA_DUPLICATE, Severity.NOTICE, where, evidence, fix)


def _check_dane(
    domain: DomainFacts, host: HostFacts, records: Sequence[TlsaRecord], terms: Terms
) -> Iterator[Finding]:
    names = find_names(domain, host)
    served = [
        (where, chain) for address in host.addresses for where, chain in list_served(host, address)
    ]
    for where, chain in served:
        judgement = judge_dane(chain, tuple(records), names, terms.now)
        if not judgement.is_authenticated:
            evidence = "; ".join(fault.text for fault in judgement.findings)
            yield make_finding(
                FindingId.TLSA_NO_MATCH, Severity.CRITICAL, where, evidence, _advise(chain)
            )
    yield from _check_records(records, served, names, terms)


def _check_records(
    records: Sequence[TlsaRecord],
    served: Sequence[tuple[str, Chain]],
    names: tuple[str, ...],
    terms: Terms,
) -> Iterator[Finding]:
    base = names[0]
    if not served:
        return
    for record in records:
        if any(
            judge_dane(chain, (record,), names, terms.now).is_authenticated for _, chain in served
        ):
            continue
        evidence = f"{str(record)[:_MAX_SHOWN]} matches no certificate that any address shows"
        fix = "keep it if it is the next key's; else take it away"
        yield make_finding(FindingId.TLSA_UNRELATED, Severity.INFO, base, evidence, fix)


def list_served(host: HostFacts, address: AddressFacts) -> Iterator[tuple[str, Chain]]:
    """Give what an address shows to who asks as senders with DANE do, for each type of key."""
    for probe in address.probes:
        if probe.asked is AskedSni.OWN and isinstance(probe.handshake, Handshake):
            kind = f" {probe.key}" if probe.key is not None else ""
            yield f"{host.name}[{address.ip}]{kind}", probe.handshake.chain


def find_names(domain: DomainFacts, host: HostFacts) -> tuple[str, ...]:
    """RFC 7672 §3.2.2: behind an insecure MX only the host's own."""
    base = host.tlsa.base_domain if host.tlsa is not None else None
    names = [base or host.name]
    if domain.naming_security in (None, Security.SECURE):
        names += [domain.domain, domain.expanded_domain]
    return tuple(dict.fromkeys(str(name) for name in names if name))


def _advise(chain: Chain) -> str:
    facts = read_certificate(chain[0]) if chain else None
    if not isinstance(facts, CertificateFacts):
        return "give the server a certificate, and publish its key"
    return f"publish `3 1 1 {facts.spki_sha256}`, or take the records away, before anything else"


def _compare(domain: DomainFacts, host: HostFacts, terms: Terms) -> Iterator[Finding]:
    """Say where MTA-STS stops mail, and where DANE and MTA-STS do not say the same of a host."""
    policy = domain.mta_sts.policy if domain.mta_sts is not None else None
    if policy is None or policy.mode is not MtaStsMode.ENFORCE:
        return
    name = str(host.name)
    failing = _find_failure(_find("mta-sts"), domain, host, terms)
    if failing is not None:
        fix = "mend the host, or the policy: mail of those who follow MTA-STS waits"
        yield make_finding(FindingId.MTA_STS_FAILS, Severity.CRITICAL, name, failing, fix)
    if host.tlsa is None or not find_usable(host.tlsa.records):
        return
    dane = _find_failure(_find("postfix-dane"), domain, host, terms)
    if (dane is None) == (failing is None):
        return
    good, bad = ("DANE", "MTA-STS") if dane is None else ("MTA-STS", "DANE")
    evidence = f"{good} is met, and {bad} is not: {failing or dane}"
    fix = "both hold where both are published (RFC 8461 §2): make both right"
    yield make_finding(FindingId.DANE_STS_CONFLICT, Severity.CRITICAL, name, evidence, fix)


def _find_failure(sender: Sender, domain: DomainFacts, host: HostFacts, terms: Terms) -> str | None:
    """Say why mail of a sender does not get to a host; None: it does, or nobody knows."""
    judged = [
        each.verdict
        for each in judge_host(sender, domain, host, terms.anchors, terms.now)
        if each.verdict is not None
    ]
    if not judged or any(verdict.may_send for verdict in judged):
        return None
    return judged[0].reason


def _find(name: str) -> Sender:
    return next(each for each in SENDERS if each.name == name)

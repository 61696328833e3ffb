"""What the next certificate of a host does to its TLSA records, and what to publish before.

RFC 7671 §8 (records match before and after), §8.1 (the next key's record comes first, and caches
run out), RFC 7672 §3.1. Each kind of renewal is tried by `services.publish.simulation`, as for
hosts of one's own, for every certificate that any address shows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from letterlock.base.domains import Domain
from letterlock.protocols.check.facts import DomainFacts, HostFacts
from letterlock.protocols.check.findings import Finding, FindingId, Severity, make_finding
from letterlock.protocols.check.policies import Chain, find_names, list_served
from letterlock.protocols.check.signatures import Signature
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.policy.dane import DANE_EE, SPKI, find_usable, judge_dane
from letterlock.protocols.policy.facts import TlsaFacts, TlsaStatus
from letterlock.services.publish.records import make_tlsa
from letterlock.services.publish.simulation import Fate, Renewal, Simulation, simulate

NEXT_KEY_DIGEST = "SHA-256-OF-THE-NEXT-KEY"
MAX_CHAINS = 10
"""Certificates of one host that are tried."""
_MAX_SHOWN = 3

_PUBLISHABLE = (TlsaStatus.USABLE, TlsaStatus.UNUSABLE, TlsaStatus.NONE)


@dataclass(frozen=True, slots=True)
class RenewalCase:
    """One kind of renewal. `outcome`: the worst for any certificate that the host shows.

    `matching` are records that match afterwards, `open` those of which nobody knows before.
    """

    renewal: Renewal
    outcome: Fate
    matching: tuple[TlsaRecord, ...]
    open: tuple[TlsaRecord, ...]


@dataclass(frozen=True, slots=True)
class HostRenewals:
    """What renewals come to at one host.

    `owner` is where its TLSA records are, or belong. `cases` is empty where none are published that
    can be used. `current` are the records to publish for the keys in use, `is_matched` says whether
    all the certificates match now, `spare` are records that none matches. `ttl` of the records in
    seconds, None: not known. `ends` is when the first of the certificates does.
    """

    host: Domain
    owner: str
    cases: tuple[RenewalCase, ...]
    current: tuple[TlsaRecord, ...]
    records: tuple[TlsaRecord, ...]
    spare: tuple[TlsaRecord, ...]
    is_matched: bool
    ttl: int | None
    ends: datetime | None

    @property
    def missing(self) -> tuple[TlsaRecord, ...]:
        """Of the keys in use, what is not published."""
        return tuple(each for each in self.current if each not in self.records)

    @property
    def wait(self) -> int | None:
        """Seconds from publishing a record until it may be relied on: caches ran out, and again."""
        return None if self.ttl is None else 2 * self.ttl

    def find(self, renewal: Renewal) -> RenewalCase | None:
        """Find a case; None: it is not among them."""
        return next((each for each in self.cases if each.renewal is renewal), None)

    def format_line(self, record: TlsaRecord) -> str:
        """Write a record as a zone file has it."""
        return f"{self.owner}. IN TLSA {record}"


def list_host_renewals(
    domain: DomainFacts, port: int, signatures: Sequence[Signature], terms: Terms
) -> tuple[HostRenewals, ...]:
    """Try renewals at each host whose TLSA records are known, and that showed a certificate."""
    return tuple(
        made
        for host in domain.hosts
        if (made := _try_host(domain, host, port, signatures, terms)) is not None
    )


def find_renewal_faults(hosts: Iterable[HostRenewals]) -> Iterator[Finding]:
    """Find hosts whose next certificate may match no record: once for each host.

    A record that matches nothing now may be the next key's: then somebody sees to it.
    """
    for host in hosts:
        if not host.cases or not host.is_matched or host.spare:
            continue
        if _is_lost(host, Renewal.SAME_KEY):
            yield _tell_certificate(host)
        elif _is_lost(host, Renewal.NEW_KEY):
            yield _tell_key(host)
        elif _is_lost(host, Renewal.NEW_ISSUER):
            yield _tell_issuer(host)


def _try_host(
    domain: DomainFacts,
    host: HostFacts,
    port: int,
    signatures: Sequence[Signature],
    terms: Terms,
) -> HostRenewals | None:
    if host.name is None or host.tlsa is None or host.tlsa.status not in _PUBLISHABLE:
        return None
    chains = _list_chains(host)
    leaves = [leaf for chain in chains if (leaf := _read(chain)) is not None]
    if not leaves:
        return None
    owner = host.tlsa.owner or Domain(f"_{port}._tcp.{host.tlsa.base_domain or host.name}")
    names, usable = find_names(domain, host), find_usable(host.tlsa.records)
    spare = tuple(each for each in usable if not _matches(chains, (each,), names, terms))
    next_keys = [each.association for each in spare if each == make_tlsa(each.association)]
    base = host.tlsa.base_domain or host.name
    tried = [simulate(base, usable, chain, next_keys, terms.now, names[1:]) for chain in chains]
    return HostRenewals(
        host.name,
        owner,
        tuple(_join_cases(tried)) if usable else (),
        tuple(dict.fromkeys(make_tlsa(bytes.fromhex(leaf.spki_sha256)) for leaf in leaves)),
        host.tlsa.records,
        spare,
        all(_matches((chain,), usable, names, terms) for chain in chains),
        _find_ttl(host.tlsa, owner, signatures),
        min(leaf.not_after for leaf in leaves),
    )


def _list_chains(host: HostFacts) -> tuple[Chain, ...]:
    shown = [chain for address in host.addresses for _, chain in list_served(host, address)]
    return tuple(dict.fromkeys(chain for chain in shown if chain))[:MAX_CHAINS]


def _read(chain: Chain) -> CertificateFacts | None:
    leaf = read_certificate(chain[0])
    return leaf if isinstance(leaf, CertificateFacts) else None


def _matches(
    chains: Sequence[Chain], records: tuple[TlsaRecord, ...], names: tuple[str, ...], terms: Terms
) -> bool:
    return any(judge_dane(each, records, names, terms.now).is_authenticated for each in chains)


def _find_ttl(tlsa: TlsaFacts, owner: str, signatures: Sequence[Signature]) -> int | None:
    """RFC 4034 §3.1.4: the signature has the zone's TTL, the answer what a cache has left of it."""
    if not tlsa.records:
        return None
    signed = [each.ttl for each in signatures if (each.name, each.rdtype) == (owner, "TLSA")]
    return next((ttl for ttl in signed if ttl is not None), tlsa.ttl)


def _join_cases(tried: Sequence[Simulation]) -> Iterator[RenewalCase]:
    """Join the simulations of the certificates that a host shows: each may be the one renewed."""
    worst = list(Fate)
    for renewal in tried[0].outcomes:
        fates = [fate for each in tried for fate in each.records]
        kept = dict.fromkeys(f.record for f in fates if f.fates[renewal] is Fate.KEPT)
        opened = dict.fromkeys(f.record for f in fates if f.fates[renewal] is Fate.OPEN)
        outcome = max((each.outcomes[renewal] for each in tried), key=worst.index)
        yield RenewalCase(
            renewal, outcome, tuple(kept), tuple(each for each in opened if each not in kept)
        )


def _is_lost(host: HostRenewals, renewal: Renewal) -> bool:
    case = host.find(renewal)
    return case is not None and case.outcome is Fate.LOST


def _tell_certificate(host: HostRenewals) -> Finding:
    pinned = [each for each in host.records if each.usage == DANE_EE and each.selector != SPKI]
    evidence = (
        f"{_shorten(pinned)} is of the certificate itself, which ends at "
        f"{host.ends:%Y-%m-%dT%H:%M:%SZ}: each renewal breaks it, also one with the same key"
    )
    fix = f"{_advise_current(host)}; then take {_shorten(pinned)} away, and renew with the same key"
    return _make(host, Severity.WARNING, evidence, fix)


def _tell_key(host: HostRenewals) -> Finding:
    evidence = (
        "a renewal with the same key matches the records, with a new key none: every record is of "
        "a key in use"
    )
    line = f"{host.owner}. IN TLSA 3 1 1 {NEXT_KEY_DIGEST}"
    fix = f"renew with the same key; before a new one: publish `{line}` beside, {_say_wait(host)}"
    return _make(host, Severity.NOTICE, evidence, fix)


def _tell_issuer(host: HostRenewals) -> Finding:
    evidence = (
        "the records match by the authority above the certificate: one from another intermediate "
        "matches none, and authorities change theirs without a word"
    )
    return _make(host, Severity.NOTICE, evidence, f"{_advise_current(host)}, keep the key")


def _make(host: HostRenewals, severity: Severity, evidence: str, fix: str) -> Finding:
    where = host.owner.partition("._tcp.")[2] or host.owner
    return make_finding(FindingId.TLSA_RENEWAL_BREAKS, severity, where, evidence, fix)


def _advise_current(host: HostRenewals) -> str:
    lines = ", ".join(f"`{host.format_line(each)}`" for each in host.missing[:_MAX_SHOWN])
    return f"publish {lines} beside, {_say_wait(host)}"


def _say_wait(host: HostRenewals) -> str:
    if host.wait is None:
        return "wait twice the TTL of the records"
    return f"wait {host.wait} seconds (twice the TTL)"


def _shorten(records: Sequence[TlsaRecord]) -> str:
    shown = [f"{str(each)[:22]}..." for each in records[:_MAX_SHOWN]]
    more = f" and {len(records) - _MAX_SHOWN} more" if len(records) > _MAX_SHOWN else ""
    return ", ".join(shown) + more

"""What DNSSEC says of each name and type that a domain's mail rests on, and until when it holds.

RFC 4035 §4.3 (the states), RFC 4034 §3.1.5, RFC 7672 §2.1 (what DANE rests on). The state is the
resolver's word, as deliveries take it; the signatures were asked for besides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from letterlock.protocols.check.facts import DomainFacts, HostFacts
from letterlock.protocols.check.signatures import Signature, find_nearest
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.policy.facts import TlsaStatus


class DnssecStatus(StrEnum):
    """What is known of the records of a name, or of there being none."""

    SECURE = "secure"
    INSECURE = "insecure"
    BOGUS = "bogus"
    UNDECIDED = "undecided"
    """Nobody answered, or it was not to be told whether an answer is right."""


@dataclass(frozen=True, slots=True)
class NameStatus:
    """One name and type. `nearest`: what ends first of its signature and those of the zones above.

    `reason` is one line, empty where there is nothing to say.
    """

    name: str
    rdtype: str
    status: DnssecStatus
    nearest: Signature | None = None
    reason: str = ""


_BY_SECURITY = {
    Security.SECURE: DnssecStatus.SECURE,
    Security.INSECURE: DnssecStatus.INSECURE,
    Security.BOGUS: DnssecStatus.BOGUS,
    Security.FAILED: DnssecStatus.UNDECIDED,
}
_BY_TLSA = {
    TlsaStatus.USABLE: DnssecStatus.SECURE,
    TlsaStatus.UNUSABLE: DnssecStatus.SECURE,
    TlsaStatus.NONE: DnssecStatus.SECURE,
    TlsaStatus.INSECURE: DnssecStatus.INSECURE,
    TlsaStatus.FAILED: DnssecStatus.UNDECIDED,
}

_Known = tuple[str, str, DnssecStatus, str]
"""Name, type, status, reason."""


def list_statuses(
    domain: DomainFacts, port: int, signatures: Sequence[Signature]
) -> tuple[NameStatus, ...]:
    """List the names of a domain whose hosts were asked at a port, each once, in their order."""
    known = dict.fromkeys(_list_known(domain, port))
    return tuple(
        NameStatus(name, rdtype, status, find_end(signatures, name, rdtype), reason)
        for name, rdtype, status, reason in known
    )


def find_end(signatures: Sequence[Signature], name: str, rdtype: str) -> Signature | None:
    """Find what ends first on the way from a name to the root; None: no signature is known."""
    index = {(each.name, each.rdtype): each for each in signatures}
    own = index.get((name, rdtype)) or index.get((name, "CNAME"))
    return find_nearest([own, *_climb(index, own.zone)]) if own is not None else None


def _climb(index: dict[tuple[str, str], Signature], zone: str | None) -> Iterator[Signature]:
    """Give the signatures of a zone's keys, of the DS records above them, and so on."""
    seen: set[str] = set()
    while zone is not None and zone not in seen:
        seen.add(zone)
        if keys := index.get((zone, "DNSKEY")):
            yield keys
        above = index.get((zone, "DS"))
        zone = None
        if above is not None:
            yield above
            zone = above.zone


def _list_known(domain: DomainFacts, port: int) -> Iterator[_Known]:
    if domain.mx_security is not None:
        status = _BY_SECURITY[domain.mx_security]
        is_unknown = status in (DnssecStatus.BOGUS, DnssecStatus.UNDECIDED)
        yield domain.domain, "MX", status, (domain.no_route or "") if is_unknown else ""
    for host in domain.hosts:
        yield from _list_of_host(host, port)


def _list_of_host(host: HostFacts, port: int) -> Iterator[_Known]:
    if host.name is None:
        return
    for address in host.addresses:
        rdtype = "A" if address.ip.version == 4 else "AAAA"
        yield host.name, rdtype, _BY_SECURITY[address.security], ""
    if not host.addresses and (host.is_undecided or host.is_bogus):
        status = DnssecStatus.BOGUS if host.is_bogus else DnssecStatus.UNDECIDED
        yield host.name, "A", status, host.error or ""
    if host.tlsa is not None:
        owner = host.tlsa.owner or f"_{port}._tcp.{host.tlsa.base_domain or host.name}"
        status = DnssecStatus.BOGUS if host.tlsa.is_bogus else _BY_TLSA[host.tlsa.status]
        yield owner, "TLSA", status, host.tlsa.reason

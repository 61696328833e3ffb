"""What DNSSEC says of each name: RFC 4035 §4.3, and until when: RFC 4034 §3.1.5."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.check.facts import AddressFacts, DomainFacts, HostFacts, State
from letterlock.protocols.check.name_status import find_end, list_statuses
from letterlock.protocols.check.signatures import Signature
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.policy.facts import TlsaFacts, TlsaStatus

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DOMAIN, HOST = Domain("example.org"), Domain("mx.example.org")
TLSA_NAME = f"_25._tcp.{HOST}"


def sign(name: str, rdtype: str, zone: str, days: int) -> Signature:
    return Signature(name, rdtype, zone, NOW, NOW + timedelta(days=days))


CHAIN = (
    sign(DOMAIN, "MX", DOMAIN, 9),
    sign(DOMAIN, "DNSKEY", DOMAIN, 8),
    sign(DOMAIN, "DS", "org", 7),
    sign("org", "DNSKEY", "org", 20),
    sign("org", "DS", ".", 6),
    sign(".", "DNSKEY", ".", 30),
    sign("example.net", "DNSKEY", "example.net", 1),
)


def address(ip: str, security: Security) -> AddressFacts:
    return AddressFacts(ip_address(ip), security, State.OK)


def tell(domain: DomainFacts, port: int = 25, *signatures: Signature) -> list[str]:
    return [
        f"{each.rdtype} {each.name} {each.status}" + (f" ({each.reason})" if each.reason else "")
        for each in list_statuses(domain, port, signatures)
    ]


def test_each_name_and_type_is_told_once() -> None:
    host = HostFacts(
        HOST,
        10,
        (
            address("192.0.2.1", Security.SECURE),
            address("192.0.2.2", Security.SECURE),
            address("2001:db8::1", Security.INSECURE),
        ),
        TlsaFacts(TlsaStatus.FAILED, reason="SERVFAIL"),
    )
    assert tell(DomainFacts(DOMAIN, (host, host), Security.SECURE)) == [
        f"MX {DOMAIN} secure",
        f"A {HOST} secure",
        f"AAAA {HOST} insecure",
        f"TLSA {TLSA_NAME} undecided (SERVFAIL)",
    ]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (TlsaStatus.USABLE, "secure"),
        (TlsaStatus.UNUSABLE, "secure"),
        (TlsaStatus.NONE, "secure"),
        (TlsaStatus.INSECURE, "insecure"),
        (TlsaStatus.FAILED, "undecided"),
    ],
)
def test_records_of_a_port_are_where_they_were_found(status: TlsaStatus, expected: str) -> None:
    host = HostFacts(HOST, 0, (), TlsaFacts(status, DOMAIN))
    assert tell(DomainFacts(HOST, (host,), None), 993) == [f"TLSA _993._tcp.{DOMAIN} {expected}"]
    alias = HostFacts(HOST, 0, (), TlsaFacts(status, DOMAIN, owner=Domain("dane.example.net")))
    assert tell(DomainFacts(HOST, (alias,), None)) == [f"TLSA dane.example.net {expected}"]


def test_what_could_not_be_told_says_why() -> None:
    bogus = DomainFacts(DOMAIN, (), Security.BOGUS, no_route="the signature ended")
    assert tell(bogus) == [f"MX {DOMAIN} bogus (the signature ended)"]
    failed = DomainFacts(DOMAIN, (), Security.FAILED)
    assert tell(failed) == [f"MX {DOMAIN} undecided"]
    silent = HostFacts(HOST, 10, error="no answer", is_undecided=True)
    missing = HostFacts(HOST, 10, error="no such name")
    forged = HostFacts(DOMAIN, 10, error="the signature ended", is_bogus=True)
    literal = HostFacts(None, 0, (address("192.0.2.1", Security.SECURE),))
    hosts = (silent, missing, literal, forged)
    assert tell(DomainFacts(DOMAIN, hosts, None)) == [
        f"A {HOST} undecided (no answer)",
        f"A {DOMAIN} bogus (the signature ended)",
    ]


def test_bogus_records_are_not_undecided() -> None:
    """RFC 4035 §4.3: there was an answer, and it did not validate; mail waits by either."""
    tlsa = TlsaFacts(TlsaStatus.FAILED, reason="no keys have a DS", is_bogus=True)
    host = HostFacts(HOST, 10, (), tlsa)
    assert tell(DomainFacts(DOMAIN, (host,), None)) == [
        f"TLSA {TLSA_NAME} bogus (no keys have a DS)"
    ]


def test_what_ends_first_is_looked_for_up_to_the_root() -> None:
    """One that has ended anywhere above ends all below it; other zones' are nothing to it."""
    assert find_end(CHAIN, DOMAIN, "MX") == CHAIN[4]
    assert find_end(CHAIN[:4], DOMAIN, "MX") == CHAIN[2]
    assert find_end(CHAIN[:1], DOMAIN, "MX") == CHAIN[0]
    assert find_end(CHAIN, HOST, "A") is None
    alias = sign(HOST, "CNAME", DOMAIN, 2)
    assert find_end((*CHAIN, alias), HOST, "A") == alias
    # Whoever answers may have zones sign each other in a circle.
    circle = (*CHAIN[:2], sign(DOMAIN, "DS", "org", 7), sign("org", "DS", DOMAIN, 5))
    assert find_end(circle, DOMAIN, "MX") == circle[3]
    (status,) = list_statuses(DomainFacts(DOMAIN, (), Security.SECURE), 25, CHAIN)
    assert status.nearest == CHAIN[4]

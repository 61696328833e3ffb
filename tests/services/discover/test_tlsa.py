"""Where TLSA records are looked for, in which order, and what follows from each answer.

The numbers of rules are those that docs/standards.md lists.
"""

import random
from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import (
    Answer,
    CnameLink,
    Existence,
    MxRecord,
    Security,
    TlsaRecord,
)
from letterlock.protocols.policy.facts import TlsaFacts, TlsaStatus
from letterlock.services.discover.aliases import examine_aliases
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.discover.routes import MxHost, Route, RouteFinder
from letterlock.services.discover.tlsa import TlsaFinder
from tests.fakes import FixtureResolver

SECURE, INSECURE = Security.SECURE, Security.INSECURE
BOGUS, FAILED = Security.BOGUS, Security.FAILED
HOST, TARGET, MIDDLE = Domain("mx.example.com"), Domain("host.example.net"), Domain("mid.example")
EE = TlsaRecord(3, 1, 1, bytes(32))
TA = TlsaRecord(2, 1, 1, bytes(32))
PKIX = TlsaRecord(1, 1, 1, bytes(32))
IPV4, IPV6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")


def chain(*links: tuple[str, str, Security]) -> tuple[CnameLink, ...]:
    return tuple(CnameLink(Domain(name), Domain(target), state) for name, target, state in links)


def put_addresses(
    dns: FixtureResolver, security: Security = SECURE, *links: tuple[str, str, Security]
) -> None:
    """Give HOST an IPv4 address, behind aliases if there are links, and securely no IPv6 one."""
    cnames = chain(*links)
    owner = cnames[-1].target if cnames else HOST
    found, none = Existence.RECORDS, Existence.NODATA
    dns.put(Answer(HOST, "A", security, found, (IPV4,), owner=owner, cnames=cnames, ttl=60))
    dns.put(Answer(HOST, "AAAA", security, none, owner=owner, cnames=cnames, ttl=60))


@pytest.fixture
def dns() -> FixtureResolver:
    """A secure MX with one host, whose address is secure and which has no alias."""
    dns = FixtureResolver()
    dns.set("example.com", "MX", MxRecord(10, HOST), security=SECURE)
    put_addresses(dns)
    return dns


async def find_route(dns: FixtureResolver) -> Route:
    route = await RouteFinder(dns, random.Random(1)).find(parse_next_hop("example.com"))
    assert isinstance(route, Route), route
    return route


async def find(dns: FixtureResolver, port: int = 25) -> TlsaFacts:
    (host,) = (await find_route(dns)).hosts
    return await TlsaFinder(dns).find(host, port)


def tlsa_names(dns: FixtureResolver) -> list[str]:
    return [name for name, rdtype in dns.asked if rdtype == "TLSA"]


# What an answer means


async def test_secure_records_of_which_one_can_be_used(dns: FixtureResolver) -> None:
    """RFC 7672 §2.2; rules 26 and 32"""
    dns.set("_25._tcp.mx.example.com", "TLSA", PKIX, EE, security=SECURE)
    assert await find(dns) == TlsaFacts(TlsaStatus.USABLE, HOST, (PKIX, EE))


async def test_secure_records_none_of_which_can_be_used(dns: FixtureResolver) -> None:
    """RFC 7672 §2.2; rule 33"""
    dns.set("_25._tcp.mx.example.com", "TLSA", PKIX, security=SECURE)
    facts = await find(dns)
    assert (facts.status, facts.records) == (TlsaStatus.UNUSABLE, (PKIX,))


@pytest.mark.parametrize("existence", [Existence.NODATA, Existence.NXDOMAIN])
async def test_that_there_are_none_is_an_answer_and_no_error(
    dns: FixtureResolver, existence: Existence
) -> None:
    """RFC 7672 §2.1.1, §2.2; rules 26 and 34"""
    dns.put(Answer(Domain("_25._tcp.mx.example.com"), "TLSA", SECURE, existence, ttl=60))
    assert (await find(dns)).status is TlsaStatus.NONE


async def test_insecure_records_are_no_records(dns: FixtureResolver) -> None:
    """RFC 7672 §2.1.1, §2.2; rules 26 and 34"""
    dns.set("_25._tcp.mx.example.com", "TLSA", EE, security=INSECURE)
    facts = await find(dns)
    assert (facts.status, facts.records, facts.base_domain) == (TlsaStatus.INSECURE, (), None)


@pytest.mark.parametrize("security", [BOGUS, FAILED])
async def test_a_failed_lookup_is_never_no_records(
    dns: FixtureResolver, security: Security
) -> None:
    """RFC 7672 §2.1.2; rules 26 and 29"""
    dns.fail("_25._tcp.mx.example.com", "TLSA", security)
    facts = await find(dns)
    assert facts.status is TlsaStatus.FAILED
    assert facts.is_bogus is (security is BOGUS)
    reason = "DNSSEC validation failed" if security is BOGUS else "no answer"
    assert facts.reason == f"TLSA of _25._tcp.mx.example.com: {reason}"


# Addresses first


async def test_addresses_are_asked_for_before_records(dns: FixtureResolver) -> None:
    """RFC 7672 §2.2.2; rule 39"""
    dns.set("_25._tcp.mx.example.com", "TLSA", EE, security=SECURE)
    await find(dns)
    types = [rdtype for _, rdtype in dns.asked]
    assert set(types[:-1]) == {"MX", "A", "AAAA"}
    assert types[-1] == "TLSA"


async def test_a_host_with_insecure_addresses_is_not_asked_for_records(
    dns: FixtureResolver,
) -> None:
    """RFC 7672 §2.2.2: servers of unsigned zones fail such queries, and mail would wait. Rule 39"""
    put_addresses(dns, INSECURE)
    dns.fail("_25._tcp.mx.example.com", "TLSA")
    assert (await find(dns)).status is TlsaStatus.INSECURE
    assert tlsa_names(dns) == []


@pytest.mark.parametrize("security", [BOGUS, FAILED])
async def test_a_broken_aaaa_does_not_hurt_a_good_a(
    dns: FixtureResolver, security: Security
) -> None:
    """RFC 7672 §2.1.2; rule 28: only what is needed to reach the host must be found"""
    dns.fail(HOST, "AAAA", security)
    dns.set("_25._tcp.mx.example.com", "TLSA", EE, security=SECURE)
    assert (await find(dns)).status is TlsaStatus.USABLE


@pytest.mark.parametrize("secure_type", ["A", "AAAA"])
async def test_one_secure_family_is_enough_to_ask(dns: FixtureResolver, secure_type: str) -> None:
    """Where one answer is secure the zone is signed: not to ask would be a way around DANE."""
    for rdtype, ip in (("A", IPV4), ("AAAA", IPV6)):
        state = SECURE if rdtype == secure_type else INSECURE
        dns.set(HOST, rdtype, ip, security=state)
    dns.set("_25._tcp.mx.example.com", "TLSA", EE, security=SECURE)
    assert (await find(dns)).status is TlsaStatus.USABLE


async def test_a_host_without_addresses_is_not_asked_for() -> None:
    """RFC 7672 §2.2.2; rule 40"""
    dns = FixtureResolver()
    host = MxHost(HOST, 10, error="the host mx.example.com does not exist")
    facts = await TlsaFinder(dns).find(host, 25)
    assert (facts.status, dns.asked) == (TlsaStatus.FAILED, [])
    assert facts.reason == "not asked for: the host mx.example.com does not exist"


async def test_a_failed_host_leaves_the_others(dns: FixtureResolver) -> None:
    """RFC 7672 §2.1.2; rules 28 and 36: each host has its own records, in the order of the MX."""
    other = Domain("mx2.example.com")
    dns.set("example.com", "MX", MxRecord(20, other), MxRecord(10, HOST), security=SECURE)
    dns.set(other, "A", IPV4, security=SECURE)
    dns.fail("_25._tcp.mx.example.com", "TLSA")
    dns.set("_25._tcp.mx2.example.com", "TLSA", EE, security=SECURE)
    hosts = (await find_route(dns)).hosts
    found = [(host.name, (await TlsaFinder(dns).find(host, 25)).status) for host in hosts]
    assert found == [(HOST, TlsaStatus.FAILED), (other, TlsaStatus.USABLE)]


async def test_an_address_has_no_records() -> None:
    """RFC 7672 §2.2; rule 35"""
    dns = FixtureResolver()
    route = await RouteFinder(dns, random.Random(1)).find(parse_next_hop("[192.0.2.1]"))
    assert isinstance(route, Route)
    facts = await TlsaFinder(dns).find(route.hosts[0], 25)
    assert (facts.status, dns.asked) == (TlsaStatus.INSECURE, [])


@pytest.mark.parametrize("security", [SECURE, INSECURE])
async def test_a_domain_without_mx_is_its_own_host(security: Security) -> None:
    """RFC 7672 §2.2.2; rule 52: whether its denial of MX is secure or not"""
    dns = FixtureResolver()
    dns.set("example.com", "MX", security=security)
    dns.set("example.com", "A", IPV4, security=SECURE)
    dns.set("_25._tcp.example.com", "TLSA", EE, security=SECURE)
    facts = await find(dns)
    assert (facts.status, facts.base_domain) == (TlsaStatus.USABLE, "example.com")


# Names


@pytest.mark.parametrize("port", [25, 2525, 65535])
async def test_the_real_port_is_in_the_name(dns: FixtureResolver, port: int) -> None:
    """RFC 7672 §2.2.3, RFC 6698 §3; rule 42"""
    await find(dns, port)
    assert tlsa_names(dns) == [f"_{port}._tcp.mx.example.com"]


async def test_a_name_too_long_for_records_has_none(dns: FixtureResolver) -> None:
    name = Domain(".".join(["a" * 62] * 3 + ["b" * 60]))
    dns.set("example.com", "MX", MxRecord(10, name), security=SECURE)
    dns.set(name, "A", IPV4, security=SECURE)
    facts = await find(dns)
    assert facts.status is TlsaStatus.NONE
    assert "too long" in facts.reason


# Aliases

SECURE_CHAIN = ((HOST, MIDDLE, SECURE), (MIDDLE, TARGET, SECURE))


async def test_a_secure_alias_is_asked_for_under_its_expanded_name_first(
    dns: FixtureResolver,
) -> None:
    """RFC 7672 §2.2.2, §2.2.3; rule 41"""
    put_addresses(dns, SECURE, *SECURE_CHAIN)
    dns.set("_25._tcp.host.example.net", "TLSA", EE, security=SECURE)
    dns.set("_25._tcp.mx.example.com", "TLSA", TA, security=SECURE)
    facts = await find(dns)
    assert (facts.base_domain, facts.records) == (TARGET, (EE,))
    assert tlsa_names(dns) == ["_25._tcp.host.example.net"]


@pytest.mark.parametrize("first", [SECURE, INSECURE])
async def test_then_under_the_original_name_and_never_in_between(
    dns: FixtureResolver, first: Security
) -> None:
    """RFC 7672 §2.2.3; rule 41: nothing at the expanded name, or nothing that is secure"""
    put_addresses(dns, SECURE, *SECURE_CHAIN)
    dns.set("_25._tcp.host.example.net", "TLSA", *([EE] * (first is INSECURE)), security=first)
    dns.set("_25._tcp.mid.example", "TLSA", EE, security=SECURE)
    dns.set("_25._tcp.mx.example.com", "TLSA", TA, security=SECURE)
    facts = await find(dns)
    assert (facts.base_domain, facts.records) == (HOST, (TA,))
    assert tlsa_names(dns) == ["_25._tcp.host.example.net", "_25._tcp.mx.example.com"]


@pytest.mark.parametrize("security", [BOGUS, FAILED])
async def test_an_error_at_the_first_name_is_not_made_good_by_the_second(
    dns: FixtureResolver, security: Security
) -> None:
    """RFC 7672 §2.1.2; rule 41"""
    put_addresses(dns, SECURE, *SECURE_CHAIN)
    dns.fail("_25._tcp.host.example.net", "TLSA", security)
    dns.set("_25._tcp.mx.example.com", "TLSA", TA, security=SECURE)
    assert (await find(dns)).status is TlsaStatus.FAILED
    assert tlsa_names(dns) == ["_25._tcp.host.example.net"]


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (SECURE, SECURE, TlsaStatus.NONE),
        (INSECURE, SECURE, TlsaStatus.INSECURE),
        (SECURE, INSECURE, TlsaStatus.INSECURE),
        (SECURE, FAILED, TlsaStatus.FAILED),
    ],
)
async def test_what_neither_name_has(
    dns: FixtureResolver, first: Security, second: Security, status: TlsaStatus
) -> None:
    """RFC 7672 §2.2.3; rules 29, 34 and 41"""
    put_addresses(dns, SECURE, *SECURE_CHAIN)
    for name, state in (("_25._tcp.host.example.net", first), ("_25._tcp.mx.example.com", second)):
        if state is FAILED:
            dns.fail(name, "TLSA")
        else:
            dns.set(name, "TLSA", security=state)
    assert (await find(dns)).status is status


INSECURE_CHAIN = ((HOST, MIDDLE, INSECURE), (MIDDLE, TARGET, INSECURE))


async def test_a_secure_alias_to_an_insecure_address_is_asked_for_by_itself(
    dns: FixtureResolver,
) -> None:
    """RFC 7672 §2.1.3, §2.2.2; rules 31 and 39: then records at the original name count alone"""
    put_addresses(dns, INSECURE, *INSECURE_CHAIN)
    dns.set(HOST, "CNAME", MIDDLE, security=SECURE)
    dns.set("_25._tcp.mx.example.com", "TLSA", TA, security=SECURE)
    dns.set("_25._tcp.host.example.net", "TLSA", EE, security=SECURE)
    facts = await find(dns)
    assert (facts.status, facts.base_domain, facts.records) == (TlsaStatus.USABLE, HOST, (TA,))
    assert tlsa_names(dns) == ["_25._tcp.mx.example.com"]


async def test_an_insecure_alias_has_no_dane(dns: FixtureResolver) -> None:
    """RFC 7672 §2.2.2; rules 30 and 31"""
    put_addresses(dns, INSECURE, *INSECURE_CHAIN)
    dns.set(HOST, "CNAME", MIDDLE, security=INSECURE)
    assert (await find(dns)).status is TlsaStatus.INSECURE
    assert tlsa_names(dns) == []


@pytest.mark.parametrize("security", [BOGUS, FAILED])
async def test_an_alias_whose_state_cannot_be_known_makes_its_host_unusable(
    dns: FixtureResolver, security: Security
) -> None:
    """RFC 7672 §2.1.2; rules 29 and 31"""
    put_addresses(dns, INSECURE, *INSECURE_CHAIN)
    dns.fail(HOST, "CNAME", security)
    facts = await find(dns)
    assert facts.status is TlsaStatus.FAILED
    assert facts.is_bogus is (security is BOGUS)
    assert facts.reason.startswith("CNAME of mx.example.com: ")
    assert tlsa_names(dns) == []


async def test_an_alias_known_to_be_secure_is_not_asked_for_again(dns: FixtureResolver) -> None:
    """RFC 7672 §2.1.3: an answer that was put together from two keeps the state of each."""
    put_addresses(dns, INSECURE, (HOST, MIDDLE, SECURE), (MIDDLE, TARGET, INSECURE))
    dns.set("_25._tcp.mx.example.com", "TLSA", TA, security=SECURE)
    assert (await find(dns)).status is TlsaStatus.USABLE
    assert (HOST, "CNAME") not in dns.asked


async def test_an_expansion_that_is_not_secure_throughout_is_no_candidate(
    dns: FixtureResolver,
) -> None:
    """Who can forge an alias must not name the base domain, whatever the other family says."""
    put_addresses(dns)
    forged = chain((HOST, "evil.example", INSECURE))
    found = Existence.RECORDS
    dns.put(Answer(HOST, "AAAA", INSECURE, found, (IPV6,), cnames=forged, ttl=60))
    dns.set("_25._tcp.evil.example", "TLSA", EE, security=SECURE)
    dns.set("_25._tcp.mx.example.com", "TLSA", TA, security=SECURE)
    assert (await find(dns)).base_domain == HOST
    host = MxHost(HOST, 10, (await find_route(dns)).hosts[0].addresses, aliases=forged)
    assert (await TlsaFinder(dns).find(host, 25)).base_domain == HOST


async def test_records_behind_an_alias_of_their_own_keep_the_base_domain(
    dns: FixtureResolver,
) -> None:
    """RFC 7672 §2.2.3; rule 43"""
    owner = Domain("_25._tcp.mx.example.com")
    links = chain((owner, "tlsa.example.net", SECURE))
    found = Existence.RECORDS
    dns.put(Answer(owner, "TLSA", SECURE, found, (EE,), Domain("tlsa.example.net"), links, ttl=60))
    assert await find(dns) == TlsaFacts(TlsaStatus.USABLE, HOST, (EE,))


# Aliases examined


async def test_links_are_asked_for_until_one_is_not_secure() -> None:
    """RFC 7672 §2.1.3; rule 30: it and all behind it are insecure"""
    dns = FixtureResolver()
    names = [Domain(f"n{number}.example") for number in range(4)]
    links = chain(*((names[i], names[i + 1], INSECURE) for i in range(3)))
    dns.set(names[0], "CNAME", names[1], security=SECURE)
    dns.set(names[1], "CNAME", names[2], security=INSECURE)
    dns.set(names[2], "CNAME", names[3], security=SECURE)
    examined, reason = await examine_aliases(dns, links)
    assert [link.security for link in examined] == [SECURE, INSECURE, INSECURE]
    assert reason == ""
    assert [name for name, _ in dns.asked] == names[:2]

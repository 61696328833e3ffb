"""One suite for every backend that validates: what they say of the lab's zones, and of faults.

The numbers of rules are those that docs/standards.md lists.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import pytest

from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver, StubResolver
from letterlock.network.libunbound import LibunboundResolver
from letterlock.protocols.dns.answers import Answer, Existence, Security
from letterlock.protocols.policy.facts import TlsaFacts, TlsaStatus
from letterlock.services.discover.aliases import examine_aliases
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.discover.routes import NoRoute, Route, RouteFinder
from letterlock.services.discover.tlsa import TlsaFinder
from tests.dnssec_lab.fault_proxy import Fault
from tests.dnssec_lab.lab import DnssecLab, require_libunbound
from tests.dnssec_lab.zones import EE_DIGEST, TA_DIGEST

SECURE, INSECURE = Security.SECURE, Security.INSECURE
BOGUS, FAILED = Security.BOGUS, Security.FAILED
RECORDS, NODATA, NXDOMAIN = Existence.RECORDS, Existence.NODATA, Existence.NXDOMAIN

Asking = Callable[..., AbstractContextManager[Resolver]]


@pytest.fixture(params=["stub", "libunbound"])
def asking(request: pytest.FixtureRequest, dnssec_lab: DnssecLab) -> Asking:
    """Give what makes a resolver of each kind, with an empty memory."""

    @contextmanager
    def stub(seconds: float = 60) -> Iterator[Resolver]:
        dnssec_lab.forget()
        yield StubResolver(
            *dnssec_lab.resolver,
            random=random.SystemRandom(),
            timeout=timedelta(seconds=seconds),
            attempts=1,
        )

    @contextmanager
    def libunbound(seconds: float = 60) -> Iterator[Resolver]:
        resolver = LibunboundResolver(
            dnssec_lab.trust_anchor,
            forward=dnssec_lab.authority,
            timeout=timedelta(seconds=seconds),
        )
        try:
            yield resolver
        finally:
            resolver.close()

    if request.param == "stub":
        return stub
    require_libunbound()
    return libunbound


@pytest.mark.parametrize(
    ("name", "rdtype", "security", "existence", "count"),
    [
        ("example", "SOA", SECURE, RECORDS, 1),
        ("secure.example", "MX", SECURE, RECORDS, 2),
        ("mx1.secure.example", "A", SECURE, RECORDS, 1),
        ("_25._tcp.mx1.secure.example", "TLSA", SECURE, RECORDS, 2),
        ("_25._tcp.mx2.secure.example", "TLSA", SECURE, NXDOMAIN, 0),
        ("mx2.secure.example", "AAAA", SECURE, NODATA, 0),
        ("nx.secure.example", "MX", SECURE, NXDOMAIN, 0),
        ("null-mx.secure.example", "MX", SECURE, RECORDS, 1),
        ("alias-to-alias.secure.example", "A", SECURE, RECORDS, 1),
        ("_25._tcp.mx3.secure.example", "TLSA", SECURE, RECORDS, 1),
        ("_25._tcp.w.wild.secure.example", "TLSA", SECURE, RECORDS, 1),
        ("secure.renamed.secure.example", "MX", SECURE, RECORDS, 2),
        ("nsec3.example", "MX", SECURE, RECORDS, 1),
        ("_25._tcp.mx.nsec3.example", "TLSA", SECURE, RECORDS, 1),
        ("_25._tcp.mx2.nsec3.example", "TLSA", SECURE, NXDOMAIN, 0),
        ("opt-out.example", "MX", SECURE, RECORDS, 1),
        ("nothing", "A", SECURE, NXDOMAIN, 0),
        ("to-unsigned.secure.example", "CNAME", SECURE, RECORDS, 1),
        ("to-unsigned.secure.example", "A", INSECURE, RECORDS, 1),
        ("_25._tcp.mx4.secure.example", "TLSA", INSECURE, RECORDS, 1),
        ("unsigned.example", "MX", INSECURE, RECORDS, 1),
        ("to-secure.unsigned.example", "A", INSECURE, RECORDS, 1),
        ("nx.unsigned.example", "A", INSECURE, NXDOMAIN, 0),
        ("mx.unsigned.example", "AAAA", INSECURE, NODATA, 0),
        ("nx.opt-out.example", "A", INSECURE, NXDOMAIN, 0),
        ("child.opt-out.example", "MX", INSECURE, RECORDS, 1),
        ("island.example", "MX", INSECURE, RECORDS, 1),
        ("unknown.example", "MX", INSECURE, RECORDS, 1),
    ],
)
async def test_an_answer_is_as_secure_as_its_zones(
    asking: Asking,
    name: str,
    rdtype: str,
    security: Security,
    existence: Existence,
    count: int,
) -> None:
    """RFC 4035 §4.3; RFC 7672 §2.1.1, §2.1.3; rules 26 and 30"""
    with asking() as resolver:
        answer = await resolver.ask(Domain(name), rdtype)
    assert (answer.security, answer.existence) == (security, existence), answer
    assert len(answer.records) == count
    assert answer.ttl > 0


@pytest.mark.parametrize(
    ("name", "rdtype", "reason"),
    [
        ("bogus.example", "MX", ""),
        ("nx.bogus.example", "TLSA", ""),
        ("to-bogus.secure.example", "A", ""),
        ("expired.example", "MX", "signature expired"),
        ("future.example", "MX", "signature before inception date"),
        ("wrong-ds.example", "MX", "no keys have a DS"),
        ("keys-not-signed.example", "MX", ""),
        ("lost-key.example", "MX", ""),
        ("mx.without-nsec.example", "AAAA", ""),
        ("nx.without-nsec.example", "A", ""),
        ("lame.example", "MX", "DNSKEY"),
    ],
)
async def test_what_does_not_validate_is_bogus_and_says_why(
    asking: Asking, name: str, rdtype: str, reason: str
) -> None:
    """RFC 4035 §4.3, RFC 8914 §4; RFC 7672 §2.1.1; rule 26"""
    with asking() as resolver:
        answer = await resolver.ask(Domain(name), rdtype)
    assert (answer.security, answer.records) == (BOGUS, ())
    assert answer.reason.startswith("DNSSEC validation failed (")
    assert reason in answer.reason


async def test_aliases_come_with_their_states(asking: Asking) -> None:
    """RFC 7672 §2.1.3; rules 30 and 31"""
    with asking() as resolver:
        answer = await resolver.ask(Domain("to-unsigned.secure.example"), "A")
        examined, reason = await examine_aliases(resolver, answer.cnames)
        beside = await resolver.ask(Domain("to-secure.unsigned.example"), "A")
        insecure, _ = await examine_aliases(resolver, beside.cnames)
    assert [(link.name, link.security) for link in examined] == [
        ("to-unsigned.secure.example", SECURE)
    ]
    assert [link.security for link in insecure] == [INSECURE]
    assert reason == ""


# Faults on the way

TLSA_NAME = "_25._tcp.mx1.secure.example"


async def ask_tlsa(asking: Asking, seconds: float = 60) -> Answer:
    with asking(seconds) as resolver:
        return await resolver.ask(Domain(TLSA_NAME), "TLSA")


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.REFUSED, Fault.NOTIMP])
async def test_a_failing_name_server_is_a_failed_lookup(
    asking: Asking, dnssec_lab: DnssecLab, fault: Fault
) -> None:
    """RFC 7672 §2.1.2; rule 29"""
    with dnssec_lab.failing(TLSA_NAME, "TLSA", fault):
        answer = await ask_tlsa(asking)
    assert answer.security is FAILED, answer
    assert "SERVFAIL" in answer.reason


@pytest.mark.parametrize("fault", [Fault.NXDOMAIN, Fault.NO_SIGNATURES])
async def test_a_forged_answer_is_bogus(
    asking: Asking, dnssec_lab: DnssecLab, fault: Fault
) -> None:
    """RFC 4035 §5.4; RFC 7672 §2.1.1: a denial without proof, records without signatures"""
    with dnssec_lab.failing(TLSA_NAME, "TLSA", fault):
        answer = await ask_tlsa(asking)
    assert answer.security is BOGUS, answer


async def test_a_large_answer_comes_by_tcp(asking: Asking, dnssec_lab: DnssecLab) -> None:
    with dnssec_lab.failing(TLSA_NAME, "TLSA", Fault.TRUNCATED):
        answer = await ask_tlsa(asking)
    assert (answer.security, len(answer.records)) == (SECURE, 2)


async def test_a_silent_name_server_fails_in_our_own_time(
    asking: Asking, dnssec_lab: DnssecLab
) -> None:
    """Resolvers go on asking for longer than mail should wait. RFC 7672 §2.1.2; rule 29"""
    with dnssec_lab.failing(TLSA_NAME, "TLSA", Fault.DROP):
        async with asyncio.timeout(60):
            answer = await ask_tlsa(asking, seconds=1.0)
    assert answer.security is FAILED
    assert "in time" in answer.reason


# The whole way to TLSA records


async def find(resolver: Resolver, domain: str, port: int = 25) -> list[TlsaFacts]:
    route = await RouteFinder(resolver, random.Random(1)).find(parse_next_hop(domain))
    assert isinstance(route, Route), route
    finder = TlsaFinder(resolver)
    return [await finder.find(host, port) for host in route.hosts]


@pytest.mark.parametrize(
    ("next_hop", "status", "base_domain"),
    [
        ("secure.example", TlsaStatus.USABLE, "mx1.secure.example"),
        ("nsec3.example", TlsaStatus.USABLE, "mx.nsec3.example"),
        ("alias-mx.secure.example", TlsaStatus.USABLE, "mx1.secure.example"),
        ("[alias-to-alias.secure.example]", TlsaStatus.USABLE, "mx1.secure.example"),
        ("unsigned-mx.secure.example", TlsaStatus.USABLE, "to-unsigned.secure.example"),
        ("hosted.unsigned.example", TlsaStatus.USABLE, "mx1.secure.example"),
        ("[mx3.secure.example]", TlsaStatus.USABLE, "mx3.secure.example"),
        ("[mx4.secure.example]", TlsaStatus.INSECURE, None),
        ("[unusable.secure.example]", TlsaStatus.UNUSABLE, "unusable.secure.example"),
        ("implicit.secure.example", TlsaStatus.NONE, None),
        ("[w.wild.secure.example]", TlsaStatus.USABLE, "w.wild.secure.example"),
        ("unsigned.example", TlsaStatus.INSECURE, None),
        ("[to-secure.unsigned.example]", TlsaStatus.INSECURE, None),
        ("island.example", TlsaStatus.INSECURE, None),
        ("unknown.example", TlsaStatus.INSECURE, None),
    ],
)
async def test_the_records_of_each_host_are_found(
    asking: Asking, next_hop: str, status: TlsaStatus, base_domain: str | None
) -> None:
    """RFC 7672 §2.2.2, §2.2.3; rules 31, 32, 33, 34, 39, 41 and 43"""
    with asking() as resolver:
        facts = (await find(resolver, next_hop))[0]
    assert (facts.status, facts.base_domain) == (status, base_domain), facts


async def test_records_come_as_published(asking: Asking) -> None:
    with asking() as resolver:
        facts, without = await find(resolver, "secure.example")
    assert {str(record) for record in facts.records} == {f"3 1 1 {EE_DIGEST}", f"2 1 1 {TA_DIGEST}"}
    assert without.status is TlsaStatus.NONE


async def test_a_bogus_mx_leads_nowhere_and_is_no_missing_mx(asking: Asking) -> None:
    """RFC 7672 §2.1.2; rule 27: mail waits, and the domain's own address is not tried"""
    with asking() as resolver:
        finder = RouteFinder(resolver, random.Random(1))
        route = await finder.find(parse_next_hop("bogus.example"))
    assert isinstance(route, NoRoute)
    assert not route.is_permanent


async def test_a_host_behind_an_alias_to_a_bogus_zone_is_unreachable(asking: Asking) -> None:
    """RFC 7672 §2.1.3; rule 30: an error at any link fails the lookup"""
    with asking() as resolver:
        finder = RouteFinder(resolver, random.Random(1))
        route = await finder.find(parse_next_hop("[to-bogus.secure.example]"))
    assert isinstance(route, NoRoute)
    assert not route.is_permanent


@pytest.mark.parametrize(
    "fault", [Fault.SERVFAIL, Fault.REFUSED, Fault.NOTIMP, Fault.NXDOMAIN, Fault.NO_SIGNATURES]
)
async def test_no_fault_of_a_tlsa_lookup_is_no_dane(
    asking: Asking, dnssec_lab: DnssecLab, fault: Fault
) -> None:
    """RFC 7672 §2.1.2; rule 29"""
    with dnssec_lab.failing(TLSA_NAME, "TLSA", fault), asking() as resolver:
        facts = (await find(resolver, "secure.example"))[0]
    assert facts.status is TlsaStatus.FAILED


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.REFUSED, Fault.NXDOMAIN])
async def test_a_broken_ipv6_lookup_does_not_hurt_ipv4(
    asking: Asking, dnssec_lab: DnssecLab, fault: Fault
) -> None:
    """RFC 7672 §2.1.2; rule 28"""
    with dnssec_lab.failing("mx1.secure.example", "AAAA", fault), asking() as resolver:
        facts = (await find(resolver, "secure.example"))[0]
    assert facts.status is TlsaStatus.USABLE


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.NOTIMP])
async def test_servers_of_unsigned_zones_may_fail_tlsa_queries(
    asking: Asking, dnssec_lab: DnssecLab, fault: Fault
) -> None:
    """RFC 7672 §2.2.2; rule 39: mail for them must not wait"""
    with dnssec_lab.failing("_25._tcp.mx.unsigned.example", "TLSA", fault), asking() as resolver:
        facts = (await find(resolver, "unsigned.example"))[0]
    assert facts.status is TlsaStatus.INSECURE

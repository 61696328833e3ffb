"""Chains beside the resolver's word, and as a part of a document."""

from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.check.facts import AddressFacts, DomainFacts, HostFacts, State
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.policy.facts import TlsaFacts, TlsaStatus
from letterlock.services.check.chain_document import describe_chains
from letterlock.services.check.chains import ChainLooker, Explained
from letterlock.services.discover.resolver_check import ResolverState, SelfTest
from letterlock.services.discover.trust_chains import ChainFinder
from tests.fakes import FixtureResolver
from tests.fuzz.dnssec_chains import NOW
from tests.services.discover.test_trust_chains import KEYS, Dns, find_anchors

DOMAIN, HOST = Domain("example.org"), Domain("mx.example.org")
TLSA_NAME = Domain("_26._tcp.mx.example.org")


def make_facts(*addresses: str, tlsa: TlsaFacts | None = None) -> DomainFacts:
    seen = tuple(AddressFacts(ip_address(ip), Security.SECURE, State.OK) for ip in addresses)
    literal = HostFacts(None, 0, seen)
    return DomainFacts(DOMAIN, (HostFacts(HOST, 10, seen, tlsa), literal), Security.SECURE)


def make_world() -> Dns:
    digest = "3 1 1 " + "00" * 32
    return Dns(
        {
            ("example.org", "MX"): ["10 mx.example.org."],
            ("mx.example.org", "A"): ["192.0.2.1"],
            ("mx.example.org", "AAAA"): ["2001:db8::1"],
            ("_26._tcp.mx.example.org", "TLSA"): [digest],
            ("alias.example.org", "CNAME"): ["mx.example.org."],
            ("_26._tcp.alias.example.org", "CNAME"): ["_26._tcp.mx.example.org."],
        }
    )


def make_resolver(**security: Security) -> FixtureResolver:
    resolver = FixtureResolver()
    for name, rdtype in ((DOMAIN, "MX"), (HOST, "A"), (HOST, "AAAA"), (TLSA_NAME, "TLSA")):
        resolver.set(name, rdtype, security=security.get(rdtype, Security.SECURE))
    return resolver


async def look(
    facts: DomainFacts,
    resolver: Resolver,
    world: Dns | None = None,
    self_test: SelfTest = SelfTest.PASSED,
) -> Explained:
    finder = ChainFinder((world or make_world()).ask, find_anchors())
    state = ResolverState("127.0.0.1:53", True, self_test, "it does not validate", "turn it on")  # noqa: FBT003 - is_trusted
    return await ChainLooker(finder, resolver, state).look(facts, 26, NOW)


async def test_all_that_mail_rests_on_is_followed() -> None:
    """RFC 7672 §2.2"""
    facts = make_facts("192.0.2.1", "192.0.2.2", "2001:db8::1")
    explained = await look(facts, make_resolver())
    assert [(each.name, each.rdtype, each.status) for each in explained.chains.records] == [
        (DOMAIN, "MX", "secure"),
        (HOST, "A", "secure"),
        (HOST, "AAAA", "secure"),
        (TLSA_NAME, "TLSA", "secure"),
    ]
    assert [each.security for each in explained.said if each] == [Security.SECURE] * 4
    assert explained.findings == ()


async def test_of_a_host_without_addresses_the_one_it_should_have_is_followed() -> None:
    """There it is that a broken zone shows."""
    without_mx = DomainFacts(HOST, (HostFacts(HOST, 0, error="bogus"),), None)
    explained = await look(without_mx, make_resolver())
    assert [each.rdtype for each in explained.chains.records] == ["A", "TLSA"]


async def test_a_name_that_is_too_long_for_dns_is_not_asked_for() -> None:
    long = Domain(".".join(["a" * 60] * 4 + ["example"]))
    explained = await look(DomainFacts(long, (HostFacts(long, 0),), None), FixtureResolver())
    assert [(each.name, each.rdtype) for each in explained.chains.records] == [(long, "A")]


async def test_tlsa_records_are_those_of_the_base_domain() -> None:
    """RFC 7672 §2.2.3; and of an alias the resolver is not asked, but of what it leads to"""
    facts = TlsaFacts(TlsaStatus.USABLE, Domain("alias.example.org"))
    explained = await look(make_facts("192.0.2.1", tlsa=facts), make_resolver())
    names = [each.name for each in explained.chains.records if each.rdtype == "TLSA"]
    assert names == ["_26._tcp.alias.example.org", TLSA_NAME]
    assert [said is None for said in explained.said] == [False, False, True, False]


async def test_a_resolver_that_says_otherwise_is_told() -> None:
    resolver = make_resolver()
    resolver.fail(HOST, "A", Security.BOGUS)
    (finding,) = (await look(make_facts("192.0.2.1"), resolver)).findings
    assert (finding.id, finding.where) == ("dnssec-resolver-disagrees", HOST)


@pytest.mark.parametrize("self_test", [SelfTest.FAILED, SelfTest.UNTRUSTED])
async def test_the_word_of_a_resolver_that_does_not_validate_is_not_asked_for(
    self_test: SelfTest,
) -> None:
    """RFC 4035 §4.9.3; the chain is known all the same"""
    resolver = FixtureResolver()
    explained = await look(make_facts("192.0.2.1"), resolver, self_test=self_test)
    assert {each.status for each in explained.chains.records} == {"secure"}
    assert (set(explained.said), resolver.asked) == ({None}, [])
    (finding,) = explained.findings
    assert (finding.id, finding.where) == ("dnssec-resolver-not-validating", DOMAIN)
    assert finding.evidence == "it does not validate"


async def test_all_of_it_is_in_the_document() -> None:
    world = make_world()
    world.silent.add((TLSA_NAME, "TLSA"))
    document = describe_chains(await look(make_facts("192.0.2.1"), make_resolver(), world))
    root, org, example = document["zones"]
    assert (root["zone"], root["parent"], org["parent"], example["parent"]) == (
        ".",
        None,
        ".",
        "org",
    )
    ds = str(KEYS["example.org"].make_ds("example.org")).upper()
    (key,) = example["keys"]
    assert (example["ds"], key["ds"], key["entry_point"]) == ([ds], ds, True)
    assert example["until"] == "2026-03-15T00:00:00Z"
    mx, _, tlsa = document["records"]
    assert (mx["status"], mx["resolver"], mx["cause"], mx["fix"]) == (
        "secure",
        "secure",
        None,
        None,
    )
    assert mx["until"] == "2026-03-15T00:00:00Z"
    assert (tlsa["status"], tlsa["cause"], tlsa["who"], tlsa["until"]) == (
        "undecided",
        "no-answer",
        "dns-operator",
        None,
    )
    assert tlsa["evidence"] == f"TLSA of {TLSA_NAME}: no answer"


def test_without_the_option_there_is_nothing() -> None:
    assert describe_chains(None) == {"zones": None, "records": None}

"""What is wrong with what is published: one thing at a time, and nothing where all is right."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.network.dns_authority import NotSaid, Served
from letterlock.protocols.dns.answers import CaaRecord, Existence, MxRecord, Security, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.pki.throwaway_ca import self_signed
from letterlock.services.discover.authorities import NotFound
from letterlock.services.publish.check import State
from letterlock.services.publish.findings import Code, Severity
from letterlock.services.publish.records import (
    DkimKey,
    OwnHost,
    RecordKind,
    make_policy_id,
    make_tlsa,
)
from letterlock.storage.served_policies import ServedPolicy
from tests.network.certificates import NOW, authority, issue
from tests.services.publish.own import ACCOUNT, DOMAIN, HOST, IPV4, IPV6, POLICY, own_host
from tests.services.publish.world import SERVERS, World

TLSA, PTR = f"_25._tcp.{HOST}", "1.2.0.192.in-addr.arpa"
STS, POLICY_HOST, DMARC = f"_mta-sts.{DOMAIN}", f"mta-sts.{DOMAIN}", f"_dmarc.{DOMAIN}"
OTHER = Domain("mx9.example.org")
KEY = own_host().keys[0]
RIGHT, STALE = make_tlsa(KEY), make_tlsa(b"\x09" * 32)
PUBLIC, PRIVATE = IPv4Address("198.41.0.4"), IPv4Address("10.0.0.1")

Change = Callable[[World], None]


def given_tlsa(*records: TlsaRecord, security: Security = Security.SECURE) -> Change:
    return lambda world: world.set(TLSA, "TLSA", *records, security=security)


def given_text(name: str, *texts: str) -> Change:
    return lambda world: world.set(name, "TXT", *texts)


def given_policy(**changes: object) -> Change:
    return lambda world: world.serve(replace(POLICY, **changes))  # type: ignore[arg-type]  # a table of many types


def with_other_mx(world: World) -> None:
    world.set(DOMAIN, "MX", MxRecord(10, HOST), MxRecord(20, OTHER))
    world.set(OTHER, "A", PUBLIC)
    world.set(f"_25._tcp.{OTHER}", "TLSA", STALE)
    world.serve(replace(POLICY, mx=("*.example.org",)))


def with_alias(world: World) -> None:
    world.set("host.example.org", "A", IPV4)
    world.set("host.example.org", "AAAA", IPV6)
    world.alias(HOST, "host.example.org")


def without_policy_host(world: World) -> None:
    world.remove(POLICY_HOST, "A")
    world.remove(POLICY_HOST, "AAAA")


async def test_where_all_is_published_nothing_is_found() -> None:
    report = await World().check()
    assert report.findings == ()
    assert {state.state for state in report.states} == {State.RIGHT}
    assert (report.undecided, report.has_faults) == ((), False)


TABLE: list[tuple[Change, list[str]]] = [
    # MX
    (lambda w: w.remove(DOMAIN, "MX"), [f"error mx-missing {DOMAIN}"]),
    (lambda w: w.set(DOMAIN, "MX", MxRecord(0, None)), [f"error mx-null {DOMAIN}"]),
    (lambda w: w.set(DOMAIN, "MX", MxRecord(0, None), MxRecord(10, HOST)), [
        f"error mx-null-beside {DOMAIN}",
    ]),
    (with_other_mx, [
        f"warning mx-host-foreign {DOMAIN}",
        f"error mta-sts-policy-differs {POLICY_HOST}",
    ]),
    (lambda w: w.set(DOMAIN, "MX", MxRecord(5, HOST)), []),
    (with_alias, [f"error mx-is-alias {HOST}"]),
    # Addresses and reverse names
    (lambda w: w.remove(HOST, "AAAA"), [f"error address-missing {HOST}"]),
    (lambda w: w.set(HOST, "A", IPV4, PRIVATE), [f"error address-not-public {HOST}"]),
    (lambda w: w.set(HOST, "A", IPV4, PUBLIC), [
        f"warning address-foreign {HOST}",
        "error ptr-missing 4.0.41.198.in-addr.arpa",
    ]),
    (lambda w: w.remove(PTR, "PTR"), [f"error ptr-missing {PTR}"]),
    (lambda w: w.set(PTR, "PTR", OTHER), [
        f"warning ptr-differs {PTR}", f"error ptr-not-confirmed {PTR}",
    ]),
    (lambda w: w.set(PTR, "PTR", OTHER, HOST), [f"error ptr-not-confirmed {PTR}"]),
    # DMARC
    (lambda w: w.remove(DMARC, "TXT"), [f"warning dmarc-missing {DMARC}"]),
    (given_text(DMARC, "v=DMARC1; p=none", "v=DMARC1; p=none;"), [f"error dmarc-several {DMARC}"]),
    (given_text(DMARC, "v=DMARC1; rua=mailto:a@b"), [f"error dmarc-invalid {DMARC}"]),
    (given_text(DMARC, "v=DMARC1; p=reject"), [f"note dmarc-differs {DMARC}"]),
    # TLSA
    (given_tlsa(), [f"warning tlsa-missing {TLSA}"]),
    (given_tlsa(STALE), [f"error tlsa-no-match {TLSA}"]),
    (given_tlsa(RIGHT, STALE), [f"warning tlsa-stale {TLSA}"]),
    (given_tlsa(RIGHT, security=Security.INSECURE), [f"warning tlsa-unsigned {TLSA}"]),
    (given_tlsa(RIGHT, TlsaRecord(1, 1, 1, KEY)), [f"warning tlsa-unusable {TLSA}"]),
    (given_tlsa(TlsaRecord(0, 1, 1, KEY)), [
        f"warning tlsa-unusable {TLSA}", f"error tlsa-unusable {TLSA}",
    ]),
    (given_tlsa(RIGHT, TlsaRecord(2, 1, 1, KEY)), [f"error tlsa-kind-no-match {TLSA}"]),
    (given_tlsa(RIGHT, TlsaRecord(3, 0, 0, own_host().chains[0][0])), [
        f"warning tlsa-full {TLSA}", f"warning tlsa-fragile {TLSA}",
    ]),
    # MTA-STS
    (lambda w: w.remove(STS, "TXT"), [f"warning mta-sts-missing {STS}"]),
    (given_text(STS, "v=STSv1; id=1"), [f"warning mta-sts-id-differs {STS}"]),
    (given_text(STS, "v=STSv1; id=1", "v=STSv1; id=2"), [f"error mta-sts-several {STS}"]),
    (given_text(STS, "v=STSv1;"), [f"error mta-sts-invalid {STS}"]),
    (lambda w: w.policies.policies.clear(), [f"error mta-sts-no-policy {POLICY_HOST}"]),
    (lambda w: w.policies.policies.update({DOMAIN: b"mode: enforce\n"}), [
        f"error mta-sts-policy-invalid {POLICY_HOST}"
    ]),
    (given_policy(mode=MtaStsMode.TESTING), [
        f"error mta-sts-policy-differs {POLICY_HOST}", f"note mta-sts-testing {POLICY_HOST}",
    ]),
    (given_policy(mode=MtaStsMode.NONE), [
        f"error mta-sts-policy-differs {POLICY_HOST}", f"note mta-sts-none {POLICY_HOST}",
    ]),
    (given_policy(max_age=timedelta(hours=1)), [
        f"error mta-sts-policy-differs {POLICY_HOST}", f"warning mta-sts-short {POLICY_HOST}",
    ]),
    (given_policy(mx=(OTHER,)), [
        f"error mta-sts-policy-differs {POLICY_HOST}",
        f"error mta-sts-mx-unlisted {HOST}",
        f"note mta-sts-mx-unused {POLICY_HOST}",
    ]),
    (given_policy(mx=(OTHER,), mode=MtaStsMode.TESTING), [
        f"error mta-sts-policy-differs {POLICY_HOST}",
        f"note mta-sts-testing {POLICY_HOST}",
        f"warning mta-sts-mx-unlisted {HOST}",
        f"note mta-sts-mx-unused {POLICY_HOST}",
    ]),
    (without_policy_host, [f"error policy-host-missing {POLICY_HOST}"]),
    (lambda w: w.set(POLICY_HOST, "A", PUBLIC), [f"note policy-host-differs {POLICY_HOST}"]),
    # TLSRPT
    (lambda w: w.remove(f"_smtp._tls.{DOMAIN}", "TXT"), [
        f"note tlsrpt-missing _smtp._tls.{DOMAIN}"
    ]),
    (lambda w: w.remove(f"_smtp._tls.{HOST}", "TXT"), [f"note tlsrpt-missing _smtp._tls.{HOST}"]),
    (given_text(f"_smtp._tls.{DOMAIN}", "v=TLSRPTv1;"), [
        f"error tlsrpt-invalid _smtp._tls.{DOMAIN}"
    ]),
    (given_text(f"_smtp._tls.{DOMAIN}", "v=TLSRPTv1; rua=ftp:x"), [
        f"error tlsrpt-invalid _smtp._tls.{DOMAIN}"
    ]),
    (given_text(f"_smtp._tls.{DOMAIN}", "v=TLSRPTv1; rua=mailto:x@example.net"), [
        f"note tlsrpt-differs _smtp._tls.{DOMAIN}"
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), TABLE)
async def test_each_thing_that_is_wrong_is_found(change: Change, expected: list[str]) -> None:
    """RFC 7671 §8; RFC 7672 §3.1.3; RFC 8461 §3.1, §4.1; rules 138, 139, 140 and 149"""
    world = World()
    change(world)
    assert sorted(await world.find_codes()) == sorted(expected)


async def test_domain_that_does_not_exist_is_told_so() -> None:
    world = World()
    world.resolver._answers.clear()
    codes = await world.find_codes()
    assert f"error domain-missing {DOMAIN}" in codes
    # An MX record is no use to a name that nobody registered.
    (fix,) = [each.fix for each in (await world.check()).findings if each.code == "domain-missing"]
    assert fix.startswith("look whether the name is right; if so, register it")
    assert fix.endswith(f"add an MX record for {HOST}")
    assert {state.state for state in (await world.check()).states} == {State.MISSING}


async def test_what_is_missing_is_always_told() -> None:
    """A record that should be there and is not has a finding at its name."""
    world = World()
    for record in world.plan.records:
        world.remove(record.name, record.rdtype)
    world.remove(POLICY_HOST, "A")
    world.remove(POLICY_HOST, "AAAA")
    report = await world.check()
    assert {state.state for state in report.states} == {State.MISSING}
    named = {finding.name for finding in report.findings}
    # An address that is not there needs no name.
    missing = {r.name for r in world.plan.records if r.kind is not RecordKind.PTR}
    assert missing <= named


async def test_host_of_ours_without_an_mx_record_gets_no_mail() -> None:
    world = World()
    world.set(DOMAIN, "MX", MxRecord(10, OTHER))
    world.set(OTHER, "A", PUBLIC)
    codes = await world.find_codes()
    assert {f"error mx-host-missing {DOMAIN}", f"warning mx-host-foreign {DOMAIN}"} <= {*codes}


async def test_mx_record_with_an_address_is_wrong() -> None:
    """RFC 5321 §5.1"""
    world = World()
    world.set(DOMAIN, "MX", MxRecord(10, HOST), MxRecord(20, Domain("192.0.2.1")))
    assert f"error mx-is-address {DOMAIN}" in await world.find_codes()


@pytest.mark.parametrize(
    ("usable", "severity"), [((MxRecord(10, HOST),), "warning"), ((), "error")]
)
async def test_mx_record_that_names_no_domain_name_is_told(
    usable: tuple[MxRecord, ...], severity: str
) -> None:
    """RFC 5321 §5.1: with an MX record present, the domain itself is no mail host."""
    world = World()
    world.set(DOMAIN, "MX", *usable)
    reason = "1 record skipped: a name in it is no domain name ('bad\\032name.example')"
    answer = await world.resolver.ask(DOMAIN, "MX")
    world.resolver.put(replace(answer, existence=Existence.RECORDS, reason=reason))
    found = (await world.check(is_ours=False)).findings
    told = [(each.severity.value, each.code, each.text) for each in found if "mx-" in each.code]
    text = f"what an MX record names has to be a host: {reason}"
    assert [each for each in told if not each[1].startswith("mta-sts")] == [
        (severity, "mx-invalid", text)
    ]


async def test_host_without_any_address_is_told_once() -> None:
    world = World()
    world.remove(HOST, "A")
    world.remove(HOST, "AAAA")
    codes = await world.find_codes()
    assert codes.count(f"error address-missing {HOST}") == 1


async def test_dmarc_record_of_a_parent_is_enough() -> None:
    """RFC 7489 §6.6.3"""
    world = World(domain=Domain("mail.example.org"))
    world.remove("_dmarc.mail.example.org", "TXT")
    world.set("_dmarc.example.org", "TXT", "v=DMARC1; p=none")
    assert "note dmarc-missing _dmarc.mail.example.org" in await world.find_codes()


async def test_unsigned_zone_makes_missing_tlsa_records_a_note() -> None:
    """RFC 7672 §2.2.2: without DNSSEC there is no DANE."""
    world = World()
    world.unsign()
    world.set(TLSA, "TLSA", security=Security.INSECURE)
    assert await world.find_codes() == [
        f"note dnssec-unsigned {DOMAIN}",
        f"note tlsa-missing {TLSA}",
    ]


async def test_resolver_that_does_not_validate_leaves_dnssec_open() -> None:
    world = World()
    world.is_validating = False
    world.unsign()
    assert await world.find_codes() == [f"note dnssec-unknown {DOMAIN}"]
    world.set(TLSA, "TLSA", security=Security.INSECURE)
    assert f"note tlsa-missing {TLSA}" in await world.find_codes()


async def test_what_does_not_validate_is_an_error() -> None:
    """RFC 7672 §2.1.2: senders that validate wait"""
    world = World()
    world.resolver.fail(TLSA, "TLSA", Security.BOGUS)
    report = await world.check()
    assert await world.find_codes() == [f"error dnssec-bogus {TLSA}"]
    assert report.states[-1].state is State.UNKNOWN
    assert report.undecided == ()


async def test_what_nobody_answers_is_undecided() -> None:
    world = World()
    for name in (DOMAIN, DMARC, STS, HOST, TLSA):
        for rdtype in ("MX", "TXT", "TLSA", "A", "AAAA"):
            world.resolver.fail(name, rdtype)
    report = await world.check()
    assert not report.has_faults
    assert f"MX of {DOMAIN}: no answer" in report.undecided
    assert State.UNKNOWN in {state.state for state in report.states}


async def test_host_without_tls_must_have_no_tlsa_records() -> None:
    """RFC 7672 §2.2; rule 138"""
    world = World(hosts=(own_host(chains=()),), policy=None)
    world.set(TLSA, "TLSA")
    assert await world.find_codes() == [f"note mta-sts-unused {STS}"]
    world.set(TLSA, "TLSA", RIGHT)
    assert f"error tlsa-without-tls {TLSA}" in await world.find_codes()


async def test_both_types_of_key_have_to_match() -> None:
    """RFC 7671 §8; rule 140"""
    chains = (issue((HOST,)).chain_der, issue((HOST,), "rsa").chain_der)
    world = World(hosts=(own_host(chains=chains),))
    assert await world.find_codes() == []
    world.set(TLSA, "TLSA", RIGHT)
    assert await world.find_codes() == [f"error tlsa-no-match {TLSA}"]


async def test_next_key_belongs_beside_the_current_one() -> None:
    """RFC 7671 §8.1; rule 141"""
    world = World(hosts=(own_host(next_keys=(b"\x09" * 32,)),))
    assert await world.find_codes() == []
    world.set(TLSA, "TLSA", RIGHT)
    assert await world.find_codes() == [f"warning tlsa-next-missing {TLSA}"]


async def test_anchor_in_dns_has_to_be_in_the_chain() -> None:
    """RFC 7672 §3.1.2; rule 137"""
    anchor = TlsaRecord(2, 0, 1, sha256(authority().der).digest())
    chain = issue((HOST,)).chain_der
    world = World(hosts=(own_host(chains=((*chain, authority().der),)),))
    world.set(TLSA, "TLSA", RIGHT, anchor)
    assert await world.find_codes() == []
    world = World(hosts=(own_host(chains=(chain[:1],)),))
    world.set(TLSA, "TLSA", RIGHT, anchor)
    assert await world.find_codes() == [f"error tlsa-kind-no-match {TLSA}"]


async def test_long_ttl_is_noted() -> None:
    """RFC 7671 §13; rule 142"""
    world = World()
    answer = world.resolver._answers[TLSA, "TLSA"]
    world.resolver.put(replace(answer, ttl=7 * 86400))
    assert await world.find_codes() == [f"note tlsa-long-ttl {TLSA}"]
    # In the resolver's cache it has run down.
    world.resolver.put(answer)
    assert await world.find_codes() == []
    for server in SERVERS:
        world.servers.said[TLSA, server] = Served(frozenset({"3 1 1 00"}), 7 * 86400)
    assert await world.find_codes() == [f"note tlsa-long-ttl {TLSA}"]


DKIM_RECORD = "v=DKIM1; k=rsa; t=s; p=AAAA"


@pytest.mark.parametrize(
    ("published", "code"),
    [
        ([DKIM_RECORD], None),
        (["p=AAAA; s=email; h=sha1:sha256; n=mine"], None),
        ([], "dkim-missing"),
        (["v=DKIM1; p=BBBB"], "dkim-differs"),
        (["v=DKIM1; p="], "dkim-differs"),
        (["v=DKIM1; k=ed25519; p=AAAA"], "dkim-differs"),
        (["v=DKIM1; p=AAAA; h=sha1"], "dkim-differs"),
        (["v=DKIM1; p=AAAA; s=tlsrpt"], "dkim-differs"),
        (["v=spf1 -all"], "dkim-differs"),
        ([DKIM_RECORD, "v=DKIM1; p=BBBB"], "dkim-several"),
    ],
)
@pytest.mark.parametrize(("is_next", "severity"), [(False, "error"), (True, "warning")])
async def test_dkim_key_has_to_be_published(
    published: list[str], code: str | None, is_next: bool, severity: str
) -> None:
    """RFC 6376 §3.6.1, §3.6.2.2; the record may differ in what does not matter."""
    world = World(dkim_keys=(DkimKey("s1.b", DKIM_RECORD, is_next),))
    name = f"s1.b._domainkey.{DOMAIN}"
    given_text(name, *published)(world)
    assert await world.find_codes() == ([f"{severity} {code} {name}"] if code else [])


async def test_dkim_key_may_be_tried() -> None:
    """RFC 6376 §3.6.1, flag y"""
    world = World(dkim_keys=(DkimKey("s1", DKIM_RECORD),))
    given_text(f"s1._domainkey.{DOMAIN}", "v=DKIM1; t=y; p=AAAA")(world)
    assert await world.find_codes() == [f"note dkim-testing s1._domainkey.{DOMAIN}"]


@pytest.mark.parametrize(
    ("mode", "severity"), [(MtaStsMode.ENFORCE, "error"), (MtaStsMode.TESTING, "warning")]
)
@pytest.mark.parametrize(
    ("chains", "words"),
    [
        ((), "no certificate"),
        ((self_signed([HOST], now=NOW).chain_der,), "does not meet the policy"),
        ((issue((OTHER,)).chain_der,), "does not meet the policy"),
        (((b"no certificate",),), "does not meet the policy"),
    ],
)
async def test_certificate_has_to_meet_the_policy(
    chains: Any, words: str, mode: MtaStsMode, severity: str
) -> None:
    """RFC 8461 §4.2"""
    world = World(policy=replace(POLICY, mode=mode), hosts=(own_host(chains=chains),))
    found = [f for f in (await world.check()).findings if f.code == "mta-sts-certificate"]
    assert [(f.severity, f.name) for f in found] == [(severity, HOST)]
    assert words in found[0].text


async def test_policy_that_is_none_demands_no_certificate() -> None:
    policy = MtaStsPolicy(MtaStsMode.NONE, (), timedelta(days=1))
    world = World(policy=policy, hosts=(own_host(chains=()),))
    assert not any("certificate" in code for code in await world.find_codes())


OURS = CaaRecord(
    0,
    b"issue",
    b"ca.example; accounturi=https://ca.example/acct/1; validationmethods=http-01,dns-01",
)
OTHER_CA = CaaRecord(0, b"issue", b"other.example")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ((OURS,), []),
        ((OURS, OTHER_CA), []),
        ((CaaRecord(0, b"issue", b"ca.example"),), [f"note caa-differs {HOST}"]),
        ((CaaRecord(0, b"iodef", b"mailto:a@b.c"),), [f"note caa-differs {HOST}"]),
        ((), [f"note caa-missing {HOST}"]),
        ((OTHER_CA,), [f"error caa-forbids-us {HOST}"]),
        ((CaaRecord(0, b"issue", b"ca.example; validationmethods=x"),), [
            f"error caa-forbids-us {HOST}"
        ]),
        ((CaaRecord(128, b"what", b""), OURS), [f"error caa-forbids-us {HOST}"]),
    ],
)  # fmt: skip
async def test_our_account_has_to_be_allowed(
    records: tuple[CaaRecord, ...], expected: list[str]
) -> None:
    """RFC 8659 §4.2; RFC 8657 §3, §4"""
    world = World(accounts=(ACCOUNT,), certificate_names=(HOST,))
    world.set(HOST, "CAA", *records)
    assert await world.find_codes() == expected


async def test_caa_records_that_are_not_known_are_no_finding() -> None:
    world = World(accounts=(ACCOUNT,), certificate_names=(HOST,))
    world.resolver.fail(HOST, "CAA")
    report = await world.check()
    assert (report.findings, report.undecided) == ((), (f"CAA of {HOST}: no answer",))
    world.resolver.fail(HOST, "CAA", Security.BOGUS)
    assert await world.find_codes() == [f"error dnssec-bogus {HOST}"]
    # Above the name, where nothing of ours is planned.
    world.remove(HOST, "CAA")
    world.resolver.fail(DOMAIN, "CAA", Security.BOGUS)
    assert await world.find_codes() == [f"error dnssec-bogus {DOMAIN}"]


async def test_without_an_account_caa_says_nothing() -> None:
    world = World(certificate_names=(HOST,))
    world.set(HOST, "CAA", OTHER_CA)
    assert await world.find_codes() == []


async def test_servers_that_have_something_else_are_named() -> None:
    """RFC 1034 §4.3.5"""
    world = World()
    world.servers.said[TLSA, SERVERS[1]] = Served(frozenset())
    (finding,) = (await world.check()).findings
    assert (finding.code, finding.severity, finding.name) == ("servers-differ", "warning", TLSA)
    assert "ns54.example.org (192.0.2.54) lack some" in finding.text
    assert world.servers.found == ["example.org"]


async def test_servers_that_say_nothing_are_named_once() -> None:
    world = World()
    for name in (DOMAIN, TLSA, DMARC):
        world.servers.said[name, SERVERS[0]] = NotSaid("it does not serve this zone")
    assert await world.find_codes() == [f"warning server-silent {DOMAIN}"]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(days=60), [f"note signature-long {TLSA}"]),
        (timedelta(days=3), []),
        (timedelta(days=1), [f"warning signature-ends {TLSA}"]),
        (timedelta(seconds=-1), [f"error signature-ends {TLSA}"]),
    ],
)
async def test_signatures_that_end_are_told(left: timedelta, expected: list[str]) -> None:
    """RFC 4035 §5.3.1, RFC 7671 §13; rule 142"""
    world = World()
    world.servers.signature_ends[TLSA, SERVERS[0]] = NOW + timedelta(days=90)
    world.servers.signature_ends[TLSA, SERVERS[1]] = NOW + left
    assert await world.find_codes() == expected


async def test_zones_whose_servers_are_not_found_are_undecided() -> None:
    world = World()
    world.servers.authorities = NotFound("NS of example.org: no answer")
    report = await world.check()
    assert report.undecided == (
        "authoritative servers of example.org: NS of example.org: no answer",
    )
    world.servers.zone = NotFound("SOA of example.org: no answer")
    report = await world.check()
    assert report.findings == ()
    assert f"authoritative servers of {TLSA}: SOA of example.org: no answer" in report.undecided


async def test_host_that_a_held_policy_forbids_is_not_missed() -> None:
    """RFC 8461 §5.1; rule 150"""
    before = ServedPolicy(DOMAIN, "1", replace(POLICY, mx=(OTHER,)), NOW, NOW)
    world = World(held_hosts={HOST: before.held_until}, served=(before,))
    world.set(DOMAIN, "MX", MxRecord(10, OTHER))
    world.set(OTHER, "A", PUBLIC)
    assert f"error mx-host-missing {DOMAIN}" not in await world.find_codes()
    world.set(DOMAIN, "MX", MxRecord(10, OTHER), MxRecord(10, HOST))
    assert f"warning mta-sts-mx-forbidden {HOST}" in await world.find_codes()


async def test_policy_comes_before_its_id() -> None:
    """RFC 8461 §8.1; rule 149"""
    world = World()
    world.set(STS, "TXT", "v=STSv1; id=1")
    (finding,) = (await world.check()).findings
    assert finding.fix == f"set it to {make_policy_id(POLICY)}"
    world.serve(replace(POLICY, mode=MtaStsMode.TESTING))
    finding = next(f for f in (await world.check()).findings if f.code == "mta-sts-id-differs")
    assert finding.fix.endswith("but not before the policy host gives the new policy")


async def test_without_a_policy_of_ours_there_need_be_none() -> None:
    world = World(policy=None)
    assert await world.find_codes() == [f"note mta-sts-unused {STS}"]
    assert world.policies.asked == []


async def test_policy_host_may_have_our_addresses_itself() -> None:
    world = World()
    world.set(POLICY_HOST, "A", IPV4)
    world.set(POLICY_HOST, "AAAA", IPV6)
    report = await world.check()
    assert report.findings == ()
    assert {state.state for state in report.states} == {State.RIGHT}


async def test_what_is_the_operators_to_fill_in_is_unknown_until_it_is_there() -> None:
    world = World(hosts=(own_host(addresses=()),))
    states = [each.state for each in (await world.check()).states if not each.record.is_complete]
    assert states == [State.UNKNOWN] * 2
    assert f"error address-missing {HOST}" in await world.find_codes()
    world.set(HOST, "A", PUBLIC)
    states = [each.state for each in (await world.check()).states if not each.record.is_complete]
    assert states == [State.DIFFERS, State.UNKNOWN]


async def test_of_another_node_what_is_there_is_checked_by_itself() -> None:
    world = World(hosts=(own_host(), OwnHost(OTHER, is_here=False)))
    world.set(OTHER, "A", PUBLIC)
    world.set(f"_25._tcp.{OTHER}", "TLSA", STALE)
    world.serve(MtaStsPolicy(MtaStsMode.ENFORCE, ("*.example.org",), POLICY.max_age))
    assert await world.find_codes() == [f"error mta-sts-policy-differs {POLICY_HOST}"]


async def test_domain_that_is_not_ours_is_checked_by_itself() -> None:
    world = World()
    # Only who is listed here says that these addresses are of use.
    world.set(HOST, "A", PUBLIC)
    world.remove(HOST, "AAAA")
    assert await world.find_codes(is_ours=False) == []
    world.set(TLSA, "TLSA")
    world.set(STS, "TXT")
    assert await world.find_codes(is_ours=False) == [
        f"warning tlsa-missing {TLSA}",
        f"note mta-sts-unused {STS}",
    ]
    report = await world.check(is_ours=False)
    assert (report.states, report.simulations) == ((), ())


async def test_tlsa_records_are_looked_for_at_the_port_that_takes_mail() -> None:
    """RFC 6698 §3"""
    world = World()
    report = await world.check(is_ours=False, port=2525)
    assert [(each.code, each.name) for each in report.findings if "tlsa" in each.code] == [
        (Code.TLSA_MISSING, f"_2525._tcp.{HOST}")
    ]
    world.set(f"_2525._tcp.{HOST}", "TLSA", RIGHT)
    report = await world.check(is_ours=False, port=2525)
    assert [each.code for each in report.findings if "tlsa" in each.code] == []


async def test_domain_without_mx_records_is_its_own_host() -> None:
    """RFC 5321 §5.1"""
    world = World()
    world.remove(DOMAIN, "MX")
    world.set(DOMAIN, "A", PUBLIC)
    codes = await world.find_codes(is_ours=False)
    assert f"error mx-missing {DOMAIN}" in codes


@given(st.lists(st.binary(max_size=80), max_size=4), st.sampled_from([DOMAIN, STS, DMARC]))
async def test_any_texts_give_findings_and_no_error(texts: list[bytes], name: str) -> None:
    world = World()
    world.set(name, "TXT", *texts, b"v=spf1 " + b" ".join(texts))
    for finding in (await world.check()).findings:
        assert finding.severity in Severity
        assert "\n" not in finding.text + finding.fix

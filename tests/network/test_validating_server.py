"""A signed zone, our own small validator, and libunbound as the judge of both."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.dns import StubResolver
from letterlock.network.libunbound import LibunboundResolver
from letterlock.network.validating_server import ValidatingServer
from letterlock.network.zone_server import ZoneServer
from letterlock.network.zone_signing import LIFETIME, ZoneKey, make_key
from letterlock.network.zone_validator import ZoneValidator
from letterlock.protocols.dns.answers import Answer, Existence, Security, TlsaRecord
from tests.dnssec_lab.lab import require_libunbound
from tests.fakes import START, FakeClock

ZONES = {
    "signed.example": f"""
        @             MX    10 mx
        mx            A     127.0.0.2
        alias         CNAME mx
        away          CNAME mx.plain.example.
        dead          CNAME nothing
        _25._tcp.mx   TLSA  3 1 1 {"11" * 32}
    """,
    "plain.example": """
        mx   A     127.0.0.3
        back CNAME mx.signed.example.
    """,
}
KEY = make_key()
ANCHORS = {"signed.example": KEY.dnskey}
SECURE, INSECURE, BOGUS = Security.SECURE, Security.INSECURE, Security.BOGUS
RECORDS, NODATA, NXDOMAIN = Existence.RECORDS, Existence.NODATA, Existence.NXDOMAIN

QUESTIONS = [
    ("signed.example", "MX", SECURE, RECORDS),
    ("mx.signed.example", "A", SECURE, RECORDS),
    ("_25._tcp.mx.signed.example", "TLSA", SECURE, RECORDS),
    ("alias.signed.example", "A", SECURE, RECORDS),
    ("alias.signed.example", "CNAME", SECURE, RECORDS),
    ("mx.signed.example", "AAAA", SECURE, NODATA),
    ("_tcp.mx.signed.example", "TXT", SECURE, NODATA),
    ("signed.example", "TXT", SECURE, NODATA),
    ("nothing.signed.example", "A", SECURE, NXDOMAIN),
    ("a.b.nothing.signed.example", "A", SECURE, NXDOMAIN),
    ("zzz.signed.example", "A", SECURE, NXDOMAIN),
    ("_25._tcp.alias.signed.example", "TLSA", SECURE, NXDOMAIN),
    ("dead.signed.example", "A", SECURE, NXDOMAIN),
    ("away.signed.example", "A", INSECURE, RECORDS),
    ("back.plain.example", "A", INSECURE, RECORDS),
    ("mx.plain.example", "A", INSECURE, RECORDS),
    ("mx.plain.example", "AAAA", INSECURE, NODATA),
    ("nothing.plain.example", "A", INSECURE, NXDOMAIN),
]


def make_zones(now: datetime = START, key: ZoneKey = KEY) -> ZoneServer:
    return ZoneServer(ZONES, keys={"signed.example": key}, now=now)


@asynccontextmanager
async def resolver(
    zones: ZoneServer, clock: FakeClock | None = None
) -> AsyncIterator[StubResolver]:
    server = ValidatingServer(zones.respond, ANCHORS, clock or FakeClock())
    yield StubResolver(*await server.start(), random=Random(1))
    await server.close()


async def ask(zones: ZoneServer, name: str, rdtype: str, clock: FakeClock | None = None) -> Answer:
    async with resolver(zones, clock) as stub:
        return await stub.ask(Domain(name), rdtype)


@pytest.mark.parametrize(("name", "rdtype", "security", "existence"), QUESTIONS)
async def test_a_node_s_stub_gets_what_can_be_validated(
    name: str, rdtype: str, security: Security, existence: Existence
) -> None:
    """RFC 4035 §3.2.3, §5.3, §5.4"""
    answer = await ask(make_zones(), name, rdtype)
    assert (answer.security, answer.existence) == (security, existence), answer


async def test_libunbound_says_the_same_of_the_signed_zone(tmp_path: Path) -> None:
    """An independent judge of how the zones are signed, and of what we make of it."""
    require_libunbound()
    anchor = tmp_path / "anchor"
    anchor.write_text(f"signed.example. IN DNSKEY {KEY.dnskey}\n")
    zones = make_zones(SystemClock().now())
    peer = LibunboundResolver(anchor, forward=await zones.start())
    for name, rdtype, security, existence in QUESTIONS:
        answer = await peer.ask(Domain(name), rdtype)
        assert (answer.security, answer.existence) == (security, existence), answer
    peer.close()
    await zones.close()


async def test_records_that_change_are_signed_again() -> None:
    zones = make_zones()
    zones.set("_25._tcp.mx.signed.example", "TLSA", f"2 1 1 {'22' * 32}")
    zones.set("new.signed.example", "A", "127.0.0.9")
    zones.set("alias.signed.example", "CNAME")
    changed = await ask(zones, "_25._tcp.mx.signed.example", "TLSA")
    assert (changed.security, changed.records) == (SECURE, (TlsaRecord(2, 1, 1, b"\x22" * 32),))
    assert (await ask(zones, "new.signed.example", "A")).security is SECURE
    gone = await ask(zones, "alias.signed.example", "A")
    assert (gone.security, gone.existence) == (SECURE, NXDOMAIN)


@pytest.mark.parametrize("step", [-timedelta(days=1), LIFETIME + timedelta(days=1)])
async def test_signatures_hold_for_their_time_only(step: timedelta) -> None:
    """RFC 4035 §5.3.1"""
    clock = FakeClock()
    clock.move(step)
    answer = await ask(make_zones(), "mx.signed.example", "A", clock)
    assert (answer.security, answer.records) == (BOGUS, ())
    assert answer.extended_error == 6
    assert answer.reason.startswith("DNSSEC validation failed (DNSSEC Bogus: A of mx.signed")


async def test_another_key_is_bogus() -> None:
    answer = await ask(make_zones(key=make_key()), "mx.signed.example", "A")
    assert answer.security is BOGUS


async def test_a_name_server_that_fails_is_a_failed_lookup() -> None:
    zones = make_zones()
    zones.fail("mx.signed.example")
    answer = await ask(zones, "mx.signed.example", "A")
    assert (answer.security, answer.reason) == (
        Security.FAILED,
        "the name server said SERVFAIL",
    )
    zones.fail("mx.signed.example", None)
    query = dns.message.make_query("mx.signed.example", "A")
    server = ValidatingServer(zones.respond, ANCHORS, FakeClock())
    assert server._answer(query) is None


async def test_without_dnssec_wanted_there_are_no_signatures() -> None:
    """RFC 4035 §3.1: records that nobody can use take room"""
    zones = make_zones()
    response = zones.respond(dns.message.make_query("nothing.signed.example", "A", use_edns=0))
    assert response is not None
    types = {rrset.rdtype for rrset in (*response.answer, *response.authority)}
    assert types == {dns.rdatatype.SOA}


def test_bogus_without_edns_says_servfail() -> None:
    clock = FakeClock(START + LIFETIME * 2)
    server = ValidatingServer(make_zones().respond, ANCHORS, clock)
    query = dns.message.make_query("mx.signed.example", "A", use_edns=False)
    response = server._answer(query)
    assert response is not None
    assert (response.rcode(), response.answer, response.edns) == (dns.rcode.SERVFAIL, [], -1)
    query.flags |= dns.flags.CD
    unchecked = server._answer(query)
    assert unchecked is not None
    assert (unchecked.rcode(), bool(unchecked.answer)) == (dns.rcode.NOERROR, True)
    assert not unchecked.flags & dns.flags.AD


def test_keys_need_a_time() -> None:
    with pytest.raises(ValueError, match="know the time"):
        ZoneServer(ZONES, keys={"signed.example": KEY})


# What an attacker, or a mistake, could make of a good response

Change = Callable[[dns.message.Message, dns.message.Message], None]


def fetch(name: str, rdtype: str) -> dns.message.Message:
    query = dns.message.make_query(name, rdtype, want_dnssec=True)
    response = make_zones().respond(query)
    assert response is not None
    return response


def drop(section: str, rdtype: str) -> Change:
    def change(response: dns.message.Message, _: dns.message.Message) -> None:
        kept = [
            r for r in getattr(response, section) if r.rdtype != dns.rdatatype.from_text(rdtype)
        ]
        setattr(response, section, kept)

    return change


def claim_nothing(response: dns.message.Message, other: dns.message.Message) -> None:
    response.answer, response.authority = [], other.authority


def claim_no_name(response: dns.message.Message, other: dns.message.Message) -> None:
    claim_nothing(response, other)
    response.set_rcode(dns.rcode.NXDOMAIN)


def claim_name(response: dns.message.Message, _: dns.message.Message) -> None:
    response.set_rcode(dns.rcode.NOERROR)


def change_address(response: dns.message.Message, _: dns.message.Message) -> None:
    response.answer[0] = dns.rrset.from_text(response.answer[0].name, 60, "IN", "A", "192.0.2.66")


def add_record(response: dns.message.Message, _: dns.message.Message) -> None:
    response.answer.append(dns.rrset.from_text("other.signed.example.", 60, "IN", "A", "192.0.2.6"))


def change_signature(response: dns.message.Message, **changes: Any) -> None:
    for number, rrset in enumerate(response.answer):
        if rrset.rdtype == dns.rdatatype.RRSIG:
            (signature,) = rrset
            changed = signature.replace(**changes)
            response.answer[number] = dns.rrset.from_rdata(rrset.name, rrset.ttl, changed)


def rename_as_wildcard(response: dns.message.Message, _: dns.message.Message) -> None:
    change_signature(response, labels=2)


def name_other_signer(response: dns.message.Message, _: dns.message.Message) -> None:
    change_signature(response, signer=dns.name.from_text("example."))


@pytest.mark.parametrize(
    ("name", "rdtype", "change", "other", "reason"),
    [
        ("mx.signed.example", "A", drop("answer", "RRSIG"), None, "is not signed"),
        ("mx.signed.example", "A", change_address, None, "A of mx.signed.example.: "),
        ("mx.signed.example", "A", add_record, None, "nobody asked for"),
        ("mx.signed.example", "A", rename_as_wildcard, None, "comes from a wildcard"),
        ("mx.signed.example", "A", name_other_signer, None, "signed by another zone"),
        ("alias.signed.example", "A", drop("answer", "CNAME"), None, "without SOA"),
        ("alias.signed.example", "A", drop("answer", "A"), None, "without SOA"),
        ("mx.signed.example", "AAAA", drop("authority", "NSEC"), None, "has no such records"),
        ("mx.signed.example", "AAAA", drop("authority", "SOA"), None, "without SOA"),
        ("mx.signed.example", "AAAA", drop("authority", "RRSIG"), None, "is not signed"),
        ("nothing.signed.example", "A", drop("authority", "NSEC"), None, "is not there"),
        # Proofs of other things.
        ("mx.signed.example", "A", claim_nothing, ("mx.signed.example", "AAAA"), "has it by its"),
        ("alias.signed.example", "A", claim_nothing, ("alias0.signed.example", "A"), "has it by"),
        ("mx.signed.example", "A", claim_nothing, ("zz.signed.example", "A"), "no such records"),
        ("mx.signed.example", "A", claim_no_name, ("zz.signed.example", "A"), "is not there"),
        ("_tcp.mx.signed.example", "TXT", claim_no_name, ("_a.mx.signed.example", "A"), "is not"),
        ("nothing.signed.example", "A", claim_name, None, "has no such records"),
    ],
)
def test_what_proves_nothing_is_bogus(
    name: str, rdtype: str, change: Change, other: tuple[str, str] | None, reason: str
) -> None:
    """RFC 4035 §5.3.1, §5.4"""
    response = fetch(name, rdtype)
    validator = ZoneValidator(ANCHORS)
    assert validator.validate(response, START).security is SECURE
    change(response, fetch(*other) if other else response)
    validation = validator.validate(response, START)
    assert validation.security is BOGUS
    assert reason in validation.reason


def test_endless_aliases_are_bogus() -> None:
    response = fetch("mx.plain.example", "A")
    loop = dns.rrset.from_text("mx.plain.example.", 60, "IN", "CNAME", "mx.plain.example.")
    response.answer = [loop]
    assert ZoneValidator(ANCHORS).validate(response, START).security is BOGUS

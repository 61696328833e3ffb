"""All that a chain is made of, asked for and verified: RFC 4035 §3.2, §5.3; RFC 8914."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from letterlock.network import dns_links
from letterlock.network.dns_links import MAX_DENIALS, MAX_SIGNATURES, ask_link, parse_link
from letterlock.network.dns_server import DnsServer
from letterlock.protocols.dns.chain_links import Link, Outcome, Proof
from letterlock.protocols.dns.denial import Nsec, Nsec3, make_labels
from letterlock.protocols.dns.dnssec_records import KeyRecord
from tests.fuzz.dnssec_chains import BEGINS, ENDS, ZONE, find_key, find_record, make_answer, sign

KEY = find_record()
DNSKEY = f"DNSKEY {find_key().dnskey}"


def read(octets: bytes, name: str = ZONE, rdtype: str = "MX", *keys: KeyRecord) -> Link:
    return parse_link(octets, name, rdtype, ZONE, keys or (KEY,))


def test_a_signature_is_verified_by_the_zones_key() -> None:
    """RFC 4035 §5.3.3; its time is told, and not judged"""
    link = read(make_answer(ZONE, "MX", "MX 10 mx.example.com."))
    (signature,) = link.signatures
    assert (link.outcome, signature.proof, signature.zone) == (Outcome.RECORDS, Proof.GOOD, ZONE)
    assert (signature.tag, signature.algorithm, signature.labels) == (KEY.tag, 13, 2)
    assert (signature.begins, signature.ends) == (BEGINS, ENDS)
    assert link.signers == {ZONE}


def test_keys_are_verified_by_themselves() -> None:
    link = parse_link(make_answer(ZONE, "DNSKEY", DNSKEY), ZONE, "DNSKEY", ZONE)
    assert link.keys == (KEY,)
    assert [each.proof for each in link.signatures] == [Proof.GOOD]


def change(octets: bytes, **changes: Any) -> bytes:
    """Change the signature of an answer."""
    message = dns.message.from_wire(octets)
    for place, rrset in enumerate(message.answer):
        if rrset.rdtype == dns.rdatatype.RRSIG:
            changed = rrset[0].replace(**changes)
            message.answer[place] = dns.rrset.from_rdata(rrset.name, 60, changed)
    return message.to_wire()


@pytest.mark.parametrize(
    ("changes", "proof"),
    [
        ({"signature": bytes(64)}, Proof.WRONG),
        ({"signature": b""}, Proof.WRONG),
        ({"labels": 7}, Proof.WRONG),
        ({"original_ttl": 61}, Proof.WRONG),
        ({"algorithm": 200}, Proof.UNSUPPORTED),
        ({"algorithm": 8}, Proof.NO_KEY),
        ({"key_tag": KEY.tag ^ 1}, Proof.NO_KEY),
        ({"signer": dns.name.from_text("com")}, Proof.NO_KEY),
    ],
)
def test_any_other_signature_is_told_by_what_is_wrong(
    changes: dict[str, Any], proof: Proof
) -> None:
    """RFC 4035 §5.3.1"""
    octets = change(make_answer(ZONE, "MX", "MX 10 mx.example.com."), **changes)
    assert [each.proof for each in read(octets).signatures] == [proof]


@pytest.mark.parametrize(
    ("algorithm", "private"),
    [
        (8, rsa.generate_private_key(65537, 1024)),
        (14, ec.generate_private_key(ec.SECP384R1())),
        (15, ed25519.Ed25519PrivateKey.generate()),
    ],
)
def test_other_algorithms_are_verified_too(algorithm: int, private: Any) -> None:
    """RFC 3110 §3, RFC 6605 §4, and EdDSA"""
    dnskey = dns.dnssec.make_dnskey(private.public_key(), algorithm)
    rrset = dns.rrset.from_text(f"{ZONE}.", 60, "IN", "MX", "10 mx.example.com.")
    signature = dns.dnssec.sign(
        rrset,
        private,
        dns.name.from_text(ZONE),
        dnskey,
        inception=BEGINS,
        expiration=ENDS,
    )
    message = dns.message.make_response(dns.message.make_query(ZONE, "MX"))
    message.answer = [rrset, dns.rrset.from_rdata(rrset.name, 60, signature)]
    key = KeyRecord(int(dnskey.flags), dnskey.protocol, int(dnskey.algorithm), dnskey.key)
    for octets, proof in (
        (message.to_wire(), Proof.GOOD),
        (change(message.to_wire(), original_ttl=61), Proof.WRONG),
    ):
        assert [each.proof for each in read(octets, ZONE, "MX", key).signatures] == [proof]


@pytest.mark.parametrize("algorithm", [5, 8, 10, 13, 14, 15, 16])
def test_keys_of_any_octets_are_wrong_and_no_error(algorithm: int) -> None:
    for octets in (b"", b"\0", b"\1\3\xff", bytes(2000)):
        bad = KeyRecord(257, 3, algorithm, octets)
        answer = make_answer(ZONE, "MX", "MX 10 mx.example.com.")
        answer = change(answer, algorithm=algorithm, key_tag=bad.tag)
        assert [each.proof for each in read(answer, ZONE, "MX", bad).signatures] == [Proof.WRONG]


def test_how_often_is_tried_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes a zone may put any number of keys of one tag into it."""
    monkeypatch.setattr(dns_links, "MAX_TRIES", 3)
    octets = change(make_answer(ZONE, "MX", "MX 10 mx.example.com."), signature=bytes(64))
    link = parse_link(octets, ZONE, "MX", ZONE, [KEY] * 4)
    assert [each.proof for each in link.signatures] == [Proof.NOT_TRIED]


def test_keys_that_are_too_long_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = make_answer(ZONE, "MX", "MX 10 mx.example.com.")
    monkeypatch.setattr(dns_links, "MAX_KEY_OCTETS", len(KEY.key))
    assert [each.proof for each in read(octets).signatures] == [Proof.GOOD]
    monkeypatch.setattr(dns_links, "MAX_KEY_OCTETS", len(KEY.key) - 1)
    assert [each.proof for each in read(octets).signatures] == [Proof.WRONG]


def test_what_is_looked_at_is_bounded() -> None:
    query = dns.message.make_query(ZONE, "MX")
    message = dns.message.make_response(query)
    mx = dns.rrset.from_text(f"{ZONE}.", 60, "IN", "MX", "10 mx.example.com.")
    tags = [f"MX 13 2 60 20260315000000 20260301000000 {tag} {ZONE}. AA==" for tag in range(40)]
    message.answer = [mx, dns.rrset.from_text(f"{ZONE}.", 60, "IN", "RRSIG", *tags)]
    message.authority = [
        dns.rrset.from_text(f"a{number}.{ZONE}.", 60, "IN", "NSEC", f"b.{ZONE}. A")
        for number in range(20)
    ]
    link = read(message.to_wire())
    assert (len(link.signatures), len(link.denials)) == (MAX_SIGNATURES, MAX_DENIALS)


def test_an_alias_says_where_it_leads() -> None:
    link = read(make_answer(ZONE, "MX", "CNAME Mail.example.net."))
    assert (link.outcome, link.alias) == (Outcome.ALIAS, "mail.example.net")
    assert [each.proof for each in link.signatures] == [Proof.GOOD]
    root = read(make_answer(ZONE, "MX", "CNAME ."))
    assert root.alias == "."


@pytest.mark.parametrize(
    ("target", "proofs"),
    [("a.example.net.", [Proof.GOOD]), ("a.example.org.", [])],
)
def test_an_alias_made_from_a_dname_is_as_good_as_that(target: str, proofs: list[Proof]) -> None:
    """RFC 6672 §5.3.1"""
    message = dns.message.make_response(dns.message.make_query(f"a.b.{ZONE}", "MX"))
    text = dns.rrset.from_text
    message.answer = [
        *sign(text(f"b.{ZONE}.", 60, "IN", "DNAME", "example.net.")),
        *sign(text(f"c.{ZONE}.", 60, "IN", "DNAME", "example.org.")),
        text(f"a.b.{ZONE}.", 60, "IN", "CNAME", target),
    ]
    link = read(message.to_wire(), f"a.b.{ZONE}")
    assert [each.proof for each in link.signatures] == proofs


def test_what_denies_something_is_read() -> None:
    """RFC 4034 §4.1, RFC 5155 §3.2; of other zones, and of other hashes, nothing"""
    hashed = "0P9MHAVEQVM6T7VBL5LOP2U3T2RP3TOM"
    denials = "\n".join(
        [
            f"{ZONE}. NSEC B.{ZONE}. MX",
            f"{hashed}.{ZONE}. NSEC3 1 1 5 ab 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A",
            f"{hashed[1:]}.{ZONE}. NSEC3 1 1 5 ab 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A",
            f"{'z' * 32}.{ZONE}. NSEC3 1 1 5 ab 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A",
            f"1{hashed[1:]}.{ZONE}. NSEC3 2 1 5 ab 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A",
            "example.net. NSEC b.example.net. MX",
            f"{ZONE}. SOA ns. host. 1 2 3 4 5",
        ]
    )
    link = read(make_answer(f"q.{ZONE}", "A", code=3, denials=denials), f"q.{ZONE}", "A")
    assert link.outcome is Outcome.NXDOMAIN
    plain, hashing = link.denials
    assert isinstance(plain.record, Nsec)
    assert (plain.record.owner, plain.record.next) == (make_labels(ZONE), make_labels(f"b.{ZONE}"))
    assert 15 in plain.record.types
    assert [each.proof for each in plain.signatures] == [Proof.GOOD]
    assert isinstance(hashing.record, Nsec3)
    assert hashing.record.owner_hash == int(hashed, 32).to_bytes(20)
    assert (hashing.record.iterations, hashing.record.salt) == (5, b"\xab")
    assert hashing.record.is_opt_out


def test_what_is_no_answer_says_why_in_the_resolvers_words() -> None:
    """RFC 8914 §4"""
    link = read(make_answer(ZONE, "MX", code=2))
    assert (link.outcome, link.reason) == (Outcome.FAILED, "SERVFAIL (DNSSEC Bogus: bad)")
    assert read(make_answer(ZONE, "MX")).outcome is Outcome.NODATA
    refused = dns.message.from_wire(make_answer(ZONE, "MX"))
    refused.set_rcode(dns.rcode.REFUSED)
    assert read(refused.to_wire()).reason == "REFUSED"
    assert read(b"no message").reason == "a malformed answer"


def answer_mx(query: dns.message.Message) -> dns.message.Message:
    assert query.flags & dns.flags.CD
    assert query.flags & dns.flags.RD
    assert query.ednsflags & dns.flags.DO
    reply = dns.message.make_response(query)
    reply.answer = sign(dns.rrset.from_text(f"{ZONE}.", 60, "IN", "MX", "10 mx.example.com."))
    return reply


def answer_long(query: dns.message.Message) -> dns.message.Message:
    reply = answer_mx(query)
    texts = [f'"{number:0200}"' for number in range(30)]
    reply.answer += [dns.rrset.from_text(f"t.{ZONE}.", 60, "IN", "TXT", *texts)]
    return reply


@pytest.mark.parametrize("answer", [answer_mx, answer_long])
async def test_it_is_asked_for_with_what_does_not_validate(answer: Any) -> None:
    """RFC 4035 §3.2.1, §3.2.2; what is too long for a datagram comes by TCP"""
    server = DnsServer(answer)
    octets = await ask_link(await server.start(), ZONE, "MX")
    await server.close()
    assert isinstance(octets, bytes)
    assert [each.proof for each in read(octets).signatures] == [Proof.GOOD]


def answer_another(query: dns.message.Message) -> dns.message.Message:
    reply = answer_mx(query)
    reply.question[0].name = dns.name.from_text("other.example.com.")
    return reply


@pytest.mark.parametrize("answer", [answer_another, lambda _: None])
async def test_without_an_answer_it_is_said_why(answer: Any) -> None:
    server = DnsServer(answer)
    said = await ask_link(await server.start(), ZONE, "MX", seconds=0.05)
    await server.close()
    assert said in ("no answer within 2 times 0.05 seconds", "no answer that can be read")


async def test_a_resolver_that_is_not_there_is_one_line() -> None:
    nowhere = ("127.0.0.1", 0)
    assert "can't be reached" in str(await ask_link(nowhere, ZONE, "MX"))
    too_long = ".".join(["a" * 60] * 5)
    assert "can't be asked for" in str(await ask_link(nowhere, too_long, "MX"))


async def test_a_connection_that_ends_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def end(*_: Sequence[object]) -> bytes:
        raise EOFError

    monkeypatch.setattr(dns_links, "exchange_udp", end)
    said = await ask_link(("127.0.0.1", 53), ZONE, "MX")
    assert said == "the resolver ended the connection without an answer"


def test_ds_records_are_read() -> None:
    ds = find_key().make_ds(ZONE)
    link = read(make_answer(ZONE, "DS", f"DS {ds}"), ZONE, "DS")
    assert [str(each).lower() for each in link.ds] == [ds.to_text().lower()]
    assert replace(link, ds=()).outcome is Outcome.RECORDS

"""DNSSEC: answers that a chain of trust is made of, and files of the root's keys."""

import functools
from datetime import UTC, datetime

import dns.dnssec
import dns.edns
import dns.message
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.network.dns_anchors import parse_anchors
from letterlock.network.dns_links import (
    MAX_DENIALS,
    MAX_RECORDS,
    MAX_SIGNATURES,
    parse_link,
)
from letterlock.network.zone_signing import ZoneKey, make_key
from letterlock.protocols.check.name_status import DnssecStatus
from letterlock.protocols.check.trust_chain import (
    ZoneState,
    find_cut,
    judge_record,
    judge_root,
    judge_zone,
)
from letterlock.protocols.dns.chain_links import Outcome
from letterlock.protocols.dns.dnssec_records import KeyRecord, make_ds
from tests.fuzz.target import Target, take_choices

ZONE = "example.com"
BEGINS, NOW, ENDS = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 8, 15))
_QUESTIONS = (
    ("example.com", "DNSKEY"),
    ("example.com", "MX"),
    ("example.com", "DS"),
    ("a.example.com", "TLSA"),
    (".", "DNSKEY"),
)
_NSEC3 = "1 1 0 ab 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A RRSIG"


@functools.cache
def find_key() -> ZoneKey:
    """Give a key that is always the same: a finding is to be repeated."""
    return make_key(lambda: ec.derive_private_key(4034, ec.SECP256R1()))


def find_record() -> KeyRecord:
    """Give the zone's key as a chain has it."""
    key = find_key().dnskey
    return KeyRecord(int(key.flags), key.protocol, int(key.algorithm), key.key)


def sign(*rrsets: dns.rrset.RRset) -> list[dns.rrset.RRset]:
    """Give records with their signatures."""
    key, signed = find_key(), []
    for rrset in rrsets:
        signature = dns.dnssec.sign(
            rrset,
            key.private,
            dns.name.from_text(ZONE),
            key.dnskey,
            inception=BEGINS,
            expiration=ENDS,
        )
        signed += [rrset, dns.rrset.from_rdata(rrset.name, 60, signature)]
    return signed


def make_answer(name: str, rdtype: str, *records: str, code: int = 0, denials: str = "") -> bytes:
    """Make an answer; `records` are `type rdata` of the name, `denials` `owner type rdata`s."""
    query = dns.message.make_query(name, rdtype, want_dnssec=True)
    query.id = 1
    message = dns.message.make_response(query)
    message.set_rcode(dns.rcode.Rcode(code))
    message.answer = sign(
        *(dns.rrset.from_text(f"{name}.", 60, "IN", *each.split(" ", 1)) for each in records)
    )
    message.authority = sign(
        *(
            dns.rrset.from_text(owner, 60, "IN", kind, rdata)
            for owner, kind, rdata in (line.split(" ", 2) for line in denials.splitlines())
        )
    )
    if code:
        bogus = dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, "bad")
        message.use_edns(0, options=[bogus])
    return message.to_wire()


def check_link(octets: bytes) -> None:
    """Whatever is answered, it is a link within its bounds, and what is judged has its reason."""
    (choice,), wire = take_choices(octets, 1)
    name, rdtype = _QUESTIONS[choice % len(_QUESTIONS)]
    link = parse_link(wire, name, rdtype, ZONE, [find_record()])
    assert (link.name, link.rdtype) == (name, rdtype)
    assert link.reason.isprintable()
    assert bool(link.reason) == (link.outcome is Outcome.FAILED)
    assert max(len(link.keys), len(link.ds)) <= MAX_RECORDS
    assert len(link.signatures) <= MAX_SIGNATURES
    assert len(link.denials) <= MAX_DENIALS
    zone = ZoneState(ZONE, DnssecStatus.SECURE, "com", keys=(find_record(),))
    anchors = (make_ds(ZONE, find_record()),)
    for state in (
        judge_record(zone, link, NOW),
        judge_zone(zone, link, link, NOW),
        judge_root(link, anchors, NOW),
    ):
        is_secure = state.status is DnssecStatus.SECURE
        assert is_secure == (state.broken is None)
    find_cut(zone, link, NOW)


def check_anchors(octets: bytes) -> None:
    """A file of keys gives DS records, or none."""
    for ds in parse_anchors(octets.decode("utf-8", "replace")):
        assert str(ds).isprintable()


def _make_seeds() -> tuple[bytes, ...]:
    key, ds = find_key().dnskey.to_text(), find_key().make_ds(ZONE).to_text()
    denied = f"{ZONE}. NSEC b.{ZONE}. NS SOA MX\n{ZONE}. SOA ns. host. 1 2 3 4 5"
    hashed = f"0P9MHAVEQVM6T7VBL5LOP2U3T2RP3TOM.{ZONE}. NSEC3 {_NSEC3}"
    answers = (
        make_answer(*_QUESTIONS[0], f"DNSKEY {key}"),
        make_answer(*_QUESTIONS[1], "MX 10 mx.example.com."),
        make_answer(*_QUESTIONS[2], f"DS {ds}"),
        make_answer(*_QUESTIONS[3], code=3, denials=f"{denied}\n{hashed}"),
        make_answer(*_QUESTIONS[3], "CNAME b.example.net."),
        make_answer(*_QUESTIONS[3], code=2),
    )
    return tuple(bytes((min(at, 3),)) + wire for at, wire in enumerate(answers))


TARGETS = (
    Target(
        "dnssec-link",
        check_link,
        _make_seeds(),
        (b"\xc0\x0c", b"\0\x30\0\1", b"\0\x2e\0\1", b"\0\x2f\0\1", b"\0\x32\0\1", b"\0\x27\0\1"),
        2048,
        runs=250,
    ),
    Target(
        "dnssec-anchors",
        check_anchors,
        (b". IN DS 20326 8 2 E06D44B8\n", b". 1 IN DNSKEY 257 3 8 AwEAAaz/ ;\n", b"; .\n"),
        (b". IN ", b" DS ", b" DNSKEY "),
        512,
        runs=250,
    ),
)

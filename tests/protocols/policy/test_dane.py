"""TLSA records against chains: which can be used, which of them count, and what they prove."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256, sha512

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.pki.throwaway_ca import (
    CLIENT_AUTH,
    GOOD_CA,
    GOOD_LEAF,
    Issued,
    Shape,
    ThrowawayCa,
    make_name,
    self_signed,
)
from letterlock.protocols.policy.dane import (
    MAX_ANCHORS,
    DaneJudgement,
    TlsaMatch,
    explain_unusable,
    find_usable,
    judge_dane,
    select_strongest,
)
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.fakes import START

MX = "mx.example.com"
ROOT = ThrowawayCa("Root", START)
MIDDLE = ROOT.intermediate("Middle", now=START)
LOWER = MIDDLE.intermediate("Lower", now=START)
OTHER = ThrowawayCa("Other", START)
LEAF = LOWER.issue([MX], now=START)
# As RFC 7672 §3.1.2 wants it: with the anchor, even a root.
WHOLE = (*LEAF.chain_der, ROOT.der)
DEPTHS = {0: LEAF.der, 1: LOWER.der, 2: MIDDLE.der, 3: ROOT.der}
YEARS_LATER = START + timedelta(days=3000)


def spki(der: bytes) -> bytes:
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def record(usage: int, selector: int, matching_type: int, der: bytes) -> TlsaRecord:
    selected = der if selector == 0 else spki(der)
    digest = {0: selected, 1: sha256(selected).digest(), 2: sha512(selected).digest()}
    return TlsaRecord(usage, selector, matching_type, digest[matching_type])


def judged(
    chain: Sequence[bytes],
    *records: TlsaRecord,
    names: Sequence[str] = (MX,),
    now: datetime = START,
) -> DaneJudgement:
    return judge_dane(chain, records, names, now)


def codes(judgement: DaneJudgement) -> list[str]:
    return [finding.reason_code for finding in judgement.findings]


# Which can be used.

KEY = spki(LEAF.der)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((3, 1, 1, bytes(32)), None),
        ((3, 0, 2, bytes(64)), None),
        ((2, 0, 1, bytes(32)), None),
        ((2, 1, 2, bytes(64)), None),
        ((3, 0, 0, LEAF.der), None),
        ((3, 1, 0, KEY), None),
        ((2, 0, 0, ROOT.der), None),
        ((2, 1, 0, KEY), None),
        ((0, 0, 1, bytes(32)), "PKIX-TA(0)"),
        ((1, 1, 1, bytes(32)), "PKIX-EE(1)"),
        ((4, 1, 1, bytes(32)), "usage 4"),
        ((255, 1, 1, bytes(32)), "usage 255"),
        ((3, 2, 1, bytes(32)), "selector 2"),
        ((3, 255, 0, KEY), "selector 255"),
        ((3, 1, 3, bytes(48)), "matching type 3"),
        ((3, 1, 1, bytes(31)), "32 octets, not 31"),
        ((3, 1, 1, bytes(64)), "32 octets, not 64"),
        ((3, 1, 2, bytes(32)), "64 octets, not 32"),
        ((3, 1, 1, b""), "32 octets, not 0"),
        ((3, 1, 0, b""), "no public key"),
        ((3, 1, 0, KEY[:-1]), "no public key"),
        ((3, 1, 0, KEY + b"\0"), "no public key"),
        ((3, 1, 0, LEAF.der), "no public key"),
        ((2, 1, 0, b"\x30\x00"), "no public key"),
        ((3, 0, 0, KEY), "no certificate"),
        ((3, 0, 0, LEAF.der + b"\0"), "no certificate"),
        ((2, 0, 0, ROOT.der[:-1]), "no certificate"),
        ((2, 0, 0, b"junk"), "no certificate"),
    ],
)
def test_usages_2_and_3_with_sound_content_can_be_used(
    parts: tuple[int, int, int, bytes], why: str | None
) -> None:
    """RFC 6698 §4.1, RFC 7672 §3.1.3, RFC 7671 §9: what is unknown or malformed is unusable.
    Rules 47, 53, 55 and 130.
    """
    reason = explain_unusable(TlsaRecord(*parts))
    assert (reason is None) if why is None else (reason is not None and why in reason)


def test_an_anchor_that_openssl_cannot_read_is_unusable_and_a_leaf_is_compared_all_the_same() -> (
    None
):
    """RFC 7671 §5.1: for DANE-EE nothing but the octets counts."""
    # A version that no certificate has; the structure is whole.
    odd = LEAF.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x04\x01\x02", 1)
    assert explain_unusable(TlsaRecord(2, 0, 0, odd)) == "it holds no certificate"
    assert explain_unusable(TlsaRecord(3, 0, 0, odd)) is None
    assert judged([odd], TlsaRecord(3, 0, 0, odd)).is_authenticated
    assert judged([odd], record(3, 1, 1, LEAF.der)).is_authenticated


def test_a_record_that_stands_twice_counts_once() -> None:
    good, bad = record(3, 1, 1, LEAF.der), TlsaRecord(3, 1, 1, b"short")
    assert find_usable([good, bad, good]) == (good,)


# Digest agility.


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        ("311", "311"),
        ("311 312", "312"),
        ("312 311 310", "312 310"),
        ("311 310", "311 310"),
        ("311 302", "311 302"),
        ("311 212 211", "311 212"),
        ("301 302 311 312 201 202 211 212", "302 312 202 212"),
        ("", ""),
    ],
)
def test_of_each_usage_and_selector_only_the_strongest_digest_counts(kinds: str, left: str) -> None:
    """RFC 7671 §9; Full(0) is no digest, and stays; rule 54."""
    records = [record(int(k[0]), int(k[1]), int(k[2]), LEAF.der) for k in kinds.split()]
    strongest = select_strongest(records)
    assert [f"{r.usage}{r.selector}{r.matching_type}" for r in strongest] == left.split()


def test_the_weaker_digest_alone_does_not_match() -> None:
    """RFC 7671 §9, its example: 3 1 2 is published, so 3 1 1 proves nothing. Rule 54."""
    weaker, stronger = record(3, 1, 1, LEAF.der), record(3, 1, 2, OTHER.der)
    assert codes(judged(WHOLE, weaker, stronger)) == ["dane-no-match"]
    assert judged(WHOLE, weaker).is_authenticated


def test_a_malformed_stronger_digest_does_not_push_out_the_weaker() -> None:
    """RFC 7671 §9: agility comes after malformed records are discarded. Rules 54 and 55."""
    assert judged(WHOLE, record(3, 1, 1, LEAF.der), TlsaRecord(3, 1, 2, b"")).is_authenticated


# DANE-EE.


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching_type", [0, 1, 2])
@pytest.mark.parametrize(
    "leaf",
    [
        self_signed(["a.example"], now=START),
        self_signed([MX], now=START, days=-1),
        OTHER.issue([MX], now=YEARS_LATER),
        OTHER.issue([MX], now=START, key="rsa-1024"),
        OTHER.issue([MX], now=START, shape=Shape(eku=(CLIENT_AUTH,))),
        OTHER.issue([MX], now=START, key="ed25519", shape=Shape(subject=x509.Name([]))),
    ],
    ids=["wrong name", "expired", "not yet valid", "weak key", "wrong purpose", "no subject"],
)
def test_dane_ee_asks_for_no_name_no_date_no_issuer(
    leaf: Issued, selector: int, matching_type: int
) -> None:
    """RFC 7671 §5.1, RFC 7672 §3.1.1, §3.2.1; rules 44 and 136."""
    ee = record(3, selector, matching_type, leaf.der)
    judgement = judged(leaf.chain_der, ee)
    assert judgement.is_authenticated
    assert judgement.match == TlsaMatch(ee, 0)
    assert judgement.name is None


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_dane_ee_is_for_the_leaf_only(depth: int) -> None:
    assert codes(judged(WHOLE, record(3, 1, 1, DEPTHS[depth]))) == ["dane-no-match"]


# DANE-TA.


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching_type", [0, 1, 2])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_anchor_may_be_any_issuer_that_was_sent(
    depth: int, selector: int, matching_type: int
) -> None:
    """RFC 7672 §3.1.2, RFC 6698 §2.1.1: self-signed or not."""
    ta = record(2, selector, matching_type, DEPTHS[depth])
    judgement = judged(WHOLE, ta)
    assert judgement.is_authenticated
    assert judgement.match == TlsaMatch(ta, depth)
    assert judgement.name is not None
    assert judgement.name.reference == MX


def test_the_order_of_what_was_sent_does_not_matter() -> None:
    """RFC 8446 §4.4.2: a client should be ready for certificates out of order."""
    mixed = (LEAF.der, ROOT.der, OTHER.der, LOWER.der, MIDDLE.der)
    ta = record(2, 1, 1, MIDDLE.der)
    assert judged(mixed, ta).match == TlsaMatch(ta, 2)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_full_certificate_in_the_record_need_not_be_sent(depth: int) -> None:
    """RFC 7671 §5.2.2: 2 0 0 is the one kind for which a client must do without. Rule 132."""
    sent = tuple(DEPTHS[at] for at in range(depth))
    ta = record(2, 0, 0, DEPTHS[depth])
    judgement = judged(sent, ta)
    assert judgement.is_authenticated
    assert judgement.match == TlsaMatch(ta, depth)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_bare_key_in_the_record_need_not_be_in_a_certificate(depth: int) -> None:
    """RFC 7671 §5.2.3: the topmost certificate is signed by it, and the rest is valid. Rule 132."""
    sent = tuple(DEPTHS[at] for at in range(depth))
    ta = record(2, 1, 0, DEPTHS[depth])
    judgement = judged(sent, ta)
    assert judgement.is_authenticated
    assert judgement.match == TlsaMatch(ta, depth - 1)


@pytest.mark.parametrize(("selector", "matching_type"), [(0, 1), (0, 2), (1, 1), (1, 2)])
def test_a_digest_of_what_was_not_sent_is_no_match(selector: int, matching_type: int) -> None:
    """RFC 7672 §3.1.2: the server must send the anchor, even a root."""
    judgement = judged(LEAF.chain_der, record(2, selector, matching_type, ROOT.der))
    assert codes(judgement) == ["dane-no-match"]
    assert judgement.match is None


def test_the_leaf_is_no_anchor() -> None:
    """As in OpenSSL: usage 2 is for issuers; sent twice it is still the leaf."""
    alone = self_signed([MX], now=START)
    for kind in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        assert not judged((alone.der,), record(2, *kind, alone.der)).is_authenticated
        assert not judged((alone.der, alone.der), record(2, *kind, alone.der)).is_authenticated


def test_dane_ee_comes_before_dane_ta_and_the_nearer_anchor_before_the_farther() -> None:
    near, far = record(2, 1, 1, LOWER.der), record(2, 0, 1, ROOT.der)
    ee = record(3, 1, 1, LEAF.der)
    assert judged(WHOLE, far, near, ee).match == TlsaMatch(ee, 0)
    assert judged(WHOLE, far, near).match == TlsaMatch(near, 1)


def test_one_good_anchor_is_enough() -> None:
    """RFC 7671 §8.1: in a roll-over the records of old and new stand side by side."""
    expired = ThrowawayCa("Expired", START, shape=replace(GOOD_CA, not_after=START))
    leaf = OTHER.issue([MX], now=START)
    sent = (leaf.der, expired.der, OTHER.der)
    old, new = record(2, 1, 1, expired.der), record(2, 1, 1, OTHER.der)
    assert judged(sent, old, new).match == TlsaMatch(new, 1)


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (LOWER.issue([MX], now=START, days=-1), ["expired"]),
        (LOWER.issue([MX], now=YEARS_LATER), ["not-yet-valid"]),
        (LOWER.issue(["a.example"], now=START), ["name-mismatch"]),
        (LOWER.issue(["a.example"], now=START, days=-1), ["expired", "name-mismatch"]),
        (LOWER.issue([MX], now=START, shape=Shape(eku=(CLIENT_AUTH,))), ["unsuitable-purpose"]),
        (LOWER.issue([MX], now=START, key="rsa-1024"), ["weak-key"]),
    ],
)
@pytest.mark.parametrize("kind", ["2 1 1", "2 0 0 unsent", "2 1 0 unsent"])
def test_dane_ta_asks_for_names_dates_and_purpose(
    leaf: Issued, expected: list[str], kind: str
) -> None:
    """RFC 6698 §2.1.1, RFC 7672 §3.1.2, §3.2.2, and every fault is named; rules 45 and 131."""
    usage, selector, matching_type = (int(word) for word in kind.split()[:3])
    ta = record(usage, selector, matching_type, ROOT.der)
    sent = leaf.chain_der if "unsent" in kind else (*leaf.chain_der, ROOT.der)
    judgement = judged(sent, ta)
    assert codes(judgement) == expected
    assert judgement.match == TlsaMatch(ta, 2 if kind == "2 1 0 unsent" else 3)
    assert all(finding.policy_type is PolicyType.TLSA for finding in judgement.findings)


def test_an_anchor_that_has_expired_proves_nothing() -> None:
    """As in OpenSSL, and so Postfix: its dates count. Rule 131."""
    short = ThrowawayCa("Short", START, shape=replace(GOOD_CA, not_after=START))
    leaf = short.issue([MX], now=START)
    later = START + timedelta(days=1)
    assert codes(judged((leaf.der, short.der), record(2, 0, 1, short.der), now=later)) == [
        "expired"
    ]
    # A bare key has no dates.
    assert judged((leaf.der,), record(2, 1, 0, short.der), now=later).is_authenticated


def test_constraints_of_the_anchor_hold() -> None:
    """RFC 7671 §5.2.1: path length and name constraints of the certificate in the record.
    Rule 131.
    """
    short = ThrowawayCa("Short", START, shape=replace(GOOD_CA, path_length=0))
    below = short.intermediate("Below", now=START)
    leaf = below.issue([MX], now=START)
    judgement = judged((*leaf.chain_der, short.der), record(2, 0, 1, short.der))
    assert "path-length-exceeded" in codes(judgement)
    narrow = ThrowawayCa(
        "Narrow",
        START,
        shape=replace(
            GOOD_CA, name_constraints=x509.NameConstraints([x509.DNSName("example.net")], None)
        ),
    )
    outside = narrow.issue([MX], now=START)
    judgement = judged((*outside.chain_der, narrow.der), record(2, 0, 0, narrow.der))
    assert "name-constraint-violated" in codes(judgement)


def test_an_anchor_that_signed_nothing_here_proves_nothing() -> None:
    """A strange certificate can be sent by anyone: the path must lead to it."""
    stolen = (*self_signed([MX], now=START).chain_der, ROOT.der)
    judgement = judged(stolen, record(2, 1, 1, ROOT.der))
    assert not judgement.is_authenticated
    assert "self-signed-certificate" in codes(judgement)
    namesake = ThrowawayCa("Root", START).issue([MX], now=START)
    assert not judged((namesake.der, ROOT.der), record(2, 0, 1, ROOT.der)).is_authenticated
    assert codes(judged((namesake.der,), record(2, 1, 0, ROOT.der))) == ["dane-no-match"]
    assert codes(judged((namesake.der,), record(2, 0, 0, ROOT.der))) == ["dane-no-match"]


def test_a_key_of_an_unknown_kind_is_no_anchor_and_no_error() -> None:
    unknown = b"\x30\x0c\x30\x05\x06\x03\x2a\x03\x04\x03\x03\x00\x01\x02"
    assert codes(judged(WHOLE, TlsaRecord(2, 1, 0, unknown))) == ["dane-no-match"]


def test_a_sent_anchor_that_openssl_cannot_read_is_passed_over() -> None:
    odd = ROOT.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x04\x01\x02", 1)
    assert codes(judged((LEAF.der, odd), record(2, 1, 1, ROOT.der))) == ["dane-no-match"]


def test_a_leaf_that_cannot_be_read_is_told_of() -> None:
    judgement = judged((b"junk", ROOT.der), record(2, 1, 1, ROOT.der))
    assert codes(judgement) == ["unreadable-certificate"]
    assert judgement.match is not None


# Names.


@pytest.mark.parametrize(
    ("names", "common_name", "wanted", "presented"),
    [
        ([MX], "a.example", [MX], MX),
        (["*.example.com"], "a.example", [MX], "*.example.com"),
        (["example.com"], "a.example", [MX, "example.com"], "example.com"),
        ([], MX, [MX], MX),
        ([], "*.example.com", [MX], "*.example.com"),
        (["192.0.2.1"], MX, [MX], MX),
        (["a.example"], MX, [MX], None),
        ([], "mx*.example.com", [MX], None),
        ([], "Mail Host", [MX], None),
        (["*.com"], "a.example", [MX], None),
        (["*.example.com"], "a.example", ["a.mx.example.com"], None),
        ([MX], MX, [], None),
    ],
)
def test_the_common_name_counts_only_without_a_dns_name(
    names: list[str], common_name: str, wanted: list[str], presented: str | None
) -> None:
    """RFC 7672 §3.2.3: and a wildcard is the whole first label. Rule 46."""
    leaf = LOWER.issue(names, now=START, shape=replace(GOOD_LEAF, subject=make_name(common_name)))
    judgement = judged((*leaf.chain_der, ROOT.der), record(2, 0, 1, ROOT.der), names=wanted)
    assert judgement.is_authenticated is (presented is not None)
    if presented is None:
        assert judgement.findings[0].result_type is ResultType.CERTIFICATE_HOST_MISMATCH
    else:
        assert judgement.name is not None
        assert judgement.name.presented == presented


# What is said.


def test_no_match_names_what_is_published_and_what_the_record_should_be() -> None:
    published = [record(3, 1, 1, ThrowawayCa("x", START).der) for _ in range(5)]
    judgement = judged(WHOLE, *published)
    [finding] = judgement.findings
    assert finding.result_type is ResultType.VALIDATION_FAILURE
    assert finding.policy_type is PolicyType.TLSA
    assert str(published[0]) in finding.text
    assert "and 2 more" in finding.text
    assert str(record(3, 1, 1, LEAF.der)) in finding.text
    assert "none that can be used" in judged((b"junk",)).findings[0].text


def test_no_certificate_is_no_match() -> None:
    judgement = judged((), record(3, 1, 1, LEAF.der))
    assert codes(judgement) == ["no-certificate"]
    assert judgement.findings[0].result_type is ResultType.CERTIFICATE_NOT_TRUSTED


def test_only_so_many_anchors_are_tried() -> None:
    """A peer, or a zone, does not choose how long we work."""
    many = [TlsaRecord(2, 1, 0, spki(ThrowawayCa("x", START).der)) for _ in range(MAX_ANCHORS)]
    last = record(2, 0, 0, ROOT.der)
    assert judged(LEAF.chain_der, *many[:3], last).is_authenticated
    assert not judged(LEAF.chain_der, *many, last).is_authenticated


def test_thousands_of_records_take_no_longer_than_one_certificate_of_each_kind() -> None:
    """A zone does not choose how long we work: RRsets can have 1,800 digests."""
    many = [TlsaRecord(2, number % 2, 1, number.to_bytes(32)) for number in range(1800)]
    started = time.process_time()
    judgement = judged((LEAF.der,) + (MIDDLE.der,) * 9, *many, record(2, 1, 1, ROOT.der))
    assert time.process_time() - started < 0.1
    assert codes(judgement) == ["dane-no-match"]


# For any octets.

octets = st.one_of(
    st.binary(max_size=80),
    st.sampled_from([LEAF.der, ROOT.der, spki(LEAF.der), spki(ROOT.der), bytes(32), bytes(64)]),
)
any_record = st.builds(TlsaRecord, st.integers(0, 4), st.integers(0, 2), st.integers(0, 3), octets)
any_chain = st.lists(st.one_of(octets, st.sampled_from([LOWER.der, MIDDLE.der])), max_size=4)


@given(any_chain, st.lists(any_record, max_size=4), st.lists(st.sampled_from([MX, ""]), max_size=2))
def test_nobody_is_authenticated_without_a_usable_record_that_points_at_what_was_sent(
    chain: list[bytes], records: list[TlsaRecord], names: list[str]
) -> None:
    """RFC 7672 §3.2: whatever is sent and published; and nothing raises. Rule 48."""
    judgement = judged(chain, *records, names=names)
    if not judgement.is_authenticated:
        return
    assert judgement.match is not None
    assert judgement.match.record in select_strongest(find_usable(records))
    if judgement.match.record.usage == 3:
        assert judgement.match.depth == 0
    else:
        assert MX in names
        assert chain[0] == LEAF.der


@given(st.lists(any_record, max_size=6))
def test_agility_leaves_every_kind_that_was_usable(records: list[TlsaRecord]) -> None:
    """RFC 7671 §9: for each usage and selector something is left, and the order stays."""
    usable = find_usable(records)
    strongest = select_strongest(usable)
    assert {(r.usage, r.selector) for r in strongest} == {(r.usage, r.selector) for r in usable}
    assert [record for record in usable if record in strongest] == list(strongest)

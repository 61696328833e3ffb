"""What proves a name, of what a validator can see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.acme.identifiers import ChallengeType, parse_identifier
from letterlock.protocols.acme.validation.proofs import (
    Expected,
    find_body_fault,
    find_method_fault,
    find_text_fault,
)

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
PROOF = f"{TOKEN}.thumbprint"
EXPECTED = Expected(parse_identifier("a.example"), "http-01", TOKEN, PROOF)
VALUE = dns_value(PROOF).encode()


@pytest.mark.parametrize(
    ("name", "method", "can_prove"),
    [
        ("a.example", "http-01", True),
        ("a.example", "dns-01", True),
        ("a.example", "tls-alpn-01", True),
        ("*.a.example", "http-01", False),
        ("*.a.example", "tls-alpn-01", False),
        ("*.a.example", "dns-01", True),
        ("192.0.2.1", "http-01", True),
        ("2001:db8::1", "tls-alpn-01", True),
        ("192.0.2.1", "dns-01", False),
    ],
)
def test_a_method_proves_what_it_can(name: str, method: ChallengeType, *, can_prove: bool) -> None:
    """RFC 8738 §4, §7; Baseline Requirements 3.2.2.4.19, 3.2.2.4.20. Rules 235 and 236"""
    fault = find_method_fault(Expected(parse_identifier(name), method, TOKEN, PROOF))
    assert (fault is None) is can_prove


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b" \t\n\n", b" " * 500])
def test_whitespace_behind_a_key_authorization_counts_for_nothing(end: bytes) -> None:
    """RFC 8555 §8.3; rule 228"""
    assert find_body_fault(PROOF.encode() + end, EXPECTED) is None


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "nothing in it"),
        (b"\n", "nothing in it"),
        (b" " + PROOF.encode(), "not the key authorization"),
        (b"\xef\xbb\xbf" + PROOF.encode(), "not the key authorization"),
        (PROOF.encode() + b"\0", "another account's key"),
        (PROOF.encode() + b" x", "another account's key"),
        (PROOF.upper().encode(), "not the key authorization"),
        (f"{TOKEN}.other".encode(), "another account's key"),
        (TOKEN.encode(), "not the key authorization"),
        (b"<html>" + b"\x1b[2J\r\n" * 100, "it has '<html>"),
    ],
)
def test_another_body_proves_nothing(body: bytes, fault: str) -> None:
    """RFC 8555 §8.3, §10.4 (what was fetched is not shown whole). Rule 239"""
    found = find_body_fault(body, EXPECTED)
    assert found is not None
    assert fault in found
    assert found.isprintable()
    assert len(found) < 600


@pytest.mark.parametrize(
    "texts", [[VALUE], [b"old", VALUE], [VALUE, VALUE, b""], [b"x" * 5000, VALUE]]
)
def test_one_of_several_records_is_enough(texts: list[bytes]) -> None:
    """RFC 8555 §8.4: stale values may be there. Rule 231"""
    assert find_text_fault(texts, EXPECTED) is None


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [b""],
        [PROOF.encode()],
        [VALUE + b"="],
        [VALUE + b" "],
        [VALUE.lower()],
        [VALUE[:20], VALUE[20:]],
        [b"\x00\xff" * 300] * 50,
    ],
)
def test_nothing_but_the_digest_proves_a_name(texts: list[bytes]) -> None:
    """RFC 8555 §8.4"""
    fault = find_text_fault(texts, EXPECTED)
    assert fault is not None
    assert fault.isprintable()
    assert VALUE.decode() in fault
    assert len(fault) < 700


@given(st.binary(max_size=80))
def test_only_the_key_authorization_passes(body: bytes) -> None:
    assert find_body_fault(body, EXPECTED) is not None
    assert find_text_fault([body], EXPECTED) is not None

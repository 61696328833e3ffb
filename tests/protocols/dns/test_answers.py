"""Which answers may be used."""

from typing import Any

import dns.rdata
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Answer, CaaRecord, Security, TlsaRecord


@pytest.mark.parametrize(
    ("security", "is_answer"),
    [
        (Security.SECURE, True),
        (Security.INSECURE, True),
        (Security.BOGUS, False),
        (Security.FAILED, False),
    ],
)
def test_bogus_and_failed_lookups_are_no_answers(security: Security, is_answer: bool) -> None:
    """RFC 4035 §4.3; RFC 7672 §2.1.1; rule 26"""
    assert Answer(Domain("example.com"), "MX", security).is_answer is is_answer


def test_a_tlsa_record_is_written_as_in_a_zone_file() -> None:
    """RFC 6698 §2.2"""
    assert str(TlsaRecord(3, 1, 1, b"\x00\xff")) == "3 1 1 00ff"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (CaaRecord(0, b"issue", b"ca.example"), '0 issue "ca.example"'),
        (CaaRecord(128, b"TBS", b"Unknown"), '128 TBS "Unknown"'),
        (CaaRecord(0, b"issue", b""), '0 issue ""'),
        (CaaRecord(0, b"issue", b'a "b" \\\xff\n'), r'0 issue "a \"b\" \\\255\010"'),
        (CaaRecord(0, b"a b", b""), r'0 a\ b ""'),
    ],
)
def test_a_caa_record_is_written_as_in_a_zone_file(record: CaaRecord, text: str) -> None:
    """RFC 8659 §4.1.1, RFC 1035 §5.1"""
    assert str(record) == text


@given(
    flags=st.integers(0, 255),
    tag=st.from_regex(rb"[a-zA-Z0-9]+", fullmatch=True),
    value=st.binary(),
)
def test_a_caa_record_as_written_is_read_by_others(flags: int, tag: bytes, value: bytes) -> None:
    """RFC 8659 §4.1.1: dnspython reads zone files"""
    read: Any = dns.rdata.from_text("IN", "CAA", str(CaaRecord(flags, tag, value)))
    assert (read.flags, read.tag, read.value) == (flags, tag, value)

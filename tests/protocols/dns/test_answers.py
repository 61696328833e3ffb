"""Which answers may be used."""

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Answer, Security, TlsaRecord


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

"""Which answers may be used."""

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Answer, Security


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
    """RFC 4035 §4.3; RFC 7672 §2.1.1"""
    assert Answer(Domain("example.com"), "MX", security).is_answer is is_answer

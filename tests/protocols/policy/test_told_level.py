"""What the log says of a delivery's level: Postfix 3.11's words, and how it was kept."""

import pytest

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.policy.requirement import (
    DaneDemand,
    HostUnusable,
    Level,
    Requirement,
    Source,
)
from letterlock.protocols.policy.told_level import Kept, tell_level

TLSA = TlsaRecord(3, 1, 1, bytes(32))


def ask(level: Level, dane: DaneDemand | None = None) -> Requirement:
    return Requirement(level, Source.TABLE, "", "mx.example.org", dane=dane)


@pytest.mark.parametrize(
    ("level", "kept", "word"),
    [
        (Level.NONE, Kept.IN_CLEAR, "none"),
        (Level.NONE, Kept.UNDECIDED, "none?"),
        (Level.MAY, Kept.MET, "may"),
        (Level.MAY, Kept.IN_CLEAR, "may:none"),
        (Level.MAY, Kept.UNMET, "may?"),
        (Level.ENCRYPT, Kept.UNMET, "!encrypt"),
        (Level.VERIFY, Kept.MET, "verify"),
        (Level.VERIFY, Kept.UNDECIDED, "verify?"),
        (Level.DANE_ONLY, Kept.UNMET, "!dane-only"),
    ],
)
def test_the_level_and_how_it_was_kept(level: Level, kept: Kept, word: str) -> None:
    assert tell_level(ask(level), kept, is_requiretls=False) == word


def test_dane_behind_mx_records_that_nobody_signed_is_half() -> None:
    """RFC 7672 §2.2.1: the host is proved, and not that it is the domain's."""
    for is_of_domain, word in ((True, "dane"), (False, "half-dane")):
        demand = DaneDemand((TLSA,), ("mx.example.org",), is_of_domain=is_of_domain)
        assert tell_level(ask(Level.DANE, demand), Kept.MET, is_requiretls=False) == word
    assert tell_level(ask(Level.DANE), Kept.MET, is_requiretls=False) == "dane"


def test_what_a_host_that_is_not_tried_would_have_had_to_meet() -> None:
    unusable = HostUnusable(Source.MTA_STS, "not listed")
    assert tell_level(unusable, Kept.UNMET, is_requiretls=True) == "!verify/requiretls"

"""What is to be done where a chain breaks, and by whom: RFC 4035 §5."""

from dataclasses import replace

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.check.chain_breaks import Break, Cause
from letterlock.protocols.check.chain_findings import (
    DISAGREES,
    NOT_VALIDATING,
    Who,
    find_chain_faults,
    find_disagreements,
    find_fix,
    find_not_validating,
    find_who,
)
from letterlock.protocols.check.findings import Severity
from letterlock.protocols.check.name_status import DnssecStatus
from letterlock.protocols.check.trust_chain import RecordState, ZoneState
from letterlock.protocols.dns.answers import Answer, Security
from letterlock.protocols.dns.chain_links import Outcome
from letterlock.protocols.dns.dnssec_records import make_ds
from tests.protocols.check.chains import KEY, OTHER, ZONE

DS_LINE = f"{ZONE}. IN DS {make_ds(ZONE, KEY)}"
RECORD = RecordState(ZONE, "MX", ZONE, DnssecStatus.SECURE, Outcome.RECORDS)


def breaks(cause: Cause, *keys: object, what: str = "MX") -> Break:
    return Break(cause, ZONE, what, f"{what}: why", keys)  # type: ignore[arg-type]  # keys alone


@pytest.mark.parametrize("cause", Cause)
def test_each_break_has_somebody_who_can_mend_it_and_a_way(cause: Cause) -> None:
    fix = find_fix(breaks(cause, KEY, OTHER))
    assert bool(fix) is (cause not in (Cause.UNSIGNED, Cause.OPTED_OUT))
    at_registrar = {Cause.NO_DS, Cause.DS_WITHOUT_KEY, Cause.KEYS_MISSING}
    assert find_who(breaks(cause)) is (Who.REGISTRAR if cause in at_registrar else Who.DNS_OPERATOR)
    assert find_who(replace(breaks(cause), zone=".")) is Who.RESOLVER


def test_the_record_to_publish_is_given() -> None:
    """RFC 4034 §5.3: as a line of a zone file, of the key that is meant for it"""
    assert find_fix(breaks(Cause.NO_DS, KEY, OTHER)) == f"publish {DS_LINE}"
    assert find_fix(breaks(Cause.DS_WITHOUT_KEY, OTHER, KEY)) == f"put in its place {DS_LINE}"
    assert find_fix(breaks(Cause.DS_WITHOUT_KEY)).startswith("take it away")


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        (DnssecStatus.BOGUS, Severity.CRITICAL),
        (DnssecStatus.INSECURE, Severity.NOTICE),
        (DnssecStatus.UNDECIDED, Severity.NOTICE),
    ],
)
def test_a_break_is_as_bad_as_what_it_makes_of_the_names(
    status: DnssecStatus, severity: Severity
) -> None:
    zone = ZoneState(ZONE, status, "org", breaks(Cause.DS_WITHOUT_KEY, KEY, what="DS"))
    below = replace(RECORD, status=status, broken=zone.broken)
    (found,) = find_chain_faults([zone], [below, below])
    assert (found.id, found.severity, found.where) == ("dnssec-ds-without-key", severity, ZONE)
    assert (found.evidence, found.rfc) == ("DS: why", "RFC 4035 §5.2")
    assert found.fix == f"at the registrar of {ZONE}: put in its place {DS_LINE}"


def test_what_is_broken_alike_in_one_zone_is_told_once() -> None:
    records = [
        replace(RECORD, status=DnssecStatus.BOGUS, broken=breaks(Cause.SIGNATURE_WRONG, what=each))
        for each in ("MX", "A", "TLSA")
    ]
    (found,) = find_chain_faults([], [RECORD, *records])
    assert found.evidence == "MX: why (and 2 more)"
    assert found.rfc == "RFC 4035 §5.3"
    assert found.fix.startswith(f"by who runs the DNS of {ZONE}: sign the zone anew")


def test_an_unsigned_zone_is_no_fault_of_its_chain() -> None:
    """It is told by who looks at what is published."""
    zone = ZoneState(ZONE, DnssecStatus.INSECURE, "org", breaks(Cause.UNSIGNED))
    assert list(find_chain_faults([zone], [])) == []


@pytest.mark.parametrize(
    ("ours", "said", "is_told"),
    [
        (DnssecStatus.SECURE, Security.SECURE, False),
        (DnssecStatus.SECURE, Security.BOGUS, True),
        # RFC 4035 §4.9.3 and no more: a resolver may leave a zone unvalidated.
        (DnssecStatus.SECURE, Security.INSECURE, False),
        (DnssecStatus.SECURE, Security.FAILED, False),
        (DnssecStatus.BOGUS, Security.SECURE, True),
        (DnssecStatus.BOGUS, Security.INSECURE, True),
        (DnssecStatus.BOGUS, Security.BOGUS, False),
        (DnssecStatus.BOGUS, Security.FAILED, False),
        (DnssecStatus.UNDECIDED, Security.BOGUS, False),
    ],
)
def test_where_the_resolver_says_something_else_it_is_told(
    ours: DnssecStatus, said: Security, *, is_told: bool
) -> None:
    answer = Answer(Domain(ZONE), "MX", said, reason="Signature Expired")
    found = list(find_disagreements([replace(RECORD, status=ours)], [answer]))
    assert [each.id for each in found] == [DISAGREES] * is_told
    for each in found:
        assert (each.severity, each.where) == (Severity.WARNING, ZONE)
        assert each.fix.startswith("at the resolver: ")
    assert list(find_disagreements([replace(RECORD, status=ours)], [None])) == []


def test_a_resolver_that_does_not_validate_is_named() -> None:
    found = find_not_validating(ZONE, "it does not", "turn it on")
    assert (found.id, found.fix) == (NOT_VALIDATING, "at the resolver: turn it on")

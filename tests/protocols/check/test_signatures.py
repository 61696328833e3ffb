"""RFC 4034 §3.1.5: until when records are signed; what is over, what is soon, what is to come."""

from datetime import UTC, datetime, timedelta

import pytest

from letterlock.protocols.check.findings import RFCS, FindingId, Severity
from letterlock.protocols.check.signatures import (
    Signature,
    find_nearest,
    find_signature_faults,
    pick_lasting,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def sign(
    begins: timedelta, ends: timedelta, rdtype: str = "MX", zone: str = "example.org"
) -> Signature:
    return Signature("example.org", rdtype, zone, NOW + begins, NOW + ends)


@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [
        (-7 * DAY, 21 * DAY, None),
        (-26 * DAY, 2 * DAY, None),
        (-26 * DAY, 2 * DAY - HOUR, ("rrsig-ends-soon", Severity.WARNING)),
        (-28 * DAY, HOUR, ("rrsig-ends-soon", Severity.WARNING)),
        # Signed anew for each answer: half of two days is left, always.
        (-DAY, DAY, None),
        (-DAY, 7 * HOUR, ("rrsig-ends-soon", Severity.WARNING)),
        (-28 * DAY, timedelta(0), ("rrsig-ended", Severity.CRITICAL)),
        (-28 * DAY, -DAY, ("rrsig-ended", Severity.CRITICAL)),
        (HOUR, 21 * DAY, ("rrsig-not-yet-valid", Severity.CRITICAL)),
    ],
)
def test_each_signature_is_held_to_the_clock(
    begins: timedelta, ends: timedelta, expected: tuple[str, Severity] | None
) -> None:
    found = list(find_signature_faults([sign(begins, ends)], NOW))
    assert [(each.id, each.severity) for each in found] == ([expected] if expected else [])
    for each in found:
        assert each.where == "example.org"
        assert each.rfc == RFCS[FindingId(each.id)]
        assert "MX of example.org" in each.evidence


def test_a_zone_that_stands_still_is_told_of_once() -> None:
    """With the name that ends first."""
    ending = [sign(-28 * DAY, hours * HOUR, each) for each, hours in (("A", 9), ("TLSA", 5))]
    other = sign(-28 * DAY, HOUR, "DS", zone="org")
    found = list(find_signature_faults([*ending, other], NOW))
    assert [each.where for each in found] == ["example.org", "org"]
    assert "TLSA of example.org ends at 2026-03-01T05:00:00Z, in 5 hours" in found[0].evidence
    assert "1 more" in found[0].evidence
    assert "more" not in found[1].evidence


def test_of_several_signatures_one_that_is_good_is_enough() -> None:
    """RFC 4035 §5.3.3: keys are rolled over with two of them."""
    old, new = sign(-28 * DAY, -DAY), sign(-DAY, 20 * DAY)
    assert pick_lasting([old, new]) == pick_lasting([new, old]) == (new,)
    assert len(pick_lasting([old, sign(-DAY, DAY, "A")])) == 2


def test_the_nearest_end_is_that_of_all() -> None:
    later, first = sign(-DAY, 9 * DAY), sign(-DAY, 8 * DAY, "TLSA")
    assert find_nearest([later, first]) == first
    assert find_nearest([]) is None

"""What is told of the node itself: certificates' ends (A3), what comes in (A9), what goes (A10)."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from letterlock.base.config.alerting import AlertsSection
from letterlock.services.alert.conditions import Found
from letterlock.services.alert.own import (
    LostSessions,
    UsedCertificate,
    find_ends,
    find_intake,
    find_lost,
    find_undelivered,
)
from letterlock.storage.own_reports import DeliveryState, OwnReport, ReportDelivery, ReportKey
from letterlock.storage.received_reports import ListedReport, ReportFacts, Standing, Way
from tests.fakes import START
from tests.services.alert.found import name_all, name_mended

LIMITS = AlertsSection()
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def used(
    left: timedelta, lifetime: timedelta = 90 * DAY, name: str = "mx.example"
) -> UsedCertificate:
    return UsedCertificate((name,), START + left - lifetime, START + left)


@pytest.mark.parametrize(
    ("left", "lifetime", "level"),
    [
        (15 * DAY, 90 * DAY, 0),
        (14 * DAY, 90 * DAY, 1),
        (7 * DAY, 365 * DAY, 2),
        (2 * DAY, 90 * DAY, 3),
        (timedelta(0), 90 * DAY, 4),
        (-DAY, 90 * DAY, 4),
        # One for six days: a fifteenth of all that.
        (DAY, 6 * DAY, 0),
        (22 * HOUR, 6 * DAY, 1),
        (3 * HOUR, 6 * DAY, 3),
    ],
)
def test_a_certificate_in_use_is_told_in_time(
    left: timedelta, lifetime: timedelta, level: int
) -> None:
    """A3: 14, 7 and 2 days before its end, and at its end."""
    found = find_ends([used(left, lifetime)], "node1", START)
    assert [each.level for each in found.conditions] == ([level] if level else [])
    assert bool(found.mended) is not bool(level)


def test_of_certificates_for_a_name_the_one_that_ends_first_counts() -> None:
    pair = [used(60 * DAY), used(3 * DAY)]
    for certificates in (pair, pair[::-1]):
        assert name_all(find_ends(certificates, "n", START)) == ["A3 certificate mx.example"]
    assert name_all(find_ends([replace_names(used(DAY))], "n", START)) == [
        "A3 certificate a certificate without names"
    ]


def replace_names(certificate: UsedCertificate) -> UsedCertificate:
    return UsedCertificate((), certificate.not_before, certificate.not_after)


def listed(
    standing: Standing, submitter: str = "x.example", ago: timedelta = HOUR, note: str = "not JSON"
) -> ListedReport:
    received = START - ago
    return ListedReport(
        *(17, received.date(), received, Way.MAIL, standing, submitter, note, ReportFacts(), 0)
    )


KNOWN = {"x.example": START.date() - 2 * DAY}


def find_in(*reports: ListedReport, counted: dict[str, date] = KNOWN) -> Found:
    return find_intake(reports, counted, LIMITS, START)


def test_a_report_of_a_known_sender_that_cannot_be_read_is_told() -> None:
    """A9. Of strangers it is not: anybody can send anything."""
    refused = listed(Standing.REFUSED)
    found = find_in(refused, listed(Standing.REFUSED, ago=3 * DAY, note="older"))
    assert name_all(found) == ["A9 refused x.example"]
    assert found.conditions[0].text.evidence == ("2026-03-01 11:00 UTC: not JSON",)
    assert name_all(find_in(refused, counted={})) == []
    assert name_all(find_in(listed(Standing.UNAUTHENTICATED))) == []
    assert name_all(find_in(listed(Standing.REFUSED, ago=14 * DAY), counted={
        "x.example": START.date() - 20 * DAY})) == []  # fmt: skip


def test_one_that_can_be_read_again_proves_it() -> None:
    found = find_in(listed(Standing.REFUSED), counted={"x.example": START.date()})
    assert name_mended(found)["A9 refused x.example"] == (
        "a report of x.example on 2026-03-01 could be read"
    )


def test_reports_that_unpack_to_too_much_are_told_of_anybody() -> None:
    huge = listed(Standing.REFUSED, "", note="too large: more than 20 MiB")
    assert name_all(find_in(huge)) == ["A9 too large"]
    old = listed(Standing.REFUSED, "", DAY, note="too large: more than 20 MiB")
    assert name_mended(find_in(old))["A9 too large"] == "none in the last 24 hours"


def test_a_flood_of_unsigned_reports_is_told() -> None:
    one = listed(Standing.UNAUTHENTICATED)
    assert name_all(find_in(*[one] * 99)) == []
    assert name_all(find_in(*[one] * 100)) == ["A9 unsigned"]
    old = listed(Standing.UNAUTHENTICATED, ago=DAY)
    assert name_mended(find_in(*[old] * 100))["A9 unsigned"].startswith("0 reports")
    off = replace(LIMITS, unsigned_reports=0)
    assert name_all(find_intake([one] * 500, {}, off, START)) == []


def report(
    state: DeliveryState, first: datetime | None = None, domain: str = "a.example"
) -> OwnReport:
    delivery = ReportDelivery("mailto:r@a.example", state, 3, first, None, "it is not signed")
    key = ReportKey("queue", START.date() - 2 * DAY, domain)
    return OwnReport(key, "1@x", None, deliveries=(delivery,))


def find_out(*reports: OwnReport, least: int = 1) -> Found:
    return find_undelivered(reports, replace(LIMITS, undelivered_reports=least), START)


def test_a_report_that_nobody_took_for_a_day_is_told() -> None:
    """A10. RFC 8460 §5.5."""
    waiting = report(DeliveryState.WAITING, START - DAY)
    found = find_out(waiting, report(DeliveryState.SENT))
    assert name_all(found) == ["A10 reports"]
    text = found.conditions[0].text
    assert text.what == "1 report of ours was not taken within 24 hours; 1 was"
    assert text.evidence == ("2026-02-27 a.example, mailto:r@a.example: it is not signed",)
    assert name_all(find_out(report(DeliveryState.FAILED, START - HOUR))) == ["A10 reports"]
    assert name_all(find_out(report(DeliveryState.WAITING, START - 23 * HOUR))) == []
    assert name_all(find_out(report(DeliveryState.WAITING))) == []
    assert name_all(find_out(waiting, least=2)) == []


def test_reports_that_are_taken_prove_it_and_none_at_all_do_not() -> None:
    assert name_mended(find_out(report(DeliveryState.SENT))) == {
        "A10 reports": "1 report of 3 days was taken, 0 were not"
    }
    assert find_out() == Found()


def test_sessions_of_a_postfix_that_were_not_counted_are_told() -> None:
    day = START.date() - DAY
    found = find_lost([LostSessions(day, 7, 0), LostSessions(day - DAY, 0, 2)], "node1")
    assert name_all(found) == ["A10 sessions"]
    assert found.conditions[0].text.since.date() == day - DAY
    assert len(found.conditions[0].text.evidence) == 2
    assert name_mended(find_lost([LostSessions(day, 0, 0)], "node1")) == {
        "A10 sessions": f"none on {day}"
    }
    assert find_lost([], "node1") == Found()

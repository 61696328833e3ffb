"""A1: days on which too large a share of sessions failed."""

from dataclasses import replace

import pytest
from msgspec import structs

from letterlock.base.config.alerting import AlertsSection
from letterlock.services.alert.rates import find_rates
from letterlock.storage.received_reports import POSTED, KeptResult
from tests.services.alert.found import name_all, name_mended
from tests.services.intake.results import TODAY, kept

LIMITS = AlertsSection()


def day(days_ago: int, successful: int, failed: int, kind: str = "sts") -> KeptResult:
    return kept(days_ago, type=kind, successful=successful, failed=failed)


def find(*results: KeptResult, limits: AlertsSection = LIMITS) -> list[str]:
    return name_all(find_rates("example.org", results, limits, TODAY))


@pytest.mark.parametrize(
    ("successful", "failed", "is_told"),
    [
        (99, 1, False),  # 1 % is not more than 1 %
        (98, 2, True),
        (97, 2, False),  # 99 sessions are too few
        (0, 100, True),
        (0, 99, False),
        (1_000_000, 10_000, False),
        (1_000_000, 10_102, True),
    ],
)
def test_more_than_a_share_of_enough_sessions(successful: int, failed: int, is_told: bool) -> None:
    assert bool(find(day(1, successful, failed))) is is_told


def test_the_last_day_with_enough_sessions_counts() -> None:
    assert find(day(3, 0, 200), day(1, 0, 20)) == ["A1 sts"]
    assert find(day(3, 0, 200), day(2, 200, 0)) == []
    assert find(day(14, 0, 200)) == []
    assert find(day(13, 0, 200)) == ["A1 sts"]


def test_a_good_day_proves_that_it_is_over() -> None:
    found = find_rates("example.org", (day(3, 0, 200), day(1, 200, 1)), LIMITS, TODAY)
    assert name_mended(found) == {"A1 sts": "2026-04-29: 1 of 201 sessions failed, 0.50%"}


def test_types_are_judged_apart_and_reports_of_a_day_together() -> None:
    """RFC 8460 §4.2: sessions of several types may be the same ones."""
    one, two = day(1, 60, 0), replace_submitter(day(1, 40, 10))
    assert find(one, two, day(1, 500, 0, "tlsa")) == ["A1 sts"]
    assert find(day(1, 99, 1), day(1, 99, 1, "tlsa")) == []


def replace_submitter(result: KeptResult, submitter: str = "ms.example") -> KeptResult:
    return structs.replace(result, submitter=submitter)


def steady(failed: int) -> list[KeptResult]:
    return [day(2 + ago, 100_000 - failed - ago % 3, failed + ago % 3) for ago in range(10)]


def test_a_day_far_above_the_median_is_told_below_the_share_too() -> None:
    """Five standard deviations above the days before; where none failed, above chance."""
    assert find(*steady(20), day(1, 99_900, 100)) == ["A1 sts"]
    assert find(*steady(20), day(1, 99_975, 25)) == []
    assert find(*[day(2 + ago, 100_000, 0) for ago in range(10)], day(1, 99_980, 20)) == ["A1 sts"]
    assert find(*[day(2 + ago, 100_000, 0) for ago in range(10)], day(1, 99_991, 9)) == []


def test_a_deviation_needs_days_to_compare_with() -> None:
    assert find(*steady(20)[:6], day(1, 99_900, 100)) == []
    assert find(*steady(20)[:7], day(1, 99_900, 100)) == ["A1 sts"]
    old = [day(31 + ago, 100_000, 0) for ago in range(9)]
    assert find(*old, day(1, 99_900, 100)) == []


def test_each_threshold_is_a_setting() -> None:
    assert find(day(1, 95, 5), limits=replace(LIMITS, failure_percent=5)) == []
    assert find(day(1, 9, 1), limits=replace(LIMITS, min_sessions=10)) == ["A1 sts"]
    off = replace(LIMITS, sigma=0)
    assert find(*steady(20), day(1, 99_900, 100), limits=off) == []


def test_it_is_told_since_the_first_day_of_those_in_a_row() -> None:
    results = [day(6, 0, 200), day(5, 200, 0), day(4, 0, 200), day(3, 50, 0), day(2, 0, 200)]
    (condition,) = find_rates("example.org", results, LIMITS, TODAY).conditions
    assert f"{condition.text.since:%Y-%m-%d}" == "2026-04-26"
    assert condition.text.what == "200 of 200 sessions under MTA-STS failed"
    assert condition.text.evidence == (
        "2026-04-28: 200 of 200 sessions failed, 100.00%",
        "that is more than 1%",
    )


def test_what_anybody_can_post_does_not_talk_away_what_others_tell() -> None:
    bad, lie = day(1, 90, 20), replace_submitter(day(1, 1_000_000, 0), f"ms.example{POSTED}")
    assert find(bad, lie) == ["A1 sts"]
    later = replace_submitter(day(0, 1_000_000, 0), f"ms.example{POSTED}")
    assert find(bad, later) == ["A1 sts"]
    # Nor do good ones that are proved end what was posted.
    posted = replace_submitter(bad, f"ms.example{POSTED}")
    found = find_rates("example.org", (posted, day(0, 200, 0)), LIMITS, TODAY)
    assert name_all(found) == ["A1 sts (posted)"]
    assert found.conditions[0].text.what.endswith("under MTA-STS (posted) failed")

"""A6 to A8: who stopped reporting, who sees another policy than the published one, or none."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from letterlock.services.alert.conditions import Found, start_of
from letterlock.services.alert.deciding import decide
from letterlock.services.alert.senders import (
    PublishedPolicy,
    find_delays,
    find_policy_gone,
    find_silent,
    find_stale,
)
from letterlock.services.intake.summary import normalize_policy
from letterlock.storage.alerts import Alert, Turn
from letterlock.storage.received_reports import Arrival, KeptResult
from tests.services.alert.found import add_up, name_all, name_mended
from tests.services.intake.results import ENFORCED, TESTING, TODAY, kept

NOW = datetime(2026, 4, 30, 12, tzinfo=UTC)


def each_day(submitter: str, last: int, days: int = 14) -> list[KeptResult]:
    return [kept(ago, submitter) for ago in range(last, last + days)]


def silent(*results: KeptResult, after: int = 3, delays: Mapping[str, int] = {}) -> Found:
    return find_silent(add_up(*results), delays, after, TODAY)


@pytest.mark.parametrize(
    ("last", "days", "after", "is_told"),
    [
        (4, 14, 3, False),
        (5, 14, 3, True),  # of today and yesterday none can be here yet
        (5, 9, 3, False),  # not one who reported each day
        (5, 10, 3, True),
        (5, 14, 4, False),
        (6, 14, 4, True),
    ],
)
def test_one_who_reported_each_day_and_stopped_is_told(
    last: int, days: int, after: int, is_told: bool
) -> None:
    """A6. RFC 8460 §4.1: a report on a day comes on the next one."""
    found = silent(*each_day("a.example", last, days), *each_day("b.example", 1), after=after)
    assert name_all(found) == (["A6 a.example"] if is_told else [])


def arrived(days_ago: int, taken: int) -> Arrival:
    day = TODAY - timedelta(days_ago)
    return Arrival("a.example", day, start_of(day + timedelta(taken)) + timedelta(hours=10))


def test_who_always_reports_late_has_its_own_delay() -> None:
    """A6."""
    usual = [arrived(ago, 1) for ago in range(1, 9)]
    assert find_delays(usual) == {"a.example": 2}
    assert find_delays([arrived(ago, 4) for ago in range(9)]) == {"a.example": 5}
    assert find_delays([*usual, arrived(9, 40)]) == {"a.example": 2}
    assert find_delays([arrived(ago, 40) for ago in range(9)]) == {"a.example": 14}
    assert find_delays([arrived(1, -3)]) == {"a.example": 2}
    results = [*each_day("a.example", 7), *each_day("b.example", 1)]
    assert name_all(silent(*results)) == ["A6 a.example"]
    assert name_all(silent(*results, delays={"a.example": 5})) == []
    assert name_all(silent(*results, delays={"a.example": 4})) == ["A6 a.example"]


def test_when_all_have_stopped_that_is_one_alert() -> None:
    """The record or the mailbox, and not so many senders."""
    found = silent(*each_day("a.example", 6), *each_day("b.example", 7), kept(9, "c.example"))
    assert [each.key.subject for each in found.conditions if each.may_begin] == [""]
    assert "TLSRPT record of example.org" in found.conditions[0].text.remedy
    # One that was told before is not over by that.
    alone = silent(*each_day("a.example", 6), *each_day("b.example", 1))
    alerts: tuple[Alert, ...]
    alerts, told = decide((), alone, "n", timedelta(7), NOW)
    alerts, told = decide(alerts, found, "n", timedelta(7), NOW)
    assert [(each.turn, each.key.subject) for each in told] == [(Turn.BEGAN, "")]


def test_whoever_reports_again_proves_it() -> None:
    found = silent(*each_day("a.example", 1), kept(20, "b.example"))
    assert name_all(found) == []
    assert name_mended(found) == {
        "A6 a.example": "it reported on 2026-04-29", "A6": "a.example reported on 2026-04-29"
    }  # fmt: skip
    assert silent() == Found()


SEEN = normalize_policy("sts", TESTING)
NEW = normalize_policy("sts", ENFORCED)


def stale(
    *results: KeptResult, since_days: int = 5, held: tuple[tuple[str, ...], ...] = ()
) -> Found:
    published = PublishedPolicy(NEW, NOW - timedelta(since_days), held)
    return find_stale(add_up(*results), published, TODAY)


def test_an_old_policy_is_no_fault_until_its_max_age_is_over() -> None:
    """A7. RFC 8461 §3.2: max_age counts from the fetch; TESTING's is a day."""
    assert name_all(stale(kept(4))) == []
    assert name_all(stale(kept(3))) == ["A7"]
    week = ("max_age: 604800", "mode: testing")
    assert name_all(stale(kept(3, strings=week))) == []
    assert name_all(stale(kept(1, strings=week), since_days=8)) == []
    assert name_all(stale(kept(1, strings=week), since_days=9)) == ["A7"]
    assert name_all(stale(kept(1, strings=("max_age: ²", "mode: testing")))) == ["A7"]


def test_what_we_served_and_somebody_may_still_hold_is_no_fault() -> None:
    assert name_all(stale(kept(3), held=(SEEN,))) == []


def test_the_published_policy_seen_later_by_the_same_sender_proves_it() -> None:
    found = stale(kept(3), kept(1, strings=ENFORCED))
    assert name_mended(found) == {"A7": "google.example saw the published policy on 2026-04-29"}
    by_another = stale(kept(3), kept(1, "ms.example", strings=ENFORCED))
    assert name_all(by_another) == ["A7"]
    assert by_another.conditions[0].text.what == (
        "google.example saw an MTA-STS policy that is not the published one"
    )
    assert name_all(stale(kept(14), since_days=30)) == []


def test_without_a_published_policy_there_is_nothing_to_compare() -> None:
    assert find_stale(add_up(kept(1)), None, TODAY) == Found()
    assert stale(kept(1, type="tlsa", strings=("3 1 1 aa",))) == Found()


def gone(*results: KeptResult) -> Found:
    return find_policy_gone(add_up(*results), results, TODAY)


def test_a_sender_that_saw_the_policy_and_finds_none_is_told() -> None:
    """A8."""
    none = kept(1, type="no-policy-found", strings=())
    found = gone(kept(4), none)
    assert name_all(found) == ["A8 google.example"]
    assert found.conditions[0].text.evidence == (
        "it saw one until 2026-04-26", "without one: 2026-04-29"
    )  # fmt: skip
    assert name_all(gone(none)) == []
    assert name_all(gone(kept(4, "ms.example"), none)) == []
    assert name_all(gone(kept(4, type="tlsa"), none)) == []


def test_both_on_one_day_are_no_fault_and_the_policy_seen_later_proves_it() -> None:
    none = kept(2, type="no-policy-found", strings=())
    assert name_all(gone(kept(2), none)) == []
    assert name_mended(gone(kept(4), none, kept(1))) == {
        "A8 google.example": "it saw the policy on 2026-04-29"
    }
    late = kept(14, type="no-policy-found", strings=())
    assert gone(kept(20), late) == Found()

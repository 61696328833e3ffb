"""RFC 8461 §3.3, §5.1, §6, §8.3: what holds, when to fetch, what is reportable."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.mta_sts.cache import (
    FAILED_FETCH_WAIT,
    FAILED_OTHER_WAIT,
    LEAST_REFRESH,
    REFRESH_AFTER,
    CachedPolicy,
    CacheEntry,
    Fault,
    FetchFailure,
    Look,
    LookupFailed,
    Step,
    decide_step,
    find_fault,
    find_refresh_time,
    find_valid,
)
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.mta_sts.record import MtaStsRecord, RecordError
from letterlock.protocols.tlsrpt.result_types import ResultType

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)

FETCH_ERROR = ResultType.STS_POLICY_FETCH_ERROR
UNTRUSTED = ResultType.STS_WEBPKI_INVALID

RECORD = MtaStsRecord("1", "v=STSv1; id=1")
OTHER_RECORD = MtaStsRecord("2", "v=STSv1; id=2")
NO_ANSWER = LookupFailed("no answer")
INVALID = RecordError("no id", "v=STSv1;")
LOOKS: list[Look] = [RECORD, OTHER_RECORD, None, NO_ANSWER, INVALID]


def cached(
    age: timedelta = MINUTE, max_age: timedelta = WEEK, mode: MtaStsMode = MtaStsMode.ENFORCE
) -> CachedPolicy:
    return CachedPolicy("1", MtaStsPolicy(mode, ("mx.example.org",), max_age), "text", NOW - age)


def failure(age: timedelta, identifier: str | None = "1") -> FetchFailure:
    return FetchFailure(identifier, NOW - age, UNTRUSTED, "expired")


EMPTY = CacheEntry()
FRESH = CacheEntry(cached())
OLD = CacheEntry(cached(DAY))
EXPIRED = CacheEntry(cached(WEEK + SECOND))


@pytest.mark.parametrize(
    ("age", "max_age", "holds"),
    [
        (timedelta(0), timedelta(0), True),
        (SECOND, timedelta(0), False),
        (WEEK, WEEK, True),
        (WEEK + SECOND, WEEK, False),
        (-HOUR, WEEK, True),
    ],
)
def test_a_policy_holds_until_max_age_after_its_fetch(
    age: timedelta, max_age: timedelta, *, holds: bool
) -> None:
    """RFC 8461 §5.1 (rule 145)."""
    entry = CacheEntry(cached(age, max_age))
    assert (find_valid(entry, NOW) is not None) == holds


def test_nothing_holds_where_nothing_was_fetched() -> None:
    assert find_valid(EMPTY, NOW) is None


STEPS: list[tuple[str, CacheEntry, Look, Step]] = [
    ("nothing yet, a record", EMPTY, RECORD, Step.FETCH),
    ("nothing yet, no record", EMPTY, None, Step.KEEP),
    ("nothing yet, no answer", EMPTY, NO_ANSWER, Step.KEEP),
    ("nothing yet, an invalid record", EMPTY, INVALID, Step.KEEP),
    ("expired, a record", EXPIRED, RECORD, Step.FETCH),
    ("expired, no record", EXPIRED, None, Step.DROP),
    ("expired, no answer", EXPIRED, NO_ANSWER, Step.KEEP),
    ("fresh, same id", FRESH, RECORD, Step.KEEP),
    ("fresh, another id", FRESH, OTHER_RECORD, Step.REFRESH),
    ("fresh, the record is gone", FRESH, None, Step.KEEP),
    ("fresh, no answer", FRESH, NO_ANSWER, Step.KEEP),
    ("a day old, same id", OLD, RECORD, Step.REFRESH),
    ("a day old, another id", OLD, OTHER_RECORD, Step.REFRESH),
    ("a day old, the record is gone", OLD, None, Step.REFRESH),
    ("a day old, no answer", OLD, NO_ANSWER, Step.REFRESH),
    ("a day old, an invalid record", OLD, INVALID, Step.REFRESH),
]


@pytest.mark.parametrize(
    ("entry", "look", "step"), [each[1:] for each in STEPS], ids=[each[0] for each in STEPS]
)
def test_when_to_fetch(entry: CacheEntry, look: Look, step: Step) -> None:
    """RFC 8461 §3.3, §5.1 (rules 63, 72, 73, 74, 144): also without a record, once a day."""
    assert decide_step(entry, look, NOW) is step


@pytest.mark.parametrize("entry", [FRESH, OLD, EXPIRED])
@pytest.mark.parametrize("look", LOOKS)
def test_mode_none_is_dropped_when_the_record_goes(entry: CacheEntry, look: Look) -> None:
    """RFC 8461 §8.3 (rule 143): but only when DNS says so."""
    assert entry.cached is not None
    policy = MtaStsPolicy(MtaStsMode.NONE, (), WEEK)
    given_up = CacheEntry(CachedPolicy("1", policy, "text", entry.cached.fetched))
    expected = Step.DROP if look is None else decide_step(entry, look, NOW)
    assert decide_step(given_up, look, NOW) is expected


@pytest.mark.parametrize("base", [EMPTY, OLD, EXPIRED])
@pytest.mark.parametrize(
    ("age", "identifier", "may_fetch"),
    [
        (timedelta(0), "1", False),
        (FAILED_FETCH_WAIT - SECOND, "1", False),
        (FAILED_FETCH_WAIT, "1", True),
        (FAILED_OTHER_WAIT - SECOND, "2", False),
        (FAILED_OTHER_WAIT, "2", True),
        (FAILED_OTHER_WAIT, None, True),
        (-MINUTE, "1", False),
        (-HOUR, "1", True),
    ],
)
def test_failing_fetches_of_one_id_are_five_minutes_apart(
    base: CacheEntry, age: timedelta, identifier: str | None, *, may_fetch: bool
) -> None:
    """RFC 8461 §3.3 (rule 70); a failure far in the future was noted by a wrong clock."""
    entry = CacheEntry(base.cached, failure(age, identifier))
    is_fetching = decide_step(entry, RECORD, NOW) in (Step.FETCH, Step.REFRESH)
    assert is_fetching == may_fetch


def test_a_refresh_without_a_record_waits_too_after_a_failure() -> None:
    """RFC 8461 §3.3."""
    assert decide_step(CacheEntry(OLD.cached, failure(MINUTE, None)), None, NOW) is Step.KEEP
    assert decide_step(CacheEntry(OLD.cached, failure(HOUR, None)), None, NOW) is Step.REFRESH


def test_a_policy_from_the_future_is_kept_and_refreshed() -> None:
    """What is stricter counts, until a right clock has written it again."""
    assert decide_step(CacheEntry(cached(-MINUTE)), RECORD, NOW) is Step.KEEP
    assert decide_step(CacheEntry(cached(-HOUR)), RECORD, NOW) is Step.REFRESH


@pytest.mark.parametrize(
    ("max_age", "after"),
    [
        (WEEK, REFRESH_AFTER),
        (2 * DAY, REFRESH_AFTER),
        (12 * HOUR, 6 * HOUR),
        (HOUR, LEAST_REFRESH),
        (timedelta(0), LEAST_REFRESH),
    ],
)
def test_a_policy_is_refreshed_daily_and_before_it_expires(
    max_age: timedelta, after: timedelta
) -> None:
    """RFC 8461 §3.3 (rule 74)."""
    entry = CacheEntry(cached(timedelta(0), max_age))
    assert find_refresh_time(entry) == NOW + after


def test_after_a_failing_refresh_the_next_one_is_an_hour_later() -> None:
    assert find_refresh_time(CacheEntry(cached(DAY), failure(MINUTE))) == NOW - MINUTE + HOUR
    assert find_refresh_time(CacheEntry(cached(), failure(DAY))) == NOW - MINUTE + DAY
    assert find_refresh_time(CacheEntry(None, failure(MINUTE))) is None


FAULTS: list[tuple[str, CacheEntry, Look, Fault | None]] = [
    ("nothing, no record", EMPTY, None, None),
    ("fresh, same id", FRESH, RECORD, None),
    (
        "nothing, failed",
        CacheEntry(None, failure(MINUTE)),
        RECORD,
        Fault("expired", UNTRUSTED),
    ),
    (
        "fresh, failed",
        CacheEntry(cached(), failure(MINUTE)),
        RECORD,
        Fault("expired", UNTRUSTED),
    ),
    (
        "nothing, failed with another id",
        CacheEntry(None, failure(MINUTE)),
        OTHER_RECORD,
        Fault("expired", UNTRUSTED),
    ),
    ("fresh, failed with another id", CacheEntry(cached(), failure(MINUTE)), OTHER_RECORD, None),
    (
        "nothing, no answer",
        EMPTY,
        NO_ANSWER,
        Fault("the MTA-STS record cannot be looked up: no answer", None),
    ),
    (
        "fresh, no answer",
        FRESH,
        NO_ANSWER,
        Fault("the MTA-STS record cannot be looked up: no answer", FETCH_ERROR),
    ),
    ("fresh, gone", FRESH, None, Fault("the MTA-STS record is gone", FETCH_ERROR)),
    ("expired, gone", EXPIRED, None, None),
    (
        "nothing, invalid",
        EMPTY,
        INVALID,
        Fault("invalid MTA-STS record: no id", FETCH_ERROR),
    ),
    (
        "mode none, no answer",
        CacheEntry(cached(mode=MtaStsMode.NONE)),
        NO_ANSWER,
        Fault("the MTA-STS record cannot be looked up: no answer", None),
    ),
    ("mode none, gone", CacheEntry(cached(mode=MtaStsMode.NONE)), None, None),
]


@pytest.mark.parametrize(
    ("entry", "look", "fault"), [each[1:] for each in FAULTS], ids=[each[0] for each in FAULTS]
)
def test_what_went_wrong_and_is_reportable(
    entry: CacheEntry, look: Look, fault: Fault | None
) -> None:
    """RFC 8461 §6: any failure while a policy is cached, unless its mode is none."""
    assert find_fault(entry, look, NOW) == fault


_times = st.integers(-10 * 86400, 10 * 86400).map(lambda seconds: NOW + timedelta(seconds=seconds))
_entries = st.builds(
    CacheEntry,
    st.none()
    | st.builds(
        CachedPolicy,
        st.sampled_from("12"),
        st.builds(
            MtaStsPolicy,
            st.sampled_from(MtaStsMode),
            st.just(("mx.example.org",)),
            st.integers(0, 10 * 86400).map(lambda seconds: timedelta(seconds=seconds)),
        ),
        st.just("text"),
        _times,
    ),
    st.none()
    | st.builds(
        FetchFailure, st.sampled_from(["1", "2", None]), _times, st.just(UNTRUSTED), st.just("x")
    ),
)


@given(_entries, st.sampled_from(LOOKS))
def test_what_holds_is_never_thrown_away_but_for_mode_none(entry: CacheEntry, look: Look) -> None:
    """RFC 8461 §3.3: a valid cached policy MUST be applied, whatever DNS says."""
    valid = find_valid(entry, NOW)
    step = decide_step(entry, look, NOW)
    if valid is not None and valid.policy.mode is not MtaStsMode.NONE:
        assert step in (Step.KEEP, Step.REFRESH)
    if valid is None:
        assert step is not Step.REFRESH
    if step is Step.FETCH:
        assert isinstance(look, MtaStsRecord)

"""When a certificate is renewed: RFC 9773 §4, and what it leaves to the client."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from letterlock.protocols.acme.renewal import (
    MAX_TEMPORARY,
    WAITS,
    AuthorityChoice,
    Failure,
    Renewal,
    RenewalPlan,
    Trouble,
    choose_authority,
    count_hurried,
    decide_renewal,
    find_asking,
    find_emergency,
    find_wait,
    is_asking_due,
    note_failure,
    plan_by_lifetime,
    plan_in_window,
    postpone_asking,
)
from letterlock.protocols.acme.renewal_info import RenewalInfo
from tests.fakes import START

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ONE = "https://one.example/directory"
TWO = "https://two.example/directory"
THREE = "https://three.example/directory"
LIVES = [90 * DAY, 47 * DAY, 6 * DAY, HOUR]


@dataclass(frozen=True, slots=True)
class Facts:
    not_before: datetime
    not_after: datetime
    issued: datetime
    hurried: int = 0


def lasting(life: timedelta, hurried: int = 0) -> Facts:
    return Facts(START, START + life, START, hurried)


NINETY = lasting(90 * DAY)
WINDOW = RenewalInfo(START + 50 * DAY, START + 52 * DAY)
PAST = RenewalInfo(START - 2 * DAY, START - DAY, "https://one.example/incident")

spans = st.timedeltas(min_value=SECOND, max_value=400 * DAY)
moments = st.timedeltas(min_value=-500 * DAY, max_value=500 * DAY).map(lambda each: START + each)
chances = st.floats(0, 1, exclude_max=True)
windows = st.builds(
    lambda start, span: RenewalInfo(start, start + span),
    moments,
    st.timedeltas(min_value=SECOND, max_value=30 * DAY),
)


def due(at: datetime, why: str) -> Renewal:
    return Renewal(is_due=True, at=at, why=why)


def later(at: datetime, why: str) -> Renewal:
    return Renewal(is_due=False, at=at, why=why)


def test_what_is_not_there_is_got_now() -> None:
    assert decide_renewal(None, None, START) == due(START, "there is no certificate yet")


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize(("chance", "added"), [(0.0, 0.0), (0.5, 1 / 60), (0.999, 1 / 30)])
def test_without_a_suggestion_it_is_two_thirds_of_life_and_a_little(
    life: timedelta, chance: float, added: float
) -> None:
    plan = plan_by_lifetime(lasting(life), None, None, chance)
    assert plan.window is None
    share = (plan.moment - START) / life
    assert share == pytest.approx(2 / 3 + added, abs=1e-3)
    assert not decide_renewal(lasting(life), plan, plan.moment - SECOND).is_due
    renewal = decide_renewal(lasting(life), plan, plan.moment)
    assert renewal == due(plan.moment, "two thirds of its life")


def test_a_certificate_without_a_plan_is_renewed_at_two_thirds_of_its_life() -> None:
    renewal = decide_renewal(NINETY, None, START)
    assert renewal == later(START + 60 * DAY, "two thirds of its life")


def test_a_plan_by_lifetime_stays() -> None:
    first = plan_by_lifetime(NINETY, START + DAY, None, 0.9)
    second = plan_by_lifetime(NINETY, START + 2 * DAY, first, 0.1)
    assert (second.moment, second.ask_again) == (first.moment, START + 2 * DAY)


def test_an_authority_that_suggests_no_more_leaves_us_to_ourselves() -> None:
    suggested = plan_in_window(WINDOW, START + DAY, None, 0.5)
    plan = plan_by_lifetime(NINETY, None, suggested, 0.0)
    assert plan == RenewalPlan(START + 60 * DAY)


@pytest.mark.parametrize(("chance", "at"), [(0.0, 50 * DAY), (0.5, 51 * DAY), (0.75, 51.5 * DAY)])
def test_the_moment_is_somewhere_in_the_window(chance: float, at: timedelta) -> None:
    """RFC 9773 §4.2."""
    plan = plan_in_window(WINDOW, START + HOUR, None, chance)
    assert plan == RenewalPlan(START + at, WINDOW, START + HOUR)
    why = "the authority suggests from 2026-04-20T12:00:00Z to 2026-04-22T12:00:00Z"
    assert decide_renewal(NINETY, plan, START) == later(START + at, why)
    assert decide_renewal(NINETY, plan, START + at) == due(START + at, why)


def test_a_window_in_the_past_renews_now_and_says_where_to_read_why() -> None:
    """RFC 9773 §4.2."""
    plan = plan_in_window(PAST, START + HOUR, None, 0.99)
    renewal = decide_renewal(NINETY, plan, START)
    assert renewal.is_due
    assert renewal.why == (
        "the authority suggested from 2026-02-27T12:00:00Z to 2026-02-28T12:00:00Z: "
        "see https://one.example/incident"
    )
    assert plan.explanation == "https://one.example/incident"


def test_a_plan_without_a_window_has_no_explanation() -> None:
    assert RenewalPlan(START).explanation is None


def test_an_explanation_that_changes_does_not_move_the_moment() -> None:
    """RFC 9773 §4.2: the operator sees the newest one."""
    first = plan_in_window(WINDOW, START, None, 0.9)
    explained = RenewalInfo(WINDOW.start, WINDOW.end, "https://one.example/why")
    second = plan_in_window(explained, START + DAY, first, 0.1)
    assert (second.moment, second.explanation) == (first.moment, "https://one.example/why")


@given(windows, st.lists(chances, min_size=1, max_size=5), windows)
def test_the_moment_stays_while_the_window_stays(
    window: RenewalInfo, looks: Sequence[float], other: RenewalInfo
) -> None:
    """RFC 9773 §4.2: a random time is selected, not one at each look."""
    assume(window != other)
    first = plan = plan_in_window(window, START, None, looks[0])
    for chance in looks:
        plan = postpone_asking(plan, START, is_temporary=True)
        plan = plan_in_window(window, START, plan, chance)
        assert plan.moment == first.moment
    moved = plan_in_window(other, START, plan, looks[0])
    assert other.start <= moved.moment <= other.end


@given(spans, windows, moments, chances)
def test_never_after_the_emergency_and_never_before_the_window(
    life: timedelta, window: RenewalInfo, now: datetime, chance: float
) -> None:
    facts = lasting(life)
    plan = plan_in_window(window, now, None, chance)
    renewal = decide_renewal(facts, plan, now)
    emergency = find_emergency(facts)
    assert renewal.at <= emergency
    if now >= emergency:
        assert renewal.is_due
    elif renewal.is_due:
        assert window.start <= plan.moment <= now
        assert renewal.at <= now
    else:
        assert renewal.at > now


@given(spans, chances, moments)
def test_without_a_window_never_before_two_thirds_of_life(
    life: timedelta, chance: float, now: datetime
) -> None:
    facts = lasting(life)
    renewal = decide_renewal(facts, plan_by_lifetime(facts, None, None, chance), now)
    if renewal.is_due:
        assert now - START >= life * 2 / 3
    assert START + life * 2 / 3 - SECOND <= renewal.at <= find_emergency(facts)


@pytest.mark.parametrize("life", LIVES)
def test_a_twentieth_of_life_before_the_end_it_is_renewed_whatever_is_suggested(
    life: timedelta,
) -> None:
    late = RenewalInfo(START + life, START + 2 * life)
    plan = plan_in_window(late, START, None, 0.0)
    limit = START + life * 19 / 20
    before = decide_renewal(lasting(life), plan, limit - SECOND)
    assert before == later(limit, "when a twentieth of its life is left")
    renewal = decide_renewal(lasting(life), plan, limit)
    assert renewal == due(limit, "a twentieth of its life is left")


def test_one_that_expired_is_renewed() -> None:
    renewal = decide_renewal(NINETY, None, START + 90 * DAY)
    assert renewal.is_due
    assert renewal.why == "it expired at 2026-05-30T12:00:00Z"


def test_one_that_was_revoked_is_renewed_before_its_window() -> None:
    plan = plan_in_window(WINDOW, START, None, 0.5)
    renewal = decide_renewal(NINETY, plan, START + 2 * DAY, revoked=START + DAY)
    assert renewal == due(START + DAY, "it was revoked")


def test_a_clock_set_back_renews_nothing() -> None:
    """Its moment stays, and nothing is asked for that would not be valid either."""
    now = START - 365 * DAY
    for window in (WINDOW, RenewalInfo(now - DAY, now)):
        renewal = decide_renewal(NINETY, plan_in_window(window, now, None, 0.5), now)
        assert not renewal.is_due
        assert renewal.at >= START
        assert renewal.why == (
            "it is not valid before 2026-03-01T12:00:00Z: is this machine's clock right?"
        )


def test_an_authority_that_wants_each_new_one_replaced_is_followed_ever_slower() -> None:
    """RFC 9773 §4.2: renewal is subject to back-off; a day has not more than ten of such."""
    now, facts, replaced = START, NINETY, []
    while now < START + DAY:
        plan = plan_in_window(RenewalInfo(now - 2 * DAY, now - DAY), now, None, 0.5)
        renewal = decide_renewal(facts, plan, now)
        if renewal.is_due:
            replaced.append(now - START)
            facts = Facts(now, now + 90 * DAY, now, count_hurried(facts, now))
        else:
            assert renewal.at > now
            assert "were replaced early" in renewal.why
        now += MINUTE
    assert replaced[:5] == [0 * MINUTE, 1 * MINUTE, 3 * MINUTE, 8 * MINUTE, 18 * MINUTE]
    assert len(replaced) <= len(WAITS) + 3


def test_a_clock_set_back_does_not_keep_an_early_one_waiting() -> None:
    facts = Facts(START, START + 90 * DAY, START + 40 * DAY, hurried=5)
    assert decide_renewal(facts, None, START + 10 * DAY, revoked=START).is_due


@pytest.mark.parametrize(
    ("used", "hurried"),
    [(44 * DAY, 4), (45 * DAY, 0), (60 * DAY, 0), (timedelta(), 4), (-DAY, 4)],
)
def test_less_than_half_a_life_is_hurried(used: timedelta, hurried: int) -> None:
    assert count_hurried(lasting(90 * DAY, hurried=3), START + used) == hurried
    assert count_hurried(None, START + used) == 0


@pytest.mark.parametrize(
    ("ask_again", "now", "asking"),
    [
        (START + HOUR, START, START + HOUR),
        (START + HOUR, START + HOUR, START + HOUR),
        (START + HOUR, START + DAY, START + HOUR),
        (START + 25 * HOUR, START, START),  # the clock was set back
        (None, START + HOUR, None),
        (START + HOUR, START + 90 * DAY, None),  # expired
    ],
)
def test_the_authority_is_asked_when_it_said(
    ask_again: datetime | None, now: datetime, asking: datetime | None
) -> None:
    """RFC 9773 §4.3."""
    plan = RenewalPlan(START, None, ask_again)
    assert find_asking(NINETY, plan, now) == asking
    assert is_asking_due(NINETY, plan, now) is (asking is not None and asking <= now)


def test_the_authority_is_asked_first_as_soon_as_there_is_a_certificate() -> None:
    """RFC 9773 §4.3."""
    assert find_asking(NINETY, None, START) == START
    assert is_asking_due(NINETY, None, START)


def test_after_errors_that_may_pass_it_is_asked_soon_but_not_for_ever() -> None:
    """RFC 9773 §4.3.3."""
    plan = plan_in_window(WINDOW, START, None, 0.5)
    waits = []
    for _ in range(MAX_TEMPORARY + 2):
        plan = postpone_asking(plan, START, is_temporary=True)
        assert plan.ask_again is not None
        waits.append(plan.ask_again - START)
    assert waits == [*WAITS[:MAX_TEMPORARY], 6 * HOUR, MINUTE]
    assert (plan.moment, plan.window) == (START + 51 * DAY, WINDOW)


def test_after_an_error_that_stays_it_is_asked_in_six_hours() -> None:
    """RFC 9773 §4.3.3."""
    plan = postpone_asking(RenewalPlan(START), START, is_temporary=False)
    assert plan == RenewalPlan(START, None, START + 6 * HOUR)


@pytest.mark.parametrize(
    ("count", "minutes"),
    [(0, 0), (1, 1), (2, 2), (3, 5), (4, 10), (5, 20), (6, 30), (10, 360), (1000, 360)],
)
def test_waits_grow_up_to_six_hours(count: int, minutes: int) -> None:
    assert find_wait(count) == minutes * MINUTE


def failed(
    directory: str, times: int, now: datetime = START, retry_after: timedelta | None = None
) -> tuple[Trouble, ...]:
    troubles: tuple[Trouble, ...] = ()
    for _ in range(times):
        troubles = note_failure(troubles, Failure(directory, "no", retry_after), now, 0.0)
    return troubles


def test_failures_are_counted_for_each_authority() -> None:
    troubles = failed(ONE, 2)
    troubles = note_failure(troubles, Failure(TWO, "two\nlines"), START + HOUR, 0.0)
    troubles = note_failure(troubles, Failure(ONE, "again"), START + 2 * HOUR, 0.5)
    assert troubles == (
        Trouble(TWO, 1, START + HOUR, START + HOUR + MINUTE, "two lines"),
        Trouble(ONE, 3, START + 2 * HOUR, START + 2 * HOUR + 5.625 * MINUTE, "again"),
    )


@pytest.mark.parametrize(
    ("retry_after", "waits"),
    [(SECOND, MINUTE), (HOUR, HOUR), (30 * DAY, DAY), (None, MINUTE)],
)
def test_a_server_that_wants_longer_gets_longer_up_to_a_day(
    retry_after: timedelta | None, waits: timedelta
) -> None:
    (trouble,) = failed(ONE, 1, retry_after=retry_after)
    assert trouble.not_before == START + waits


@given(st.text(max_size=3000))
def test_a_reason_is_kept_as_one_short_line(reason: str) -> None:
    (trouble,) = note_failure((), Failure(ONE, reason), START, 0.0)
    assert trouble.reason.isprintable()
    assert len(trouble.reason) <= 1000


@pytest.mark.parametrize(
    ("troubles", "after", "choice"),
    [
        ((), 0, AuthorityChoice(ONE, START)),
        (failed(ONE, 2), 0, AuthorityChoice(ONE, START + 2 * MINUTE)),
        (failed(ONE, 2), 2, AuthorityChoice(ONE, START + 2 * MINUTE)),
        # From the third on the next one joins, and comes first while it may be asked.
        (failed(ONE, 3), 0, AuthorityChoice(TWO, START)),
        (failed(ONE, 3), 60, AuthorityChoice(TWO, START + HOUR)),
        (failed(ONE, 3) + failed(TWO, 2), 0, AuthorityChoice(TWO, START + 2 * MINUTE)),
        (failed(ONE, 3) + failed(TWO, 2), 2, AuthorityChoice(TWO, START + 2 * MINUTE)),
        (failed(ONE, 3) + failed(TWO, 2, START + 4 * MINUTE), 5, AuthorityChoice(ONE, START)),
        # All fail: the one whose time comes first, and of two whose time came the preferred.
        (failed(ONE, 5) + failed(TWO, 3), 0, AuthorityChoice(TWO, START + 5 * MINUTE)),
        (failed(ONE, 5) + failed(TWO, 3), 60, AuthorityChoice(ONE, START + HOUR)),
        # A server that wants to be left alone for long.
        (failed(ONE, 1, retry_after=12 * HOUR), 0, AuthorityChoice(TWO, START)),
        (failed(ONE, 1, retry_after=6 * HOUR), 0, AuthorityChoice(ONE, START + 6 * HOUR)),
        # One that the settings don't name any more.
        (failed(THREE, 9), 0, AuthorityChoice(ONE, START)),
        # A clock that was set back.
        (failed(ONE, 2, START + 300 * DAY), 0, AuthorityChoice(ONE, START)),
    ],
)
def test_whom_to_ask(troubles: tuple[Trouble, ...], after: int, choice: AuthorityChoice) -> None:
    """`after` is in minutes."""
    now = START + after * MINUTE
    found = choose_authority([ONE, TWO], troubles, now, 3)
    assert found == AuthorityChoice(choice.directory, max(choice.at, now))


def test_a_single_authority_is_waited_for() -> None:
    choice = choose_authority([ONE], failed(ONE, 50), START, 3)
    assert choice == AuthorityChoice(ONE, START + 6 * HOUR)


@given(
    st.lists(st.sampled_from([ONE, TWO, THREE]), max_size=40),
    st.integers(1, 10),
    st.lists(chances, min_size=40, max_size=40),
)
def test_however_it_fails_somebody_is_asked_within_eight_hours(
    failures: Sequence[str], takeover_after: int, luck: Sequence[float]
) -> None:
    troubles: tuple[Trouble, ...] = ()
    for directory, chance in zip(failures, luck, strict=False):
        troubles = note_failure(troubles, Failure(directory, "no"), START, chance)
    choice = choose_authority([ONE, TWO, THREE], troubles, START, takeover_after)
    assert START <= choice.at <= START + 8 * HOUR
    at_one = next((each for each in troubles if each.directory == ONE), None)
    if at_one is None:
        assert choice == AuthorityChoice(ONE, START)
    elif at_one.count < takeover_after:
        assert choice == AuthorityChoice(ONE, at_one.not_before)

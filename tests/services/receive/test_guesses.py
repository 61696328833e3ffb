"""Guesses: counted for clients and accounts, over all workers."""

from datetime import timedelta

import pytest

from letterlock.base.shared_counters import SharedCounters
from letterlock.protocols.sasl.preparation import prepare_name, unify_name
from letterlock.services.receive.guesses import Guesses, GuessLimits
from tests.fakes import FakeClock

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.1"
MINUTES = timedelta(minutes=1)


def make(clock: FakeClock, **limits: int) -> tuple[Guesses, Guesses]:
    """Give two workers' view of the same counters."""
    counters = SharedCounters(2, b"x", slots=4096)
    first, second = (Guesses(GuessLimits(**limits), counters, each, clock) for each in (0, 1))
    return first, second


def test_a_client_is_kept_out_by_all_workers_until_its_time_is_over() -> None:
    """RFC 4954 §9."""
    clock = FakeClock()
    first, second = make(clock, per_client=3)
    for guesses in (first, second, first):
        assert guesses.may_try(HOME, "alice")
        guesses.note_failure(HOME, "alice")
    assert not second.may_try(HOME)
    assert not first.may_try(HOME, "bob")
    assert first.may_try(ELSEWHERE, "alice")
    clock.move(10 * MINUTES)
    assert first.may_try(HOME, "alice")


def test_a_network_of_one_client_is_one_client() -> None:
    guesses, _ = make(FakeClock(), per_client=1)
    guesses.note_failure("2001:db8::1", None)
    assert not guesses.may_try("2001:db8::2")
    assert guesses.may_try("2001:db8:0:1::1")


def test_an_account_is_closed_to_strangers_and_open_to_its_owner() -> None:
    clock = FakeClock()
    guesses, other = make(clock, per_account=2, per_client=0)
    guesses.note_login(HOME, "alice")
    for ip in ("203.0.113.1", "203.0.113.2"):
        guesses.note_failure(ip, "alice")
    assert not other.may_try(ELSEWHERE, "alice")
    assert other.may_try(HOME, "alice")
    assert other.may_try(ELSEWHERE, "bob")
    assert other.may_try(ELSEWHERE), "the name is not told yet"
    clock.move(timedelta(hours=30))
    for _ in range(2):
        guesses.note_failure(ELSEWHERE, "alice")
    assert other.may_try(HOME, "alice"), "known since yesterday"
    clock.move(timedelta(hours=24))
    for _ in range(2):
        guesses.note_failure(ELSEWHERE, "alice")
    assert not other.may_try(HOME, "alice")


@pytest.mark.parametrize(
    "other",
    [
        "alice@example\u3002com",  # an ideographic full stop
        "alice@\U0001f134xample.com",  # a letter in a square, younger than SASLprep's Unicode
        "alice@ex\u2064ample.com",  # a plus that is not to be seen
    ],
)
def test_a_name_that_is_written_in_another_way_is_the_same_account(other: str) -> None:
    """RFC 4954 §9: or nobody's guesses would ever be too many."""
    assert unify_name(prepare_name(other)) == "alice@example.com"
    guesses, _ = make(FakeClock(), per_account=2, per_client=0)
    guesses.note_login(HOME, other)
    guesses.note_failure(ELSEWHERE, prepare_name(other))
    guesses.note_failure(ELSEWHERE, "alice@example.com")
    assert not guesses.may_try(ELSEWHERE, "alice@example.com")
    assert not guesses.may_try(ELSEWHERE, prepare_name(other))
    assert guesses.may_try(HOME, "alice@example.com")


@pytest.mark.parametrize("known", ["alice", None])
def test_a_login_does_not_make_up_for_guesses_at_others(known: str | None) -> None:
    guesses, _ = make(FakeClock(), per_client=1)
    guesses.note_login(HOME, "alice")
    guesses.note_failure(HOME, "bob")
    assert not guesses.may_try(HOME, known)


def test_0_is_no_limit() -> None:
    guesses, _ = make(FakeClock(), per_client=0, per_account=0)
    for _ in range(1000):
        guesses.note_failure(HOME, "alice")
    assert guesses.may_try(HOME, "alice")


def test_nothing_counted_is_no_login() -> None:
    """The very first window, too: what a slot has at first is not taken for one."""
    guesses, _ = make(FakeClock(), per_account=1, per_client=0)
    guesses.note_failure(ELSEWHERE, "alice")
    assert not guesses.may_try(HOME, "alice")

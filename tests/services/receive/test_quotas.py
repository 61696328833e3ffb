"""How much an account may send in an hour."""

from datetime import timedelta

import pytest

from letterlock.base.shared_counters import SharedCounters
from letterlock.services.receive.logins import Account
from letterlock.services.receive.quotas import QuotaLimits, Quotas
from tests.fakes import FakeClock

ALICE = Account("alice", frozenset())


def make(clock: FakeClock) -> tuple[Quotas, Quotas]:
    counters = SharedCounters(2, b"x", slots=4096)
    first, second = (Quotas(QuotaLimits(2, 5), counters, each, clock) for each in (0, 1))
    return first, second


def test_an_hours_messages_are_counted_over_all_workers() -> None:
    clock = FakeClock()
    first, second = make(clock)
    for quotas in (first, second):
        assert quotas.may_send(ALICE)
        quotas.note_message(ALICE, 1)
    assert not first.may_send(ALICE)
    assert first.may_send(Account("bob", frozenset()))
    clock.move(timedelta(hours=1))
    assert first.may_send(ALICE)


@pytest.mark.parametrize(("sent", "open_now", "may"), [(5, 0, False), (3, 1, True), (3, 2, False)])
def test_recipients_count_those_of_the_open_message_too(
    sent: int, open_now: int, may: bool
) -> None:
    quotas, other = make(FakeClock())
    quotas.note_message(ALICE, sent)
    assert other.may_send_to(ALICE, open_now) is may


@pytest.mark.parametrize(("limit", "may"), [(0, True), (1, False), (2, True), (None, False)])
def test_an_accounts_own_limits_go_before(limit: int | None, may: bool) -> None:
    quotas, _ = make(FakeClock())
    account = Account("alice", frozenset(), max_messages=limit, max_recipients=limit)
    quotas.note_message(account, 1)
    assert quotas.may_send(account) is (may if limit is not None else True)
    quotas.note_message(account, 4)
    assert quotas.may_send_to(account, 0) is (limit == 0)

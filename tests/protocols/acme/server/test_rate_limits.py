"""RFC 8555 §6.6: how often something may be done."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.server.rate_limits import (
    PAUSING,
    Counter,
    Exceeded,
    Limit,
    choose_counters,
    find_address_keys,
    find_names_key,
    give_back,
    note_validation,
    refuse_paused,
    use,
    use_all,
)
from letterlock.protocols.acme.server.refusals import Link, Refusal

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMIT = Limit("orders", 3, 2, HOUR, "https://ca.example/limits")


def used(counter: Counter, now: datetime = NOW, times: int = 1) -> Counter:
    found = use(counter, now, times)
    assert isinstance(found, Counter), found
    return found


def test_so_many_at_once_and_then_so_many_in_a_time() -> None:
    counter = Counter(LIMIT, "account")
    for _ in range(3):
        counter = used(counter)
    assert use(counter, NOW) == Exceeded(LIMIT, NOW + HOUR / 2)
    assert isinstance(use(counter, NOW + HOUR / 2 - timedelta(seconds=1)), Exceeded)
    counter = used(counter, NOW + HOUR / 2)
    assert use(counter, NOW + HOUR / 2) == Exceeded(LIMIT, NOW + HOUR)


@given(st.lists(st.tuples(st.timedeltas(timedelta(), HOUR), st.integers(1, 3)), max_size=40))
def test_in_no_time_are_there_more_than_the_limit_allows(
    uses: list[tuple[timedelta, int]],
) -> None:
    """Burst and rate together bound any span; and who comes when told is let in."""
    counter, now, taken = Counter(LIMIT, "k"), NOW, []
    for wait, times in uses:
        now += wait
        found = use(counter, now, times)
        if isinstance(found, Exceeded):
            assert found.allowed_at > now
            assert isinstance(use(counter, found.allowed_at, times), Counter)
            assert isinstance(
                use(counter, found.allowed_at - timedelta(seconds=1), times), Exceeded
            )
            continue
        counter = found
        taken += [now] * times
        for first, since in enumerate(taken):
            allowed = LIMIT.burst + (now - since) / LIMIT.interval
            assert len(taken) - first <= allowed + 1e-6


def test_more_at_once_than_ever_allowed_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="more than it ever allows"):
        use(Counter(LIMIT, "k"), NOW, 4)


@pytest.mark.parametrize(("burst", "count", "period"), [(0, 1, HOUR), (1, 0, HOUR), (1, 1, -HOUR)])
def test_a_limit_allows_something(burst: int, count: int, period: timedelta) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Limit("x", burst, count, period)


def test_what_failed_by_our_fault_is_given_back() -> None:
    full = used(Counter(LIMIT, "k"), NOW, 3)
    assert isinstance(use(give_back(full, NOW), NOW), Counter)
    assert give_back(Counter(LIMIT, "k"), NOW).empty_at == NOW


def test_a_clock_that_was_wrong_locks_nobody_out() -> None:
    """A counter of the far future says nothing; one by a clock that differs a little is full."""
    kept = Counter(LIMIT, "k", NOW + timedelta(days=9999))
    assert used(kept) == used(Counter(LIMIT, "k"))
    ahead = timedelta(minutes=5)
    filled = used(Counter(LIMIT, "k"), NOW + ahead, 3)
    assert use(filled, NOW) == Exceeded(LIMIT, NOW + ahead + LIMIT.interval)


def test_all_are_counted_or_none() -> None:
    """RFC 8555 §6.6: Retry-After is when all of them allow it, with what explains each."""
    slow = Limit("names", 1, 1, 24 * HOUR, "https://ca.example/names")
    plain = Limit("more", 1, 1, HOUR)
    full = [used(Counter(slow, "a")), used(Counter(LIMIT, "a"), times=3), used(Counter(plain, "a"))]
    free = Counter(LIMIT, "b")
    refusal = use_all([free, *full], NOW)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.problem.type) == (429, "rateLimited")
    assert refusal.retry_after == 24 * HOUR
    assert refusal.problem.detail == "too many: names, orders, more"
    assert refusal.links == (
        Link("https://ca.example/names", "help"),
        Link("https://ca.example/limits", "help"),
    )
    found = use_all([free, Counter(slow, "b")], NOW)
    assert not isinstance(found, Refusal)
    assert [each.limit for each in found] == [LIMIT, slow]
    assert all(each.empty_at and each.empty_at > NOW for each in found)


def test_a_replacement_is_counted_only_where_it_is_not_spared() -> None:
    """RFC 9773 §5."""
    spares = Counter(replace(LIMIT, spares_replacements=True), "k")
    counts = Counter(LIMIT, "k")
    assert choose_counters([spares, counts], is_replacement=True) == (counts,)
    assert choose_counters([spares, counts], is_replacement=False) == (spares, counts)


def test_a_name_that_only_ever_fails_is_paused() -> None:
    """40 failures a day: in three months; one success, and it begins anew."""
    counter, now, days = Counter(PAUSING, "account n.example"), NOW, 0
    while isinstance(found := note_validation(counter, now, is_valid=False), Counter):
        counter = found
        now += timedelta(days=1) / 40
        days = (now - NOW).days
    assert 85 < days < 100
    assert note_validation(counter, now, is_valid=True) == Counter(PAUSING, "account n.example")


def test_paused_names_are_told_each_by_itself() -> None:
    """RFC 8555 §6.7.1: with the page where their holder takes it back."""
    names = [Identifier("dns", "a.example"), Identifier("dns", "b.example")]
    refusal = refuse_paused(names, "https://ca.example/unpause/x")
    assert refusal.problem.type == "rateLimited"
    assert refusal.status == 429
    assert [each.identifier for each in refusal.problem.subproblems] == names
    assert refusal.links == (Link("https://ca.example/unpause/x", "help"),)
    assert (
        "https://ca.example/unpause/x"
        in refuse_paused(names[:1], "https://ca.example/unpause/x").problem.detail
    )


def test_a_set_of_names_has_one_key() -> None:
    a, b = Identifier("dns", "a.example"), Identifier("ip", "192.0.2.1")
    assert find_names_key([a, b]) == find_names_key([b, a, a])
    assert find_names_key([a, b]) != find_names_key([a])


def test_an_address_counts_for_itself_and_for_its_site() -> None:
    assert find_address_keys(ip_address("192.0.2.1")) == ("192.0.2.1",)
    assert find_address_keys(ip_address("2001:db8:1:2::3")) == (
        "2001:db8:1:2::3",
        "2001:db8:1::/48",
    )
    assert find_address_keys(ip_address("::ffff:192.0.2.1")) == ("192.0.2.1",)
    assert find_address_keys(ip_address("fe80::1%eth0")) == ("fe80::1%eth0", "fe80::/48")

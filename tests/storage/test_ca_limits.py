"""Nonces, secrets, counters, paused names and the halt switch, on both engines."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.protocols.acme.server.nonces import LIFETIME, SKEW, GoodNonce
from letterlock.protocols.acme.server.rate_limits import Counter, Limit, give_back
from letterlock.protocols.acme.server.transitions import deactivate_account
from letterlock.storage.ca.changes import (
    AddAccount,
    AddPause,
    ChangeAccount,
    ChangeCounter,
    ChangeHalt,
    RemovePause,
    RemoveSecret,
    UseCounter,
)
from letterlock.storage.ca.kept import NONCE_SECRET, NOT_HALTED, Halt, PausedName
from letterlock.storage.ca.scripted import SWEEP
from letterlock.storage.ca.store import AuthorityStore
from tests.fakes import START
from tests.storage.authorities import MINUTE, MakeStore, make_account, name

HOUR = timedelta(hours=1)
KNOWN = LIFETIME + SKEW
"""So long it is kept that a nonce was used."""
LIMIT = Limit("new orders of an account", 2, 1, HOUR)
COUNTER = Counter(LIMIT, "account-1")


def make_nonce(number: int) -> GoodNonce:
    return GoodNonce(number.to_bytes(16, "big"), START + HOUR)


async def test_a_nonce_is_good_once_in_all_processes(make_authority: MakeStore) -> None:
    """RFC 8555 §6.5: however many ask at a time."""
    stores = [make_authority(), make_authority()]
    for each in stores:
        await each.open()
    asked = [stores[number % 2].spend_nonce(make_nonce(number // 4), START) for number in range(80)]
    spent = await asyncio.gather(*asked)
    assert [sum(spent[first : first + 4]) for first in range(0, 80, 4)] == [1] * 20
    for each in stores:
        await each.close()


async def test_a_nonce_that_was_forgotten_is_not_taken_for_unused(
    authority: AuthorityStore,
) -> None:
    """Also where the clock is set back, and by the process that comes after this one."""
    nonce = make_nonce(1)
    assert await authority.spend_nonce(nonce, START)
    later = START + HOUR + SWEEP
    assert await authority.spend_nonce(GoodNonce(bytes(16), later + HOUR), later)
    assert not await authority.spend_nonce(nonce, START)
    assert not await authority.spend_nonce(make_nonce(2), START)
    assert await authority.spend_nonce(GoodNonce(b"new", later + MINUTE), later)


async def test_a_clock_that_was_ahead_for_a_moment_keeps_nobody_out(
    authority: AuthorityStore,
) -> None:
    """What is forgotten then stays refused; what is made after it was set right is good."""
    assert await authority.spend_nonce(make_nonce(1), START)
    ahead = START + timedelta(days=365)
    assert await authority.spend_nonce(GoodNonce(b"ahead", ahead + HOUR), ahead)
    assert not await authority.spend_nonce(make_nonce(1), START)
    fresh = GoodNonce(b"fresh", START + HOUR + MINUTE)
    assert await authority.spend_nonce(fresh, START + MINUTE)
    assert not await authority.spend_nonce(fresh, START + MINUTE)


async def test_a_clock_that_was_ahead_for_long_keeps_all_out_until_the_secret_is_another(
    authority: AuthorityStore,
) -> None:
    """What was forgotten is no longer told from what is new; without its secret it need not be."""
    ahead = START + timedelta(days=365)
    assert await authority.spend_nonce(GoodNonce(b"ahead", ahead), ahead - HOUR)
    assert await authority.spend_nonce(GoodNonce(b"later", ahead + HOUR), ahead + SWEEP)
    assert not await authority.spend_nonce(make_nonce(1), START)
    assert await authority.commit([RemoveSecret(NONCE_SECRET)])
    assert await authority.spend_nonce(make_nonce(1), START)
    assert not await authority.spend_nonce(make_nonce(1), START)


async def test_after_a_clock_that_was_ahead_nonces_of_now_count_again(
    authority: AuthorityStore,
) -> None:
    """RFC 8555 §6.5: all up to now stay refused, as nobody knows any more which were used."""
    assert await authority.keep_secret(NONCE_SECRET, b"first") == b"first"
    used, now = make_nonce(1), START + MINUTE
    assert await authority.spend_nonce(used, START)
    assert await authority.reset_nonces(now) is None
    ahead = START + timedelta(days=365)
    assert await authority.spend_nonce(GoodNonce(b"ahead", ahead + KNOWN), ahead)
    assert await authority.spend_nonce(GoodNonce(b"later", ahead + 2 * KNOWN), ahead + KNOWN)
    fresh = GoodNonce(b"fresh", now + KNOWN + timedelta(seconds=1))
    assert not await authority.spend_nonce(fresh, now)
    assert await authority.reset_nonces(now) == ahead
    assert await authority.keep_secret(NONCE_SECRET, b"second") == b"second"
    assert await authority.spend_nonce(fresh, now)
    assert not await authority.spend_nonce(fresh, now)
    for old in (used, make_nonce(2), GoodNonce(b"of now", now + KNOWN)):
        assert not await authority.spend_nonce(old, now)
    # Once is enough: another secret would be for nothing.
    assert await authority.reset_nonces(now) is None
    assert await authority.keep_secret(NONCE_SECRET, b"third") == b"second"


async def test_the_account_of_a_nonce_is_as_it_is_then(authority: AuthorityStore) -> None:
    """RFC 8555 §7.3.6: whoever changed it before; without the nonce there is none."""
    account = make_account()
    assert await authority.spend_nonce_of(make_nonce(1), START, account.id) == (True, None)
    assert await authority.commit([AddAccount(account)])
    assert await authority.spend_nonce_of(make_nonce(2), START, account.id) == (True, account)
    assert await authority.spend_nonce_of(make_nonce(2), START, account.id) == (False, None)
    closed = deactivate_account(account)
    both = await asyncio.gather(
        authority.commit([ChangeAccount(account, closed)]),
        authority.spend_nonce_of(make_nonce(3), START, account.id),
    )
    assert both[0]
    assert both[1] in ((True, account), (True, closed))
    assert await authority.spend_nonce_of(make_nonce(4), START, account.id) == (True, closed)
    assert not await authority.spend_nonce(make_nonce(4), START)


async def test_the_first_secret_of_a_name_is_everybodys(make_authority: MakeStore) -> None:
    one, other = make_authority(), make_authority()
    await one.open()
    await other.open()
    assert await one.keep_secret("nonces", b"first") == b"first"
    assert await other.keep_secret("nonces", b"second") == b"first"
    assert await other.keep_secret("another", b"second") == b"second"
    assert await other.commit([RemoveSecret("nonces")])
    assert await one.keep_secret("nonces", b"third") == b"third"
    assert await one.keep_secret("another", b"third") == b"second"
    await one.close()
    await other.close()


async def test_a_counter_counts_whoever_counts_on_it(authority: AuthorityStore) -> None:
    """RFC 8555 §6.6: three at once where two are allowed; what was read before counts not."""
    use = [authority.commit([UseCounter(COUNTER, START)]) for _ in range(3)]
    assert sorted(await asyncio.gather(*use)) == [False, True, True]
    (kept,) = await authority.load_counters([COUNTER])
    assert kept.empty_at == START + 2 * HOUR
    assert not await authority.commit([UseCounter(replace(COUNTER, empty_at=None), START)])
    assert await authority.commit([UseCounter(COUNTER, START + HOUR)])
    other = Counter(LIMIT, "account-2")
    assert await authority.load_counters([other, kept]) == (
        other,
        replace(kept, empty_at=START + 3 * HOUR),
    )


async def test_what_was_counted_is_taken_back(authority: AuthorityStore) -> None:
    assert await authority.commit([UseCounter(COUNTER, START, times=2)])
    (kept,) = await authority.load_counters([COUNTER])
    back = give_back(kept, START)
    assert await authority.commit([ChangeCounter(kept, back)])
    assert not await authority.commit([ChangeCounter(kept, back)])
    assert await authority.load_counters([COUNTER]) == (back,)
    assert await authority.commit([ChangeCounter(back, COUNTER)])
    assert await authority.load_counters([COUNTER]) == (COUNTER,)
    with pytest.raises(ValueError, match="to another"):
        await authority.commit([ChangeCounter(COUNTER, Counter(LIMIT, "x"))])


async def test_counters_that_are_empty_again_are_forgotten(authority: AuthorityStore) -> None:
    other = Counter(LIMIT, "account-2")
    assert await authority.commit([UseCounter(COUNTER, START), UseCounter(other, START, times=2)])
    assert await authority.spend_nonce(GoodNonce(b"n", START + 3 * HOUR), START + HOUR)
    assert await authority.load_counters([COUNTER, other]) == (
        COUNTER,
        replace(other, empty_at=START + 2 * HOUR),
    )


async def test_a_paused_name_is_found_until_that_is_taken_back(authority: AuthorityStore) -> None:
    pause = PausedName("account-1", name("a.example"), START)
    assert await authority.commit([AddPause(pause)])
    assert await authority.commit([AddPause(replace(pause, since=START + MINUTE))])
    names = [name("a.example"), name("b.example")]
    assert await authority.find_paused("account-1", names) == (pause,)
    assert await authority.find_paused("account-2", names) == ()
    assert await authority.commit([RemovePause(pause)])
    assert not await authority.commit([RemovePause(pause)])
    assert await authority.find_paused("account-1", names) == ()


async def test_the_halt_switch_is_everybodys(make_authority: MakeStore) -> None:
    one, other = make_authority(), make_authority()
    await one.open()
    await other.open()
    assert await other.load_halt() == NOT_HALTED
    halted = Halt(is_halted=True, since=START, why="CAA was not looked up", who="operator")
    assert await one.commit([ChangeHalt(NOT_HALTED, halted)])
    assert await other.load_halt() == halted
    assert not await other.commit([ChangeHalt(NOT_HALTED, halted)])
    # With the same twice it is only looked at, in the commit of something else.
    assert not await other.commit([ChangeHalt(NOT_HALTED, NOT_HALTED)])
    assert await other.commit([ChangeHalt(halted, halted)])
    assert await one.load_halt() == halted
    assert await other.commit([ChangeHalt(halted, NOT_HALTED)])
    assert await one.load_halt() == NOT_HALTED
    await one.close()
    await other.close()

"""Many who ask for policies at once, in one process and in several; memory, refreshing, load."""

import asyncio
from datetime import datetime, timedelta

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.cache import CachedPolicy, CacheEntry
from letterlock.protocols.mta_sts.policy import (
    MAX_POLICY_OCTETS,
    MtaStsPolicy,
    parse_policy,
)
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.services.discover import mta_sts as module
from letterlock.services.discover.mta_sts import FinderLimits
from letterlock.storage.policies import FetchLease
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import START
from tests.services.discover.mta_sts_processes import (
    DAY,
    FETCH_ERROR,
    HOUR,
    LONG,
    MINUTE,
    NAME,
    NO_CONNECTION,
    RECORD_NAME,
    SECOND,
    Process,
    Start,
    policy,
    until,
)


async def test_many_who_ask_together_cause_one_look_and_one_fetch(node: Process) -> None:
    node.source.gate.clear()
    finds = [asyncio.ensure_future(node.finder.find(NAME)) for _ in range(50)]
    await asyncio.wait_for(node.source.begun.wait(), LONG)
    node.source.gate.set()
    facts = await asyncio.gather(*finds)
    assert len(set(map(id, facts))) == 1
    assert node.fetches == 1
    assert node.resolver.asked == [(RECORD_NAME, "TXT")]


async def test_who_stops_waiting_stops_no_other(node: Process) -> None:
    node.source.gate.clear()
    first, second = (asyncio.ensure_future(node.finder.find(NAME)) for _ in range(2))
    await asyncio.wait_for(node.source.begun.wait(), LONG)
    first.cancel()
    await asyncio.wait([first])
    node.source.gate.set()
    assert (await second).policy is not None
    assert node.fetches == 1


async def test_nobody_waits_longer_than_a_fetch_may_take(start: Start) -> None:
    """RFC 8461 §3.3 (rules 71, 72): a policy that comes later holds from then on."""
    node = await start(FinderLimits(wait_seconds=0.01))
    node.publish("1")
    node.source.gate.clear()
    facts = await node.find()
    assert facts.policy is None
    assert facts.error == "the policy is still being fetched"
    assert facts.result_type is FETCH_ERROR
    node.source.gate.set()
    await node.settle()
    assert (await node.find()).policy is not None
    assert node.fetches == 1


async def test_no_more_fetches_than_allowed_run_at_a_time(start: Start) -> None:
    node = await start(FinderLimits(max_fetches=3))
    names = [Domain(f"d{number}.example") for number in range(12)]
    for name in names:
        node.resolver.set(f"_mta-sts.{name}", "TXT", b"v=STSv1; id=1;")
    node.source.gate.clear()
    finds = [asyncio.ensure_future(node.finder.find(name)) for name in names]
    await until(lambda: node.source.running == 3)
    node.source.gate.set()
    assert all(facts.policy is not None for facts in await asyncio.gather(*finds))
    assert node.source.most_running == 3
    assert sorted(node.source.fetched) == sorted(names)


async def fill_with_strangers(node: Process, count: int) -> "list[asyncio.Task[MtaStsFacts]]":
    """Have so many policies looked for, at hosts that do not answer."""
    names = [Domain(f"d{number}.stranger.example") for number in range(count)]
    for name in names:
        node.resolver.set(f"_mta-sts.{name}", "TXT", b"v=STSv1; id=1;")
    node.source.gate.clear()
    finds = [asyncio.ensure_future(node.finder.find(name)) for name in names]
    await until(lambda: len(node.finder._fetches) == count)
    return finds


async def test_a_known_policy_is_refreshed_however_many_others_are_fetched(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8461 §3.3 (rule 74): strangers choose what is fetched, and how slowly."""
    monkeypatch.setattr(module, "MAX_REFRESHES", 5)
    node = await start(FinderLimits(max_fetches=3))
    node.publish("1")
    await node.find()
    strangers = await fill_with_strangers(node, 20)
    assert (await node.find_later(DAY)).policy is not None
    await until(lambda: node.source.fetched.count(NAME) == 2)
    assert node.source.running == 4
    node.source.gate.set()
    await asyncio.gather(*strangers)
    await node.settle()
    stored = await node.store.load(NAME)
    assert stored is not None
    assert stored.entry.cached is not None
    assert stored.entry.cached.fetched == START + DAY


async def test_how_many_fetches_wait_is_bounded(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8461 §5.1: mail need not wait for a fetch; the next message looks again."""
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    node = await start(FinderLimits(max_fetches=3))
    node.publish("1")
    strangers = await fill_with_strangers(node, 10)
    assert (await node.find()).error == "the policy is still being fetched"
    assert len(node.finder._fetches) == 10
    node.source.gate.set()
    await asyncio.gather(*strangers)
    assert (await node.find()).policy is not None


async def test_fetches_do_not_begin_all_at_once(
    node: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is answered from memory meanwhile must not wait for the handshakes of all of them."""
    monkeypatch.setattr(module, "FETCH_SPACING_SECONDS", 0.05)
    names = [Domain(f"d{number}.example") for number in range(4)]
    for name in names:
        node.resolver.set(f"_mta-sts.{name}", "TXT", b"v=STSv1; id=1;")
    await asyncio.gather(*map(node.finder.find, names))
    first, *others = node.source.begun_at
    for number, begun in enumerate(others, start=1):
        assert begun - first > number * 0.05 - 0.01


async def test_what_is_in_memory_asks_nobody(node: Process) -> None:
    """A hot domain costs neither DNS nor the database, for the record's TTL within bounds."""
    node.publish("1", ttl=100_000)
    facts = await node.find()
    asked = len(node.resolver.asked)
    await node.store.close()
    node.clock.move(timedelta(seconds=module.MOST_KEPT_SECONDS) - SECOND)
    assert await node.find() is facts
    assert len(node.resolver.asked) == asked
    await node.store.open()
    await node.find_later(SECOND)
    assert len(node.resolver.asked) == asked + 1


async def test_memory_is_bounded_also_for_large_policies(
    node: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KEPT_OCTETS", 3 * 1024 * 1024)
    filler = b"x: " + b"a" * (MAX_POLICY_OCTETS - len(policy()) - 3)
    node.source.outcome = policy() + filler
    names = [Domain(f"d{number}.example") for number in range(12)]
    for name in names:
        node.resolver.set(f"_mta-sts.{name}", "TXT", b"v=STSv1; id=1;")
        await node.finder.find(name)
    assert list(node.finder._kept) == names[-5:]
    assert node.finder._kept_octets <= module.MAX_KEPT_OCTETS
    for name in names:
        node.finder._drop_kept(name)
    assert node.finder._kept_octets == 0


async def test_processes_fetch_once_for_all(start: Start) -> None:
    """One has the lease; the other waits for what it finds."""
    first, second = await start(), await start()
    first.publish("1")
    first.source.gate.clear()
    finds = [asyncio.ensure_future(process.finder.find(NAME)) for process in (first, second)]
    await asyncio.wait(
        [asyncio.ensure_future(each.source.begun.wait()) for each in (first, second)],
        return_when=asyncio.FIRST_COMPLETED,
        timeout=LONG,
    )
    second.source.gate.set()
    first.source.gate.set()
    facts = await asyncio.gather(*finds)
    assert facts[0] == facts[1]
    assert facts[0].policy is not None
    assert first.fetches + second.fetches == 1


async def test_who_comes_second_waits_for_what_the_first_fetches(
    node: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a lease, and a policy that somebody else fetched while it was held."""
    now = node.clock.now()
    lease = await node.store.claim_fetch(NAME, now, now + MINUTE)
    assert lease is not None
    claim, claims = node.store.claim_fetch, 0

    async def claim_fetch(domain: Domain, now: datetime, until: datetime) -> FetchLease | None:
        nonlocal claims
        claims += 1
        return await claim(domain, now, until)

    monkeypatch.setattr(node.store, "claim_fetch", claim_fetch)
    find = asyncio.ensure_future(node.finder.find(NAME))
    await until(lambda: claims == 2)
    parsed = parse_policy(policy())
    assert isinstance(parsed, MtaStsPolicy)
    cached = CachedPolicy("1", parsed, policy().decode(), now)
    assert await node.store.settle_fetch(lease, CacheEntry(cached))
    assert (await asyncio.wait_for(find, LONG)).policy == parsed
    assert node.fetches == 0


async def test_one_refresh_goes_on_behind_however_often_is_asked(node: Process) -> None:
    await node.find()
    node.source.gate.clear()
    for _ in range(5):
        assert (await node.find_later(DAY)).policy is not None
    node.source.gate.set()
    await node.settle()
    assert node.fetches == 2


async def test_a_defect_in_fetching_frees_the_lease_and_is_not_hidden(
    node: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.find()

    async def fetch(domain: Domain) -> bytes:
        raise ZeroDivisionError(domain)

    monkeypatch.setattr(node.source, "fetch", fetch)
    node.clock.move(DAY)
    with pytest.raises(ZeroDivisionError):
        await node.finder.refresh_due()
    now = node.clock.now()
    assert await node.store.claim_fetch(NAME, now, now + MINUTE) is not None


async def test_a_failure_of_one_process_is_known_to_the_other(start: Start) -> None:
    """RFC 8461 §3.3: five minutes hold for the whole node."""
    first, second = await start(), await start()
    first.publish("1")
    first.source.outcome = NO_CONNECTION
    await first.find()
    assert (await second.find()).error == NO_CONNECTION.reason
    assert second.fetches == 0


async def test_a_process_that_ends_leaves_its_lease_to_others(start: Start) -> None:
    first, second = await start(), await start()
    first.publish("1")
    first.source.gate.clear()
    find = asyncio.ensure_future(first.finder.find(NAME))
    await asyncio.wait_for(first.source.begun.wait(), LONG)
    await first.finder.close()
    assert find.cancelled() or isinstance(find.exception(), asyncio.CancelledError)
    assert (await second.find()).policy is not None
    assert second.fetches == 1


async def test_a_fetch_that_outlived_its_lease_changes_nothing(node: Process) -> None:
    """Another process has the lease, and what it fetches is the later."""
    node.source.gate.clear()
    find = asyncio.ensure_future(node.finder.find(NAME))
    await asyncio.wait_for(node.source.begun.wait(), LONG)
    node.clock.move(2 * module.LEASE)
    lease = await node.store.claim_fetch(NAME, node.clock.now(), node.clock.now() + MINUTE)
    assert isinstance(lease, FetchLease)
    node.source.gate.set()
    assert (await asyncio.wait_for(find, LONG)).policy is None


async def test_while_the_cache_is_away_nobody_is_told_that_there_is_no_policy(
    node: Process,
) -> None:
    """There may be one: mail waits rather than leave without what it demands."""
    await node.store.close()
    with pytest.raises(StoreUnavailable):
        await node.find()
    with pytest.raises(StoreUnavailable):
        await node.finder.recheck(NAME)
    await node.store.open()
    assert (await node.find()).policy is not None


async def test_policies_are_refreshed_daily_without_being_asked_for(node: Process) -> None:
    """RFC 8461 §3.3 (rule 74): whatever the record says."""
    await node.find()
    node.clock.move(DAY - SECOND)
    assert await node.finder.refresh_due() == 0
    node.withdraw()
    node.clock.move(SECOND)
    assert await node.finder.refresh_due() == 1
    assert await node.finder.refresh_due() == 0
    stored = await node.store.load(NAME)
    assert stored is not None
    assert stored.entry.cached is not None
    assert stored.entry.cached.fetched == START + DAY
    assert stored.entry.cached.id == "1"


async def test_what_no_mail_asks_for_is_refreshed_for_a_while_and_then_forgotten(
    node: Process,
) -> None:
    await node.find()
    first_days = module.USED_WITHIN // DAY
    for _ in range(first_days):
        node.clock.move(DAY)
        assert await node.finder.refresh_due() == 1
    for _ in range(8):
        node.clock.move(DAY)
        assert await node.finder.refresh_due() == 0
    assert await node.store.load(NAME) is None


async def test_use_is_noted_once_a_day(node: Process) -> None:
    await node.find()
    later = START + DAY + HOUR
    for step, used in ((DAY - HOUR, START), (2 * HOUR, later), (HOUR, later)):
        await node.find_later(step)
        stored = await node.store.load(NAME)
        assert stored is not None
        assert stored.used == used


async def test_who_ends_refreshing_ends_no_fetch_that_mail_waits_for(node: Process) -> None:
    await node.find()
    node.source.gate.clear()
    node.source.begun.clear()
    node.publish("2")
    node.clock.move(DAY)
    refresh = asyncio.ensure_future(node.finder.refresh_due())
    await asyncio.wait_for(node.source.begun.wait(), LONG)
    recheck = asyncio.ensure_future(node.finder.recheck(NAME))
    await until(lambda: bool(node.finder._looks))
    refresh.cancel()
    await asyncio.wait([refresh])
    node.source.gate.set()
    assert (await asyncio.wait_for(recheck, LONG)).fetched == START + DAY
    assert node.fetches == 2


async def test_refreshing_goes_on_until_it_is_cancelled(
    node: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_PAUSE_SECONDS", 0.001)
    await node.find()
    await node.store.close()
    run = asyncio.ensure_future(node.finder.run())
    await until(lambda: any("not refreshed" in text for text in node.log.texts))
    await node.store.open()
    node.clock.move(DAY)
    await until(lambda: node.fetches == 2)
    run.cancel()
    await asyncio.wait([run])
    assert run.cancelled()
    assert len([text for text in node.log.texts if "not refreshed" in text]) == 1

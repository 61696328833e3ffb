"""RFC 8461 §3, §5.1: finding a domain's policy, with DNS, policy host and clock held still."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from random import SystemRandom

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.dns import StubResolver
from letterlock.network.https import FetchFailed, HttpsSettings, PolicyFetcher
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.dns.answers import Answer, Existence, Security
from letterlock.protocols.mta_sts.cache import CachedPolicy, CacheEntry
from letterlock.protocols.mta_sts.policy import (
    MAX_POLICY_OCTETS,
    MtaStsMode,
    MtaStsPolicy,
    parse_policy,
)
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.discover import mta_sts as module
from letterlock.services.discover.mta_sts import FinderLimits, MtaStsFinder
from letterlock.storage.policies import FetchLease, PolicyStore
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies
from tests.fakes import START, FakeClock, FakeLog, FixtureResolver
from tests.network.certificates import authority, issue
from tests.policy_host import Conduct, policy_host, respond

NAME = Domain("example.org")
RECORD_NAME = "_mta-sts.example.org"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LONG = 30.0
FILE_NAME = "node.sqlite"

FETCH_ERROR = ResultType.STS_POLICY_FETCH_ERROR
LIMITS = FinderLimits()
NO_CONNECTION = FetchFailed(FETCH_ERROR, "mta-sts.example.org: connection refused")


def policy(
    mx: str = "mx.example.org", mode: str = "enforce", max_age: timedelta = timedelta(weeks=1)
) -> bytes:
    seconds = int(max_age.total_seconds())
    return f"version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: {seconds}\n".encode()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        for _ in count():
            if is_so():
                return
            await asyncio.sleep(0)


class FakeSource:
    """A policy host: gives `outcome`, once `gate` is open."""

    def __init__(self) -> None:
        self.outcome: bytes | FetchFailed = policy()
        self.fetched: list[Domain] = []
        self.running = 0
        self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()
        self.begun_at: list[float] = []

    async def fetch(self, domain: Domain) -> bytes | FetchFailed:
        self.fetched.append(domain)
        self.begun_at.append(asyncio.get_running_loop().time())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.begun.set()
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        return self.outcome


class Process:
    """One process of a node: a finder, and what it stands on."""

    def __init__(
        self, path: Path, clock: FakeClock, resolver: FixtureResolver, limits: FinderLimits
    ) -> None:
        self.store: PolicyStore = SqlitePolicies(NodeDatabase(path, clock))
        self.clock = clock
        self.resolver = resolver
        self.source = FakeSource()
        self.log = FakeLog()
        self.finder = MtaStsFinder(resolver, self.store, self.source, clock, self.log, limits)

    def publish(self, identifier: str, *, ttl: int = 60) -> None:
        name = Domain(RECORD_NAME)
        text = f"v=STSv1; id={identifier};".encode()
        self.resolver.put(
            Answer(name, "TXT", Security.INSECURE, Existence.RECORDS, (text,), owner=name, ttl=ttl)
        )

    def withdraw(self) -> None:
        self.resolver.put(Answer(Domain(RECORD_NAME), "TXT", Security.INSECURE))

    async def find(self) -> MtaStsFacts:
        async with asyncio.timeout(LONG):
            return await self.finder.find(NAME)

    async def find_later(self, step: timedelta) -> MtaStsFacts:
        self.clock.move(step)
        return await self.find()

    async def settle(self) -> None:
        """Wait for what goes on behind."""
        async with asyncio.timeout(LONG):
            while tasks := [*self.finder._fetches.values(), *self.finder._looks.values()]:
                await asyncio.wait(tasks)
                await asyncio.sleep(0)

    @property
    def fetches(self) -> int:
        return len(self.source.fetched)


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Give what starts processes that share DNS, clock and database."""
    clock, resolver = FakeClock(), FixtureResolver()
    async with AsyncExitStack() as stack:

        async def start(limits: FinderLimits = LIMITS) -> Process:
            process = Process(tmp_path / FILE_NAME, clock, resolver, limits)
            await process.store.open()
            stack.push_async_callback(process.store.close)
            stack.push_async_callback(process.finder.close)
            return process

        yield start


@pytest.fixture
async def node(start: Start) -> Process:
    node = await start()
    node.publish("1")
    return node


async def test_the_first_mail_waits_for_the_policy(node: Process) -> None:
    """RFC 8461 §3: record, then policy."""
    facts = await node.find()
    assert facts.record == "v=STSv1; id=1;"
    assert facts.id == "1"
    assert facts.policy is not None
    assert facts.policy.mode is MtaStsMode.ENFORCE
    assert facts.policy_text == policy().decode()
    assert facts.fetched == START
    assert facts.expires == START + timedelta(weeks=1)
    assert (facts.error, facts.result_type) == (None, None)
    assert node.source.fetched == [NAME]
    assert node.log.texts == ["example.org: MTA-STS policy fetched: mode enforce, id 1"]


async def test_a_domain_without_a_record_has_no_policy_and_is_not_fetched_for(
    node: Process,
) -> None:
    """RFC 8461 §3.1 (checklist 60); the negative answer is kept."""
    node.withdraw()
    assert await node.find() == MtaStsFacts(NAME)
    assert await node.find() == MtaStsFacts(NAME)
    assert node.fetches == 0
    assert node.resolver.asked == [(RECORD_NAME, "TXT")]


async def test_a_name_too_long_for_a_record_has_none(node: Process) -> None:
    long = Domain(".".join(["a" * 61] * 4))
    assert await node.finder.find(long) == MtaStsFacts(long)
    assert node.resolver.asked == []


@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
async def test_without_an_answer_mail_goes_as_without_a_policy(
    node: Process, security: Security
) -> None:
    """RFC 8461 §3.3 (checklist 72): nothing is cached, so nothing is known to be demanded."""
    node.resolver.fail(RECORD_NAME, "TXT", security)
    facts = await node.find()
    assert facts.policy is None
    assert facts.error is not None
    assert facts.error.startswith("the MTA-STS record cannot be looked up")
    assert facts.result_type is None


def answer_wrongly(node: Process) -> None:
    node.publish("not-an-id")


def answer_bogus(node: Process) -> None:
    node.resolver.fail(RECORD_NAME, "TXT", Security.BOGUS)


def answer_nothing(node: Process) -> None:
    node.resolver.fail(RECORD_NAME, "TXT")


@pytest.mark.parametrize(
    "trouble", [answer_wrongly, answer_bogus, answer_nothing, Process.withdraw]
)
async def test_whatever_dns_says_a_cached_policy_holds(
    node: Process, trouble: Callable[[Process], None]
) -> None:
    """RFC 8461 §3.1, §3.3, §5.1 (checklist 63, 73): and the failure is reportable (§6)."""
    await node.find()
    trouble(node)
    facts = await node.find_later(HOUR)
    assert facts.policy is not None
    assert facts.error is not None
    assert facts.result_type is FETCH_ERROR
    assert facts.id is None
    assert node.fetches == 1


async def test_a_policy_that_expired_does_not_hold(node: Process) -> None:
    """RFC 8461 §5.1 (checklist 145): to the second, also in memory."""
    node.source.outcome = policy(max_age=MINUTE)
    node.publish("1", ttl=3600)
    await node.find()
    node.source.outcome = NO_CONNECTION
    assert (await node.find_later(MINUTE)).policy is not None
    facts = await node.find_later(SECOND)
    assert facts.policy is None
    assert facts.fetched is None
    assert facts.error == NO_CONNECTION.reason
    assert node.fetches == 2


async def test_the_same_id_makes_a_policy_no_younger(node: Process) -> None:
    """RFC 8461 §3.3, §5.1 (checklist 144): max_age counts from the last real fetch."""
    node.source.outcome = policy(max_age=2 * DAY)
    await node.find()
    node.source.outcome = NO_CONNECTION
    for _ in range(8):
        facts = await node.find_later(6 * HOUR)
        assert facts.policy is not None
        assert facts.fetched == START
        await node.settle()
    assert (await node.find_later(HOUR)).policy is None


async def test_a_failing_fetch_is_not_tried_again_for_five_minutes(node: Process) -> None:
    """RFC 8461 §3.3 (checklist 70): nor by another process, nor after a restart."""
    node.source.outcome = NO_CONNECTION
    facts = await node.find()
    assert facts.policy is None
    assert facts.error == NO_CONNECTION.reason
    assert facts.result_type is FETCH_ERROR
    for _ in range(4):
        assert (await node.find_later(MINUTE)).error == NO_CONNECTION.reason
    assert node.fetches == 1
    node.source.outcome = policy()
    assert (await node.find_later(MINUTE)).policy is not None
    assert node.fetches == 2
    assert len([text for text in node.log.texts if "warning" in text]) == 1


async def test_another_id_is_fetched_before_the_five_minutes_are_over(node: Process) -> None:
    """RFC 8461 §3.3: they are for one id."""
    node.source.outcome = NO_CONNECTION
    await node.find()
    node.publish("2")
    node.source.outcome = policy()
    facts = await node.find_later(MINUTE)
    assert facts.policy is not None
    assert facts.error is None


async def test_an_invalid_policy_is_none_and_is_reportable(node: Process) -> None:
    """RFC 8460 §4.3.2.2, RFC 8461 §6."""
    node.source.outcome = b"version: STSv2\n"
    facts = await node.find()
    assert facts.policy is None
    assert facts.error is not None
    assert facts.result_type is ResultType.STS_POLICY_INVALID


async def test_after_a_day_a_policy_is_given_at_once_and_refreshed_behind(node: Process) -> None:
    """RFC 8461 §3.3 (checklist 74): also with the same id."""
    await node.find()
    node.source.gate.clear()
    node.source.outcome = policy("new.example.org")
    facts = await node.find_later(DAY)
    assert facts.policy is not None
    assert facts.policy.mx == ("mx.example.org",)
    assert facts.error is None
    node.source.gate.set()
    await node.settle()
    facts = await node.find()
    assert facts.policy is not None
    assert facts.policy.mx == ("new.example.org",)
    assert facts.policy_text == policy("new.example.org").decode()
    assert facts.fetched == START + DAY


async def test_a_refresh_that_fails_leaves_the_policy_and_is_told(node: Process) -> None:
    """RFC 8461 §3.3: administrators SHOULD be alerted; §6: it is reportable."""
    await node.find()
    node.source.outcome = NO_CONNECTION
    await node.find_later(DAY)
    await node.settle()
    facts = await node.find()
    assert facts.policy is not None
    assert facts.fetched == START
    assert facts.error == NO_CONNECTION.reason
    assert facts.result_type is FETCH_ERROR
    assert node.log.texts[-1] == (
        f"warning: example.org: no MTA-STS policy fetched: {NO_CONNECTION.reason}; "
        "the one of 2026-03-01T12:00:00Z holds until 2026-03-08T12:00:00Z"
    )


async def test_another_id_is_fetched_behind_while_the_old_policy_holds(node: Process) -> None:
    """RFC 8461 §5.1: the fetch may be asynchronous."""
    await node.find()
    node.publish("2")
    node.source.outcome = policy("new.example.org")
    node.source.gate.clear()
    facts = await node.find_later(HOUR)
    assert facts.policy is not None
    assert facts.policy.mx == ("mx.example.org",)
    assert facts.id == "2"
    node.source.gate.set()
    await node.settle()
    facts = await node.find()
    assert facts.policy is not None
    assert facts.policy.mx == ("new.example.org",)


async def test_before_a_failure_is_reported_another_id_is_waited_for(node: Process) -> None:
    """RFC 8461 §5, §5.1 (checklist 80): what memory holds does not hide it."""
    node.publish("1", ttl=3600)
    await node.find()
    node.publish("2")
    node.source.outcome = policy("new.example.org")
    assert (await node.find()).id == "1"
    facts = await node.finder.recheck(NAME)
    assert facts.policy is not None
    assert facts.policy.mx == ("new.example.org",)
    assert (await node.find()) == facts


async def test_a_recheck_waits_for_its_own_id_not_for_an_older_fetch(node: Process) -> None:
    """RFC 8461 §5.1: the record changed twice in a short time."""
    await node.find()
    node.publish("2")
    node.source.gate.clear()
    node.source.begun.clear()
    node.source.outcome = policy("second.example.org")
    await node.find_later(HOUR)
    await asyncio.wait_for(node.source.begun.wait(), LONG)
    node.publish("3")
    recheck = asyncio.ensure_future(node.finder.recheck(NAME))
    node.source.gate.set()
    facts = await asyncio.wait_for(recheck, LONG)
    assert facts.id == "3"
    assert node.fetches == 3


async def test_a_recheck_of_the_same_id_fetches_nothing(node: Process) -> None:
    facts = await node.find()
    assert await node.finder.recheck(NAME) == facts
    assert node.fetches == 1


async def test_a_fetched_mode_none_replaces_the_policy_and_goes_with_the_record(
    node: Process,
) -> None:
    """RFC 8461 §5, §8.3 (checklist 143)."""
    await node.find()
    node.publish("2")
    node.source.outcome = policy(mode="none")
    facts = await node.finder.recheck(NAME)
    assert facts.policy is not None
    assert facts.policy.mode is MtaStsMode.NONE
    node.resolver.fail(RECORD_NAME, "TXT")
    assert (await node.find_later(HOUR)).policy is not None
    node.withdraw()
    assert await node.find_later(HOUR) == MtaStsFacts(NAME)
    assert await node.store.load(NAME) is None
    assert node.log.texts[-1] == "example.org: no MTA-STS policy any more"


async def test_a_failing_refresh_of_mode_none_alerts_nobody(node: Process) -> None:
    """RFC 8461 §3.3."""
    node.source.outcome = policy(mode="none")
    await node.find()
    node.source.outcome = NO_CONNECTION
    await node.find_later(DAY)
    await node.settle()
    assert node.fetches == 2
    assert not any("warning" in text for text in node.log.texts)


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
    """RFC 8461 §3.3 (checklist 71, 72): a policy that comes later holds from then on."""
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
    """RFC 8461 §3.3 (checklist 74): whatever the record says."""
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


DELEGATED = """
_mta-sts  CNAME  example-org.records.hoster.example.
mta-sts   CNAME  policies.hoster.example.
sub       A      192.0.2.1
"""
HOSTER = """
example-org.records  TXT  "v=STSv1; i" "d=2026" "0301;"
example-org.records  TXT  "another purpose"
policies             A    127.0.0.1
"""


@pytest.fixture
async def stub() -> AsyncIterator[StubResolver]:
    server = ZoneServer({"example.org": DELEGATED, "hoster.example": HOSTER})
    host, port = await server.start()
    yield StubResolver(host, port, random=SystemRandom())
    await server.close()


async def test_a_record_and_a_policy_host_may_lie_at_a_provider(
    tmp_path: Path, stub: StubResolver
) -> None:
    """RFC 8461 §3.1 (checklist 62): strings joined, aliases followed; §8.2 (checklist 148): the
    certificate is still for the domain's own name."""
    clock = SystemClock()
    anchors = TrustAnchors.from_pem(authority().pem)
    for name, has_policy in (("mta-sts.example.org", True), ("policies.hoster.example", False)):
        store = SqlitePolicies(NodeDatabase(tmp_path / f"{name}.sqlite", clock))
        await store.open()
        async with policy_host(issue((name,)), Conduct([respond(policy())])) as host:
            settings = HttpsSettings(port=host.port, has_private_addresses=True)
            source = PolicyFetcher(stub, ClientContexts(), lambda: anchors, clock, settings)
            finder = MtaStsFinder(stub, store, source, clock, FakeLog())
            facts = await finder.find(NAME)
            assert facts.record == "v=STSv1; id=20260301;"
            assert facts.id == "20260301"
            assert (facts.policy is not None) == has_policy
            assert facts.result_type is (None if has_policy else ResultType.STS_WEBPKI_INVALID)
            assert host.snis == ["mta-sts.example.org"]
        await finder.close()
        await store.close()


async def test_a_domain_is_not_asked_for_its_parents_policy(node: Process) -> None:
    """RFC 8461 §3.4 (checklist 75)."""
    facts = await node.finder.find(Domain("sub.example.org"))
    assert facts == MtaStsFacts(Domain("sub.example.org"))
    assert node.resolver.asked == [("_mta-sts.sub.example.org", "TXT")]


async def test_with_a_real_policy_host(tmp_path: Path) -> None:
    """RFC 8461 §3: from the record to the policy over HTTPS, and what becomes of it later."""
    clock, log, resolver = SystemClock(), FakeLog(), FixtureResolver()
    resolver.set(RECORD_NAME, "TXT", b"v=STSv1; id=1;")
    resolver.set("mta-sts.example.org", "A", ip_address("127.0.0.1"))
    anchors = TrustAnchors.from_pem(authority().pem)
    store = SqlitePolicies(NodeDatabase(tmp_path / FILE_NAME, clock))
    await store.open()
    async with policy_host(issue(("mta-sts.example.org",)), Conduct([respond(policy())])) as host:
        settings = HttpsSettings(port=host.port, has_private_addresses=True)
        source = PolicyFetcher(resolver, ClientContexts(), lambda: anchors, clock, settings)
        finder = MtaStsFinder(resolver, store, source, clock, log)
        facts = await finder.find(NAME)
        assert facts.policy is not None
        assert facts.policy.mx == ("mx.example.org",)
        host.conduct = Conduct([respond(status="404 Not Found")])
        resolver.set(RECORD_NAME, "TXT", b"v=STSv1; id=2;")
        facts = await finder.recheck(NAME)
        assert facts.policy is not None
        assert facts.error == "mta-sts.example.org: HTTP status 404"
        assert host.connections == 2
    await finder.close()
    await store.close()

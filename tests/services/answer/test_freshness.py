"""How old an answer can be: what changes is heard of within a bound, whoever asks, however often.

For DNS the bound is its TTL, at least 10 s and at most 5 minutes, and the 10 s of grace; a policy
that another process has fetched takes 5 minutes more, the memory of the finder.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Answer as DnsAnswer
from letterlock.protocols.dns.answers import Existence, MxRecord, Record, Security, TlsaRecord
from letterlock.protocols.policy.postfix_version import AskingPostfix
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import PolicyTable, TableEntry
from letterlock.services.answer.answers import AnswerFinder
from letterlock.services.answer.cache import GRACE_SECONDS, AnswerCache
from letterlock.services.answer.lifetime import LEAST_SECONDS, MOST_SECONDS, NotingResolver
from letterlock.services.answer.questions import Question
from letterlock.services.discover.hop_policy import HopPolicy
from letterlock.services.discover.mta_sts import MOST_KEPT_SECONDS
from letterlock.services.discover.routes import RouteFinder
from letterlock.services.discover.tlsa import TlsaFinder
from tests.fakes import FakeClock, FixtureResolver
from tests.services.discover.mta_sts_processes import FILE_NAME, LIMITS, LONG, NAME, Process, policy

MX = f"mx.{NAME}"
TLSA = TlsaRecord(3, 1, 1, bytes(32))
SECURE = "secure match=mx.example.org servername=hostname"


class Still:
    """Chance that never changes the order."""

    def random(self) -> float:
        return 0.0


class Service:
    """A Postfix's answers, and beside them a process of the node that delivers."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.dns = FakeClock(), FixtureResolver()
        path = folder / FILE_NAME
        self.finding = Process(path, self.clock, self.dns, LIMITS)
        self.delivering = Process(path, self.clock, self.dns, LIMITS)
        resolver = NotingResolver(self.dns)
        table = PolicyTable({}, TableEntry("", Level.MAY, "policy.default_level"))
        hop_policy = HopPolicy(table, TlsaFinder(resolver), self.finding.finder, self.clock)
        postfix = AskingPostfix((3, 7, 0))
        self.finder = AnswerFinder(RouteFinder(resolver, Still()), hop_policy, postfix, self.clock)
        self.questions: list[Question] = []
        self.cache = AnswerCache(self.questions.append, self.clock)

    def put(self, name: str, rdtype: str, *records: Record, ttl: int) -> None:
        found = Existence.RECORDS if records else Existence.NODATA
        self.dns.put(DnsAnswer(Domain(name), rdtype, Security.SECURE, found, records, ttl=ttl))

    def publish(self, *tlsa: TlsaRecord, ttl: int) -> None:
        """Publish a host, and its TLSA records if it has any."""
        self.put(NAME, "MX", MxRecord(10, Domain(MX)), ttl=ttl)
        self.put(MX, "A", ip_address("192.0.2.1"), ttl=ttl)
        self.put(MX, "AAAA", ttl=ttl)
        self.put(f"_25._tcp.{MX}", "TLSA", *tlsa, ttl=ttl)

    async def ask(self) -> str:
        """Ask as Postfix does; what has to be found anew comes soon after."""
        key = NAME.encode()
        known = self.cache.find(key)
        waiting = self.cache.wait(key) if known is None else None
        while self.questions:
            name = self.questions.pop().key
            answer = await self.finder.find(name)
            self.cache.take(name, answer.reply, answer.seconds)
        reply = known.reply if known is not None else None
        if waiting is not None:
            reply = await asyncio.wait_for(waiting, LONG)
        assert reply is not None
        return f"{reply.status} {reply.text}"

    async def ask_until_other(self, before: str, every: int) -> float:
        """Ask from now on until another answer comes; gives how long that took, in seconds."""
        start = self.clock.monotonic()
        while await self.ask() == before:
            assert self.clock.monotonic() - start < 3600
            self.clock.move(timedelta(seconds=every))
        return self.clock.monotonic() - start


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path)
    async with AsyncExitStack() as stack:
        for process in (service.finding, service.delivering):
            await process.store.open()
            stack.push_async_callback(process.store.close)
            stack.push_async_callback(process.finder.close)
        yield service


@pytest.mark.parametrize("every", [1, 7, 59, 65])
@pytest.mark.parametrize(
    ("ttl", "bound"), [(0, LEAST_SECONDS), (60, 60), (300, 300), (86_400, MOST_SECONDS)]
)
async def test_what_changes_in_dns_is_answered_within_its_ttl_and_the_grace(
    service: Service, ttl: int, bound: float, every: int
) -> None:
    service.publish(ttl=ttl)
    assert await service.ask() == "NOTFOUND "
    service.publish(TLSA, ttl=ttl)
    took = await service.ask_until_other("NOTFOUND ", every)
    # Who asks seldom hears of it when he asks next.
    assert took <= bound + GRACE_SECONDS + every
    assert await service.ask() == "OK dane-only"


@pytest.mark.parametrize("every", [1, 100])
async def test_a_policy_that_another_process_fetched_is_answered_within_ten_minutes(
    service: Service, every: int
) -> None:
    service.publish(ttl=86_400)
    service.finding.publish("1", ttl=86_400)
    assert await service.ask() == f"OK {SECURE}"
    service.finding.publish("2", ttl=86_400)
    service.delivering.source.outcome = policy(mx="*.example.org", mode="testing")
    await service.delivering.finder.recheck(NAME)
    fetched = service.finding.fetches
    took = await service.ask_until_other(f"OK {SECURE}", every)
    assert took <= MOST_KEPT_SECONDS + MOST_SECONDS + GRACE_SECONDS + every
    assert await service.ask() == "NOTFOUND "
    assert service.finding.fetches == fetched


async def test_a_policy_that_expires_is_not_answered_for_longer_than_the_grace(
    service: Service,
) -> None:
    """RFC 8461 §5.1 (rule 145)"""
    service.publish(ttl=86_400)
    service.finding.source.outcome = policy(max_age=timedelta(seconds=90))
    service.finding.publish("1", ttl=86_400)
    assert await service.ask() == f"OK {SECURE}"
    service.finding.withdraw()
    took = await service.ask_until_other(f"OK {SECURE}", 1)
    assert 90 <= took <= 90 + GRACE_SECONDS + 1

"""Processes of a node that find MTA-STS policies, with DNS, policy host and clock held still."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

from letterlock.base.domains import Domain
from letterlock.network.https import FetchFailed
from letterlock.protocols.dns.answers import Answer, Existence, Security
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.discover.mta_sts import FinderLimits, MtaStsFinder
from letterlock.storage.policies import PolicyStore
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies
from tests.fakes import FakeClock, FakeLog, FixtureResolver

NAME = Domain("example.org")
RECORD_NAME = "_mta-sts.example.org"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LONG = 60.0
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

"""Who sends reports: a store, counts of some days, DNS, and carriers that take what comes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from letterlock.base.log import Service
from letterlock.protocols.tlsrpt.destinations import HttpsDestination, MailDestination
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Outcome, Session
from letterlock.services.collect.aggregate import DayCounts
from letterlock.services.report.addressing import Addressing
from letterlock.services.report.carrying import HttpsCarrier, NotTaken, Outgoing
from letterlock.services.report.composing import Submitter
from letterlock.services.report.sending import ReportTools, Sending
from letterlock.storage.own_reports import OwnReport, ReportStore
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.own_reports import SqliteOwnReports
from tests.fakes import START, FakeClock, FakeLog, FixtureResolver

DAY = START.date() - timedelta(days=1)
SUBMITTER = Submitter("Example Org", "tls@out.example", "mx.out.example")


@dataclass
class Counts:
    """Counts that are there already. `faults`: so often they cannot be read."""

    days: dict[date, DayCounts] = field(default_factory=dict)
    name: str = "queue"
    faults: list[str] = field(default_factory=list)
    loads: int = 0

    async def list_days(self) -> list[date]:
        if self.faults:
            raise StoreUnavailable(self.faults.pop())
        return sorted(self.days)

    async def load_day(self, day: date) -> DayCounts:
        self.loads += 1
        return self.days.get(day) or DayCounts()

    def add(self, *domains: str, day: date = DAY, count: int = 1) -> None:
        """Count sessions that met nobody's policy: there was none."""
        counts = self.days.setdefault(day, DayCounts())
        for domain in domains:
            policy = AppliedPolicy(PolicyType.NO_POLICY_FOUND, domain)
            counts.add(Session(domain, "", (Outcome(policy, is_failed=False),)), count)


class NotingLog(FakeLog):
    """Says when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def write(self, service: Service, text: str, **fields: Any) -> None:
        super().write(service, text, **fields)
        self.written.set()


@dataclass
class Carrier:
    """Takes reports; `answers` are given in turn instead of success."""

    answers: list[str | NotTaken | Exception | None] = field(default_factory=list)
    taken: list[tuple[Outgoing, MailDestination | HttpsDestination]] = field(default_factory=list)
    tried: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, report: Outgoing, destination: MailDestination, number: int) -> str | None:
        del number
        refused = self._take(report, destination)
        return None if refused is None else refused.reason

    async def post(self, report: Outgoing, destination: HttpsDestination) -> NotTaken | None:
        return self._take(report, destination)

    def _take(
        self, report: Outgoing, destination: MailDestination | HttpsDestination
    ) -> NotTaken | None:
        self.tried += 1
        self.asked.set()
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            self.taken.append((report, destination))
        return NotTaken(answer) if isinstance(answer, str) else answer


@dataclass
class Scene:
    """All of it."""

    store: ReportStore
    clock: FakeClock
    counts: Counts = field(default_factory=Counts)
    resolver: FixtureResolver = field(default_factory=FixtureResolver)
    mail: Carrier = field(default_factory=Carrier)
    https: Carrier = field(default_factory=Carrier)
    log: NotingLog = field(default_factory=NotingLog)
    chance: float = 0.0
    within: timedelta = timedelta(hours=4)

    def publish(self, domain: str, *uris: str) -> None:
        record = f"v=TLSRPTv1; rua={','.join(uris)}"
        self.resolver.set(f"_smtp._tls.{domain}", "TXT", record.encode())

    def make_sending(self, carrier: HttpsCarrier | None = None) -> Sending:
        """Make one process's."""
        https = carrier or self.https
        return Sending(
            ReportTools(
                store=self.store,
                sources=[self.counts],
                addressing=Addressing(self.resolver),
                submitter=SUBMITTER,
                mail=self.mail,
                https=https,  # type: ignore[arg-type]  # it has the one method
                clock=self.clock,
                log=self.log,
                random=lambda: self.chance,
                within=self.within,
                keep=timedelta(days=10),
            )
        )

    async def send(self) -> None:
        """Plan, and work on all that is due."""
        sending = self.make_sending()
        await sending.plan()
        while await sending.work():
            pass

    async def list_reports(self, day: date = DAY) -> list[OwnReport]:
        return await self.store.list_reports("queue", day)

    async def find(self, domain: str, day: date = DAY) -> OwnReport:
        (found,) = [each for each in await self.list_reports(day) if each.key.domain == domain]
        return found


@contextlib.asynccontextmanager
async def scene_in(folder: Path, *domains: str) -> AsyncIterator[Scene]:
    """Make one, at noon; of yesterday there are sessions to these domains, who want reports."""
    clock = FakeClock()
    store = SqliteOwnReports(NodeDatabase(folder / "node.sqlite", clock))
    await store.open()
    scene = Scene(store, clock)
    if domains:
        scene.counts.add(*domains)
    for domain in domains:
        scene.publish(domain, f"mailto:reports@{domain}")
    try:
        yield scene
    finally:
        await store.close()


def states(report: OwnReport) -> Sequence[str]:
    return [each.state.value for each in report.deliveries]

"""Domains that ask for it are told what their CAA records have prevented.

RFC 8659 §4.4.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from letterlock.base.domains import Domain
from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.acme.fields import Url
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.validation.quorums import QuorumRules
from letterlock.protocols.caa.decide import CaaDecision, CaaVerdict
from letterlock.protocols.caa.rechecks import ProvedName, RecheckRule, make_issuance
from letterlock.protocols.dns.answers import CaaRecord, Security
from letterlock.services.ca.caa_rechecks import CaaRechecker
from letterlock.services.ca.prevented import (
    MAX_WAITING,
    PreventedReports,
    Reporting,
    TellingRechecker,
    TellingValidator,
)
from letterlock.services.ca.validating.perspectives import Perspectives
from letterlock.services.ca.validating.validate import Validator
from letterlock.services.discover.caa import CaaFinder, check_caa
from tests.fakes import FakeClock, FakeLog, FixtureResolver
from tests.services.ca.test_working import until
from tests.services.ca.validating.scene import BOUNDS, PROOF, Scene, expect
from tests.services.ca.work_store import WorkStore

FORBIDS = CaaRecord(0, b"issue", b"other.example")
BY_MAIL = CaaRecord(0, b"iodef", b"mailto:security@a.example")
BY_HTTPS = CaaRecord(0, b"iodef", b"https://report.a.example/caa")
ELSEWHERE = CaaRecord(0, b"iodef", b"mailto:victim@b.example")
ISSUANCE = make_issuance(
    parse_identifier("a.example"), ("ca.example",), ("https://ca.example/account/1",), "dns-01"
)


@dataclass
class World:
    """An authority that reports, and what it sent."""

    store: WorkStore = field(default_factory=WorkStore)
    clock: FakeClock = field(default_factory=FakeClock)
    log: FakeLog = field(default_factory=FakeLog)
    posted: list[tuple[Url, bytes]] = field(default_factory=list)
    mailed: list[tuple[str, str, str]] = field(default_factory=list)
    failure: str | None = None

    def __post_init__(self) -> None:
        reporting = Reporting(Domain("ca.example"), "ca@ca.example", self.post, self.mail)
        self.reports = PreventedReports(self.store, reporting, self.clock, self.log)

    async def post(self, url: Url, document: bytes) -> str | None:
        self.posted.append((url, document))
        return self.failure

    async def mail(self, to: str, subject: str, text: str) -> str | None:
        self.mailed.append((to, subject, text))
        return self.failure

    async def find(self, *records: CaaRecord, security: Security = Security.SECURE) -> CaaVerdict:
        """Decide for a.example, which has these records."""
        resolver = FixtureResolver()
        resolver.set("a.example", "CAA", *records, security=security)
        assert ISSUANCE is not None
        return (await check_caa(CaaFinder(resolver, self.clock), ISSUANCE)).verdict

    async def report(self, verdict: CaaVerdict) -> int:
        return await self.reports.report(verdict, self.clock.now())


async def test_it_is_told_where_the_records_say() -> None:
    world = World()
    assert await world.report(await world.find(FORBIDS, BY_MAIL, BY_HTTPS)) == 2
    ((to, subject, text),) = world.mailed
    assert to == "security@a.example"
    assert subject == "No certificate for a.example: its CAA records forbid it"
    assert "ca.example was asked for a certificate, and has not issued it" in text
    ((url, document),) = world.posted
    assert url.text == "https://report.a.example/caa"
    assert b"<EmailTo>ca@ca.example</EmailTo>" in document


async def test_nobody_elsewhere_is_written_to() -> None:
    """Who publishes records could have us write to whom he likes."""
    world = World()
    assert await world.report(await world.find(FORBIDS, ELSEWHERE)) == 0
    assert (world.mailed, world.posted) == ([], [])
    assert "is not at a.example" in world.log.texts[0]


async def test_a_host_is_written_to_once_a_day_by_all_processes_together() -> None:
    """Rule 259"""
    world = World()
    verdict = await world.find(FORBIDS, BY_MAIL)
    assert await world.report(verdict) == 1
    other = World(store=world.store, clock=world.clock)
    assert await other.report(verdict) == 0
    world.clock.move(timedelta(days=1))
    assert await other.report(verdict) == 1


async def test_what_fails_is_told_in_the_log_and_not_tried_again() -> None:
    world = World(failure="no such host")
    verdict = await world.find(FORBIDS, BY_HTTPS)
    assert await world.report(verdict) == 0
    assert await world.report(verdict) == 0
    assert len(world.posted) == 1
    assert world.log.texts == [
        "a.example: to https://report.a.example/caa: not reported: no such host"
    ]


async def test_only_what_records_forbid_is_told_and_never_too_much() -> None:
    world = World()
    allowed = await world.find(CaaRecord(0, b"issue", b"ca.example"), BY_MAIL)
    failed = await world.find(security=Security.BOGUS)
    assert failed.decision is CaaDecision.ERROR
    for each in (allowed, failed):
        world.reports.tell(each)
    forbidden = await world.find(FORBIDS, BY_MAIL)
    # A database that is away ends nothing.
    world.store.is_away = True
    world.reports.tell(forbidden)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.reports.run())
        await until(lambda: world.log.texts != [])
        world.store.is_away = False
        for _ in range(MAX_WAITING + 1):
            world.reports.tell(forbidden)
        await until(lambda: world.mailed != [])
        running.cancel()
    assert world.log.texts == [
        "warning: no report to a.example: the database is away",
        "a.example: to security@a.example: reported",
    ]
    assert len(world.mailed) == 1


async def test_both_looks_at_caa_are_told_of() -> None:
    told: list[CaaVerdict] = []
    clock, scene = FakeClock(), Scene()
    scene.resolver.set("a.example", "CAA", FORBIDS)
    scene.resolver.set("example", "CAA")
    expected = expect("a.example", "dns-01")
    validator = Validator(Perspectives(scene.perspective(), (), QuorumRules()), clock, BOUNDS)
    telling = TellingValidator(validator, told.append)
    assert (await telling.validate(expected, ISSUANCE)).problem is not None
    assert told == []  # the proof is missing: nobody asked whether it may be issued
    scene.resolver.set("_acme-challenge.a.example", "TXT", dns_value(PROOF).encode())
    assert (await telling.validate(expected, ISSUANCE)).problem is not None
    assert [each.decision for each in told] == [CaaDecision.DENY]
    finder = CaaFinder(scene.resolver, clock)
    rechecker = TellingRechecker(CaaRechecker(finder, clock, RecheckRule()), told.append)
    found = await rechecker.recheck([ProvedName(expected.identifier, ISSUANCE)])
    assert found.problem is not None
    assert len(told) == 2

"""What alerts are decided by: reports on our domains, our own, policies, certificates."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest

from letterlock.base.config.alerting import AlertsSection
from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.tlsrpt.reading import parse_report
from letterlock.services.alert.looking import Looked, Looking
from letterlock.services.alert.own import UsedCertificate
from letterlock.services.collect.aggregate import DayCounts
from letterlock.storage.own_reports import (
    DeliveryState,
    FailedMail,
    OwnReport,
    ReportDelivery,
    ReportKey,
)
from letterlock.storage.received_reports import ReceivedReport, Standing, Way
from letterlock.storage.served_policies import ServedPolicy
from letterlock.storage.sqlite.node import MEMORY, NodeDatabase
from letterlock.storage.sqlite.own_reports import SqliteOwnReports
from letterlock.storage.sqlite.received_reports import SqliteReceived
from letterlock.storage.sqlite.served_policies import SqliteServedPolicies
from tests.fakes import START, FakeClock
from tests.protocols.tlsrpt.corpus import encode, make_document, make_failure, make_result
from tests.services.alert.found import name_all

OURS = Domain("example.org")
DAY = timedelta(days=1)
POLICY = MtaStsPolicy(MtaStsMode.ENFORCE, ("mx.example.org",), DAY)
SEEN = ["version: STSv1", "mode: testing", "mx: mx.example.org", "max_age: 86400"]


@dataclass
class Counted:
    """A source of counts of a Postfix."""

    name: str = "collected@node1"
    lost: int = 0
    loads: int = 0

    async def list_days(self) -> list[date]:
        return [(START - each * DAY).date() for each in (9, 1, 0)]

    async def load_day(self, day: date) -> DayCounts:
        assert day < START.date()
        self.loads += 1
        counts = DayCounts()
        counts.dropped = self.lost
        return counts


@dataclass
class Desk:
    """Stores in memory, and what looks at them."""

    database: NodeDatabase
    clock: FakeClock
    counted: Counted = field(default_factory=Counted)
    used: list[UsedCertificate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.received = SqliteReceived(self.database)
        self.own = SqliteOwnReports(self.database)
        self.served = SqliteServedPolicies(self.database)

    def make(self, **changes: Any) -> Looking:
        looked = Looked(
            *("node1", AlertsSection(), (OURS,), POLICY, (OURS,)),
            *(self.received, self.own, self.served),
            *((self.counted,), (self.counted,), lambda: self.used),
        )
        return Looking(replace(looked, **changes), self.clock)

    async def keep(self, domain: str = OURS, days_ago: int = 1, **failure: Any) -> None:
        day = (self.clock.now() - days_ago * DAY).date()
        details = [make_failure(**failure)] if failure else []
        octets = encode(
            make_document(
                **{
                    "report-id": f"{domain} {day} {failure}",
                    "date-range": {
                        "start-datetime": f"{day}T00:00:00Z",
                        "end-datetime": f"{day}T23:59:59Z",
                    },
                },
                policies=[
                    make_result(
                        {"policy-domain": domain, "policy-string": SEEN},
                        {"total-failure-session-count": 3 * bool(failure)},
                        failure_details=details,
                    )
                ],
            )
        )
        read = parse_report(octets)
        await self.received.keep(
            [
                ReceivedReport(
                    *(self.clock.now(), Way.MAIL, Standing.COUNTED, "x.example"),
                    *(read.report, octets, ()),
                )
            ]
        )


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = FakeClock()
    database = NodeDatabase(MEMORY, clock)
    await database.open()
    yield Desk(database, clock)
    await database.close()


INVALID: dict[str, Any] = {"result-type": "tlsa-invalid", "receiving-mx-hostname": "mx"}


async def test_reports_on_domains_of_others_are_no_matter_of_ours(desk: Desk) -> None:
    """Anybody may sign and send some: rule 263."""
    await desk.keep("example.net", **INVALID)
    looking = desk.make()
    assert name_all(await looking.find()) == []
    await desk.keep(**INVALID)
    assert name_all(await looking.find()) == ["A2 tlsa-invalid mx"]


async def test_what_was_found_of_reports_stays_until_one_comes_or_the_day_ends(desk: Desk) -> None:
    await desk.keep(**INVALID)
    looking = desk.make()
    first = await looking.find()
    assert await looking.find() == first
    loads = desk.counted.loads
    await looking.find()
    assert desk.counted.loads == loads
    desk.clock.move(14 * DAY)
    assert name_all(await looking.find()) == []
    assert desk.counted.loads > loads - 1


async def test_what_is_older_than_the_window_makes_a_failure_known(desk: Desk) -> None:
    """A5: first seen is meant of all that is kept."""
    kind: dict[str, Any] = {"result-type": "validation-failure"}
    await desk.keep(**kind)
    (condition,) = (await desk.make().find()).conditions
    assert condition.may_begin
    await desk.keep(days_ago=100, **kind)
    (condition,) = (await desk.make().find()).conditions
    assert not condition.may_begin


async def test_the_policy_that_is_served_is_compared_with_what_senders_saw(desk: Desk) -> None:
    """A7. One that nobody asked for yet is no measure; an old one that may be held is no fault."""
    await desk.keep()
    assert name_all(await desk.make().find()) == []
    await desk.served.note(ServedPolicy(OURS, "2", POLICY, START - 9 * DAY, START))
    assert name_all(await desk.make().find()) == ["A7"]
    assert name_all(await desk.make(policy_domains=()).find()) == []
    assert name_all(await desk.make(policy=None).find()) == []
    old = MtaStsPolicy(MtaStsMode.TESTING, ("mx.example.org",), DAY)
    await desk.served.note(ServedPolicy(OURS, "1", old, START - 20 * DAY, START - DAY / 2))
    assert name_all(await desk.make().find()) == []


async def test_our_own_reports_certificates_and_counts_are_looked_at(desk: Desk) -> None:
    day = (START - 2 * DAY).date()
    delivery = ReportDelivery("mailto:a@a.example", DeliveryState.FAILED, note="no")
    key = ReportKey(desk.counted.name, day, "a.example")
    report = OwnReport(key, "1@x", None, deliveries=(delivery,))
    await desk.own.plan(desk.counted.name, day, [report])
    old = (START - 9 * DAY).date()
    await desk.own.plan(desk.counted.name, old, [report])
    desk.counted.lost = 5
    desk.used = [UsedCertificate(("mx",), START - 90 * DAY, START + DAY)]
    found = await desk.make().find()
    assert name_all(found) == ["A10 sessions", "A10 reports", "A3 certificate mx"]
    assert [each.key.node for each in found.conditions] == ["node1", "", "node1"]
    assert "1 report of ours" in found.conditions[1].text.what


async def test_a_report_in_the_queue_whose_mail_failed_is_told(desk: Desk) -> None:
    """A10: it was taken into the queue, and no server took it there; rule 264."""
    day = (START - 2 * DAY).date()
    delivery = ReportDelivery("mailto:a@a.example", DeliveryState.SENT)
    report = OwnReport(ReportKey(desk.counted.name, day, "a.example"), "1@x", None, "", (delivery,))
    await desk.own.plan(desk.counted.name, day, [report])
    assert name_all(await desk.make().find()) == []
    await desk.own.note_failed([FailedMail("1@x", 0, START - DAY, "550 5.1.1 nobody")])
    (condition,) = (await desk.make().find()).conditions
    assert name_all(await desk.make().find()) == ["A10 reports"]
    assert condition.text.evidence == (f"{day} a.example, mailto:a@a.example: 550 5.1.1 nobody",)


async def test_reports_that_do_not_count_are_looked_at(desk: Desk) -> None:
    """A9."""
    await desk.keep()
    refused = ReceivedReport(
        *(START, Way.MAIL, Standing.REFUSED, "x.example", None, b"?"), note="not JSON: ?"
    )
    await desk.received.keep([refused])
    assert name_all(await desk.make().find()) == ["A9 refused x.example"]


async def test_a_sender_is_late_by_its_own_delay(desk: Desk) -> None:
    """A6: here a report on a day comes on the fourth one after it."""
    for _ in range(12):
        await desk.keep(days_ago=4)
        desk.clock.move(DAY)
    looking = desk.make(policy=None)
    desk.clock.move(2 * DAY)
    assert name_all(await looking.find()) == []
    desk.clock.move(DAY)
    assert name_all(await looking.find()) == ["A6", "A6 x.example"]

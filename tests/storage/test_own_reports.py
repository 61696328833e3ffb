"""The reports that we send, in both engines: planned once, worked on by one, kept as they are."""

from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from letterlock.storage.own_reports import (
    DeliveryState,
    FailedMail,
    OwnReport,
    ReportDelivery,
    ReportKey,
    ReportStore,
    find_due,
)
from letterlock.storage.postgres import node as postgres
from letterlock.storage.postgres.own_reports import PostgresOwnReports
from letterlock.storage.sqlite import node as sqlite
from letterlock.storage.sqlite.own_reports import SqliteOwnReports
from tests.fakes import START, FakeClock
from tests.storage.conftest import ENGINES
from tests.storage.node_stores import emptied_node

DAY = date(2026, 3, 1)
NEXT_DAY = date(2026, 3, 2)
MINUTE = timedelta(minutes=1)
LEASE = START + 30 * MINUTE
QUEUE = ["queue"]


@pytest.fixture(params=ENGINES)
async def make_store(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> Callable[[str], ReportStore]:
    """Give what makes stores on one empty database, as other processes would."""
    if request.param == "sqlite":
        return lambda _: SqliteOwnReports(sqlite.NodeDatabase(tmp_path / "node.sqlite", clock))
    dsn = await emptied_node(request.getfixturevalue("node_schema"))
    return lambda name: PostgresOwnReports(postgres.NodeDatabase(dsn, name, clock))


@pytest.fixture
async def store(make_store: Callable[[str], ReportStore]) -> AsyncIterator[ReportStore]:
    store = make_store("one")
    await store.open()
    yield store
    await store.close()


def report(
    domain: str, day: date = DAY, minutes: int = 0, source: str = "queue", record: str = ""
) -> OwnReport:
    due = START + minutes * MINUTE
    return OwnReport(ReportKey(source, day, domain, record), f"{day}.{domain}@out.example", due)


async def claim(store: ReportStore, minutes: int = 0, limit: int = 10) -> list[str]:
    now = START + minutes * MINUTE
    leases = await store.claim(QUEUE, now, now + 30 * MINUTE, limit=limit)
    return sorted(lease.report.key.domain for lease in leases)


async def test_a_day_is_planned_once(store: ReportStore) -> None:
    """Of nodes that share the work one plans."""
    assert await store.plan("queue", DAY, [report("a.example"), report("b.example")])
    assert not await store.plan("queue", DAY, [report("c.example")])
    assert await store.plan("queue", NEXT_DAY, [])
    assert await store.plan("other", DAY, [report("a.example", source="other")])
    assert await store.list_planned_days("queue") == [DAY, NEXT_DAY]
    assert [each.key.domain for each in await store.list_reports("queue", DAY)] == [
        "a.example", "b.example"
    ]  # fmt: skip


async def test_what_is_planned_comes_back_as_it_was(store: ReportStore) -> None:
    planned = report("a.example", record="v=TLSRPTv1; rua=mailto:é@a.example")
    await store.plan("queue", DAY, [planned])
    (lease,) = await store.claim(QUEUE, START, LEASE, limit=10)
    assert lease.report == planned


async def test_only_what_is_due_is_claimed_and_only_of_our_sources(store: ReportStore) -> None:
    await store.plan("queue", DAY, [report("a.example"), report("b.example", minutes=5)])
    await store.plan("other", DAY, [report("c.example", source="other")])
    assert await claim(store) == ["a.example"]
    assert await claim(store) == []
    assert await claim(store, 5) == ["b.example"]


async def test_one_day_is_claimed_at_a_time_and_a_few_reports_of_it(store: ReportStore) -> None:
    await store.plan("queue", DAY, [report(f"{name}.example") for name in "abc"])
    await store.plan("queue", NEXT_DAY, [report("d.example", NEXT_DAY, minutes=-1)])
    assert await claim(store) == ["d.example"]
    assert len(await claim(store, limit=2)) == 2
    assert len(await claim(store, limit=2)) == 1


async def test_a_lease_keeps_others_away_until_it_ends(store: ReportStore) -> None:
    await store.plan("queue", DAY, [report("a.example")])
    assert await claim(store) == ["a.example"]
    assert await claim(store, 29) == []
    assert await claim(store, 30) == ["a.example"]


async def test_a_lease_of_a_clock_that_was_wrong_counts_for_nothing(store: ReportStore) -> None:
    await store.plan("queue", DAY, [report("a.example")])
    assert await claim(store, 60 * 24 * 365) == ["a.example"]
    assert await claim(store) == ["a.example"]


async def test_what_a_report_came_to_is_kept(store: ReportStore) -> None:
    await store.plan("queue", DAY, [report("a.example"), report("b.example")])
    leases = await store.claim(QUEUE, START, LEASE, limit=10)
    waiting = ReportDelivery("https://a.example/", tries=1, first=START, due=START + MINUTE)
    sent = ReportDelivery("mailto:a@a.example", DeliveryState.SENT, 1, START)
    worked = []
    for lease in leases:
        is_first = lease.report.key.domain == "a.example"
        deliveries = (waiting, sent) if is_first else (sent,)
        due = find_due(deliveries)
        octets = b"{}" if due is not None else None
        after = replace(lease.report, due=due, deliveries=deliveries, octets=octets, note="x")
        worked.append((lease, after))
    assert await store.settle(worked) == 2
    assert await store.settle(worked) == 0
    assert await claim(store) == []
    (again,) = await store.claim(QUEUE, START + MINUTE, LEASE, limit=10)
    assert again.report in [after for _, after in worked]
    listed = {each.key.domain: each for each in await store.list_reports("queue", DAY)}
    assert listed["a.example"].deliveries == (waiting, sent)
    assert listed["a.example"].octets is None
    assert listed["b.example"].due is None


async def test_who_lost_his_lease_changes_nothing(store: ReportStore) -> None:
    await store.plan("queue", DAY, [report("a.example")])
    (lost,) = await store.claim(QUEUE, START, LEASE, limit=1)
    (held,) = await store.claim(QUEUE, LEASE, LEASE + 30 * MINUTE, limit=1)
    assert await store.settle([(lost, replace(lost.report, due=None))]) == 0
    assert await store.settle([(held, replace(held.report, due=None))]) == 1
    assert await store.settle([]) == 0


async def test_what_was_not_tried_can_be_made_due(store: ReportStore) -> None:
    await store.plan("queue", DAY, [report("a.example", minutes=90), report("b.example")])
    (lease,) = await store.claim(QUEUE, START, LEASE, limit=1)
    tried = replace(lease.report, due=START + 60 * MINUTE, octets=b"{}")
    await store.settle([(lease, tried)])
    assert await store.hurry("queue", DAY, START) == 1
    assert await store.hurry("queue", NEXT_DAY, START) == 0
    assert await claim(store) == ["a.example"]


async def test_days_are_forgotten(store: ReportStore) -> None:
    await store.plan("queue", DAY, [report("a.example")])
    await store.plan("queue", NEXT_DAY, [report("a.example", NEXT_DAY)])
    assert await store.forget(NEXT_DAY) == 1
    assert await store.list_planned_days("queue") == [NEXT_DAY]
    assert await store.forget(NEXT_DAY) == 0


async def send_one(store: ReportStore, *uris: str) -> None:
    """Plan a report on a day, and have it be sent to these destinations as mail."""
    await store.plan("queue", DAY, [report("a.example"), report("b.example")])
    leases = await store.claim(QUEUE, START, LEASE, limit=10)
    sent = tuple(ReportDelivery(uri, DeliveryState.SENT, 1, START) for uri in uris)
    await store.settle([(each, replace(each.report, due=None, deliveries=sent)) for each in leases])


async def find_states(store: ReportStore) -> dict[str, list[tuple[str, str]]]:
    """Give how it stands with each delivery of a day, and why."""
    return {
        each.key.domain: [(one.state.value, one.note) for one in each.deliveries]
        for each in await store.list_reports("queue", DAY)
    }


MAILS = ("mailto:a@x.example", "mailto:b@x.example")
FAILED_ONE = FailedMail(report("a.example").report_id, 1, START, "550 no")
SENT = ("sent", "")


async def test_a_delivery_whose_mail_failed_later_is_listed_as_failed(store: ReportStore) -> None:
    """RFC 8460 §5.5: that it went into the queue did not bring it there; rule 264."""
    await send_one(store, *MAILS)
    await store.note_failed([FAILED_ONE])
    both = [SENT, SENT]
    assert await find_states(store) == {
        "a.example": [SENT, ("failed", "550 no")],
        "b.example": both,
    }
    first = FailedMail(FAILED_ONE.report_id, 0, START, "nobody")
    await store.note_failed([replace(FAILED_ONE, reason="550 never"), first])
    failed = [("failed", "nobody"), ("failed", "550 never")]
    assert await find_states(store) == {"a.example": failed, "b.example": both}


async def test_mail_that_failed_before_its_report_was_settled_is_not_forgotten(
    store: ReportStore,
) -> None:
    """The queue may be quicker than who puts mail there, and works on many reports at once."""
    await store.note_failed([FAILED_ONE])
    await store.plan("queue", DAY, [report("a.example")])
    assert await find_states(store) == {"a.example": []}
    (lease,) = await store.claim(QUEUE, START, LEASE, limit=1)
    waiting = ReportDelivery("https://a.example/", due=LEASE)
    deliveries = (waiting, ReportDelivery(MAILS[1], DeliveryState.SENT, 1, START))
    await store.settle([(lease, replace(lease.report, due=LEASE, deliveries=deliveries))])
    assert await find_states(store) == {"a.example": [("waiting", ""), ("failed", "550 no")]}
    # Who works on it is not told: mail is not sent twice for it.
    (again,) = await store.claim(QUEUE, LEASE, LEASE + MINUTE, limit=1)
    assert again.report.deliveries == deliveries


async def test_failures_of_what_is_not_known_as_sent_change_nothing(store: ReportStore) -> None:
    """It is tried again under the same place; or the place is none of this report."""
    await store.plan("queue", DAY, [report("a.example")])
    (lease,) = await store.claim(QUEUE, START, LEASE, limit=1)
    waiting = ReportDelivery(MAILS[0], note="later")
    await store.settle([(lease, replace(lease.report, deliveries=(waiting,)))])
    await store.note_failed([replace(FAILED_ONE, place=0), FAILED_ONE])
    await store.note_failed([replace(FAILED_ONE, report_id="2026-01-01.unknown@out.example")])
    assert await find_states(store) == {"a.example": [("waiting", "later")]}


async def test_failures_are_forgotten_with_their_days(store: ReportStore) -> None:
    await send_one(store, *MAILS)
    await store.note_failed([replace(FAILED_ONE, failed=START)])
    await store.forget(DAY)
    assert (await find_states(store))["a.example"] == [SENT, ("failed", "550 no")]
    await store.forget(START.date() + timedelta(days=1))
    await send_one(store, *MAILS)
    assert (await find_states(store))["a.example"] == [SENT, SENT]


async def test_two_nodes_share_a_day(make_store: Callable[[str], ReportStore]) -> None:
    """Each report is one's."""
    one, two = make_store("one"), make_store("two")
    await one.open()
    await two.open()
    reports = [report(f"d{number}.example") for number in range(20)]
    assert [await each.plan("queue", DAY, reports) for each in (one, two)] == [True, False]
    claimed = []
    for _ in range(5):
        for store in (one, two):
            claimed += await claim(store, limit=3)
    assert sorted(claimed) == sorted(each.key.domain for each in reports)
    await one.close()
    await two.close()


def test_a_report_is_due_with_the_first_of_its_deliveries() -> None:
    waiting = ReportDelivery("https://a.example/", due=START)
    later = ReportDelivery("https://b.example/", due=START + MINUTE)
    new = ReportDelivery("https://c.example/")
    sent = ReportDelivery("https://d.example/", DeliveryState.SENT, due=START - MINUTE)
    assert find_due([later, waiting, sent]) == START
    assert find_due([sent]) is None
    due = find_due([later, new])
    assert due is not None
    assert due < START

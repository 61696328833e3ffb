"""The reports that others send, in both engines: kept once, as they came, and found by domain."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from msgspec.structs import replace

from letterlock.protocols.tlsrpt.reading import parse_report
from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.storage.postgres import node as postgres
from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.received_reports import PostgresReceived
from letterlock.storage.received_reports import (
    MAX_DOMAINS,
    Arrival,
    ReceivedReport,
    ReceivedStore,
    Standing,
    Way,
)
from letterlock.storage.sqlite import node as sqlite
from letterlock.storage.sqlite.received_reports import SqliteReceived
from tests.fakes import START, FakeClock
from tests.protocols.tlsrpt.corpus import encode, make_document, make_failure, make_result
from tests.storage.conftest import ENGINES
from tests.storage.node_stores import emptied_node

DAY = date(2026, 4, 1)
NEXT_DAY = date(2026, 4, 2)
EVER = date(2000, 1, 1)
DOMAIN = "company-y.example"
_IS_TWO_WAITING = """
    SELECT true FROM pg_stat_activity
    WHERE application_name = 'letterlock two/node' AND wait_event_type = 'Lock' LIMIT 1
"""

T = TypeVar("T")


@pytest.fixture(params=ENGINES)
async def store(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[ReceivedStore]:
    store: ReceivedStore
    if request.param == "sqlite":
        store = SqliteReceived(sqlite.NodeDatabase(tmp_path / "node.sqlite", clock))
    else:
        dsn = await emptied_node(request.getfixturevalue("node_schema"))
        store = PostgresReceived(postgres.NodeDatabase(dsn, "one", clock))
    await store.open()
    yield store
    await store.close()


def received(standing: Standing = Standing.COUNTED, **changes: Any) -> ReceivedReport:
    read = parse_report(encode(make_document(**changes)))
    return ReceivedReport(
        *(START, Way.IMPORT, standing, "company-x.example"), read.report, read.raw, read.repairs
    )


def on(day: date, **changes: Any) -> ReceivedReport:
    dates = {
        "start-datetime": f"{day}T00:00:00Z",
        "end-datetime": f"{day}T23:59:59Z",
    }
    return received(**{"date-range": dates, **changes})


async def count(store: ReceivedStore) -> int:
    return len(await store.list_reports(domain=None, since=EVER, limit=1000))


async def test_a_report_is_kept_octet_for_octet_and_as_what_it_says(store: ReceivedStore) -> None:
    report = replace(received(), repairs=("x: was mended",))
    assert await store.keep([report]) == [True]
    (listed,) = await store.list_reports(domain=None, since=EVER, limit=10)
    assert await store.load_octets(listed.id) == report.octets
    assert (listed.day, listed.received, listed.way) == (DAY, START, Way.IMPORT)
    assert (listed.standing, listed.submitter) == (Standing.COUNTED, "company-x.example")
    assert listed.facts.organization_name == "Company-X"
    assert listed.facts.domains == (DOMAIN,)
    assert listed.facts.repairs == report.repairs
    (result,) = await store.list_results(DOMAIN, DAY, NEXT_DAY)
    assert report.report is not None
    (policy,) = report.report.policies
    assert (result.type, result.strings, result.mx_hosts) == (
        policy.type, policy.strings, policy.mx_hosts
    )  # fmt: skip
    assert (result.successful, result.failed, result.failures) == (5326, 303, policy.failures)
    assert await store.load_octets(listed.id + 1) is None


@pytest.mark.parametrize("size", [0, 1, 1023, 100_000])
async def test_a_report_of_any_length_comes_back_as_it_came(
    store: ReceivedStore, size: int
) -> None:
    octets = b"{" * size
    await store.keep([replace(received(), octets=octets)])
    (listed,) = await store.list_reports(domain=None, since=EVER, limit=10)
    assert await store.load_octets(listed.id) == octets


def posted(**changes: Any) -> ReceivedReport:
    return replace(received(**changes), way=Way.HTTPS)


async def test_what_was_posted_counts_and_says_so(store: ReceivedStore) -> None:
    """Whose it is nobody proved: its submitter is marked wherever it is told."""
    assert await store.keep([posted()]) == [True]
    (listed,) = await store.list_reports(domain=None, since=EVER, limit=10)
    assert (listed.way, listed.submitter) == (Way.HTTPS, "company-x.example (posted)")
    (result,) = await store.list_results(DOMAIN, DAY, NEXT_DAY)
    assert result.submitter == "company-x.example (posted)"


async def test_what_was_posted_is_a_copy_of_what_is_proved(store: ReceivedStore) -> None:
    """RFC 8460 §3: a reporter may send to each rua; its sessions count once."""
    assert await store.keep([received()]) == [True]
    assert await store.keep([posted()]) == [False]
    (listed,) = await store.list_reports(domain=None, since=EVER, limit=10)
    assert (listed.way, listed.copies) == (Way.IMPORT, 1)
    assert len(await store.list_results(DOMAIN, DAY, NEXT_DAY)) == 1


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_is_proved_takes_the_place_of_what_was_posted(
    store: ReceivedStore, *, at_once: bool
) -> None:
    """Anybody can post first, under an id that can be guessed: rule 260."""
    if at_once:
        assert await store.keep([posted(), received()]) == [True, True]
    else:
        assert await store.keep([posted()]) == [True]
        assert await store.keep([posted()]) == [False]
        assert await store.keep([received()]) == [True]
    (listed,) = await store.list_reports(domain=None, since=EVER, limit=10)
    assert (listed.way, listed.submitter) == (Way.IMPORT, "company-x.example")
    (result,) = await store.list_results(DOMAIN, DAY, NEXT_DAY)
    assert result.submitter == "company-x.example"


@pytest.mark.parametrize("order", ["ppr", "prp", "rpp"])
async def test_in_whatever_order_they_come_together_the_one_that_is_proved_is_kept(
    store: ReceivedStore, order: str
) -> None:
    """Rule 260: of a p(osted) one and the r(eal) one, in one commit."""
    reports = [posted() if each == "p" else received() for each in order]
    are_new = await store.keep(reports)
    assert are_new == [each == "r" or order[:place] == "" for place, each in enumerate(order)]
    (listed,) = await store.list_reports(domain=None, since=EVER, limit=10)
    copies = len(order) - 1 - order.index("r")
    assert (listed.way, listed.copies) == (Way.IMPORT, copies)
    assert len(await store.list_results(DOMAIN, DAY, NEXT_DAY)) == 1


class _Lingering(postgres.NodeDatabase):
    """Ends its transaction when it is told to."""

    def __init__(self, dsn: str, node: str, clock: FakeClock) -> None:
        super().__init__(dsn, node, clock)
        self.is_done = asyncio.Event()
        self.may_end = asyncio.Event()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async def linger(connection: Connection) -> T:
            result = await work(connection)
            self.is_done.set()
            await self.may_end.wait()
            return result

        return await super().run(linger)


async def _wait_for_a_waiter(dsn: str, work: asyncio.Task[object]) -> None:
    """Wait until node two waits for another's lock, or its work is done."""
    connection = await asyncpg.connect(dsn)
    while not (work.done() or await connection.fetchval(_IS_TWO_WAITING)):
        await asyncio.wait([work], timeout=0.05)
    await connection.close()


@pytest.mark.peer("postgresql")
@pytest.mark.parametrize("is_posted_first", [True, False])
async def test_a_report_posted_and_proved_at_two_nodes_in_one_moment_is_kept_proved(
    node_schema: str, clock: FakeClock, *, is_posted_first: bool
) -> None:
    """Neither sees what the other has not committed, and each has its own fingerprint: rule 260."""
    dsn = await emptied_node(node_schema)
    database = _Lingering(dsn, "one", clock)
    one, two = (
        PostgresReceived(database),
        PostgresReceived(postgres.NodeDatabase(dsn, "two", clock)),
    )
    await one.open()
    await two.open()
    both = [posted(), received()] if is_posted_first else [received(), posted()]
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(one.keep(both[:1]))
        await database.is_done.wait()
        second = tasks.create_task(two.keep(both[1:]))
        await _wait_for_a_waiter(dsn, second)
        database.may_end.set()
    assert (first.result(), second.result()) == ([True], [is_posted_first])
    (listed,) = await two.list_reports(domain=None, since=EVER, limit=10)
    assert (listed.way, listed.submitter) == (Way.IMPORT, "company-x.example")
    assert len(await two.list_results(DOMAIN, DAY, NEXT_DAY)) == 1
    await one.close()
    await two.close()


async def test_of_those_kept_together_each_is_judged_by_itself(store: ReceivedStore) -> None:
    """New ones, copies of what is proved, and the same one twice, in one commit."""
    ids = ["0", "1", "2", "3"]
    assert await store.keep([received(Standing.COUNTED, **{"report-id": ids[0]})]) == [True]
    together = [posted(**{"report-id": ids[each]}) for each in (1, 0, 2, 0, 1)]
    are_new = await store.keep([*together, received(Standing.COUNTED, **{"report-id": ids[3]})])
    assert are_new == [True, False, True, False, False, True]
    listed = await store.list_reports(domain=None, since=EVER, limit=10)
    copies = {each.facts.report_id: (each.way, each.copies) for each in listed}
    assert copies == {
        "0": (Way.IMPORT, 2),
        "1": (Way.HTTPS, 1),
        "2": (Way.HTTPS, 0),
        "3": (Way.IMPORT, 0),
    }


@pytest.mark.parametrize("way", [Way.HTTPS, Way.IMPORT])
async def test_of_many_kept_together_each_has_its_own_results(
    store: ReceivedStore, way: Way
) -> None:
    """More than one statement takes (`storage.sqlite.transaction.MAX_ROWS`), one of them twice."""
    domains = [f"d{number}.example" for number in range(150)]
    reports = [
        replace(
            received(policies=[make_result({"policy-domain": each}), make_result()]),
            way=way,
            submitter=f"of.{each}",
        )
        for each in domains
    ]
    assert await store.keep([*reports, reports[0]]) == [*[True] * len(domains), False]
    for each in domains[::30]:
        (result,) = await store.list_results(each, EVER, NEXT_DAY)
        assert result.submitter.startswith(f"of.{each}")
        (listed,) = await store.list_reports(domain=each, since=EVER, limit=10)
        assert listed.copies == (each == domains[0])
    assert len(await store.list_results(DOMAIN, EVER, NEXT_DAY)) == len(domains)


async def test_what_does_not_count_takes_no_place(store: ReceivedStore) -> None:
    assert await store.keep([posted()]) == [True]
    assert await store.keep([received(Standing.UNAUTHENTICATED)]) == [True]
    assert await count(store) == 2


async def test_the_same_report_is_kept_once_and_its_copies_are_counted(
    store: ReceivedStore,
) -> None:
    """By submitter, id, dates and domains: however it is packed, and whatever has changed."""
    assert await store.keep([received(), received()]) == [True, False]
    assert await store.keep([replace(received(), way=Way.MAIL, octets=b"other octets")]) == [False]
    (listed,) = await store.list_reports(domain=None, since=EVER, limit=10)
    assert listed.copies == 2
    assert len(await store.list_results(DOMAIN, EVER, NEXT_DAY)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"report-id": "another"},
        {"date-range": {"start-datetime": "2026-04-02T00:00:00Z", "end-datetime": ""}},
        {"policies": [make_result({"policy-domain": "other.example"})]},
    ],
    ids=["id", "dates", "domains"],
)
async def test_what_differs_in_one_of_these_is_another_report(
    store: ReceivedStore, changes: dict[str, Any]
) -> None:
    """Ids are not unique over senders, nor over the domains of one."""
    other = received(**changes)
    assert await store.keep([received(), other]) == [True, True]
    assert await store.keep([replace(other, submitter="company-z.example")]) == [True]


async def test_a_report_that_anybody_may_have_written_takes_no_place_of_a_proved_one(
    store: ReceivedStore,
) -> None:
    forged = received(Standing.UNAUTHENTICATED, policies=[make_result(failure_details=[])])
    assert await store.keep([forged]) == [True]
    assert await store.list_results(DOMAIN, EVER, NEXT_DAY) == []
    assert await store.list_domains(EVER) == []
    assert await store.keep([received()]) == [True]
    (result,) = await store.list_results(DOMAIN, EVER, NEXT_DAY)
    assert result.failures != ()
    assert await store.keep([forged]) == [False]


async def test_reports_without_an_id_are_the_same_when_their_octets_are(
    store: ReceivedStore,
) -> None:
    nameless = received(Standing.COUNTED, **{"report-id": ...})
    assert nameless.report is not None
    assert nameless.report.report_id is None
    assert await store.keep([nameless, nameless]) == [True, False]
    assert await store.keep([replace(nameless, octets=b"others")]) == [True]


async def test_what_was_refused_is_kept_with_the_reason(store: ReceivedStore) -> None:
    refused = ReceivedReport(START, Way.MAIL, Standing.REFUSED, "x.example", None, b"{", note="why")
    assert await store.keep([refused, refused]) == [True, False]
    (listed,) = await store.list_reports(domain=None, since=EVER, limit=10)
    assert (listed.standing, listed.note, listed.day) == (Standing.REFUSED, "why", START.date())


async def test_a_list_has_pages_and_begins_with_the_last(store: ReceivedStore) -> None:
    for days in range(3):
        await store.keep([on(DAY + timedelta(days))])
    await store.keep([on(DAY, policies=[make_result({"policy-domain": "other.example"})])])
    listed = await store.list_reports(domain=None, since=DAY, limit=3)
    assert [each.day for each in listed] == [DAY, date(2026, 4, 3), NEXT_DAY]
    below = await store.list_reports(domain=None, since=DAY, limit=3, below=listed[-1].id)
    assert [each.day for each in below] == [DAY]
    of_one = await store.list_reports(domain=DOMAIN, since=NEXT_DAY, limit=10)
    assert [each.day for each in of_one] == [date(2026, 4, 3), NEXT_DAY]


async def test_results_are_found_by_domain_and_day(store: ReceivedStore) -> None:
    fine = make_result(summary={"total-failure-session-count": 0}, failure_details=[])
    tlsa = make_result({"policy-type": "tlsa", "policy-domain": "mx.company-y.example"})
    await store.keep([on(DAY), on(NEXT_DAY, policies=[fine, tlsa])])
    found = await store.list_results(DOMAIN, DAY, date(2026, 4, 3))
    assert [each.day for each in found] == [DAY, NEXT_DAY]
    assert await store.list_results(DOMAIN, DAY, DAY) == []
    failing = await store.list_results(DOMAIN, DAY, date(2026, 4, 3), only_failing=True)
    assert [each.day for each in failing] == [DAY]
    domains = await store.list_domains(DAY)
    assert [(each.domain, each.reports, each.first, each.last) for each in domains] == [
        (DOMAIN, 2, DAY, NEXT_DAY), ("mx.company-y.example", 1, NEXT_DAY, NEXT_DAY)
    ]  # fmt: skip


async def test_what_a_report_does_not_tell_stays_unknown(store: ReceivedStore) -> None:
    policy = make_result(
        {"policy-type": ..., "policy-string": ...},
        {"total-successful-session-count": ..., "total-failure-session-count": 2**53 - 1},
        failure_details=[make_failure(failed_session_count=...)],
    )
    await store.keep([received(policies=[policy])])
    (result,) = await store.list_results(DOMAIN, EVER, NEXT_DAY)
    assert (result.type, result.successful, result.failed) == (None, None, 2**53 - 1)
    assert result.failures[0].count is None


async def test_any_words_of_a_peer_can_be_kept(store: ReceivedStore) -> None:
    strange = "a\0b \ud800 \u2028 ü"
    report = received()
    assert report.report is not None
    failure = FailureDetails(strange, 1, None, None, strange)
    (policy,) = report.report.policies
    policy = replace(policy, strings=(strange,), failures=(failure,), type=strange)
    changed = replace(report.report, organization_name=strange, policies=(policy,))
    assert await store.keep([replace(report, report=changed, submitter=strange)]) == [True]
    (result,) = await store.list_results(DOMAIN, EVER, NEXT_DAY)
    assert result.type == "a?b ? \u2028 ü"
    assert result.strings == ("a\0b ? \u2028 ü",)


async def test_ten_thousand_policies_are_survived(store: ReceivedStore) -> None:
    policies = [make_result({"policy-domain": f"{n}.example"}) for n in range(10_000)]
    await store.keep([received(policies=policies)])
    (listed,) = await store.list_reports(domain="7.example", since=EVER, limit=10)
    assert listed.facts.policies == 10_000
    assert len(listed.facts.domains) == MAX_DOMAINS
    assert len(await store.list_domains(EVER)) == 10_000


async def test_old_ones_are_forgotten(store: ReceivedStore) -> None:
    await store.keep([on(DAY), on(NEXT_DAY)])
    assert await store.forget(NEXT_DAY, START) == 1
    assert await count(store) == 1
    assert [each.day for each in await store.list_results(DOMAIN, EVER, NEXT_DAY)] == []
    assert await store.keep([on(DAY)]) == [True]


async def test_what_does_not_count_is_forgotten_sooner(store: ReceivedStore) -> None:
    refused = replace(received(Standing.REFUSED), report=None)
    await store.keep([received(), received(Standing.UNAUTHENTICATED), refused])
    assert await store.forget(EVER, START) == 0
    assert await store.forget(EVER, START + timedelta(seconds=1)) == 2
    (left,) = await store.list_reports(domain=None, since=EVER, limit=10)
    assert left.standing is Standing.COUNTED


async def test_when_reports_came_is_listed_by_submitter_and_day(store: ReceivedStore) -> None:
    later = replace(on(DAY, **{"report-id": "2"}), received=START + timedelta(hours=1))
    other = replace(on(NEXT_DAY), submitter="a.example")
    old = on(DAY - timedelta(days=1))
    await store.keep([later, on(DAY), other, old, replace(on(NEXT_DAY), submitter="b.example")])
    unsigned = replace(on(NEXT_DAY), standing=Standing.UNAUTHENTICATED)
    await store.keep([unsigned])
    assert await store.list_arrivals(DOMAIN, DAY) == [
        Arrival("a.example", NEXT_DAY, START),
        Arrival("b.example", NEXT_DAY, START),
        Arrival("company-x.example", DAY, START),
    ]
    assert await store.list_arrivals("example.net", DAY) == []


async def test_what_does_not_count_is_listed_by_when_it_came(store: ReceivedStore) -> None:
    unsigned = replace(received(Standing.UNAUTHENTICATED), note="it is not signed")
    refused = replace(received(), report=None, standing=Standing.REFUSED, octets=b"x")
    refused = replace(refused, received=START + timedelta(seconds=1))
    later = replace(refused, octets=b"y", received=START + timedelta(hours=1))
    await store.keep([later, received(), unsigned, refused])
    listed = await store.list_unproved(START, limit=10)
    assert [each.standing for each in listed] == [
        Standing.REFUSED, Standing.REFUSED, Standing.UNAUTHENTICATED
    ]  # fmt: skip
    assert listed[0].received == later.received
    assert await store.list_unproved(START + timedelta(minutes=1), limit=10) == listed[:1]
    assert await store.list_unproved(START, limit=2) == listed[:2]

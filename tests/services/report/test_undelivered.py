"""Mail with a report that was in the queue, and that nobody took: the report is known as failed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from letterlock.protocols.smtp.envelope import Notify, Recipient, TlsDemand
from letterlock.services.queue.outcomes import Delivery, Outcome, Result
from letterlock.services.report import undelivered
from letterlock.services.report.undelivered import UndeliveredReports
from letterlock.storage.own_reports import (
    DeliveryState,
    OwnReport,
    ReportDelivery,
    ReportKey,
)
from letterlock.storage.queue import Claim, QueueStore, RecipientState, StoreUnavailable
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.own_reports import SqliteOwnReports
from tests.fakes import START
from tests.services.deliver.outbound import Outbound, sending
from tests.services.report.scene import NotingLog

PATIENCE = 60.0
DAY = START.date() - timedelta(days=1)
REPORT_ID = f"{DAY}.0123@out.example"
ONE, TWO = "tls@a.example", "tls@b.example"
BOUNCED = "host mx.a.example[192.0.2.1]:25 said: 550 5.1.1 nobody"
LATER = "host mx.a.example[192.0.2.1]:25 said: 451 4.3.0 later"


@dataclass
class Desk:
    """A node whose queue has mail with a report, and its database, which knows it as sent.

    `faults` are raised in turn by the database when it is opened, `broken` by each note.
    """

    node: Outbound
    folder: Path
    log: NotingLog = field(default_factory=NotingLog)
    faults: list[Exception] = field(default_factory=list)
    broken: Exception | None = None
    opened: int = 0

    def __post_init__(self) -> None:
        self.undelivered = UndeliveredReports(self.make_store, self.node.clock, self.log)

    def make_store(self) -> SqliteOwnReports:
        desk = self

        class Store(SqliteOwnReports):
            async def open(self) -> None:
                desk.opened += 1
                if desk.faults:
                    raise desk.faults.pop(0)
                await super().open()

            async def note_failed(self, mails: Any) -> None:
                if desk.broken is not None:
                    raise desk.broken
                await super().note_failed(mails)

        return Store(NodeDatabase(self.folder / "node.sqlite", self.node.clock))

    async def plan(self) -> None:
        deliveries = (
            ReportDelivery("https://a.example/", DeliveryState.SENT),
            ReportDelivery(f"mailto:{ONE}", DeliveryState.SENT),
        )
        report = OwnReport(ReportKey("queue", DAY, "a.example"), REPORT_ID, None)
        async with self.store() as store:
            await store.plan("queue", DAY, [structs.replace(report, deliveries=deliveries)])

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[SqliteOwnReports]:
        store = SqliteOwnReports(NodeDatabase(self.folder / "node.sqlite", self.node.clock))
        await store.open()
        yield store
        await store.close()

    async def find_states(self) -> list[tuple[str, str]]:
        """Give how it stands with each delivery of the report, and why."""
        async with self.store() as store:
            (report,) = await store.list_reports("queue", DAY)
        return [(each.state.value, each.note) for each in report.deliveries]

    async def save(self, *addresses: str, **origin: str) -> None:
        """Put the mail into the queue, as `QueueCarrier` does."""
        never = frozenset({Notify.NEVER})
        await self.node.save(
            *(Recipient(each, never) for each in addresses or (ONE,)),
            origin={"client": "local", "report": REPORT_ID, "report_place": "1"} | origin,
            tls_demand=TlsDemand.TLS_REQUIRED_NO,
        )

    async def settle(self, result: Result, reply: str, store: QueueStore | None = None) -> Claim:
        """Claim what is due, for one destination, and let all its recipients come to this."""
        claims = await self.node.store.claim(
            self.node.clock.now(), limit=1, lease=timedelta(minutes=15)
        )
        (claim,) = claims
        status = {Result.FAILED: "5.1.1", Result.DEFERRED: "4.3.0"}.get(result, "2.0.0")
        outcomes = tuple(Outcome(each.number, result, status, reply) for each in claim.recipients)
        settlements = replace(self.node.settlements, failures=self.undelivered)
        await settlements.settle(claim, Delivery(outcomes), store or self.node.store)
        return claim

    async def bounce(self) -> None:
        await self.settle(Result.FAILED, BOUNCED)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.undelivered.run())
            yield
            task.cancel()

    async def wait_told(self, words: str) -> None:
        """Wait until the log has a line with these words."""
        async with asyncio.timeout(PATIENCE):
            while not any(words in text for text in self.log.texts):
                self.log.written.clear()
                await self.log.written.wait()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with sending(tmp_path) as node:
        desk = Desk(node, tmp_path)
        await desk.plan()
        yield desk


SENT = ("sent", "")


async def test_a_report_whose_mail_bounced_is_known_as_failed_with_the_reply(desk: Desk) -> None:
    """RFC 8460 §5.5; rule 264. Of its destinations the one that the mail was for."""
    await desk.save()
    async with desk.running():
        await desk.bounce()
        await desk.wait_told("is given up")
    told = f"the mail to <{ONE}> bounced: {BOUNCED}"
    assert await desk.find_states() == [SENT, ("failed", told)]
    assert desk.log.texts == [f"warning: the report {REPORT_ID} is given up: {told}"]


async def test_one_that_was_tried_for_a_day_is_failed_too_and_not_before(desk: Desk) -> None:
    """RFC 8460 §5.5: up to 24 hours; rule 264."""
    await desk.save()
    async with desk.running():
        await desk.settle(Result.DEFERRED, LATER)
        desk.node.clock.move(timedelta(days=30))
        assert desk.opened == 0
        await desk.settle(Result.DEFERRED, LATER)
        await desk.wait_told("is given up")
    told = f"the mail to <{ONE}> was given up after 24 hours: {LATER}"
    assert await desk.find_states() == [SENT, ("failed", told)]


@pytest.mark.parametrize(
    ("first", "second", "is_failed"),
    [
        (Result.FAILED, Result.FAILED, True),
        (Result.FAILED, Result.DELIVERED, False),
        (Result.DELIVERED, Result.FAILED, False),
    ],
)
async def test_where_aliases_lead_it_to_several_it_failed_when_none_took_it(
    desk: Desk, first: Result, second: Result, *, is_failed: bool
) -> None:
    await desk.save(ONE, TWO)
    async with desk.running():
        await desk.settle(first, BOUNCED)
    assert await desk.find_states() == [SENT, SENT]
    async with desk.running():
        claim = await desk.settle(second, BOUNCED)
    told = f"the mail to <{claim.recipients[0].recipient.address}> bounced: {BOUNCED}"
    assert await desk.find_states() == [SENT, ("failed", told) if is_failed else SENT]


class _Untouched:
    """Settles, and may be asked for nothing else."""

    def __init__(self, store: QueueStore) -> None:
        self._store = store

    async def settle(self, settlement: Any) -> bool:
        return await self._store.settle(settlement)


async def test_other_mail_that_fails_is_not_looked_up(desk: Desk) -> None:
    await desk.node.save(Recipient(ONE, frozenset({Notify.NEVER})))
    store: Any = _Untouched(desk.node.store)
    await desk.settle(Result.FAILED, BOUNCED, store)
    await desk.save()
    await desk.settle(Result.DELIVERED, "250 Ok", store)
    assert desk.opened == 0


@pytest.mark.parametrize("origin", [{}, {"alert": "1"}, {"report": REPORT_ID}])
async def test_mail_that_goes_in_spite_of_tls_and_is_no_report_is_not_noted(
    desk: Desk, origin: dict[str, str]
) -> None:
    """RFC 8689 §5: anybody's may. One that does not say where it goes to is none of ours."""
    await desk.node.save(ONE, origin=origin, tls_demand=TlsDemand.TLS_REQUIRED_NO)
    await desk.bounce()
    async with desk.running():
        pass
    assert desk.opened == 0


async def test_while_the_database_is_away_the_outcome_is_saved_and_the_note_waits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line tells it, however often it is tried."""
    monkeypatch.setattr(undelivered, "RETRY_SECONDS", 0.0)
    desk.faults = [StoreUnavailable("it is away"), StoreUnavailable("it is away")]
    await desk.save()
    async with desk.running():
        await desk.bounce()
        (message,) = await desk.node.store.list_messages(is_finished=True)
        assert [each.state for each in message.recipients] == [RecipientState.FAILED]
        await desk.wait_told("is given up")
    away, _ = desk.log.texts
    assert away == "warning: reports whose mail failed cannot be noted now: it is away"
    assert (await desk.find_states())[1][0] == "failed"


async def test_what_waits_when_the_worker_ends_is_noted_then(desk: Desk) -> None:
    """Also where it had begun, and was cancelled."""
    await desk.save()
    await desk.bounce()
    async with desk.running():
        await asyncio.sleep(0)
    assert (await desk.find_states())[1][0] == "failed"
    assert len(desk.log.texts) == 1


async def test_what_cannot_be_noted_when_the_worker_ends_is_told(desk: Desk) -> None:
    desk.faults = [StoreUnavailable("it is away"), StoreUnavailable("it is away")]
    await desk.save()
    await desk.bounce()
    async with desk.running():
        await desk.wait_told("cannot be noted now")
    assert desk.log.texts[1:] == ["warning: 1 report stays known as sent, whose mail failed"]


async def test_a_fault_of_ours_ends_nothing(desk: Desk) -> None:
    desk.broken = ValueError("oh")
    await desk.save()
    async with desk.running():
        await desk.bounce()
        await desk.wait_told("1 report stays known as sent, whose mail failed: ValueError('oh')")
        desk.broken = None
        await desk.save()
        await desk.bounce()
        await desk.wait_told("is given up")


async def test_a_queue_that_cannot_be_read_then_breaks_no_settlement(desk: Desk) -> None:
    """The outcome is saved before."""

    class Unreadable(_Untouched):
        async def find_story(self, _queue_id: str) -> None:
            raise StoreUnavailable("no disk")

    await desk.save()
    store: Any = Unreadable(desk.node.store)
    claim = await desk.settle(Result.FAILED, BOUNCED, store)
    assert desk.log.texts == [f"warning: that {claim.queue_id} failed is not noted: no disk"]


async def test_only_so_many_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undelivered, "MAX_WAITING", 1)
    for _ in range(2):
        await desk.save()
        await desk.bounce()
    (told,) = desk.log.texts
    assert told == f"warning: that {REPORT_ID} failed is not noted: 1 wait for the database"


async def test_a_message_that_is_gone_meanwhile_is_no_report(desk: Desk) -> None:
    class Empty(_Untouched):
        async def find_story(self, _queue_id: str) -> None:
            return None

    await desk.save()
    store: Any = Empty(desk.node.store)
    await desk.settle(Result.FAILED, BOUNCED, store)
    assert desk.log.texts == []

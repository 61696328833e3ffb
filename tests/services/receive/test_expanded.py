"""The report that an alias was followed: RFC 3461 §5.2.7.3 (c)."""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.envelope import Envelope, Notify, Recipient
from letterlock.services.queue.notices import NoticeMaker
from letterlock.services.queue.schedule import Schedule
from letterlock.services.receive.expanded import report_expanded
from letterlock.storage.ids import QueueIds
from letterlock.storage.queue import BodyWriter, NewMessage, StoreUnavailable
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeClock, FakeLog
from tests.network.certificates import NOW

TEAM = Recipient("team@x.test", frozenset({Notify.SUCCESS}))


@dataclass
class Reporter:
    notices: NoticeMaker | None
    queue: SqliteQueue
    log: FakeLog = field(default_factory=FakeLog)
    saved: list[NewMessage] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)
    error: Exception | None = None

    @property
    def store(self) -> "Reporter":
        return self

    @property
    def wake(self) -> Callable[[Collection[str]], None]:
        return self.woken.extend

    def write_body(self) -> BodyWriter:
        return self.queue.write_body()

    async def save(self, message: NewMessage) -> None:
        if self.error is not None:
            raise self.error
        await self.queue.save(message)
        self.saved.append(message)

    async def report(self, sender: str = "alice@far.test") -> None:
        writer = self.queue.write_body()
        writer.write(b"Subject: x\r\n\r\n")
        body = await writer.finish()
        envelope = Envelope(sender, (Recipient("bob@x.test"), Recipient("carol@x.test")))
        message = NewMessage(
            QueueIds(FakeClock(NOW)).make(), envelope, ("x.test",) * 2, body, NOW, NOW
        )
        await report_expanded(self, message, (TEAM,), b"Subject: x\r\n")


@pytest.fixture
async def reporter(tmp_path: Path) -> AsyncIterator[Reporter]:
    clock = FakeClock(NOW + timedelta(seconds=1))
    queue = SqliteQueue(tmp_path / "queue" / "shard-000.db", clock)
    await queue.open()
    ids = QueueIds(clock)
    notices = NoticeMaker(Domain("mx.x.test"), Schedule(), clock, ids.make, lambda: "abcdefgh12")
    try:
        yield Reporter(notices, queue)
    finally:
        await queue.close()


async def test_the_sender_is_told_of_the_alias_and_not_of_its_members(reporter: Reporter) -> None:
    """RFC 3464 §2.3.3: `expanded`."""
    await reporter.report()
    (notice,) = reporter.saved
    assert notice.envelope.sender == ""
    assert [each.address for each in notice.envelope.recipients] == ["alice@far.test"]
    assert reporter.woken == ["far.test"]
    octets = b"".join([piece async for piece in reporter.queue.read_body(notice.queue_id)])
    message = message_from_bytes(octets, policy=policy.default)
    parts: Any = message.get_payload()
    fields = parts[1].as_string()
    assert "Action: expanded" in fields
    assert "Status: 2.0.0" in fields
    assert "Final-Recipient: rfc822; team@x.test" in fields
    assert b"bob@x.test" not in octets
    assert "Your message came to team@x.test" in parts[0].get_content()
    assert "sender delivery status notification: " in reporter.log.texts[-1]


async def test_the_null_sender_is_told_nothing(reporter: Reporter) -> None:
    """RFC 5321 §6.1."""
    await reporter.report(sender="")
    assert not reporter.saved


@pytest.mark.parametrize("error", [StoreUnavailable("the disk is full"), RuntimeError("broke")])
async def test_a_report_that_cannot_be_stored_does_not_undo_the_message(
    error: Exception, reporter: Reporter
) -> None:
    reporter.error = error
    await reporter.report()
    assert "sender delivery status notification" in reporter.log.texts[-1]
    assert str(error) in reporter.log.texts[-1]


async def test_who_makes_no_notifications_reports_nothing(reporter: Reporter) -> None:
    reporter.notices = None
    await reporter.report()
    assert not reporter.saved

"""What follows from a delivery: done, again later, given up; and who is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from letterlock.base.log import make_stream_log
from letterlock.protocols.smtp.envelope import BodyType, Notify, Recipient, Ret
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.queue.outcomes import LOCAL, Delivery, Outcome, Result, same_for_all
from letterlock.services.queue.settlements import Settlements
from letterlock.storage.queue import (
    AttemptRecord,
    Claim,
    QueuedMessage,
    QueueStore,
    RecipientResult,
    RecipientState,
    Settlement,
    StoreUnavailable,
)
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.services.deliver.outbound import DOMAIN, Outbound, sending

SENDER = "alice@example.org"
BOB = f"bob@{DOMAIN}"
RELAY = "mx1.example.com[192.0.2.1]:25"
LATER = "host mx1.example.com[192.0.2.1]:25 said: 450 4.2.0 greylisted"


def outcome(result: Result, status: str, reply: str = LATER, **fields: Any) -> Outcome:
    return Outcome(0, result, status, reply, RELAY, **fields)


DEFERRED = outcome(Result.DEFERRED, "4.2.0")
BOUNCED = outcome(
    Result.FAILED,
    "5.1.1",
    f"host {RELAY} said: 550 5.1.1 nobody (in reply to RCPT TO command)",
    remote="mx1.example.com[192.0.2.1]",
    diagnostic="550 5.1.1 nobody",
)
SENT = outcome(Result.DELIVERED, "2.0.0", "250 2.0.0 Ok")


async def settle(node: Outbound, *outcomes: Outcome) -> Claim:
    """Claim what is due, and let it have come to these outcomes."""
    claim = await node.claim()
    await node.settlements.settle(claim, Delivery(outcomes), node.store)
    return claim


async def queued(node: Outbound, sender: str = "") -> list[QueuedMessage]:
    """Give the messages of a sender that wait; by default the notifications."""
    return [each for each in await node.store.list_messages() if each.sender == sender]


async def notification(node: Outbound) -> EmailMessage:
    """Give the one notification that waits, as a mail reader sees it."""
    (message,) = await queued(node)
    content = b"".join([piece async for piece in node.store.read_body(message.queue_id)])
    parsed = message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def status_fields(report: EmailMessage) -> str:
    return report.get_payload(1).as_string()  # type: ignore[union-attr] # it is multipart


@asynccontextmanager
async def waiting(tmp_path: Path, *recipients: Any, **envelope: Any) -> AsyncIterator[Outbound]:
    """Make a node in whose queue one message waits."""
    async with sending(tmp_path) as node:
        await node.save(*recipients, **envelope)
        yield node


async def test_what_is_deferred_is_tried_again_after_growing_gaps(tmp_path: Path) -> None:
    """RFC 5321 §4.5.4.1."""
    gaps = []
    async with waiting(tmp_path) as node:
        for _ in range(6):
            await settle(node, DEFERRED)
            due = await node.store.next_due()
            assert due is not None
            gaps.append((due - node.clock.now()).total_seconds())
            assert not await node.store.claim(node.clock.now(), limit=1, lease=timedelta(minutes=1))
            node.clock.move(due - node.clock.now())
    assert gaps == [300, 600, 1200, 2400, 4000, 4000]


async def test_what_is_saved_was_logged_before(tmp_path: Path) -> None:
    """Killed in between, a process leaves no mail that went without a line."""
    written: list[str] = []

    class Watched:
        def __init__(self, store: SqliteQueue) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def settle(self, settlement: Settlement) -> bool:
            written.append(stream.getvalue())
            return await self._store.settle(settlement)

    async with waiting(tmp_path) as node:
        stream = StringIO()
        log = make_stream_log(node.clock, "mx1.example.org", stream=stream)
        settlements = replace(node.settlements, log=log)
        with log.gathered(asyncio.get_running_loop().call_soon):
            claim = await node.claim()
            store: Any = Watched(node.store)
            await settlements.settle(claim, Delivery((SENT,)), store)
    assert ["status=sent" in each for each in written] == [True]


async def test_the_delay_notice_goes_out_once(tmp_path: Path) -> None:
    async with waiting(tmp_path) as node:
        await settle(node, DEFERRED)
        node.clock.move(timedelta(hours=3, minutes=59))
        await settle(node, DEFERRED)
        assert not await queued(node)
        node.clock.move(timedelta(hours=1, minutes=10))
        await settle(node, DEFERRED)
        report = await notification(node)
        node.clock.move(timedelta(hours=2))
        claims = await node.store.claim(node.clock.now(), limit=9, lease=timedelta(minutes=9))
        (again,) = (claim for claim in claims if claim.sender)
        assert again.recipients[0].is_delay_notified
        await node.settlements.settle(again, Delivery((DEFERRED,)), node.store)
        assert len(await queued(node)) == 1
    assert report["Subject"] == "Delayed Mail (still being retried)"
    assert report["To"] == SENDER
    assert "Action: delayed" in status_fields(report)
    assert "Will-Retry-Until" in status_fields(report)
    assert any("sender delay notification: " in text for text in node.log.texts)


async def test_after_its_lifetime_a_message_goes_back(tmp_path: Path) -> None:
    async with waiting(tmp_path) as node:
        node.schedule = replace(node.schedule, delay_notice=timedelta(0))
        await settle(node, DEFERRED)
        node.clock.move(timedelta(days=5))
        await settle(node, DEFERRED)
        report = await notification(node)
        assert not await queued(node, SENDER)
    fields = status_fields(report)
    assert "Status: 4.4.7" in fields
    assert "greylisted" in fields
    assert "status=expired, returned to sender" in "\n".join(node.log.texts)
    assert "delay=432000, " in "\n".join(node.log.texts)


async def test_tls_that_failed_is_named_in_the_report(tmp_path: Path) -> None:
    """TLS policy does not bounce before the lifetime ends; then the reason is said."""
    failed = structs.replace(
        DEFERRED,
        status="4.7.5",
        reply=f"{RELAY}: not verified: expired",
        tls_result=ResultType.CERTIFICATE_EXPIRED,
    )
    async with waiting(tmp_path) as node:
        node.clock.move(timedelta(days=4, hours=23))
        await settle(node, failed)
        assert await queued(node, SENDER)
        node.clock.move(timedelta(hours=1))
        (claim,) = (
            each
            for each in await node.store.claim(
                node.clock.now(), limit=9, lease=timedelta(minutes=1)
            )
            if each.sender
        )
        await node.settlements.settle(claim, Delivery((failed,)), node.store)
        latest = max(await queued(node), key=lambda each: each.queue_id)
        content = b"".join([piece async for piece in node.store.read_body(latest.queue_id)])
    assert b"certificate-expired" in content


async def test_a_failure_is_reported_from_the_null_sender(tmp_path: Path) -> None:
    """RFC 5321 §6.1, RFC 3461 §6; rule 110."""
    async with waiting(tmp_path, envid="QQ314159") as node:
        claim = await settle(node, BOUNCED)
        (message,) = await queued(node)
        report = await notification(node)
        assert [each.address for each in message.recipients] == [SENDER]
        assert [each.destination for each in message.recipients] == ["example.org"]
        story = await node.store.find_story(claim.queue_id)
        assert story is not None
        assert story.message.recipients[0].state is RecipientState.FAILED
    assert report["Auto-Submitted"] == "auto-replied"
    assert report.get_content_type() == "multipart/report"
    fields = status_fields(report)
    for line in (
        "Original-Envelope-Id: QQ314159",
        f"Final-Recipient: rfc822; {BOB}",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx1.example.com",
        "Diagnostic-Code: smtp; 550 5.1.1 nobody",
    ):
        assert line in fields
    text = report.get_payload(0).as_string()  # type: ignore[union-attr] # it is multipart
    assert f"<{BOB}>: host mx1.example.com[192.0.2.1] said: 550 5.1.1 nobody" in " ".join(
        text.split()
    )
    assert "Subject: hi" in report.get_payload(2).as_string()  # type: ignore[union-attr] # as well
    assert node.log.lines[-1][1:] == (
        claim.queue_id,
        f"sender non-delivery notification: {message.queue_id}",
    )


async def test_a_failure_waits_while_nobody_knows_where_its_senders_mail_goes(
    tmp_path: Path,
) -> None:
    """RFC 5321 §6.1: sent to an alias that cannot be followed, nobody would be told."""
    hindrances: dict[str, str] = {"alice@example.org": "/aliases: Permission denied"}
    failed = structs.replace(BOUNCED, number=1)
    async with waiting(tmp_path, BOB, "carol@example.com") as node:
        notices = replace(node.settlements.notices, find_hindrance=hindrances.get)
        settlements = replace(node.settlements, notices=notices)
        await settlements.settle(await node.claim(), Delivery((SENT, failed)), node.store)
        assert await queued(node) == []
        assert node.log.texts[-1].endswith(
            "dsn=4.3.0, status=deferred (host mx1.example.com[192.0.2.1]:25 said: 550 5.1.1 nobody "
            "(in reply to RCPT TO command) (waits, as its sender cannot be told of it: "
            "/aliases: Permission denied))"
        )
        hindrances.clear()
        node.clock.move(timedelta(seconds=300))
        await settlements.settle(await node.claim(), Delivery((failed,)), node.store)
        assert "550 5.1.1 nobody" in status_fields(await notification(node))


async def test_such_a_failure_waits_no_longer_than_a_message_may(tmp_path: Path) -> None:
    async with waiting(tmp_path) as node:
        notices = replace(node.settlements.notices, find_hindrance=lambda _: "a circle")
        settlements = replace(node.settlements, notices=notices)
        node.clock.move(timedelta(days=5))
        await settlements.settle(await node.claim(), Delivery((BOUNCED,)), node.store)
        assert "550 5.1.1 nobody" in status_fields(await notification(node))


async def test_nobody_is_asked_about_senders_who_are_told_nothing(tmp_path: Path) -> None:
    """NOTIFY=NEVER, and notifications themselves: RFC 3461 §4.1, RFC 5321 §6.1."""
    never = Recipient(BOB, frozenset({Notify.NEVER}))
    for number, (recipient, sender) in enumerate(((never, "alice@example.org"), (BOB, ""))):
        (tmp_path / str(number)).mkdir()
        async with waiting(tmp_path / str(number), recipient, sender=sender) as node:
            notices = replace(node.settlements.notices, find_hindrance=lambda _: "unreadable")
            settlements = replace(node.settlements, notices=notices)
            await settlements.settle(await node.claim(), Delivery((BOUNCED,)), node.store)
            assert await node.store.list_messages() == []


async def test_only_the_header_goes_back_where_that_was_asked_for(tmp_path: Path) -> None:
    """RFC 3461 §4.3."""
    async with waiting(tmp_path, ret=Ret.HEADERS) as node:
        await settle(node, BOUNCED)
        returned = (await notification(node)).get_payload(2)
    assert returned.get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr] # a part
    assert "hello" not in returned.as_string()  # type: ignore[union-attr] # a part


async def test_a_long_message_comes_back_as_its_header(tmp_path: Path) -> None:
    async with sending(tmp_path) as node:
        await node.save(content=b"Subject: long\r\n\r\n" + b"x" * 70 + b"\r\n" * 300_000)
        await settle(node, BOUNCED)
        returned = (await notification(node)).get_payload(2)
    assert returned.get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr] # a part


async def test_a_notification_that_fails_is_dropped_and_said_to_be(tmp_path: Path) -> None:
    """RFC 5321 §6.1: no answer to an answer. Rule 110."""
    async with waiting(tmp_path, sender="") as node:
        claim = await settle(node, BOUNCED)
        assert not await node.store.list_messages()
    assert node.log.lines[-1][1:] == (
        claim.queue_id,
        f"warning: undeliverable notification to <{BOB}> dropped",
    )


async def test_a_notification_that_expires_is_dropped_and_said_to_be(tmp_path: Path) -> None:
    async with waiting(tmp_path, sender="") as node:
        node.clock.move(timedelta(days=5))
        await settle(node, DEFERRED)
        assert not await node.store.list_messages()
    assert "undeliverable notification" in node.log.texts[-1]


async def test_nobody_is_told_of_a_notifications_delay(tmp_path: Path) -> None:
    async with waiting(tmp_path, sender="") as node:
        node.clock.move(timedelta(hours=5))
        await settle(node, DEFERRED)
        assert len(await node.store.list_messages()) == 1


async def test_our_postmaster_may_be_told_of_a_notification_that_fails(tmp_path: Path) -> None:
    """From the null sender again; with the header only; and once (RFC 5321 §6.1)."""
    async with waiting(tmp_path, sender="") as node:
        settlements = replace(node.settlements, has_postmaster_copies=True)
        claim = await node.claim()
        await settlements.settle(claim, Delivery((BOUNCED,)), node.store)
        (message,) = await queued(node)
        report = await notification(node)
        assert [each.address for each in message.recipients] == ["postmaster@out.example.org"]
        (copy,) = await node.store.claim(node.clock.now(), limit=9, lease=timedelta(minutes=1))
        await settlements.settle(copy, Delivery((BOUNCED,)), node.store)
        assert not await node.store.list_messages()
    assert report["Subject"] == "Postmaster Copy: Undelivered Mail Returned to Sender"
    assert report["To"] == "postmaster@out.example.org"
    returned: Any = report.get_payload(2)
    assert returned.get_content_type() == "text/rfc822-headers"
    warnings = [text for text in node.log.texts if text.startswith("warning: undeliverable")]
    assert [text.rpartition(" ")[2] for text in warnings] == ["postmaster", "dropped"]


async def test_nobody_is_told_of_a_delay_of_a_notification(tmp_path: Path) -> None:
    async with waiting(tmp_path, sender="") as node:
        settlements = replace(node.settlements, has_postmaster_copies=True)
        node.clock.move(timedelta(hours=5))
        claim = await node.claim()
        await settlements.settle(claim, Delivery((DEFERRED,)), node.store)
        assert len(await node.store.list_messages()) == 1


async def test_a_report_tells_all_that_was_tried(tmp_path: Path) -> None:
    """Attempts before this one come from the store; those for others are not told."""

    def tried(summary: str, *numbers: int) -> AttemptRecord:
        return AttemptRecord(node.clock.now(), timedelta(), RELAY, summary, {}, numbers)

    async with waiting(tmp_path, BOB, f"carol@{DOMAIN}") as node:
        node.schedule = replace(node.schedule, delay_notice=timedelta(0))
        other = structs.replace(DEFERRED, number=1)
        for moment in range(2):
            claim = await node.claim()
            attempts = (tried("450 later", 0, 1), tried("only carol", 1))
            last = structs.replace(SENT, number=1) if moment else other
            await node.settlements.settle(claim, Delivery((DEFERRED, last), attempts), node.store)
            node.clock.move(timedelta(days=1))
        node.clock.move(timedelta(days=5))
        claim = await node.claim()
        delivery = Delivery((DEFERRED,), (tried("450 later", 0),))
        await node.settlements.settle(claim, delivery, node.store)
        report = await notification(node)
    first: Any = report.get_payload(0)
    text = " ".join(first.get_content().split())
    assert f"(3x): {RELAY} 450 later" in text
    assert "only carol" not in text
    assert "It was tried again and again since" in text


async def test_a_notification_is_signed_by_who_has_the_keys(tmp_path: Path) -> None:
    async with waiting(tmp_path) as node:
        notices = replace(node.settlements.notices, sign=lambda content: b"X-Sign: y\r\n" + content)
        settlements = replace(node.settlements, notices=notices)
        await settlements.settle(await node.claim(), Delivery((BOUNCED,)), node.store)
        report = await notification(node)
    assert report.keys()[:2] == ["X-Sign", "Received"]


async def test_what_is_returned_has_a_limit_of_the_operators(tmp_path: Path) -> None:
    async with waiting(tmp_path) as node:
        notices = replace(node.settlements.notices, max_returned=0)
        settlements = replace(node.settlements, notices=notices)
        await settlements.settle(await node.claim(), Delivery((BOUNCED,)), node.store)
        returned: Any = (await notification(node)).get_payload(2)
    assert returned.get_content_type() == "text/rfc822-headers"


RELAYED = structs.replace(SENT, is_dsn_passed_on=False)
IN_STORE = structs.replace(SENT, is_final=True)
DISCARDED = structs.replace(SENT, relay="none")
PASSED_ON = structs.replace(SENT, is_dsn_passed_on=True)
STORED = structs.replace(SENT, relay=LOCAL, reply="delivered to maildir bob@example.com")
N = Notify


@pytest.mark.parametrize(
    ("notify", "result", "action"),
    [
        ((), BOUNCED, "failed"),
        ((), STORED, None),
        ((), PASSED_ON, None),
        ((N.NEVER,), BOUNCED, None),
        ((N.NEVER,), STORED, None),
        ((N.SUCCESS,), BOUNCED, None),
        ((N.SUCCESS,), STORED, "delivered"),
        ((N.SUCCESS,), RELAYED, "relayed"),
        ((N.SUCCESS,), IN_STORE, "delivered"),
        ((N.SUCCESS,), DISCARDED, "delivered"),
        ((N.SUCCESS,), PASSED_ON, None),
        ((N.FAILURE,), BOUNCED, "failed"),
        ((N.FAILURE,), STORED, None),
        ((N.DELAY,), BOUNCED, None),
        ((N.SUCCESS, N.FAILURE, N.DELAY), BOUNCED, "failed"),
    ],
)
async def test_notify_says_who_is_told_what(
    notify: tuple[Notify, ...], result: Outcome, action: str | None, tmp_path: Path
) -> None:
    """RFC 3461 §4.1, §5.2."""
    async with waiting(tmp_path, Recipient(BOB, frozenset(notify))) as node:
        await settle(node, result)
        if action is None:
            assert not await queued(node)
        else:
            assert f"Action: {action}" in status_fields(await notification(node))


@pytest.mark.parametrize("notify", [(), (N.DELAY,), (N.FAILURE,), (N.NEVER,)])
async def test_notify_holds_for_delays_too(notify: tuple[Notify, ...], tmp_path: Path) -> None:
    async with waiting(tmp_path, Recipient(BOB, frozenset(notify))) as node:
        node.clock.move(timedelta(hours=4))
        await settle(node, DEFERRED)
        assert bool(await queued(node)) is (notify in ((), (N.DELAY,)))


async def test_one_report_for_all_that_failed_together(tmp_path: Path) -> None:
    everyone = [f"user{number}@{DOMAIN}" for number in range(3)]
    async with waiting(tmp_path, *everyone) as node:
        await settle(
            node, BOUNCED, structs.replace(BOUNCED, number=1), structs.replace(SENT, number=2)
        )
        fields = status_fields(await notification(node))
    assert fields.count("Final-Recipient") == 2


async def test_binary_content_is_not_put_into_a_report(tmp_path: Path) -> None:
    async with waiting(tmp_path, body_type=BodyType.BINARY) as node:
        await settle(node, BOUNCED)
        returned = (await notification(node)).get_payload(2)
    assert returned.get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr] # a part


# The store


class FailingStore:
    """A store whose named method fails some times, and then works."""

    def __init__(self, store: SqliteQueue, method: str, failures: int) -> None:
        self._store = store
        self._method = method
        self.failures = failures
        self.settled: list[Settlement] = []

    async def settle(self, settlement: Settlement) -> bool:
        self._fail("settle")
        self.settled.append(settlement)
        return await self._store.settle(settlement)

    def write_body(self) -> Any:
        self._fail("write_body")
        return self._store.write_body()

    def read_body(self, queue_id: Any) -> Any:
        self._fail("read_body")
        return self._store.read_body(queue_id)

    def _fail(self, method: str) -> None:
        if method == self._method and self.failures:
            self.failures -= 1
            raise StoreUnavailable("the disk is full", is_full=True)


def impatient(node: Outbound) -> Settlements:
    return replace(node.settlements, save_retry=timedelta(0))


@pytest.mark.parametrize("method", ["settle", "write_body", "read_body"])
async def test_what_cannot_be_saved_is_saved_later(method: str, tmp_path: Path) -> None:
    """The peer has the message already: forgetting that would send it twice."""
    async with waiting(tmp_path, BOB, f"nobody@{DOMAIN}") as node:
        store: Any = FailingStore(node.store, method, 2)
        delivery = Delivery((SENT, structs.replace(BOUNCED, number=1)))
        await impatient(node).settle(await node.claim(), delivery, store)
        assert len(store.settled) == 1
        assert len(store.settled[0].messages) == 1
        assert len(await queued(node)) == 1
    warnings = [text for text in node.log.texts if "trying again: the disk is full" in text]
    assert len(warnings) == 2
    assert sum("non-delivery notification" in text for text in node.log.texts) == 1


async def test_what_was_sent_is_settled_even_if_its_notification_cannot_be_made(
    tmp_path: Path,
) -> None:
    """Else it would be sent again at the end of each lease; what failed waits, and is not lost."""
    async with waiting(tmp_path, BOB, f"nobody@{DOMAIN}") as node:
        notices = replace(node.settlements.notices, make_token=lambda: "")
        broken = replace(node.settlements, notices=notices)
        claim = await node.claim()
        await broken.settle(claim, Delivery((SENT, structs.replace(BOUNCED, number=1))), node.store)
        assert not await queued(node)
        (message,) = await queued(node, SENDER)
        states = [each.state for each in message.recipients]
        assert states == [RecipientState.DELIVERED, RecipientState.QUEUED]
        assert message.recipients[1].next_attempt == node.clock.now() + timedelta(seconds=4000)
    assert any("error: sender non-delivery notification broke" in text for text in node.log.texts)


async def test_when_the_lease_is_over_it_is_left_to_the_loop(tmp_path: Path) -> None:
    async with waiting(tmp_path) as node:
        store: Any = FailingStore(node.store, "settle", 9)
        claim = await node.claim()
        node.clock.move(timedelta(minutes=15))
        with pytest.raises(StoreUnavailable):
            await impatient(node).settle(claim, Delivery((SENT,)), store)


@dataclass
class Taker:
    """Wants to know of mail of a sender; notes what was saved by then."""

    sender: str = SENDER
    asked: int = 0
    taken: list[tuple[str, list[RecipientState]]] = field(default_factory=list)

    def wants(self, claim: Claim) -> bool:
        self.asked += 1
        return claim.sender == self.sender

    async def take(
        self, claim: Claim, failed: Sequence[RecipientResult], store: QueueStore
    ) -> None:
        story = await store.find_story(claim.queue_id)
        assert story is not None
        states = [story.message.recipients[each.number].state for each in failed]
        self.taken.append((failed[0].reply, states))


async def test_who_wants_to_know_what_was_given_up_is_told_when_it_is_saved(
    tmp_path: Path,
) -> None:
    """Asked only about what was given up: bounced, or expired."""
    async with waiting(tmp_path, BOB, f"nobody@{DOMAIN}") as node:
        taker = Taker()
        settlements = replace(node.settlements, failures=taker)
        later = structs.replace(DEFERRED, number=1)
        await settlements.settle(await node.claim(), Delivery((SENT, later)), node.store)
        assert taker.asked == 0
        node.clock.move(timedelta(days=30))
        await settlements.settle(await node.claim(), Delivery((later,)), node.store)
        assert (taker.asked, taker.taken) == (1, [(LATER, [RecipientState.FAILED])])
        # The notification, of another sender.
        await settlements.settle(await node.claim(), Delivery((BOUNCED,)), node.store)
        assert (taker.asked, len(taker.taken)) == (2, 1)


async def test_nobody_is_told_of_what_was_not_saved_or_waits_after_all(tmp_path: Path) -> None:
    async with waiting(tmp_path) as node:
        taker = Taker()
        settlements = replace(node.settlements, failures=taker)
        notices = replace(settlements.notices, make_token=lambda: "")
        broken = replace(settlements, notices=notices)
        await broken.settle(await node.claim(), Delivery((BOUNCED,)), node.store)
        node.clock.move(timedelta(hours=2))
        lost = await node.claim()
        node.clock.move(timedelta(hours=1))
        await node.claim()
        await settlements.settle(lost, Delivery((BOUNCED,)), node.store)
        assert taker.taken == []


async def test_a_lost_lease_is_said(tmp_path: Path) -> None:
    async with waiting(tmp_path) as node:
        claim = await node.claim()
        node.clock.move(timedelta(hours=1))
        await node.claim()
        await node.settlements.settle(claim, Delivery((BOUNCED,)), node.store)
        assert not await queued(node)
    assert "it may be delivered twice" in node.log.texts[-1]
    assert not any("notification: " in text for text in node.log.texts)


async def test_a_message_deleted_meanwhile_is_reported_without_its_content(
    tmp_path: Path,
) -> None:
    async with waiting(tmp_path) as node:
        claim = await node.claim()
        gone = structs.replace(claim, queue_id=node.ids.make())
        delivery = Delivery((BOUNCED,))
        settled: list[Settlement] = []

        class Keeping(FailingStore):
            async def settle(self, settlement: Settlement) -> bool:
                settled.append(settlement)
                return True

        store: Any = Keeping(node.store, "", 0)
        await node.settlements.settle(gone, delivery, store)
    (message,) = settled[0].messages
    assert message.envelope.sender == ""


def test_everyone_can_have_the_same_outcome() -> None:
    outcomes = same_for_all([3, 5], Result.FAILED, "5.1.2", "no such domain")
    assert [(each.number, each.status, each.relay) for each in outcomes] == [
        (3, "5.1.2", "none"),
        (5, "5.1.2", "none"),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0"), (0.004, "0"), (0.126, "0.13"), (1.26, "1.3"), (14.9, "15"), (14400.2, "14400")],
)
async def test_delays_are_written_as_postfix_does(
    seconds: float, text: str, tmp_path: Path
) -> None:
    async with waiting(tmp_path) as node:
        node.clock.move(timedelta(seconds=seconds))
        await settle(node, structs.replace(SENT, is_dsn_passed_on=True))
    assert f"delay={text}, delays={text}/0/0/0, dsn=2.0.0, status=sent" in node.log.texts[-1]

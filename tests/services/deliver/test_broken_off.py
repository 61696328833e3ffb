"""A delivery that breaks in its middle: what some were answered is kept, and the rest waits.

RFC 5321 §4.5.4.1, §6.1: what a server took must not be sent again because our store went away
behind it. Where nobody was answered yet, the fault rises to the loop as it is.
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from letterlock.protocols.tables.transport import LmtpSocket
from letterlock.services.queue.outcomes import Delivery, Result
from letterlock.storage.queue import QueueId, StoreUnavailable
from tests.misbehaving import Conduct, serving
from tests.services.deliver.lmtp_server import LmtpScript, lmtp_at_socket
from tests.services.deliver.outbound import Outbound, sending
from tests.services.deliver.test_lmtp import lmtp
from tests.services.deliver.test_local import local, mails
from tests.services.deliver.test_ways import delivery, tables

TAKEN, LATER = (Result.DELIVERED, "2.0.0"), (Result.DEFERRED, "4.3.0")


@pytest.fixture
def break_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Outbound, int], None]:
    """Let a node's store be away from the Nth time on that a message is read from it."""

    def arrange(node: Outbound, number: int) -> None:
        read, kind = node.store.read_body, type(node.store)
        count = 0

        async def read_or_break(_: object, queue_id: QueueId) -> AsyncGenerator[bytes, None]:
            nonlocal count
            count += 1
            if count >= number:
                raise StoreUnavailable("the database is away")
            async for piece in read(queue_id):
                yield piece

        monkeypatch.setattr(kind, "read_body", read_or_break)

    return arrange


def found(delivery: Delivery) -> list[tuple[Result, str]]:
    by_number = {each.number: (each.result, each.status) for each in delivery.outcomes}
    return [by_number[number] for number in sorted(by_number)]


async def test_who_was_sent_to_before_the_store_went_away_is_not_sent_to_again(
    tmp_path: Path, break_at: Callable[[Outbound, int], None]
) -> None:
    """One recipient in a transaction: the second transaction finds no content."""
    async with (
        serving(Conduct(has_starttls=False)) as (server,),
        sending(tmp_path, [server]) as node,
    ):
        node.max_recipients = 1
        break_at(node, 2)
        done = await node.send("bob@example.com", "carol@example.com", "dan@example.com")
    assert found(done) == [TAKEN, LATER, LATER]
    assert len(server.seen.taken) == 1
    waiting = [each.reply for each in done.outcomes if each.result is Result.DEFERRED]
    assert all("the database is away" in reply for reply in waiting)
    (attempt,) = done.attempts
    assert attempt.recipients == (0, 1, 2)
    assert "the database is away" in attempt.summary


async def test_where_nobody_was_answered_the_fault_rises_to_the_loop(
    tmp_path: Path, break_at: Callable[[Outbound, int], None]
) -> None:
    async with (
        serving(Conduct(has_starttls=False)) as (server,),
        sending(tmp_path, [server]) as node,
    ):
        break_at(node, 1)
        with pytest.raises(StoreUnavailable):
            await node.send("bob@example.com")
    assert server.seen.taken == []


async def test_a_mailbox_that_has_the_mail_does_not_get_it_again(
    tmp_path: Path, break_at: Callable[[Outbound, int], None]
) -> None:
    async with sending(tmp_path) as node:
        break_at(node, 2)
        await node.save("alice@example.org", "postmaster@example.org")
        claim = await node.claim()
        done = await local(node, tmp_path / "mail").deliver(claim, node.store)
        assert found(done) == [TAKEN, LATER]
        break_at(node, 1)
        with pytest.raises(StoreUnavailable):
            await local(node, tmp_path / "mail").deliver(claim, node.store)
    assert len(mails(tmp_path / "mail", "alice")) == 1


async def test_a_mail_store_that_has_the_mail_does_not_get_it_again(
    tmp_path: Path, break_at: Callable[[Outbound, int], None]
) -> None:
    """RFC 2033 §4.2; two transactions, and the second finds no content."""
    path, script = tmp_path / "lmtp", LmtpScript()
    async with lmtp_at_socket(path, script), sending(tmp_path) as node:
        broken = lmtp(node)
        broken = replace(broken, sender=replace(broken.sender, max_recipients=1))
        await node.save("a@example.org", "b@example.org")
        claim = await node.claim()
        break_at(node, 2)
        done = await broken.deliver(claim, LmtpSocket(str(path)), node.store)
        assert found(done) == [TAKEN, LATER]
        break_at(node, 1)
        with pytest.raises(StoreUnavailable):
            await broken.deliver(claim, LmtpSocket(str(path)), node.store)
    assert len(script.messages) == 1


async def test_what_went_one_way_does_not_go_again_when_another_way_breaks(
    tmp_path: Path, break_at: Callable[[Outbound, int], None]
) -> None:
    """transport(5) sends two recipients of one message two ways."""
    path, script = tmp_path / "lmtp", LmtpScript()
    given = tables(f"stored@example.org lmtp:unix:{path}\n")
    async with lmtp_at_socket(path, script), sending(tmp_path) as node:
        await node.save("stored@example.org", "alice@example.org")
        claim = await node.claim()
        ways = delivery(node, tmp_path, given)
        break_at(node, 2)
        assert found(await ways.deliver(claim, node.store)) == [TAKEN, LATER]
        break_at(node, 1)
        with pytest.raises(StoreUnavailable):
            await ways.deliver(claim, node.store)
    assert len(script.messages) == 1

"""Dovecot takes mail from us by LMTP: over a unix socket and over TCP, with an answer for each.

RFC 2033.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from letterlock.protocols.tables.transport import LmtpHost, LmtpSocket
from letterlock.services.queue.outcomes import Result
from tests.interop.dovecot_store import HOST, Dovecot, running_dovecot_store
from tests.journeys.running_node import NodeFiles, running
from tests.services.deliver.outbound import CONTENT, sending
from tests.services.deliver.test_lmtp import lmtp

pytestmark = pytest.mark.peer("dovecot")


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with running_dovecot_store() as dovecot:
        yield dovecot


@pytest.mark.parametrize("is_socket", [True, False])
async def test_dovecot_answers_for_each_recipient(
    dovecot: Dovecot, tmp_path: Path, *, is_socket: bool
) -> None:
    """Taken, unknown, over quota: RFC 2033 §4.2."""
    socket, host = LmtpSocket(str(dovecot.lmtp)), LmtpHost(HOST, dovecot.port)
    before = len(dovecot.mails())
    async with sending(tmp_path) as node:
        await node.save("alice@example.org", "nobody@example.org", "full@example.org")
        claim = await node.claim()
        server = socket if is_socket else host
        delivery = await lmtp(node).deliver(claim, server, node.store)
    found = {each.number: (each.result, each.status) for each in delivery.outcomes}
    assert found == {
        0: (Result.DELIVERED, "2.0.0"),
        1: (Result.FAILED, "5.1.1"),
        2: (Result.FAILED, "5.2.2"),
    }
    mails = dovecot.mails()
    assert len(mails) == before + 1
    text = mails[-1].replace(b"\r\n", b"\n")
    assert text.startswith(b"Return-Path: <alice@example.org>\n")
    assert text.endswith(CONTENT.replace(b"\r\n", b"\n").partition(b"\n\n")[2])


def test_a_node_hands_its_mail_to_dovecot(dovecot: Dovecot, tmp_path: Path) -> None:
    """`local.lmtp`, and aliases before it; who is not named in `mailboxes` is unknown."""
    files = NodeFiles(tmp_path)
    files.change("local", lmtp=f"unix:{dovecot.lmtp}")
    (tmp_path / "aliases").write_text("team: alice\n")
    files.change("maps", aliases=str(tmp_path / "aliases"))
    before = len(dovecot.mails())
    with running(files) as node:
        queue_id = node.send(to="team@example.org")
        node.wait_log(
            rf"{queue_id}: to=<alice@example.org>, relay=mx.example.org\[{dovecot.lmtp}\],"
            r".*dsn=2.0.0, status=sent \(250 2.0.0 <alice@example.org> \S+ Saved\)"
        )
    assert len(dovecot.mails()) == before + 1
    assert files.mails("alice") == []


async def test_dovecot_has_the_extension(dovecot: Dovecot, tmp_path: Path) -> None:
    """It gets the address as it came: its own `recipient_delimiter` splits it."""
    before = len(dovecot.mails())
    async with sending(tmp_path) as node:
        await node.save("alice+tag@example.org")
        claim = await node.claim()
        server = LmtpSocket(str(dovecot.lmtp))
        delivery = await lmtp(node).deliver(claim, server, node.store)
    assert [each.result for each in delivery.outcomes] == [Result.DELIVERED]
    assert len(dovecot.mails()) == before + 1

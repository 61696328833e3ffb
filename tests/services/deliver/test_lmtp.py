"""Delivery to a mail store by LMTP: RFC 2033."""

import socket
from pathlib import Path

from letterlock.base.domains import Domain
from letterlock.network.lmtp_client import LmtpDialer
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.smtp.plan import TransactionSettings
from letterlock.protocols.tables.transport import LmtpHost, LmtpSocket
from letterlock.services.deliver.lmtp import LmtpDelivery
from letterlock.services.deliver.sending import Sender
from letterlock.services.discover.routes import RouteFinder
from letterlock.services.queue.outcomes import Delivery, Result
from tests.services.deliver.lmtp_server import LmtpScript, lmtp_at_port, lmtp_at_socket
from tests.services.deliver.outbound import NoChance, Outbound, only, sending

A, B, C = (f"{name}@example.org" for name in "abc")


def lmtp(node: Outbound) -> LmtpDelivery:
    return LmtpDelivery(
        Domain("out.example.org"),
        RouteFinder(node.resolver, NoChance()),
        LmtpDialer(node.timeouts),
        Sender(TransactionSettings(is_lmtp=True)),
        node.clock,
    )


async def deliver(
    tmp_path: Path, server: LmtpSocket | LmtpHost, *recipients: str, demand: TlsDemand | None = None
) -> Delivery:
    async with sending(tmp_path) as node:
        await node.save(*recipients, tls_demand=demand or TlsDemand.NORMAL)
        return await lmtp(node).deliver(await node.claim(), server, node.store)


async def test_each_recipient_has_an_answer_of_its_own(tmp_path: Path) -> None:
    """RFC 2033 §4.2: one reply after the final dot for each RCPT that was taken."""
    path = tmp_path / "lmtp"
    script = LmtpScript(
        at_rcpt={B: "550 5.1.1 no such user"},
        at_end={C: "452 4.2.2 quota", "d@example.org": "552 5.2.2 quota for good"},
    )
    async with lmtp_at_socket(path, script):
        delivery = await deliver(tmp_path, LmtpSocket(str(path)), A, B, C, "d@example.org")
    found = {each.number: (each.result, each.status) for each in delivery.outcomes}
    assert found == {
        0: (Result.DELIVERED, "2.0.0"),
        1: (Result.FAILED, "5.1.1"),
        2: (Result.DEFERRED, "4.2.2"),
        3: (Result.FAILED, "5.2.2"),
    }
    assert script.commands[0] == "LHLO out.example.org"
    assert script.commands[-1] == "QUIT"
    assert "MAIL FROM:<alice@example.org>" in script.commands[1]
    assert len(script.messages) == 1
    (attempt,) = delivery.attempts
    assert attempt.relay == f"out.example.org[{path}]"
    assert "> LHLO out.example.org" in attempt.story["dialogue"]
    assert all(each.is_final for each in delivery.outcomes)  # RFC 3461 §5.2.3: "delivered"
    failed = next(each for each in delivery.outcomes if each.number == 1)
    assert failed.remote == f"out.example.org[{path}]"
    assert failed.diagnostic == "550 5.1.1 no such user"


async def test_a_store_over_tcp(tmp_path: Path) -> None:
    script = LmtpScript()
    async with lmtp_at_port(script) as port:
        delivery = await deliver(tmp_path, LmtpHost("127.0.0.1", port), A)
    assert (only(delivery).result, only(delivery).relay) == (
        Result.DELIVERED,
        f"127.0.0.1[127.0.0.1]:{port}",
    )
    assert script.messages[0].endswith(b"\r\nhello\r\n..a dot\r\n.\r\n")


async def test_those_without_an_answer_are_sent_again(tmp_path: Path) -> None:
    """RFC 2033 §4.2: who was answered is done, whatever becomes of the connection."""
    path = tmp_path / "lmtp"
    script = LmtpScript(closes_after=1)
    async with lmtp_at_socket(path, script):
        delivery = await deliver(tmp_path, LmtpSocket(str(path)), A, B)
    found = {each.number: (each.result, each.status) for each in delivery.outcomes}
    assert found == {0: (Result.DELIVERED, "2.0.0"), 1: (Result.DEFERRED, "4.4.2")}


async def test_a_store_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    delivery = await deliver(tmp_path, LmtpSocket(str(tmp_path / "gone")), A)
    outcome = only(delivery)
    assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.4.1")
    assert outcome.reply.endswith("gone]: No such file or directory")


async def test_nothing_listens_on_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    delivery = await deliver(tmp_path, LmtpSocket(str(path)), A)
    assert only(delivery).reply.endswith("Connection refused")


async def test_a_store_that_refuses_us(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    script = LmtpScript(greeting="421 4.3.2 busy")
    async with lmtp_at_socket(path, script):
        delivery = await deliver(tmp_path, LmtpSocket(str(path)), A)
    assert (only(delivery).result, only(delivery).status) == (Result.DEFERRED, "4.3.2")
    assert "refused to talk to me: 421 4.3.2 busy" in only(delivery).reply


async def test_a_store_that_knows_no_lhlo_is_none(tmp_path: Path) -> None:
    """RFC 2033 §4.1: there is no HELO to fall back to."""
    path = tmp_path / "lmtp"
    script = LmtpScript(hello="500 5.5.1 what?")
    async with lmtp_at_socket(path, script):
        delivery = await deliver(tmp_path, LmtpSocket(str(path)), A)
    assert script.commands == ["LHLO out.example.org", "QUIT"]
    # An SMTP server, say: that it stands in our settings is no sender's fault.
    assert (only(delivery).result, only(delivery).status) == (Result.DEFERRED, "4.5.1")


async def test_mail_waits_for_a_store_that_wants_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    async with lmtp_at_socket(path, LmtpScript(greeting="554 5.7.1 access denied")):
        delivery = await deliver(tmp_path, LmtpSocket(str(path)), A)
    assert (only(delivery).result, only(delivery).status) == (Result.DEFERRED, "4.7.1")


async def test_a_name_that_is_not_there_waits_for_its_operator(tmp_path: Path) -> None:
    delivery = await deliver(tmp_path, LmtpHost("nowhere.test", 24), A)
    assert only(delivery).result is Result.DEFERRED
    assert only(delivery).status.startswith("4.")


async def test_a_store_is_no_hop_for_requiretls(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    script = LmtpScript()
    async with lmtp_at_socket(path, script):
        demand = TlsDemand.REQUIRETLS
        delivery = await deliver(tmp_path, LmtpSocket(str(path)), A, demand=demand)
    assert only(delivery).result is Result.DELIVERED

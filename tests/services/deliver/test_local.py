"""Delivery to mailboxes of our own, and which way a claim goes."""

import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.services.deliver.delivery import ClaimDelivery, Routing
from letterlock.services.deliver.local import LocalDelivery
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.queue.outcomes import LOCAL, Delivery, Result
from letterlock.storage.maildir import MaildirFailed, MaildirStore
from tests.misbehaving import Conduct, serving
from tests.services.deliver.outbound import DOMAIN, Outbound, only, sending

HOME = Domain("example.org")
DIRECTORY = LocalDirectory(
    Domain("out.example.org"),
    frozenset({HOME}),
    frozenset({"alice@example.org", "postmaster@example.org"}),
    "postmaster",
)


def local(node: Outbound, folder: Path) -> LocalDelivery:
    return LocalDelivery(DIRECTORY, MaildirStore(folder, "out.example.org", node.clock), node.clock)


async def deliver(node: Outbound, folder: Path, *recipients: str) -> Delivery:
    await node.save(*recipients)
    return await local(node, folder).deliver(await node.claim(), node.store)


def mails(folder: Path, name: str) -> list[bytes]:
    return [path.read_bytes() for path in (folder / "example.org" / name / "new").iterdir()]


async def test_mail_arrives_with_its_trace(tmp_path: Path) -> None:
    """RFC 5321 §4.4: Return-Path at final delivery."""
    async with sending(tmp_path) as node:
        delivery = await deliver(node, tmp_path / "mail", "alice@example.org")
    (mail,) = mails(tmp_path / "mail", "alice")
    assert mail.startswith(
        b"Return-Path: <alice@example.org>\nDelivered-To: alice@example.org\nReceived: "
    )
    assert mail.endswith(b"\nhello\n.a dot\n")
    assert (only(delivery).result, only(delivery).relay) == (Result.DELIVERED, LOCAL)
    (attempt,) = delivery.attempts
    assert (attempt.relay, attempt.recipients) == (LOCAL, (0,))


async def test_role_names_go_to_the_postmaster(tmp_path: Path) -> None:
    """RFC 2142 §4, RFC 5321 §4.5.1."""
    async with sending(tmp_path) as node:
        await deliver(node, tmp_path / "mail", "Abuse@example.org")
    assert len(mails(tmp_path / "mail", "postmaster")) == 1


async def test_one_recipients_failure_is_not_anothers(tmp_path: Path) -> None:
    """A mailbox may have been removed since the mail was taken."""
    everyone = ["gone@example.org", "alice@example.org", "broken@@example.org"]
    async with sending(tmp_path) as node:
        delivery = await deliver(node, tmp_path / "mail", *everyone)
    assert [(each.result, each.status) for each in delivery.outcomes] == [
        (Result.FAILED, "5.1.1"),
        (Result.DELIVERED, "2.0.0"),
        (Result.FAILED, "5.1.1"),
    ]


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, "4.2.2"), (errno.EACCES, "4.2.0")])
async def test_a_disk_that_fails_defers(
    number: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(MaildirStore, "_write", fail)
    async with sending(tmp_path) as node:
        delivery = await deliver(node, tmp_path / "mail", "alice@example.org")
    assert (only(delivery).result, only(delivery).status) == (Result.DEFERRED, status)


async def test_a_mailbox_that_can_never_be_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deliver_nothing(
        self: MaildirStore, domain: str, name: str, prefix: bytes, body: AsyncIterator[bytes]
    ) -> MaildirFailed:
        del self, domain, name, prefix, body
        return MaildirFailed("not a folder's name", is_permanent=True)

    monkeypatch.setattr(MaildirStore, "deliver", deliver_nothing)
    async with sending(tmp_path) as node:
        delivery = await deliver(node, tmp_path / "mail", "alice@example.org")
    assert (only(delivery).result, only(delivery).status) == (Result.FAILED, "5.2.0")


# Which way


def routing(**routes: str) -> Routing:
    hops = {Domain(name.replace("_", ".")): parse_next_hop(hop) for name, hop in routes.items()}
    relayhost = hops.pop(Domain("relayhost"), None)
    return Routing(frozenset({"example.org"}), hops, relayhost, port=25)


def test_routes_come_before_the_relayhost_and_that_before_mx() -> None:
    ways = routing(example_net="[10.0.0.1]:2525", relayhost="relay.example")
    assert ways.find("example.net").key == "[10.0.0.1]:2525"
    assert ways.find("example.com").key == "relay.example"
    assert routing().find("example.com").key == "example.com"
    assert routing().find("[192.0.2.1]").port == 25


async def test_a_claim_goes_its_way(tmp_path: Path) -> None:
    conduct = Conduct(has_starttls=False)
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        ways = Routing(frozenset({"example.org"}), {}, None, port=server.port)
        delivery = ClaimDelivery(ways, local(node, tmp_path / "mail"), node.remote)
        await node.save("alice@example.org")
        assert only(await delivery.deliver(await node.claim(), node.store)).relay == LOCAL
        await node.save(f"bob@{DOMAIN}")
        remote = only(await delivery.deliver(await node.claim(), node.store))
        assert remote.relay.startswith("mx1.example.com[")


async def test_a_destination_that_is_none_bounces(tmp_path: Path) -> None:
    async with sending(tmp_path) as node:
        ways = Routing(frozenset(), {}, None)
        delivery = ClaimDelivery(ways, local(node, tmp_path / "mail"), node.remote)
        await node.save("bob@-not..a.domain")
        outcome = only(await delivery.deliver(await node.claim(), node.store))
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.1.2")

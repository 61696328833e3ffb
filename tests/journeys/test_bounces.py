"""Bounces of a whole node: signed, in the operator's words, and to nobody who wrote nothing."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_string, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.verifying import Verifier
from letterlock.services.sign.keys import KeyPlan, load_key
from letterlock.storage.dkim_keys import DkimKeyFiles
from tests.journeys.running_node import NodeFiles, RunningNode, running

ALIASES = "team: alice, bob\naway: x@gone.example, bob\n"
FAILED = """Subject: Nicht zugestellt ({queue_id}): Grüße
From: Postdienst
Content-Language: de

An {recipients} ging es nicht.

{reasons}

{tried}
"""
CAUSES = "forbidden: Der Server nahm es nicht: {words}\n"


def write(path: Path, text: str) -> str:
    """Write a file that was left alone for a while; gives its path."""
    path.write_text(text)
    before = path.stat().st_mtime - 60
    os.utime(path, (before, before))
    return str(path)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("bounces")
    files = NodeFiles(folder)
    files.change("local", mailboxes=["alice", "bob", "carol", "postmaster"])
    files.change(
        "maps",
        aliases=write(folder / "aliases", ALIASES),
        transport=write(folder / "transport", "gone.example error:5.7.1 geht nicht\n"),
    )
    (folder / "texts").mkdir()
    write(folder / "texts" / "failed.txt", FAILED)
    write(folder / "texts" / "causes.txt", CAUSES)
    files.set("bounce", templates=str(folder / "texts"), double_bounces="postmaster")
    files.set("dkim", domains=["example.org"], selector="s1")
    with running(files) as running_node:
        # Keys are made when the node starts; until then mail goes unsigned.
        running_node.wait_log("DKIM: made", count=2)
        yield running_node


def send(node: RunningNode, sender: str, to: str, notify: str = "") -> str:
    with node.client() as client:
        client.ehlo()
        client.mail(sender)
        client.rcpt(to, [f"NOTIFY={notify}"] if notify else [])
        code, reply = client.data(b"From: x@example.org\r\nSubject: x\r\n\r\nhello\r\n")
    assert code == 250, reply
    return reply.decode().rpartition(" ")[2]


def find_mail(node: RunningNode, user: str, queue_id: str) -> EmailMessage:
    """Wait for the mail in a mailbox that is about a message, as a mail program reads it."""

    def about() -> list[str]:
        return [
            mail for mail in node.files.mails(user) if f"X-Letterlock-Queue-ID: {queue_id}" in mail
        ]

    node.wait_for(lambda: bool(about()), f"what {user} is told of {queue_id}")
    message = message_from_string(about()[0], policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert [defect for part in message.walk() for defect in part.defects] == []
    return message


def test_a_bounce_has_the_operators_words_and_our_signatures(node: RunningNode) -> None:
    """RFC 6376 §5; From is our hostname, below the domain that signs (RFC 6376 §3.10)."""
    queue_id = send(node, "alice@example.org", "away@example.org")
    message = find_mail(node, "alice", queue_id)
    assert message["Subject"] == f"Nicht zugestellt ({queue_id}): Grüße"
    assert message["From"] == "Postdienst <MAILER-DAEMON@mx.example.org>"
    first: Any = message.get_payload(0)
    text = " ".join(first.get_content().split())
    assert text.startswith("An away@example.org -> x@gone.example ging es nicht. ")
    assert "Der Server nahm es nicht: geht nicht" in text
    octets = next(mail for mail in node.files.mails("alice") if queue_id in mail)
    assert verify(node, octets.encode()) == [DkimResult.PASS] * 2


def verify(node: RunningNode, stored: bytes) -> list[DkimResult]:
    octets = stored.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    octets = octets[octets.index(b"DKIM-Signature:") :]
    header, _, body = octets.partition(b"\r\n\r\n")
    verifier = Verifier(header + b"\r\n", datetime.now(UTC))  # noqa: TID251 - a real node's
    verifier.receive(body)
    records = {}
    for which in KeyPlan((Domain("example.org"),), "s1").list_all():
        key = load_key(DkimKeyFiles(node.files.data / "dkim"), which)
        assert key is not None
        records[Domain(f"{key.selector}._domainkey.{key.domain}")] = (key.record.encode(),)
    return [each.result for each in verifier.finish(records)]


def test_success_of_an_alias_is_reported_once(node: RunningNode) -> None:
    """RFC 3461 §5.2.7.3 (c): `expanded` for it, and nothing for its members."""
    queue_id = send(node, "carol@example.org", "team@example.org", "SUCCESS")
    message = find_mail(node, "carol", queue_id)
    status: Any = message.get_payload(1)
    assert status.get_payload(1)["Action"] == "expanded"
    assert "bob@example.org" not in message.as_string()
    node.wait_log(rf"{queue_id}: removed|{queue_id}: to=<bob@example.org>.*status=sent")
    one = send(node, "carol@example.org", "bob@example.org", "SUCCESS")
    status = find_mail(node, "carol", one).get_payload(1)
    assert status.get_payload(1)["Action"] == "delivered"
    mails = [mail for mail in node.files.mails("carol") if "delivery-status" in mail]
    assert len(mails) == 2


def test_nobody_is_told_who_wrote_nothing(node: RunningNode) -> None:
    """RFC 5321 §6.1: the null sender gets no bounce; our postmaster is told, as it is set."""
    queue_id = send(node, "", "away@example.org")
    message = find_mail(node, "postmaster", queue_id)
    assert message["To"] == "postmaster@mx.example.org"
    node.wait_log(rf"{queue_id}: warning: undeliverable notification .* told to postmaster")
    with node.client() as client:
        client.ehlo()
        client.mail("forged@example.net")
        assert client.rcpt("nobody@example.org")[0] == 550
        assert client.rcpt("MAILER-DAEMON@mx.example.org")[0] == 250
        assert client.rcpt("postmaster@[127.0.0.1]")[0] == 250
        assert client.rcpt("nobody@[127.0.0.1]")[0] == 550

"""Mail that comes in: over STARTTLS, through one worker or two, into a Maildir."""

import re
from collections.abc import Iterator

import pytest

from tests.journeys.running_node import NodeFiles, RunningNode, mx_certificate, running


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningNode]:
    files = NodeFiles(tmp_path_factory.mktemp("node"))
    files.add_certificate(mx_certificate())
    files.change("node", workers=request.param)
    with running(files) as node:
        yield node


def test_mail_over_starttls_reaches_its_mailbox(node: RunningNode) -> None:
    """RFC 3848 (ESMTPS), RFC 5321 §4.4 (Received, Return-Path), RFC 8314 §4.3 (tls clause)."""
    queue_id = node.send("Subject: over TLS\n\nhello\n", tls=True)
    node.wait_delivered(queue_id)
    (mail,) = [mail for mail in node.files.mails() if queue_id in mail]
    header = re.sub(r"\r?\n[ \t]+", " ", mail)
    assert header.startswith("Return-Path: <bob@example.net>")
    received = re.search(r"^Received: (.*)$", header, re.MULTILINE)
    assert received is not None
    assert f"with ESMTPS id {queue_id}" in received[1]
    assert "TLS" in received[1]
    assert "from client.example" in received[1]
    assert "by mx.example.org" in received[1]
    assert mail.endswith("Subject: over TLS\n\nhello\n")


def test_the_log_tells_a_message_by_its_queue_id(node: RunningNode) -> None:
    queue_id = node.send(tls=True)
    node.wait_delivered(queue_id)
    ours = [line.partition("]: ")[2] for line in node.lines if queue_id in line]
    assert re.match(rf"{queue_id}: client=\S+, helo=<client.example>, from=<bob@", ours[0])
    assert re.match(rf"{queue_id}: from=<bob@example.net>, size=\d+, nrcpt=1 \(queue a", ours[1])
    assert re.match(rf"{queue_id}: to=<alice@example.org>, relay=local, .*status=sent", ours[2])
    assert re.search(r"Anonymous TLS connection established from .*TLSv1.3.*sni mx", node.log)

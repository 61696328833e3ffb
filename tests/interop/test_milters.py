"""Milters as they come with Debian, asked by a node: OpenDKIM, ClamAV and rspamd behind each other.

All three are in one chain, so that each sees what the one before left of a message.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.verifying import Verifier
from tests.interop.milters import SELECTOR, SIGNED_DOMAIN, VIRUS, Milters, running_milters
from tests.interop.rspamd_server import GTUBE, Rspamd
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.peers import require_peer

pytestmark = pytest.mark.peer("opendkim", "clamav", "rspamd")
AUTHOR = f"carol@{SIGNED_DOMAIN}"


@dataclass(frozen=True, slots=True)
class Filtered:
    node: RunningNode
    milters: Milters


@pytest.fixture(scope="module")
def filtered(rspamd: Rspamd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filtered]:
    require_peer("opendkim", "clamav", "openssl")
    folder: Path = tmp_path_factory.mktemp("milters")
    with running_milters(folder) as milters:
        files = NodeFiles(folder / "node")
        chain = (milters.opendkim, milters.clamav, f"inet:127.0.0.1:{rspamd.milter_port}")
        files.change("filter", milters=[{"address": each} for each in chain])
        files.change("send", origin=SIGNED_DOMAIN)
        with running(files) as node:
            yield Filtered(node, milters)


def make(test: str = "", body: str = "hello") -> str:
    rule = f"X-Test: {test}\n" if test else ""
    return (
        f"From: Carol <{AUTHOR}>\nTo: alice@example.org\nSubject: hello\n"
        f"Date: Sun, 22 Nov 2026 10:00:00 +0000\nMessage-ID: <1@{SIGNED_DOMAIN}>\n"
        f"X-Gone: 1\n{rule}\n{body}\n"
    )


def receive(filtered: Filtered, text: str) -> str:
    """Send a message, and give it as it lies in the mailbox then."""
    before = set(filtered.node.files.mails())
    filtered.node.wait_delivered(filtered.node.send(text, sender=AUTHOR))
    (mail,) = set(filtered.node.files.mails()) - before
    return mail


def refuse(filtered: Filtered, text: str) -> str:
    """Send a message that is refused, and give the reply."""
    with filtered.node.client() as client:
        client.begin(AUTHOR, ["alice@example.org"])
        code, reply = client.data(text)
    return f"{code} {reply.decode()}"


def test_what_filters_add_is_below_our_received_field(filtered: Filtered) -> None:
    mail = receive(filtered, make("headers"))
    names = [line.partition(":")[0] for line in mail.splitlines() if line[:1] not in (" ", "\t")]
    assert names[:4] == ["Return-Path", "Delivered-To", "Received", "X-Top"]
    assert "DKIM-Signature" in names
    assert names.index("Received") < names.index("DKIM-Signature") < names.index("From")
    assert "\nX-Virus-Scanned: clamav-milter " in mail
    assert "\nX-Virus-Status: Clean\n" in mail
    assert "\nX-One: one\n" in mail
    assert "X-Gone" not in mail


def test_opendkim_s_signature_holds_for_what_is_stored(filtered: Filtered) -> None:
    """RFC 6376 §3.7: what those behind it put in leaves its octets as they were."""
    content = receive(filtered, make("headers")).replace("\n", "\r\n").encode()
    header, _, body = content.partition(b"\r\n\r\n")
    verifier = Verifier(header + b"\r\n", SystemClock().now())
    verifier.receive(body)
    name = Domain(f"{SELECTOR}._domainkey.{SIGNED_DOMAIN}")
    found = verifier.finish({name: (filtered.milters.key_record.encode(),)})
    assert [each.result for each in found] == [DkimResult.PASS]


def test_a_virus_is_refused_by_clamav(filtered: Filtered) -> None:
    assert refuse(filtered, make(body=VIRUS)) == "550 5.7.1 Infected with Test.Virus.UNOFFICIAL"
    filtered.node.wait_log(
        r"\w+: milter-reject: END-OF-MESSAGE from \S+\[127.0.0.1\]: 5.7.1 Infected with "
        rf"Test.Virus.UNOFFICIAL; from=<{AUTHOR}> proto=ESMTP helo=<client.example>"
    )


def test_spam_is_refused_by_rspamd(filtered: Filtered) -> None:
    assert refuse(filtered, make(body=GTUBE["reject"])).startswith("554 5.7.1 ")


def test_rspamd_puts_off_holds_and_discards(filtered: Filtered) -> None:
    assert refuse(filtered, make("soft")).startswith("451 4.7.1 ")
    node = filtered.node
    queue_id = node.send(make("quarantine"), sender=AUTHOR)
    node.wait_log(rf"{queue_id}: milter-hold: END-OF-MESSAGE")
    shown = node.files.command("queue", "show", queue_id)
    assert "held" in shown.output
    queue_id = node.send(make("discard"), sender=AUTHOR)
    node.wait_log(rf"{queue_id}: milter-discard: END-OF-MESSAGE")
    assert node.files.command("queue", "show", queue_id).code != 0


def test_rspamd_sees_the_client_as_it_is(filtered: Filtered) -> None:
    mail = receive(filtered, make("facts"))
    (line,) = (each for each in mail.splitlines() if each.startswith("X-Facts: "))
    facts = line.removeprefix("X-Facts: ").split("|")
    assert facts[:2] == ["127.0.0.1", "client.example"]
    assert facts[4:6] == [AUTHOR, "alice@example.org"]
    assert f"id {facts[6]}" in mail, "our queue id"

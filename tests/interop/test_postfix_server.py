"""We send to Postfix: over a verified channel, or not at all."""

import email
import email.policy
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, cast

import pytest

from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from tests.free_ports import free_port
from tests.interop.background import zones
from tests.interop.log_verdicts import LEFT_WITHOUT_MAIL
from tests.interop.postfix_instance import (
    PostfixFiles,
    PostfixInstance,
    postfix_files,
    running_postfix,
)
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.network.certificates import NOW, authority, issue

HOSTS = tuple(f"127.0.78.{number}" for number in range(1, 7))
GOOD, TLS_1_2, CLEAR, STRICT, SINGLE, FOREIGN = HOSTS
SENDER = "alice@example.org"
MAX_CONNECTIONS = 2

ZONES = {
    "good.example": f"@ MX 10 mx\nmx A {GOOD}",
    "old.example": f"@ MX 10 mx\nmx A {TLS_1_2}",
    "strict.example": f"@ MX 10 mx\nmx A {STRICT}",
    # No PIPELINING there.
    "single.example": f"@ MX 10 mx\nmx A {SINGLE}",
    # Of an authority that we don't know.
    "foreign.example": f"@ MX 10 mx\nmx A {FOREIGN}",
    # No STARTTLS there.
    "clear.example": f"@ MX 10 mx\nmx A {CLEAR}",
    "clear-verify.example": "@ MX 10 mx.clear.example.",
    "clear-may.example": "@ MX 10 mx.clear.example.",
    # The same host under a name that its certificate does not have.
    "wrong.example": f"@ MX 10 mx\nmx A {GOOD}",
    "wrong-may.example": f"@ MX 10 mx\nmx A {GOOD}",
    "second.example": "@ MX 10 mx.wrong.example.\n@ MX 20 mx.good.example.",
}
LEVELS = {
    "good.example": "verify",
    "old.example": "verify",
    "strict.example": "verify",
    "single.example": "verify",
    "foreign.example": "verify",
    "clear.example": "encrypt",
    "clear-verify.example": "verify",
    "clear-may.example": "may",
    "wrong.example": "verify",
    "wrong-may.example": "may",
    "second.example": "verify",
}
MAILBOXES = (
    *(f"bob@{domain}" for domain in LEVELS),
    "many@good.example",
    "δοκιμή@good.example",
    "carol@good.example",
    "dave@good.example",
)


@dataclass
class Both:
    """A node of ours that sends, and a Postfix that it sends to."""

    node: RunningNode
    postfix: PostfixInstance
    port: int

    def wait_sent(self, queue_id: str, to: str) -> str:
        """Wait until Postfix has it in the mailbox; gives Postfix's queue id."""
        found = self.node.wait_log(rf"{queue_id}: to=<{to}>.*status=(\w+) \((.*)\)")
        assert found[1] == "sent", found[0]
        theirs = re.search(r"queued as (\w+)$", found[2])
        assert theirs is not None, found[0]
        self.postfix.wait_log(rf"{theirs[1]}: to=<{to}>, relay=virtual.*status=sent")
        return theirs[1]

    def wait_deferred(self, queue_id: str) -> re.Match[str]:
        """Wait until the first attempt has failed; gives relay, status code and reason."""
        shape = r"relay=(\S+), .*dsn=(\S+), status=(\w+) \((.*)\)"
        found = self.node.wait_log(rf"{queue_id}: to=<\S+>, {shape}")
        assert found[3] == "deferred", found[0]
        return found

    def find_mail(self, queue_id: str, to: str) -> bytes:
        """Give the one message in a mailbox of Postfix that came through us as `queue_id`."""
        (mail,) = [mail for mail in self.postfix.files.mails(to) if queue_id.encode() in mail]
        return mail

    def attempts(self, queue_id: str) -> list[dict[str, Any]]:
        """Give what `queue show` tells of a message's attempts."""
        shown = self.node.files.command("queue", "show", queue_id, "--json")
        assert shown.code == 0, shown.error
        return cast("list[dict[str, Any]]", shown.document["attempts"])


@pytest.fixture(scope="module")
def both(postfix_peer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    port = free_port(*HOSTS)
    with postfix_files(peer=postfix_peer) as files, zones(ZONES) as resolver:
        _set_up_postfix(files, port)
        node = _set_up_node(NodeFiles(tmp_path_factory.mktemp("node")), files, resolver, port)
        with running_postfix(files) as postfix, running(node) as running_node:
            yield Both(running_node, postfix, port)


def _set_up_postfix(files: PostfixFiles, port: int) -> None:
    (files.folder / "authority.pem").write_bytes(authority().pem)
    files.mailboxes = MAILBOXES
    tls = {"smtpd_tls_security_level": "may"}
    pairs = {
        name: files.add_certificate(issue((f"mx.{name}.example",)), name)
        for name in ("good", "strict", "single")
    }
    rsa = files.add_certificate(issue(("mx.old.example",), "rsa"), "old")
    files.add_server(GOOD, port, **tls, **pairs["good"])
    files.add_server(
        TLS_1_2, port, **tls, **rsa, smtpd_tls_protocols="<=TLSv1.2", smtpd_tls_ask_ccert="yes"
    )
    files.add_server(CLEAR, port, smtpd_tls_security_level="none")
    files.add_server(STRICT, port, smtpd_tls_security_level="encrypt", **pairs["strict"])
    foreign = ThrowawayCa("Foreign CA", NOW).issue(["mx.foreign.example"], now=NOW)
    files.add_server(FOREIGN, port, **tls, **files.add_certificate(foreign, "foreign"))
    without = {"smtpd_discard_ehlo_keywords": "pipelining, chunking, size"}
    files.add_server(SINGLE, port, **tls, **pairs["single"], **without)


def _set_up_node(files: NodeFiles, postfix: PostfixFiles, resolver: str, port: int) -> NodeFiles:
    files.change("dns", resolver=resolver)
    files.change(
        "deliver", port=port, families=["ipv4"], max_connections_per_destination=MAX_CONNECTIONS
    )
    hops = {domain: {"level": level} for domain, level in LEVELS.items()}
    files.change("policy", trust_files=[str(postfix.folder / "authority.pem")], hops=hops)
    return files


def unfold(mail: bytes) -> str:
    return re.sub(r"\r?\n[ \t]+", " ", mail.partition(b"\n\n")[0].decode())


@pytest.mark.parametrize(
    ("domain", "version", "asked"),
    [
        ("good.example", "TLSv1.3", "No client certificate requested"),
        ("old.example", "TLSv1.2", "Client did not present a certificate"),
        ("strict.example", "TLSv1.3", "No client certificate requested"),
        ("single.example", "TLSv1.3", "No client certificate requested"),
    ],
)
def test_mail_reaches_postfix_over_a_verified_channel(
    both: Both, domain: str, version: str, asked: str
) -> None:
    """RFC 9525 §6.3, RFC 3848: and both sides tell the same of the channel."""
    since, theirs = len(both.node.lines), len(both.postfix.lines)
    to = f"bob@{domain}"
    queue_id = both.node.send("Subject: verified\n\n.\n..\nhello\n", to=to, sender=SENDER)
    their_id = both.wait_sent(queue_id, to)
    tls = r"TLS connection established \w+ \S+: (TLSv1\.\d) with cipher (\S+) \((\d+/\d+) bits\)"
    at_ours = both.node.wait_log(rf"(\w+) {tls}", since=since)
    at_theirs = both.postfix.wait_log(rf"(\w+) {tls}", since=theirs)
    assert at_ours[1] == "Verified"
    assert at_ours[2] == version
    assert at_ours.groups()[1:] == at_theirs.groups()[1:]
    assert f"Verified TLS connection established to mx.{domain}[" in at_ours.string
    mail = both.find_mail(queue_id, to)
    head = unfold(mail)
    assert f"(using {version} with cipher {at_ours[3]} ({at_ours[4]} bits)" in head
    assert f"({asked})" in head
    assert re.search(rf"with ESMTPS id {their_id}", head)
    assert mail.endswith(b"\n\n.\n..\nhello\n")
    (attempt,) = both.attempts(queue_id)
    story = attempt["story"]
    assert story["verdict"]["outcome"] == "authenticated"
    assert story["handshake"]["version"] == version
    assert story["handshake"]["sni"] == f"mx.{domain}"
    assert story["outcome"].endswith(f"queued as {their_id}")
    assert any("RCPT TO:<bob@" in line for line in story["dialogue"])


def test_eight_bit_octets_reach_postfix_as_they_are(both: Both) -> None:
    """RFC 6152 §3."""
    body = bytes(range(0x80, 0x100)) + "\r\nGrüße\r\n".encode("latin-1")
    with both.node.client() as client:
        client.ehlo()
        client.mail(SENDER, ["BODY=8BITMIME"])
        client.rcpt("bob@good.example")
        _, reply = client.data(b"Subject: eight bits\r\n\r\n" + body)
    queue_id = reply.decode().rpartition(" ")[2]
    both.wait_sent(queue_id, "bob@good.example")
    mail = both.find_mail(queue_id, "bob@good.example")
    assert mail.endswith(b"\n\n" + body.replace(b"\r\n", b"\n"))


def test_an_internationalised_address_reaches_postfix(both: Both) -> None:
    """RFC 6531 §3.4: with SMTPUTF8, in its own letters."""
    to = "δοκιμή@good.example"
    with both.node.client() as client:
        client.ehlo()
        client.command_encoding = "utf-8"
        client.mail(SENDER, ["SMTPUTF8", "BODY=8BITMIME"])
        client.rcpt(to)
        _, reply = client.data("Subject: γειά\r\n\r\nhello\r\n".encode())
    queue_id = reply.decode().rpartition(" ")[2]
    both.wait_sent(queue_id, to)
    mail = both.find_mail(queue_id, to)
    assert "Subject: γειά" in mail.decode()
    assert "with UTF8SMTPS id" in unfold(mail)


def test_a_notification_of_success_is_postfixs_to_send(both: Both) -> None:
    """RFC 3461 §5.2.2: the parameters are passed on, so we say nothing."""
    with both.node.client() as client:
        client.ehlo()
        client.mail(SENDER, ["RET=HDRS", "ENVID=QQ314159"])
        client.rcpt("bob@good.example", ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Bob@good.example"])
        _, reply = client.data("Subject: told\r\n\r\nhello\r\n")
    queue_id = reply.decode().rpartition(" ")[2]
    their_id = both.wait_sent(queue_id, "bob@good.example")
    both.postfix.wait_log(rf"{their_id}: sender delivery status notification")
    assert f"{queue_id}: sender" not in both.node.log


def test_a_message_of_ten_megabytes_arrives_whole(both: Both) -> None:
    lines = [f"{number:06} " + "abcdefghij" * 9 for number in range(110_000)]
    text = "Subject: large\n\n" + "\n".join(lines) + "\n"
    assert len(text) > 10_000_000
    queue_id = both.node.send(text, to="bob@good.example", sender=SENDER)
    both.wait_sent(queue_id, "bob@good.example")
    mail = both.find_mail(queue_id, "bob@good.example")
    body = mail.partition(b"\n\n")[2]
    assert hashlib.sha256(body).digest() == hashlib.sha256(text[16:].encode()).digest()


def test_connections_are_used_again_for_further_mail(both: Both) -> None:
    """RFC 5321 §3.3: and each message arrives once."""
    total, since = 50, len(both.postfix.lines)
    with both.node.client() as client:
        ids = [
            client.deliver(SENDER, ["many@good.example"], f"Subject: {number}\n\nhello\n")
            for number in range(total)
        ]
    assert len({both.wait_sent(queue_id, "many@good.example") for queue_id in ids}) == total
    mails = both.postfix.files.mails("many@good.example")
    numbers = [int(re.findall(rb"^Subject: (\d+)$", mail, re.MULTILINE)[0]) for mail in mails]
    assert sorted(numbers) == list(range(total))
    connections = sum("]: connect from" in line for line in both.postfix.lines[since:])
    assert connections <= MAX_CONNECTIONS
    assert both.node.log.count("Verified TLS connection reused to mx.good.example") > 0


def test_several_recipients_go_in_one_transaction(both: Both) -> None:
    """RFC 5321 §4.5.4.1, RFC 2920 §3.1."""
    everyone = [f"{name}@good.example" for name in ("bob", "carol", "dave")]
    with both.node.client() as client:
        queue_id = client.deliver(SENDER, everyone, "Subject: to three\n\nhello\n")
    assert len({both.wait_sent(queue_id, to) for to in everyone}) == 1


def test_what_postfix_refuses_comes_back_as_a_notification(both: Both) -> None:
    """RFC 3464 §2, RFC 6522 §3; the others have theirs."""
    known = set(both.node.files.mails())
    with both.node.client() as client:
        queue_id = client.deliver(
            SENDER, ["nobody@good.example", "bob@good.example"], "Subject: half\n\nhello\n"
        )
    both.wait_sent(queue_id, "bob@good.example")
    both.node.wait_log(rf"{queue_id}: to=<nobody@good.example>.*dsn=5\.1\.1, status=bounced")
    notice = both.node.wait_log(rf"{queue_id}: sender non-delivery notification: (\w+)")
    both.node.wait_log(rf"{notice[1]}: to=<{SENDER}>, relay=local.*status=sent")
    (text,) = set(both.node.files.mails()) - known
    report = email.message_from_string(text, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert report["Return-Path"] == "<>"
    assert report["Auto-Submitted"] == "auto-replied"
    words, status, original = report.iter_parts()
    assert "nobody@good.example" in words.get_content()
    assert status.get_content_type() == "message/delivery-status"
    assert original.get_content_type() in ("message/rfc822", "text/rfc822-headers")
    per_message, recipient = cast("list[EmailMessage]", status.get_payload())
    assert per_message["Reporting-MTA"] == "dns; mx.example.org"
    assert recipient["Final-Recipient"] == "rfc822; nobody@good.example"
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.1"
    assert recipient["Remote-MTA"] == "dns; mx.good.example"
    assert recipient["Diagnostic-Code"].startswith("smtp; 550 5.1.1 ")
    assert not any(report.defects for report in report.walk())


@pytest.mark.parametrize("domain", ["clear.example", "clear-verify.example"])
def test_nothing_goes_in_clear_to_a_postfix_without_tls(both: Both, domain: str) -> None:
    """RFC 3207 §4.1, RFC 8460 §4.3.1 starttls-not-supported."""
    since = len(both.postfix.lines)
    queue_id = both.node.send(to=f"bob@{domain}", sender=SENDER)
    found = both.wait_deferred(queue_id)
    assert found[1].startswith("mx.clear.example[")
    assert found[2] == "4.7.4"
    both.postfix.wait_log(LEFT_WITHOUT_MAIL, since=since)
    (attempt,) = both.attempts(queue_id)
    assert attempt["story"]["verdict"]["result_type"] == "starttls-not-supported"
    assert not both.postfix.files.mails(f"bob@{domain}")


def test_at_may_mail_goes_in_clear_to_a_postfix_without_tls(both: Both) -> None:
    """RFC 7435 §3."""
    queue_id = both.node.send(to="bob@clear-may.example", sender=SENDER)
    their_id = both.wait_sent(queue_id, "bob@clear-may.example")
    head = unfold(both.find_mail(queue_id, "bob@clear-may.example"))
    assert f"with ESMTP id {their_id}" in head


def test_a_postfix_with_another_name_gets_nothing(both: Both) -> None:
    """RFC 9525 §6.3, RFC 8460 §4.3.2.1 certificate-host-mismatch."""
    since = len(both.postfix.lines)
    queue_id = both.node.send(to="bob@wrong.example", sender=SENDER)
    found = both.wait_deferred(queue_id)
    assert found[2] == "4.7.5"
    # A clean end, and no MAIL.
    both.postfix.wait_log(r"disconnect from \S+ ehlo=1 starttls=1 quit=1 commands=3$", since=since)
    (attempt,) = both.attempts(queue_id)
    assert attempt["story"]["verdict"]["result_type"] == "certificate-host-mismatch"
    assert attempt["story"]["handshake"]["sni"] == "mx.wrong.example"
    assert not both.postfix.files.mails("bob@wrong.example")


def test_a_postfix_of_an_unknown_authority_gets_an_alert(both: Both) -> None:
    """RFC 8446 §6.2 unknown_ca, RFC 8460 §4.3.2.1 certificate-not-trusted."""
    since = len(both.postfix.lines)
    queue_id = both.node.send(to="bob@foreign.example", sender=SENDER)
    assert both.wait_deferred(queue_id)[2] == "4.7.5"
    both.postfix.wait_log("alert unknown ca", since=since)
    both.postfix.wait_log(LEFT_WITHOUT_MAIL, since=since)
    (attempt,) = both.attempts(queue_id)
    assert attempt["story"]["verdict"]["result_type"] == "certificate-not-trusted"
    assert attempt["story"]["handshake"]["chain"], "what it showed is kept"
    assert not both.postfix.files.mails("bob@foreign.example")


def test_at_may_another_name_is_taken_and_recorded(both: Both) -> None:
    """RFC 7435 §3: better than clear; "Trusted" is Postfix's word for that too."""
    since = len(both.node.lines)
    queue_id = both.node.send(to="bob@wrong-may.example", sender=SENDER)
    both.wait_sent(queue_id, "bob@wrong-may.example")
    both.node.wait_log(
        r" Trusted TLS connection established to mx\.wrong-may\.example\[", since=since
    )


def test_the_next_host_is_tried_when_one_can_not_prove_its_name(both: Both) -> None:
    """RFC 5321 §5.1."""
    queue_id = both.node.send(to="bob@second.example", sender=SENDER)
    both.wait_sent(queue_id, "bob@second.example")
    first, second = both.attempts(queue_id)
    assert first["relay"].startswith("mx.wrong.example[")
    assert first["story"]["verdict"]["outcome"] == "defer"
    assert second["relay"].startswith("mx.good.example[")
    assert second["story"]["verdict"]["outcome"] == "authenticated"

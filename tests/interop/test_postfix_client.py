"""Postfix sends to us: at every level of its own, and what both logs say of it."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.free_ports import free_port
from tests.interop.log_verdicts import LEFT_WITHOUT_MAIL
from tests.interop.postfix_instance import (
    MESSAGE,
    PostfixInstance,
    postfix_files,
    running_postfix,
    submit,
)
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.network.certificates import authority, issue

HOST = "mx.example.org"
IP = "127.0.0.1"

CLIENTS: dict[str, dict[str, str]] = {
    "none": {"smtp_tls_security_level": "none"},
    "may": {"smtp_tls_security_level": "may"},
    "may-untrusting": {"smtp_tls_security_level": "may", "smtp_tls_CAfile": ""},
    "encrypt": {"smtp_tls_security_level": "encrypt"},
    "verify": {"smtp_tls_security_level": "verify", "smtp_tls_verify_cert_match": HOST},
    "secure": {"smtp_tls_security_level": "secure", "smtp_tls_secure_cert_match": HOST},
    "secure-dot": {
        "smtp_tls_security_level": "secure",
        "smtp_tls_secure_cert_match": ".example.org",
    },
    "verify-sni": {
        "smtp_tls_security_level": "verify",
        "smtp_tls_verify_cert_match": HOST,
        "smtp_tls_servername": HOST,
    },
    "verify-12": {
        "smtp_tls_security_level": "verify",
        "smtp_tls_verify_cert_match": HOST,
        "smtp_tls_mandatory_protocols": ">=TLSv1.2, <=TLSv1.2",
    },
    "verify-rsa": {
        "smtp_tls_security_level": "verify",
        "smtp_tls_verify_cert_match": HOST,
        "smtp_tls_mandatory_protocols": ">=TLSv1.2, <=TLSv1.2",
        "smtp_tls_mandatory_exclude_ciphers": "aECDSA",
    },
    "fingerprint": {
        "smtp_tls_security_level": "fingerprint",
        "smtp_tls_fingerprint_digest": "sha256",
    },
    "extensions": {"smtp_tls_security_level": "encrypt"},
    "reuse": {
        "smtp_tls_security_level": "encrypt",
        "smtp_tls_connection_reuse": "yes",
        "smtp_connection_cache_destinations": "static:all",
        "smtp_connection_cache_time_limit": "60s",
    },
    "wrong-name": {
        "smtp_tls_security_level": "verify",
        "smtp_tls_verify_cert_match": "wrong.example",
    },
    "wrong-ca": {
        "smtp_tls_security_level": "verify",
        "smtp_tls_verify_cert_match": HOST,
        "smtp_tls_CAfile": "",
    },
}
"""By name: mail to someone at NAME.example goes out through the transport smtp-NAME."""


@dataclass
class Both:
    """A Postfix that sends, and a node of ours that it sends to."""

    postfix: PostfixInstance
    node: RunningNode
    port: int

    def send(self, client: str, *, user: str = "alice", text: str = MESSAGE) -> str:
        """Give Postfix a message to send through this client; gives Postfix's queue id."""
        return submit(self.port, f"{user}@{client}.example", text)

    def wait_sent(self, queue_id: str) -> str:
        """Wait until Postfix has sent it; gives the queue id that it was told."""
        found = self.postfix.wait_log(rf"{queue_id}: to=<.*status=(\w+) \((.*)\)")
        assert found[1] == "sent", "\n".join(self.postfix.lines)
        told = re.fullmatch(r"250 2\.0\.0 Ok: queued as (\w+)", found[2])
        assert told is not None, found[0]
        return told[1]


@pytest.fixture(scope="module")
def both(postfix_peer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    domains = [f"{name}.example" for name in CLIENTS]
    files = NodeFiles(tmp_path_factory.mktemp("node"), domains=("example.org", *domains))
    files.add_certificate(issue((HOST,)), "ecdsa")
    files.add_certificate(issue((HOST,), "rsa"), "rsa")
    files.change("local", mailboxes=["alice", "δοκιμή", "postmaster"])
    files.change("receive", max_message_bytes=2_000_000)
    files.change("receive", relay_from=[])
    port = free_port(IP)
    with running(files) as node, postfix_files(peer=postfix_peer) as postfix:
        ca_file = postfix.folder / "authority.pem"
        ca_file.write_bytes(authority().pem)
        hop = f"[{node.files.host}]:{node.port}"
        routes = (f"{name}.example smtp-{name}:{hop}" for name in CLIENTS)
        (postfix.folder / "transports").write_text("\n".join(routes) + "\n")
        postfix.settings = {
            "transport_maps": f"texthash:{postfix.folder / 'transports'}",
            "smtp_tls_CAfile": str(ca_file),
            "smtp_tls_fingerprint_cert_match": hashlib.sha256(issue((HOST,)).der).hexdigest(),
            # Without it Debian's tlsproxy 3.7.11, which "reuse" goes through, crashes.
            "smtp_tls_security_level": "may",
        }
        postfix.add_server(IP, port)
        for name, settings in CLIENTS.items():
            postfix.add_client(f"smtp-{name}", **settings)
        with running_postfix(postfix) as instance:
            yield Both(instance, node, port)


@pytest.mark.parametrize(
    ("client", "word", "sni"),
    [
        ("may", "Trusted", "none"),
        ("may-untrusting", "Untrusted", "none"),
        ("encrypt", "Trusted", "none"),
        ("verify", "Verified", "none"),
        ("secure", "Verified", "none"),
        ("secure-dot", "Verified", "none"),
        ("verify-sni", "Verified", HOST),
        ("verify-12", "Verified", "none"),
        ("verify-rsa", "Verified", "none"),
        ("fingerprint", "Verified", "none"),
    ],
)
def test_postfix_delivers_and_both_logs_agree(both: Both, client: str, word: str, sni: str) -> None:
    """RFC 3207 §4; the same version, cipher, key exchange and queue id on both sides."""
    since = len(both.node.lines)
    theirs = both.send(client)
    told = both.wait_sent(theirs)
    both.node.wait_log(rf"{told}: to=<alice@{client}\.example>, relay=local.*status=sent")
    (mail,) = both.node.files.mails(domain=f"{client}.example")
    tls = (
        r"TLS connection established \w+ \S+: (TLSv1\.\d) with cipher (\S+) \((\d+/\d+) bits\)"
        r"(?: key-exchange (\w+))?"
    )
    at_theirs = both.postfix.wait_log(rf"postfix/smtp-{client}/smtp\[\d+\]: (\w+) {tls}")
    at_ours = both.node.wait_log(rf"(Anonymous) {tls}, sni {sni}$", since=since)
    assert at_theirs[1] == word
    assert at_theirs.groups()[1:4] == at_ours.groups()[1:4]
    if at_ours[2] == "TLSv1.3":
        # How a group's name is written is a matter of the OpenSSL that each has.
        assert at_theirs[5].lower() == at_ours[5].lower()
    assert f"with ESMTPS id {told}" in mail
    assert f"id {theirs}" in mail, "Postfix's own Received line is kept"
    assert at_ours[2] in mail.partition("Received:")[2].partition("Received:")[0]


def test_postfix_delivers_in_clear_where_it_wants_no_tls(both: Both) -> None:
    since = len(both.node.lines)
    told = both.wait_sent(both.send("none"))
    both.node.wait_log(rf"{told}: to=<alice@none\.example>.*status=sent")
    assert "TLS connection" not in "".join(both.node.lines[since:])
    (mail,) = both.node.files.mails(domain="none.example")
    assert f"with ESMTP id {told}" in mail


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        ("wrong-name", "hostname mismatch"),
        ("wrong-ca", "untrusted issuer /CN=Test CA"),
    ],
)
def test_postfix_defers_where_it_can_not_verify_us(both: Both, client: str, reason: str) -> None:
    """What it did is in our log: a session with TLS, no MAIL."""
    since = len(both.node.lines)
    found = both.postfix.wait_log(rf"{both.send(client)}: to=<.*status=(\w+) \((.*)\)")
    assert found[1] == "deferred"
    assert found[2].startswith("Server certificate not ")
    both.postfix.wait_log(rf"smtp-{client}/.*certificate verification failed for .*: .*{reason}")
    both.node.wait_log("TLS connection established from .*TLSv1.3.*sni none", since=since)
    both.node.wait_log(LEFT_WITHOUT_MAIL, since=since)
    assert "from=<" not in "".join(both.node.lines[since:])


def test_postfix_reuses_its_connection_for_further_mail(both: Both) -> None:
    """RFC 5321 §3.3: transactions one after the other in a session."""
    total, since = 8, len(both.node.lines)
    for number in range(total):
        both.wait_sent(both.send("reuse", text=f"Subject: {number}\r\n\r\nhello\r\n"))
    both.node.wait_log(r"to=<alice@reuse.example>.*status=sent", since=since, count=total)
    mails = both.node.files.mails(domain="reuse.example")
    assert {re.findall(r"^Subject: (\d+)$", mail, re.MULTILINE)[0] for mail in mails} == {
        str(number) for number in range(total)
    }
    assert sum("]: connect from" in line for line in both.node.lines[since:]) == 1
    assert sum("TLS connection established" in line for line in both.node.lines[since:]) == 1


def test_postfix_hears_of_an_unknown_recipient(both: Both) -> None:
    """RFC 5321 §4.2.3: 550, in the answer to RCPT; Postfix returns the message."""
    found = both.postfix.wait_log(
        rf"{both.send('may', user='nobody')}: to=<.*status=(\w+) \((.*)\)"
    )
    assert found[1] == "bounced"
    assert re.match(r"host \S+ said: 550 5\.1\.1 .*\(in reply to RCPT TO command\)", found[2])


def test_postfix_passes_eight_bit_octets_on_to_us(both: Both) -> None:
    """RFC 6152 §3."""
    body = bytes(range(0x80, 0x100)) + b"\r\n"
    content = b"Subject: eight bits\r\n\r\n" + body
    theirs = submit(both.port, "alice@extensions.example", content, mail=["BODY=8BITMIME"])
    told = both.wait_sent(theirs)
    both.node.wait_log(rf"{told}: to=<alice@extensions\.example>.*status=sent")
    folder = both.node.files.data / "mail" / "extensions.example" / "alice" / "new"
    (mail,) = [mail for path in folder.iterdir() if told.encode() in (mail := path.read_bytes())]
    assert mail.endswith(b"\n\n" + body.replace(b"\r\n", b"\n"))


def test_postfix_sends_us_an_internationalised_address(both: Both) -> None:
    """RFC 6531 §3.4, RFC 3848 (UTF8SMTPS)."""
    to = "δοκιμή@extensions.example"
    content = "Subject: γειά\r\n\r\nhello\r\n".encode()
    told = both.wait_sent(submit(both.port, to, content, mail=["SMTPUTF8", "BODY=8BITMIME"]))
    both.node.wait_log(rf"{told}: to=<{to}>.*status=sent")
    (mail,) = both.node.files.mails("δοκιμή", "extensions.example")
    assert "Subject: γειά" in mail
    assert f"with UTF8SMTPS id {told}" in mail


def test_postfix_leaves_notifications_of_success_to_us(both: Both) -> None:
    """RFC 3461 §5.2.1, §6.3: we take NOTIFY over from it, so it says nothing."""
    theirs = submit(
        both.port,
        "alice@extensions.example",
        mail=["RET=HDRS", "ENVID=QQ314159"],
        rcpt=["NOTIFY=SUCCESS", "ORCPT=rfc822;Alice@extensions.example"],
    )
    told = both.wait_sent(theirs)
    both.node.wait_log(rf"{told}: sender delivery status notification: \w+")
    assert not any(f"{theirs}: sender" in line for line in both.postfix.lines)


def test_postfix_does_not_send_what_is_larger_than_we_take(both: Both) -> None:
    """RFC 1870 §6.1: it knows from our SIZE."""
    text = "Subject: large\r\n\r\n" + ("x" * 70 + "\r\n") * 30_000
    theirs = submit(both.port, "alice@extensions.example", text)
    found = both.postfix.wait_log(rf"{theirs}: to=<.*dsn=(\S+), status=(\w+) \((.*)\)")
    assert found.groups()[:2] == ("5.3.4", "bounced"), found[0]
    assert "exceeds size limit 2000000 of server" in found[3]

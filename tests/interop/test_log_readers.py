"""Programs that read Postfix's log read ours: pflogsumm counts, fail2ban finds who misbehaves."""

import re
import smtplib
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.journeys.running_node import (
    PATIENCE,
    NodeFiles,
    RunningNode,
    mx_certificate,
    running,
)
from tests.journeys.test_submission import NAME, PASSWORD, Submitting, add_user
from tests.peers import command

GOOD, UNKNOWN, RELAYING, GUESSING = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"
BROKEN_TLS, ERRING, LEAVING, BANNING = "127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.9"
PROBE = "127.0.0.1"
"""Who waits until the node greets, and goes without a word."""
VICTIM = "192.0.2.99"
"""Whom BANNING wants to be banned instead of itself."""
MAX_ERRORS = 3
TEXT = "From: alice@example.org\nSubject: hello\n\nhello\n"
REJECTED = {UNKNOWN, RELAYING, ERRING, BANNING}
FOUND = {
    "normal": REJECTED,
    "more": REJECTED,
    "errors": {ERRING},
    "auth": {GUESSING},
    "extra": {*REJECTED, GUESSING},
    "rbl": set[str](),
    "ddos": {BROKEN_TLS, LEAVING, GUESSING, PROBE},
    "aggressive": {*REJECTED, GUESSING, BROKEN_TLS, LEAVING, PROBE},
}
"""Who is found by each mode of Debian's filter; it has no lists of bad hosts to be rejected by."""


class _Refusing(socketserver.StreamRequestHandler):
    """An SMTP server that has nobody."""

    def handle(self) -> None:
        self.wfile.write(b"220 mx.bounced.example ESMTP\r\n")
        for line in self.rfile:
            answers = {b"RCPT": b"550 5.1.1 no (such) user\r\n", b"QUIT": b"221 Bye\r\n"}
            self.wfile.write(answers.get(line[:4].upper(), b"250 Ok\r\n"))


@contextmanager
def refusing() -> Iterator[int]:
    """Run that server; gives its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the log of one node, its good clients and its bad ones."""
    files = NodeFiles(tmp_path_factory.mktemp("readers") / "node")
    files.add_certificate(mx_certificate())
    files.set("submission", enabled=True, listen=["127.0.0.1:0"], listen_starttls=["127.0.0.1:0"])
    files.change("receive", relay_from=[], max_errors=MAX_ERRORS)
    with closing(socket.socket()) as nobody, refusing() as port:
        # Bound, and not listening: connections to it are refused.
        nobody.bind(("127.0.0.1", 0))
        routes = {
            "deferred.example": f"[127.0.0.1]:{nobody.getsockname()[1]}",
            "bounced.example": f"[127.0.0.1]:{port}",
        }
        files.change("deliver", routes=routes)
        files.write()
        add_user(files, NAME)
        with running(files) as node:
            _happen(Submitting(node))
            node.stop()
            return node.lines


def _happen(submitting: Submitting) -> None:
    """Do all of it; the log has it at the latest when the node has ended."""
    node = submitting.node
    for is_tls in (True, False):
        with node.client(source=GOOD) as client:
            if is_tls:
                client.start()
            node.wait_delivered(client.deliver("bob@example.net", ["alice@example.org"], TEXT))
    _submit(submitting)
    for name in ("nobody", "noone"):
        _ask(node, UNKNOWN, f"{name}@example.org")
    _ask(node, RELAYING, "x@elsewhere.example")
    fake = f'"unknown[{VICTIM}]: SASL LOGIN authentication failed: x"@example.org'
    _ask(node, BANNING, fake)
    with submitting.connect_from(GUESSING) as guessing, suppress(smtplib.SMTPException):
        guessing.login(NAME, "a guess")
    with node.client(source=BROKEN_TLS) as client:
        client.ehlo()
        client.docmd("STARTTLS")
        assert client.sock is not None
        client.sock.sendall(b"no TLS at all\r\n")
        client.sock.recv(100)
        client.close()
    with node.client(source=ERRING) as client, suppress(smtplib.SMTPException):
        for _ in range(MAX_ERRORS + 1):
            client.docmd("NONSENSE")
    client = node.client(source=LEAVING)
    client.ehlo()
    client.close()
    node.wait_log(rf"lost connection after EHLO from \S*\[{LEAVING}\]")


def _ask(node: RunningNode, source: str, recipient: str) -> None:
    with node.client(source=source) as client:
        client.ehlo()
        client.mail("bob@example.net")
        code, _ = client.docmd("RCPT", f"TO:<{recipient}>")
        assert code >= 500


def _submit(submitting: Submitting) -> None:
    """Let alice send what is put off, and what comes back to her."""
    node = submitting.node
    with submitting.connect_from(GOOD) as client:
        client.login(NAME, PASSWORD)
        for domain in ("deferred.example", "bounced.example"):
            client.sendmail("alice@example.org", [f"x@{domain}"], TEXT)
    node.wait_log("to=<x@deferred.example>, .*status=deferred")
    node.wait_log("to=<x@bounced.example>, .*status=bounced")
    node.wait_for(lambda: len(node.files.mails("alice")) == 3, "the bounce")


@pytest.fixture(params=["traditional", "RFC 3339"])
def log(request: pytest.FixtureRequest, lines: list[str], tmp_path: Path) -> Path:
    """Give that log as a file, with the stamps of standard error and of `to = "file"`."""
    path = tmp_path / "mail.log"
    text = "".join(lines)
    if request.param == "RFC 3339":
        text = re.sub(r"^\w{3} .\d (\S+)", r"2026-11-22T\1Z", text, flags=re.MULTILINE)
    path.write_text(text)
    return path


@pytest.mark.peer("pflogsumm")
def test_pflogsumm_counts_what_happened(log: Path) -> None:
    summary = subprocess.run(
        command("pflogsumm", "pflogsumm", log), capture_output=True, text=True, check=True
    )
    assert not summary.stderr
    totals = {name: int(number) for number, name in _TOTAL.findall(summary.stdout)}
    rejects = sum("reject: " in line for line in log.read_text().splitlines())
    assert totals == {
        "received": 4,
        "delivered": 3,
        "forwarded": 0,
        "deferred": 1,
        "bounced": 1,
        "rejected": rejects,
        "senders": 2,
        "recipients": 1,
    }
    assert rejects == 4 + MAX_ERRORS
    assert "message deferral detail" in summary.stdout
    assert "Recipient address rejected: User unknown" in summary.stdout
    assert "Relay access denied" in summary.stdout
    assert "(sender not in log)" not in summary.stdout


_TOTAL = re.compile(
    r"^ +(\d+)\w? +(received|delivered|forwarded|deferred|bounced|rejected|"
    r"senders|recipients)\b",
    re.MULTILINE,
)


@pytest.mark.peer("fail2ban")
@pytest.mark.parametrize("mode", FOUND)
def test_fail2ban_finds_who_misbehaves(log: Path, mode: str) -> None:
    """And nobody who does not, whatever somebody says in an address."""
    assert _find(log, f"postfix[mode={mode}]") == FOUND[mode]


def _find(log: Path, pattern: str) -> set[str]:
    asked = command("fail2ban", "fail2ban-regex", "--out", "ip", "--usedns", "no", log, pattern)
    done = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return set(done.stdout.split())

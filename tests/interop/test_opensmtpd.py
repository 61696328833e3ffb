"""OpenSMTPD sends to us: over any TLS, or only where it can verify our name. It sends no SNI.

Where its queue, its socket and its empty folder are was decided when it was built: it gets these,
and a hosts file, as mounts of its own.
"""

import re
import shutil
import smtplib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.free_ports import free_port
from tests.interop.log_verdicts import LEFT_WITHOUT_MAIL
from tests.interop.logging_process import LoggingProcess
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, running
from tests.network.certificates import authority, issue
from tests.peers import command, environment, mounted, require_mounts

pytestmark = pytest.mark.peer("opensmtpd")

HOST = "mx.example.org"
IP = "127.0.0.1"
HELO = "opensmtpd.test"
# A submission without these would get them.
MESSAGE = (
    "Subject: hello\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@x>\r\n\r\nhello\r\n"
)
DOMAINS = ("verify.example", "may.example", "other-name.example", "other-ca.example")

_CONFIG = """\
listen on {ip} port {port}
# It waits 5 s between connections to one host.
mta limit conn-delay-route 0
mta limit conn-delay-host 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
# Chosen by the name that it gives in EHLO; others get the system's authorities.
ca "{helo}" cert "{folder}/authority.pem"
action "verify" relay host "smtp+tls://{host}:{to_port}" helo "{helo}"
action "may" relay host "smtp://{host}:{to_port}" helo "stranger.test"
action "other-name" relay host "smtp+tls://mx.other.example:{to_port}" helo "{helo}"
action "other-ca" relay host "smtp+tls://{host}:{to_port}" helo "stranger.test"
match from any for domain "verify.example" action "verify"
match from any for domain "may.example" action "may"
match from any for domain "other-name.example" action "other-name"
match from any for domain "other-ca.example" action "other-ca"
"""


@dataclass
class Both:
    """An OpenSMTPD that sends, and a node of ours that it sends to."""

    opensmtpd: LoggingProcess
    node: RunningNode
    port: int

    def send(self, domain: str, text: str = MESSAGE, *, user: str = "alice") -> str:
        """Give OpenSMTPD a message; gives its id for it."""
        with smtplib.SMTP(IP, self.port, "writer.example", timeout=PATIENCE) as smtp:
            smtp.ehlo()
            # From nobody: what fails is not returned.
            smtp.mail("")
            smtp.rcpt(f"{user}@{domain}")
            code, reply = smtp.data(text)
        found = re.fullmatch(rb"2\.0\.0 (\w+) Message accepted for delivery", reply)
        assert found is not None, (code, reply)
        return found[1].decode()

    def wait_end(self, message_id: str) -> re.Match[str]:
        """Wait until it has tried to deliver; gives session, result and the reply to it."""
        shape = rf'(\w+) mta delivery evpid={message_id}\w+ .* result="(\w+)" stat="(.*)"'
        return self.opensmtpd.wait_log(shape)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    require_mounts("opensmtpd")
    files = NodeFiles(tmp_path_factory.mktemp("node"), domains=DOMAINS)
    files.add_certificate(issue((HOST,)))
    # Not in pytest's folder: its accounts may not enter that.
    folder = Path(tempfile.mkdtemp(prefix="letterlock-opensmtpd-"))
    try:
        with running(files) as node, _running_opensmtpd(folder, node) as both:
            yield both
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running_opensmtpd(folder: Path, node: RunningNode) -> Iterator[Both]:
    port = free_port(IP)
    folder.chmod(0o755)
    (folder / "authority.pem").write_bytes(authority().pem)
    (folder / "hosts").write_text(f"{IP} localhost\n{IP} {HOST} mx.other.example\n")
    settings = {"ip": IP, "port": port, "to_port": node.port, "host": HOST, "helo": HELO}
    config = folder / "smtpd.conf"
    config.write_text(_CONFIG.format(folder=folder, **settings))
    for name in ("spool", "lib", "run"):
        (folder / name).mkdir()
    (folder / "spool" / "smtpd").mkdir(mode=0o711)
    (folder / "lib" / "opensmtpd" / "empty").mkdir(parents=True)
    mounts = {
        "/var/spool": folder / "spool",
        "/var/lib": folder / "lib",
        "/run": folder / "run",
        "/etc/hosts": folder / "hosts",
    }
    opensmtpd = LoggingProcess(
        mounted(mounts, command("opensmtpd", "smtpd", "-d", "-f", config)),
        folder / "log",
        is_stderr=True,
        environment=environment("opensmtpd"),
    )
    try:
        opensmtpd.wait_banner(IP, port)
        yield Both(opensmtpd, node, port)
    finally:
        opensmtpd.stop()


@pytest.mark.parametrize(
    ("domain", "check"), [("verify.example", "success"), ("may.example", "failure")]
)
def test_opensmtpd_delivers_and_both_logs_agree(both: Both, domain: str, check: str) -> None:
    """RFC 3207 §4: the same version, cipher and queue id on both sides."""
    since = len(both.node.lines)
    message_id = both.send(domain)
    session, result, reply = both.wait_end(message_id).groups()
    assert result == "Ok"
    told = re.fullmatch(r"250 2\.0\.0 Ok: queued as (\w+)", reply)
    assert told is not None, reply
    both.node.wait_log(rf"{told[1]}: to=<alice@{domain}>, relay=local.*status=sent", since=since)
    both.opensmtpd.wait_log(rf'{session} mta server-cert-check result="{check}"')
    theirs = both.opensmtpd.wait_log(rf"{session} mta tls ciphers=(\S+?):(\S+):(\d+)")
    ours = both.node.wait_log(
        r"established from \S+: (\S+) with cipher (\S+) \((\d+)/.*, sni none$", since=since
    )
    assert theirs.groups() == ours.groups()
    (mail,) = both.node.files.mails(domain=domain)
    assert f"with ESMTPS id {told[1]}" in mail
    assert f"id {message_id}" in mail, "OpenSMTPD's own Received line is kept"


def test_a_message_of_opensmtpd_arrives_whole(both: Both) -> None:
    """RFC 5321 §4.5.2: dots; and many lines."""
    body = ".\r\n..\r\n.hidden\r\n" + "".join(
        f"{number:06} {'x' * (number % 70)}\r\n" for number in range(20_000)
    )
    header = MESSAGE.partition("\r\n\r\n")[0].replace("hello", "large")
    reply = both.wait_end(both.send("verify.example", f"{header}\r\n\r\n{body}"))[3]
    told = reply.rpartition(" ")[2]
    both.node.wait_log(rf"{told}: to=<alice@verify\.example>.*status=sent")
    (mail,) = [mail for mail in both.node.files.mails(domain="verify.example") if told in mail]
    assert mail.endswith(f"{header}\r\n\r\n{body}".replace("\r\n", "\n"))


def test_opensmtpd_hears_of_an_unknown_recipient(both: Both) -> None:
    """RFC 5321 §4.2.3."""
    end = both.wait_end(both.send("verify.example", user="nobody"))
    assert end[2] == "PermFail"
    assert end[3].startswith("550 5.1.1 ")


@pytest.mark.parametrize(
    ("domain", "reason"),
    [("other-name.example", "no match for 'mx.other.example' in cert"), ("other-ca.example", None)],
)
def test_opensmtpd_sends_nothing_where_it_cannot_verify_us(
    both: Both, domain: str, reason: str | None
) -> None:
    """RFC 9525 §6.3, RFC 5280 §6: a session with TLS, no MAIL."""
    since, theirs = len(both.node.lines), len(both.opensmtpd.lines)
    both.send(domain)
    failed = both.opensmtpd.wait_log(
        r"(\w+) mta error reason=SSL certificate check failed", since=theirs
    )
    if reason is not None:
        both.opensmtpd.wait_log(rf"{failed[1]} mta ssl_check_name: {reason}")
    both.node.wait_log(rf"{LEFT_WITHOUT_MAIL}.* starttls=1", since=since)
    assert not both.node.files.mails(domain=domain)

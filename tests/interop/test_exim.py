"""Exim sends to us: by BDAT, and with GnuTLS instead of OpenSSL."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.log_verdicts import LEFT_WITHOUT_MAIL
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, running
from tests.network.certificates import authority, issue
from tests.peers import MISSING, environment, program

pytestmark = pytest.mark.peer("exim")

ACCOUNT = "Debian-exim"
HOST = "mx.example.org"

_CONFIG = """\
primary_hostname = exim.test
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
log_selector = +smtp_confirmation +tls_sni
deliver_drop_privilege = true
trusted_users = {account}
host_lookup =
keep_environment =
acl_not_smtp = accept

begin routers
out:
  driver = manualroute
  # Its certificate has the name localhost, and not the address.
  route_list = right.example localhost byname ; wrong.example 127.0.0.1
  self = send
  transport = smtp

begin transports
smtp:
  driver = smtp
  port = {port}
  allow_localhost = true
  hosts_require_tls = *
  hosts_try_chunking = *
  tls_verify_certificates = {folder}/authority.pem
  tls_verify_hosts = *
  tls_sni = {sni}

begin retry
* * F,1d,1h
"""


@dataclass
class Exim:
    """An Exim without a daemon: each message is delivered by the process that takes it."""

    folder: Path
    node: RunningNode

    def send(self, content: bytes, *to: str, sender: str = "bob@example.net") -> str:
        """Send a message, by now delivered or deferred; gives what the log has of it."""
        log = self.folder / "log" / "mainlog"
        before = log.stat().st_size if log.exists() else 0
        done = subprocess.run(
            [
                *(program("exim4", "exim"), "-C", self.folder / "config", "-odf", "-i"),
                *("-f", sender or "<>", *to),
            ],
            env=environment("exim"),
            input=content,
            capture_output=True,
            user=ACCOUNT if os.geteuid() == 0 else None,
            group=ACCOUNT if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
            cwd=self.folder,
            timeout=PATIENCE,
            check=True,
        )
        assert not done.stderr, done.stderr
        return log.read_bytes()[before:].decode()

    def wait_for_mail(self, logged: str) -> str:
        """Wait until the message that Exim's log tells of is in its mailbox; gives its text."""
        found = re.search(r"queued as (\w+)", logged)
        assert found is not None, logged
        self.node.wait_log(rf"{found[1]}: to=<alice@right.example>.*status=sent")
        mails = self.node.files.mails(domain="right.example")
        (mail,) = [mail for mail in mails if f"id {found[1]}" in mail]
        return mail


@pytest.fixture(scope="module")
def exim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exim]:
    if os.geteuid() != 0 and pwd.getpwuid(os.geteuid()).pw_name != ACCOUNT:
        pytest.skip(f"{MISSING}exim (it takes a configuration from root or its account only)")
    files = NodeFiles(tmp_path_factory.mktemp("node"), domains=("right.example", "wrong.example"))
    files.add_certificate(issue((HOST, "localhost")))
    # Not in pytest's folder: the account may not enter that.
    folder = Path(tempfile.mkdtemp(prefix="letterlock-exim-"))
    try:
        with running(files) as node:
            _set_up(folder, node.port)
            yield Exim(folder, node)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _set_up(folder: Path, port: int) -> None:
    folder.chmod(0o755)
    (folder / "authority.pem").write_bytes(authority().pem)
    config = _CONFIG.format(folder=folder, account=ACCOUNT, port=port, sni=HOST)
    (folder / "config").write_text(config)
    for name in ("spool", "log"):
        (folder / name).mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder / name, ACCOUNT)


def test_exim_delivers_by_bdat_over_a_verified_channel(exim: Exim) -> None:
    """RFC 3030 §2: octets are counted, dots are not doubled."""
    since = len(exim.node.lines)
    body = b".\n..\n.hidden\nhello\n"
    logged = exim.send(b"Subject: chunks\n\n" + body, "alice@right.example")
    assert "CV=yes" in logged, logged
    assert re.search(r" => alice@right\.example .* K ", logged), "Exim marks BDAT by K"
    mail = exim.wait_for_mail(logged)
    assert mail.endswith("\n\n" + body.decode())
    theirs = re.search(r"X=TLS(1\.\d):\S*?AES_(\d+)_GCM\S*:(\d+)", logged)
    assert theirs is not None, logged
    ours = exim.node.wait_log(
        rf"established from \S+: TLSv(\S+) with cipher \S*AES_(\d+)_GCM\S* \((\d+)/.*sni {HOST}",
        since=since,
    )
    assert ours.groups() == theirs.groups()
    exim.node.wait_log(r"disconnect from \S+ .*bdat=1", since=since)


def test_a_large_message_of_exim_arrives_whole(exim: Exim) -> None:
    """RFC 3030 §2: in many chunks."""
    body = "".join(f"{number:06} {'x' * (number % 70)}\n" for number in range(80_000))
    logged = exim.send(f"Subject: large\n\n{body}".encode(), "alice@right.example")
    mail = exim.wait_for_mail(logged)
    assert mail.partition("\n\n")[2] == body


def test_exim_hears_who_is_unknown(exim: Exim) -> None:
    """RFC 5321 §4.2.3; the other recipient gets the message."""
    # From nobody: what fails is not returned.
    both = ("alice@right.example", "nobody@right.example")
    logged = exim.send(b"Subject: two\n\nhello\n", *both, sender="")
    assert re.search(r"\*\* nobody@right\.example .*550 5\.1\.1 ", logged), logged
    exim.wait_for_mail(logged)


def test_exim_defers_where_our_certificate_has_another_name(exim: Exim) -> None:
    """RFC 9525 §6.3: no MAIL came."""
    since = len(exim.node.lines)
    logged = exim.send(b"Subject: wrong\n\nhello\n", "alice@wrong.example")
    assert re.search(r" == alice@wrong\.example .*defer", logged), logged
    exim.node.wait_log(LEFT_WITHOUT_MAIL, since=since)
    assert not exim.node.files.mails(domain="wrong.example")

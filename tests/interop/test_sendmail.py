"""sendmail sends to us: what a server must prove is in its access map. It sends no SNI.

It runs with a host name and a hosts file of its own: it waits a minute where it cannot find the
machine's name with a domain.
"""

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
from tests.peers import command, environment, find_program, mounted, program, require_mounts

pytestmark = pytest.mark.peer("sendmail")

IP = "127.0.0.1"
VERIFIED, OTHER_NAME, UNVERIFIED = HOSTS = ("mx.example.org", "mx.other.example", "mx.may.example")
"""Names of one server; each is a domain, too, whose mail goes there."""
STRANGE = ("-OCACertFile=/dev/null",)
"""The option to know no authority."""

# `QUEUE_LA`: it delivers however busy the machine is.
# `SetCertAltnames`: the wanted name (+CN) may be any that the certificate has.
_CONFIG = """\
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `sendmail.test')dnl
define(`QUEUE_DIR', `{folder}/queue')dnl
define(`STATUS_FILE', `{folder}/statistics')dnl
define(`ALIAS_FILE', `')dnl
define(`confDONT_PROBE_INTERFACES', `true')dnl
define(`confSERVICE_SWITCH_FILE', `{folder}/services')dnl
define(`confDONT_BLAME_SENDMAIL', `MapInUnsafeDirPath')dnl
define(`confDOUBLE_BOUNCE_ADDRESS', `')dnl
define(`confQUEUE_LA', `10000')dnl
define(`confCACERT', `{folder}/authority.pem')dnl
define(`confCACERT_PATH', `{folder}')dnl
define(`confLOG_LEVEL', `14')dnl
define(`ESMTP_MAILER_ARGS', `TCP $h {port}')dnl
FEATURE(`nocanonify')dnl
FEATURE(`access_db', `hash -T<TMPF> {folder}/access')dnl
FEATURE(`check_cert_altnames')dnl
MAILER(`smtp')dnl
"""
_ACCESS = f"""\
TLS_Srv:{VERIFIED}\tVERIFY:256+CN
TLS_Srv:{OTHER_NAME}\tVERIFY:256+CN
"""
_NAMED = ("unshare", "--uts", "sh", "-c", 'hostname sendmail.test && exec "$@"', "sh")
HEADER = "Subject: hello\nDate: Thu, 1 Jan 2026 00:00:00 +0000\nMessage-ID: <1@x>\n\n"


@dataclass
class Both:
    """A sendmail without a daemon, which delivers before it ends; and the node that it sends to."""

    folder: Path
    node: RunningNode

    def send(self, to: str, *options: str, body: str = "hello\n") -> str:
        """Send a message, by now delivered or deferred; gives what is logged of it."""
        sendmail = command(
            "sendmail",
            "sendmail",
            *("-C", self.folder / "sendmail.cf", *options),
            # Its log goes to standard output, not to syslog.
            *("-d89.8", "-odi", "-i", "-f", "<>", to),
        )
        done = subprocess.run(
            mounted({"/etc/hosts": self.folder / "hosts"}, [*_NAMED, *sendmail]),
            env=environment("sendmail"),
            input=HEADER + body,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert not done.stderr, done.stderr
        return done.stdout

    def wait_for_mail(self, logged: str) -> str:
        """Wait until the message that its log tells of is in its mailbox; gives its text."""
        found = re.search(r"to=alice@([^,]+), .*stat=Sent \(Ok: queued as (\w+)\)", logged)
        assert found is not None, logged
        self.node.wait_log(rf"{found[2]}: to=<alice@{found[1]}>.*status=sent")
        mails = self.node.files.mails(domain=found[1])
        (mail,) = [mail for mail in mails if f"with ESMTPS id {found[2]}\n" in mail]
        return mail


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    require_mounts("sendmail")
    files = NodeFiles(tmp_path_factory.mktemp("node"), domains=HOSTS)
    # Its subject is the first name: the other one is among the alternative names only.
    files.add_certificate(issue(("first.example", VERIFIED)))
    folder = Path(tempfile.mkdtemp(prefix="letterlock-sendmail-"))
    try:
        with running(files) as node:
            _set_up(folder, node.port)
            yield Both(folder, node)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _set_up(folder: Path, port: int) -> None:
    (folder / "authority.pem").write_bytes(authority().pem)
    # A line for each: the first name of a line is the one that it goes by.
    hosts = "".join(f"{IP} {host}\n" for host in HOSTS)
    (folder / "hosts").write_text(f"{IP} localhost sendmail.test\n{hosts}")
    (folder / "services").write_text("hosts files\naliases files\n")
    (folder / "statistics").touch()
    (folder / "queue").mkdir()
    library = program("sendmail", "sendmail").parents[2] / "share" / "sendmail" / "cf"
    m4 = find_program("m4", "sendmail") or program("m4")
    config = _run(
        [m4, f"-D_CF_DIR_={library}/", library / "m4" / "cf.m4", "-"],
        _CONFIG.format(folder=folder, port=port),
    )
    (folder / "sendmail.cf").write_text(config)
    makemap = command("sendmail", "makemap", "-C", folder / "sendmail.cf", "hash")
    _run([*makemap, folder / "access"], _ACCESS)


def _run(words: list[str | Path], text: str) -> str:
    done = subprocess.run(
        words,
        env=environment("sendmail"),
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("host", "options", "verify"),
    [
        (VERIFIED, (), "OK"),
        (UNVERIFIED, (), "OK"),
        (UNVERIFIED, STRANGE, "FAIL"),
    ],
)
def test_sendmail_delivers_and_both_logs_agree(
    both: Both, host: str, options: tuple[str, ...], verify: str
) -> None:
    """RFC 3207 §4: the same version, cipher and queue id on both sides."""
    since = len(both.node.lines)
    logged = both.send(f"alice@{host}", *options)
    mail = both.wait_for_mail(logged)
    theirs = re.search(
        r"STARTTLS=client, relay=(\S+?)\.?, version=(\S+), verify=(\S+), cipher=(\S+), bits=(\S+)",
        logged,
    )
    assert theirs is not None, logged
    assert theirs[1] == host
    assert theirs[3] == verify
    ours = both.node.wait_log(
        r"established from \S+: (\S+) with cipher (\S+) \((\S+) bits\) .*, sni none$", since=since
    )
    assert ours.groups() == theirs.group(2, 4, 5)
    their_id = re.search(r"(\w+): from=<>, ", logged)
    assert their_id is not None, logged
    assert f"id {their_id[1]}" in mail, "sendmail's own Received line is kept"


def test_a_message_of_sendmail_arrives_whole(both: Both) -> None:
    """RFC 5321 §4.5.2: dots; and many lines."""
    body = ".\n..\n.hidden\n" + "".join(
        f"{number:06} {'x' * (number % 70)}\n" for number in range(20_000)
    )
    mail = both.wait_for_mail(both.send(f"alice@{VERIFIED}", body=body))
    assert mail.partition("\n\n")[2] == body


def test_sendmail_hears_of_an_unknown_recipient(both: Both) -> None:
    """RFC 5321 §4.2.3."""
    logged = both.send(f"nobody@{VERIFIED}")
    assert re.search(r"to=nobody@\S+, .*dsn=5\.1\.1, .*stat=User unknown", logged), logged


@pytest.mark.parametrize(
    ("host", "options", "reason"),
    [
        (OTHER_NAME, (), "CN first.example does not match mx.other.example"),
        (
            VERIFIED,
            STRANGE,
            "authentication failed",
        ),
    ],
)
def test_sendmail_sends_nothing_where_it_cannot_verify_us(
    both: Both, host: str, options: tuple[str, ...], reason: str
) -> None:
    """RFC 9525 §6.3, RFC 5280 §6: a session with TLS, no MAIL."""
    since, before = len(both.node.lines), both.node.files.mails(domain=host)
    logged = both.send(f"alice@{host}", *options)
    assert re.search(rf"ruleset=tls_server, .*reject=454 4\.7\.0 {reason}", logged), logged
    assert re.search(r"to=alice@\S+, .*dsn=4\.\d\.\d, stat=Deferred", logged), logged
    both.node.wait_log(rf"{LEFT_WITHOUT_MAIL}.* starttls=1", since=since)
    assert both.node.files.mails(domain=host) == before

"""Dovecot's login service, the real one."""

import asyncio
import getpass
import grp
import os
import pwd
import smtplib
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from letterlock.network.dovecot_auth import DovecotAuth
from letterlock.protocols.sasl.dovecot import Accepted, Denied, NotAnswered
from tests.journeys.running_node import NodeFiles, mx_certificate, running
from tests.network.certificates import authority
from tests.peers import find_program

pytestmark = pytest.mark.peer("dovecot")

PATIENCE = 60.0
SETTINGS = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
protocols =
ssl = no
auth_mechanisms = plain login
passdb {{
  driver = passwd-file
  args = {folder}/passwords
}}
service auth {{
  user = {user}
  unix_listener {folder}/auth-client {{
    mode = 0600
    user = {user}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


def _accounts() -> dict[str, str]:
    """Give the accounts that Dovecot's processes take; without root there is only our own."""
    user = getpass.getuser()
    if os.geteuid() == 0:
        return {"internal": "dovecot", "group": "dovecot", "login": "dovenull", "user": user}
    group = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    return {"internal": user, "group": group, "login": user, "user": user}


@contextmanager
def running_dovecot(settings: str = SETTINGS) -> Iterator[Path]:
    """Run it with the account alice@example.org; gives the socket of its login service."""
    # Not below pytest's own folder, which each pytest that starts closes to others: a socket's path
    # has 107 octets at most, and users of Dovecot and Postfix must be able to go there.
    with tempfile.TemporaryDirectory(prefix="letterlock-dovecot-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _running_dovecot(folder, settings) as socket:
            yield socket


@contextmanager
def _running_dovecot(folder: Path, settings: str) -> Iterator[Path]:
    (folder / "passwords").write_text("alice@example.org:{PLAIN}correct horse\n")
    (folder / "dovecot.conf").write_text(settings.format(folder=folder, **_accounts()))
    command = [str(find_program("dovecot")), "-F", "-c", str(folder / "dovecot.conf")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_for(folder / "auth-client", process)
        yield folder / "auth-client"
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def auth_socket() -> Iterator[Path]:
    with running_dovecot() as socket:
        yield socket


def _wait_for(socket: Path, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + PATIENCE
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > end:
            assert process.stderr is not None
            raise AssertionError(process.stderr.read().decode())
        time.sleep(0.02)  # no event tells


@pytest.mark.parametrize("name", ["alice@example.org", "Alice@Example.ORG"])
async def test_dovecot_knows_the_right_password(auth_socket: Path, name: str) -> None:
    answer = await DovecotAuth(auth_socket).ask(name, "correct horse", "192.0.2.1")
    assert answer == Accepted("alice@example.org")


@pytest.mark.parametrize(
    ("name", "password"), [("alice@example.org", "wrong"), ("nobody@example.org", "correct horse")]
)
async def test_dovecot_knows_a_wrong_one(auth_socket: Path, name: str, password: str) -> None:
    assert await DovecotAuth(auth_socket).ask(name, password, "2001:db8::1") == Denied()


async def test_two_connections_at_once_are_two_clients(auth_socket: Path) -> None:
    """Dovecot takes no second connection of one number."""
    auth = DovecotAuth(auth_socket)
    asked = (auth.ask("alice@example.org", word, "192.0.2.1") for word in ("correct horse", "no"))
    answers = await asyncio.gather(*asked)
    assert answers == [Accepted("alice@example.org"), Denied()]
    assert not any(isinstance(answer, NotAnswered) for answer in answers)


def test_a_node_lets_in_whom_dovecot_knows(auth_socket: Path, tmp_path: Path) -> None:
    files = NodeFiles(tmp_path / "node")
    files.add_certificate(mx_certificate())
    files.set(
        "submission",
        enabled=True,
        listen=["127.0.0.1:0"],
        listen_starttls=[],
        accounts="dovecot",
        dovecot_socket=str(auth_socket),
    )
    context = ssl.create_default_context(cadata=authority().pem.decode("ascii"))
    context.check_hostname = False
    with running(files) as node:
        port = int(node.wait_log(r"taking submissions on \S+:(\d+) \(TLS\)")[1])
        with smtplib.SMTP_SSL("127.0.0.1", port, timeout=PATIENCE, context=context) as client:
            client.ehlo()
            assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("alice@example.org", "wrong")
            client.login("alice@example.org", "correct horse")
            assert client.mail("bob@example.org")[0] == 550
            assert client.mail("alice@example.org")[0] == 250

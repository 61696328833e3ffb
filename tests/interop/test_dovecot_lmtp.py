"""Dovecot takes mail from us by LMTP: over a unix socket and over TCP, with an answer for each.

RFC 2033.
"""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from letterlock.protocols.tables.transport import LmtpHost, LmtpSocket
from letterlock.services.queue.outcomes import Result
from tests.interop.logging_process import LoggingProcess
from tests.interop.postfix_instance import free_port
from tests.journeys.running_node import NodeFiles, running
from tests.peers import MISSING, command, miss_peer
from tests.services.deliver.outbound import CONTENT, sending
from tests.services.deliver.test_lmtp import lmtp

pytestmark = pytest.mark.peer("dovecot")

NODE = "127.0.0.1"
USERS = ("alice@example.org", "full@example.org")

CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp
ssl = no
recipient_delimiter = +
default_internal_user = {account}
default_login_user = {account}
default_internal_group = {group}
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%u
mail_plugins = quota
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
plugin {{
  quota = maildir:User quota
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


@dataclass
class Dovecot:
    """One that runs."""

    folder: Path
    port: int

    def mails(self, user: str) -> list[bytes]:
        new = self.folder / "mail" / user / "new"
        return [path.read_bytes() for path in new.iterdir()] if new.is_dir() else []


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    if os.geteuid() != 0:
        miss_peer(f"{MISSING}dovecot (its master starts as root only)")
    folder = Path(tempfile.mkdtemp(prefix="letterlock-dovecot-"))
    folder.chmod(0o755)
    port = free_port(NODE)
    try:
        nobody = pwd.getpwnam("nobody")
        (folder / "mail").mkdir()
        shutil.chown(folder / "mail", nobody.pw_uid, nobody.pw_gid)
        quota = {"full@example.org": "userdb_quota_rule=*:bytes=10"}
        (folder / "users").write_text(
            "".join(
                f"{user}:{{PLAIN}}x:{nobody.pw_uid}:{nobody.pw_gid}::{folder}/mail/{user}::"
                f"{quota.get(user, '')}\n"
                for user in USERS
            )
        )
        settings = {"folder": folder, "port": port, "account": "dovecot", "group": "dovecot"}
        (folder / "dovecot.conf").write_text(CONFIG.format(**settings))
        words = command("dovecot", "dovecot", "-F", "-c", folder / "dovecot.conf")
        process = LoggingProcess(words, folder / "log")
        try:
            process.wait_log("starting up")
            process.wait_banner(NODE, port)
            yield Dovecot(folder, port)
        finally:
            process.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("is_socket", [True, False])
async def test_dovecot_answers_for_each_recipient(
    dovecot: Dovecot, tmp_path: Path, *, is_socket: bool
) -> None:
    """Taken, unknown, over quota: RFC 2033 §4.2."""
    socket, host = LmtpSocket(str(dovecot.folder / "lmtp")), LmtpHost(NODE, dovecot.port)
    before = len(dovecot.mails(USERS[0]))
    async with sending(tmp_path) as node:
        await node.save("alice@example.org", "nobody@example.org", "full@example.org")
        claim = await node.claim()
        server = socket if is_socket else host
        delivery = await lmtp(node).deliver(claim, server, node.store)
    found = {each.number: (each.result, each.status) for each in delivery.outcomes}
    assert found == {
        0: (Result.DELIVERED, "2.0.0"),
        1: (Result.FAILED, "5.1.1"),
        2: (Result.FAILED, "5.2.2"),
    }
    mails = dovecot.mails(USERS[0])
    assert len(mails) == before + 1
    text = mails[-1].replace(b"\r\n", b"\n")
    assert text.startswith(b"Return-Path: <alice@example.org>\n")
    assert text.endswith(CONTENT.replace(b"\r\n", b"\n").partition(b"\n\n")[2])


def test_a_node_hands_its_mail_to_dovecot(dovecot: Dovecot, tmp_path: Path) -> None:
    """`local.lmtp`, and aliases before it; who is not named in `mailboxes` is unknown."""
    files = NodeFiles(tmp_path)
    files.change("local", lmtp=f"unix:{dovecot.folder / 'lmtp'}")
    (tmp_path / "aliases").write_text("team: alice\n")
    files.change("maps", aliases=str(tmp_path / "aliases"))
    before = len(dovecot.mails(USERS[0]))
    with running(files) as node:
        queue_id = node.send(to="team@example.org")
        node.wait_log(
            rf"{queue_id}: to=<alice@example.org>, relay=mx.example.org\[{dovecot.folder}/lmtp\],"
            r".*dsn=2.0.0, status=sent \(250 2.0.0 <alice@example.org> \S+ Saved\)"
        )
    assert len(dovecot.mails(USERS[0])) == before + 1
    assert files.mails("alice") == []


async def test_dovecot_has_the_extension(dovecot: Dovecot, tmp_path: Path) -> None:
    """It gets the address as it came: its own `recipient_delimiter` splits it."""
    before = len(dovecot.mails(USERS[0]))
    async with sending(tmp_path) as node:
        await node.save("alice+tag@example.org")
        claim = await node.claim()
        server = LmtpSocket(str(dovecot.folder / "lmtp"))
        delivery = await lmtp(node).deliver(claim, server, node.store)
    assert [each.result for each in delivery.outcomes] == [Result.DELIVERED]
    assert len(dovecot.mails(USERS[0])) == before + 1

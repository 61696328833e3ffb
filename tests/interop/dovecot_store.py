"""A Dovecot of the tests' own that keeps mailboxes (LMTP) and knows their passwords (SASL)."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.free_ports import free_port
from tests.interop.logging_process import LoggingProcess
from tests.peers import MISSING, command, miss_peer

HOST = "127.0.0.1"
ALICE, FULL = "alice@example.org", "full@example.org"
"""Its accounts; the mailbox of the second has no room left."""
PASSWORD = "correct horse"

_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp
ssl = no
recipient_delimiter = +
auth_mechanisms = plain login
auth_failure_delay = 0 secs
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
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
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
    """One that runs; `port` is LMTP's."""

    folder: Path
    port: int

    @property
    def lmtp(self) -> Path:
        return self.folder / "lmtp"

    @property
    def auth(self) -> Path:
        return self.folder / "auth"

    def mails(self, user: str = ALICE) -> list[bytes]:
        new = self.folder / "mail" / user / "new"
        return [path.read_bytes() for path in new.iterdir()] if new.is_dir() else []


@contextmanager
def running_dovecot_store() -> Iterator[Dovecot]:
    """Run it; as root only."""
    if os.geteuid() != 0:
        miss_peer(f"{MISSING}dovecot (its master starts as root only)")
    # Not below pytest's own folder: a socket's path has 107 octets at most, and dovecot's users
    # must be able to go there.
    folder = Path(tempfile.mkdtemp(prefix="letterlock-dovecot-"))
    folder.chmod(0o755)
    port = free_port(HOST)
    try:
        _write_users(folder)
        settings = {"folder": folder, "port": port, "account": "dovecot", "group": "dovecot"}
        (folder / "dovecot.conf").write_text(_CONFIG.format(**settings))
        words = command("dovecot", "dovecot", "-F", "-c", folder / "dovecot.conf")
        process = LoggingProcess(words, folder / "log")
        try:
            process.wait_log("starting up")
            process.wait_banner(HOST, port)
            yield Dovecot(folder, port)
        finally:
            process.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_users(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    (folder / "mail").mkdir()
    shutil.chown(folder / "mail", nobody.pw_uid, nobody.pw_gid)
    quota = {FULL: "userdb_quota_rule=*:bytes=10"}
    (folder / "users").write_text(
        "".join(
            f"{user}:{{PLAIN}}{PASSWORD}:{nobody.pw_uid}:{nobody.pw_gid}::{folder}/mail/{user}::"
            f"{quota.get(user, '')}\n"
            for user in (ALICE, FULL)
        )
    )

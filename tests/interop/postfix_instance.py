"""A Postfix of the tests' own, as root: own configuration, queue and log, on loopback.

The system's or a newer one: the fixture `postfix_peer` names each of them.
`master` is started directly, so that nothing of the system's Postfix is read or changed. Listening
addresses are in master.cf: `inet_interfaces` takes addresses of an interface only, and most of
127.0.0.0/8 is on none.
"""

import os
import pwd
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from letterlock.protocols.pki.throwaway_ca import Issued
from tests.interop.logging_process import LoggingProcess
from tests.journeys.running_node import PATIENCE
from tests.network.certificates import write_pair
from tests.peers import MISSING, command, is_foreign, miss_peer, mounted, require_mounts

MESSAGE = "Subject: hello\r\n\r\nhello\r\n"
_OURS = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming")
_MODES = {"private": 0o700, "saved": 0o700, "trace": 0o700, "public": 0o710, "maildrop": 0o1730}
_NOBODY = 65534

_MASTER = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsproxy unix - - n - 0 tlsproxy
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass
class PostfixFiles:
    """Its folder: configuration, queue, log; no process yet. `mailboxes`: addresses it delivers.

    It can reach whatever lies outside `/usr`, sockets included. `mounts` are files that only it
    sees, by path: a hosts file, say.
    """

    folder: Path
    peer: str = "postfix"
    settings: dict[str, str] = field(default_factory=dict)
    mailboxes: tuple[str, ...] = ()
    services: list[str] = field(default_factory=list)
    mounts: dict[str, Path] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def log(self) -> Path:
        return self.folder / "maillog"

    @property
    def environment(self) -> dict[str, str]:
        """For Postfix's programs that take no `-c`."""
        return {**os.environ, "MAIL_CONFIG": str(self.config)}

    def add_certificate(self, issued: Issued, name: str) -> dict[str, str]:
        """Write a certificate; gives the settings that name it."""
        certificate, key = write_pair(self.folder, issued, name)
        return {"smtpd_tls_cert_file": str(certificate), "smtpd_tls_key_file": str(key)}

    def add_server(self, ip: str, port: int, **settings: str) -> None:
        """Listen there, with settings of its own."""
        self.services.append(f"{ip}:{port} inet n - n - - smtpd{_options(settings)}")

    def add_client(self, name: str, **settings: str) -> None:
        """Add a transport: an SMTP client with settings of its own, named in its log lines."""
        options = {"syslog_name": f"postfix/{name}", **settings}
        self.services.append(f"{name} unix - - n - - smtp{_options(options)}")

    def write(self) -> None:
        self.config.mkdir(exist_ok=True)
        boxes = self.folder / "mailboxes"
        boxes.write_text("".join(f"{box} {_maildir(box)}/\n" for box in self.mailboxes))
        lines = (f"{key} = {value}\n" for key, value in (self._defaults() | self.settings).items())
        (self.config / "main.cf").write_text("".join(lines))
        (self.config / "master.cf").write_text("\n".join(self.services) + "\n" + _MASTER)

    def make_queue(self) -> None:
        """Make the folders that Postfix wants to find, its own where they must be."""
        postfix = pwd.getpwnam("postfix")
        queue, data, mail = (self.folder / name for name in ("queue", "data", "mail"))
        for name in ("", "pid"):
            (queue / name).mkdir()
            (queue / name).chmod(0o755)
        for name in (*_OURS, *_MODES):
            (queue / name).mkdir()
            group = "postdrop" if name in ("public", "maildrop") else postfix.pw_gid
            shutil.chown(queue / name, postfix.pw_uid, group)
            (queue / name).chmod(_MODES.get(name, 0o700))
        data.mkdir(mode=0o700)
        shutil.chown(data, postfix.pw_uid, postfix.pw_gid)
        mail.mkdir(mode=0o700)
        shutil.chown(mail, _NOBODY, _NOBODY)

    def mails(self, address: str) -> list[bytes]:
        """Give all messages in a mailbox."""
        new = self.folder / "mail" / _maildir(address) / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.is_dir() else []

    def _defaults(self) -> dict[str, str]:
        domains = {box.partition("@")[2] for box in self.mailboxes}
        return {
            "compatibility_level": "3.6",
            "queue_directory": str(self.folder / "queue"),
            "data_directory": str(self.folder / "data"),
            "maillog_file": str(self.log),
            "maillog_file_prefixes": str(self.folder),
            "myhostname": "postfix.test",
            "mydestination": "",
            "alias_maps": "",
            "alias_database": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "smtp_dns_support_level": "disabled",
            "smtpd_peername_lookup": "no",
            "default_transport": "discard",
            "in_flow_delay": "0",
            "message_size_limit": "50000000",
            "smtp_tls_loglevel": "1",
            "smtpd_tls_loglevel": "1",
            "smtpd_tls_received_header": "yes",
            "smtputf8_enable": "yes",
            "virtual_mailbox_domains": ", ".join(sorted(domains)),
            "virtual_mailbox_base": str(self.folder / "mail"),
            "virtual_mailbox_maps": f"texthash:{self.folder / 'mailboxes'}",
            "virtual_uid_maps": f"static:{_NOBODY}",
            "virtual_gid_maps": f"static:{_NOBODY}",
            "virtual_minimum_uid": "1",
        }


class PostfixInstance(LoggingProcess):
    """A running one, and what it logs."""

    def __init__(self, files: PostfixFiles) -> None:
        self.files = files
        master = _daemon(files.peer, "master")
        words = command(files.peer, master, "-c", files.config, "-d")
        super().__init__(mounted(files.mounts, words) if files.mounts else words, files.log)


@contextmanager
def postfix_files(**mailboxes_and_settings: object) -> Iterator[PostfixFiles]:
    """Give a folder for a Postfix, as `PostfixFiles` takes it; it is removed at the end."""
    # Not in pytest's folder: the postfix account may not enter that.
    folder = Path(tempfile.mkdtemp(prefix="letterlock-postfix-"))
    folder.chmod(0o755)
    try:
        yield PostfixFiles(folder, **mailboxes_and_settings)  # type: ignore[arg-type] # passed on
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_postfix(files: PostfixFiles) -> Iterator[PostfixInstance]:
    """Run it, ready; at the end nothing of it is left."""
    files.write()
    files.make_queue()
    postfix = PostfixInstance(files)
    try:
        postfix.wait_log("daemon started")
        yield postfix
    finally:
        postfix.stop()


def submit(
    port: int,
    to: str,
    text: str | bytes = MESSAGE,
    *,
    sender: str = "writer@writer.example",
    mail: Sequence[str] = (),
    rcpt: Sequence[str] = (),
) -> str:
    """Give a Postfix that listens on 127.0.0.1 a message; gives its queue id for it.

    `mail`, `rcpt`: parameters of these commands.
    """
    with smtplib.SMTP("127.0.0.1", port, "writer.example", timeout=PATIENCE) as smtp:
        smtp.ehlo()
        smtp.command_encoding = "utf-8"
        smtp.mail(sender, mail)
        smtp.rcpt(to, rcpt)
        code, reply = smtp.data(text)
    assert code == 250, reply
    return reply.decode().rpartition(" ")[2]


def require_root(peer: str = "postfix") -> None:
    """Skip where Postfix's master cannot be started; fail there when CI=true."""
    if os.geteuid() != 0:
        miss_peer(f"{MISSING}{peer} (its master starts as root only)")
    if is_foreign(peer):
        require_mounts(peer)


def _daemon(peer: str, name: str) -> Path:
    # `master` has too common a name to be looked for in PATH.
    asked = command(peer, "postconf", "-d", "-h", "daemon_directory")
    folder = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return Path(folder) / name


def _maildir(address: str) -> str:
    local, _, domain = address.partition("@")
    return f"{domain}/{local}"


def _options(settings: Mapping[str, str]) -> str:
    return "".join(f"\n  -o {{ {key} = {value} }}" for key, value in settings.items())

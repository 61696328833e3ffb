"""A Postfix of the benchmark's own: its default settings, but for what makes it comparable.

`in_flow_delay` 0: at its default Postfix slows receiving down while delivery lags behind. Held mail
is put on hold by an access rule, so no other part of Postfix works on it. Nothing of the system's
Postfix is read or changed.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.opendkim import opendkim
from benchmarks.processes import free_port, running, wait_for_banner
from benchmarks.servers import Server, Work

_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming")
_OTHERS = {"private": 0o700, "saved": 0o700, "trace": 0o700, "public": 0o710, "maildrop": 0o1730}

# As in the master.cf that Postfix comes with, without chroot.
_MASTER = """\
{port} inet n - n - - smtpd
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
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsproxy unix - - n - 0 tlsproxy
postlog unix-dgram n - n - 1 postlogd
"""


def why_not() -> str | None:
    """Say why Postfix can't be run here; None: it can."""
    if shutil.which("postconf") is None:
        return "Postfix is not installed (make peers)"
    return "Postfix's master starts as root only" if os.geteuid() else None


@contextmanager
def postfix(folder: Path, work: Work) -> Iterator[Server]:
    """Run it; `folder` must be one that the postfix account may enter."""
    port, config, log = free_port(), folder / "config", folder / "maillog"
    config.mkdir(parents=True)
    settings = "".join(f"{key} = {value}\n" for key, value in _settings(folder, work).items())
    (config / "main.cf").write_text(settings)
    (config / "master.cf").write_text(_MASTER.format(port=f"127.0.0.1:{port}"))
    _make_queue(folder)
    master = Path(_ask_postconf("daemon_directory")) / "master"
    name = f"Postfix {_ask_postconf('mail_version')}"
    with ExitStack() as stack:
        others = []
        if work.dkim_key is not None:
            milter, signer = stack.enter_context(opendkim(folder, work.dkim_key))
            others.append(signer)
            _add_milter(config / "main.cf", milter)
        command = [str(master), "-c", str(config), "-d"]
        pid = stack.enter_context(running(command, folder / "master.log"))
        wait_for_banner(port, log)
        yield Server(name, port, pid, tuple(others))


def _add_milter(path: Path, port: int) -> None:
    """Have everything signed, and put off what cannot be: nothing may go faster by a fault."""
    with path.open("a") as file:
        file.write(f"smtpd_milters = inet:127.0.0.1:{port}\nmilter_default_action = tempfail\n")


def _settings(folder: Path, work: Work) -> Mapping[str, str]:
    settings = {
        "compatibility_level": "3.6",
        "queue_directory": str(folder / "queue"),
        "data_directory": str(folder / "data"),
        "maillog_file": str(folder / "maillog"),
        "maillog_file_prefixes": str(folder),
        "myhostname": "mx.bench.example",
        "mydestination": "",
        "alias_maps": "",
        "alias_database": "",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "mynetworks": "127.0.0.0/8",
        "in_flow_delay": "0",
        "message_size_limit": "50000000",
        "smtp_tls_loglevel": "1",
        "smtpd_tls_loglevel": "1",
        "smtpd_tls_received_header": "yes",
    }
    if work.certificate is not None:
        chain, key = work.certificate
        settings |= {
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": str(chain),
            "smtpd_tls_key_file": str(key),
            "smtp_tls_security_level": "may",
        }
    if work.sink_port is None:
        settings["smtpd_recipient_restrictions"] = "check_client_access static:HOLD"
    else:
        settings["relayhost"] = f"[127.0.0.1]:{work.sink_port}"
    return settings


def _make_queue(folder: Path) -> None:
    account = pwd.getpwnam("postfix")
    queue, data = folder / "queue", folder / "data"
    for name in ("", "pid"):
        (queue / name).mkdir()
        (queue / name).chmod(0o755)
    for name in (*_QUEUES, *_OTHERS):
        (queue / name).mkdir()
        is_shared = name in ("public", "maildrop")
        shutil.chown(queue / name, account.pw_uid, "postdrop" if is_shared else account.pw_gid)
        (queue / name).chmod(_OTHERS.get(name, 0o700))
    data.mkdir(mode=0o700)
    shutil.chown(data, account.pw_uid, account.pw_gid)


def _ask_postconf(name: str) -> str:
    command = ["postconf", "-d", "-h", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

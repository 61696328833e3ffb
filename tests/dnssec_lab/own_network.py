"""The lab in a network of its own, where port 53 and port 25 are free: for Postfix's tools.

A test calls `run_apart`, which starts a module of this folder there; that one calls `enter`.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.dnssec_lab.lab import LOOPBACK
from tests.peers import miss_peer
from tests.programs import SOURCE, command_environment

SECONDS = 120.0

_MAIN_CF = """\
compatibility_level = 3.6
smtp_dns_support_level = dnssec
myhostname = probe.example
queue_directory = {folder}
data_directory = {folder}
"""


def run_apart(module: str, folder: Path, arguments: Sequence[str]) -> str:
    """Run a module in a network of its own; gives what it wrote. Skips without root."""
    isolated = ("unshare", "--net", "--mount")
    if subprocess.run([*isolated, "true"], check=False, capture_output=True).returncode != 0:
        miss_peer("a network of its own (only root can make one)")
    done = subprocess.run(
        [*isolated, sys.executable, "-m", module, folder, *arguments],
        cwd=SOURCE.parent,
        env=command_environment() | {"PYTHONPATH": os.pathsep.join((str(SOURCE), "."))},
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def enter(folder: Path) -> None:
    """Make the new network usable: loopback is up, the lab's resolver is everybody's."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    resolv_conf = folder / "resolv.conf"
    # glibc takes the AD bit away otherwise.
    resolv_conf.write_text(f"nameserver {LOOPBACK}\noptions edns0 trust-ad\n")
    subprocess.run(["mount", "--bind", resolv_conf, "/etc/resolv.conf"], check=True)
    (folder / "main.cf").write_text(_MAIN_CF.format(folder=folder))


def postfix_environment(folder: Path) -> dict[str, str]:
    """For Postfix's tools: the settings that `enter` wrote."""
    return {**os.environ, "MAIL_CONFIG": str(folder)}

"""Install the programs that tests talk to, from Debian's packages: `make peers`.

What is there already stays as it is. No service is started or left to start at boot, and nothing is
ever removed: Debian lets one mail transfer agent be installed, so Postfix is and the others are
unpacked into `.peers`. With `--unpack` (`make peers-unpacked`) everything is, without root. A peer
from another release of Debian is unpacked with all that it needs; apt is shown that release in
lists of our own, and the system's stay as they are.
"""

import argparse
import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.peers import PEERS, UNPACKED, Peer, find_missing, find_missing_accounts

INSTALLED_AGENT = "postfix"
# apt's own account cannot write into folders of ours: without the option it warns of that.
APT_GET: tuple[str, ...] = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian's packages ask this program whether they may start a service; 101 says no."""

SERVICES = {
    "bind9": "named",
    "clamav-daemon": "clamav-daemon",
    "clamav-milter": "clamav-milter",
    "dovecot-lmtpd": "dovecot",
    "fail2ban": "fail2ban",
    "haproxy": "haproxy",
    "knot": "knot",
    "nginx-light": "nginx",
    "nsd": "nsd",
    "opendkim": "opendkim",
    "postfix": "postfix",
    "postgresql": "postgresql",
    "rspamd": "rspamd",
    "unbound": "unbound",
}
"""Packages whose service would start at the next boot."""

QUIET = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
# Without it Postfix asks for its role, and would be set up to run.
POSTFIX_ANSWER = "postfix postfix/main_mailer_type select No configuration\n"


class InstallError(Exception):
    """Peers cannot be installed; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What apt would do: the packages it would put there, and those it would take away."""

    installs: tuple[str, ...]
    removes: tuple[str, ...]


def main(arguments: Sequence[str]) -> None:
    """Install or unpack the peers that are missing. Ends the program with 1 and one line if not."""
    parser = argparse.ArgumentParser(description="Install the programs that tests talk to.")
    parser.add_argument("--unpack", action="store_true", help="into .peers only, without root")
    parser.add_argument("--proofs", action="store_true", help="also those that only proofs need")
    options = parser.parse_args(arguments)
    wanted = [peer for peer in PEERS.values() if options.proofs or not peer.is_for_proofs]
    missing = [peer for peer in wanted if find_missing(peer.name)]
    try:
        bring(missing, unpack_all=options.unpack)
    except InstallError as error:
        sys.exit(f"letterlock: {error}")
    print(f"all peers are there: {', '.join(peer.name for peer in wanted)}")


def bring(peers: Sequence[Peer], *, unpack_all: bool) -> None:
    """Install these peers, and unpack those that cannot be installed. Raises InstallError."""
    if peers and shutil.which("apt-get") is None:
        packages = ", ".join(peer.package for peer in peers)
        raise InstallError(f"no apt-get here: install these by your system's means: {packages}")
    unpacked = [peer for peer in peers if unpack_all or _must_be_unpacked(peer)]
    installed = [peer for peer in peers if peer not in unpacked]
    if installed:
        install(installed)
    for peer in unpacked:
        unpack(peer)
    absent = [name for peer in peers for name in find_missing(peer.name)]
    if absent:
        raise InstallError(f"still not there: {', '.join(absent)} (only root can add accounts)")


def install(peers: Sequence[Peer]) -> None:
    """Install packages without starting a service or removing one. Raises InstallError."""
    packages = [package for peer in peers for package in (peer.package, *peer.needs)]
    if os.geteuid() != 0:
        raise InstallError(
            f"installing {', '.join(packages)} needs root: `sudo make peers`,"
            " or `make peers-unpacked` to have them in .peers only"
        )
    removes = plan(packages).removes
    if removes:
        raise InstallError(
            f"installing {', '.join(packages)} would remove {', '.join(removes)}:"
            " `make peers-unpacked` has the peers in .peers only"
        )
    _run(["debconf-set-selections"], text=POSTFIX_ANSWER)
    with services_denied():
        _run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "--no-remove", *packages]
        )
    for service in (SERVICES[package] for package in packages if package in SERVICES):
        # What starts at the next boot is started too.
        _run(["update-rc.d", service, "disable"])


def unpack(peer: Peer) -> None:
    """Unpack a peer, with those of its libraries that the system has not, into `.peers/<name>`."""
    origin = f" of {peer.release}" if peer.release else ""
    print(f"unpacking {peer.package}{origin} into {UNPACKED.name}/{peer.name}", flush=True)
    target = UNPACKED / peer.name
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=UNPACKED) as scratch:
        apt = APT_GET
        if peer.release:
            apt = show_release(peer.release, Path(scratch) / "apt")
        packages = plan([peer.package, *peer.needs], apt).installs
        _run([*apt, "download", *packages], cwd=scratch)
        for archive in sorted(Path(scratch).glob("*.deb")):
            _run(["dpkg-deb", "-x", str(archive), str(Path(scratch) / "root")])
        root = Path(scratch) / "root"
        _clear_privileges(root)
        shutil.rmtree(target, ignore_errors=True)
        root.rename(target)
    if os.geteuid() == 0:
        for account in find_missing_accounts(peer.name):
            _run(["useradd", "--system", "--user-group", "--shell=/usr/sbin/nologin", account])


def show_release(release: str, folder: Path, kind: str = "deb") -> tuple[str, ...]:
    """Give an apt-get that knows this release of Debian only, and nothing of what is installed.

    It has its lists in `folder`, and takes them from the mirror that the system uses. `kind` is
    `deb` for packages, `deb-src` for their sources.
    """
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    source = f"{kind} [signed-by={KEYRING}] {_mirror()} {release} main\n"
    (folder / "sources.list").write_text(source, encoding="ascii")
    options = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State": folder,
        "Dir::State::Status": folder / "status",
        "Dir::Cache": folder,
        "Acquire::Languages": "none",
        # A mirror may lag behind with a release that changes daily: still signed, and no service
        # will ever run from it.
        "Acquire::Check-Valid-Until": "false",
    }
    apt = (*APT_GET, *(word for key, value in options.items() for word in ("-o", f"{key}={value}")))
    _run([*apt, "update"])
    return apt


def plan(packages: Sequence[str], apt: Sequence[str] = APT_GET) -> Plan:
    """Ask apt what it would do; when it knows a package not, once more after an update."""
    command = [*apt, "install", "--simulate", "--no-install-recommends", *packages]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=QUIET)
    if done.returncode != 0 and os.geteuid() == 0:
        _run([*apt, "update"])
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=QUIET)
    if done.returncode != 0:
        reason = next(iter(done.stderr.splitlines()), "no reason given")
        raise InstallError(f"apt-get: {reason} (are its lists there? `apt-get update`)")
    return parse_plan(done.stdout)


def parse_plan(simulation: str) -> Plan:
    """Read `apt-get --simulate`: lines `Inst <package> ...`, `Remv <package> ...` and others."""
    steps = re.findall(r"^(Inst|Remv) (\S+)", simulation, re.MULTILINE)
    return Plan(
        installs=tuple(package for step, package in steps if step == "Inst"),
        removes=tuple(package for step, package in steps if step == "Remv"),
    )


@contextlib.contextmanager
def services_denied() -> Iterator[None]:
    """While this lasts, no package starts a service; the policy that was there comes back after."""
    if (
        POLICY.exists()
        and subprocess.run([POLICY, "postfix", "start"], check=False).returncode == 101
    ):
        yield
        return
    before = POLICY.with_name("policy-rc.d.before-letterlock-peers")
    if POLICY.exists():
        POLICY.rename(before)
    try:
        POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink(missing_ok=True)
        if before.exists():
            before.rename(POLICY)


def _clear_privileges(root: Path) -> None:
    """Take away set-user-id and set-group-id: a program in here runs as whoever starts it.

    The loader would also refuse to look for such a program's libraries below `root`.
    """
    for path in root.rglob("*"):
        mode = path.lstat().st_mode
        if not path.is_symlink() and mode & (stat.S_ISUID | stat.S_ISGID):
            path.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))


def _must_be_unpacked(peer: Peer) -> bool:
    is_other_agent = peer.is_transfer_agent and peer.name != INSTALLED_AGENT
    return bool(peer.release) or peer.is_unpacked or is_other_agent


def _mirror() -> str:
    """Give the address of the mirror of Debian that the system takes its packages from."""
    shape = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", shape, "Created-By: Packages"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=QUIET)
    found = re.search(r"^Debian Debian (\S+)$", done.stdout, re.MULTILINE)
    if found is None:
        raise InstallError("apt knows no mirror of Debian (are its lists there? `apt-get update`)")
    return found[1]


def _run(command: Sequence[str], *, text: str | None = None, cwd: str | None = None) -> None:
    """Run a command; its output is shown only when it fails. Raises InstallError."""
    done = subprocess.run(
        command, check=False, input=text, cwd=cwd, env=QUIET, capture_output=True, text=True
    )
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="", file=sys.stderr)
        raise InstallError(f"`{' '.join(command[:2])}` failed (its output is above)")


if __name__ == "__main__":
    main(sys.argv[1:])

"""The programs of others that tests talk to: which there are, where they are, what to install.

A test asks for one with `@pytest.mark.peer("postfix", "swaks")`, or calls `require_peer` where
only part of it needs the peer. A peer that is not there skips the test, and the end of the run
lists it by name; with CI=true it fails the test. `tools/install_peers.py` installs this table.
"""

import grp
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

UNPACKED = Path(__file__).resolve().parent.parent / ".peers"
"""Where `make peers` unpacks what must not be installed: `.peers/<peer>/usr/sbin/...`."""

MISSING = "peer not there: "
"""How the reason of such a skip begins."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Programs that tests talk to, and the Debian package that has them."""

    name: str
    package: str
    programs: tuple[str, ...]
    is_transfer_agent: bool = False
    """Debian lets one mail transfer agent be installed: Postfix is, the others are unpacked."""
    needs: tuple[str, ...] = ()
    """Further packages without which the programs above start, but cannot do what tests ask."""
    accounts: tuple[str, ...] = ()
    """Accounts or groups that its package adds; its servers do not start without them."""
    is_unpacked: bool = False
    """It is unpacked, though it could be installed: its service would start at the next boot, and
    only where systemd runs could that be undone."""
    is_for_proofs: bool = False
    """Only the long tests need it, and it is large: `make peers-for-proofs` brings it."""
    release: str = ""
    """The release of Debian that it is from, if not the system's own: it is unpacked with all that
    it needs, C library included, and `command` runs it where that is `/usr`."""


PEERS = {
    peer.name: peer
    for peer in (
        Peer("openssl", "openssl", ("openssl",)),
        Peer("curl", "curl", ("curl",)),
        # Another's eyes on certificates and CRLs; its server still has RC4 and triple DES.
        Peer("gnutls", "gnutls-bin", ("certtool", "gnutls-serv", "gnutls-cli")),
        # A PKCS#11 token in files.
        Peer("softhsm", "softhsm2", ("softhsm2-util",)),
        Peer("bsd-mailx", "bsd-mailx", ("bsd-mailx",)),
        Peer("swaks", "swaks", ("swaks",), needs=("libnet-ssleay-perl", "libnet-dns-perl")),
        Peer("msmtp", "msmtp", ("msmtp",)),
        Peer(
            "postfix",
            "postfix",
            ("postfix", "postconf", "postmap", "postqueue", "posttls-finger"),
            is_transfer_agent=True,
            accounts=("postfix", "postdrop"),
        ),
        Peer(
            "postfix-3.10",
            "postfix",
            ("postfix", "postconf", "postmap", "postqueue", "posttls-finger"),
            is_transfer_agent=True,
            accounts=("postfix", "postdrop"),
            release="trixie",
        ),
        # The first one with REQUIRETLS; a later one does as well.
        Peer(
            "postfix-3.11",
            "postfix",
            ("postfix", "postconf", "postmap", "postqueue"),
            is_transfer_agent=True,
            accounts=("postfix", "postdrop"),
            release="forky",
        ),
        Peer(
            "dovecot",
            "dovecot-lmtpd",
            ("dovecot", "lmtp"),
            accounts=("dovecot", "dovenull"),
        ),
        Peer("postgresql", "postgresql", ("initdb", "postgres", "pg_ctl", "psql")),
        Peer("nsd", "nsd", ("nsd", "nsd-checkconf")),
        # The tests of the libunbound backend take its library from here too.
        Peer("unbound", "unbound", ("unbound", "unbound-control"), needs=("libunbound8",)),
        Peer("ldns", "ldnsutils", ("ldns-signzone",)),
        # The two name servers that take updates.
        Peer("bind9", "bind9", ("named",)),
        Peer("knot", "knot", ("knotd",)),
        Peer("iproute2", "iproute2", ("ip",)),
        Peer("opendkim", "opendkim", ("opendkim",)),
        Peer("rspamd", "rspamd", ("rspamd", "rspamc"), accounts=("_rspamd",)),
        Peer("clamav", "clamav-milter", ("clamav-milter", "clamd"), needs=("clamav-daemon",)),
        Peer("haproxy", "haproxy", ("haproxy",)),
        Peer(
            "nginx",
            "nginx-light",
            ("nginx",),
            needs=("libnginx-mod-mail", "libnginx-mod-stream"),
        ),
        Peer("mutt", "mutt", ("mutt",)),
        # Another's SCRAM with channel binding.
        Peer("gsasl", "gsasl", ("gsasl",)),
        Peer("php", "php-cli", ("php",)),
        Peer("pflogsumm", "pflogsumm", ("pflogsumm",)),
        Peer("fail2ban", "fail2ban", ("fail2ban-regex",)),
        Peer("pebble", "pebble", ("pebble", "pebble-challtestsrv")),
        Peer("lego", "lego", ("lego",)),
        Peer("dehydrated", "dehydrated", ("dehydrated",), needs=("curl",)),
        Peer("caddy", "caddy", ("caddy",), is_unpacked=True),
        # For a program of ours over x/crypto/acme/autocert.
        Peer(
            "go",
            "golang-go",
            ("go",),
            needs=("golang-golang-x-crypto-dev",),
            is_for_proofs=True,
        ),
        # Another's eyes on versions, suites and chains; it reads answers with hexdump.
        Peer(
            "testssl",
            "testssl.sh",
            ("testssl", "hexdump", "dig"),
            needs=("bsdextrautils", "bind9-dnsutils"),
            is_for_proofs=True,
        ),
        # The first one in Debian with ARI and profiles.
        Peer("pebble-2.10", "pebble", ("pebble", "pebble-challtestsrv"), release="sid"),
        Peer(
            "exim",
            "exim4-daemon-light",
            ("exim4",),
            is_transfer_agent=True,
            accounts=("Debian-exim",),
        ),
        Peer(
            "opensmtpd",
            "opensmtpd",
            ("smtpd", "smtpctl"),
            is_transfer_agent=True,
            accounts=("opensmtpd", "opensmtpq"),
        ),
        Peer(
            "sendmail",
            "sendmail-bin",
            ("sendmail", "praliases"),
            is_transfer_agent=True,
            accounts=("smmta", "smmsp"),
        ),
    )
}

# Server programs lie outside an ordinary user's PATH, and PostgreSQL's outside root's too.
_PROGRAM_FOLDERS = (
    "usr/libexec/sendmail",
    "usr/local/sbin",
    "usr/sbin",
    "sbin",
    "usr/bin",
    "usr/lib/postfix/sbin",
    "usr/lib/dovecot",
)
_LIBRARY_FOLDERS = ("usr/lib", "usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/postfix")
_PERL_FOLDERS = ("usr/share/perl5", "usr/lib/*-linux-gnu*/perl5/*")

_MOUNT_AND_RUN = """\
while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done
shift; exec "$@"
"""


def find_program(name: str, peer: str | None = None) -> Path | None:
    """Find a program in PATH, in the system's folders for servers, then in `.peers`.

    With `peer`: only in that peer's folder if it was unpacked (Exim's `sendmail` is not
    Postfix's), else in the system only.
    """
    if peer is not None and (is_foreign(peer) or (UNPACKED / peer).is_dir()):
        return _find_below(UNPACKED / peer, name)
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    unpacked = [UNPACKED / other for other in sorted(PEERS) if not is_foreign(other)]
    roots = [Path("/")] if peer is not None else [Path("/"), *unpacked]
    return next((path for root in roots if (path := _find_below(root, name))), None)


def find_missing(peer: str) -> tuple[str, ...]:
    """Name the programs and accounts of a peer that are not there; () when it can be used."""
    programs = [name for name in PEERS[peer].programs if find_program(name, peer) is None]
    return (*programs, *(f"account {name}" for name in find_missing_accounts(peer)))


def find_missing_accounts(peer: str) -> tuple[str, ...]:
    """Name the accounts of a peer that are not there (by their groups: some are groups only)."""
    groups = {group.gr_name for group in grp.getgrall()}
    return tuple(name for name in PEERS[peer].accounts if name not in groups)


def program(name: str, peer: str | None = None) -> Path:
    """Give the path of a program that was required before. Raises LookupError without it."""
    path = find_program(name, peer)
    if path is None:
        raise LookupError(f"{name} is not there: require its peer first")
    return path


def is_foreign(peer: str) -> bool:
    """Is it from another release of Debian than the system's? Then only `command` can run it."""
    return peer in PEERS and bool(PEERS[peer].release)


def command(peer: str, name: str | Path, *arguments: object) -> list[str]:
    """Give the command that runs a program of a peer: by its name, or by its path below `/`.

    Foreign ones need root. Raises LookupError for a name that is not there.
    """
    path = name if isinstance(name, Path) else program(name, peer)
    if not is_foreign(peer):
        return [str(path), *map(str, arguments)]
    root = UNPACKED / peer
    path = Path("/") / path.relative_to(root) if path.is_relative_to(root) else path
    return mounted({"/usr": root / "usr"}, [str(path), *map(str, arguments)])


def mounted(mounts: Mapping[str, Path], words: Sequence[str]) -> list[str]:
    """Give the command that runs this one where other files or folders lie at these paths.

    Nobody else sees them there. It needs root; see `require_mounts`.
    """
    pairs = [word for path, other in mounts.items() for word in (str(other), path)]
    return ["unshare", "--mount", "sh", "-c", _MOUNT_AND_RUN, "sh", *pairs, "--", *words]


def environment(peer: str) -> dict[str, str]:
    """Give the environment to start a peer's programs with: an unpacked one finds its libraries."""
    surroundings = dict(os.environ)
    if is_foreign(peer):
        return surroundings
    for variable, patterns in (("LD_LIBRARY_PATH", _LIBRARY_FOLDERS), ("PERL5LIB", _PERL_FOLDERS)):
        folders = [str(path) for each in patterns for path in (UNPACKED / peer).glob(each)]
        if folders:
            surroundings[variable] = ":".join(folders)
    return surroundings


def require_peer(*names: str) -> None:
    """Skip the running test unless these peers are there; fail it when CI=true.

    Raises KeyError for a name that is not in PEERS.
    """
    for name in names:
        missing = find_missing(name)
        if not missing:
            continue
        target = "peers-for-proofs" if PEERS[name].is_for_proofs else "peers"
        miss_peer(f"{MISSING}{name} (no {', '.join(missing)}): `make {target}` brings it")


def require_mounts(peer: str) -> None:
    """Skip the running test where this peer cannot have mounts of its own; fail it when CI=true."""
    if not _may_mount():
        miss_peer(f"{MISSING}{peer} (it needs root, and a mount namespace of its own)")


def miss_peer(reason: str) -> NoReturn:
    """Skip the running test for want of a peer; fail it when CI=true."""
    import pytest  # noqa: PLC0415 - the installer reads the table above without the environment

    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def unprivileged_account() -> str | None:
    """Give the account for servers that refuse to run as root; None when we are not root anyway."""
    if os.geteuid() != 0:
        return None
    return "postgres" if "postgres" in {account.pw_name for account in pwd.getpwall()} else "nobody"


@cache
def _may_mount() -> bool:
    asked = ("unshare", "--mount", "mount", "--bind", "/", "/")
    return os.geteuid() == 0 and not subprocess.run(asked, check=False).returncode


def _find_below(root: Path, name: str) -> Path | None:
    for folder in _program_folders(root):
        path = folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def _program_folders(root: Path) -> Iterator[Path]:
    for folder in _PROGRAM_FOLDERS:
        yield root / folder
    yield from sorted(root.glob("usr/lib/postgresql/*/bin"), key=_version, reverse=True)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.parent.name))

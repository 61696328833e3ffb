"""The authorities that are measured, as processes: ours, and Debian's Pebble.

Pebble keeps nothing on the disk, looks no CAA up, and lints nothing; it is set to answer at once
and to refuse no nonce.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import apsw

from benchmarks.acme_load import Load, LoadFigures
from benchmarks.processes import cpu_seconds, free_port, running, wait_for_port
from letterlock.base.clock import SystemClock
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from tests import peers
from tools import environment

LETTERLOCK, PEBBLE = "letterlock", "pebble"

_SETTINGS = """\
hostname = "ca.load.example"
domains = ["ca.load.example"]
contact = "postmaster@load.example"
data_dir = "data"
[dns]
resolver = "127.0.0.1:{dns_port}"
[ca]
url = "https://localhost:{port}"
listen = ["127.0.0.1:{port}"]
crl_listen = ["127.0.0.1:{crl_port}"]
server_certificate = {{ certificate = "{chain}", key = "{key}" }}
[ca.validation]
needs_dnssec = false
private_names = true
networks = ["127.0.0.0/8"]
http_port = {http_port}
"""


@dataclass(frozen=True, slots=True)
class MeasuredAuthority:
    """One that runs."""

    name: str
    directory: str
    trust: Path
    pid: int
    database: Path | None = None
    """A SQLite file with what it keeps; None: it keeps nothing."""

    def stored_octets(self) -> int:
        """Give how large its database is, with what is only in the WAL yet."""
        if self.database is None:
            return 0
        connection = apsw.Connection(str(self.database), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return int(connection.pragma("page_count")) * int(connection.pragma("page_size"))
        finally:
            connection.close()

    def issue(self, count: int, clients: int, names: int = 1) -> LoadFigures:
        """Have clients get so many certificates. Raises RuntimeError where one does not come."""
        run = secrets.token_hex(4)
        load = Load(self.directory, str(self.trust), run, count, clients, names)
        words = [sys.executable, "-m", "benchmarks.acme_load", json.dumps(asdict(load))]
        done = subprocess.run(
            words, capture_output=True, text=True, cwd=environment.ROOT, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}, {names} names: {done.stderr.strip()}")
        return LoadFigures(**json.loads(done.stdout))

    def cpu_seconds(self) -> float:
        """Give what its process tree has used so far."""
        return cpu_seconds(self.pid)


@contextmanager
def running_names(folder: Path) -> Iterator[tuple[int, int]]:
    """Run the world of names; gives the ports of its DNS and of its proofs."""
    dns_port, http_port = free_port(), free_port()
    words = [sys.executable, "-m", "benchmarks.acme_names", str(dns_port), str(http_port)]
    log = folder / "names.log"
    with running(words, log):
        wait_for_port(http_port, log)
        yield dns_port, http_port


def find_pebble() -> Path | None:
    """Find Debian's; None where it is not installed."""
    return peers.find_program("pebble", "pebble")


@contextmanager
def running_pebble(
    program: Path, folder: Path, dns_port: int, http_port: int
) -> Iterator[MeasuredAuthority]:
    """Run Pebble, which asks this name server and looks at this port for http-01."""
    port = free_port()
    trust, chain, key = _write_api_certificate(folder)
    settings = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{free_port()}",
        "certificate": str(chain),
        "privateKey": str(key),
        "httpPort": http_port,
        "tlsPort": free_port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    config, log = folder / "pebble.json", folder / "pebble.log"
    config.write_text(json.dumps({"pebble": settings}), encoding="utf-8")
    variables = {
        **os.environ,
        "PEBBLE_VA_NOSLEEP": "1",
        "PEBBLE_WFE_NONCEREJECT": "0",
        "PEBBLE_AUTHZREUSE": "0",
    }
    words = [str(program), "-config", str(config), "-dnsserver", f"127.0.0.1:{dns_port}"]
    with running(words, log, variables) as pid:
        wait_for_port(port, log)
        yield MeasuredAuthority(PEBBLE, f"https://localhost:{port}/dir", trust, pid)


@contextmanager
def running_letterlock(folder: Path, dns_port: int, http_port: int) -> Iterator[MeasuredAuthority]:
    """Make an authority of ours in a new folder, its database too, and run it as `ca serve`."""
    folder.mkdir()
    port = free_port()
    trust, chain, key = _write_api_certificate(folder)
    config, log = folder / "letterlock.toml", folder / "log"
    config.write_text(
        _SETTINGS.format(
            port=port,
            crl_port=free_port(),
            dns_port=dns_port,
            http_port=http_port,
            chain=chain,
            key=key,
        ),
        encoding="utf-8",
    )
    program = [sys.executable, "-m", "letterlock", "ca"]
    subprocess.run([*program, "init", "--config", config], check=True, stdout=subprocess.DEVNULL)
    with running([*program, "serve", "--config", str(config)], log) as pid:
        wait_for_port(port, log)
        url = f"https://localhost:{port}/directory"
        yield MeasuredAuthority(LETTERLOCK, url, trust, pid, folder / "data/ca/authority.db")


def _write_api_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """Write the certificate of an authority's own server; gives who it is trusted by, and it."""
    now = SystemClock().now()
    authority = ThrowawayCa("Bench CA", now)
    issued = authority.issue(["localhost"], now=now)
    trust, chain, key = folder / "trust.pem", folder / "api.pem", folder / "api.key"
    trust.write_bytes(authority.pem)
    chain.write_bytes(issued.chain_pem)
    key.touch(mode=0o600)
    key.write_bytes(issued.key_pem)
    return trust, chain, key

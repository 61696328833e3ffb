"""A DNSSEC world on loopback: NSD serves signed zones, Unbound validates, a proxy in between fails.

`python -m tests.dnssec_lab FOLDER` runs it by hand. Nothing needs root or a free port 53, and no
packet leaves the machine. Signatures are made at the start, so nothing here grows old.
"""

import contextlib
import ctypes
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import dns.exception
import dns.message
import dns.query

from letterlock.network.libunbound import LIBRARY
from tests.dnssec_lab.fault_proxy import Fault, FaultProxy, Rule
from tests.dnssec_lab.zone_files import write_zones
from tests.dnssec_lab.zones import ZONES
from tests.free_ports import free_port
from tests.interop.background import in_background
from tests.peers import environment, miss_peer, program

LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0
PORT_TRIES = 5

_NSD = """\
server:
  ip-address: {host}@{port}
  server-count: 1
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{folder}"
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  xfrdir: "{folder}"
  logfile: "{folder}/nsd.log"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
"""

# One forward zone for all: with a stub zone Unbound would take the NS records of insecure zones
# at their word, and ask port 53.
_UNBOUND = """\
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: "{folder}/unbound.pid"
  logfile: "{folder}/unbound.log"
  use-syslog: no
  num-threads: 1
  interface: {ip}@{port}
  port: {port}
  do-ip6: no
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  trust-anchor-file: "{folder}/root.key"
  module-config: "validator iterator"
  qname-minimisation: no
  aggressive-nsec: no
  val-log-level: 2
  ede: yes
  minimal-responses: no
  target-fetch-policy: "0 0 0 0 0"
  infra-keep-probing: yes
  cache-max-negative-ttl: 5
remote-control:
  control-enable: yes
  control-interface: {folder}/unbound.ctl
  control-use-cert: no
forward-zone:
  name: "."
  forward-addr: {host}@{forward}
"""


@dataclass(frozen=True, slots=True)
class DnssecLab:
    """The running lab: where to ask, what to trust, and how to make answers fail."""

    folder: Path
    resolver: tuple[str, int]
    """Unbound: validates, and gives AD, bogus and reasons as real resolvers do."""
    authority: tuple[str, int]
    """What Unbound asks: the zones, by way of the proxy. A validator of our own can ask it too."""
    trust_anchor: Path
    """The root's DS record, as Unbound, libunbound and delv read it."""
    proxy: FaultProxy

    @contextmanager
    def failing(self, name: str, rdtype: str | None, fault: Fault) -> Iterator[None]:
        """Let answers for a name and all below it fail, and forget those that were known."""
        before = self.proxy.rules
        self.proxy.rules = (Rule(f"{name}.", rdtype, fault), *before)
        self.forget()
        try:
            yield
        finally:
            self.proxy.rules = before
            self.forget()

    def forget(self) -> None:
        """Empty Unbound's memory, that of slow servers too."""
        for command in (("flush_zone", "."), ("flush_infra", "all")):
            subprocess.run(
                [program("unbound-control", "unbound"), "-c", "unbound.conf", *command],
                cwd=self.folder,
                env=environment("unbound"),
                check=True,
                capture_output=True,
            )


def require_libunbound() -> None:
    """Skip the running test where the library is not there; it may be unpacked, and not found."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        miss_peer(f"libunbound ({error}): `make peers` brings it")


@contextmanager
def running_lab(
    folder: Path,
    additions: Mapping[str, str] | None = None,
    *,
    ip: str = LOOPBACK,
    port: int | None = None,
) -> Iterator[DnssecLab]:
    """Run the lab while the block runs; needs the peers nsd, unbound and ldns.

    `additions` are further records: origin (`secure.example.`) -> lines as in a zone file, for
    TLSA records of real certificates. `ip` and `port` are the resolver's, where it must be 53.
    """
    zones = dict(ZONES)
    for origin, records in (additions or {}).items():
        zones[origin] = replace(zones[origin], records=f"{zones[origin].records}\n{records}\n")
    files = write_zones(folder, zones)
    with ExitStack() as stack:
        authority = stack.enter_context(_nsd(folder, files))
        proxy = FaultProxy((LOOPBACK, authority))
        proxied = stack.enter_context(_proxying(proxy))
        resolver = stack.enter_context(_unbound(folder, proxied, ip, port))
        yield DnssecLab(
            folder=folder,
            resolver=(ip, resolver),
            authority=(LOOPBACK, proxied),
            trust_anchor=folder / "root.key",
            proxy=proxy,
        )


@contextmanager
def _nsd(folder: Path, files: Mapping[str, Path]) -> Iterator[int]:
    zones = "".join(
        f'zone:\n  name: "{origin}"\n  zonefile: "{path}"\n' for origin, path in files.items()
    )

    def write(port: int) -> Sequence[str]:
        config = folder / "nsd.conf"
        config.write_text(_NSD.format(host=LOOPBACK, port=port, folder=folder) + zones)
        return (str(program("nsd", "nsd")), "-d", "-c", str(config))

    with serving("nsd", folder, write, None) as port:
        yield port


@contextmanager
def _unbound(folder: Path, forward: int, ip: str, port: int | None) -> Iterator[int]:
    def write(port: int) -> Sequence[str]:
        config = folder / "unbound.conf"
        text = _UNBOUND.format(ip=ip, port=port, host=LOOPBACK, forward=forward, folder=folder)
        config.write_text(text)
        return (str(program("unbound", "unbound")), "-d", "-p", "-c", str(config))

    with serving("unbound", folder, write, port, ip) as chosen:
        yield chosen


@contextmanager
def _proxying(proxy: FaultProxy) -> Iterator[int]:
    @asynccontextmanager
    async def serve() -> AsyncIterator[int]:
        port = free_port()
        async with proxy.serving(LOOPBACK, port):
            yield port

    with in_background(serve()) as port:
        yield port


@contextmanager
def serving(
    name: str,
    folder: Path,
    write: Callable[[int], Sequence[str]],
    port: int | None,
    ip: str = LOOPBACK,
    zone: str = "example.",
) -> Iterator[int]:
    """Start a server on a free port, again with another one if somebody took it; and end it.

    It is up when it says who it is for `zone`.
    """
    for _ in range(PORT_TRIES):
        chosen = port or free_port()
        command = write(chosen)
        with (folder / f"{name}.out").open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment(name)
            )
        try:
            if _is_up(process, ip, chosen, zone):
                yield chosen
                return
        finally:
            process.terminate()
            process.wait(START_SECONDS)
    logs = (folder / f"{name}.out", folder / f"{name}.log")
    log = "".join(path.read_text() for path in logs if path.exists())
    raise RuntimeError(f"{name} does not start: {log[-2000:]}")


def _is_up(process: subprocess.Popen[bytes], ip: str, port: int, zone: str) -> bool:
    """Ask until there is an answer; False when the server ended by itself."""
    deadline = time.monotonic() + START_SECONDS
    query = dns.message.make_query(zone, "SOA")
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        with contextlib.suppress(dns.exception.DNSException, OSError):
            answer = dns.query.udp(query, ip, port=port, timeout=0.1)
            if answer.answer:
                return True
        # Not to take the processor from what is being waited for.
        time.sleep(0.01)
    raise RuntimeError(f"what should answer at port {port} does not")

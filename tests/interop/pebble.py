"""Pebble, the test authority of Let's Encrypt's people, as a process; and proofs for it to see.

Its names are in a zone of ours. http-01 and tls-alpn-01 are answered as a node does: by listeners
that find proofs in a database, or by another web server that is given files.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from letterlock.base.clock import SystemClock
from letterlock.base.config.values import ListenAddress
from letterlock.base.domains import Domain
from letterlock.network.acme_client import AcmeClient
from letterlock.network.alpn_server import AlpnResponder, AlpnServer
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.http_exchange import HttpBounds, HttpRequest, HttpResponse
from letterlock.network.http_server import HttpServer
from letterlock.network.https_client import HttpsClient
from letterlock.network.policy_host import PolicyHost
from letterlock.network.zone_records import ZoneRecord
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.acme.fields import Url, parse_url
from letterlock.protocols.dns.answers import SoaRecord
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.services.certify.solving.alpn import AlpnChallenges, AlpnSolver
from letterlock.services.certify.solving.dns import DnsSolver
from letterlock.services.certify.solving.http import HttpChallenges, HttpSolver
from letterlock.services.certify.solving.served import ServedRecords
from letterlock.services.certify.solving.stored import OwnListeners
from letterlock.services.certify.solving.webroot import WebrootSolver
from letterlock.services.discover.authorities import AuthorityFinder
from letterlock.storage.sqlite.challenges import SqliteChallenges
from letterlock.storage.sqlite.connection import fetch_row
from letterlock.storage.sqlite.node import NodeDatabase
from tests import peers
from tests.fakes import FakeLog, FixtureResolver
from tests.free_ports import free_port
from tests.listening import Run, listening
from tests.network.certificates import authority, issue, make_chooser, write_pair

PATIENCE = 60.0
ZONE = "example.org"
POLICY_HOST = f"mta-sts.{ZONE}"
POLICY = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"


@dataclass(frozen=True)
class Knobs:
    """How a Pebble is set; by default as nasty as the clients' tests ask for."""

    nonce_refusals: int = 40
    """Of a hundred good nonces."""
    reuse: int = 50
    """Of a hundred authorizations that are still valid."""
    alternate_roots: int = 0
    is_strict: bool = True
    has_webroot: bool = False
    """Port 80 is another web server's."""
    has_policy_host: bool = False
    """Port 443 is the policy host's as well."""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Surroundings:
    """Ways to prove names: a zone, and listeners at 127.0.0.1.

    `http_port` and `tls_port` are ports 80 and 443 for an authority, `resolver` is the name server
    that it asks.
    """

    zone: ZoneServer
    http: HttpSolver | WebrootSolver
    tls: AlpnSolver
    http_port: int
    tls_port: int
    resolver: str
    dns: DnsSolver
    database: NodeDatabase

    async def count_proofs(self) -> int:
        """Count what is in the database for the listeners."""
        sql = "SELECT count(*) FROM challenges"
        row = await self.database.read(lambda connection: fetch_row(connection, sql, ()))
        assert row is not None
        return int(row[0] or 0)

    def add(self, *names: str) -> None:
        """Give names an address: ours."""
        for name in names:
            self.zone.set(name, "A", "127.0.0.1")


@dataclass
class Tried:
    """An authority that our client is tried at. `trust` is who its server is trusted by, PEM."""

    directory: Url
    trust: bytes
    around: Surroundings

    @property
    def http(self) -> HttpSolver | WebrootSolver:
        return self.around.http

    @property
    def tls(self) -> AlpnSolver:
        return self.around.tls

    @property
    def dns(self) -> DnsSolver:
        return self.around.dns

    @property
    def zone(self) -> ZoneServer:
        return self.around.zone

    def add(self, *names: str) -> None:
        """Give names an address: ours."""
        self.around.add(*names)

    async def count_proofs(self) -> int:
        """Count what is in the database for the listeners."""
        return await self.around.count_proofs()

    def client(self) -> AcmeClient:
        """Give a client, with the trust and the names that this needs."""
        return AcmeClient(self.https(), self.directory, SystemClock())

    def https(self) -> HttpsClient:
        resolver = FixtureResolver()
        resolver.set("localhost", "A", ip_address("127.0.0.1"))
        return HttpsClient(
            resolver,
            ClientContexts(),
            lambda: TrustAnchors.from_pem(self.trust),
            SystemClock(),
            has_private_addresses=True,
        )


@dataclass
class Pebble(Tried):
    """A Pebble that runs."""

    management: Url

    async def manage(self, path: str, document: object = None) -> HttpResponse:
        """Ask Pebble's other side: what it did, or to do something else."""
        body = b"" if document is None else json.dumps(document).encode()
        request = HttpRequest(
            self.management.host,
            self.management.target + path,
            self.management.port,
            "POST" if body else "GET",
            (("Content-Type", "application/json"),),
            body,
        )
        response = await self.https().ask(request, HttpBounds(PATIENCE, 100_000, 200_000))
        assert isinstance(response, HttpResponse), response
        return response


@asynccontextmanager
async def surroundings(folder: Path, knobs: Knobs = Knobs()) -> AsyncIterator[Surroundings]:
    """Run a name server, and listeners for proofs."""
    async with AsyncExitStack() as stack:
        zone = ZoneServer({ZONE: "@ A 127.0.0.1"})
        host, port = await zone.start()
        stack.push_async_callback(zone.close)
        database = NodeDatabase(folder / "node.sqlite", SystemClock())
        await database.open()
        stack.push_async_callback(database.close)
        store = SqliteChallenges(database)
        http_port, http = await _open_http(stack, store, folder, knobs)
        tls_port = await stack.enter_async_context(listening(_tls_listener(store, folder, knobs)))
        yield Surroundings(
            zone=zone,
            http=http,
            tls=AlpnSolver(store, SystemClock(), _own(tls_port)),
            http_port=http_port,
            tls_port=tls_port,
            resolver=f"{host}:{port}",
            dns=_dns_solver(zone, port),
            database=database,
        )


@asynccontextmanager
async def running_pebble(
    peer: str, folder: Path, knobs: Knobs = Knobs(), name_server: str = ""
) -> AsyncIterator[Pebble]:
    """Run one, with a name server and solvers. Its peer was required before.

    `name_server` (address and port) is asked instead of ours, where others have the zones.
    """
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(surroundings(folder, knobs))
        listen, manage = free_port(), free_port()
        certificate, key = write_pair(folder, issue(("localhost",)), "api")
        settings = {
            "listenAddress": f"127.0.0.1:{listen}",
            "managementListenAddress": f"127.0.0.1:{manage}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": around.http_port,
            "tlsPort": around.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            # Only newer ones know it; it is at least a second.
            "retryAfter": {"authz": 1, "order": 1},
            **knobs.settings,
        }
        config = folder / "pebble.json"
        config.write_text(json.dumps({"pebble": settings}), encoding="utf-8")
        words = ["-config", config, "-dnsserver", name_server or around.resolver]
        if knobs.is_strict:
            words.append("-strict")
        await stack.enter_async_context(_process(peer, folder, words, knobs))
        await _wait_for(listen)
        yield Pebble(
            directory=parse_url(f"https://localhost:{listen}/dir"),
            trust=authority().pem,
            around=around,
            management=parse_url(f"https://localhost:{manage}/"),
        )


async def _open_http(
    stack: AsyncExitStack, store: SqliteChallenges, folder: Path, knobs: Knobs
) -> tuple[int, HttpSolver | WebrootSolver]:
    """Have http-01 answered; gives the port, and what puts proofs there."""
    clock = SystemClock()
    if knobs.has_webroot:
        root = folder / "webroot"
        root.mkdir()
        port = await stack.enter_async_context(_web_server(root))
        return port, WebrootSolver(root, clock)
    server = HttpServer(HttpChallenges(store, clock).answer, clock)
    port = await stack.enter_async_context(listening(server.run))
    return port, HttpSolver(store, clock, _own(port))


def _tls_listener(store: SqliteChallenges, folder: Path, knobs: Knobs) -> Run:
    clock = SystemClock()
    responder = AlpnResponder(AlpnChallenges(store, clock).find_certificate)
    if not knobs.has_policy_host:
        return AlpnServer(responder).run
    certificates = make_chooser(folder, issue((POLICY_HOST,)))
    return PolicyHost({ZONE: POLICY}.get, certificates, clock, responder).run


def _own(port: int) -> OwnListeners:
    return OwnListeners([ListenAddress("127.0.0.1", port)])


def _dns_solver(zone: ZoneServer, port: int) -> DnsSolver:
    resolver = FixtureResolver()
    host = Domain(f"ns1.{ZONE}")
    resolver.set(ZONE, "SOA", SoaRecord(host, 1, 60))
    resolver.set(ZONE, "NS", host)
    resolver.set(host, "A", ip_address("127.0.0.1"))
    finder, clock = AuthorityFinder(resolver, port), SystemClock()
    served = ServedRecords(finder, clock, timedelta(seconds=PATIENCE))
    return DnsSolver(ZoneChanger(zone), finder, served, FakeLog())


@asynccontextmanager
async def _web_server(root: Path) -> AsyncIterator[int]:
    """Run a web server that knows nothing of us: Python's."""
    port = free_port()
    words = ("-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(root))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await _wait_for(port)
        yield port
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@asynccontextmanager
async def _process(
    peer: str, folder: Path, words: list[object], knobs: Knobs
) -> AsyncIterator[None]:
    environment = {
        **peers.environment(peer),
        "PEBBLE_VA_NOSLEEP": "1",
        "PEBBLE_WFE_NONCEREJECT": str(knobs.nonce_refusals),
        "PEBBLE_AUTHZREUSE": str(knobs.reuse),
        "PEBBLE_ALTERNATE_ROOTS": str(knobs.alternate_roots),
    }
    with (folder / "pebble.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *peers.command(peer, "pebble", *words),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _wait_for(port: int) -> None:
    """Wait until it listens: its keys take a moment to make."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.transport.abort()
                return


class ZoneChanger:
    """Changes TXT records of a zone of ours."""

    def __init__(self, zone: ZoneServer) -> None:
        self._zone = zone
        self._values: dict[Domain, set[str]] = {}

    async def add(self, record: ZoneRecord) -> str | None:
        self._values.setdefault(record.name, set()).add(record.value)
        return self._change(record.name)

    async def remove(self, record: ZoneRecord) -> str | None:
        self._values[record.name].discard(record.value)
        return self._change(record.name)

    def _change(self, name: Domain) -> str | None:
        self._zone.set(name, "TXT", *(f'"{each}"' for each in self._values[name]))
        return None

"""Pebble, the test authority of Let's Encrypt's people, as a process; and proofs for it to see.

Its names are in a zone of ours, and http-01 and tls-alpn-01 are answered on ports of ours, by the
standard library: what Pebble sees is not our own TLS.
"""

import asyncio
import json
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from letterlock.base.clock import SystemClock
from letterlock.network.acme_client import AcmeClient
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.http_exchange import HttpBounds, HttpRequest, HttpResponse
from letterlock.network.https_client import HttpsClient
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.acme.challenges import (
    ALPN,
    HTTP_FOLDER,
    dns_name,
    dns_value,
    http_path,
    make_challenge_certificate,
)
from letterlock.protocols.acme.fields import Url, parse_url
from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.services.certify.solvers import Proof
from tests import peers
from tests.fakes import FixtureResolver
from tests.network.certificates import authority, issue, write_pair

PATIENCE = 60.0
ZONE = "example.org"


@dataclass(frozen=True)
class Knobs:
    """How a Pebble is set; by default as nasty as the clients' tests ask for."""

    nonce_refusals: int = 40
    """Of a hundred good nonces."""
    reuse: int = 50
    """Of a hundred authorizations that are still valid."""
    alternate_roots: int = 0
    is_strict: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Pebble:
    """A Pebble that runs. What it asks for is in `zone`, `http` and `tls`."""

    directory: Url
    management: Url
    zone: ZoneServer
    http: "HttpSolver"
    tls: "TlsSolver"
    dns: "DnsSolver"

    def client(self) -> AcmeClient:
        """Give a client, with the trust and the names that this needs."""
        return AcmeClient(self.https(), self.directory, SystemClock())

    def https(self) -> HttpsClient:
        resolver = FixtureResolver()
        resolver.set("localhost", "A", ip_address("127.0.0.1"))
        return HttpsClient(
            resolver,
            ClientContexts(),
            lambda: TrustAnchors.from_pem(authority().pem),
            SystemClock(),
            has_private_addresses=True,
        )

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

    def add(self, *names: str) -> None:
        """Give names an address: ours."""
        for name in names:
            self.zone.set(name, "A", "127.0.0.1")


@asynccontextmanager
async def running_pebble(peer: str, folder: Path, knobs: Knobs = Knobs()) -> AsyncIterator[Pebble]:
    """Run one, with a name server and solvers. Its peer was required before."""
    async with AsyncExitStack() as stack:
        zone = ZoneServer({ZONE: "@ A 127.0.0.1"})
        host, port = await zone.start()
        stack.push_async_callback(zone.close)
        http, tls = HttpSolver(), TlsSolver()
        http_port = await http.start(stack)
        tls_port = await tls.start(stack)
        listen, manage = _free_port(), _free_port()
        certificate, key = write_pair(folder, issue(("localhost",)), "api")
        settings = {
            "listenAddress": f"127.0.0.1:{listen}",
            "managementListenAddress": f"127.0.0.1:{manage}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            # Only newer ones know it; it is at least a second.
            "retryAfter": {"authz": 1, "order": 1},
            **knobs.settings,
        }
        config = folder / "pebble.json"
        config.write_text(json.dumps({"pebble": settings}), encoding="utf-8")
        words = ["-config", config, "-dnsserver", f"{host}:{port}"]
        if knobs.is_strict:
            words.append("-strict")
        await stack.enter_async_context(_process(peer, folder, words, knobs))
        await _wait_for(listen)
        yield Pebble(
            directory=parse_url(f"https://localhost:{listen}/dir"),
            management=parse_url(f"https://localhost:{manage}/"),
            zone=zone,
            http=http,
            tls=tls,
            dns=DnsSolver(zone),
        )


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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class DnsSolver:
    """dns-01 in a zone of ours."""

    kind: ChallengeType = "dns-01"

    def __init__(self, zone: ZoneServer) -> None:
        self._zone = zone
        self._values: dict[str, list[str]] = {}

    async def present(self, proof: Proof) -> str | None:
        self._change(proof, is_there=True)
        return None

    async def cleanup(self, proof: Proof) -> None:
        self._change(proof, is_there=False)

    def _change(self, proof: Proof, *, is_there: bool) -> None:
        # A wildcard and its base are proved by one name: RFC 8555 §8.4 lets both values be there.
        name, value = dns_name(proof.identifier), dns_value(proof.key_authorization)
        values = self._values.setdefault(name, [])
        if is_there:
            values.append(value)
        else:
            values.remove(value)
        self._zone.set(name, "TXT", *(f'"{each}"' for each in values))


class HttpSolver:
    """http-01 on a port of ours."""

    kind: ChallengeType = "http-01"

    def __init__(self) -> None:
        self.proofs: dict[str, str] = {}
        self.is_forgetful = False
        """It answers, and with nothing."""

    async def start(self, stack: AsyncExitStack) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        stack.callback(server.close)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def present(self, proof: Proof) -> str | None:
        self.proofs[http_path(proof.token)] = proof.key_authorization
        return None

    async def cleanup(self, proof: Proof) -> None:
        del self.proofs[http_path(proof.token)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode("ascii")
            assert path.startswith(HTTP_FOLDER)
            body = b"" if self.is_forgetful else self.proofs.get(path, "").encode("ascii")
            status = "200 OK" if body else "404 Not Found"
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode("ascii") + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class TlsSolver:
    """tls-alpn-01 on a port of ours, with the standard library's TLS."""

    kind: ChallengeType = "tls-alpn-01"

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def start(self, stack: AsyncExitStack) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols([ALPN.decode("ascii")])
        context.sni_callback = self._choose
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        stack.callback(server.close)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def present(self, proof: Proof) -> str | None:
        made = make_challenge_certificate(
            proof.identifier, proof.key_authorization, SystemClock().now()
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols([ALPN.decode("ascii")])
        _load(context, made.certificate_pem, made.key_pem)
        self._contexts[made.server_name] = context
        return None

    async def cleanup(self, proof: Proof) -> None:
        ip = proof.identifier.address()
        del self._contexts[proof.identifier.value if ip is None else ip.reverse_pointer]

    def _choose(self, tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        found = self._contexts.get(name or "")
        if found is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        tls.context = found
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The validator says nothing and closes (RFC 8737 §4).
        with suppress(OSError, ssl.SSLError):
            await reader.read()
        writer.close()


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name)

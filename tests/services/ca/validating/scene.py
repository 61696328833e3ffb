"""Hosts of who asks for a certificate, and of who plays tricks: web servers, on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path

from letterlock.base.waiting import let_arrive
from letterlock.network.dialing import DirectDialer
from letterlock.network.wire import Lost, Wire
from letterlock.protocols.acme.challenges import http_path
from letterlock.protocols.acme.identifiers import ChallengeType, parse_identifier
from letterlock.protocols.acme.validation.proofs import Expected
from letterlock.services.ca.validating.hosts import ValidationBounds
from letterlock.services.ca.validating.perspectives import Perspective
from tests.accepting import stop_accepting
from tests.fakes import FixtureResolver
from tests.network.certificates import issue, write_pair

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
PROOF = f"{TOKEN}.NOz5U5NOmv9dRBXHRiE6YOaYFYkbUCYeNUhWbGvFmn0"
PATH = http_path(TOKEN)
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
BOUNDS = ValidationBounds(seconds=20.0, connect_seconds=10.0, networks=LOOPBACK)


class FixtureBackend(FixtureResolver):
    """DNS as a table, that keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.address = "a table"
        self.is_trusted = True


class RecordingDialer(DirectDialer):
    """Writes down what it connects to."""

    def __init__(self, ports: Mapping[int, int]) -> None:
        super().__init__(ports=ports)
        self.ports = ports
        self.dialed: list[tuple[str, int]] = []

    async def connect(self, ip: str, port: int, seconds: float) -> Wire | Lost:
        self.dialed.append((ip, port))
        return await super().connect(ip, port, seconds)


def expect(name: str, method: ChallengeType) -> Expected:
    return Expected(parse_identifier(name), method, TOKEN, PROOF)


@dataclass(slots=True)
class Scene:
    """One perspective, whose ports 80 and 443 are those of the servers here."""

    resolver: FixtureBackend = field(default_factory=FixtureBackend)
    dialer: RecordingDialer = field(default_factory=lambda: RecordingDialer({80: 1, 443: 1}))

    def host(self, *names: str, address: str = "127.0.0.1") -> None:
        """Let names be hosts here."""
        for name in names:
            ip = ip_address(address)
            self.resolver.set(name, "A" if ip.version == 4 else "AAAA", ip)

    def perspective(self, name: str = "here", region: str = "RIPE NCC") -> Perspective:
        return Perspective(name, region, self.resolver, self.dialer)


def answer(status: str, *headers: str, body: str | bytes = "") -> bytes:
    octets = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(octets)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + octets


def redirect(location: str, status: int = 302) -> bytes:
    return answer(f"{status} Elsewhere", f"Location: {location}", body="look there")


@dataclass(slots=True)
class Web:
    """What is where, by `host/path`, and what was asked for. None: it says nothing, ever."""

    pages: dict[str, bytes | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(1)
        if head == b"\x16":  # TLS, where there is none
            writer.write(answer("400 Bad Request"))
            return
        head += await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        lines = head.decode("latin-1").split("\r\n")
        host = next(line[6:] for line in lines if line.lower().startswith("host: "))
        is_tls = writer.get_extra_info("ssl_object") is not None
        url = f"{'https' if is_tls else 'http'}://{host}{lines[0].split()[1]}"
        self.asked.append(url)
        octets = self.pages.get(url, answer("404 Not Found"))
        if octets is not None:
            writer.write(octets)
            await writer.drain()
        else:
            await reader.read()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(
    serve: Serve, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve on a port, which is given; all connections have ended when the block has."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve_one, host, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await stop_accepting(server)
    await let_arrive()
    if tasks:
        await asyncio.wait(tasks)


@asynccontextmanager
async def serving(web: Web, folder: Path, host: str = "127.0.0.1") -> AsyncIterator[Scene]:
    """Serve on two ports; the certificate of the second proves nothing."""
    certificate, key = write_pair(folder, issue(("unrelated.example",)), "web")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with answering(web.serve, host) as plain, answering(web.serve, host, context) as secure:
        yield Scene(dialer=RecordingDialer({80: plain, 443: secure}))

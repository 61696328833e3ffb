"""A web server on loopback for MTA-STS policies, good or misbehaving as its `Conduct` says.

Its TLS is our own driver, so that it can end a connection in ways that TLS libraries avoid.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory

from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.tls import TlsDriver
from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.protocols.tls.handshake import Handshake
from tests.accepting import accepting

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\nmax_age: 604800\r\n"


class Ending(Enum):
    """How a connection ends after the response."""

    CLOSE_NOTIFY = "close_notify"
    FIN = "FIN without close_notify"
    SILENCE = "nothing more"


def respond(
    body: bytes = POLICY,
    *headers: str,
    status: str = "200 OK",
    media_type: str | None = "text/plain",
    has_length: bool = True,
) -> bytes:
    """Make a response: status line, headers, body."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if media_type is not None:
        lines.append(f"Content-Type: {media_type}")
    if has_length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@dataclass(slots=True)
class Conduct:
    """How the host behaves. `pieces` go out one after the other, each flushed."""

    pieces: Sequence[bytes] = field(default_factory=lambda: [respond()])
    ending: Ending = Ending.CLOSE_NOTIFY
    instead_of_tls: bytes | None = None
    """Sent instead of the handshake; b"": nothing is said at all."""
    is_endless: bool = False
    """The last piece is said again and again,"""
    pause: float = 0.0
    """with so many seconds between."""
    before: Callable[[], "asyncio.Future[None]"] | None = None
    """Awaited before the response."""


@dataclass(slots=True)
class PolicyHost:
    """A host that runs; `conduct` may be changed while it does."""

    conduct: Conduct
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    snis: list[str | None] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """A request came."""


@contextlib.asynccontextmanager
async def policy_host(
    certificate: Issued, conduct: Conduct | None = None
) -> AsyncIterator[PolicyHost]:
    """Run a policy host."""
    host = PolicyHost(conduct or Conduct())
    with TemporaryDirectory() as folder:
        chooser = ServerCertificates([_write(Path(folder), certificate)])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host.connections += 1
        await _Connection(host, chooser, reader, writer).run()

    async with accepting(serve) as host.port:
        yield host


class _Connection:
    def __init__(
        self,
        host: PolicyHost,
        chooser: ServerCertificates,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer
        self._tls = TlsDriver.server(chooser)

    async def run(self) -> None:
        conduct = self._host.conduct
        if conduct.instead_of_tls is not None:
            self._writer.write(conduct.instead_of_tls)
            await self._wait_for_the_end()
            return
        if not await self._shake_hands():
            return
        request = b""
        while b"\r\n\r\n" not in request:
            if piece := self._tls.read():
                request += piece
            elif not await self._receive():
                return
        self._host.requests.append(request)
        self._host.asked.set()
        if conduct.before is not None:
            await conduct.before()
        await self._answer(conduct)

    async def _answer(self, conduct: Conduct) -> None:
        for piece in conduct.pieces:
            await self._say(piece)
        while conduct.is_endless:
            await self._say(conduct.pieces[-1])
            await asyncio.sleep(conduct.pause)
        if conduct.ending is Ending.SILENCE:
            await self._wait_for_the_end()
        if conduct.ending is Ending.CLOSE_NOTIFY:
            self._tls.close()
            await self._flush()

    async def _shake_hands(self) -> bool:
        while True:
            outcome = self._tls.do_handshake()
            await self._flush()
            if outcome is not None:
                self._host.snis.append(self._tls.client_hello.sni if self._tls.client_hello else "")
                return isinstance(outcome, Handshake)
            if not await self._receive():
                self._tls.receive_eof()

    async def _receive(self) -> bool:
        octets = await self._reader.read(65536)
        self._tls.receive(octets)
        return bool(octets)

    async def _say(self, octets: bytes) -> None:
        self._tls.write(octets)
        await self._flush()

    async def _flush(self) -> None:
        self._writer.write(self._tls.bytes_to_send())
        await self._writer.drain()

    async def _wait_for_the_end(self) -> None:
        while await self._reader.read(65536):
            pass


def _write(folder: Path, issued: Issued) -> tuple[Path, Path]:
    certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
    certificate.write_bytes(issued.chain_pem)
    key.write_bytes(issued.key_pem)
    key.chmod(0o600)
    return certificate, key

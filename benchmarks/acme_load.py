"""A closed loop of ACME clients: each orders, proves, finalizes and fetches, then begins anew.

`python -m benchmarks.acme_load JSON` runs one load (`Load`) against an authority on loopback and
prints what it measured (`LoadFigures`). RFC 8555 §7.4, by http-01. Each client has one connection,
which is kept, and an account; one key of certificates serves all, as making keys is not measured.
"""

import asyncio
import json
import socket
import ssl
import sys
import time
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from benchmarks.acme_names import make_key, make_name
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.requests import make_signing_request

MAX_NONCE_TRIES = 12
SHORTEST_WAIT, LONGEST_WAIT = 0.01, 0.5
"""Seconds between two looks at an object that is not ready: the first one, and at most."""
MAX_ISSUE_SECONDS = 60.0
REQUEST_SECONDS = 15.0
_FIELD_OCTETS = 32


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of whom."""

    directory: str
    trust: str
    """A PEM file."""
    run: str
    """A label that makes this run's names new ones."""
    count: int
    clients: int
    names: int = 1


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """How it went. Times are of whole certificates, in milliseconds."""

    issued: int
    seconds: float
    cpu_seconds: float
    """Of the loader itself."""
    requests: int
    p50_ms: float
    p99_ms: float
    step_p50_ms: dict[str, float] = field(default_factory=dict)


class LoadError(RuntimeError):
    """A certificate did not come; the message is the server's word."""


@dataclass(slots=True)
class Connection:
    """One connection to the server, kept over requests (RFC 9112 §9.3)."""

    host: str
    port: int
    context: ssl.SSLContext
    _ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask; gives status, header fields by lower-case name, and body. Raises TimeoutError."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await self._ask(method, path, body)
        except (ConnectionError, asyncio.IncompleteReadError):
            # The server may close what it keeps: once more, anew.
            self.close()
            async with asyncio.timeout(REQUEST_SECONDS):
                return await self._ask(method, path, body)

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._ends is None:
            self._ends = await asyncio.open_connection(self.host, self.port, ssl=self.context)
        reader, writer = self._ends
        kind = "Content-Type: application/jose+json\r\n" if body else ""
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nUser-Agent: load\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields.setdefault(name.strip().lower(), value.strip())
        octets = b""
        if method != "HEAD":
            octets = await self._read_body(reader, fields)
        if fields.get("connection", "").lower() == "close":
            self.close()
        return status, fields, octets

    async def _read_body(self, reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
        if "chunked" not in fields.get("transfer-encoding", ""):
            return await reader.readexactly(int(fields.get("content-length", 0)))
        octets = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            octets += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return octets

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].close()
        self._ends = None


@dataclass(slots=True)
class Client:
    """A client with its account."""

    number: int
    connection: Connection
    directory: dict[str, Any]
    steps: dict[str, list[float]]
    requests: int = 0
    _kid: str = ""
    _nonces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        key = make_key(self.number)
        assert isinstance(key.private, ec.EllipticCurvePrivateKey)
        self._key, self._jwk = key.private, key.public_jwk

    _key: ec.EllipticCurvePrivateKey = field(init=False)
    _jwk: Any = field(init=False)

    async def open(self) -> None:
        """Open the account, or find it."""
        payload = {"termsOfServiceAgreed": True, "contact": ["mailto:load@example.org"]}
        fields, _ = await self.post("account", self.directory["newAccount"], payload)
        self._kid = fields["location"]

    async def issue(self, names: Sequence[str], csr: str) -> None:
        """Have a certificate for these names. Raises LoadError."""
        payload = {"identifiers": [{"type": "dns", "value": name} for name in names]}
        fields, body = await self.post("order", self.directory["newOrder"], payload)
        place, order = fields["location"], json.loads(body)
        for authorization in order["authorizations"]:
            await self._prove(authorization)
        _, body = await self.post("finalize", order["finalize"], {"csr": csr})
        order = json.loads(body)
        if order["status"] != "valid":
            order = await self._wait("order-poll", place)
        _, chain = await self.post("download", order["certificate"])
        if chain.count(b"BEGIN CERTIFICATE") < 2:
            raise LoadError("the chain has one certificate only")

    async def post(
        self, step: str, url: str, payload: object = None
    ) -> tuple[dict[str, str], bytes]:
        """Ask with a signature; None is POST-as-GET. Raises LoadError."""
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        began = time.perf_counter()
        for _ in range(MAX_NONCE_TRIES):
            nonce = self._nonces.pop() if self._nonces else await self._fetch_nonce()
            body = self._sign(url, nonce, payload)
            status, fields, octets = await self.connection.ask("POST", path, body)
            self.requests += 1
            if "replay-nonce" in fields:
                self._nonces.append(fields["replay-nonce"])
            if status < 400:
                self.steps[step].append(time.perf_counter() - began)
                return fields, octets
            if b":badNonce" not in octets:
                raise LoadError(f"{step}: {status} {octets[:900].decode('utf-8', 'replace')}")
        raise LoadError(f"{step}: {MAX_NONCE_TRIES} nonces were refused")

    async def _prove(self, place: str) -> None:
        _, body = await self.post("authorization", place)
        found = json.loads(body)
        if found["status"] == "valid":
            return
        challenge = next(each for each in found["challenges"] if each["type"] == "http-01")
        await self.post("challenge", challenge["url"], {})
        await self._wait("authorization-poll", place)

    async def _wait(self, step: str, place: str) -> dict[str, Any]:
        """Look at an object until it is valid. Raises LoadError."""
        deadline, wait = time.monotonic() + MAX_ISSUE_SECONDS, SHORTEST_WAIT
        while True:
            _, body = await self.post(step, place)
            found: dict[str, Any] = json.loads(body)
            if found["status"] == "valid":
                return found
            if found["status"] == "invalid" or time.monotonic() > deadline:
                raise LoadError(f"{step}: {body[:1500].decode('utf-8', 'replace')}")
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, LONGEST_WAIT)

    async def _fetch_nonce(self) -> str:
        path = urlsplit(self.directory["newNonce"]).path
        _, fields, _ = await self.connection.ask("HEAD", path)
        self.requests += 1
        return fields["replay-nonce"]

    def _sign(self, url: str, nonce: str, payload: object) -> bytes:
        """RFC 8555 §6.2: as `protocols.acme.jws` does it, at a third of what that costs."""
        header = {"alg": "ES256", "nonce": nonce, "url": url}
        header |= {"kid": self._kid} if self._kid else {"jwk": self._jwk}
        protected = _encode(json.dumps(header).encode())
        content = _encode(b"" if payload is None else json.dumps(payload).encode())
        digest = ec.ECDSA(hashes.SHA256())
        numbers = decode_dss_signature(self._key.sign(f"{protected}.{content}".encode(), digest))
        signature = _encode(b"".join(number.to_bytes(_FIELD_OCTETS) for number in numbers))
        return json.dumps(
            {"protected": protected, "payload": content, "signature": signature}
        ).encode()


async def run(load: Load) -> LoadFigures:
    """Run a load to its end. Raises LoadError for the first certificate that does not come."""
    place = urlsplit(load.directory)
    assert place.hostname is not None
    for *_, address in socket.getaddrinfo(place.hostname, place.port):
        assert ip_address(address[0]).is_loopback, "an authority on this machine only"
    context = ssl.create_default_context(cafile=load.trust)
    first = Connection(place.hostname, place.port or 443, context)
    _, _, body = await first.ask("GET", place.path)
    first.close()
    steps: dict[str, list[float]] = defaultdict(list)
    clients = [
        Client(number, Connection(first.host, first.port, context), json.loads(body), steps)
        for number in range(load.clients)
    ]
    for client in clients:
        await client.open()
    steps.clear()
    return await _measure(load, clients, steps)


async def _measure(
    load: Load, clients: Sequence[Client], steps: dict[str, list[float]]
) -> LoadFigures:
    key = ec.generate_private_key(ec.SECP256R1())
    share = load.count // len(clients)
    work = {client.number: list(_make_work(load, client.number, share, key)) for client in clients}
    times: list[float] = []

    async def turn(client: Client) -> None:
        for names, csr in work[client.number]:
            began = time.perf_counter()
            await client.issue(names, csr)
            times.append(time.perf_counter() - began)

    before = sum(client.requests for client in clients)
    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(turn(client))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    for client in clients:
        client.connection.close()
    return LoadFigures(
        issued=len(times),
        seconds=seconds,
        cpu_seconds=cpu,
        requests=sum(client.requests for client in clients) - before,
        p50_ms=_percentile(times, 50),
        p99_ms=_percentile(times, 99),
        step_p50_ms={step: _percentile(taken, 50) for step, taken in steps.items()},
    )


def _make_work(
    load: Load, account: int, count: int, key: ec.EllipticCurvePrivateKey
) -> Iterator[tuple[list[str], str]]:
    """Make names that nobody had, each with its request for a certificate."""
    for number in range(count):
        labels = (f"{load.run}-{number}-{each}" for each in range(load.names))
        names = [make_name(account, label) for label in labels]
        request = make_signing_request(key, [parse_identifier(name) for name in names])
        yield names, _encode(request.public_bytes(Encoding.DER))


def _percentile(seconds: Sequence[float], percent: int) -> float:
    """Give it in milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1e3


def _encode(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def main(words: str) -> str:
    """Run a load; gives its figures. Raises SystemExit with one line for what did not come."""
    try:
        return json.dumps(asdict(asyncio.run(run(Load(**json.loads(words))))))
    except ExceptionGroup as failures:
        first = failures.exceptions[0]
        if not isinstance(first, LoadError | TimeoutError):
            raise
        # From within the group's handler the whole group would be told.
        why = repr(first)
    except (LoadError, TimeoutError) as error:
        why = repr(error)
    raise SystemExit(why)


if __name__ == "__main__":
    print(main(sys.argv[1]))

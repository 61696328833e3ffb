"""Fetch an MTA-STS policy file over HTTPS.

RFC 8461 §3.3 (one GET, no redirects, no HTTP cache, bounds), §3.2 (media type), RFC 9112 (HTTP/1.1,
by h11), RFC 9525 §6.3 (names). The chain is judged after the handshake and before anything is
asked, by the code that judges MX hosts. The name is resolved once, and what is connected to are
those addresses. What the policy says is `protocols.mta_sts`; keeping it and when to fetch,
`services.discover.mta_sts`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

import h11

from letterlock.base.clock import Clock
from letterlock.base.domains import MAX_DOMAIN_OCTETS, Domain, DomainError
from letterlock.network.client_contexts import ClientContexts, ClientSettings
from letterlock.network.dns import Resolver
from letterlock.network.public_addresses import is_public
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.dns.answers import Answer
from letterlock.protocols.mta_sts.policy import MAX_POLICY_OCTETS, MIME_TYPE
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.chain import judge_chain
from letterlock.protocols.pki.names import CertificateNames, explain_mismatch, find_match
from letterlock.protocols.tls.handshake import HandshakeFailed
from letterlock.protocols.tlsrpt.result_types import ResultType

HOST_LABEL = "mta-sts"
PATH = "/.well-known/mta-sts.txt"
FETCH_SECONDS = 60.0
"""RFC 8461 §3.3: for everything, from the first lookup to the last octet."""
CONNECT_SECONDS = 10.0
"""For one address, so that the next one has its turn."""
MAX_ADDRESSES_PER_VERSION = 2
MAX_HEADER_OCTETS = 32 * 1024
MAX_RECEIVED_OCTETS = 256 * 1024
"""Octets of HTTP read in all: a body in chunks of one octet is several times its length."""

MAX_REASON_CHARACTERS = 500
"""A certificate's names alone can be longer; reasons are stored, logged and reported."""

_SHOWN_CHARACTERS = 100
_OK = 200


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """There is no policy file, and why; `reason` is one line, in which a peer's words are bounded.

    RFC 8460 §4.3.2.2: STS_POLICY_FETCH_ERROR, STS_POLICY_INVALID or STS_WEBPKI_INVALID.
    """

    result_type: ResultType
    reason: str


class UnusableAnchors(Protocol):
    """Why there are no trust anchors: one line."""

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True)
class HttpsSettings:
    """Where policies may be fetched from. Other than these only where everything is one's own."""

    port: int = 443
    has_private_addresses: bool = False
    """Policy hosts may have loopback, private and other special addresses."""
    seconds: float = FETCH_SECONDS


class PolicyFetcher:
    """Fetches policy files. `find_anchors` gives the trust anchors as they are now."""

    def __init__(
        self,
        resolver: Resolver,
        contexts: ClientContexts,
        find_anchors: Callable[[], TrustAnchors | UnusableAnchors],
        clock: Clock,
        settings: HttpsSettings = HttpsSettings(),
    ) -> None:
        self._resolver = resolver
        self._contexts = contexts
        self._find_anchors = find_anchors
        self._clock = clock
        self._settings = settings

    async def fetch(self, domain: Domain) -> bytes | FetchFailed:
        """Fetch the policy file of a policy domain. How many do so at a time is the caller's."""
        host = Domain(f"{HOST_LABEL}.{domain}")
        if len(host) > MAX_DOMAIN_OCTETS:
            return _fail(f"the name of the policy host is too long: {host[:_SHOWN_CHARACTERS]}...")
        try:
            async with asyncio.timeout(self._settings.seconds):
                return await self._fetch(host)
        except TimeoutError:
            return _fail(f"{host}: no policy within {self._settings.seconds:g} seconds")

    async def _fetch(self, host: Domain) -> bytes | FetchFailed:
        addresses = await self._find_addresses(host)
        if isinstance(addresses, FetchFailed):
            return addresses
        wire = await self._connect(host, addresses)
        if isinstance(wire, FetchFailed):
            return wire
        try:
            tls = await self._start_tls(wire, host)
            if isinstance(tls, FetchFailed):
                return tls
            return await _Exchange(wire, tls, host, self._settings.seconds).run()
        finally:
            wire.close()

    async def _find_addresses(self, host: Domain) -> list[IPv4Address | IPv6Address] | FetchFailed:
        answers = await asyncio.gather(*(self._resolver.ask(host, rd) for rd in ("AAAA", "A")))
        found = _choose_addresses(answers)
        if not found:
            reasons = [each.reason for each in answers if not each.is_answer]
            return _fail(f"{host}: {reasons[0] if reasons else 'the name has no address'}")
        usable = [ip for ip in found if self._settings.has_private_addresses or is_public(ip)]
        if not usable:
            shown = ", ".join(str(ip) for ip in found)
            return _fail(f"{host}: {shown}: not an address of the Internet, not connected to")
        return usable

    async def _connect(
        self, host: Domain, addresses: Sequence[IPv4Address | IPv6Address]
    ) -> Wire | FetchFailed:
        losses = []
        for ip in addresses:
            wire = await connect(str(ip), self._settings.port, CONNECT_SECONDS)
            if isinstance(wire, Wire):
                return wire
            losses.append(f"{ip}: {wire.detail}")
        return _fail(f"{host}: {'; '.join(losses)}")

    async def _start_tls(self, wire: Wire, host: Domain) -> TlsDriver | FetchFailed:
        """Do the handshake, with the policy host's name as SNI (RFC 8461 §7.1), and judge it."""
        anchors = self._find_anchors()
        if not isinstance(anchors, TrustAnchors):
            return _fail(f"{host}: {anchors.reason}")
        try:
            driver = TlsDriver.client(self._contexts.find(ClientSettings()), host)
        except DomainError as error:
            return _fail(f"{host}: {error}")
        handshake = await wire.start_tls(driver, self._settings.seconds)
        if isinstance(handshake, HandshakeFailed):
            return _fail(f"{host}: {handshake.detail}")
        judgement = judge_chain(handshake.chain, anchors, self._clock.now())
        if judgement.findings:
            return _distrust(host, judgement.findings[0].text)
        names = judgement.leaf.names if judgement.leaf else CertificateNames()
        if find_match(names, [host]) is None:
            return _distrust(host, explain_mismatch(names, [host]))
        return driver


class _Exchange:
    """One request and its response. Reading and writing end with the fetch's time bound."""

    def __init__(self, wire: Wire, tls: TlsDriver, host: Domain, seconds: float) -> None:
        self._wire = wire
        self._tls = tls
        self._host = host
        self._seconds = seconds
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_OCTETS)
        self._received = 0
        self._body = bytearray()
        self._is_framed = False

    async def run(self) -> bytes | FetchFailed:
        headers = [
            ("Host", self._host),
            ("User-Agent", "letterlock"),
            ("Accept", MIME_TYPE),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        request = h11.Request(method="GET", target=PATH, headers=headers)
        octets = self._http.send(request) or b""
        self._http.send(h11.EndOfMessage())
        if lost := await self._wire.write(octets, self._seconds):
            return self._fail(lost.detail)
        try:
            return await self._receive()
        except h11.RemoteProtocolError as error:
            return self._fail(f"not a response in HTTP/1.1: {str(error)[:_SHOWN_CHARACTERS]!r}")

    async def _receive(self) -> bytes | FetchFailed:
        while True:
            event = self._http.next_event()
            failed: FetchFailed | None = None
            match event:
                case h11.Response():
                    failed = self._check_response(event)
                case h11.Data():
                    self._body += event.data
                    failed = self._check_size(len(self._body))
                case h11.EndOfMessage():
                    return bytes(self._body)
                case h11.NEED_DATA:
                    failed = await self._read()
                case _:  # an informational response, of which the octets read are bounded
                    pass
            if failed is not None:
                return failed

    async def _read(self) -> FetchFailed | None:
        octets = await self._wire.read(self._seconds)
        if isinstance(octets, Lost):
            if self._tls.failure is not None or octets.is_timeout:
                return self._fail(octets.detail)
            if not self._is_framed and not self._tls.is_closed:
                # Only TLS's own end says that this was all: a FIN can come from anybody.
                return self._fail("the connection was cut off inside the response")
            octets = b""
        self._received += len(octets)
        if self._received > MAX_RECEIVED_OCTETS:
            return self._fail(f"more than {MAX_RECEIVED_OCTETS} octets of HTTP")
        self._http.receive_data(octets)
        return None

    def _check_response(self, response: h11.Response) -> FetchFailed | None:
        if response.status_code != _OK:
            return self._fail(_explain_status(response))
        types = _find_headers(response, b"content-type")
        if len(types) != 1 or _media_type(types[0]) != MIME_TYPE:
            shown = _show(b", ".join(types)) if types else "missing"
            return self._reject(f"the media type is {shown}, not {MIME_TYPE}")
        encodings = _find_headers(response, b"content-encoding")
        if any(each.strip().lower() != b"identity" for each in encodings):
            return self._reject(f"the content encoding is {_show(b', '.join(encodings))}")
        lengths = _find_headers(response, b"content-length")
        self._is_framed = bool(lengths or _find_headers(response, b"transfer-encoding"))
        return self._check_size(int(lengths[0])) if lengths else None

    def _check_size(self, octets: int) -> FetchFailed | None:
        if octets <= MAX_POLICY_OCTETS:
            return None
        return self._reject(f"the policy has more than {MAX_POLICY_OCTETS} octets")

    def _fail(self, reason: str) -> FetchFailed:
        return _fail(f"{self._host}: {reason}")

    def _reject(self, reason: str) -> FetchFailed:
        """Something came that a policy file can't be."""
        return FetchFailed(ResultType.STS_POLICY_INVALID, f"{self._host}: {reason}")


def _fail(reason: str) -> FetchFailed:
    return FetchFailed(ResultType.STS_POLICY_FETCH_ERROR, reason[:MAX_REASON_CHARACTERS])


def _distrust(host: Domain, reason: str) -> FetchFailed:
    text = f"{host}: {reason}"
    return FetchFailed(ResultType.STS_WEBPKI_INVALID, text[:MAX_REASON_CHARACTERS])


def _choose_addresses(answers: Sequence[Answer]) -> list[IPv4Address | IPv6Address]:
    """Give the first addresses of each answer, so that both versions of IP have their turn."""
    return [
        record
        for answer in answers
        if answer.is_answer
        for record in answer.records[:MAX_ADDRESSES_PER_VERSION]
        if isinstance(record, IPv4Address | IPv6Address)
    ]


def _find_headers(response: h11.Response, name: bytes) -> list[bytes]:
    return [value for key, value in response.headers if key == name]


def _media_type(value: bytes) -> str:
    """Give the type without its parameters: RFC 8461 §3.2 has them ignored."""
    return value.partition(b";")[0].strip().lower().decode("latin-1")


def _explain_status(response: h11.Response) -> str:
    text = f"HTTP status {response.status_code}"
    if places := _find_headers(response, b"location"):
        # RFC 8461 §3.3: redirects MUST NOT be followed.
        text += f", a redirect to {_show(places[0])}, which is not followed"
    return text


def _show(value: bytes) -> str:
    """Quote a peer's words, so that they stay on one line and short."""
    return repr(value[:_SHOWN_CHARACTERS].decode("latin-1"))

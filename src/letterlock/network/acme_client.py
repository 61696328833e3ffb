"""Requests to an ACME server: signed, with nonces, and what comes back as a value.

RFC 8555 §6.1 (HTTPS, User-Agent), §6.2 (media type), §6.5 (nonces), §6.7 (errors), §7.2 (a new
nonce); RFC 9110 §10.2.3 (Retry-After). No redirects are followed. What is asked for and what the
answers mean is in `services.certify`.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from letterlock.base.clock import Clock, format_time
from letterlock.network.http_exchange import HttpBounds, HttpFailed, HttpRequest, HttpResponse, show
from letterlock.protocols.acme.chains import MAX_CHAIN_OCTETS
from letterlock.protocols.acme.directory import Directory, parse_directory
from letterlock.protocols.acme.fields import ObjectError, Url, parse_url
from letterlock.protocols.acme.headers import find_links, parse_retry_after
from letterlock.protocols.acme.jws import NONCE, AccountKey, sign_request
from letterlock.protocols.acme.problems import Problem, parse_problem

MAX_OBJECT_OCTETS = 512 * 1024
"""An order for 100 names has some 40 kilobytes; the chain fits in too."""
MAX_RECEIVED_OCTETS = 1024 * 1024
REQUEST_SECONDS = 60.0
DIRECTORY_SECONDS = 3600.0
"""How long a directory is taken to be current."""
MAX_NONCES = 8
MAX_NONCE_TRIES = 20
"""Of one request. A server that refuses two nonces in five is still served a million times."""

_MEDIA_TYPE = "application/jose+json"

assert MAX_CHAIN_OCTETS <= MAX_OBJECT_OCTETS


@dataclass(frozen=True, slots=True)
class AcmeFailed:
    """A request did not get what it asked for. `reason` is one line.

    `problem` is the server's; None: there was no answer, or none that can be used.
    `retry_after` is the server's word. `is_temporary`: the same request may get it later (RFC 9773
    §4.3.3 has both kinds): no connection, too many requests, a server in trouble.
    """

    reason: str
    problem: Problem | None = None
    retry_after: timedelta | None = None
    is_temporary: bool = False

    @property
    def lines(self) -> tuple[str, ...]:
        """The reason, and what the server said of each name."""
        more = self.problem.lines[1:] if self.problem else ()
        return (self.reason, *more)

    def is_about(self, kind: str) -> bool:
        """Tell whether the server's problem is of this type."""
        return self.problem is not None and self.problem.type == kind


@dataclass(frozen=True, slots=True)
class AcmeAnswer:
    """A request got what it asked for. `location` is where the new object is."""

    body: bytes
    media_types: tuple[str, ...] = ()
    location: Url | None = None
    retry_after: timedelta | None = None
    alternates: tuple[Url, ...] = ()
    """RFC 8555 §7.4.2: the same certificate with other chains."""


class Https(Protocol):
    """`network.https_client.HttpsClient`."""

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> HttpResponse | HttpFailed: ...


class AcmeClient:
    """Asks one server; several tasks may at a time."""

    def __init__(self, http: Https, directory_url: Url, clock: Clock) -> None:
        self.directory_url = directory_url
        self._http = http
        self._clock = clock
        self._directory: tuple[float, Directory] | None = None
        self._nonces: list[str] = []

    async def fetch_directory(self) -> Directory | AcmeFailed:
        """Give the directory, as it is now or was less than DIRECTORY_SECONDS ago."""
        now = self._clock.monotonic()
        if self._directory is not None and now - self._directory[0] < DIRECTORY_SECONDS:
            return self._directory[1]
        answer = await self.get(self.directory_url)
        if isinstance(answer, AcmeFailed):
            return answer
        try:
            directory = parse_directory(answer.body)
        except ObjectError as error:
            return AcmeFailed(f"{self.directory_url.host}: {error}")
        self._directory = (now, directory)
        return directory

    async def get(self, url: Url) -> AcmeAnswer | AcmeFailed:
        """Ask without a signature: for the directory, and for renewal information."""
        response = await self._send(url, "GET")
        return response if isinstance(response, AcmeFailed) else self._read(url, response)

    async def post(
        self, url: Url, key: AccountKey, payload: object | None, account: Url | None
    ) -> AcmeAnswer | AcmeFailed:
        """Ask with a signature; a payload of None is POST-as-GET. See `jws.sign_request`."""
        nonce = self._nonces.pop() if self._nonces else await self._fetch_nonce()
        for _ in range(MAX_NONCE_TRIES):
            if isinstance(nonce, AcmeFailed):
                return nonce
            body = sign_request(key, url, nonce, payload, account)
            response = await self._send(url, "POST", body)
            if isinstance(response, AcmeFailed):
                return response
            fresh = _find_nonce(response)
            answer = self._read(url, response)
            if isinstance(answer, AcmeAnswer) or not answer.is_about("badNonce"):
                self._keep(fresh)
                return answer
            # RFC 8555 §6.5: the nonce that came with the refusal is the one to try.
            nonce = fresh or await self._fetch_nonce()
        return AcmeFailed(f"{url.host}: {MAX_NONCE_TRIES} nonces of its own were refused")

    async def _fetch_nonce(self) -> str | AcmeFailed:
        directory = await self.fetch_directory()
        if isinstance(directory, AcmeFailed):
            return directory
        url = directory.new_nonce
        response = await self._send(url, "HEAD")
        if isinstance(response, AcmeFailed):
            return response
        return _find_nonce(response) or AcmeFailed(f"{url.host}: no nonce came")

    async def _send(self, url: Url, method: str, body: bytes = b"") -> HttpResponse | AcmeFailed:
        headers = [("Accept-Language", "en")]
        if body:
            headers.append(("Content-Type", _MEDIA_TYPE))
        request = HttpRequest(url.host, url.target, url.port, method, tuple(headers), body)
        bounds = HttpBounds(REQUEST_SECONDS, MAX_OBJECT_OCTETS, MAX_RECEIVED_OCTETS)
        response = await self._http.ask(request, bounds)
        if isinstance(response, HttpFailed):
            return AcmeFailed(self._explain(response), is_temporary=True)
        return response

    def _explain(self, failed: HttpFailed) -> str:
        if not failed.is_about_time:
            return failed.reason
        now = format_time(self._clock.now())
        return f"{failed.reason}; this machine's clock says {now}: is it right?"

    def _read(self, url: Url, response: HttpResponse) -> AcmeAnswer | AcmeFailed:
        retry_after = self._find_retry_after(response)
        if response.status >= 400:
            problem = parse_problem(response.status, response.body)
            is_temporary = response.status >= 500 or response.status == 429
            return AcmeFailed(f"{url.host}: {problem.summary}", problem, retry_after, is_temporary)
        if response.status >= 300:
            places = response.find(b"location")
            to = f", a redirect to {show(places[0])}, which is not followed" if places else ""
            return AcmeFailed(f"{url.host}: HTTP status {response.status}{to}")
        return AcmeAnswer(
            body=response.body,
            media_types=tuple(response.media_types),
            location=_find_location(response),
            retry_after=retry_after,
            alternates=find_links(response.find(b"link"), "alternate"),
        )

    def _find_retry_after(self, response: HttpResponse) -> timedelta | None:
        values = response.find(b"retry-after")
        return parse_retry_after(values[0], self._clock.now()) if values else None

    def _keep(self, nonce: str | None) -> None:
        if nonce is not None:
            # The newest is used first: a server may forget old ones.
            self._nonces = [*self._nonces[1 - MAX_NONCES :], nonce]


def _find_nonce(response: HttpResponse) -> str | None:
    values = response.find(b"replay-nonce")
    if len(values) != 1 or not NONCE.match(values[0]):
        return None
    return values[0].decode("ascii")


def _find_location(response: HttpResponse) -> Url | None:
    values = response.find(b"location")
    try:
        return parse_url(values[0].decode("latin-1")) if values else None
    except ObjectError:
        return None

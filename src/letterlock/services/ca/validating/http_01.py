"""http-01: the key authorization is in a file on port 80 of the name, or where that redirects to.

RFC 8555 §8.3, §10.4; RFC 8738 §4, §5 (addresses). Where redirects may lead is
`protocols.acme.validation.redirects`; to which addresses, `hosts`. A server's certificate, where
one redirects to HTTPS, proves nothing and is not judged.
"""

from http import HTTPStatus

from letterlock.base.domains import DomainError
from letterlock.network.challenge_look import start_unjudged_tls
from letterlock.network.http_exchange import (
    Exchange,
    HttpBounds,
    HttpFailed,
    HttpFault,
    HttpRequest,
    HttpResponse,
)
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Wire
from letterlock.protocols.acme.challenges import http_path
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.acme.validation.proofs import Expected, find_body_fault
from letterlock.protocols.acme.validation.redirects import (
    MAX_REDIRECTS,
    REDIRECTING,
    BadRedirect,
    WebUrl,
    make_first_url,
    parse_location,
)
from letterlock.protocols.tls.handshake import HandshakeFailed
from letterlock.services.ca.validating.hosts import ValidationBounds, reach
from letterlock.services.ca.validating.outcomes import Notes, refuse
from letterlock.services.ca.validating.perspectives import Perspective

MAX_BODY_OCTETS = 4 * 1024
"""A key authorization has at most 600, and there may be whitespace."""
MAX_RECEIVED_OCTETS = 64 * 1024

_CONTENT_FAULTS = (HttpFault.TOO_LONG, HttpFault.ENCODED)


async def look_for_file(
    expected: Expected, perspective: Perspective, bounds: ValidationBounds, notes: Notes
) -> Problem | None:
    """Look; None: it is there."""
    url = make_first_url(expected.identifier, expected.token)
    visited = {url}
    while True:
        response = await _fetch(url, perspective, bounds, notes)
        if isinstance(response, Problem):
            return response
        notes.steps.append(f"GET {url}: status {response.status}")
        if response.status not in REDIRECTING:
            return _judge(url, response, expected)
        following = parse_location(url, response.find(b"location"), expected.identifier.value)
        if isinstance(following, BadRedirect):
            return refuse(
                ErrorType.INCORRECT_RESPONSE,
                f"{url}: the redirect is not followed: {following.reason}",
            )
        if following in visited:
            return refuse(
                ErrorType.INCORRECT_RESPONSE, f"{url}: the redirects lead back to {following}"
            )
        if len(visited) > MAX_REDIRECTS:
            return refuse(
                ErrorType.INCORRECT_RESPONSE,
                f"{url}: there are more than {MAX_REDIRECTS} redirects",
            )
        visited.add(following)
        url = following


async def _fetch(
    url: WebUrl, perspective: Perspective, bounds: ValidationBounds, notes: Notes
) -> HttpResponse | Problem:
    wire = await reach(perspective, url.host, url.port, bounds, notes)
    if isinstance(wire, Problem):
        return Problem(wire.type, f"{url}: {wire.detail}")
    try:
        driver = await _start_tls(wire, url, bounds) if url.scheme == "https" else None
        if isinstance(driver, Problem):
            return driver
        request = HttpRequest(url.host, url.target, url.port, headers=(("Accept", "*/*"),))
        limits = HttpBounds(bounds.seconds, MAX_BODY_OCTETS, MAX_RECEIVED_OCTETS)
        response = await Exchange(wire, driver, request, limits, _wants_body).run()
    finally:
        wire.close()
    if isinstance(response, HttpFailed):
        kind = (
            ErrorType.INCORRECT_RESPONSE
            if response.fault in _CONTENT_FAULTS
            else ErrorType.CONNECTION
        )
        return refuse(kind, f"{url}: {response.reason}")
    return response


async def _start_tls(wire: Wire, url: WebUrl, bounds: ValidationBounds) -> TlsDriver | Problem:
    try:
        driver, handshake = await start_unjudged_tls(wire, url.host, bounds.seconds)
    except DomainError as error:
        return refuse(ErrorType.TLS, f"{url}: {error}")
    if isinstance(handshake, HandshakeFailed):
        return refuse(ErrorType.TLS, f"{url}: {handshake.detail}")
    return driver


def _wants_body(head: HttpResponse) -> bool:
    return head.status == HTTPStatus.OK


def _judge(url: WebUrl, response: HttpResponse, expected: Expected) -> Problem | None:
    if response.status != HTTPStatus.OK:
        return refuse(
            ErrorType.INCORRECT_RESPONSE, f"{url}: the status is {response.status}, not 200"
        )
    # Who redirects could otherwise read the pages of a network that only we can reach.
    is_usual = url.target == http_path(expected.token)
    fault = find_body_fault(response.body, expected, shows=is_usual)
    return None if fault is None else refuse(ErrorType.INCORRECT_RESPONSE, f"{url}: {fault}")

"""HTTP replies of an authority: status, headers, body, as values that the web server only sends.

RFC 8555 §6.3 (methods), §6.5 (Replay-Nonce with every answer to a POST), §6.7 (problem documents),
§7.1 (`index` with all but the directory, `up` with challenges), §7.2 (Cache-Control), §7.4.2
(`alternate`), §9.1 (media type of chains); §6.1 (browsers may ask from anywhere).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from letterlock.protocols.acme.chains import MEDIA_TYPE as CHAIN
from letterlock.protocols.acme.headers import format_link, format_retry_after
from letterlock.protocols.acme.problems import format_problem
from letterlock.protocols.acme.renewal_info import format_renewal_info
from letterlock.protocols.acme.server.objects import Authorization, Certificate, Order
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.refusals import Link, Refusal
from letterlock.protocols.acme.server.renewals import RenewalAnswer
from letterlock.protocols.acme.states import AuthorizationStatus, ChallengeStatus, OrderStatus

OK = 200
CREATED = 201
NO_CONTENT = 204

JSON = "application/json"
PROBLEM = "application/problem+json"

RENEWAL_MAX_AGE = timedelta(minutes=5)
"""An incident is to be seen soon."""
_SECOND = timedelta(seconds=1)
_READABLE = "Link, Location, Replay-Nonce, Retry-After"


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered, but for the nonce."""

    status: int
    media_type: str | None = None
    body: bytes = b""
    location: str | None = None
    links: tuple[Link, ...] = ()
    retry_after: timedelta | None = None
    allowed_methods: tuple[str, ...] = ()
    max_age: timedelta | None = None
    """How long caches may keep it; None: not at all."""


def reply_document(
    document: Mapping[str, object],
    *,
    location: str | None = None,
    is_new: bool = False,
    links: tuple[Link, ...] = (),
    retry_after: timedelta | None = None,
) -> Reply:
    """Answer with an object; `location` is where it is."""
    status = CREATED if is_new else OK
    body = msgspec.json.encode(document)
    return Reply(status, JSON, body, location, links, retry_after)


def reply_nonce(*, is_head: bool) -> Reply:
    """Answer newNonce, which is all header (RFC 8555 §7.2)."""
    return Reply(OK if is_head else NO_CONTENT)


def reply_renewal(answer: RenewalAnswer) -> Reply:
    """Answer with renewal information, which caches keep: anybody may ask (RFC 9773 §6)."""
    body = msgspec.json.encode(format_renewal_info(answer.window))
    return Reply(OK, JSON, body, retry_after=answer.retry_after, max_age=RENEWAL_MAX_AGE)


def reply_refusal(refusal: Refusal) -> Reply:
    """Answer with a problem document."""
    return Reply(
        status=refusal.status,
        media_type=PROBLEM,
        body=msgspec.json.encode(format_problem(refusal.problem)),
        location=refusal.location,
        links=refusal.links,
        retry_after=refusal.retry_after,
        allowed_methods=refusal.allowed_methods,
    )


def reply_chain(pem: bytes, certificate: Certificate, chain: int, places: Places) -> Reply:
    """Answer with a certificate and a chain, and with where its other chains are (§7.4.2)."""
    links = tuple(
        Link(places.certificate(certificate.id, other), "alternate")
        for other in range(certificate.chain_count)
        if other != chain
    )
    return Reply(OK, CHAIN, pem, links=links)


def find_order_wait(order: Order, wait: timedelta) -> timedelta | None:
    """Give Retry-After for an order: only one that is processed has one (RFC 8555 §7.4)."""
    return wait if order.status is OrderStatus.PROCESSING else None


def find_challenge_wait(authorization: Authorization, wait: timedelta) -> timedelta | None:
    """Give Retry-After for an authorization whose challenge is tried (RFC 8555 §7.5.1, §8.2)."""
    is_tried = authorization.status is AuthorizationStatus.PENDING and any(
        each.status is ChallengeStatus.PROCESSING for each in authorization.challenges
    )
    return wait if is_tried else None


def link_up(authorization: Authorization, places: Places) -> tuple[Link, ...]:
    """Give the link from a challenge to its authorization (RFC 8555 §7.1)."""
    return (Link(places.authorization(authorization.id), "up"),)


def format_headers(
    reply: Reply, places: Places, nonce: str | None, *, is_directory: bool = False
) -> tuple[tuple[str, str], ...]:
    """Make the headers but Content-Length. `nonce` is new; None: no POST was asked."""
    age = "no-store" if reply.max_age is None else f"max-age={reply.max_age // _SECOND}"
    found = [
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Expose-Headers", _READABLE),
        ("Cache-Control", age),
    ]
    if reply.media_type is not None:
        found.append(("Content-Type", reply.media_type))
    if reply.media_type == PROBLEM:
        found.append(("Content-Language", "en"))
    if nonce is not None:
        found.append(("Replay-Nonce", nonce))
    if reply.location is not None:
        found.append(("Location", reply.location))
    index = () if is_directory else (Link(places.directory, "index"),)
    found += [("Link", format_link(each.url, each.relation)) for each in (*index, *reply.links)]
    if reply.retry_after is not None:
        found.append(("Retry-After", format_retry_after(reply.retry_after)))
    if reply.allowed_methods:
        found.append(("Allow", ", ".join(reply.allowed_methods)))
    return tuple(found)

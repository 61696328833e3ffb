"""Orders, authorizations and challenges, as a server shows them.

RFC 8555 §7.1.3 (orders), §7.1.4 (authorizations), §8 (challenges), §9.1 (what the certificate must
be is in `chains`); RFC 9773 §5 (`replaces`). No order of identifiers or of authorizations is relied
on.
"""

from dataclasses import dataclass
from datetime import datetime

from letterlock.protocols.acme.challenges import is_token
from letterlock.protocols.acme.fields import Fields, Url, parse_object, parse_url
from letterlock.protocols.acme.identifiers import Identifier, read_identifier
from letterlock.protocols.acme.problems import Problem, read_problem
from letterlock.protocols.acme.states import (
    ORDER_STEPS,
    AuthorizationStatus,
    ChallengeStatus,
    OrderStatus,
    S,
    may_become,
)

MAX_NAMES = 1000
"""Identifiers, and so authorizations, of one order; authorities allow 100 or less."""
MAX_CHALLENGES = 50

KNOWN_CHALLENGES = ("http-01", "dns-01", "tls-alpn-01")


@dataclass(frozen=True, slots=True)
class Order:
    """An order. `certificate` is there once it is valid."""

    url: Url
    status: OrderStatus
    identifiers: frozenset[Identifier]
    authorizations: frozenset[Url]
    finalize: Url
    certificate: Url | None = None
    expires: datetime | None = None
    error: Problem | None = None
    profile: str | None = None
    replaces: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove an identifier. `token` is there for the types of RFC 8555 and RFC 8737."""

    type: str
    url: Url
    status: ChallengeStatus
    token: str = ""
    error: Problem | None = None
    validated: datetime | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    """What must be proved for one identifier.

    Of a wildcard it is the name without the asterisk, and `is_wildcard`.
    """

    url: Url
    identifier: Identifier
    status: AuthorizationStatus
    challenges: tuple[Challenge, ...]
    expires: datetime | None = None
    is_wildcard: bool = False

    def find_challenge(self, kind: str) -> Challenge | None:
        """Find the challenge of a type."""
        return next((each for each in self.challenges if each.type == kind), None)

    @property
    def problem(self) -> Problem | None:
        """What went wrong with it, if a challenge says so."""
        return next((each.error for each in self.challenges if each.error), None)


def parse_order(url: Url, body: bytes) -> Order:
    """Parse an order. Raises ObjectError."""
    found = parse_object(body, "order")
    error = found.one("error")
    return Order(
        url=url,
        status=_read_status(found, OrderStatus),
        identifiers=frozenset(
            read_identifier(each) for each in found.many("identifiers", MAX_NAMES)
        ),
        authorizations=frozenset(
            parse_url(each) for each in found.texts("authorizations", MAX_NAMES)
        ),
        finalize=found.required_url("finalize"),
        certificate=found.url("certificate"),
        expires=found.moment("expires"),
        error=read_problem(error) if error else None,
        profile=found.text("profile"),
        replaces=found.text("replaces"),
        not_before=found.moment("notBefore"),
        not_after=found.moment("notAfter"),
    )


def find_order_fault(order: Order, asked: frozenset[Identifier]) -> str | None:
    """Say in what a new order is not the one that was asked for; None: it is."""
    if order.identifiers != asked:
        return "the order is not for the names that were asked for"
    if not order.authorizations:
        return "the order has no authorizations"
    return None


def find_change(before: Order, after: Order) -> str | None:
    """Say what changed in an order that must not (RFC 8555 §7.1.3, §7.1.6); None: nothing."""
    if (before.identifiers, before.authorizations) != (after.identifiers, after.authorizations):
        return "the order's identifiers or authorizations changed"
    if before.status != after.status and not may_become(ORDER_STEPS, before.status, after.status):
        return f"the order became {after.status} after it was {before.status}"
    return None


def parse_authorization(url: Url, body: bytes) -> Authorization:
    """Parse an authorization. Raises ObjectError."""
    found = parse_object(body, "authorization")
    identifier = found.one("identifier")
    if identifier is None:
        raise found.fault("identifier is missing")
    return Authorization(
        url=url,
        identifier=read_identifier(identifier),
        status=_read_status(found, AuthorizationStatus),
        challenges=tuple(
            _read_challenge(each) for each in found.many("challenges", MAX_CHALLENGES)
        ),
        expires=found.moment("expires"),
        is_wildcard=found.flag("wildcard"),
    )


def parse_challenge(body: bytes) -> Challenge:
    """Parse a challenge. Raises ObjectError."""
    return _read_challenge(parse_object(body, "challenge"))


def _read_challenge(found: Fields) -> Challenge:
    kind = found.required_text("type")
    token = found.text("token") or ""
    if kind in KNOWN_CHALLENGES and not is_token(token):
        raise found.fault("token is not base64url of at least 128 bits")
    error = found.one("error")
    return Challenge(
        type=kind,
        url=found.required_url("url"),
        status=_read_status(found, ChallengeStatus),
        token=token,
        error=read_problem(error) if error else None,
        validated=found.moment("validated"),
    )


def _read_status(found: Fields, statuses: type[S]) -> S:
    text = found.required_text("status")
    try:
        return statuses(text)
    except ValueError as error:
        raise found.fault("its status is none of RFC 8555's") from error

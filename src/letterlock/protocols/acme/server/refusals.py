"""What a server refuses, and how: one type of error, one place that knows its HTTP status.

RFC 8555 §6.7 (types), §6.7.1 (subproblems: every name once), §6.6 (when to come again); RFC 9773
§7.4 (`alreadyReplaced`). `invalidProfile` is draft-ietf-acme-profiles'. Where a standard names no
status, it is the one that clients know from large authorities.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from letterlock.protocols.acme.fields import format_line
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.problems import MAX_DETAIL_CHARACTERS, MAX_SUBPROBLEMS, Problem

BAD_REQUEST = 400
UNAUTHENTICATED = 401
FORBIDDEN = 403
NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405
CONFLICT = 409
TOO_LARGE = 413
UNSUPPORTED_MEDIA_TYPE = 415


class ErrorType(StrEnum):
    """RFC 8555 §6.7, and what stands on it."""

    ACCOUNT_DOES_NOT_EXIST = "accountDoesNotExist"
    ALREADY_REPLACED = "alreadyReplaced"
    ALREADY_REVOKED = "alreadyRevoked"
    BAD_CSR = "badCSR"
    BAD_NONCE = "badNonce"
    BAD_PUBLIC_KEY = "badPublicKey"
    BAD_REVOCATION_REASON = "badRevocationReason"
    BAD_SIGNATURE_ALGORITHM = "badSignatureAlgorithm"
    CAA = "caa"
    COMPOUND = "compound"
    CONNECTION = "connection"
    DNS = "dns"
    EXTERNAL_ACCOUNT_REQUIRED = "externalAccountRequired"
    INCORRECT_RESPONSE = "incorrectResponse"
    INVALID_CONTACT = "invalidContact"
    INVALID_PROFILE = "invalidProfile"
    MALFORMED = "malformed"
    ORDER_NOT_READY = "orderNotReady"
    RATE_LIMITED = "rateLimited"
    REJECTED_IDENTIFIER = "rejectedIdentifier"
    SERVER_INTERNAL = "serverInternal"
    TLS = "tls"
    UNAUTHORIZED = "unauthorized"
    UNSUPPORTED_CONTACT = "unsupportedContact"
    UNSUPPORTED_IDENTIFIER = "unsupportedIdentifier"
    USER_ACTION_REQUIRED = "userActionRequired"


_STATUSES: Mapping[ErrorType, int] = {
    ErrorType.ALREADY_REPLACED: CONFLICT,  # RFC 9773 §5
    ErrorType.CAA: 403,
    ErrorType.EXTERNAL_ACCOUNT_REQUIRED: 403,
    ErrorType.INCORRECT_RESPONSE: 403,
    ErrorType.ORDER_NOT_READY: 403,  # RFC 8555 §7.4
    ErrorType.RATE_LIMITED: 429,
    ErrorType.SERVER_INTERNAL: 500,
    ErrorType.UNAUTHORIZED: 403,
    ErrorType.USER_ACTION_REQUIRED: 403,  # RFC 8555 §7.3.3
}
"""All others are 400."""


@dataclass(frozen=True, slots=True)
class Link:
    """A Link header to be (RFC 8288 §3)."""

    url: str
    relation: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request does not get what it asked for. The problem always has its HTTP status."""

    problem: Problem
    retry_after: timedelta | None = None
    links: tuple[Link, ...] = ()
    location: str | None = None
    allowed_methods: tuple[str, ...] = ()
    """Of a 405 (RFC 9110 §15.5.6)."""
    seen_nonce: str | None = None
    """To be spent all the same: once it appeared, it is used (RFC 8555 §6.5)."""

    @property
    def status(self) -> int:
        status = self.problem.status
        assert status is not None
        return status


def find_status(kind: ErrorType) -> int:
    """Give the HTTP status that a type of error has where nothing else is said."""
    return _STATUSES.get(kind, BAD_REQUEST)


def refuse(kind: ErrorType, detail: str, *, status: int | None = None) -> Refusal:
    """Make a refusal; `detail` may quote the client: it is cut and made printable here."""
    line = format_line(detail, MAX_DETAIL_CHARACTERS)
    return Refusal(Problem(kind, line, status if status is not None else find_status(kind)))


def refuse_unknown(what: str) -> Refusal:
    """Refuse for an object that is not there."""
    return refuse(ErrorType.MALFORMED, f"there is no such {what}", status=NOT_FOUND)


def refuse_foreign(what: str) -> Refusal:
    """Refuse for an object of another account (RFC 8555 §6.3)."""
    return refuse(ErrorType.UNAUTHORIZED, f"this {what} is of another account")


def refuse_method(allowed: tuple[str, ...]) -> Refusal:
    """Refuse a method, as GET of what only POST-as-GET gives (RFC 8555 §6.3)."""
    problem = Problem(
        ErrorType.MALFORMED,
        f"use {' or '.join(allowed)} here",
        METHOD_NOT_ALLOWED,
    )
    return Refusal(problem, allowed_methods=allowed)


@dataclass(frozen=True, slots=True)
class NameFault:
    """What is wrong with one of an order's names."""

    identifier: Identifier
    type: ErrorType
    detail: str


def refuse_names(faults: Iterable[NameFault], detail: str) -> Refusal:
    """Refuse for names: of one its own problem, of several one subproblem for each.

    `faults` is not empty. A name is there once, with what was found first: that all subproblems
    name one domain is how a fault of a whole authority once showed itself.
    """
    found: dict[Identifier, NameFault] = {}
    for fault in faults:
        found.setdefault(fault.identifier, fault)
    first, *others = found.values()
    if not others:
        # RFC 8555 §6.7.1: no `identifier` at the top, so the text says it.
        return refuse(first.type, f"{first.identifier}: {first.detail}")
    kinds = {fault.type for fault in found.values()}
    kind = first.type if len(kinds) == 1 else ErrorType.COMPOUND
    statuses = {find_status(each) for each in kinds}
    subproblems = tuple(_make_subproblem(each) for each in found.values())
    status = statuses.pop() if len(statuses) == 1 else FORBIDDEN
    line = format_line(detail, MAX_DETAIL_CHARACTERS)
    return Refusal(Problem(kind, line, status, subproblems=subproblems[:MAX_SUBPROBLEMS]))


def _make_subproblem(fault: NameFault) -> Problem:
    detail = format_line(fault.detail, MAX_DETAIL_CHARACTERS)
    return Problem(fault.type, detail, find_status(fault.type), fault.identifier)

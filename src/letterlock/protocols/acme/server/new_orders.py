"""New orders: what they ask for, which authorizations they need, and which of those there are.

RFC 8555 §7.4 (newOrder; dates are honoured or refused), §7.1.4; RFC 9773 §5 (`replaces`); profiles
as draft-ietf-acme-profiles has them. There is no pre-authorization (RFC 8555 §7.4.1 leaves it to
the server): an authorization belongs to an order, and valid ones are used again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from letterlock.protocols.acme.challenges import is_token
from letterlock.protocols.acme.fields import Fields, ObjectError
from letterlock.protocols.acme.identifiers import ChallengeType, Identifier, find_usable
from letterlock.protocols.acme.renewal_info import CertificateId, parse_certificate_id
from letterlock.protocols.acme.server.identifiers import read_all_ordered
from letterlock.protocols.acme.server.objects import Authorization, Challenge, Order
from letterlock.protocols.acme.server.payloads import read_payload
from letterlock.protocols.acme.server.proof_ages import is_of_past
from letterlock.protocols.acme.server.refusals import (
    ErrorType,
    NameFault,
    Refusal,
    refuse,
    refuse_names,
)
from letterlock.protocols.acme.server.transitions import judge_order
from letterlock.protocols.acme.states import AuthorizationStatus, ChallengeStatus, OrderStatus

MAX_SENT_IDENTIFIERS = 1000
"""More are no order at all. What a profile allows is less, and is refused in its own words."""
LEAST_LEFT = timedelta(hours=1)
"""Of an authorization that is used again: its order ends with it."""


@dataclass(frozen=True, slots=True)
class OrderProfile:
    """What orders of a profile are, as far as ACME sees it; `pki.issuance` has the rest.

    `longest` is how long a certificate may be asked to hold; None: dates are the authority's
    alone, and an order that asks for some is refused.
    """

    name: str
    description: str
    max_identifiers: int = 100
    challenge_types: tuple[ChallengeType, ...] = ("http-01", "dns-01", "tls-alpn-01")
    longest: timedelta | None = None
    order_lifetime: timedelta = timedelta(days=7)
    reuse: timedelta = timedelta(days=10)
    """How long a valid authorization is good for further orders."""


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a newOrder request asks for: each name once, in its one form."""

    identifiers: tuple[Identifier, ...]
    profile: OrderProfile
    not_before: datetime | None = None
    not_after: datetime | None = None
    replaces: CertificateId | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A name of an order, with the authorization that it uses again; None: it needs a new one."""

    identifier: Identifier
    reused: Authorization | None


def parse_order_request(
    payload: bytes, profiles: Mapping[str, OrderProfile], default: str, now: datetime
) -> OrderRequest | Refusal:
    """Parse the payload of newOrder. `profiles` are those of the directory, by name."""
    found = read_payload(payload, "order")
    if isinstance(found, Refusal):
        return found
    try:
        profile = profiles.get(found.text("profile") or default)
        if profile is None:
            names = ", ".join(profiles)
            return refuse(ErrorType.INVALID_PROFILE, f"the profile is none of {names}")
        return _read_order(found, profile, now)
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))


def plan_authorizations(
    request: OrderRequest, account_id: str, held: Iterable[Authorization], now: datetime
) -> tuple[Planned, ...]:
    """Say for each name whether an authorization that the account holds is used again.

    Of several the one that holds longest. It is valid, was asked for under the same profile, by a
    challenge that is still offered, and was a wildcard's if the name is one.
    """
    best: dict[Identifier, Authorization] = {}
    for each in held:
        if not _is_reusable(each, request.profile, account_id, now):
            continue
        known = best.get(each.ordered)
        if known is None or known.expires < each.expires:
            best[each.ordered] = each
    return tuple(Planned(name, best.get(name)) for name in request.identifiers)


def make_authorization(
    planned: Planned, order: OrderRequest, ids: tuple[str, str], token: str, now: datetime
) -> Authorization | NameFault:
    """Make a new authorization; `ids` are its own and the account's.

    Its challenges share a token, of at least 128 random bits (RFC 8555 §8.3, §11.3). A NameFault:
    the profile has no challenge that could prove this name.
    """
    if not is_token(token):
        raise ValueError("a token has at least 128 bits, in base64url")
    usable = find_usable(planned.identifier)
    types = [each for each in order.profile.challenge_types if each in usable]
    if not types:
        detail = f"profile {order.profile.name} has no challenge for such a name"
        return NameFault(planned.identifier, ErrorType.REJECTED_IDENTIFIER, detail)
    authorization_id, account_id = ids
    return Authorization(
        id=authorization_id,
        account_id=account_id,
        identifier=Identifier(planned.identifier.type, planned.identifier.base),
        status=AuthorizationStatus.PENDING,
        expires=now + order.profile.order_lifetime,
        challenges=tuple(Challenge(each, token) for each in types),
        is_wildcard=planned.identifier.is_wildcard,
        profile=order.profile.name,
    )


def make_order(
    request: OrderRequest,
    ids: tuple[str, str],
    authorizations: Sequence[Authorization],
    now: datetime,
) -> Order:
    """Make an order; `ids` are its own and the account's.

    It is `ready` at once when all of its authorizations are valid. It ends with the first of them.
    """
    order_id, account_id = ids
    order = Order(
        id=order_id,
        account_id=account_id,
        identifiers=request.identifiers,
        authorization_ids=tuple(each.id for each in authorizations),
        status=OrderStatus.PENDING,
        expires=min(
            now + request.profile.order_lifetime, *(each.expires for each in authorizations)
        ),
        profile=request.profile.name,
        not_before=request.not_before,
        not_after=request.not_after,
        replaces=request.replaces,
    )
    return judge_order(order, authorizations, now)


def _read_order(found: Fields, profile: OrderProfile, now: datetime) -> OrderRequest | Refusal:
    names, faults = read_all_ordered(found, MAX_SENT_IDENTIFIERS)
    if len(names) > profile.max_identifiers:
        most = profile.max_identifiers
        return refuse(ErrorType.MALFORMED, f"an order of {profile.name} has at most {most} names")
    if faults:
        return refuse_names(faults, "some names get no certificate")
    not_before, not_after = found.moment("notBefore"), found.moment("notAfter")
    if detail := _find_date_fault(profile, not_before, not_after, now):
        return refuse(ErrorType.MALFORMED, detail)
    replaces = found.text("replaces")
    return OrderRequest(
        identifiers=names,
        profile=profile,
        not_before=not_before,
        not_after=not_after,
        replaces=None if replaces is None else parse_certificate_id(replaces),
    )


def _find_date_fault(
    profile: OrderProfile, not_before: datetime | None, not_after: datetime | None, now: datetime
) -> str | None:
    """RFC 8555 §7.4: what cannot be as asked is refused."""
    if not_before is None and not_after is None:
        return None
    if profile.longest is None:
        return f"certificates of {profile.name} have the dates that the authority gives them"
    start = not_before or now
    end = not_after or start + profile.longest
    if not now - timedelta(days=1) <= start <= now + timedelta(days=1):
        return "notBefore is not within a day of now"
    if end <= start or end <= now or end - start > profile.longest:
        return f"notAfter is not within {profile.longest.days} days behind notBefore"
    return None


def _is_reusable(
    authorization: Authorization, profile: OrderProfile, account_id: str, now: datetime
) -> bool:
    proof = next(
        (each for each in authorization.challenges if each.status is ChallengeStatus.VALID), None
    )
    return (
        authorization.account_id == account_id
        and authorization.status is AuthorizationStatus.VALID
        and authorization.profile == profile.name
        and proof is not None
        and proof.validated is not None
        and proof.type in profile.challenge_types
        and proof.type in find_usable(authorization.ordered)
        and is_of_past(proof, now)
        and now + LEAST_LEFT < min(authorization.expires, proof.validated + profile.reuse)
    )

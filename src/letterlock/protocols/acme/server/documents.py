"""An authority's objects as its clients see them.

RFC 8555 §7.1.2 (accounts), §7.1.2.1 (lists of orders), §7.1.3 (orders), §7.1.4 (authorizations),
§8 (challenges; erratum 5732: `error` also while it is tried). RFC 9773 §5 (`replaces`). What the
client parses beside (directory, problems, renewal information) is formatted where it is parsed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from letterlock.protocols.acme.fields import format_moment
from letterlock.protocols.acme.identifiers import format_identifier
from letterlock.protocols.acme.problems import format_problem
from letterlock.protocols.acme.server.objects import Account, Authorization, Challenge, Order
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.transitions import find_authorization_status
from letterlock.protocols.acme.states import AuthorizationStatus, ChallengeStatus, OrderStatus

Document = dict[str, object]


def format_account(account: Account, places: Places) -> Document:
    """Make an account's document; what only the request had is not in it (RFC 8555 §7.3)."""
    found: Document = {"status": account.status, "orders": places.orders(account.id)}
    if account.contacts:
        found["contact"] = list(account.contacts)
    if account.agreed_terms is not None:
        found["termsOfServiceAgreed"] = True
    if account.external is not None:
        found["externalAccountBinding"] = dict(account.external.jws)
    return found


@dataclass(frozen=True, slots=True)
class OrdersPage:
    """Part of a list of orders; `next_url` is where the rest is."""

    document: Document
    next_url: str | None


def format_orders(
    account_id: str, order_ids: Sequence[str], places: Places, size: int
) -> OrdersPage:
    """Make a list of at most `size` orders (RFC 8555 §7.1.2.1).

    `order_ids` are those behind the page before, without invalid ones: one more than `size` of
    them is enough to know whether there is a next page.
    """
    shown = order_ids[:size]
    document: Document = {"orders": [places.order(each) for each in shown]}
    has_more = len(order_ids) > len(shown) > 0
    return OrdersPage(document, places.orders(account_id, shown[-1]) if has_more else None)


def format_order(order: Order, places: Places) -> Document:
    """Make an order's document."""
    found: Document = {
        "status": order.status,
        "expires": format_moment(order.expires),
        "identifiers": [format_identifier(each) for each in order.identifiers],
        "authorizations": [places.authorization(each) for each in order.authorization_ids],
        "finalize": places.finalize(order.id),
    }
    if order.profile is not None:
        found["profile"] = order.profile
    if order.not_before is not None:
        found["notBefore"] = format_moment(order.not_before)
    if order.not_after is not None:
        found["notAfter"] = format_moment(order.not_after)
    if order.replaces is not None:
        found["replaces"] = str(order.replaces)
    if order.status is OrderStatus.VALID and order.certificate_id is not None:
        found["certificate"] = places.certificate(order.certificate_id)
    if order.error is not None:
        found["error"] = format_problem(order.error)
    return found


def format_authorization(authorization: Authorization, places: Places, now: datetime) -> Document:
    """Make an authorization's document. `wildcard` is there only where it is true."""
    state = find_authorization_status(authorization, now)
    found: Document = {
        "status": state,
        "expires": format_moment(authorization.expires),
        "identifier": format_identifier(authorization.identifier),
        "challenges": [
            format_challenge(authorization, each, places)
            for each in _choose_challenges(authorization, state)
        ],
    }
    if authorization.is_wildcard:
        found["wildcard"] = True
    return found


def format_challenge(
    authorization: Authorization, challenge: Challenge, places: Places
) -> Document:
    """Make a challenge's document."""
    found: Document = {
        "type": challenge.type,
        "url": places.challenge(authorization.id, challenge.type),
        "status": challenge.status,
        "token": challenge.token,
    }
    if challenge.validated is not None:
        found["validated"] = format_moment(challenge.validated)
    if challenge.error is not None:
        found["error"] = format_problem(challenge.error)
    return found


def _choose_challenges(
    authorization: Authorization, state: AuthorizationStatus
) -> tuple[Challenge, ...]:
    """RFC 8555 §7.1.4: pending all, valid the one validated, invalid the one that failed."""
    if state is AuthorizationStatus.PENDING:
        return authorization.challenges
    finished = (ChallengeStatus.VALID, ChallengeStatus.INVALID)
    found = tuple(each for each in authorization.challenges if each.status in finished)
    return found or authorization.challenges

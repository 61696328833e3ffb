"""How an authority's objects change: only here, and only as RFC 8555 §7.1.6 lets them.

RFC 8555 §7.4 (orders), §7.5.1 (responding to challenges), §7.5.2 (deactivation), §7.3.6 (accounts),
§8.2 (further tries). Each step goes through the tables in `states`, which the client has too, and
gives a new value; the caller stores it where the old one still stands.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.objects import Account, Authorization, Challenge, Order
from letterlock.protocols.acme.server.public_keys import PublicKey
from letterlock.protocols.acme.server.refusals import (
    ErrorType,
    NameFault,
    Refusal,
    refuse,
    refuse_names,
)
from letterlock.protocols.acme.states import (
    ACCOUNT_STEPS,
    AUTHORIZATION_STEPS,
    CHALLENGE_STEPS,
    ORDER_STEPS,
    AccountStatus,
    AuthorizationStatus,
    ChallengeStatus,
    OrderStatus,
    S,
)


class TransitionError(ValueError):
    """The caller wants an object to become what it cannot."""


def step(steps: Mapping[S, frozenset[S]], before: S, after: S) -> S:
    """Give the state after a step. Raises TransitionError where the table has none."""
    if after not in steps[before]:
        raise TransitionError(f"what is {before} does not become {after}")
    return after


def deactivate_account(account: Account) -> Account:
    """RFC 8555 §7.3.6: nothing brings it back."""
    return replace(account, status=step(ACCOUNT_STEPS, account.status, AccountStatus.DEACTIVATED))


def revoke_account(account: Account) -> Account:
    """RFC 8555 §7.1.6: the server's own."""
    return replace(account, status=step(ACCOUNT_STEPS, account.status, AccountStatus.REVOKED))


def respond(
    authorization: Authorization, kind: str, key: PublicKey, now: datetime
) -> Authorization | Refusal:
    """Take a client's word that a challenge is ready (RFC 8555 §7.5.1).

    It becomes `processing`, with the key authorization of this key. One that is already, or is
    done, stays as it is: the client may mean a further try (§8.2), which is counted elsewhere.
    """
    challenge = authorization.find_challenge(kind)
    if challenge is None:
        raise LookupError(f"authorization {authorization.id} has no {kind}")
    if challenge.status is not ChallengeStatus.PENDING:
        return authorization
    state = find_authorization_status(authorization, now)
    if state is not AuthorizationStatus.PENDING:
        return refuse(ErrorType.MALFORMED, f"the authorization is {state}, not pending")
    if any(each.status is not ChallengeStatus.PENDING for each in authorization.challenges):
        return refuse(ErrorType.MALFORMED, "another challenge of this authorization is tried")
    tried = replace(
        challenge,
        status=step(CHALLENGE_STEPS, challenge.status, ChallengeStatus.PROCESSING),
        key_authorization=f"{challenge.token}.{key.thumbprint}",
    )
    return _with_challenge(authorization, tried)


def note_failed_try(authorization: Authorization, kind: str, problem: Problem) -> Authorization:
    """Keep why a try failed, while there will be more (RFC 8555 §8.2)."""
    challenge = _find_processing(authorization, kind)
    if challenge is None:
        return authorization
    return _with_challenge(authorization, replace(challenge, error=problem))


def accept_challenge(
    authorization: Authorization, kind: str, now: datetime, expires: datetime
) -> Authorization:
    """Note that a challenge was validated, by which the authorization is valid until `expires`.

    Where it is not pending any more, because its client deactivated it meanwhile, nothing changes.
    """
    challenge = _find_processing(authorization, kind)
    if challenge is None:
        return authorization
    done = replace(
        challenge,
        status=step(CHALLENGE_STEPS, challenge.status, ChallengeStatus.VALID),
        validated=now,
        error=None,
    )
    status = step(AUTHORIZATION_STEPS, authorization.status, AuthorizationStatus.VALID)
    return replace(_with_challenge(authorization, done), status=status, expires=expires)


def fail_challenge(authorization: Authorization, kind: str, problem: Problem) -> Authorization:
    """Note that a challenge failed for good, and the authorization with it."""
    challenge = _find_processing(authorization, kind)
    if challenge is None:
        return authorization
    status = step(CHALLENGE_STEPS, challenge.status, ChallengeStatus.INVALID)
    failed = replace(challenge, status=status, error=problem)
    return replace(
        _with_challenge(authorization, failed),
        status=step(AUTHORIZATION_STEPS, authorization.status, AuthorizationStatus.INVALID),
    )


def deactivate_authorization(
    authorization: Authorization, now: datetime
) -> Authorization | Refusal:
    """RFC 8555 §7.5.2: its account gives it up, whether valid or pending."""
    state = find_authorization_status(authorization, now)
    if state is AuthorizationStatus.DEACTIVATED:
        return authorization
    if AuthorizationStatus.DEACTIVATED not in AUTHORIZATION_STEPS[state]:
        return refuse(ErrorType.MALFORMED, f"the authorization is {state}")
    status = step(AUTHORIZATION_STEPS, state, AuthorizationStatus.DEACTIVATED)
    return replace(authorization, status=status)


def revoke_authorization(authorization: Authorization) -> Authorization:
    """RFC 8555 §7.1.6: the server's own, of one that is valid."""
    status = step(AUTHORIZATION_STEPS, authorization.status, AuthorizationStatus.REVOKED)
    return replace(authorization, status=status)


def find_authorization_status(authorization: Authorization, now: datetime) -> AuthorizationStatus:
    """Give the status that it has now: time alone makes `expired` of it."""
    if (
        AuthorizationStatus.EXPIRED in AUTHORIZATION_STEPS[authorization.status]
        and now >= authorization.expires
    ):
        return AuthorizationStatus.EXPIRED
    return authorization.status


def judge_order(order: Order, authorizations: Iterable[Authorization], now: datetime) -> Order:
    """Give an order the status that its authorizations and its time make of it.

    All of its authorizations are given, and no others. Raises LookupError where they are not: an
    order is never `ready` for what was not looked at.
    """
    found = tuple(authorizations)
    _check_whole(order, found)
    if not ORDER_STEPS[order.status]:
        return order
    if now >= order.expires and order.status is not OrderStatus.PROCESSING:
        return fail_order(order, refuse(ErrorType.MALFORMED, "the order expired").problem)
    states = [(each.ordered, find_authorization_status(each, now)) for each in found]
    faults = [fault for pair in states if (fault := _find_end(*pair)) is not None]
    if faults:
        detail = "some authorizations of the order ended"
        return fail_order(order, refuse_names(faults, detail).problem)
    is_proven = all(state is AuthorizationStatus.VALID for _, state in states)
    if order.status is OrderStatus.PENDING and is_proven:
        return replace(order, status=step(ORDER_STEPS, order.status, OrderStatus.READY))
    return order


def begin_order(order: Order) -> Order | Refusal:
    """Take the request to finalize (RFC 8555 §7.4); `order` is as `judge_order` gave it."""
    if order.status is not OrderStatus.READY:
        return refuse(ErrorType.ORDER_NOT_READY, f"the order is {order.status}, not ready")
    return replace(order, status=step(ORDER_STEPS, order.status, OrderStatus.PROCESSING))


def complete_order(order: Order, certificate_id: str, expires: datetime) -> Order:
    """Note that the certificate was issued; the order is shown until `expires`."""
    status = step(ORDER_STEPS, order.status, OrderStatus.VALID)
    return replace(order, status=status, certificate_id=certificate_id, expires=expires)


def fail_order(order: Order, problem: Problem) -> Order:
    """Note why there will be no certificate."""
    status = step(ORDER_STEPS, order.status, OrderStatus.INVALID)
    return replace(order, status=status, error=problem)


def _check_whole(order: Order, authorizations: tuple[Authorization, ...]) -> None:
    """Raise LookupError where a name of the order has no authorization of its own, and account."""
    ids = sorted(each.id for each in authorizations)
    names = sorted(each.ordered for each in authorizations)
    accounts = {each.account_id for each in authorizations}
    is_whole = ids == sorted(order.authorization_ids) and names == sorted(order.identifiers)
    if not is_whole or accounts != {order.account_id}:
        raise LookupError(f"order {order.id}: these are not its authorizations")


def _find_end(identifier: Identifier, state: AuthorizationStatus) -> NameFault | None:
    if state in (AuthorizationStatus.PENDING, AuthorizationStatus.VALID):
        return None
    detail = f"its authorization is {state}"
    return NameFault(identifier, ErrorType.UNAUTHORIZED, detail)


def _find_processing(authorization: Authorization, kind: str) -> Challenge | None:
    """Find a challenge whose outcome still counts."""
    challenge = authorization.find_challenge(kind)
    is_awaited = (
        challenge is not None
        and challenge.status is ChallengeStatus.PROCESSING
        and authorization.status is AuthorizationStatus.PENDING
    )
    return challenge if is_awaited else None


def _with_challenge(authorization: Authorization, new: Challenge) -> Authorization:
    challenges = tuple(new if each.type == new.type else each for each in authorization.challenges)
    return replace(authorization, challenges=challenges)

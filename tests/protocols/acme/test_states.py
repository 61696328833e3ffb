"""RFC 8555 §7.1.6: which state may be seen after which."""

import pytest

from letterlock.protocols.acme.states import (
    ACCOUNT_STEPS,
    AUTHORIZATION_STEPS,
    CHALLENGE_STEPS,
    ORDER_STEPS,
    AccountStatus,
    AuthorizationStatus,
    ChallengeStatus,
    OrderStatus,
    may_become,
)

REACHABLE = {
    "pending": {"pending", "ready", "processing", "valid", "invalid"},
    "ready": {"ready", "processing", "valid", "invalid"},
    "processing": {"processing", "valid", "invalid"},
    "valid": {"valid"},
    "invalid": {"invalid"},
}


@pytest.mark.parametrize("before", OrderStatus)
def test_an_order_goes_one_way(before: OrderStatus) -> None:
    """RFC 8555 §7.1.6: a client that polls may miss steps, and never sees one backwards."""
    seen = {after.value for after in OrderStatus if may_become(ORDER_STEPS, before, after)}
    assert seen == REACHABLE[before.value]


def test_every_state_has_its_steps() -> None:
    """RFC 8555 §7.1.6: the tables are whole, and their ends are ends."""
    assert set(ACCOUNT_STEPS) == set(AccountStatus)
    assert set(ORDER_STEPS) == set(OrderStatus)
    assert set(AUTHORIZATION_STEPS) == set(AuthorizationStatus)
    assert set(CHALLENGE_STEPS) == set(ChallengeStatus)


def test_a_valid_authorization_can_be_lost_and_not_pend_again() -> None:
    """RFC 8555 §7.1.6."""
    valid = AuthorizationStatus.VALID
    assert may_become(AUTHORIZATION_STEPS, valid, AuthorizationStatus.REVOKED)
    assert not may_become(AUTHORIZATION_STEPS, valid, AuthorizationStatus.PENDING)
    assert not may_become(AUTHORIZATION_STEPS, AuthorizationStatus.REVOKED, valid)


def test_a_challenge_is_processed_before_it_is_decided() -> None:
    """RFC 8555 §7.1.6."""
    assert CHALLENGE_STEPS[ChallengeStatus.PENDING] == {ChallengeStatus.PROCESSING}
    assert may_become(CHALLENGE_STEPS, ChallengeStatus.PENDING, ChallengeStatus.VALID)


def test_a_deactivated_account_stays_so() -> None:
    """RFC 8555 §7.1.6, §7.3.6."""
    assert not may_become(ACCOUNT_STEPS, AccountStatus.DEACTIVATED, AccountStatus.VALID)
    assert may_become(ACCOUNT_STEPS, AccountStatus.VALID, AccountStatus.REVOKED)

"""Proofs of the future are none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.server.objects import Authorization, Challenge
from letterlock.protocols.acme.server.proof_ages import SKEW, find_future_proofs, is_of_past
from letterlock.protocols.acme.states import AuthorizationStatus, ChallengeStatus

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PENDING = Challenge("http-01", "t" * 43)
VALID = replace(PENDING, type="dns-01", status=ChallengeStatus.VALID, validated=NOW)


def prove(validated: datetime, name: str = "a.example") -> Authorization:
    challenges = (PENDING, replace(VALID, validated=validated))
    status, expires = AuthorizationStatus.VALID, NOW + timedelta(days=999)
    return Authorization(name, "account", Identifier("dns", name), status, expires, challenges)


@pytest.mark.parametrize(
    ("validated", "is_past"),
    [(None, True), (NOW, True), (NOW + SKEW, True), (NOW + SKEW + SECOND, False)],
)
def test_clocks_may_differ_by_a_little(validated: datetime | None, is_past: bool) -> None:
    assert is_of_past(replace(VALID, validated=validated), NOW) is is_past


def test_each_name_with_a_proof_of_the_future_is_told() -> None:
    """RFC 8555 §6.7.1; Baseline Requirements 4.2.1"""
    assert find_future_proofs([prove(NOW), prove(NOW - timedelta(days=1))], NOW) is None
    found = find_future_proofs([prove(NOW), prove(NOW + 2 * SKEW, "b.example")], NOW)
    assert found is not None
    assert found.problem.type == "unauthorized"
    assert "b.example" in found.problem.detail
    assert "a.example" not in found.problem.detail

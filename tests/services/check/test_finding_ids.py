"""The ids that a watch can be told to be silent about."""

import pytest

from letterlock.services.check.finding_ids import FINDING_IDS, find_nearest


@pytest.mark.parametrize(
    "name",
    [
        "no-route",
        "certificate-revoked",
        "mx-null-beside",
        "dnssec-unsigned",
        "dnssec-ds-without-key",
        "dnssec-resolver-disagrees",
        "dnssec-resolver-not-validating",
        "lookup-failed",
    ],
)
def test_each_kind_of_finding_has_its_ids_there(name: str) -> None:
    assert name in FINDING_IDS


def test_an_id_that_was_meant_is_found() -> None:
    assert find_nearest("certificate-revokd") == "certificate-revoked"
    assert find_nearest("gmail") is None
    assert find_nearest("x" * 1_000_000) is None

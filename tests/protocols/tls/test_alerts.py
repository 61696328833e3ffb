"""Alerts in clear, at the end of what went over the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tls.alerts import ALERT_NUMBERS, find_plain_alert


@pytest.mark.parametrize(("name", "number"), ALERT_NUMBERS.items())
def test_a_fatal_alert_at_the_end_is_found(name: str, number: int) -> None:
    """RFC 8446 §6."""
    alert = bytes((21, 3, 3, 0, 2, 2, number))
    assert find_plain_alert(alert) == name
    assert find_plain_alert(b"before" + alert) == name
    assert find_plain_alert(alert + b"after") is None


def test_an_alert_without_a_name_keeps_its_number() -> None:
    assert find_plain_alert(bytes((21, 3, 1, 0, 2, 2, 200))) == "alert_200"


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        bytes((21, 3, 3, 0, 2, 2)),
        bytes((21, 3, 3, 0, 2, 1, 112)),
        bytes((21, 3, 3, 0, 19, 2, 40)),
        bytes((23, 3, 3, 0, 2, 2, 40)),
    ],
)
def test_other_octets_are_no_alert(wire: bytes) -> None:
    assert find_plain_alert(wire) is None


@given(st.binary(max_size=16))
def test_any_octets_give_an_answer(wire: bytes) -> None:
    found = find_plain_alert(wire)
    assert found is None or found in ALERT_NUMBERS or found.startswith("alert_")

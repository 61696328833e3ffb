"""Numbers of things, in words."""

import pytest

from letterlock.base.counts import format_count


@pytest.mark.parametrize(
    ("number", "told"), [(0, "0 messages"), (1, "1 message"), (2, "2 messages")]
)
def test_one_thing_is_not_many(number: int, told: str) -> None:
    assert format_count(number, "message") == told


def test_what_takes_more_than_an_s_is_given() -> None:
    assert format_count(1, "report is", "reports are") == "1 report is"
    assert format_count(0, "delivery", "deliveries") == "0 deliveries"

"""The mechanisms by name."""

import pytest

from letterlock.protocols.sasl.mechanisms import Mechanism, is_mechanism_name, make_exchange
from letterlock.protocols.sasl.passwords import LoginExchange, PlainExchange
from letterlock.protocols.sasl.scram import ScramExchange
from letterlock.protocols.sasl.steps import Exchange


@pytest.mark.parametrize(
    ("name", "exchange"),
    [
        *(("SCRAM-SHA-256-PLUS", ScramExchange), ("SCRAM-SHA-256", ScramExchange)),
        *(("PLAIN", PlainExchange), ("LOGIN", LoginExchange)),
    ],
)
def test_each_mechanism_has_its_exchange(name: str, exchange: type[Exchange]) -> None:
    assert isinstance(make_exchange(Mechanism(name), "nonce"), exchange)


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        *(("PLAIN", True), ("SCRAM-SHA-256", True), ("A_1", True), ("A" * 20, True)),
        *(("", False), ("A" * 21, False), ("plain", False), ("A B", False), ("A\n", False)),
    ],
)
def test_a_name_is_of_letters_digits_hyphens_and_underscores(text: str, is_name: bool) -> None:
    """RFC 4422 §3.1."""
    assert is_mechanism_name(text) is is_name

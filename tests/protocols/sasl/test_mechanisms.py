"""The mechanisms by name."""

import pytest

from letterlock.protocols.sasl.mechanisms import Mechanism, make_exchange
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

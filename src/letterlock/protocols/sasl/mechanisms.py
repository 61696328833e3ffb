"""The mechanisms that we know, by their names.

RFC 4422 §3.1 (names). CRAM-MD5 is not there: it needs the password in clear at the server.
"""

from enum import StrEnum
from typing import assert_never

from letterlock.protocols.sasl.channel_binding import NO_BINDINGS, ChannelBindings
from letterlock.protocols.sasl.passwords import LoginExchange, PlainExchange
from letterlock.protocols.sasl.scram import ScramExchange
from letterlock.protocols.sasl.steps import Exchange


class Mechanism(StrEnum):
    """What EHLO lists, the best first: clients of one's own choice take the first they know."""

    SCRAM_SHA_256_PLUS = "SCRAM-SHA-256-PLUS"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"
    LOGIN = "LOGIN"


def make_exchange(
    mechanism: Mechanism,
    nonce: str,
    bindings: ChannelBindings = NO_BINDINGS,
    *,
    is_plus_offered: bool = False,
) -> Exchange:
    """Begin an exchange; parameters as `ScramExchange` wants them."""
    match mechanism:
        case Mechanism.SCRAM_SHA_256_PLUS:
            return ScramExchange(nonce, bindings, is_plus=True, is_plus_offered=True)
        case Mechanism.SCRAM_SHA_256:
            return ScramExchange(nonce, is_plus_offered=is_plus_offered)
        case Mechanism.PLAIN:
            return PlainExchange()
        case Mechanism.LOGIN:
            return LoginExchange()
        case _:
            assert_never(mechanism)

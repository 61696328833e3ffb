"""The mechanisms that a client of ours can use, and which one it takes.

RFC 4616 §2 (PLAIN); LOGIN is no standard. SCRAM is in `client_scram`. The strongest that both
sides have is taken: over a connection whose server proved itself nobody can have changed its list.
"""

from collections.abc import Collection, Sequence
from typing import assert_never

from letterlock.protocols.sasl.channel_binding import ChannelBindings
from letterlock.protocols.sasl.client_scram import ScramClient
from letterlock.protocols.sasl.client_steps import Broken, ClientExchange, Credentials
from letterlock.protocols.sasl.mechanisms import Mechanism


def choose_mechanism(
    offered: Collection[str], allowed: Sequence[Mechanism], bindings: ChannelBindings
) -> Mechanism | None:
    """Choose the best; None: there is none. -PLUS needs something to be bound to."""
    for mechanism in Mechanism:
        is_usable = mechanism is not Mechanism.SCRAM_SHA_256_PLUS or bool(bindings)
        if is_usable and mechanism in allowed and mechanism in offered:
            return mechanism
    return None


def begin_exchange(
    mechanism: Mechanism,
    credentials: Credentials,
    nonce: str,
    bindings: ChannelBindings,
    *,
    may_bind: bool,
) -> ClientExchange:
    """Begin an exchange. `may_bind`: we would have taken -PLUS, had it been offered."""
    match mechanism:
        case Mechanism.SCRAM_SHA_256_PLUS:
            name, octets = next(iter(bindings.items()))
            return ScramClient(credentials, nonce, f"p={name}", octets)
        case Mechanism.SCRAM_SHA_256:
            return ScramClient(credentials, nonce, "y" if may_bind and bindings else "n")
        case Mechanism.PLAIN:
            return PlainClient(credentials)
        case Mechanism.LOGIN:
            return LoginClient(credentials)
        case _:
            assert_never(mechanism)


class PlainClient:
    """PLAIN: one message with everything."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def begin(self) -> bytes:
        return f"\0{self._credentials.user}\0{self._credentials.password}".encode()

    def respond(self, challenge: bytes) -> Broken:
        del challenge
        return Broken("it asks for more than PLAIN has")

    def finish(self) -> None:
        return None


class LoginClient:
    """LOGIN: the name, then the password, whatever the server asks with."""

    def __init__(self, credentials: Credentials) -> None:
        self._left = [credentials.user.encode(), credentials.password.encode()]

    def begin(self) -> None:
        return None

    def respond(self, challenge: bytes) -> bytes | Broken:
        del challenge
        return self._left.pop(0) if self._left else Broken("it asks for more than LOGIN has")

    def finish(self) -> Broken | None:
        return Broken("it did not ask for the password") if self._left else None

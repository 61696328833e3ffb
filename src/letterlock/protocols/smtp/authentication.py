"""One AUTH as a client: the command, challenges and responses, and how it ended.

RFC 4954 §4. No I/O: the driver sends the lines, and gives the replies. What is said in between is
`protocols.sasl`'s. Nothing of it is for a log, so there is no dialogue here.
"""

from dataclasses import dataclass, field

from letterlock.protocols.sasl.client_steps import Broken, ClientExchange
from letterlock.protocols.sasl.responses import decode_response, encode_challenge
from letterlock.protocols.smtp.replies import Reply

MAX_COMMAND_OCTETS = 512
"""RFC 4954 §4: an initial response that makes the command longer is not sent with it."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send this line, without CRLF; a reply comes."""

    line: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The server takes us for the account, and proved itself where the mechanism lets it."""


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """The server said no."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class LoginBroken:
    """What the server said can't be gone on with. `is_owed` False: it awaits our response."""

    reason: str
    is_owed: bool = False


AuthStep = Say | LoggedIn | LoginRefused | LoginBroken


class Authentication:
    """One AUTH command, to its end."""

    def __init__(self, mechanism: str, exchange: ClientExchange) -> None:
        self._mechanism = mechanism
        self._exchange = exchange
        self._held: bytes | None = None

    def begin(self) -> Say | LoginBroken:
        """Give the command."""
        initial = self._exchange.begin()
        if isinstance(initial, Broken):
            return LoginBroken(initial.reason, is_owed=True)
        line = f"AUTH {self._mechanism}"
        if initial is None:
            return Say(line)
        whole = f"{line} {encode_challenge(initial) or '='}"
        if len(whole) + 2 <= MAX_COMMAND_OCTETS:
            return Say(whole)
        self._held = initial
        return Say(line)

    def receive(self, reply: Reply) -> AuthStep:
        """Take a reply."""
        if reply.code == 334:
            return self._respond(reply)
        if not reply.is_positive:
            return LoginRefused(reply)
        if reply.code != 235:
            return LoginBroken(f"unexpected reply: {reply.text}", is_owed=True)
        unproved = self._exchange.finish()
        if unproved is not None:
            return LoginBroken(unproved.reason, is_owed=True)
        return (
            LoggedIn() if self._held is None else LoginBroken("it asked for nothing", is_owed=True)
        )

    def _respond(self, reply: Reply) -> AuthStep:
        if self._held is not None:
            # Whatever it asks with: some do it in words, though RFC 4954 wants base64.
            held, self._held = self._held, None
            return Say(encode_challenge(held))
        challenge = decode_response(reply.lines[0].encode()) if len(reply.lines) == 1 else None
        if challenge is None:
            return LoginBroken("its challenge is not base64")
        response = self._exchange.respond(challenge)
        if isinstance(response, Broken):
            return LoginBroken(response.reason)
        return Say(encode_challenge(response))

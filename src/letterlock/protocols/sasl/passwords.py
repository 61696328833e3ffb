"""The mechanisms that give the password itself: PLAIN and LOGIN. Under TLS only.

RFC 4616 §2 (PLAIN). LOGIN is no standard (draft-murchison-sasl-login-00 describes it); there are
mail programs that know nothing else. To act for another account is not possible here.
"""

from letterlock.protocols.sasl.preparation import (
    PreparationError,
    prepare_name,
    prepare_password,
)
from letterlock.protocols.sasl.steps import (
    Challenge,
    Failed,
    Fault,
    PasswordGiven,
    Step,
)


class PlainExchange:
    """PLAIN: one message with everything."""

    def begin(self, initial: bytes | None) -> Step:
        return Challenge(b"") if initial is None else self.receive(initial)

    def receive(self, response: bytes) -> Step:
        try:
            # message = [authzid] UTF8NUL authcid UTF8NUL passwd
            acting_for, name, password = response.decode().split("\0")
        except ValueError:
            return Failed(Fault.MALFORMED, "the response is not of PLAIN")
        return _take_password(name, password, acting_for)


class LoginExchange:
    """LOGIN: the name, then the password. What it asks with is shown by no program."""

    def __init__(self) -> None:
        self._name: bytes | None = None

    def begin(self, initial: bytes | None) -> Step:
        # Outlook and others give the name with AUTH.
        return Challenge(b"Username:") if initial is None else self.receive(initial)

    def receive(self, response: bytes) -> Step:
        if self._name is None:
            self._name = response
            return Challenge(b"Password:")
        try:
            name, password = self._name.decode(), response.decode()
        except ValueError:
            return Failed(Fault.MALFORMED, "the response is not UTF-8")
        return _take_password(name, password, "")


def _take_password(name: str, password: str, acting_for: str) -> Step:
    try:
        prepared = prepare_name(name)
        other = prepare_name(acting_for) if acting_for else prepared
    except PreparationError as error:
        return Failed(Fault.REFUSED, str(error))
    if other != prepared:
        return Failed(Fault.REFUSED, "the client wants to act for another account", prepared)
    try:
        return PasswordGiven(prepared, prepare_password(password))
    except PreparationError as error:
        return Failed(Fault.REFUSED, str(error), prepared)

"""AUTH as a client."""

import base64

import pytest

from letterlock.protocols.sasl.client_mechanisms import begin_exchange
from letterlock.protocols.sasl.client_steps import Credentials
from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.protocols.smtp.authentication import (
    Authentication,
    LoggedIn,
    LoginBroken,
    LoginRefused,
    Say,
)
from letterlock.protocols.smtp.replies import Reply, reply

TIM = Credentials("tim", "secret", "passwords:1")


def begin(mechanism: Mechanism, credentials: Credentials = TIM) -> Authentication:
    exchange = begin_exchange(mechanism, credentials, "nonce", {}, may_bind=False)
    return Authentication(mechanism, exchange)


def ask(octets: bytes) -> Reply:
    return reply(334, None, base64.b64encode(octets).decode())


def test_plain_goes_with_the_command() -> None:
    """RFC 4954 §4."""
    authentication = begin(Mechanism.PLAIN)
    assert authentication.begin() == Say("AUTH PLAIN AHRpbQBzZWNyZXQ=")
    assert authentication.receive(reply(235, "2.7.0", "ok")) == LoggedIn()


def test_a_response_that_makes_the_command_too_long_waits_to_be_asked_for() -> None:
    """RFC 4954 §4: a command has 512 octets."""
    long = Credentials("tim", "x" * 400, "passwords:1")
    authentication = begin(Mechanism.PLAIN, long)
    assert authentication.begin() == Say("AUTH PLAIN")
    # Not base64, and yet clear: there is only one thing to say.
    say = authentication.receive(reply(334, None, "ok, go on"))
    assert isinstance(say, Say)
    assert base64.b64decode(say.line) == b"\0tim\0" + b"x" * 400
    assert authentication.receive(reply(235, None, "")) == LoggedIn()
    unasked = begin(Mechanism.PLAIN, long)
    unasked.begin()
    assert isinstance(unasked.receive(reply(235, None, "")), LoginBroken)


def test_login_is_asked_for_name_and_password() -> None:
    authentication = begin(Mechanism.LOGIN)
    assert authentication.begin() == Say("AUTH LOGIN")
    assert authentication.receive(ask(b"Username:")) == Say("dGlt")
    assert authentication.receive(ask(b"Password:")) == Say("c2VjcmV0")
    assert authentication.receive(reply(235, None, "")) == LoggedIn()


@pytest.mark.parametrize("code", [535, 454, 421, 500])
def test_a_no_is_told_with_its_reply(code: int) -> None:
    """RFC 4954 §6."""
    authentication = begin(Mechanism.PLAIN)
    authentication.begin()
    said = reply(code, None, "no")
    assert authentication.receive(said) == LoginRefused(said)


def test_a_yes_without_the_servers_proof_is_none() -> None:
    """RFC 5802 §5: nobody who does not know the password can make the signature."""
    authentication = begin(Mechanism.SCRAM_SHA_256)
    assert isinstance(authentication.begin(), Say)
    step = authentication.receive(reply(235, None, "welcome"))
    assert step == LoginBroken("it did not prove that it knows the password", is_owed=True)


@pytest.mark.parametrize(
    ("said", "step"),
    [
        (reply(334, None, "AAA"), LoginBroken("its challenge is not base64")),
        (reply(334, None, "é"), LoginBroken("its challenge is not base64")),
        (Reply(334, ("AAAA", "AAAA")), LoginBroken("its challenge is not base64")),
        (ask(b"more"), LoginBroken("it asks for more than PLAIN has")),
        (reply(250, None, "ok"), LoginBroken("unexpected reply: 250 ok", is_owed=True)),
        (reply(354, None, "go on"), LoginBroken("unexpected reply: 354 go on", is_owed=True)),
    ],
)
def test_what_is_not_of_the_protocol_ends_it(said: Reply, step: LoginBroken) -> None:
    authentication = begin(Mechanism.PLAIN)
    authentication.begin()
    assert authentication.receive(said) == step


def test_a_password_that_cannot_be_prepared_sends_nothing() -> None:
    wrong = Credentials("tim", "a\u0007b", "passwords:1")
    step = begin(Mechanism.SCRAM_SHA_256, wrong).begin()
    assert isinstance(step, LoginBroken)
    assert step.is_owed


def test_what_is_said_is_in_no_repr() -> None:
    authentication = begin(Mechanism.PLAIN)
    assert "AHRpb" not in repr(authentication.begin())

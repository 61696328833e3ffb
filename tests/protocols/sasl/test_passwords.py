"""PLAIN and LOGIN."""

import pytest

from letterlock.protocols.sasl.passwords import LoginExchange, PlainExchange
from letterlock.protocols.sasl.steps import Challenge, Failed, Fault, PasswordGiven


@pytest.mark.parametrize(
    "response",
    [b"\0tim\0tanstaaftanstaaf", b"tim\0tim\0tanstaaftanstaaf", b"TIM\0Tim\0tanstaaftanstaaf"],
)
def test_plain_gives_a_name_and_a_password(response: bytes) -> None:
    """RFC 4616 §4."""
    assert PlainExchange().begin(response) == PasswordGiven("tim", "tanstaaftanstaaf")


def test_plain_without_an_initial_response_is_asked_for_with_an_empty_challenge() -> None:
    """RFC 4954 §4."""
    exchange = PlainExchange()
    assert exchange.begin(None) == Challenge(b"")
    assert exchange.receive(b"\0tim\0secret") == PasswordGiven("tim", "secret")


@pytest.mark.parametrize(
    "response", [b"", b"tim", b"\0tim", b"\0tim\0a\0b", b"\0tim\0\xff", b"\0\0\0"]
)
def test_what_is_not_of_plain_is_malformed(response: bytes) -> None:
    """RFC 4616 §2: NULs stand between the parts and nowhere else; all is UTF-8."""
    step = PlainExchange().begin(response)
    assert isinstance(step, Failed)
    assert step.fault is Fault.MALFORMED


@pytest.mark.parametrize(
    ("response", "name"),
    [
        (b"root\0tim\0secret", "tim"),
        (b"\0\0secret", None),
        (b"\0tim\0", "tim"),
        (b"\0tim\0" + b"a" * 256, "tim"),
        (b"\0" + b"a" * 256 + b"\0secret", None),
        ("\0tim\0\u0007".encode(), "tim"),
        (b"\xc2\xad\0tim\0secret", None),
    ],
)
def test_nobody_acts_for_another_and_nothing_is_empty(response: bytes, name: str | None) -> None:
    """RFC 4616 §2."""
    step = PlainExchange().begin(response)
    assert isinstance(step, Failed)
    assert (step.fault, step.name) == (Fault.REFUSED, name)


@pytest.mark.parametrize("is_initial", [True, False])
def test_login_asks_for_the_name_and_then_for_the_password(is_initial: bool) -> None:
    exchange = LoginExchange()
    if is_initial:
        step = exchange.begin(b"Tim")
    else:
        assert exchange.begin(None) == Challenge(b"Username:")
        step = exchange.receive(b"Tim")
    assert step == Challenge(b"Password:")
    assert exchange.receive(b"secret") == PasswordGiven("tim", "secret")


def test_a_login_that_is_no_utf_8_is_malformed() -> None:
    exchange = LoginExchange()
    exchange.begin(b"\xff")
    step = exchange.receive(b"secret")
    assert isinstance(step, Failed)
    assert step.fault is Fault.MALFORMED


def test_no_password_is_shown() -> None:
    assert "secret" not in repr(PasswordGiven("tim", "secret"))

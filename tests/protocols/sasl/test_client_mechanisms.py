"""Which mechanism a client takes, and the plain ones."""

import pytest

from letterlock.protocols.sasl.channel_binding import TLS_EXPORTER
from letterlock.protocols.sasl.client_mechanisms import begin_exchange, choose_mechanism
from letterlock.protocols.sasl.client_steps import Broken, ClientExchange, Credentials
from letterlock.protocols.sasl.mechanisms import Mechanism

ALL = tuple(Mechanism)
BINDINGS = {TLS_EXPORTER: b"b" * 32}
TIM = Credentials("tim", "tanstaafltanstaafl", "passwords:1")


def begin(mechanism: Mechanism, *, may_bind: bool = True) -> ClientExchange:
    return begin_exchange(mechanism, TIM, "nonce", BINDINGS, may_bind=may_bind)


@pytest.mark.parametrize(
    ("offered", "allowed", "bindings", "chosen"),
    [
        ("PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", ALL, BINDINGS, "SCRAM-SHA-256-PLUS"),
        ("PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", ALL, {}, "SCRAM-SHA-256"),
        ("LOGIN PLAIN", ALL, BINDINGS, "PLAIN"),
        ("LOGIN", ALL, BINDINGS, "LOGIN"),
        ("SCRAM-SHA-256 PLAIN", (Mechanism.PLAIN,), BINDINGS, "PLAIN"),
        ("XOAUTH2 CRAM-MD5", ALL, BINDINGS, None),
        ("LOGIN", (Mechanism.PLAIN,), BINDINGS, None),
        ("", ALL, BINDINGS, None),
    ],
)
def test_the_strongest_that_both_have_is_taken(
    offered: str, allowed: tuple[Mechanism, ...], bindings: dict[str, bytes], chosen: str | None
) -> None:
    """RFC 5802 §6: -PLUS only where there is something to be bound to."""
    assert choose_mechanism(offered.split(), allowed, bindings) == chosen


def test_plain_is_one_message() -> None:
    """RFC 4616 §4."""
    exchange = begin(Mechanism.PLAIN)
    assert exchange.begin() == b"\0tim\0tanstaafltanstaafl"
    assert exchange.finish() is None
    assert isinstance(exchange.respond(b"more?"), Broken)


def test_login_is_the_name_and_then_the_password() -> None:
    exchange = begin(Mechanism.LOGIN)
    assert exchange.begin() is None
    assert exchange.respond(b"User Name\0") == b"tim"
    assert exchange.finish() == Broken("it did not ask for the password")
    assert exchange.respond(b"") == b"tanstaafltanstaafl"
    assert exchange.finish() is None
    assert isinstance(exchange.respond(b"again?"), Broken)


@pytest.mark.parametrize(
    ("mechanism", "may_bind", "header"),
    [
        (Mechanism.SCRAM_SHA_256_PLUS, True, b"p=tls-exporter,,"),
        (Mechanism.SCRAM_SHA_256, True, b"y,,"),
        (Mechanism.SCRAM_SHA_256, False, b"n,,"),
    ],
)
def test_the_server_is_told_what_was_seen_of_channel_binding(
    mechanism: Mechanism, may_bind: bool, header: bytes
) -> None:
    """RFC 5802 §6: `y` where -PLUS would have been taken, had it been offered."""
    first = begin(mechanism, may_bind=may_bind).begin()
    assert isinstance(first, bytes)
    assert first.startswith(header)

"""SCRAM-SHA-256 as a client."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.sasl.channel_binding import TLS_EXPORTER
from letterlock.protocols.sasl.client_scram import MAX_ITERATIONS, ScramClient
from letterlock.protocols.sasl.client_steps import Broken, Credentials
from letterlock.protocols.sasl.scram import (
    MIN_ITERATIONS,
    ScramExchange,
    ScramVerifier,
    make_verifier,
)
from letterlock.protocols.sasl.steps import Challenge, Failed, Proved, VerifierNeeded

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
VERIFIER = make_verifier("pencil", SALT, MIN_ITERATIONS)
NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ=="
PENCIL = Credentials("user", "pencil", "passwords:1")


def begin(credentials: Credentials = PENCIL) -> ScramClient:
    client = ScramClient(credentials, NONCE)
    assert isinstance(client.begin(), bytes)
    return client


def test_the_exchange_is_the_one_in_the_standard() -> None:
    """RFC 7677 §3."""
    client = ScramClient(PENCIL, NONCE)
    assert client.begin() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert client.respond(SERVER_FIRST + b",i=4096") == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert client.finish() == Broken("it did not prove that it knows the password")
    assert client.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    assert client.finish() is None
    assert client.respond(b"") == Broken("it asks for more than SCRAM has")


@pytest.mark.parametrize(
    ("final", "reason"),
    [
        (b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "its signature is wrong"),
        (b"v=AAAA", "its signature is wrong"),
        (b"v==", "its final message is not of SCRAM"),
        (b"e=invalid-proof", "it refuses: invalid-proof"),
        (b"e=\xc3\xa9\x1b[2J", r"it refuses: \\xe9\\x1b\[2J"),
        (b"", "its final message is not of SCRAM"),
        (b"\xff", "its challenge is not UTF-8"),
    ],
)
def test_a_server_that_does_not_prove_itself_is_not_believed(final: bytes, reason: str) -> None:
    """RFC 5802 §3: ServerSignature."""
    client = begin()
    client.respond(SERVER_FIRST + b",i=4096")
    step = client.respond(final)
    assert isinstance(step, Broken)
    assert re.match(reason, step.reason)
    assert client.finish() is not None


@pytest.mark.parametrize(
    "first",
    [
        *(b"", b"\xff", b"e=other-error", SERVER_FIRST, b"m=x," + SERVER_FIRST + b",i=4096"),
        SERVER_FIRST + b",i=4096,m=x",
        *(SERVER_FIRST + b",i=4095", SERVER_FIRST + b",i=%d" % (MAX_ITERATIONS + 1)),
        *(SERVER_FIRST + b",i=0", SERVER_FIRST + b",i=-1", SERVER_FIRST + b",i=99999999999"),
        *(SERVER_FIRST.replace(b"r=rO", b"r=RO") + b",i=4096",),
        *(b"r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", b"r=rOprNGfwEbeRWgbNEkqOx,s==,i=4096"),
    ],
)
def test_a_first_message_that_is_none_gets_no_proof(first: bytes) -> None:
    """RFC 5802 §5.1, §7; RFC 7677 §4: not fewer than 4096 iterations."""
    assert isinstance(begin().respond(first), Broken)


def test_a_password_that_scram_cannot_have_is_told() -> None:
    """RFC 4013 §2.3."""
    step = ScramClient(Credentials("user", "a\u0007b", "f:1"), NONCE).begin()
    assert isinstance(step, Broken)
    assert "a\u0007b" not in step.reason


def test_nothing_that_shows_credentials_shows_the_password() -> None:
    assert "pencil" not in repr(PENCIL)


def talk(
    client: ScramClient, server: ScramExchange, verifier: ScramVerifier = VERIFIER
) -> Broken | Failed | Proved:
    """Let both sides talk to the end."""
    said = client.begin()
    assert isinstance(said, bytes)
    step = server.begin(said)
    while True:
        match step:
            case VerifierNeeded():
                step = server.found(verifier)
            case Challenge(octets):
                answer = client.respond(octets)
                if isinstance(answer, Broken):
                    return answer
                step = server.receive(answer)
            case Failed() | Proved():
                return step
            case _:
                raise AssertionError(step)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20))
def test_any_account_name_arrives(name: str) -> None:
    """RFC 5802 §5.1: saslname."""
    client = ScramClient(Credentials(name, "pencil", "f:1"), NONCE)
    if isinstance(client.begin(), bytes):
        assert isinstance(talk(client, ScramExchange("ours")), Proved)


def test_a_login_is_bound_to_its_connection() -> None:
    """RFC 5802 §6, RFC 9266 §4."""
    here, there = {TLS_EXPORTER: b"here" * 8}, {TLS_EXPORTER: b"else" * 8}

    def log_in(bindings: dict[str, bytes]) -> object:
        client = ScramClient(PENCIL, NONCE, f"p={TLS_EXPORTER}", here[TLS_EXPORTER])
        return talk(client, ScramExchange("ours", bindings, is_plus=True, is_plus_offered=True))

    assert log_in(here) == Proved("user")
    wrong = log_in(there)
    assert isinstance(wrong, Failed)
    assert "channel binding" in wrong.reason
    none = log_in({})
    assert isinstance(none, Failed)
    assert none.reason == "no channel binding tls-exporter on this connection"


@pytest.mark.parametrize(
    ("flag", "is_plus", "is_plus_offered", "is_in"),
    [
        ("n", False, False, True),
        ("n", False, True, True),
        ("y", False, False, True),
        ("y", False, True, False),
        ("n", True, True, False),
        ("y", True, True, False),
        ("p=tls-exporter", False, True, False),
    ],
)
def test_a_list_that_somebody_changed_is_found(
    flag: str, is_plus: bool, is_plus_offered: bool, is_in: bool
) -> None:
    """RFC 5802 §6: a client that could bind, and was not shown -PLUS, says `y`."""
    client = ScramClient(PENCIL, NONCE, flag)
    server = ScramExchange(
        "ours", {TLS_EXPORTER: b"x"}, is_plus=is_plus, is_plus_offered=is_plus_offered
    )
    assert isinstance(talk(client, server), Proved) is is_in

"""SCRAM-SHA-256."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.protocols.sasl.preparation import PreparationError
from letterlock.protocols.sasl.scram import (
    ITERATIONS,
    MIN_ITERATIONS,
    ScramExchange,
    ScramVerifier,
    make_decoy,
    make_verifier,
)
from letterlock.protocols.sasl.steps import Challenge, Failed, Fault, Proved, Step, VerifierNeeded
from tests.protocols.sasl.scram_client import ScramClient

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
VERIFIER = make_verifier("pencil", SALT, MIN_ITERATIONS)
NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"


def begin(client: ScramClient, verifier: ScramVerifier = VERIFIER) -> tuple[ScramExchange, bytes]:
    """Go on to the server's first message."""
    exchange = ScramExchange(NONCE)
    assert isinstance(exchange.begin(client.first()), VerifierNeeded)
    return exchange, exchange.found(verifier).octets


def fault_of(step: Step) -> Fault | None:
    return step.fault if isinstance(step, Failed) else None


def test_the_exchange_is_the_one_in_the_standard() -> None:
    """RFC 7677 §3."""
    exchange = ScramExchange(NONCE)
    assert exchange.begin(None) == Challenge(b"")
    assert exchange.receive(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == VerifierNeeded("user")
    nonce = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert exchange.found(VERIFIER) == Challenge(nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    proof = b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert exchange.receive(b"c=biws," + nonce + b",p=" + proof) == Challenge(
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )
    assert exchange.receive(b"") == Proved("user")


def test_the_password_proves_and_the_server_proves_itself_too() -> None:
    """RFC 5802 §5."""
    client = ScramClient("User", "pencil")
    exchange, first = begin(client)
    final = exchange.receive(client.final(first))
    assert isinstance(final, Challenge)
    assert client.is_server(final.octets)
    assert exchange.receive(b"") == Proved("user")


@pytest.mark.parametrize("password", ["Pencil", "pencil ", "p", ""])
def test_another_password_proves_nothing(password: str) -> None:
    """RFC 5802 §3."""
    client = ScramClient("user", password)
    exchange, first = begin(client)
    step = exchange.receive(client.final(first))
    assert step == Failed(Fault.REFUSED, "the proof is wrong", "user")


def test_a_decoy_looks_like_a_verifier_and_fits_no_password() -> None:
    decoy = make_decoy(b"secret", "user")
    assert decoy == make_decoy(b"secret", "user")
    assert len(decoy.salt) == len(SALT)
    assert decoy.iterations == ITERATIONS
    others = make_decoy(b"other", "user"), make_decoy(b"secret", "other")
    assert len({decoy.salt, *(other.salt for other in others)}) == 3
    client = ScramClient("user", "pencil")
    exchange, first = begin(client, make_decoy(b"secret", "user", MIN_ITERATIONS))
    assert fault_of(exchange.receive(client.final(first))) is Fault.REFUSED


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b"n,,n=a=2Cb=3Dc,r=abc", "a,b=c"),
        (b"y,,n=Alice,r=abc", "alice"),
        (b"n,a=Alice,n=alice,r=abc", "alice"),
        ("n,,n=I\u00adX,r=abc".encode(), "ix"),
        (b"n,,n=user,r=abc,x=more,y=still", "user"),
    ],
)
def test_a_first_message_names_an_account(first: bytes, name: str) -> None:
    """RFC 5802 §5.1."""
    assert ScramExchange(NONCE).begin(first) == VerifierNeeded(name)


@pytest.mark.parametrize(
    ("first", "fault"),
    [
        (b"p=tls-exporter,,n=user,r=abc", Fault.REFUSED),
        (b"n,a=root,n=user,r=abc", Fault.REFUSED),
        (b"n,,n=\xc2\xad,r=abc", Fault.REFUSED),
        (b"n,a=\xc2\xad,n=user,r=abc", Fault.REFUSED),
        (b"n,,m=ext,n=user,r=abc", Fault.MALFORMED),
        (b"n,,n=user,r=abc,m=ext", Fault.MALFORMED),
        (b"n,,n=us=er,r=abc", Fault.MALFORMED),
        (b"n,,n=us=2cer,r=abc", Fault.MALFORMED),
        (b"n,,n=,r=abc", Fault.MALFORMED),
        (b"n,,n=user,r=", Fault.MALFORMED),
        (b"n,,n=user,r=a b", Fault.MALFORMED),
        (b"n,,n=user,r=" + b"a" * 256, Fault.MALFORMED),
        (b"n,n=user,r=abc", Fault.MALFORMED),
        (b"n,,n=user", Fault.MALFORMED),
        (b"n,,n=user,r=abc\n", Fault.MALFORMED),
        (b"\xff", Fault.MALFORMED),
        (b"", Fault.MALFORMED),
    ],
)
def test_a_first_message_that_is_none_is_refused(first: bytes, fault: Fault) -> None:
    """RFC 5802 §5.1 and §7; channel binding: §6."""
    assert fault_of(ScramExchange(NONCE).begin(first)) is fault


def test_the_final_message_repeats_what_the_first_said_of_channel_binding() -> None:
    """RFC 5802 §6: else who stands between could take our offer away unseen."""
    client = ScramClient("user", "pencil")
    exchange, first = begin(client)
    client.header = "y,,"
    step = exchange.receive(client.final(first))
    assert fault_of(step) is Fault.REFUSED


@pytest.mark.parametrize("nonce", ["fyko+d2lbbFgONRv9qkx", f"x{NONCE}", f"{NONCE}x"])
def test_the_final_message_has_both_nonces(nonce: str) -> None:
    """RFC 5802 §5.1: so that nothing is played again."""
    client = ScramClient("user", "pencil")
    exchange, first = begin(client)
    step = exchange.receive(client.final(first, nonce=nonce))
    assert step == Failed(Fault.REFUSED, "the nonce is not ours", "user")


@pytest.mark.parametrize("change", ["", "AAAA", "AA", "=", "A" * 44])
def test_a_proof_is_32_octets_of_base64(change: str) -> None:
    client = ScramClient("user", "pencil")
    exchange, first = begin(client)
    without, _, _ = client.final(first).decode().partition(",p=")
    assert fault_of(exchange.receive(f"{without},p={change}".encode())) is not None


def test_a_final_message_that_asks_for_more_than_we_know_is_malformed() -> None:
    """RFC 5802 §5.1, m: its presence MUST cause authentication failure."""
    client = ScramClient("user", "pencil")
    exchange, first = begin(client)
    final = client.final(first).replace(b",p=", b",m=ext,p=")
    assert fault_of(exchange.receive(final)) is Fault.MALFORMED


def test_a_first_message_in_place_of_the_final_one_is_malformed() -> None:
    client = ScramClient("user", "pencil")
    exchange, _ = begin(client)
    assert fault_of(exchange.receive(client.first())) is Fault.MALFORMED


def test_nothing_may_follow_the_proof() -> None:
    """RFC 4954 §4: our signature is a challenge, to which an empty response is due."""
    client = ScramClient("user", "pencil")
    exchange, first = begin(client)
    exchange.receive(client.final(first))
    assert fault_of(exchange.receive(b"x")) is Fault.MALFORMED


def test_a_password_is_prepared_before_it_is_kept() -> None:
    """RFC 5802 §2.2."""
    assert make_verifier("I\u00adX", SALT, 1) == make_verifier("\u2168", SALT, 1)
    with pytest.raises(PreparationError):
        make_verifier("\u0007", SALT, 1)


def test_keys_are_not_shown() -> None:
    assert repr(VERIFIER.stored_key) not in repr(VERIFIER)
    assert repr(VERIFIER.server_key) not in repr(VERIFIER)


@settings(max_examples=50)
@given(st.text("abcXYZ =,019", min_size=1, max_size=20), st.text(st.characters(codec="ascii")))
def test_any_name_and_password_prove_what_was_kept_of_them(name: str, password: str) -> None:
    try:
        verifier = make_verifier(password, b"salt", 1)
    except PreparationError:
        return
    client = ScramClient(name, password)
    exchange, first = begin(client, verifier)
    assert isinstance(exchange.receive(client.final(first)), Challenge)
    assert exchange.receive(b"") == Proved(name.lower())

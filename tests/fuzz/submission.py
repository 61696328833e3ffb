"""Submission: base64 in lines, the mechanisms that a client talks, whose addresses are whose."""

from letterlock.protocols.sasl.mechanisms import Mechanism, make_exchange
from letterlock.protocols.sasl.preparation import (
    MAX_NAME_OCTETS,
    MAX_PASSWORD_OCTETS,
    PreparationError,
    prepare_name,
    prepare_password,
)
from letterlock.protocols.sasl.responses import (
    MAX_RESPONSE_OCTETS,
    decode_initial_response,
    decode_response,
    encode_challenge,
)
from letterlock.protocols.sasl.scram import ScramExchange, make_decoy
from letterlock.protocols.sasl.steps import (
    Challenge,
    Failed,
    PasswordGiven,
    Proved,
    Step,
    VerifierNeeded,
)
from letterlock.protocols.smtp.own_addresses import is_own_address, parse_own_address
from letterlock.protocols.smtp.paths import AddressError, parse_mailbox
from tests.fuzz.target import Target, take_choices

_MECHANISMS = tuple(Mechanism)
_WORDS = (
    *(b"\0", b"\xff", b"n,,", b"y,,", b"p=tls-exporter,,", b"n=", b",r=", b",c=biws", b"c=biws,r="),
    *(b",p=", b"=2C", b"=3D", b"a=", b",", b"=", b"user", b"\xc2\xad", b"\xd8\xa7", b"m=x,"),
)


def check_response(octets: bytes) -> None:
    """What is decoded has one way of writing, but for the bits that nobody sees."""
    decoded = decode_response(octets)
    assert decoded == decode_initial_response(octets) or octets == b"="
    if decoded is not None:
        assert len(decoded) <= MAX_RESPONSE_OCTETS
        again = encode_challenge(decoded).encode()
        assert len(again) == len(octets)
        assert decode_response(again) == decoded


def check_exchange(octets: bytes) -> None:
    """Whatever responses come, an exchange ends, and nobody is let in who proved nothing."""
    (flags,), rest = take_choices(octets, 1)
    exchange = make_exchange(_MECHANISMS[flags % len(_MECHANISMS)], "3rfcNHYJY1ZVvWVs7j")
    responses = rest.split(b"\xfe")
    step: Step = exchange.begin(responses.pop(0) if flags & 4 else None)
    _check_step(step)
    for response in (*responses, b"", b"", b""):
        if isinstance(step, VerifierNeeded):
            assert isinstance(exchange, ScramExchange)
            step = exchange.found(make_decoy(b"secret", step.name))
        elif not isinstance(step, Challenge):
            break
        step = exchange.receive(response)
        _check_step(step)
    assert not isinstance(step, Proved)


def _check_step(step: Step) -> None:
    match step:
        case Challenge(said):
            assert len(said) <= 2 * MAX_RESPONSE_OCTETS
        case PasswordGiven(name, password):
            assert 0 < len(name.encode()) <= MAX_NAME_OCTETS + 50
            assert 0 < len(password.encode()) <= MAX_PASSWORD_OCTETS
        case VerifierNeeded(name):
            assert name
        case Failed(_, reason):
            assert reason.isprintable()
        case Proved():
            pass


def check_preparation(octets: bytes) -> None:
    """A text is prepared, or refused without being told; a name that is prepared stays."""
    text = octets.decode("utf-8", "surrogateescape")
    for prepare in (prepare_name, prepare_password):
        try:
            prepared = prepare(text)
        except PreparationError as error:
            assert str(error).isascii()
            continue
        assert prepare(prepared) == prepared
        assert "\n" not in prepared


def check_own_address(octets: bytes) -> None:
    """What an account may send as has one form, and is its own; nobody else's is."""
    try:
        own = parse_own_address(octets.decode("utf-8", "replace"))
    except AddressError:
        return
    assert parse_own_address(own) == own
    mailbox = parse_mailbox(own if own[0] != "@" else f"anyone{own}")
    assert is_own_address(mailbox, (own,))
    assert not is_own_address(parse_mailbox("x@other.invalid"), (own,)) or "other" in own


TARGETS = (
    Target("sasl-response", check_response, (b"AGEAYg==", b"=", b"YQ==", b"AAAA"), (b"=", b"==")),
    Target(
        "sasl-exchange",
        check_exchange,
        (
            b"\4n,,n=user,r=abc\xfec=biws,r=abc3rfcNHYJY1ZVvWVs7j,p=AAAA",
            b"\1\0tim\0secret",
            b"\5\0tim\0secret",
            b"\2tim\xfesecret",
            b"\0y,a=user,n=user,r=abc\xfe",
        ),
        _WORDS,
    ),
    Target(
        "sasl-preparation",
        check_preparation,
        (b"user", "I\u00adX".encode(), "\u2168\u0627".encode()),
        _WORDS,
    ),
    Target(
        "own-address",
        check_own_address,
        (b"Alice@example.org", b"@example.com", b'"a b"@[192.0.2.1]', "é@bücher.example".encode()),
        (b"@", b".", b'"', b"[", b"]", b"\\", b"IPv6:", b"xn--"),
    ),
)

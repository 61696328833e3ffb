"""RFC 7517, RFC 7518 §6, RFC 8037: keys of accounts; RFC 8555 §6.2: which are refused."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from joserfc import jwk

from letterlock.protocols.acme.base64url import decode_base64url, encode_base64url
from letterlock.protocols.acme.fields import Fields, ObjectError
from letterlock.protocols.acme.server.public_keys import (
    PublicKey,
    make_public_key,
    read_public_key,
)
from tests.acme_requests import Private, sign

RSA = rsa.generate_private_key(65537, 2048)
KEYS: tuple[Private, ...] = (
    *(ec.derive_private_key(5, curve) for curve in (ec.SECP256R1(), ec.SECP384R1())),
    ec.derive_private_key(5, ec.SECP521R1()),
    RSA,
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)),
)
IDS = ("P-256", "P-384", "P-521", "RSA", "Ed25519")


def read(members: dict[str, Any]) -> PublicKey:
    return read_public_key(Fields(members, "jwk"))


@pytest.mark.parametrize("private", KEYS, ids=IDS)
def test_a_key_is_what_joserfc_says_it_is(private: Private) -> None:
    """RFC 7638 §3: required members only, sorted, no spaces, SHA-256; another library agrees."""
    key = make_public_key(private.public_key())
    kind = {"R": "RSA", "E": "EC"}.get(key.algorithm[0], "EC")
    kind = "OKP" if key.algorithm == "EdDSA" else kind
    assert key.jwk["kty"] == kind
    assert list(key.jwk) == sorted(key.jwk)
    assert jwk.import_key(dict(key.jwk)).thumbprint() == key.thumbprint
    assert read({**key.jwk, "use": "sig", "alg": "none", "kid": "x"}) == key


def test_the_thumbprint_of_the_rfc() -> None:
    """RFC 7638 §3.1."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
        "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0"
        "_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWh"
        "AI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    key = read({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
    assert key.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("private", KEYS, ids=IDS)
def test_a_signature_is_one_of_its_key_over_its_octets(private: Private) -> None:
    """RFC 7518 §3.3, §3.4, RFC 8037 §3.1."""
    key = make_public_key(private.public_key())
    made = sign(private, b"text")
    assert key.is_signed(made, b"text")
    assert not key.is_signed(made, b"texts")
    assert not key.is_signed(made[:-1], b"text")
    assert not key.is_signed(b"", b"text")
    assert not key.is_signed(bytes(len(made)), b"text")
    others = [make_public_key(each.public_key()) for each in KEYS if each is not private]
    assert not any(each.is_signed(made, b"text") for each in others)


def test_the_signature_of_the_rfc() -> None:
    """RFC 7515 §A.3: ES256."""
    key = read(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    )
    signed = (
        b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        b"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    signature = (
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    assert key.is_signed(decode_base64url(signature), signed)


def test_the_key_of_the_rfc_for_ed25519() -> None:
    """RFC 8037 §A.2, §A.3."""
    key = read({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    assert key.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


P256 = make_public_key(KEYS[0].public_key()).jwk
RS = make_public_key(RSA.public_key()).jwk
ED = make_public_key(KEYS[4].public_key()).jwk


def number(value: int) -> str:
    return encode_base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "kty is missing"),
        ({"kty": "oct", "x": "AAAA"}, "kty 'oct'"),
        ({"kty": "oct", "k": "AAAA"}, "private member k"),
        ({**P256, "d": "AAAA"}, "private member d"),
        ({**P256, "crv": "secp256k1"}, "crv 'secp256k1'"),
        ({**P256, "x": P256["x"] + "AAAA"}, "x is no base64url"),
        ({**P256, "x": encode_base64url(bytes(31))}, "x has not 32 octets"),
        ({**P256, "x": None}, "x has not 32 octets"),
        ({**P256, "y": encode_base64url(bytes(31) + b"\x01")}, "no point"),
        ({**P256, "y": 7}, "y is no base64url"),
        ({**RS, "n": number((1 << 2046) + 1)}, "n has 2047 bits"),
        ({**RS, "n": number((1 << 8191) + 1) + "AA"}, "n is no base64url|n has"),
        ({**RS, "n": "AA" + RS["n"]}, "leading zeros|bits behind"),
        ({**RS, "n": encode_base64url(b"\0" + decode_base64url(RS["n"]))}, "leading zeros"),
        ({**RS, "e": number(1)}, "e is even"),
        ({**RS, "e": number(65536)}, "e is even"),
        ({**RS, "e": number((1 << 40) + 1)}, "far too long"),
        ({**RS, "e": None}, "e is missing"),
        ({**RS, "n": number(1 << 2047)}, "n is even"),
        ({**ED, "crv": "Ed448"}, "crv 'Ed448'"),
        ({**ED, "x": encode_base64url(bytes(33))}, "x is no base64url"),
        ({**ED, "x": 1.5}, "x is no base64url"),
    ],
)
def test_a_key_that_is_not_taken_is_refused_with_a_reason(
    members: dict[str, Any], words: str
) -> None:
    """RFC 8555 §6.2: badPublicKey says why; RFC 7518 §6.2.1.2, §6.3.1.1: full length, no zeros."""
    with pytest.raises(ObjectError, match=words):
        read(members)


def test_a_key_of_another_kind_has_no_words() -> None:
    with pytest.raises(ObjectError, match="no word"):
        make_public_key(ed448.Ed448PrivateKey.generate().public_key())
    with pytest.raises(ObjectError, match="no word"):
        make_public_key(ec.derive_private_key(5, ec.SECP256K1()).public_key())

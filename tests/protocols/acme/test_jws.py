"""RFC 8555 §6.2, RFC 7515, RFC 7638: signed requests."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.jws import (
    AccountKey,
    ExternalAccount,
    KeyUnusable,
    bind_external_account,
    load_account_key,
    make_account_key,
    make_key_change,
    parse_mac_key,
    sign_request,
)

URL = parse_url("https://ca.example/new-order")
ACCOUNT = parse_url("https://ca.example/acct/1")


def decode(text: str) -> bytes:
    assert "=" not in text
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def header(signed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(decode(signed["protected"]))
    return found


def signing_input(signed: dict[str, Any]) -> bytes:
    return f"{signed['protected']}.{signed['payload']}".encode()


def verify_es256(signed: dict[str, Any], key: AccountKey) -> None:
    raw = decode(signed["signature"])
    half = len(raw) // 2
    pair = (int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    public = key.private.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(encode_dss_signature(*pair), signing_input(signed), ec.ECDSA(hashes.SHA256()))


def test_a_request_with_an_account_names_it() -> None:
    """RFC 8555 §6.2: flattened JSON; alg, nonce, url and kid in the protected header."""
    key = make_account_key()
    signed = json.loads(sign_request(key, URL, "abc", {"a": 1}, ACCOUNT))
    assert set(signed) == {"protected", "payload", "signature"}
    assert header(signed) == {"alg": "ES256", "nonce": "abc", "url": str(URL), "kid": str(ACCOUNT)}
    assert json.loads(decode(signed["payload"])) == {"a": 1}
    verify_es256(signed, key)


def test_a_request_without_an_account_has_the_key() -> None:
    """RFC 8555 §6.2: new accounts, and revocation by the certificate's key."""
    key = make_account_key()
    found = header(json.loads(sign_request(key, URL, "abc", {}, None)))
    assert "kid" not in found
    assert found["jwk"] == key.public_jwk
    assert set(found["jwk"]) == {"kty", "crv", "x", "y"}


def test_post_as_get_has_an_empty_payload() -> None:
    """RFC 8555 §6.3: which is not that of an empty object."""
    key = make_account_key()
    signed = json.loads(sign_request(key, URL, "abc", None, ACCOUNT))
    assert signed["payload"] == ""
    verify_es256(signed, key)
    assert json.loads(sign_request(key, URL, "abc", {}, ACCOUNT))["payload"] == "e30"


def test_an_rsa_key_signs_with_rs256() -> None:
    """RFC 7518 §3.3."""
    private = rsa.generate_private_key(65537, 2048)
    signed = json.loads(sign_request(AccountKey(private), URL, "abc", {}, None))
    assert header(signed)["alg"] == "RS256"
    private.public_key().verify(
        decode(signed["signature"]), signing_input(signed), padding.PKCS1v15(), hashes.SHA256()
    )


@pytest.mark.parametrize(
    ("curve", "algorithm", "octets"),
    [(ec.SECP256R1(), "ES256", 64), (ec.SECP384R1(), "ES384", 96), (ec.SECP521R1(), "ES512", 132)],
)
def test_each_curve_has_its_algorithm(curve: ec.EllipticCurve, algorithm: str, octets: int) -> None:
    """RFC 7518 §3.4: and signatures of a fixed length."""
    key = AccountKey(ec.generate_private_key(curve))
    signed = json.loads(sign_request(key, URL, "abc", {}, ACCOUNT))
    assert header(signed)["alg"] == algorithm
    assert len(decode(signed["signature"])) == octets


def test_a_thumbprint_is_that_of_the_rfc() -> None:
    """RFC 7638 §3: over the required members, sorted, without spaces."""
    key = AccountKey(ec.derive_private_key(1, ec.SECP256R1()))
    point = key.private.public_key().public_numbers()
    assert isinstance(point, ec.EllipticCurvePublicNumbers)
    members = json.dumps(dict(sorted(key.public_jwk.items())), separators=(",", ":"))
    digest = hashes.Hash(hashes.SHA256())
    digest.update(members.encode())
    assert decode(key.thumbprint) == digest.finalize()
    assert decode(str(key.public_jwk["x"])) == point.x.to_bytes(32, "big")


def test_coordinates_keep_their_leading_zeros() -> None:
    """RFC 7518 §6.2.1.2."""
    numbers = (ec.derive_private_key(n, ec.SECP256R1()) for n in range(1, 2000))
    short = next(k for k in numbers if k.public_key().public_numbers().x < 1 << 248)
    assert len(decode(str(AccountKey(short).public_jwk["x"]))) == 32


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_an_external_account_is_bound_to_the_key(algorithm: Any) -> None:
    """RFC 8555 §7.3.4: MAC, kid, the URL of the outer request, no nonce, the key as payload."""
    key = make_account_key()
    mac_key = bytes(range(64))
    signed: Any = bind_external_account(ExternalAccount("kid-1", mac_key, algorithm), URL, key)
    assert header(signed) == {"alg": algorithm, "kid": "kid-1", "url": str(URL)}
    assert json.loads(decode(signed["payload"])) == key.public_jwk
    hash_of = {"HS256": hashes.SHA256(), "HS384": hashes.SHA384(), "HS512": hashes.SHA512()}
    mac = hmac.HMAC(mac_key, hash_of[algorithm])
    mac.update(signing_input(signed))
    mac.verify(decode(signed["signature"]))


def test_a_mac_key_is_never_shown() -> None:
    assert "secret" not in repr(ExternalAccount("kid-1", b"secret" * 5))


def test_a_new_key_agrees_to_take_over() -> None:
    """RFC 8555 §7.3.5: signed by the new one; account and old key inside, no nonce."""
    old, new = make_account_key(), make_account_key()
    inner: Any = make_key_change(ACCOUNT, URL, old, new)
    assert header(inner) == {"alg": "ES256", "jwk": new.public_jwk, "url": str(URL)}
    assert json.loads(decode(inner["payload"])) == {
        "account": str(ACCOUNT),
        "oldKey": old.public_jwk,
    }
    verify_es256(inner, new)


def test_a_key_is_loaded_as_it_was_kept() -> None:
    key = make_account_key()
    assert load_account_key(key.pem).thumbprint == key.thumbprint


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"not a key", "not a private key"),
        (lambda: pem(ed25519.Ed25519PrivateKey.generate()), "neither"),
        (lambda: pem(rsa.generate_private_key(65537, 1024)), "2048 bits"),
        (lambda: pem(ec.generate_private_key(ec.SECP224R1())), "secp224r1"),
    ],
)
def test_keys_that_no_authority_takes_are_refused(make: Any, words: str) -> None:
    with pytest.raises(KeyUnusable, match=words):
        load_account_key(make())


def pem(key: Any) -> bytes:
    found: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return found


def test_a_mac_key_is_base64url() -> None:
    """RFC 8555 §7.3.4."""
    text = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    assert parse_mac_key(text) == decode(text)
    assert parse_mac_key(" AAAAAAAAAAAAAAAAAAAAAA== ") == bytes(16)
    for bad in ("", "short", "+/" * 20, "a" * 25):
        with pytest.raises(KeyUnusable, match="base64url"):
            parse_mac_key(bad)

"""Signed requests made by hand, well and badly: what no JOSE library would let one write."""

import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from letterlock.protocols.acme.base64url import encode_base64url
from letterlock.protocols.acme.server.public_keys import PublicKey, make_public_key

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}

ACCOUNT_KEY = ec.derive_private_key(7, ec.SECP256R1())
OTHER_KEY = ec.derive_private_key(8, ec.SECP256R1())


def public(key: Private = ACCOUNT_KEY) -> PublicKey:
    return make_public_key(key.public_key())


def encode(value: object) -> str:
    """Base64url of octets, or of a value's JSON."""
    return encode_base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def sign(key: Private, signed: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(signed)
    algorithm = HASHES[public(key).algorithm[2:]]
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(algorithm)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def flatten(header: object, payload: object, key: Private = ACCOUNT_KEY) -> dict[str, Any]:
    """A JWS; a payload of b"" is POST-as-GET."""
    parts = {"protected": encode(header), "payload": encode(payload)}
    signed = f"{parts['protected']}.{parts['payload']}".encode()
    return {**parts, "signature": encode(sign(key, signed))}


def mac(header: Mapping[str, object], payload: object, mac_key: bytes) -> dict[str, Any]:
    """An external account's JWS."""
    parts = {"protected": encode(header), "payload": encode(payload)}
    found = hmac.HMAC(mac_key, HASHES[str(header["alg"])[2:]])
    found.update(f"{parts['protected']}.{parts['payload']}".encode())
    return {**parts, "signature": encode(found.finalize())}

"""Signed requests of ACME: keys, the header, and what is signed inside of what is signed.

RFC 8555 §6.2 (flattened JSON, ES256 and others), §7.3.4 (external accounts), §7.3.5 (key change);
RFC 7515 §7.2.2, RFC 7638 §3 (thumbprints). JOSE itself is joserfc's; nonces are the caller's.
"""

import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

from letterlock.protocols.acme.fields import Url

MIN_RSA_BITS = 2048
NONCE = re.compile(rb"[A-Za-z0-9_-]{1,1024}\Z")
"""RFC 8555 §6.5.1; a nonce that is something else is ignored."""

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
MacAlgorithm = Literal["HS256", "HS384", "HS512"]

# RFC 7518 §3.4
_EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class KeyUnusable(ValueError):  # noqa: N818 - as cryptography's own words for it
    """A key can't sign ACME's requests; the message says why."""


class AccountKey:
    """A private key with what JOSE says of it. One that signs is an account's or a certificate's.

    Raises KeyUnusable for a curve or a length that no authority takes.
    """

    def __init__(self, key: SigningKey) -> None:
        self.private = key
        self._jwk: ECKey | RSAKey
        if isinstance(key, ec.EllipticCurvePrivateKey):
            if key.curve.name not in _EC_ALGORITHMS:
                raise KeyUnusable(f"the curve {key.curve.name} is none of ACME's")
            self.algorithm = _EC_ALGORITHMS[key.curve.name]
            self._jwk = ECKey.import_key(key)
        else:
            if key.key_size < MIN_RSA_BITS:
                raise KeyUnusable(f"an RSA key has at least {MIN_RSA_BITS} bits")
            self.algorithm = "RS256"
            self._jwk = RSAKey.import_key(key)
        self.public_jwk: Mapping[str, object] = self._jwk.as_dict(private=False)
        self.thumbprint = self._jwk.thumbprint()
        """RFC 7638 §3, with SHA-256, in base64url."""
        self._registry = _make_registry(self.algorithm)

    def sign(self, header: Mapping[str, object], payload: bytes) -> Mapping[str, object]:
        """Give the flattened JSON serialization."""
        protected = {"alg": self.algorithm, **header}
        return jws.serialize_json(
            {"protected": protected}, payload, self._jwk, None, self._registry
        )

    @property
    def pem(self) -> bytes:
        """The key as PKCS #8, without a passphrase."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class ExternalAccount:
    """An account elsewhere that the authority knows: a key's name, and a key for a MAC."""

    kid: str
    mac_key: bytes = field(repr=False)
    algorithm: MacAlgorithm = "HS256"


def make_account_key() -> AccountKey:
    """Make a new key, for one account only (RFC 8555 §11.1)."""
    return AccountKey(ec.generate_private_key(ec.SECP256R1()))


def load_account_key(pem: bytes) -> AccountKey:
    """Load a key in PEM form. Raises KeyUnusable."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable("it is not a private key in PEM form without a passphrase") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise KeyUnusable("it is neither an ECDSA nor an RSA key")
    return AccountKey(key)


def parse_mac_key(text: str) -> bytes:
    """Read the MAC key that an authority gave out, in base64url (RFC 8555 §7.3.4).

    Padding is taken: authorities show the key with it. Raises KeyUnusable.
    """
    bare = text.strip().rstrip("=")
    if not re.fullmatch(r"[A-Za-z0-9_-]{22,}", bare):
        raise KeyUnusable("a MAC key is base64url of at least 16 octets")
    try:
        return urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except Base64Error as error:
        raise KeyUnusable("a MAC key is base64url of at least 16 octets") from error


def sign_request(
    key: AccountKey, url: Url, nonce: str, payload: object | None, account: Url | None
) -> bytes:
    """Make the body of a request. `payload` of None is POST-as-GET (RFC 8555 §6.3).

    Without an account the header has the key itself: a new account, or a revocation by the
    certificate's key (RFC 8555 §6.2).
    """
    header: dict[str, object] = {"nonce": nonce, "url": url.text}
    header |= {"jwk": key.public_jwk} if account is None else {"kid": account.text}
    octets = b"" if payload is None else msgspec.json.encode(payload)
    return msgspec.json.encode(key.sign(header, octets))


def bind_external_account(
    external: ExternalAccount, new_account: Url, key: AccountKey
) -> Mapping[str, object]:
    """Make `externalAccountBinding` (RFC 8555 §7.3.4)."""
    header = {"alg": external.algorithm, "kid": external.kid, "url": new_account.text}
    payload = msgspec.json.encode(key.public_jwk)
    mac_key = OctKey.import_key(external.mac_key)
    registry = _make_registry(external.algorithm)
    return jws.serialize_json({"protected": header}, payload, mac_key, None, registry)


def make_key_change(
    account: Url, key_change: Url, old: AccountKey, new: AccountKey
) -> Mapping[str, object]:
    """Make the inner JWS, by which the new key agrees (RFC 8555 §7.3.5)."""
    payload = {"account": account.text, "oldKey": old.public_jwk}
    header = {"jwk": new.public_jwk, "url": key_change.text}
    return new.sign(header, msgspec.json.encode(payload))


def _make_registry(algorithm: str) -> jws.JWSRegistry:
    # ACME's `nonce` and `url` are in no registry that joserfc knows.
    return jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)

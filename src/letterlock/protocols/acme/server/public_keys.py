"""Public keys of accounts and certificates, as JSON web keys, and signatures made by them.

RFC 7517 §4, RFC 7518 §6.2 (EC), §6.3 (RSA), RFC 8037 §2 (Ed25519), RFC 7638 §3 (thumbprints); RFC
8555 §6.2 (which keys are refused). One key has one form: what another form would be is refused, so
a thumbprint tells keys apart. Weak keys in certificates are told apart in `pki`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from letterlock.protocols.acme.base64url import encode_base64url
from letterlock.protocols.acme.fields import Fields, ObjectError
from letterlock.protocols.acme.jws import MIN_RSA_BITS

MAX_RSA_BITS = 8192
"""Verifying gets slower with the length, and nobody has longer ones."""
MAX_RSA_EXPONENT_BITS = 33
"""65537 has 17. What is far longer makes verifying slow."""
_MAX_MEMBER_OCTETS = MAX_RSA_BITS // 8

VerifyingKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


@dataclass(frozen=True, slots=True)
class _Curve:
    curve: ec.EllipticCurve
    name: str
    algorithm: str
    signing: ec.ECDSA
    octets: int
    """Of a coordinate, and of each half of a signature."""


# RFC 7518 §3.4: each curve has its algorithm.
_CURVES = (
    _Curve(ec.SECP256R1(), "P-256", "ES256", ec.ECDSA(hashes.SHA256()), 32),
    _Curve(ec.SECP384R1(), "P-384", "ES384", ec.ECDSA(hashes.SHA384()), 48),
    _Curve(ec.SECP521R1(), "P-521", "ES512", ec.ECDSA(hashes.SHA512()), 66),
)
_BY_NAME = {each.name: each for each in _CURVES}
_BY_CURVE = {each.curve.name: each for each in _CURVES}

ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "EdDSA")
"""RFC 8555 §6.2: ES256 must be there, EdDSA with Ed25519 should; no MAC, and not `none`."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies. Equal are those with one thumbprint."""

    thumbprint: str
    """RFC 7638 §3, with SHA-256, in base64url."""
    algorithm: str
    """The one that it signs with."""
    jwk_members: tuple[tuple[str, str], ...] = field(compare=False, repr=False)
    key: VerifyingKey = field(compare=False, repr=False)

    @property
    def jwk(self) -> dict[str, str]:
        """The members that make it, sorted (RFC 7638 §3.2)."""
        return dict(self.jwk_members)

    def is_signed(self, signature: bytes, signed: bytes) -> bool:
        """Tell whether it made a signature, in JOSE's form, over these octets."""
        try:
            _verify(self.key, signature, signed)
        except (InvalidSignature, ValueError):
            return False
        return True


def read_public_key(fields: Fields) -> PublicKey:
    """Read a JWK. Raises ObjectError, whose text says why: the client is told (RFC 8555 §6.2)."""
    for member in _PRIVATE_MEMBERS:
        if fields.has(member):
            raise fields.fault(f"it has the private member {member}: that key is known now")
    kind = fields.required_text("kty")
    reader = _READERS.get(kind)
    if reader is None:
        raise fields.fault(f"kty {kind[:40]!r} is none of {', '.join(_READERS)}")
    try:
        return make_public_key(reader(fields))
    except UnsupportedAlgorithm as error:  # pragma: no cover - of an OpenSSL without the curve
        raise fields.fault("it is of a kind that is not supported here") from error


def make_public_key(key: object) -> PublicKey:
    """Make a key of what `cryptography` has. Raises ObjectError for a kind that ACME has not."""
    members, algorithm = _describe(key)
    # RFC 7638 §3.3: sorted, without white space.
    canonical = msgspec.json.encode(dict(members))
    thumbprint = encode_base64url(sha256(canonical).digest())
    assert isinstance(key, VerifyingKey)
    return PublicKey(thumbprint, algorithm, members, key)


def _describe(key: object) -> tuple[tuple[tuple[str, str], ...], str]:
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _BY_CURVE:
        curve = _BY_CURVE[key.curve.name]
        numbers = key.public_numbers()
        x, y = (each.to_bytes(curve.octets, "big") for each in (numbers.x, numbers.y))
        return (
            *(("crv", curve.name), ("kty", "EC")),
            *(("x", encode_base64url(x)), ("y", encode_base64url(y))),
        ), curve.algorithm
    if isinstance(key, rsa.RSAPublicKey):
        public = key.public_numbers()
        e, n = (_encode_number(each) for each in (public.e, public.n))
        return (("e", e), ("kty", "RSA"), ("n", n)), "RS256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        point = encode_base64url(key.public_bytes_raw())
        return (("crv", "Ed25519"), ("kty", "OKP"), ("x", point)), "EdDSA"
    raise ObjectError("the key is of a kind that ACME has no word for")


def _encode_number(number: int) -> str:
    return encode_base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _read_ec(fields: Fields) -> VerifyingKey:
    name = fields.required_text("crv")
    curve = _BY_NAME.get(name)
    if curve is None:
        raise fields.fault(f"crv {name[:40]!r} is none of {', '.join(_BY_NAME)}")
    # RFC 7518 §6.2.1.2: the full length, leading zeros too.
    x, y = (_take(fields, member, curve.octets) for member in ("x", "y"))
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve.curve
    )
    try:
        return numbers.public_key()
    except ValueError as error:
        raise fields.fault(f"x and y are no point of {curve.name}") from error


def _read_rsa(fields: Fields) -> VerifyingKey:
    n, e = (_take_number(fields, member) for member in ("n", "e"))
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        raise fields.fault(f"n has {n.bit_length()} bits, not {MIN_RSA_BITS} to {MAX_RSA_BITS}")
    if e < 3 or e % 2 == 0 or e.bit_length() > MAX_RSA_EXPONENT_BITS:
        raise fields.fault("e is even, 1, or far too long")
    if n % 2 == 0:
        # OpenSSL takes it, and then fails in ways of its own when it verifies.
        raise fields.fault("n is even")
    return rsa.RSAPublicNumbers(e, n).public_key()


def _read_okp(fields: Fields) -> VerifyingKey:
    name = fields.required_text("crv")
    if name != "Ed25519":
        raise fields.fault(f"crv {name[:40]!r} is not Ed25519")
    return ed25519.Ed25519PublicKey.from_public_bytes(_take(fields, "x", 32))


_READERS: Mapping[str, Callable[[Fields], VerifyingKey]] = {
    "EC": _read_ec,
    "RSA": _read_rsa,
    "OKP": _read_okp,
}


def _take(fields: Fields, member: str, length: int) -> bytes:
    octets = fields.octets(member, length)
    if octets is None or len(octets) != length:
        raise fields.fault(f"{member} has not {length} octets")
    return octets


def _take_number(fields: Fields, member: str) -> int:
    octets = fields.octets(member, _MAX_MEMBER_OCTETS)
    # RFC 7518 §2, Base64urlUInt: no leading zeros.
    if not octets or octets[0] == 0:
        raise fields.fault(f"{member} is missing, or has leading zeros")
    return int.from_bytes(octets, "big")


def _verify(key: VerifyingKey, signature: bytes, signed: bytes) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve = _BY_CURVE[key.curve.name]
        # RFC 7518 §3.4: r and s, each of the curve's length.
        if len(signature) != 2 * curve.octets:
            raise InvalidSignature
        r, s = signature[: curve.octets], signature[curve.octets :]
        pair = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
        key.verify(pair, signed, curve.signing)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, signed)
    else:
        key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())

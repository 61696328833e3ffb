"""How an authority signs: a draft is made and looked at first, then its very octets are signed.

RFC 5280 §4.1.1 (certificates), §5.1.1 (CRLs): tbs, algorithm, signature. A draft is signed with a
key that nobody trusts, so that all tools can read it. Which key the authority has, a file's or one
in a PKCS#11 token, is known to its `Signer` alone.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.pki.der import split_elements, wrap_element

AuthorityKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
AuthorityPrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
AuthorityKeyKind = Literal["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"]

_TAG_BIT_STRING = 0x03
_TAG_SEQUENCE = 0x30
_MIN_RSA_BITS = 2048
_STAND_IN_RSA_BITS = 2048
_EXPONENT = 65537
_PROBE = b"is this the key that belongs to the certificate?"


class SigningError(Exception):
    """A signature is not the authority's: nothing may go out. The message is one line."""


class KeyUnavailable(Exception):  # noqa: N818 - as StoreUnavailable: it may be back soon
    """The authority's key cannot be used now, and may be later. The message is one line."""


class Signer(Protocol):
    """The authority's private key. It may be in a token, and signing may take milliseconds."""

    @property
    def public_key(self) -> AuthorityKey:
        """The key that verifies: P-256, P-384, or RSA of 2048 bits and more."""
        ...

    def sign(self, octets: bytes) -> bytes:
        """Sign with `digest_of` the key: ECDSA (in DER, not as two numbers) or PKCS #1 v1.5.

        Raises KeyUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeySigner:
    """A private key in memory."""

    key: AuthorityPrivateKey = field(repr=False)

    @property
    def public_key(self) -> AuthorityKey:
        return self.key.public_key()

    def sign(self, octets: bytes) -> bytes:
        digest = digest_of(self.public_key)
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(octets, padding.PKCS1v15(), digest)
        return self.key.sign(octets, ec.ECDSA(digest))


@dataclass(frozen=True, slots=True)
class Draft:
    """A certificate or CRL that is signed with a stand-in's key, in DER. It is worth nothing."""

    der: bytes

    @property
    def tbs(self) -> bytes:
        """The octets that the authority is to sign."""
        return _split(self.der)[0]


def digest_of(key: AuthorityKey) -> hashes.SHA256 | hashes.SHA384:
    """Give the digest that goes with an authority's key (Baseline Requirements 7.1.3.2).

    Raises ValueError for a key that no authority of ours has.
    """
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise ValueError(f"an authority's RSA key has {_MIN_RSA_BITS} bits or more")
        return hashes.SHA256()
    match key.curve:
        case ec.SECP256R1():
            return hashes.SHA256()
        case ec.SECP384R1():
            return hashes.SHA384()
        case _:
            raise ValueError(f"an authority's key is on P-256 or P-384, not {key.curve.name}")


def make_key(kind: AuthorityKeyKind) -> AuthorityPrivateKey:
    """Make a private key for an authority. RSA takes seconds."""
    match kind:
        case "ec-p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ec-p384":
            return ec.generate_private_key(ec.SECP384R1())
        case _:
            return rsa.generate_private_key(_EXPONENT, int(kind.removeprefix("rsa-")))


def make_stand_in(key: AuthorityKey) -> AuthorityPrivateKey:
    """Make a throw-away key that gives signatures of the same algorithm. RSA takes a while."""
    digest_of(key)
    if isinstance(key, rsa.RSAPublicKey):
        return rsa.generate_private_key(_EXPONENT, _STAND_IN_RSA_BITS)
    return ec.generate_private_key(key.curve)


def sign_draft(draft: Draft, signer: Signer) -> bytes:
    """Sign what a draft holds, octet for octet, and give the certificate or CRL in DER.

    Raises SigningError where the signature that came does not verify: a wrong key in the token,
    or a fault while it was made, which may give the key away. Raises KeyUnavailable.
    """
    tbs, algorithm = _split(draft.der)
    signature = signer.sign(tbs)
    if not is_signed_by(tbs, signature, signer.public_key):
        raise SigningError("the authority's key gave a signature that does not verify")
    return wrap_element(
        _TAG_SEQUENCE, tbs + algorithm + wrap_element(_TAG_BIT_STRING, b"\0" + signature)
    )


def is_signed_by(octets: bytes, signature: bytes, key: AuthorityKey) -> bool:
    """Tell whether a signature is that of a key, over these octets."""
    digest = digest_of(key)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, octets, padding.PKCS1v15(), digest)
        else:
            key.verify(signature, octets, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True


def check_signer(signer: Signer) -> None:
    """Sign what says nothing, and verify it, to see that it is the key that it should be.

    Raises SigningError and KeyUnavailable.
    """
    if not is_signed_by(_PROBE, signer.sign(_PROBE), signer.public_key):
        raise SigningError("the key is another one than it should be")


def draft_certificate(builder: x509.CertificateBuilder, stand_in: AuthorityPrivateKey) -> Draft:
    """Make a draft of a certificate."""
    signed = builder.sign(stand_in, digest_of(stand_in.public_key()))
    return Draft(signed.public_bytes(Encoding.DER))


def draft_crl(
    builder: x509.CertificateRevocationListBuilder, stand_in: AuthorityPrivateKey
) -> Draft:
    """Make a draft of a CRL."""
    return Draft(
        builder.sign(stand_in, digest_of(stand_in.public_key())).public_bytes(Encoding.DER)
    )


def _split(der: bytes) -> tuple[bytes, bytes]:
    """Give tbs and signatureAlgorithm, each as a whole."""
    (tbs, _), (algorithm, _) = split_elements(split_elements(der, limit=1)[0][1], limit=2)
    return tbs, algorithm

"""Signing: the octets of the draft, by the authority's key, or nothing."""

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from letterlock.protocols.pki.issuance.signing import (
    AuthorityKey,
    AuthorityKeyKind,
    AuthorityPrivateKey,
    KeySigner,
    SigningError,
    check_signer,
    digest_of,
    make_key,
    make_stand_in,
    sign_draft,
)
from tests.protocols.pki.issuance.authority import (
    EC_KEY,
    ISSUER,
    ROOT,
    draft_for,
    load,
    make_intermediate,
    make_root,
    rsa_key,
)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), SignatureAlgorithmOID.ECDSA_WITH_SHA256),
        (ec.generate_private_key(ec.SECP384R1()), SignatureAlgorithmOID.ECDSA_WITH_SHA384),
        (rsa_key(), SignatureAlgorithmOID.RSA_WITH_SHA256),
    ],
)
def test_what_is_signed_is_the_draft_octet_for_octet(
    key: AuthorityPrivateKey, algorithm: x509.ObjectIdentifier
) -> None:
    """RFC 5280 §4.1.1: what was linted is what goes out."""
    root = make_root(key)
    assert root.certificate.signature_algorithm_oid == algorithm
    issuer = make_intermediate(root, key=key)
    draft = draft_for(["mx.example.com"], issuer=issuer)
    certificate = load(sign_draft(draft, issuer.signer))
    assert certificate.tbs_certificate_bytes == draft.tbs == load(draft.der).tbs_certificate_bytes
    assert certificate.signature_algorithm_oid == algorithm
    certificate.verify_directly_issued_by(issuer.certificate)
    issuer.certificate.verify_directly_issued_by(root.certificate)
    root.certificate.verify_directly_issued_by(root.certificate)


def test_a_draft_is_worth_nothing() -> None:
    draft = load(draft_for(["mx.example.com"]).der)
    with pytest.raises(InvalidSignature):
        draft.verify_directly_issued_by(ISSUER.certificate)


class OtherKey:
    """A token that signs with another key than the one it shows."""

    def __init__(self, shown: AuthorityKey, used: AuthorityPrivateKey) -> None:
        self._shown = shown
        self._used = used

    @property
    def public_key(self) -> AuthorityKey:
        return self._shown

    def sign(self, octets: bytes) -> bytes:
        return KeySigner(self._used).sign(octets)


class Broken(KeySigner):
    """A token that makes a fault while it signs."""

    def sign(self, octets: bytes) -> bytes:
        return KeySigner.sign(self, octets)[:-1] + b"\0\0"


@pytest.mark.parametrize(
    "signer",
    [
        OtherKey(ISSUER.key, ec.generate_private_key(ec.SECP256R1())),
        Broken(ec.generate_private_key(ec.SECP256R1())),
        Broken(rsa_key()),
    ],
)
def test_a_signature_that_does_not_verify_goes_nowhere(signer: OtherKey | Broken) -> None:
    with pytest.raises(SigningError, match="does not verify"):
        sign_draft(draft_for(["mx.example.com"]), signer)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (ec.generate_private_key(ec.SECP521R1()), "P-256 or P-384, not secp521r1"),
        (rsa.generate_private_key(65537, 1024), "2048 bits or more"),
    ],
)
def test_an_authority_has_a_strong_key_of_a_usual_kind(key: AuthorityPrivateKey, said: str) -> None:
    for ask in (digest_of, make_stand_in):
        with pytest.raises(ValueError, match=said):
            ask(key.public_key())


def test_keys_are_not_shown() -> None:
    assert "key" not in repr(KeySigner(EC_KEY))
    assert "stand_in" not in repr(ROOT)


@pytest.mark.parametrize(("kind", "size"), [("ec-p256", 256), ("ec-p384", 384), ("rsa-2048", 2048)])
def test_a_key_is_made_of_its_kind(kind: AuthorityKeyKind, size: int) -> None:
    assert make_key(kind).key_size == size


def test_a_key_is_tried_before_it_counts() -> None:
    """Another's signature is one that verifies, with another key."""
    own, other = make_key("ec-p256"), make_key("ec-p256")
    check_signer(KeySigner(own))

    class Confused(KeySigner):
        @property
        def public_key(self) -> AuthorityKey:
            return other.public_key()

    with pytest.raises(SigningError, match="another one than it should be"):
        check_signer(Confused(own))

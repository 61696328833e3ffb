"""What one certificate says, and that no octets make reading it fail."""

from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address
from ssl import DER_cert_to_PEM_cert, PEM_cert_to_DER_cert
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.pki.certificate import (
    MAX_CERTIFICATE_OCTETS,
    CertificateFacts,
    KeyKind,
    Unreadable,
    describe_certificate,
    format_pem,
    read_certificate,
)
from letterlock.protocols.pki.throwaway_ca import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Issued,
    Shape,
    ThrowawayCa,
    make_key,
    self_signed,
)
from tests.fakes import START

CA = ThrowawayCa("Root", START)
SERIAL = 0x7ABCDEF012345678
GOOD = CA.issue(["mx.example.com", "192.0.2.1"], now=START, days=30, shape=Shape(serial=SERIAL))


def facts_of(issued: Issued) -> CertificateFacts:
    facts = read_certificate(issued.der)
    assert isinstance(facts, CertificateFacts)
    return facts


def test_an_attribute_of_a_length_that_is_not_allowed_is_read_without_a_word() -> None:
    """RFC 5280 §4.1.2.4: countries have two letters; cryptography warns of others."""
    common_name, country = bytes.fromhex("0603550403"), bytes.fromhex("0603550406")
    odd = GOOD.der.replace(common_name, country)
    assert odd != GOOD.der
    facts = read_certificate(odd)
    assert isinstance(facts, CertificateFacts)
    assert facts.subject == "C=mx.example.com"


def test_facts_are_those_of_the_certificate() -> None:
    facts = facts_of(GOOD)
    assert (facts.subject, facts.issuer) == ("CN=mx.example.com", "CN=Root")
    assert facts.names.dns == ("mx.example.com",)
    assert facts.names.ips == (ip_address("192.0.2.1"),)
    assert facts.serial == "7abcdef012345678"
    assert facts.not_before == START - timedelta(hours=1)
    assert facts.not_after == START + timedelta(days=30)
    assert (facts.signature_algorithm, facts.signature_digest) == ("1.2.840.10045.4.3.2", "sha256")
    assert not facts.is_ca
    assert not facts.is_self_issued
    assert facts.eku == (SERVER_AUTH.dotted_string,)
    assert facts.may_sign_tls
    assert not facts.may_sign_certificates
    assert facts.fingerprint_sha256 == sha256(GOOD.der).hexdigest()
    spki = GOOD.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert facts.spki_sha256 == sha256(spki).hexdigest()
    assert facts.issuer_url is None


def test_an_authority_has_its_facts() -> None:
    facts = facts_of(CA.issued)
    assert facts.is_ca
    assert facts.is_self_issued
    assert facts.may_sign_certificates
    assert not facts.may_sign_tls
    assert facts.eku is None


def test_without_extensions_nothing_is_forbidden() -> None:
    """RFC 5280 §4.2.1.3, §4.2.1.12: they restrict, and only where they are."""
    key = make_key("ec")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([])
    bare = (
        x509.CertificateBuilder(name, name, key.public_key(), 5, START, START + timedelta(days=1))
    ).sign(key, hashes.SHA256())
    facts = read_certificate(bare.public_bytes(Encoding.DER))
    assert isinstance(facts, CertificateFacts)
    assert facts.subject == ""
    assert facts.eku is None
    assert facts.may_sign_tls
    assert facts.may_sign_certificates
    assert not facts.is_ca
    assert facts.names.texts == ()


@pytest.mark.parametrize(
    ("key", "text", "kind", "bits"),
    [
        ("ec", "ec-secp256r1", KeyKind.EC, 256),
        ("rsa", "rsa-2048", KeyKind.RSA, 2048),
        ("ed25519", "ed25519", KeyKind.ED25519, 0),
    ],
)
def test_keys_are_named(key: Any, text: str, kind: KeyKind, bits: int) -> None:
    facts = facts_of(self_signed(["a.example"], now=START, key=key))
    assert (facts.key, facts.key_kind, facts.key_bits) == (text, kind, bits)


def other_key(public_key: Any) -> CertificateFacts | Unreadable:
    issuer_key = make_key("ec")
    name = x509.Name([])
    certificate = x509.CertificateBuilder(
        name, name, public_key, 5, START, START + timedelta(days=1)
    ).sign(issuer_key, hashes.SHA256())
    return read_certificate(certificate.public_bytes(Encoding.DER))


def test_rarer_keys_are_named_too() -> None:
    found = other_key(ed448.Ed448PrivateKey.generate().public_key())
    assert isinstance(found, CertificateFacts)
    assert (found.key, found.key_kind) == ("ed448", KeyKind.ED448)
    found = other_key(dsa.generate_private_key(1024).public_key())
    assert isinstance(found, CertificateFacts)
    assert (found.key, found.key_kind, found.key_bits) == ("dsa-1024", KeyKind.DSA, 1024)
    found = other_key(mldsa.MLDSA44PrivateKey.generate().public_key())
    assert isinstance(found, CertificateFacts)
    assert found.key_kind is KeyKind.OTHER
    assert found.key == "other-2.16.840.1.101.3.4.3.17"


def test_a_key_that_nobody_knows_is_named_by_its_oid() -> None:
    p256 = bytes.fromhex("06082a8648ce3d030107")
    unknown = GOOD.der.replace(p256, bytes.fromhex("06082a8648ce3d03017f"))
    facts = read_certificate(unknown)
    assert isinstance(facts, CertificateFacts)
    assert (facts.key, facts.key_kind, facts.key_bits) == (
        "other-1.2.840.10045.2.1",
        KeyKind.OTHER,
        0,
    )
    assert len(facts.spki_sha256) == 64


def test_a_signature_that_nobody_knows_has_no_digest() -> None:
    ecdsa_sha256 = bytes.fromhex("06082a8648ce3d040302")
    unknown = GOOD.der.replace(ecdsa_sha256, bytes.fromhex("06082a8648ce3d04037f"))
    facts = read_certificate(unknown)
    assert isinstance(facts, CertificateFacts)
    assert facts.signature_digest is None
    ed25519 = facts_of(self_signed(["a.example"], now=START, key="ed25519"))
    assert ed25519.signature_digest is None


def test_where_the_issuer_is_said_to_be() -> None:
    """RFC 5280 §4.2.2.1."""
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP,
                x509.UniformResourceIdentifier("http://ocsp.example/"),
            ),
            x509.AccessDescription(
                AuthorityInformationAccessOID.CA_ISSUERS, x509.DirectoryName(x509.Name([]))
            ),
            x509.AccessDescription(
                AuthorityInformationAccessOID.CA_ISSUERS,
                x509.UniformResourceIdentifier("http://ca.example/ca.der"),
            ),
        ]
    )
    issued = CA.issue(["a.example"], now=START, shape=Shape(extensions=[access]))
    assert facts_of(issued).issuer_url == "http://ca.example/ca.der"


def test_eku_and_key_usage_are_read() -> None:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    facts = facts_of(
        CA.issue(["a.example"], now=START, shape=Shape(eku=(CLIENT_AUTH,), key_usage=usage))
    )
    assert facts.eku == (CLIENT_AUTH.dotted_string,)
    assert not facts.may_sign_tls


def test_the_shared_shape_of_an_answer() -> None:
    facts = facts_of(GOOD)
    assert describe_certificate(facts) == {
        "subject": "CN=mx.example.com",
        "issuer": "CN=Root",
        "names": ["mx.example.com", "192.0.2.1"],
        "serial": "7abcdef012345678",
        "not_before": "2026-03-01T11:00:00Z",
        "not_after": "2026-03-31T12:00:00Z",
        "key": "ec-secp256r1",
        "pem": DER_cert_to_PEM_cert(GOOD.der),
    }
    assert PEM_cert_to_DER_cert(format_pem(GOOD.der)) == GOOD.der


def mutated(old: str, new: str) -> bytes:
    assert bytes.fromhex(old) in GOOD.der
    return GOOD.der.replace(bytes.fromhex(old), bytes.fromhex(new))


@pytest.mark.parametrize(
    ("der", "reason"),
    [
        (b"", "empty DER element"),
        (b"\x30", "ends within a length"),
        (b"\x30\x82\x10", "ends within an element"),
        (b"\x30\x03\x30\x01\x02", "ends within a length"),
        (b"\x30\x05\x30\x03\x02\x01\x05", "too short"),
        (b"not a certificate at all", "DER"),
        (GOOD.der[:-1], "DER ends"),
        (GOOD.der + b"x", "ExtraData"),
        (b"\0" * (MAX_CERTIFICATE_OCTETS + 1), "65536 octets"),
        (mutated("7abcdef012345678", "8abcdef012345678"), "serial number is not positive"),
        (mutated("02087abcdef012345678", "02080000000000000000"), "serial number is not positive"),
        # An iPAddress of three octets; a subject that is not UTF-8.
        (mutated("8704c0000201", "8703c0000200"), "ParseError"),
        (mutated(b"mx.example".hex(), b"mx.\xff\xfe\xfdmple".hex()), "ParseError"),
    ],
)
def test_what_cannot_be_read_is_a_value_with_the_reason(der: bytes, reason: str) -> None:
    found = read_certificate(der)
    assert isinstance(found, Unreadable)
    assert reason in found.reason
    assert "\n" not in found.reason


def test_an_extension_that_stands_twice_is_unreadable() -> None:
    """RFC 5280 §4.2."""
    ski, aki_like = "0603551d0e", "0603551d0f"
    found = read_certificate(mutated(aki_like, ski))
    assert isinstance(found, Unreadable)


def test_a_name_of_a_type_that_it_cannot_have_is_unreadable() -> None:
    """X.520: a common name is no BIT STRING; cryptography says so by a TypeError."""
    common_name = GOOD.der.index(bytes.fromhex("0603550403")) + 5
    changed = GOOD.der[:common_name] + b"\x03" + GOOD.der[common_name + 1 :]
    assert isinstance(read_certificate(changed), Unreadable)


@given(st.binary(max_size=300))
def test_no_octets_make_reading_fail(octets: bytes) -> None:
    assert isinstance(read_certificate(octets), Unreadable)


@given(st.integers(0, len(GOOD.der) - 1), st.integers(0, 255))
def test_no_changed_octet_makes_reading_fail(at: int, octet: int) -> None:
    changed = GOOD.der[:at] + bytes([octet]) + GOOD.der[at + 1 :]
    assert isinstance(read_certificate(changed), CertificateFacts | Unreadable)

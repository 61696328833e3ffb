"""RFC 8555 §8, RFC 8737 §3: what validators are shown."""

from hashlib import sha256
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from letterlock.protocols.acme.challenges import (
    ACME_IDENTIFIER,
    dns_name,
    dns_value,
    http_path,
    make_challenge_certificate,
    make_key_authorization,
)
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.jws import make_account_key
from letterlock.protocols.acme.requests import encode_base64url
from tests.fakes import START

TOKEN = "DGyRejmCefe7v4NfDGDKfA"


def test_a_key_authorization_is_token_and_thumbprint() -> None:
    """RFC 8555 §8.1."""
    key = make_account_key()
    assert make_key_authorization(TOKEN, key) == f"{TOKEN}.{key.thumbprint}"


def test_http_01_has_a_well_known_path() -> None:
    """RFC 8555 §8.3."""
    assert http_path(TOKEN) == f"/.well-known/acme-challenge/{TOKEN}"


def test_dns_01_has_a_name_below_the_domain_and_a_digest() -> None:
    """RFC 8555 §8.4: a wildcard is proved where its base is."""
    assert dns_name(parse_identifier("*.example.org")) == "_acme-challenge.example.org"
    assert dns_name(parse_identifier("example.org")) == "_acme-challenge.example.org"
    assert dns_value("abc.def") == encode_base64url(sha256(b"abc.def").digest())


@pytest.mark.parametrize("text", ["mx.example.org", "192.0.2.1", "2001:db8::1"])
def test_tls_alpn_01_has_a_certificate_of_one_name_and_a_critical_digest(text: str) -> None:
    """RFC 8737 §3; RFC 8738 §6."""
    identifier = parse_identifier(text)
    made = make_challenge_certificate(identifier, "abc.def", START)
    certificate = x509.load_pem_x509_certificate(made.certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (name,) = names
    address = identifier.address()
    assert name.value == (text if address is None else ip_address(text))
    digest = certificate.extensions.get_extension_for_oid(ACME_IDENTIFIER)
    assert digest.critical
    assert isinstance(digest.value, x509.UnrecognizedExtension)
    assert digest.value.value == b"\x04\x20" + sha256(b"abc.def").digest()
    assert certificate.not_valid_before_utc < START < certificate.not_valid_after_utc
    key = load_pem_private_key(made.key_pem, None)
    assert key.public_key() == certificate.public_key()
    certificate.verify_directly_issued_by(certificate)
    assert made.server_name == (text if address is None else address.reverse_pointer)

"""RFC 8555 §8, RFC 8737 §3: what validators are shown."""

from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from letterlock.protocols.acme.base64url import encode_base64url
from letterlock.protocols.acme.challenges import (
    ACME_IDENTIFIER,
    dns_name,
    dns_value,
    find_certificate_fault,
    find_token,
    http_path,
    make_challenge_certificate,
    make_key_authorization,
)
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.jws import make_account_key
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


@pytest.mark.parametrize(
    ("path", "token"),
    [
        (f"/.well-known/acme-challenge/{TOKEN}", TOKEN),
        (f"/.well-known/acme-challenge/{'_-' * 11}", "_-" * 11),
        (f"/.well-known/acme-challenge/{TOKEN}/", None),
        (f"/.well-known/acme-challenge/{TOKEN}.", None),
        (f"/.well-known/acme-challenge/{TOKEN}\n", None),
        (f"/.well-known/acme-challenge/{TOKEN}=", None),
        (f"/.well-known/acme-challenge//{TOKEN}", None),
        (f"/.well-known/acme-challenge/../acme-challenge/{TOKEN}", None),
        (f"/.well-known/acme-challenge/%2e%2e%2f{TOKEN}", None),
        (f"/.well-known/acme-challenge/{TOKEN[:-1]}%41", None),
        ("/.well-known/acme-challenge/", None),
        ("/.well-known/acme-challenge", None),
        ("/.well-known/acme-challenge/short", None),
        (f"/.well-known/acme-challenge/{'a' * 513}", None),
        (f"/{TOKEN}", None),
        (TOKEN, None),
    ],
)
def test_a_token_is_found_in_its_path_and_nowhere_else(path: str, token: str | None) -> None:
    """RFC 8555 §8.3: base64url without padding, of at least 128 bits."""
    assert find_token(path) == token


ISSUER = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "An authority")])
IDENTIFIERS = ("mx.example.org", "192.0.2.1", "2001:db8::1")


OTHER_EXTENSION = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.127")


def encode(
    *names: x509.GeneralName, digest: bytes = b"\x04\x20" + sha256(b"abc.def").digest(), **how: bool
) -> bytes:
    """Make a certificate like that of tls-alpn-01, and wrong."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if how.get("is_self_signed", True) else ISSUER)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if how.get("has_digest", True):
        builder = builder.add_extension(
            x509.UnrecognizedExtension(ACME_IDENTIFIER, digest),
            critical=how.get("is_critical", True),
        )
    if how.get("has_another"):
        builder = builder.add_extension(
            x509.UnrecognizedExtension(OTHER_EXTENSION, digest), critical=True
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("text", IDENTIFIERS)
def test_a_certificate_of_ours_proves_its_name(text: str) -> None:
    """RFC 8737 §3; RFC 8738 §6."""
    identifier = parse_identifier(text)
    made = make_challenge_certificate(identifier, "abc.def", START)
    octets = x509.load_pem_x509_certificate(made.certificate_pem).public_bytes(Encoding.DER)
    assert find_certificate_fault(octets, identifier, "abc.def") is None
    fault = find_certificate_fault(octets, identifier, "abc.deg")
    assert fault == "a certificate for another key authorization"
    for other in ("mx2.example.org", "192.0.2.2"):
        fault = find_certificate_fault(octets, parse_identifier(other), "abc.def")
        assert fault == f"a certificate of other names than {other}"


NAME = x509.DNSName("mx.example.org")
DIGEST = sha256(b"abc.def").digest()
DOUBLED = encode(NAME, has_another=True).replace(b"\x07\x01\x7f", b"\x07\x01\x1f")


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (encode(x509.DNSName("MX.Example.ORG")), None),
        (encode(), "without the extension 2.5.29.17"),
        (encode(NAME, has_digest=False), "without the extension 1.3.6.1.5.5.7.1.31"),
        (encode(NAME, is_critical=False), "not critical"),
        (encode(NAME, is_self_signed=False), "not self-signed"),
        (encode(NAME, NAME), "of other names"),
        (encode(NAME, x509.DNSName("mx2.example.org")), "of other names"),
        (encode(NAME, x509.IPAddress(ip_address("192.0.2.1"))), "of other names"),
        (encode(x509.RFC822Name("mx.example.org")), "of other names"),
        (encode(x509.DNSName("*.example.org")), "of other names"),
        (encode(NAME, digest=b"\x04\x1f" + DIGEST[1:]), "another key authorization"),
        (encode(NAME, digest=DIGEST), "another key authorization"),
        (encode(NAME, digest=b"\x04\x20" + DIGEST + b"\x00"), "another key authorization"),
        # RFC 5280 §4.2: no extension stands there twice.
        (DOUBLED, "can't be read"),
        (b"", "can't be read"),
        (b"\x30\x00", "can't be read"),
        (encode(NAME)[:-1], "can't be read"),
        (encode(NAME).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x42"), "can't be read"),
    ],
)
def test_a_certificate_must_be_as_the_rule_has_it(octets: bytes, fault: str | None) -> None:
    """RFC 8737 §3: one dNSName in any case, and the digest, critical."""
    found = find_certificate_fault(octets, parse_identifier("mx.example.org"), "abc.def")
    assert (found is None) if fault is None else (found is not None and fault in found)

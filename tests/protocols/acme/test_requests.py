"""RFC 8555 §7.3, §7.4, §7.6: what is asked for."""

from base64 import urlsafe_b64decode
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.acme.base64url import encode_base64url
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.jws import SigningKey
from letterlock.protocols.acme.requests import (
    OrderRequest,
    RevocationReason,
    format_account,
    format_finalization,
    format_order,
    format_revocation,
    make_signing_request,
)
from letterlock.protocols.pki.throwaway_ca import self_signed
from tests.fakes import START

NAMES = frozenset(parse_identifier(name) for name in ("b.example", "*.a.example", "192.0.2.1"))


def test_an_account_agrees_to_nothing_unasked() -> None:
    """RFC 8555 §7.3."""
    assert format_account((), is_agreed=False) == {}
    assert format_account(("mailto:a@example.org",), is_agreed=True, binding={"x": 1}) == {
        "contact": ["mailto:a@example.org"],
        "termsOfServiceAgreed": True,
        "externalAccountBinding": {"x": 1},
    }
    assert format_account((), is_agreed=False, only_existing=True) == {"onlyReturnExisting": True}


@pytest.mark.parametrize(
    "contact",
    [
        "a@example.org",
        "mailto:",
        "mailto:a@example.org,b@example.org",
        "mailto:a@example.org?subject=x",
        "mailto:a b@example.org",
        "tel:+1",
    ],
)
def test_a_contact_is_one_address(contact: str) -> None:
    """RFC 8555 §7.3: no header fields, one address."""
    with pytest.raises(ValueError, match="mailto"):
        format_account((contact,), is_agreed=True)


def test_an_order_has_its_names_and_what_was_asked_beside() -> None:
    """RFC 8555 §7.4; RFC 9773 §5."""
    assert format_order(OrderRequest(NAMES, "shortlived", "aYhb.AIdl")) == {
        "identifiers": [
            {"type": "dns", "value": "*.a.example"},
            {"type": "dns", "value": "b.example"},
            {"type": "ip", "value": "192.0.2.1"},
        ],
        "profile": "shortlived",
        "replaces": "aYhb.AIdl",
    }
    assert set(format_order(OrderRequest(NAMES))) == {"identifiers"}


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["ec", "rsa"],
)
def test_a_signing_request_has_the_names_and_nothing_else(key: SigningKey) -> None:
    """RFC 8555 §7.4: no common name; RFC 5280 §4.2.1.6: critical without a subject."""
    request = make_signing_request(key, NAMES)
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()
    assert list(request.subject) == []
    (extension,) = request.extensions
    assert extension.critical
    assert isinstance(extension.value, x509.SubjectAlternativeName)
    assert extension.value.get_values_for_type(x509.DNSName) == ["*.a.example", "b.example"]
    assert extension.value.get_values_for_type(x509.IPAddress) == [ip_address("192.0.2.1")]
    text = str(format_finalization(request)["csr"])
    assert urlsafe_b64decode(text + "==") == request.public_bytes(Encoding.DER)


def test_a_revocation_has_a_reason_only_if_one_was_given() -> None:
    """RFC 8555 §7.6."""
    certificate = self_signed(["a.example"], now=START).certificate
    assert set(format_revocation(certificate, None)) == {"certificate"}
    assert format_revocation(certificate, RevocationReason.UNSPECIFIED)["reason"] == 0
    assert format_revocation(certificate, RevocationReason.KEY_COMPROMISE)["reason"] == 1


def test_base64url_has_no_padding() -> None:
    """RFC 8555 §6.1."""
    assert encode_base64url(b"\xff\xfe\xfd\xfc") == "__79_A"

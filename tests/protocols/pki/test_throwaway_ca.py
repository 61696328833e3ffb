"""The throw-away authority makes what it says: the other tests stand on it."""

from datetime import timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from letterlock.protocols.pki.throwaway_ca import (
    KeyKind,
    Shape,
    ThrowawayCa,
    make_key,
    self_signed,
)
from tests.fakes import START


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_openssl_takes_what_was_issued(kind: KeyKind) -> None:
    ca = ThrowawayCa("Root", START, kind)
    below = ca.intermediate("Below", now=START)
    issued = below.issue(["mx.example.com", "192.0.2.1"], now=START, days=30, key=kind)
    store = crypto.X509Store()
    store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, ca.pem))
    store.set_time(START)
    leaf, middle = (crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in issued.chain_der)
    crypto.X509StoreContext(store, leaf, [middle]).verify_certificate()
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(issued.certificate)
    context.use_privatekey(issued.key)
    context.check_privatekey()


def test_a_good_leaf_has_its_names_dates_and_serial() -> None:
    issued = ThrowawayCa("Root", START).issue(
        ["mx.example.com", "2001:db8::1"], now=START, days=7, shape=Shape(serial=77)
    )
    leaf = issued.certificate
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert not san.critical
    assert san.value.get_values_for_type(x509.DNSName) == ["mx.example.com"]
    assert san.value.get_values_for_type(x509.IPAddress) == [ip_address("2001:db8::1")]
    assert leaf.not_valid_before_utc == START - timedelta(hours=1)
    assert leaf.not_valid_after_utc == START + timedelta(days=7)
    assert leaf.serial_number == 77
    assert issued.chain_pem == issued.certificate_pem
    assert load_pem_private_key(issued.key_pem, None).public_key() == leaf.public_key()


def test_an_expired_leaf_still_begins_before_it_ends() -> None:
    issued = ThrowawayCa("Root", START).issue(["mx.example.com"], now=START, days=-10)
    leaf = issued.certificate
    assert leaf.not_valid_before_utc < leaf.not_valid_after_utc == START - timedelta(days=10)


def test_the_chain_sent_ends_below_the_root() -> None:
    ca = ThrowawayCa("Root", START)
    lower = ca.intermediate("A", now=START).intermediate("B", now=START)
    issued = lower.issue(["mx.example.com"], now=START)
    subjects = [certificate.subject.rfc4514_string() for certificate in issued.chain]
    assert subjects == [
        "CN=mx.example.com",
        "CN=B",
        "CN=A",
    ]
    assert ca.der not in issued.chain_der


def test_name_constraints_and_own_extensions_are_put_in() -> None:
    constraints = x509.NameConstraints([x509.DNSName("example.com")], None)
    shape = Shape(is_ca=True, name_constraints=constraints, extensions=[x509.OCSPNoCheck()])
    extensions = self_signed([], now=START, shape=shape).certificate.extensions
    assert extensions.get_extension_for_class(x509.NameConstraints).critical
    assert not extensions.get_extension_for_class(x509.OCSPNoCheck).critical


def test_general_names_replace_those_from_the_text() -> None:
    shape = Shape(general_names=[x509.RFC822Name("a@example.com")])
    extensions = self_signed(["a.example"], now=START, shape=shape).certificate.extensions
    san = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(san) == [x509.RFC822Name("a@example.com")]


def test_no_names_give_no_san() -> None:
    issued = self_signed([], now=START)
    with pytest.raises(x509.ExtensionNotFound):
        issued.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert issued.certificate.issuer == issued.certificate.subject


def test_a_given_key_is_used() -> None:
    key = make_key("rsa-1024")
    assert self_signed(["a.example"], now=START, key=key).key is key
    assert ThrowawayCa("R", START, key).issued.key is key

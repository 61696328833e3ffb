"""Requests: what is read of them, what they may ask for, and whether they are the order's."""

from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.pki.der import split_elements, wrap_element
from letterlock.protocols.pki.issuance.csr import (
    MAX_REQUEST_OCTETS,
    RequestError,
    SigningRequest,
    find_request_faults,
    parse_request,
)
from tests.protocols.pki.issuance.authority import EC_KEY, SUBJECT_KEY, names_of, rsa_key

KU = {
    **dict.fromkeys(["digital_signature", "content_commitment", "key_encipherment"], False),
    **dict.fromkeys(["data_encipherment", "key_agreement", "key_cert_sign"], False),
    **dict.fromkeys(["crl_sign", "encipher_only", "decipher_only"], False),
}


def san(*names: str) -> x509.SubjectAlternativeName:
    found = names_of(*names)
    domains: list[x509.GeneralName] = [x509.DNSName(name) for name in found.dns]
    return x509.SubjectAlternativeName([*domains, *(x509.IPAddress(ip) for ip in found.ips)])


def make(
    *extensions: x509.ExtensionType,
    common_names: Sequence[str] = (),
    key: Any = EC_KEY,
    digest: Any = hashes.SHA256(),  # noqa: B008 - it does not change
    attributes: Sequence[tuple[x509.ObjectIdentifier, bytes]] = (),
) -> bytes:
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, text) for text in common_names]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    for oid, value in attributes:
        builder = builder.add_attribute(oid, value)
    return builder.sign(key, digest).public_bytes(Encoding.DER)


def read(*extensions: x509.ExtensionType, **parts: Any) -> SigningRequest:
    return parse_request(make(*extensions, **parts))


ORDER = names_of("mx.example.com", "*.example.org", "192.0.2.1", "2001:db8::1")


def test_a_request_gives_its_key_and_names() -> None:
    """RFC 8555 §7.4, RFC 8738 §4: names in commonName, subjectAltName or both."""
    request = read(san(*ORDER.texts))
    assert request.key == SUBJECT_KEY
    assert find_request_faults(request, ORDER) == ()
    assert request.names == names_of("*.example.org", "mx.example.com", "192.0.2.1", "2001:db8::1")
    assert read(common_names=["mx.example.com"]).names == names_of("mx.example.com")
    assert read(san("MX.example.com"), common_names=["mx.EXAMPLE.com"]).names.texts == (
        "mx.example.com",
    )
    assert read(common_names=["192.0.2.1", "2001:DB8::1"]).names == names_of(
        "192.0.2.1", "2001:db8::1"
    )


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("key", [EC_KEY, rsa_key()])
def test_usual_signatures_are_taken(key: Any, digest: Any) -> None:
    assert read(san("mx.example.com"), key=key, digest=digest).key == key.public_key()


names = st.sets(st.sampled_from(["a.example", "b.example", "*.a.example", "192.0.2.1", "::1"]))


@given(names, names, names)
def test_names_must_be_those_of_the_order_as_a_set(
    alternative: set[str], common: set[str], ordered: set[str]
) -> None:
    """Rule 207: RFC 8555 §7.4."""
    asked = alternative | common
    extensions = [san(*alternative)] if alternative else []
    if not asked:
        with pytest.raises(RequestError, match="names nothing"):
            read(*extensions, common_names=sorted(common))
        return
    request = read(*extensions, common_names=sorted(common))
    found = find_request_faults(request, names_of(*ordered))
    assert bool(found) == (asked != ordered)
    text = "; ".join(found)
    assert all(name in text for name in asked ^ ordered)
    assert ("that the order has not" in text) == bool(asked - ordered)
    assert ("that the request has not" in text) == bool(ordered - asked)


def test_many_names_that_differ_are_told_shortly() -> None:
    request = read(san(*[f"{n}.example.com" for n in range(100)]))
    (more, missing) = find_request_faults(request, names_of("mx.example.com"))
    assert more.endswith("and 95 more")
    assert missing.endswith("mx.example.com")


HARMLESS = (
    x509.BasicConstraints(ca=False, path_length=None),
    x509.KeyUsage(**(KU | {"digital_signature": True, "key_encipherment": True})),
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
    x509.SubjectKeyIdentifier(b"anything"),
)


def test_what_tools_ask_for_unasked_is_no_fault() -> None:
    attributes = [(AttributeOID.CHALLENGE_PASSWORD, b"secret")]
    request = read(*HARMLESS, san("mx.example.com"), attributes=attributes)
    assert find_request_faults(request, names_of("mx.example.com")) == ()


@pytest.mark.parametrize(
    ("extension", "said"),
    [
        (x509.BasicConstraints(ca=True, path_length=0), "to become an authority"),
        (x509.KeyUsage(**(KU | {"key_cert_sign": True})), "to sign certificates"),
        (x509.KeyUsage(**(KU | {"crl_sign": True})), "to sign certificates"),
        (
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]),
            "other uses than TLS: 1.3.6.1.5.5.7.3.3",
        ),
        (x509.TLSFeature([x509.TLSFeatureType.status_request]), "OCSP stapling"),
        (x509.OCSPNoCheck(), "not given: 1.3.6.1.5.5.7.48.1.5"),
        (x509.NameConstraints([x509.DNSName("a.example")], None), "not given: 2.5.29.30"),
        (
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"x"),
            "not given: 1.3.6.1.4.1.55555.1",
        ),
    ],
)
def test_what_is_never_given_is_refused(extension: x509.ExtensionType, said: str) -> None:
    """Rule 208: RFC 8555 §7.4: an error, and nothing left out in silence."""
    request = read(san("mx.example.com"), extension)
    (fault,) = find_request_faults(request, names_of("mx.example.com"))
    assert said in fault


def changed_signature() -> bytes:
    der = bytearray(make(san("mx.example.com")))
    der[-1] ^= 1
    return bytes(der)


def signed_with_sha1() -> bytes:
    """cryptography signs none: the parts are put together by hand."""
    tbs, _, _ = split_elements(
        split_elements(make(san("mx.example.com"), key=rsa_key()), limit=1)[0][1], limit=3
    )
    algorithm = bytes.fromhex("300d06092a864886f70d0101050500")
    signature = rsa_key().sign(tbs[0], padding.PKCS1v15(), hashes.SHA1())
    return wrap_element(0x30, tbs[0] + algorithm + wrap_element(0x03, b"\0" + signature))


def version_two() -> bytes:
    return make(san("mx.example.com")).replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)


def two_extension_requests() -> bytes:
    """Another attribute is turned into one: which of both counts nobody says."""
    oid = x509.ObjectIdentifier("1.2.840.113549.1.9.15")
    der = make(san("mx.example.com"), attributes=[(oid, b"x")])
    parts = split_elements(split_elements(der, limit=1)[0][1], limit=3)
    twice = parts[0][0].replace(
        bytes.fromhex("2a864886f70d01090f"), bytes.fromhex("2a864886f70d01090e")
    )
    assert twice != parts[0][0]
    signature = EC_KEY.sign(twice, ec.ECDSA(hashes.SHA256()))
    signed = wrap_element(0x03, b"\0" + signature)
    return wrap_element(0x30, twice + parts[1][0] + signed)


def with_rsa_key(bits: int, exponent: int) -> bytes:
    """Put another key into a request: one whose signature takes long to verify."""
    tbs, algorithm, signature = split_elements(
        split_elements(make(san("mx.example.com"), key=rsa_key()), limit=1)[0][1], limit=3
    )
    version, subject, spki, attributes = (whole for whole, _ in split_elements(tbs[1], limit=4))
    key = wrap_element(0x30, _integer((1 << bits) - 1) + _integer(exponent))
    rsa_encryption = bytes.fromhex("300d06092a864886f70d0101010500")
    changed = wrap_element(0x30, rsa_encryption + wrap_element(0x03, b"\0" + key))
    assert changed[:1] == spki[:1]
    body = wrap_element(0x30, version + subject + changed + attributes)
    return wrap_element(0x30, body + algorithm[0] + signature[0])


def _integer(number: int) -> bytes:
    return wrap_element(0x02, number.to_bytes(number.bit_length() // 8 + 1))


@pytest.mark.parametrize(
    ("der", "said"),
    [
        (b"", "cannot be read"),
        (b"\x30\x80", "cannot be read"),
        (make(san("mx.example.com"))[:-1], "cannot be read"),
        (make(san("mx.example.com")) + b"\0", "cannot be read"),
        (b"0" * (MAX_REQUEST_OCTETS + 1), "more than 65536 octets"),
        (changed_signature(), "does not verify"),
        (signed_with_sha1(), "a digest other than"),
        (version_two(), "cannot be read"),
        (two_extension_requests(), "asks for extensions twice"),
        (with_rsa_key(8200, 65537), "too long"),
        (with_rsa_key(2048, 2**65 + 1), "too long"),
        (
            make(san("mx.example.com"), key=ed25519.Ed25519PrivateKey.generate(), digest=None),
            "neither ECDSA nor RSA",
        ),
        (make(), "names nothing"),
        (make(san("mx.example.com.")), "not in the form"),
        (make(common_names=["b\u00fccher.example"]), "not in the form"),
        (make(san("mx..example.com")), "a name that is none"),
        (make(common_names=["Jane Doe"]), "a name that is none"),
        (
            make(x509.SubjectAlternativeName([x509.RFC822Name("a@example.com")])),
            "neither a domain nor an address",
        ),
        (
            make(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier("https://a.example")])
            ),
            "neither a domain nor an address",
        ),
    ],
)
def test_what_nothing_can_be_issued_for_is_refused_in_a_line(der: bytes, said: str) -> None:
    """Rule 206: RFC 2986 §4; what is hostile costs little."""
    with pytest.raises(RequestError, match=said) as caught:
        parse_request(der)
    assert str(caught.value).isprintable()


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_request_that_was_changed_is_refused(at: int, octet: int) -> None:
    """Whatever octet it is: all of it is signed, or part of the signature."""
    der = bytearray(make(san("mx.example.com"), common_names=["mx.example.com"]))
    before = der[at % len(der)]
    der[at % len(der)] = octet
    if octet == before:
        return
    with pytest.raises(RequestError):
        parse_request(bytes(der))

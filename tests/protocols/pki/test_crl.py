"""CRLs: which one counts for our certificates, and what it says of them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.pki import crl
from letterlock.protocols.pki.crl import (
    MAX_URL_CHARACTERS,
    MAX_URLS,
    CrlUnusable,
    CrlUrl,
    Revocation,
    Revocations,
    find_crl_urls,
    read_crl,
)
from letterlock.protocols.pki.throwaway_ca import GOOD_CA, Shape, ThrowawayCa, make_name
from tests.fakes import START
from tests.revocations import URL, issue_with_crl, make_crl, make_point

CA = ThrowawayCa("Root", START)
PLACE = CrlUrl(URL, "crl.example", 80, "/7.crl")
OURS = (17, 18)
COMPROMISED = x509.ReasonFlags.key_compromise


def read(der: bytes, issuer: ThrowawayCa = CA) -> Revocations | CrlUnusable:
    return read_crl(der, PLACE, issuer.issued.certificate, OURS)


def urls_of(*points: x509.DistributionPoint) -> list[str]:
    certificate = issue_with_crl(CA, "mx.example.org", *points).certificate
    return [url.text for url in find_crl_urls(certificate)]


def test_a_crl_says_which_of_ours_are_revoked_and_why() -> None:
    """RFC 5280 §5.3.1: no reason is the same as unspecified."""
    found = read(make_crl(CA, {17: COMPROMISED, 18: None, 99: COMPROMISED}))
    assert found == Revocations(
        {17: Revocation(START, "keyCompromise"), 18: Revocation(START, "unspecified")},
        START + timedelta(days=7),
    )
    assert read(make_crl(CA)) == Revocations({}, START + timedelta(days=7))


def scope(**parts: object) -> tuple[x509.ExtensionType, bool]:
    usual: dict[str, object] = dict.fromkeys(("full_name", "relative_name", "only_some_reasons"))
    flags = ("user_certs", "ca_certs", "attribute_certs")
    usual |= dict.fromkeys(("indirect_crl", *(f"only_contains_{each}" for each in flags)), False)
    return x509.IssuingDistributionPoint(**(usual | parts)), True  # type: ignore[arg-type]  # by name


HERE = [x509.UniformResourceIdentifier(URL)]
THERE = [x509.UniformResourceIdentifier("http://crl.example/8.crl")]
RELATIVE = x509.RelativeDistinguishedName(list(make_name("7")))


@pytest.mark.parametrize(
    "extension",
    [
        scope(full_name=HERE),
        scope(full_name=[*THERE, *HERE], only_contains_user_certs=True),
        (x509.CRLNumber(3), False),
        (x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False),
    ],
)
def test_a_crl_of_the_place_that_the_certificate_names_counts(
    extension: tuple[x509.ExtensionType, bool],
) -> None:
    """RFC 5280 §6.3.3 (b); §5.2: what is not critical may be unknown."""
    found = read(make_crl(CA, {17: None}, extensions=[extension]))
    assert isinstance(found, Revocations)
    assert 17 in found.found


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        (scope(full_name=THERE), "another place"),
        (scope(relative_name=RELATIVE), "another place"),
        (scope(indirect_crl=True), "not all"),
        (scope(only_some_reasons=frozenset({COMPROMISED})), "not all"),
        (scope(only_contains_ca_certs=True), "not about servers"),
        (scope(only_contains_attribute_certs=True), "not about servers"),
        ((x509.DeltaCRLIndicator(3), True), "not known: 2.5.29.27"),
        ((x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True), "1.2.3.4"),
    ],
)
def test_a_crl_of_something_else_says_nothing(
    extension: tuple[x509.ExtensionType, bool], reason: str
) -> None:
    """RFC 5280 §5.2, §5.2.4, §5.2.5, §6.3.3 (b)."""
    found = read(make_crl(CA, {17: None}, extensions=[extension]))
    assert isinstance(found, CrlUnusable)
    assert reason in found.reason


def test_only_the_issuers_own_key_counts() -> None:
    """RFC 5280 §6.3.3 (g)."""
    other = ThrowawayCa("Root", START)
    assert read(make_crl(other)) == CrlUnusable("the issuer's key did not sign the CRL")
    assert read(make_crl(CA, issuer="Other")) == CrlUnusable("the CRL is one of CN=Other")
    damaged = bytearray(make_crl(CA, {17: None}))
    damaged[-1] ^= 1
    assert isinstance(read(bytes(damaged)), CrlUnusable)


def test_an_issuer_that_may_not_sign_crls_says_nothing() -> None:
    """RFC 5280 §6.3.3 (f): without a key usage it may."""
    usage = x509.KeyUsage(
        **{
            **dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment"), False),
            **dict.fromkeys(("data_encipherment", "key_agreement", "crl_sign"), False),
            **dict.fromkeys(("encipher_only", "decipher_only"), False),
            "key_cert_sign": True,
        }
    )
    ca = ThrowawayCa("Root", START, shape=replace(GOOD_CA, key_usage=usage))
    assert read(make_crl(ca), ca) == CrlUnusable(
        "the issuer's certificate does not let it sign a CRL"
    )


def test_an_issuer_without_a_key_usage_may_sign_crls() -> None:
    """RFC 5280 §6.3.3 (f)."""
    ca = make_plain_authority()
    assert isinstance(read(make_crl(ca), ca), Revocations)


def make_plain_authority() -> ThrowawayCa:
    """Make one whose certificate does not say what its key is for."""
    ca = ThrowawayCa("Old", START)
    key = ca.issued.key
    certificate = (
        x509.CertificateBuilder()
        .subject_name(make_name("Old"))
        .issuer_name(make_name("Old"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    ca.issued = replace(ca.issued, certificate=certificate)
    return ca


def test_what_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    der = make_crl(CA)
    monkeypatch.setattr(crl, "MAX_CRL_OCTETS", len(der) - 1)
    assert isinstance(read(der), CrlUnusable)
    monkeypatch.setattr(crl, "MAX_CRL_OCTETS", len(der))
    assert isinstance(read(der), Revocations)


@given(st.binary())
def test_any_octets_are_a_crl_or_none(octets: bytes) -> None:
    found = read(octets)
    assert isinstance(found, CrlUnusable)
    assert len(found.reason.splitlines()) == 1


def test_where_its_crl_is_a_certificate_says_itself() -> None:
    """RFC 5280 §4.2.1.13."""
    assert find_crl_urls(issue_with_crl(CA, "mx.example.org").certificate) == (PLACE,)
    assert find_crl_urls(CA.issue(["mx.example.org"], now=START).certificate) == ()


def test_a_crl_of_another_issuer_or_of_some_reasons_is_not_asked_for() -> None:
    """RFC 5280 §4.2.1.13."""
    some = frozenset({COMPROMISED})
    points = [make_point(URL, reasons=some), make_point(URL, issuer="Other"), make_point(URL)]
    assert urls_of(*points[:2]) == []
    assert urls_of(*points) == [URL]
    assert (
        urls_of(x509.DistributionPoint([x509.DirectoryName(make_name("7"))], None, None, None))
        == []
    )
    assert urls_of(x509.DistributionPoint(None, RELATIVE, None, None)) == []


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://CRL.example", ("crl.example", 80, "/")),
        ("http://crl.example:8080/a%20b?c=d", ("crl.example", 8080, "/a%20b?c=d")),
        ("http://[2001:db8::1]/x", ("2001:db8::1", 80, "/x")),
    ],
)
def test_a_place_by_http_is_taken(url: str, place: tuple[str, int, str]) -> None:
    leaf = issue_with_crl(CA, "mx.example.org", make_point(url)).certificate
    assert [(each.host, each.port, each.target) for each in find_crl_urls(leaf)] == [place]


@pytest.mark.parametrize(
    "url",
    [
        "https://crl.example/7.crl",
        "ldap://crl.example/cn=7",
        "http://user@crl.example/",
        "http://crl.example:0/",
        "http://crl.example:65536/",
        "http://crl.example/a b",
        "http://crl.example/a\r\nX: y",
        "http:///7.crl",
        f"http://crl.example/{'x' * MAX_URL_CHARACTERS}",
    ],
)
def test_other_places_are_passed_over(url: str) -> None:
    """RFC 5280 §8: HTTPS for a CRL could need that CRL."""
    assert urls_of(make_point(url)) == []


def test_places_are_few_and_each_once() -> None:
    urls = [f"http://crl.example/{number}" for number in range(MAX_URLS + 3)]
    assert urls_of(make_point(*urls, *urls)) == urls[:MAX_URLS]


def test_an_extension_that_cannot_be_read_names_no_place() -> None:
    bad = x509.UnrecognizedExtension(x509.CRLDistributionPoints.oid, b"\x30\x03\x02\x01")
    issued = CA.issue(["mx.example.org"], now=START, shape=Shape(extensions=(bad,)))
    assert find_crl_urls(issued.certificate) == ()

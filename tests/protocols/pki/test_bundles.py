"""RFC 7468 §2, §5: certificates in files, whatever is around them."""

from base64 import encodebytes

import pytest

from letterlock.protocols.pki import bundles
from letterlock.protocols.pki.bundles import read_bundle
from letterlock.protocols.pki.certificate import Unreadable, read_issuer_and_serial
from letterlock.protocols.pki.throwaway_ca import Shape, ThrowawayCa
from tests.fakes import START

CA = ThrowawayCa("Ca", START)
ONE, TWO = (CA.issue([f"{name}.example"], now=START) for name in ("one", "two"))


def pem(der: bytes, label: str = "CERTIFICATE") -> bytes:
    begin, end = f"-----BEGIN {label}-----\n", f"-----END {label}-----\n"
    return begin.encode() + encodebytes(der) + end.encode()


@pytest.mark.parametrize(
    "octets",
    [
        ONE.der + TWO.der,
        ONE.certificate_pem + TWO.certificate_pem,
        b"subject=CN=one\r\n" + ONE.certificate_pem.replace(b"\n", b"\r\n") + TWO.certificate_pem,
        ONE.key_pem + ONE.certificate_pem + TWO.certificate_pem,
        pem(ONE.der, "X509 CERTIFICATE") + pem(TWO.der, "X.509 CERTIFICATE"),
        pem(ONE.der + b"\x30\x00", "TRUSTED CERTIFICATE") + pem(TWO.der),
    ],
)
def test_certificates_are_found_in_their_order(octets: bytes) -> None:
    assert read_bundle(octets) == [ONE.der, TWO.der]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "no certificate is in it"),
        (ONE.key_pem, "no certificate is in it"),
        (b"hello", "no certificate is in it"),
        (b"\x30\x82\x01\x00", "not a certificate: DER ends within an element"),
        (pem(b"\x30")[:-20], "does not end"),
        (pem(b"\x30\x03", "TRUSTED CERTIFICATE"), "content cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----", "content cannot be read"),
        (pem(b"\0" * 128 * 1024), "more than 65536 octets"),
    ],
)
def test_what_cannot_be_read_says_why(octets: bytes, reason: str) -> None:
    (found,) = read_bundle(octets)
    assert isinstance(found, Unreadable)
    assert reason in found.reason


def test_a_fault_hides_none_of_the_others() -> None:
    first, second = read_bundle(ONE.certificate_pem + b"-----BEGIN CERTIFICATE-----\n!")
    assert first == ONE.der
    assert isinstance(second, Unreadable)


def test_there_is_an_end_to_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MAX_CERTIFICATES", 1)
    for octets in (ONE.der + TWO.der, ONE.certificate_pem + TWO.certificate_pem):
        first, second = read_bundle(octets)
        assert first == ONE.der
        assert isinstance(second, Unreadable)


def test_issuer_and_serial_are_read_from_the_structure_alone() -> None:
    """RFC 5280 §4.1.2.2, §4.1.2.4."""
    shaped = CA.issue(["a.example"], now=START, shape=Shape(serial=0xABCDEF))
    found = read_issuer_and_serial(shaped.der)
    assert found is not None
    assert found.serial == 0xABCDEF
    assert found.issuer == CA.issued.certificate.subject.public_bytes()
    negative = shaped.der.replace(b"\x02\x04\x00\xab\xcd\xef", b"\x02\x04\xff\xab\xcd\xef")
    damaged = read_issuer_and_serial(negative)
    assert damaged is not None
    assert damaged.serial < 0


@pytest.mark.parametrize(
    "octets", [b"", b"\x30\x00", ONE.der[:-1], ONE.der + b"\0", b"\x31" + ONE.der[1:]]
)
def test_what_is_no_certificate_has_neither(octets: bytes) -> None:
    assert read_issuer_and_serial(octets) is None

"""RFC 5280 §5: which CRLs are lists of one issuer's revoked certificates."""

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from letterlock.protocols.incidents import crls
from letterlock.protocols.incidents.crls import (
    SerialListError,
    describe_crl_entries,
    read_crl_list,
)
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from tests.fakes import START
from tests.protocols.incidents.test_lists import to_pem
from tests.revocations import URL, make_crl

CA = ThrowawayCa("Ca", START)


def make_scope(*, indirect: bool = False) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(URL)],
        relative_name=None,
        only_contains_user_certs=not indirect,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=indirect,
        only_contains_attribute_certs=False,
    )


def test_parts_of_one_issuers_crl_are_one_list() -> None:
    one, two = make_crl(CA, {1: None, 2: None}), make_crl(CA, {3: None})
    found = read_crl_list(to_pem(one) + b"and\n" + to_pem(two))
    assert found.serials == (1, 2, 3)
    assert list(describe_crl_entries(to_pem(one) + to_pem(two), [3])) == [3]


def test_a_part_says_where_it_is_and_is_read() -> None:
    """RFC 5280 §5.2.5."""
    crl = make_crl(CA, {5: None}, extensions=[(make_scope(), True), (x509.CRLNumber(3), False)])
    assert read_crl_list(crl).serials == (5,)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (to_pem(make_crl(CA)) + to_pem(make_crl(CA, issuer="Other")), "several issuers"),
        (make_crl(CA, extensions=[(x509.DeltaCRLIndicator(1), True)]), "delta"),
        (make_crl(CA, extensions=[(make_scope(indirect=True), True)]), "indirect"),
        (
            make_crl(
                CA,
                extensions=[
                    (x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\0"), True)
                ],
            ),
            "critical extension that is not known: 1.2.3.4",
        ),
        (b"-----BEGIN X509 CRL-----\nA\n-----END X509 CRL-----\n", "base64"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "not a CRL"),
        (b"-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n", "PEM with PKCS7 in it"),
        (to_pem(make_crl(CA)) + b"-----BEGIN X509 CRL-----\n", "does not end"),
        (make_crl(CA, issuer="x" * 60)[:-1], "not a CRL"),
    ],
)
def test_what_is_no_whole_crl_of_one_issuer_is_refused(octets: bytes, reason: str) -> None:
    with pytest.raises(SerialListError, match=reason):
        read_crl_list(octets)


def test_entries_that_cannot_be_read_are_an_error_and_not_passed_over() -> None:
    """A serial number's tag that is another one."""
    crl = make_crl(CA, {0xABCDEF: None})
    damaged = crl.replace(b"\x02\x04\x00\xab\xcd\xef", b"\x05\x04\x00\xab\xcd\xef")
    assert damaged != crl
    with pytest.raises(SerialListError, match="not a CRL"):
        read_crl_list(damaged)
    with pytest.raises(SerialListError, match="not a CRL"):
        describe_crl_entries(damaged, [1])


def test_a_reason_that_cannot_be_read_is_an_error() -> None:
    """RFC 5280 §5.3.1: 7 is none."""
    crl = make_crl(CA, {5: x509.ReasonFlags.key_compromise})
    damaged = crl.replace(b"\x0a\x01\x01", b"\x0a\x01\x07")
    assert damaged != crl
    with pytest.raises(SerialListError, match="not a CRL"):
        describe_crl_entries(damaged, [1])


def test_what_goes_beyond_the_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    long = make_crl(CA, {(1 << 159) - 1: None})
    twenty = bytes.fromhex("0214" + "7f" + "ff" * 19)
    assert twenty in long
    monkeypatch.setattr(crls, "MAX_SERIAL_OCTETS", 19)
    with pytest.raises(SerialListError, match="more than 19 octets"):
        read_crl_list(long)
    monkeypatch.setattr(crls, "MAX_CRLS", 1)
    with pytest.raises(SerialListError, match="more than 1 CRLs"):
        read_crl_list(to_pem(make_crl(CA)) * 2)
    monkeypatch.setattr(crls, "MAX_ISSUER_OCTETS", 5)
    with pytest.raises(SerialListError, match="name has more than 5"):
        read_crl_list(make_crl(CA))

"""Issuers: a certificate and its key, where CRLs are, and serial numbers with their shards."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.pki.crl import find_crl_urls
from letterlock.protocols.pki.issuance.issuers import (
    MAX_SHARDS,
    SERIAL_RANDOM_OCTETS,
    IssuerError,
    Places,
    find_shard,
    make_issuer,
    make_serial,
)
from letterlock.protocols.pki.issuance.signing import KeySigner
from letterlock.protocols.pki.throwaway_ca import GOOD_CA, GOOD_LEAF, ThrowawayCa, self_signed
from tests.fakes import START
from tests.protocols.pki.issuance.authority import EC_KEY, ISSUER, PLACES, draft_for, issue, load

OCTETS = st.binary(min_size=SERIAL_RANDOM_OCTETS, max_size=SERIAL_RANDOM_OCTETS)


@given(OCTETS, st.integers(1, MAX_SHARDS))
def test_a_serial_number_is_positive_random_and_says_its_shard(random: bytes, shards: int) -> None:
    """Rule 210: RFC 5280 §4.1.2.2; Baseline Requirements 7.1.2.7: 64 random bits or more."""
    serial = make_serial(random, shards)
    assert 0 < serial < 2**159
    assert serial.to_bytes(SERIAL_RANDOM_OCTETS)[1:] == random[1:]
    shard = find_shard(serial)
    assert shard is not None
    assert 1 <= shard <= shards


@pytest.mark.parametrize("shards", [1, 2, 16, 127])
def test_all_shards_are_used_alike(shards: int) -> None:
    counts = dict.fromkeys(range(1, shards + 1), 0)
    for first in range(256):
        shard = find_shard(make_serial(bytes([first, *bytes(16)]), shards))
        assert shard is not None
        counts[shard] += 1
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("serial", [0, 1, 2**128 - 1, 128 << 128, -1, 2**159])
def test_a_serial_number_of_others_is_in_no_shard(serial: int) -> None:
    assert find_shard(serial) is None


@pytest.mark.parametrize(
    ("random", "shards", "said"),
    [(b"x" * 16, 1, "17 octets"), (b"x" * 17, 0, "1 to 127"), (b"x" * 17, 128, "1 to 127")],
)
def test_a_serial_number_needs_enough_chance(random: bytes, shards: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_serial(random, shards)


@pytest.mark.parametrize(
    "url",
    [
        "https://ca.example/",
        "http://ca.example",
        "http://ca.example/a",
        "http://ca.example/a b/",
        "http://u@ca.example/",
        "http://ca.example/?/",
        "http://CA.example/" + "a" * 200 + "/",
        "http:///",
        "",
    ],
)
def test_a_place_that_relying_parties_cannot_read_is_refused(url: str) -> None:
    """Baseline Requirements 7.1.2.11.2: plain http, or to read a CRL would need another CRL."""
    with pytest.raises(ValueError, match="http URL"):
        Places(url)
    if not url.startswith("http://ca.example"):
        with pytest.raises(ValueError, match="http URL"):
            Places("http://ca.example/", url)


@pytest.mark.parametrize(
    "base", ["http://ca.example/", "http://[::1]:8080/a/b-c/", "http://ca:80/~x/"]
)
def test_our_own_reader_finds_the_crl_of_a_certificate(base: str) -> None:
    places = Places(base)
    issuer = make_issuer(ISSUER.certificate, ISSUER.signer, places)
    certificate = load(draft_for(["mx.example.com"], issuer=issuer).der)
    (found,) = find_crl_urls(certificate)
    shard = find_shard(certificate.serial_number)
    assert shard is not None
    assert found.text == places.crl_url(shard) == f"{base}{shard}.crl"


def test_a_certificate_and_a_key_must_belong_together() -> None:
    with pytest.raises(IssuerError, match="not that of the key"):
        make_issuer(issue(["mx.example.com"]), ISSUER.signer, PLACES)


@pytest.mark.parametrize("shape", [GOOD_LEAF, GOOD_CA])
def test_an_issuer_may_sign_certificates_and_crls(shape: object) -> None:
    """RFC 5280 §4.2.1.3, §4.2.1.9."""
    if shape is GOOD_CA:
        certificate = ThrowawayCa("Root", START, EC_KEY).issued.certificate
        assert make_issuer(certificate, KeySigner(EC_KEY), PLACES).key == EC_KEY.public_key()
        return
    leaf = self_signed(["mx.example.com"], now=START, key=EC_KEY).certificate
    with pytest.raises(IssuerError, match="does not let"):
        make_issuer(leaf, KeySigner(EC_KEY), PLACES)


def test_an_issuer_without_the_extensions_of_one_is_refused() -> None:
    name = x509.Name([])
    valid = START, START.replace(year=2030)
    builder = x509.CertificateBuilder(name, name, EC_KEY.public_key(), 1, *valid)
    certificate = builder.sign(EC_KEY, hashes.SHA256())
    with pytest.raises(IssuerError, match="not that of an authority"):
        make_issuer(certificate, KeySigner(EC_KEY), PLACES)

"""What is served for all: each CRL and each issuer's certificate at its one place."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from letterlock.protocols.pki.issuance.revocation_lists import CrlPeriod
from letterlock.services.ca.publications import (
    Publications,
    find_key_identifier,
    find_places,
    make_places,
    name_folder,
)
from letterlock.storage.ca.kept import KeptCrl
from tests.fakes import START
from tests.protocols.pki.issuance.authority import ISSUER, ROOT, der_of

ISSUER_ID = find_key_identifier(ISSUER.certificate) or b""
FOLDER = name_folder(ISSUER_ID)
PERIOD = CrlPeriod(7, START, START + timedelta(days=7))


class Shards:
    async def load_crl(self, issuer: bytes, shard: int) -> KeptCrl | None:
        if (issuer, shard) != (ISSUER_ID, 3):
            return None
        return KeptCrl(issuer, shard, PERIOD, 0, b"the third one")


PUBLICATIONS = Publications(Shards(), [ISSUER.certificate, ROOT.certificate])


async def test_a_crl_is_at_the_place_that_certificates_have() -> None:
    """RFC 5280 §4.2.1.13, RFC 2585 §4"""
    url = find_places(ISSUER.certificate, "http://ca.example/crl/").crl_url(3)
    assert url == f"http://ca.example/crl/{FOLDER}/3.crl"
    found = await PUBLICATIONS.find(*url.split("/")[-2:])
    assert found is not None
    assert (found.octets, found.media_type) == (b"the third one", "application/pkix-crl")
    assert (found.made, found.fresh_until) == (PERIOD.this_update, PERIOD.next_update)


async def test_a_crl_is_kept_by_caches_for_an_hour_and_not_beyond_its_end() -> None:
    """RFC 9111 §4.2; Baseline Requirements 4.9.7: the next one may come at any moment."""
    found = await PUBLICATIONS.find(FOLDER, "3.crl")
    assert found is not None
    ends, hour, minute = PERIOD.next_update, timedelta(hours=1), timedelta(minutes=1)
    moments = (START, ends - hour, ends - minute, ends, ends + hour)
    none = timedelta()
    assert [found.find_cached(each) for each in moments] == [hour, hour, minute, none, none]


@pytest.mark.parametrize("issuer", [ISSUER, ROOT])
async def test_an_issuers_certificate_is_beside_its_crls(issuer: object) -> None:
    """RFC 5280 §4.2.2.1: in DER."""
    certificate = ISSUER.certificate if issuer is ISSUER else ROOT.certificate
    url = find_places(certificate, "http://ca.example/crl/").issuer
    assert url is not None
    found = await PUBLICATIONS.find(*url.split("/")[-2:])
    assert found is not None
    assert found.octets == der_of(certificate)
    assert found.media_type == "application/pkix-cert"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (FOLDER, "4.crl"),
        (FOLDER, "03.crl"),
        (FOLDER, "0.crl"),
        (FOLDER, "128.crl"),
        (FOLDER, "³.crl"),
        (FOLDER, "3"),
        (FOLDER, ".crl"),
        (FOLDER, f"{'9' * 5000}.crl"),
        (FOLDER, "../3.crl"),
        (FOLDER, ""),
        (FOLDER.upper(), "3.crl"),
        ("", "3.crl"),
        ("..", "issuer.der"),
    ],
)
async def test_nothing_else_is_there(folder: str, name: str) -> None:
    assert await PUBLICATIONS.find(folder, name) is None


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="http URL"):
        make_places("https://ca.example/crl/", ISSUER_ID)


def test_a_certificate_without_a_key_identifier_is_no_issuers() -> None:
    builder = (
        x509.CertificateBuilder()
        .subject_name(ISSUER.certificate.subject)
        .issuer_name(ISSUER.certificate.subject)
        .public_key(ISSUER.key)
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
    )
    certificate = builder.sign(ISSUER.stand_in, hashes.SHA256())
    with pytest.raises(ValueError, match="no key identifier"):
        find_places(certificate, "http://ca.example/crl/")

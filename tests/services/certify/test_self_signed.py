"""The certificate that stands in until there is a real one."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.domains import Domain
from letterlock.protocols.pki.certificate import CertificateFacts, KeyKind, read_certificate
from letterlock.protocols.pki.throwaway_ca import Issued, self_signed
from letterlock.services.certify.self_signed import (
    LIFETIME,
    RENEW_BEFORE,
    describe_self_signed,
    ensure_self_signed,
)
from letterlock.storage.certificate_files import CertificateFiles
from letterlock.storage.certificates import KeptPair
from tests.fakes import START

HOST = Domain("mx.example.org")


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return CertificateFiles(tmp_path / "certificates")


def facts_of(files: CertificateFiles) -> CertificateFacts:
    pair = files.load_self_signed()
    assert pair is not None
    certificate = x509.load_pem_x509_certificate(pair.chain)
    facts = read_certificate(certificate.public_bytes(Encoding.DER))
    assert isinstance(facts, CertificateFacts)
    return facts


def test_it_is_a_servers_certificate_and_no_authoritys(files: CertificateFiles) -> None:
    """RFC 5280 §4.2.1.9: whoever trusts it must trust nothing that its key signs."""
    assert ensure_self_signed(files, HOST, START)
    facts = facts_of(files)
    assert facts.names.texts == (HOST,)
    assert facts.subject == facts.issuer
    assert (facts.is_ca, facts.may_sign_certificates) == (False, False)
    assert facts.eku == ("1.3.6.1.5.5.7.3.1",)
    assert (facts.key_kind, facts.key) == (KeyKind.EC, "ec-secp256r1")
    assert facts.not_after == START + LIFETIME


def test_it_is_for_us_alone(files: CertificateFiles) -> None:
    ensure_self_signed(files, HOST, START)
    assert files.self_signed[1].stat().st_mode & 0o777 == 0o600


def test_it_stays_over_restarts_until_its_end_is_near(files: CertificateFiles) -> None:
    ensure_self_signed(files, HOST, START)
    first = files.load_self_signed()
    last = START + LIFETIME - RENEW_BEFORE
    assert not ensure_self_signed(files, HOST, last - timedelta(seconds=1))
    assert files.load_self_signed() == first
    assert ensure_self_signed(files, HOST, last)
    assert files.load_self_signed() != first


@pytest.mark.parametrize(
    "kept",
    [
        self_signed(["other.example.org"], now=START),
        self_signed([HOST, "other.example.org"], now=START),
        self_signed([HOST], now=START + timedelta(days=2)),
    ],
)
def test_one_that_is_not_for_now_is_made_anew(files: CertificateFiles, kept: Issued) -> None:
    files.write_self_signed(KeptPair(kept.chain_pem, kept.key_pem))
    assert ensure_self_signed(files, HOST, START)
    assert facts_of(files).names.texts == (HOST,)


@pytest.mark.parametrize("broken", ["chain", "key", "other key"])
def test_one_that_is_broken_is_made_anew(files: CertificateFiles, broken: str) -> None:
    one, other = self_signed([HOST], now=START), self_signed([HOST], now=START)
    chain = b"rubbish" if broken == "chain" else one.chain_pem
    key = {"key": b"rubbish", "other key": other.key_pem}.get(broken, one.key_pem)
    files.write_self_signed(KeptPair(chain, key))
    assert ensure_self_signed(files, HOST, START)
    assert not ensure_self_signed(files, HOST, START)


def test_what_it_means_is_said_on_one_line() -> None:
    line = describe_self_signed(HOST)
    assert HOST in line
    assert "\n" not in line

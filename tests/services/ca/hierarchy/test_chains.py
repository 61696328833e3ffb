"""Chains: each certifies the one before, alternates are of the same key, and roots stay out."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.errors import LocalError
from letterlock.protocols.pki.issuance.issuers import IssuerError
from letterlock.protocols.pki.issuance.signing import KeySigner, make_key
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from letterlock.services.ca.hierarchy.chains import (
    find_authority_key,
    join_authority,
    load_certificates,
)
from letterlock.services.ca.hierarchy.making import make_authority
from tests.fakes import START
from tests.services.ca.hierarchy.authorities import FOLDER_URL, LINTER, make_world

WORLD = make_world()
ROOT, OTHER = WORLD.root.certificate, WORLD.other_root.certificate
OWN, CROSS = WORLD.certificate, WORLD.cross


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def test_each_chain_is_what_follows_a_certificate() -> None:
    """RFC 8555 §7.4.2, §9.1. Rule 251"""
    assert WORLD.authority.chains == (pem(OWN), pem(CROSS))
    assert WORLD.authority.issuer.certificate == OWN


def test_a_root_is_not_sent() -> None:
    found = join_authority(WORLD.signer, FOLDER_URL, [[OWN, ROOT], [CROSS, OTHER]], ROOT)
    assert found.chains == (pem(OWN), pem(CROSS))


def test_a_root_that_issues_itself_has_nothing_above_it() -> None:
    found = join_authority(WORLD.root.signer, FOLDER_URL, [[ROOT]], ROOT)
    assert found.chains == (b"",)


def test_chains_that_do_not_hold_are_refused() -> None:
    stranger = make_authority(
        WORLD.root,
        replace(WORLD.below, name=replace(WORLD.below.name, common_name="X")),
        LINTER,
        START,
    ).certificate
    for chains, root, reason in (
        ([[OWN]], OTHER, "the root does not certify"),
        ([[CROSS]], ROOT, "the root does not certify"),
        ([[OWN, CROSS]], ROOT, "not certified by what follows"),
        ([[OWN], [CROSS, OWN]], ROOT, "not certified by what follows"),
        ([[OWN], [stranger]], ROOT, "not of the same authority"),
        ([[OWN], [ROOT]], ROOT, "not that of the key"),
        ([[ROOT]], ROOT, "not that of the key"),
        ([[OWN]], OWN, "does not certify itself"),
    ):
        with pytest.raises(IssuerError, match=reason):
            join_authority(WORLD.signer, FOLDER_URL, chains, root)


def test_a_key_that_is_not_the_certificates_is_refused() -> None:
    with pytest.raises(IssuerError, match="not that of the key"):
        join_authority(KeySigner(make_key("ec-p256")), FOLDER_URL, [[OWN]], ROOT)


def test_the_key_of_an_authority_is_one_of_ours() -> None:
    assert find_authority_key(OWN) == WORLD.signer.public_key
    for key, reason in (
        (ec.generate_private_key(ec.SECP521R1()), "P-256 or P-384"),
        (ed25519.Ed25519PrivateKey.generate(), "ECDSA or RSA"),
    ):
        certificate = ThrowawayCa("odd", START, key=key).issued.certificate
        with pytest.raises(IssuerError, match=reason):
            find_authority_key(certificate)


def test_certificates_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "chain.pem"
    path.write_bytes(b"Lab\n" + pem(OWN, ROOT))
    assert load_certificates(path) == (OWN, ROOT)
    path.write_bytes(OWN.public_bytes(Encoding.DER))
    assert load_certificates(path) == (OWN,)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        (pem(*[OWN] * 9), "at most 8"),
        (b"x" * 300_000, "not a chain"),
    ],
)
def test_what_is_no_chain_is_told(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "chain.pem"
    path.write_bytes(content)
    with pytest.raises(LocalError, match=reason) as caught:
        load_certificates(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file"):
        load_certificates(tmp_path / "chain.pem")

"""A bare key as trust anchor: what it vouches for is judged as below any anchor."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.protocols.pki.chain import judge_chain
from letterlock.protocols.pki.key_anchor import make_key_anchor
from letterlock.protocols.pki.throwaway_ca import GOOD_LEAF, KeyKind, ThrowawayCa, make_name
from tests.fakes import START

MX = "mx.example.com"
ROOT = ThrowawayCa("Root", START)


def spki(der: bytes) -> bytes:
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_a_key_vouches_for_what_it_signed(kind: KeyKind) -> None:
    """RFC 5280 §6.1.1 (d)."""
    authority = ThrowawayCa("Keyed", START, key=kind)
    leaf = authority.issue([MX], now=START)
    anchors = make_key_anchor(spki(authority.der), leaf.der)
    assert anchors is not None
    judgement = judge_chain([leaf.der], anchors, START)
    assert judgement.is_trusted
    assert judgement.is_anchored
    stranger = ThrowawayCa("Keyed", START, key=kind).issue([MX], now=START)
    assert not judge_chain([stranger.der], anchors, START).is_trusted


def test_an_issuer_with_a_name_that_cannot_be_read_has_no_anchor() -> None:
    """RFC 5280 §4.2.1.1: it may be any GeneralName, and a server may send any certificate."""
    identifier = x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(make_name("Above"))], 77)
    leaf = ROOT.issue([MX], now=START, shape=replace(GOOD_LEAF, extensions=(identifier,)))
    name = make_name("Above").public_bytes()
    tagged = bytes((0xA4, len(name)))
    assert leaf.der.count(tagged + name) == 1
    # x400Address in place of directoryName
    der = leaf.der.replace(tagged + name, bytes((0xA3, len(name))) + name)
    assert make_key_anchor(spki(ROOT.der), der) is None


@pytest.mark.parametrize(
    "identifier",
    [
        x509.AuthorityKeyIdentifier(b"key", None, None),
        x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(make_name("Above"))], 77),
        x509.AuthorityKeyIdentifier(
            b"key", [x509.DNSName("a.example"), x509.DirectoryName(make_name("Root"))], 9
        ),
    ],
)
def test_the_issuer_is_who_the_certificate_says_it_is(
    identifier: x509.AuthorityKeyIdentifier,
) -> None:
    """RFC 5280 §4.2.1.1: by key identifier, and by issuer and serial."""
    leaf = ROOT.issue([MX], now=START, shape=replace(GOOD_LEAF, extensions=[identifier]))
    anchors = make_key_anchor(spki(ROOT.der), leaf.der)
    assert anchors is not None
    assert judge_chain([leaf.der], anchors, START).is_trusted


def test_a_certificate_that_names_no_issuer_key_will_do() -> None:
    """RFC 5280 §4.2.1.1: the extension is a MUST that many private authorities leave out."""
    builder = x509.CertificateBuilder(
        ROOT.issued.certificate.subject,
        make_name(MX),
        ROOT.issued.key.public_key(),
        5,
        START,
        START + timedelta(days=1),
    )
    leaf = builder.sign(ROOT.issued.key, hashes.SHA256()).public_bytes(Encoding.DER)
    anchors = make_key_anchor(spki(ROOT.der), leaf)
    assert anchors is not None
    assert judge_chain([leaf], anchors, START).is_anchored


def test_what_cannot_be_an_anchor_is_none() -> None:
    leaf = ROOT.issue([MX], now=START)
    exchange_only = X25519PrivateKey.generate().public_key()
    for key in (b"junk", b"", exchange_only.public_bytes_raw()):
        assert make_key_anchor(key, leaf.der) is None
    assert make_key_anchor(spki(ROOT.der), b"junk") is None

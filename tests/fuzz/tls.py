"""TLS: the first octets of a connection, alerts, and a server's certificates."""

import functools
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.pki.anchors import AnchorsError, TrustAnchors
from letterlock.protocols.pki.certificate import (
    CertificateFacts,
    Unreadable,
    describe_certificate,
    read_certificate,
    read_spki,
)
from letterlock.protocols.pki.chain import judge_chain
from letterlock.protocols.pki.throwaway_ca import Issued, Shape, ThrowawayCa
from letterlock.protocols.tls.alerts import find_plain_alert
from letterlock.protocols.tls.client_hello import (
    MAX_SNI_OCTETS,
    ClientHello,
    ClientHelloReader,
    Incomplete,
    KeyType,
    NotTls,
    parse_client_hello,
)
from tests.fuzz.target import Target, split_ways, take_choices

_NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _key(seed: int) -> Ed25519PrivateKey:
    """The same in each run, so that octets found in one are of use in the next."""
    return Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))


@functools.cache
def _authority() -> ThrowawayCa:
    return ThrowawayCa("Root", _NOW, _key(1), Shape(eku=None, is_ca=True, serial=1))


@functools.cache
def _leaf() -> Issued:
    return _authority().issue(
        ("mx.example.com", "*.example.org"), now=_NOW, key=_key(2), shape=Shape(serial=2)
    )


@functools.cache
def _anchors() -> TrustAnchors:
    return TrustAnchors.from_pem(_authority().pem)


def _vector(octets: bytes, length_octets: int = 2) -> bytes:
    return len(octets).to_bytes(length_octets) + octets


def _make_client_hello(record_octets: int) -> bytes:
    extensions = {
        0: _vector(b"\0" + _vector(b"mx.example.com")),
        10: _vector(b"\0\x1d\0\x17"),
        13: _vector(b"\x04\x03\x08\x07"),
        16: _vector(_vector(b"smtp", 1)),
        35: b"",
        43: _vector(b"\x0a\x0a\x03\x04\x03\x03", 1),
    }
    listed = b"".join(kind.to_bytes(2) + _vector(body) for kind, body in extensions.items())
    body = b"\x03\x03" + bytes(32) + _vector(b"", 1) + _vector(b"\x13\x01\xc0\x2b")
    message = b"\x01" + _vector(body + _vector(b"\0", 1) + _vector(listed), 3)
    pieces = [message[at : at + record_octets] for at in range(0, len(message), record_octets)]
    return b"".join(b"\x16\x03\x01" + _vector(piece) for piece in pieces)


def check_client_hello(octets: bytes) -> None:
    """Any octets are a ClientHello, none, or its beginning, however they came; it can be logged."""
    (choice,), wire = take_choices(octets, 1)
    whole = parse_client_hello(wire)
    match whole:
        case ClientHello(sni=sni):
            assert sni is None or (sni.isascii() and sni.isprintable())
            assert sni is None or len(sni) <= MAX_SNI_OCTETS
            assert [whole.fits(key) in (True, False) for key in KeyType]
            assert parse_client_hello(wire + b"more") == whole
        case NotTls(reason):
            assert reason.isprintable()
        case Incomplete():
            pass
    for pieces in split_ways(wire, choice):
        reader = ClientHelloReader()
        results = [reader.receive(piece) for piece in pieces] or [whole]
        assert results[-1] == whole
        assert all(result in (whole, Incomplete()) for result in results)


def check_alert(octets: bytes) -> None:
    """Any octets end in an alert that has a name, or in none."""
    name = find_plain_alert(octets)
    assert name is None or name.replace("_", "").isalnum()


def check_certificate(octets: bytes) -> None:
    """Any octets are facts that can be shown, or unreadable for a reason of one line."""
    match read_certificate(octets):
        case CertificateFacts() as facts:
            described = describe_certificate(facts)
            assert facts.der == octets
            shown = x509.load_pem_x509_certificate(str(described["pem"]).encode())
            assert shown.public_bytes(Encoding.DER) == octets
            assert facts.key_bits >= 0
            spki = read_spki(octets)
            assert spki is not None
            assert sha256(spki).hexdigest() == facts.spki_sha256
        case Unreadable(reason):
            assert len(reason.splitlines()) == 1
            spki = read_spki(octets)
            assert spki is None or spki in octets


def check_chain(octets: bytes) -> None:
    """A damaged leaf is never trusted: only what the authority signed is, octet for octet."""
    judgement = judge_chain((octets, _authority().der), _anchors(), _NOW)
    if not judgement.is_trusted:
        assert all(finding.reason_code for finding in judgement.findings)
        return
    signed = x509.load_der_x509_certificate(octets).tbs_certificate_bytes
    assert signed in {
        issued.certificate.tbs_certificate_bytes for issued in (_leaf(), _authority().issued)
    }


def check_anchors(octets: bytes) -> None:
    """A file of anchors is read whole or refused for a reason of one line."""
    try:
        anchors = TrustAnchors.from_pem(octets)
    except AnchorsError as error:
        assert str(error).isprintable()
    else:
        assert len(anchors.certificates) == octets.count(b"-----BEGIN ")
        anchors.store_at(_NOW)


_DER_WORDS = (b"\x30\x82", b"\x02\x01\x00", b"\xa3\x82", b"\x06\x03\x55\x1d\x11", b"\x01\x01\xff")
TARGETS = (
    Target(
        "client-hello",
        check_client_hello,
        (b"\x80" + _make_client_hello(2**14), b"\x20" + _make_client_hello(40)),
        (b"\x16\x03\x01", b"\0\0\0\x0b", b"\0\x10\0\x05", b"\0\x2b\0\x03", b"\0\x2d", b"\x0a\x0a"),
        2048,
        runs=500,
    ),
    Target("alert", check_alert, (b"\x15\x03\x03\0\x02\x02\x28",), (), 32),
    Target(
        "certificate",
        check_certificate,
        (_leaf().der, _authority().der),
        _DER_WORDS,
        2048,
        runs=750,
    ),
    Target(
        "certificate-chain", check_chain, (_leaf().der, _authority().der), _DER_WORDS, 2048, 700
    ),
    Target(
        "trust-anchors",
        check_anchors,
        (_authority().pem, b"# a\n" + _authority().pem + _leaf().certificate_pem),
        (
            b"-----BEGIN CERTIFICATE-----",
            b"-----END CERTIFICATE-----",
            b"-----BEGIN X",
            b"=",
            b"\n",
        ),
        4096,
        runs=500,
    ),
)

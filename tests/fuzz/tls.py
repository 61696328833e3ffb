"""TLS: the first octets of a connection, alerts, and a server's certificates."""

import functools
import os
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256, sha512
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.base.errors import LocalError
from letterlock.network.key_pairs import load_key_pair
from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.pki.anchors import AnchorsError, TrustAnchors
from letterlock.protocols.pki.certificate import (
    CertificateFacts,
    Unreadable,
    describe_certificate,
    read_certificate,
    read_spki,
)
from letterlock.protocols.pki.chain import judge_chain
from letterlock.protocols.pki.crl import CrlUnusable, Revocations, find_crl_urls, read_crl
from letterlock.protocols.pki.key_anchor import make_key_anchor
from letterlock.protocols.pki.throwaway_ca import Issued, Shape, ThrowawayCa
from letterlock.protocols.policy.dane import explain_unusable, find_usable, judge_dane
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
from letterlock.protocols.tls.server_flight import (
    Alerted,
    ServerChoice,
    ServerFlightReader,
    parse_server_flight,
)
from tests.fuzz.target import Target, split_ways, take_choices
from tests.protocols.tls import server_flights as flights
from tests.revocations import make_crl

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


def check_server_flight(octets: bytes) -> None:
    """Any octets are a server's choice, an alert, neither, or its beginning, however they came."""
    (choice,), wire = take_choices(octets, 1)
    whole = parse_server_flight(wire)
    match whole:
        case ServerChoice(dh_bits=bits):
            assert bits is None or 0 <= bits < 8 * len(wire)
            assert parse_server_flight(wire + b"more") == whole
        case Alerted(name):
            assert name.replace("_", "").isalnum()
        case NotTls(reason):
            assert reason.isprintable()
        case Incomplete():
            pass
    for pieces in split_ways(wire, choice):
        reader = ServerFlightReader()
        results = [reader.receive(piece) for piece in pieces] or [whole]
        assert results[-1] == whole
        assert all(result in (whole, Incomplete()) for result in results)
        assert whole == Incomplete() or reader.finish() == whole


def _make_flights() -> tuple[bytes, ...]:
    old = flights.hello(0x0303, 0x0033, {0xFF01: b"\0", 23: b""}) + flights.message(11, b"\0\0\0")
    retry = {43: b"\x03\x04", 51: b"\x11\xec"}
    return (
        b"\x80" + flights.records(old + flights.prime(1024) + flights.DONE),
        b"\x20" + flights.records(old + flights.prime(512) + flights.DONE, size=40),
        b"\x40" + flights.records(flights.hello(0x0303, 0xC02F) + flights.curve(23)),
        b"\x60" + flights.records(flights.hello(0x0303, 0x1301, retry, random=flights.RETRY)),
        b"\x00" + flights.records(b"\x02\x28", kind=21),
    )


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
    _check_signed(octets)


def _check_signed(octets: bytes) -> None:
    signed = x509.load_der_x509_certificate(octets).tbs_certificate_bytes
    assert signed in {
        issued.certificate.tbs_certificate_bytes
        for issued in (_leaf(), _referring_leaf(), _authority().issued)
    }


def check_tlsa(octets: bytes) -> None:
    """DANE-EE: a leaf is met by the digest of just its octets or key, and of nothing near them."""
    (selector, kind), rest = take_choices(octets, 2)
    record = TlsaRecord(3, selector & 1, 1 + (kind & 1), rest)
    judgement = judge_dane((_leaf().der,), (record,), ("mx.example.com",), _NOW)
    assert judgement.is_authenticated == (rest == _digest(selector & 1, 1 + (kind & 1)))
    odd = TlsaRecord(selector, kind, kind >> 4, rest)
    reason = explain_unusable(odd)
    assert (reason is None) == (odd in find_usable((odd, odd)))
    assert reason is None or reason.isprintable()
    judge_dane((_leaf().der, _authority().der), (odd, record), ("mx.example.com",), _NOW)


def _digest(selector: int, matching_type: int) -> bytes:
    certificate = _leaf().certificate
    selected = _leaf().der
    if selector:
        key = certificate.public_key()
        selected = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return (sha256 if matching_type == 1 else sha512)(selected).digest()


def check_key_anchor(octets: bytes) -> None:
    """A bare key vouches for what it signed, octet for octet, and for no other certificate."""
    anchors = make_key_anchor(_spki(), octets)
    if anchors is not None and judge_chain((octets,), anchors, _NOW).is_trusted:
        _check_signed(octets)


@functools.cache
def _spki() -> bytes:
    spki = read_spki(_authority().der)
    assert spki is not None
    return spki


@functools.cache
def _referring_leaf() -> Issued:
    """One whose issuer is named by name and number."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Above")])
    identifier = x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(name)], 77)
    shape = Shape(serial=3, extensions=(identifier,))
    return _authority().issue(("mx.example.com",), now=_NOW, key=_key(2), shape=shape)


def check_crl(octets: bytes) -> None:
    """What a CRL says its issuer signed, octet for octet; a certificate's place is one by HTTP."""
    (form,), rest = take_choices(octets, 1)
    if form & 1:
        with suppress(ValueError):
            urls = find_crl_urls(x509.load_der_x509_certificate(rest))
            assert all(url.text.startswith("http://") and url.text.isprintable() for url in urls)
        return
    (place,) = find_crl_urls(_revocable().certificate)
    match read_crl(rest, place, _authority().issued.certificate, (2, 3)):
        case CrlUnusable(reason):
            assert len(reason.splitlines()) == 1
        case Revocations(found):
            assert sorted(found) == [2]
            signed = x509.load_der_x509_crl(_crl()).tbs_certlist_bytes
            assert x509.load_der_x509_crl(rest).tbs_certlist_bytes == signed


@functools.cache
def _revocable() -> Issued:
    name = x509.UniformResourceIdentifier("http://crl.example/7.crl")
    points = x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None)])
    shape = Shape(serial=2, extensions=(points,))
    return _authority().issue(("mx.example.com",), now=_NOW, key=_key(2), shape=shape)


@functools.cache
def _crl() -> bytes:
    return make_crl(_authority(), {2: x509.ReasonFlags.superseded}, now=_NOW)


def check_key_pair(octets: bytes) -> None:
    """A file is a certificate with its key, or refused on one line that does not show the key."""
    descriptor = os.memfd_create("pair")
    try:
        os.write(descriptor, octets)
        path = Path(f"/proc/self/fd/{descriptor}")
        pair = load_key_pair(path, path)
    except LocalError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 500
    else:
        assert pair.chain[0].public_key() == pair.key.public_key()
    finally:
        os.close(descriptor)


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
    Target(
        "server-flight",
        check_server_flight,
        _make_flights(),
        (b"\x16\x03\x03", b"\x02\0\0", b"\x0c\0\0", b"\x0e\0\0\0", b"\xc0\x2f", b"\0\x33"),
        1024,
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
        "crl",
        check_crl,
        (b"\0" + _crl(), b"\1" + _revocable().der),
        (*_DER_WORDS, b"http://", b"\x86", b"\xa0", b"\x55\x1d\x1c", b"\x01\x01\xff"),
        2048,
        runs=300,
    ),
    Target(
        "certificate-chain", check_chain, (_leaf().der, _authority().der), _DER_WORDS, 2048, 700
    ),
    Target(
        "tlsa",
        check_tlsa,
        (
            b"\0\0" + _digest(0, 1),
            b"\1\1" + _digest(1, 2),
            b"\2\0" + _authority().der,
            b"\3\1" + _digest(1, 1),
        ),
        _DER_WORDS,
        1024,
        runs=500,
    ),
    Target(
        "key-anchor",
        check_key_anchor,
        (_leaf().der, _referring_leaf().der),
        (*_DER_WORDS, b"\xa3", b"\xa4", b"\xa5", b"\x88", b"\x82\x01"),
        2048,
        runs=250,
    ),
    Target(
        "key-pair",
        check_key_pair,
        (_leaf().chain_pem + _leaf().key_pem,),
        (
            b"-----BEGIN CERTIFICATE-----",
            b"-----END PRIVATE KEY-----",
            b"ENCRYPTED ",
            b"RSA ",
            b"=",
        ),
        4096,
        runs=300,
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

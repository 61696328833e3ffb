"""ACME: the names that certificates are asked for, the keys that sign, and the chains that come."""

import functools
from base64 import encodebytes, urlsafe_b64encode
from datetime import timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from letterlock.protocols.acme.chains import (
    MAX_CERTIFICATES,
    choose_chain,
    find_chain_fault,
    parse_chain,
)
from letterlock.protocols.acme.challenges import ACME_IDENTIFIER, dns_name, find_certificate_fault
from letterlock.protocols.acme.fields import ObjectError
from letterlock.protocols.acme.identifiers import (
    Identifier,
    find_usable,
    make_server_name,
    parse_identifier,
)
from letterlock.protocols.acme.jws import KeyUnusable, load_account_key, parse_mac_key
from letterlock.protocols.acme.requests import make_signing_request
from tests.fakes import START
from tests.fuzz.target import Target, take_choices
from tests.fuzz.tls import _DER_WORDS, _authority, _leaf


def check_identifier(octets: bytes) -> None:
    """What an operator asks a certificate for has one form, and can be asked for and proved."""
    try:
        identifier = parse_identifier(octets.decode("utf-8", "replace"))
    except ValueError as error:
        assert len(str(error)) < 1000
        return
    assert parse_identifier(identifier.value) == identifier
    assert identifier.is_wildcard == (find_usable(identifier) == ("dns-01",))
    assert "*" not in identifier.base
    if identifier.type == "dns":
        assert dns_name(identifier) == f"_acme-challenge.{identifier.base}"
    else:
        assert make_server_name(identifier).endswith((".in-addr.arpa", ".ip6.arpa"))
    make_signing_request(_key(), [identifier])


@functools.cache
def _key() -> EllipticCurvePrivateKey:
    return derive_private_key(7, SECP256R1())


def check_keys(octets: bytes) -> None:
    """A MAC key is its octets; a key of an account is one that can sign; else refused in a line."""
    try:
        mac_key = parse_mac_key(octets.decode("utf-8", "replace"))
    except KeyUnusable as error:
        assert str(error).isprintable()
    else:
        assert len(mac_key) >= 16
        written = urlsafe_b64encode(mac_key)
        assert parse_mac_key(written.decode()) == mac_key
    try:
        key = load_account_key(octets)
    except KeyUnusable as error:
        assert str(error).isprintable()
    else:
        assert load_account_key(key.pem).thumbprint == key.thumbprint
        assert key.sign({}, b"payload")


def check_challenge_certificate(octets: bytes) -> None:
    """Only a certificate with this name and this digest proves one, whatever else is in it."""
    fault = find_certificate_fault(octets, _NAME, _KEY_AUTHORIZATION)
    if fault is None:
        assert sha256(_KEY_AUTHORIZATION.encode()).digest() in octets
        assert _NAME.value.encode() in octets.lower()
    else:
        assert fault.isprintable()
    other = find_certificate_fault(octets, Identifier("ip", "192.0.2.1"), _KEY_AUTHORIZATION)
    assert other is not None


_NAME = Identifier("dns", "mx.example.org")
_KEY_AUTHORIZATION = "DGyRejmCefe7v4NfDGDKfA.thumbprint"


@functools.cache
def _challenge_certificate() -> bytes:
    # Ed25519 signs without chance: the inputs are the same in each run.
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    digest = sha256(_KEY_AUTHORIZATION.encode()).digest()
    names = x509.SubjectAlternativeName([x509.DNSName(_NAME.value)])
    proof = x509.UnrecognizedExtension(ACME_IDENTIFIER, b"\x04\x20" + digest)
    return (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(proof, critical=True)
        .sign(key, None)
        .public_bytes(Encoding.DER)
    )


def check_chain(octets: bytes) -> None:
    """A chain is certificates and nothing else; one that was changed is not what was asked for."""
    (form,), rest = take_choices(octets, 1)
    pem = rest if form & 1 else _wrap(rest) + (_authority().pem if form & 2 else b"")
    try:
        chain = parse_chain(pem)
    except ObjectError as error:
        assert str(error).isprintable()
        return
    assert 1 <= len(chain.certificates) <= MAX_CERTIFICATES
    assert parse_chain(chain.pem) == chain
    assert choose_chain([chain], chain.top_issuer) is chain
    asked = frozenset({Identifier("dns", "mx.example.com"), Identifier("dns", "*.example.org")})
    key = _leaf().certificate.public_key()
    fault = find_chain_fault(chain, key, asked)  # type: ignore[arg-type] # of the lab, Ed25519
    assert fault is None or fault.isprintable()
    if fault is None:
        assert chain.leaf.public_key() == key
        if len(chain.certificates) > 1:
            leaf = _leaf().certificate
            assert chain.leaf.tbs_certificate_bytes == leaf.tbs_certificate_bytes


def _wrap(der: bytes) -> bytes:
    """Write octets as a certificate in PEM form, whatever they are."""
    return b"-----BEGIN CERTIFICATE-----\n%b-----END CERTIFICATE-----\n" % encodebytes(der)


_KEY_PEM = _key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
TARGETS = (
    Target(
        "acme-identifier",
        check_identifier,
        (b"*.D.example", b"2001:db8::1", b"192.0.2.1", "b\u00fccher.example".encode()),
        (b"*", b".", b"::ffff:", b"%eth0", b"xn--", b"_", b"-", b"a" * 63, b"1", b"\0", b"*."),
        300,
        runs=300,
    ),
    Target(
        "acme-keys",
        check_keys,
        (_KEY_PEM, b"zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W="),
        (b"-----BEGIN PRIVATE KEY-----", b"-----END ", b"EC ", b"RSA ", b"=", b"\n", b"_", b"-"),
        600,
        runs=200,
    ),
    Target(
        "acme-challenge-certificate",
        check_challenge_certificate,
        (_challenge_certificate(), _leaf().der),
        (*_DER_WORDS, b"\x82\x0emx.example.org", b"\x04\x20", b"\x01\x01\xff", b"\x87\x04\xc0"),
        1024,
        runs=200,
    ),
    Target(
        "acme-chain",
        check_chain,
        (
            *(b"\0" + _leaf().der, b"\2" + _leaf().der),
            b"\1" + _leaf().chain_pem + _authority().pem,
        ),
        (*_DER_WORDS, b"\x88\x03\x2a\x03\x04", b"\xa4", b"-----BEGIN CERTIFICATE-----\n", b"\n"),
        2048,
        runs=200,
    ),
)

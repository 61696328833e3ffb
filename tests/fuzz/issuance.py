"""What an authority reads of others: requests for certificates, lists of keys, drafts to lint."""

import functools

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.pki.issuance.csr import RequestError, find_request_faults, parse_request
from letterlock.protocols.pki.issuance.shapes import find_shape
from letterlock.protocols.pki.issuance.subject_keys import (
    KEY_KINDS,
    KeyListError,
    RefusedKeys,
    find_key_faults,
    parse_digest_list,
)
from letterlock.protocols.pki.names import CertificateNames
from tests.fuzz.target import Target, take_choices
from tests.fuzz.tls import _DER_WORDS, _leaf

_NAMES = ("mx.example.com", "*.example.org")


def check_request(octets: bytes) -> None:
    """A request gives a key and names, or one error; all that is told of it is lines."""
    try:
        request = parse_request(octets)
    except RequestError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000
        return
    assert request.names.texts
    assert all(name == name.lower() and name.isascii() for name in request.names.dns)
    assert not find_request_faults(request, request.names) or request.unwanted
    assert all(line.isprintable() for line in request.unwanted)
    assert all(line.isprintable() for line in find_request_faults(request, CertificateNames()))
    assert all(map(str.isprintable, find_key_faults(request.key, KEY_KINDS, RefusedKeys())))


@functools.cache
def _request(*, is_with_authority: bool) -> bytes:
    key = ec.derive_private_key(7, ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in _NAMES])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAMES[0])])
    builder = x509.CertificateSigningRequestBuilder(subject).add_extension(names, critical=False)
    if is_with_authority:
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
    # The same in each run.
    signed = builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    return signed.public_bytes(Encoding.DER)


def check_key_list(octets: bytes) -> None:
    """A list has the digests that it names and no others, or one error that names the line."""
    (choice,), rest = take_choices(octets, 1)
    width = choice % 3 + 1
    text = rest.decode("utf-8", "replace")
    try:
        found = parse_digest_list(text, width)
    except KeyListError as error:
        assert str(error).startswith("line ")
        return
    words = {line.partition("#")[0].strip().lower() for line in text.splitlines()} - {""}
    assert len(found) == len(words)
    assert all(bytes.fromhex(word) in found for word in words)
    assert (bytes(width) in found) == ("00" * width in words)


def check_shape(octets: bytes) -> None:
    """Any octets have a shape or none; what is changed outside a few places changes it."""
    shape = find_shape(octets)
    assert shape is None or len(shape) == 32
    assert find_shape(octets) == shape


TARGETS = (
    Target(
        "certificate-request",
        check_request,
        (_request(is_with_authority=False), _request(is_with_authority=True)),
        (*_DER_WORDS, b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e", b"mx.example.com"),
        2048,
        runs=500,
    ),
    Target(
        "key-list",
        check_key_list,
        (b"\x00" + b"00\nff # one\n", b"\x01abcd\r\n0000\n", b"\x02000000"),
        (b"\n", b"#", b"00", b"ff", b"\xe2\x80\xa8", b" "),
        300,
        runs=500,
    ),
    Target(
        "certificate-shape",
        check_shape,
        (_leaf().der,),
        (*_DER_WORDS, b"\x06\x03\x55\x1d\x11", b"\x06\x03\x55\x04\x03"),
        2048,
        runs=500,
    ),
)

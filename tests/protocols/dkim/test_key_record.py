"""RFC 6376 §3.6.1: keys in DNS."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.protocols.dkim.key_record import (
    MAX_RECORD_OCTETS,
    KeyFault,
    KeyRecord,
    format_key_record,
    parse_key_record,
    read_public_key,
)
from tests.protocols.dkim.examples import ED25519_RECORD, OLD_RECORD, RSA_RECORD
from tests.protocols.dkim.keys import ed25519_key, rsa_key


@pytest.mark.parametrize(
    ("octets", "record"),
    [
        (b"p=YWJj", KeyRecord("rsa", b"abc", flags=("",))),
        (b"v=DKIM1; p=", KeyRecord("rsa", b"", flags=("",))),
        (b"v=DKIM1;k=ed25519;p=YW Jj;", KeyRecord("ed25519", b"abc", flags=("",))),
        (
            b"v=DKIM1; h=sha1 : sha256; s=email:x; t=y:s; n=a note; p=YWJj; later=x",
            KeyRecord("rsa", b"abc", ("sha1", "sha256"), ("email", "x"), ("y", "s")),
        ),
    ],
)
def test_a_record(octets: bytes, record: KeyRecord) -> None:
    """RFC 6376 §3.6.1."""
    assert parse_key_record(octets) == record


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "no tag"),
        (b"v=spf1 -all", "v= is not DKIM1"),
        (b"v=DKIM1.0; p=YWJj", "v= is not DKIM1"),
        (b"p=YWJj; v=DKIM1", "not the first tag"),
        (b"v=DKIM1; k=rsa", "p= is missing"),
        (b"v=DKIM1; p=YWJ", "p= is not base64"),
        (b"v=DKIM1; p=YWJj; p=YWJj", "twice"),
        (b"v=DKIM1; p=" + b"YWJj" * MAX_RECORD_OCTETS, "more than"),
    ],
)
def test_what_is_no_record(octets: bytes, words: str) -> None:
    """RFC 6376 §6.1.2, step 5."""
    fault = parse_key_record(octets)
    assert isinstance(fault, KeyFault)
    assert words in fault.reason


def test_flags_and_services() -> None:
    record = parse_key_record(b"p=; t=y:s; s=tlsrpt")
    assert isinstance(record, KeyRecord)
    assert record.is_testing
    assert record.is_strict
    assert record.is_for("tlsrpt")
    assert not record.is_for("email")
    plain = KeyRecord("rsa", b"")
    assert not plain.is_testing
    assert not plain.is_strict
    assert plain.is_for("email")


@pytest.mark.parametrize("octets", [RSA_RECORD, OLD_RECORD, ED25519_RECORD])
def test_the_keys_of_the_rfcs(octets: bytes) -> None:
    """RFC 6376 §C, RFC 8463 §A.2: written again they are the same."""
    record = parse_key_record(octets)
    assert isinstance(record, KeyRecord)
    key = read_public_key(record)
    assert not isinstance(key, KeyFault)
    assert format_key_record(key).rpartition("p=")[2].encode() in octets


def test_an_rsa_key_may_come_without_its_algorithm() -> None:
    """RFC 6376 §3.6.1: an RSAPublicKey, where everybody has a SubjectPublicKeyInfo."""
    key = rsa_key().public_key
    octets = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    assert read_public_key(KeyRecord("rsa", octets)) == key


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (KeyRecord("rsa", b""), "key revoked"),
        (KeyRecord("rsa", b"abc"), "p= is not a key of that type"),
        (KeyRecord("ed25519", b"abc"), "p= is not a key of that type"),
        (KeyRecord("dsa", b"abc"), "inappropriate key algorithm"),
    ],
)
def test_keys_that_are_of_no_use(record: KeyRecord, words: str) -> None:
    """RFC 6376 §6.1.2, steps 7 and 8."""
    fault = read_public_key(record)
    assert isinstance(fault, KeyFault)
    assert words in fault.reason


def test_another_key_is_no_rsa_key() -> None:
    key = generate_private_key(SECP256R1()).public_key()
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert read_public_key(KeyRecord("rsa", octets)) == KeyFault("inappropriate key algorithm")


def test_a_key_may_not_be_too_long() -> None:
    """RFC 8301 §3.2 wants 4096 bits; time must be bounded."""
    number = 2**8200 + 1
    octets = _encode_rsa(number)
    fault = read_public_key(KeyRecord("rsa", octets))
    assert isinstance(fault, KeyFault)
    assert "8192 bits" in fault.reason


def test_the_records_of_our_keys() -> None:
    """RFC 8463 §4.2: an Ed25519 key is 32 octets, nothing around them."""
    rsa, ed25519 = rsa_key(), ed25519_key()
    assert isinstance(rsa.public_key, RSAPublicKey)
    assert rsa.record.startswith("v=DKIM1; k=rsa; t=s; p=MII")
    raw = ed25519.public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert ed25519.record == f"v=DKIM1; k=ed25519; t=s; p={b64encode(raw).decode()}"
    for key in (rsa, ed25519):
        record = parse_key_record(key.record.encode())
        assert isinstance(record, KeyRecord)
        assert read_public_key(record) == key.public_key


def _encode_rsa(modulus: int) -> bytes:
    """Encode an RSAPublicKey (RFC 8017 §A.1.1) of a modulus that nobody made."""
    number = modulus.to_bytes(modulus.bit_length() // 8 + 1, "big")
    content = b"\x02\x82" + len(number).to_bytes(2, "big") + number + b"\x02\x03\x01\x00\x01"
    return b"\x30\x82" + len(content).to_bytes(2, "big") + content

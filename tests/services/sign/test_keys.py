"""Which keys there have to be, how they are made, and which files are of no use."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.protocols.dkim.signature import Algorithm
from letterlock.services.sign.keys import (
    KeyId,
    KeyPlan,
    load_key,
    load_keys,
    make_missing_key,
)
from letterlock.storage.dkim_keys import DkimKeyFiles
from tests.protocols.dkim.keys import ed25519_key, rsa_key

DOMAIN = Domain("example.org")
RSA = KeyId(DOMAIN, Domain("s1"), Algorithm.RSA_SHA256)
ED25519 = KeyId(DOMAIN, Domain("s1-ed25519"), Algorithm.ED25519_SHA256)


@pytest.fixture
def files(tmp_path: Path) -> DkimKeyFiles:
    return DkimKeyFiles(tmp_path)


def test_each_algorithm_has_its_selector() -> None:
    """RFC 8463 §6."""
    plan = KeyPlan((DOMAIN, Domain("example.net")), "s1", "s2")
    assert plan.list_current(DOMAIN) == (RSA, ED25519)
    assert [key.selector for key in plan.list_next(DOMAIN)] == ["s2", "s2-ed25519"]
    assert [(key.domain, key.selector) for key in plan.list_all()] == [
        ("example.org", "s1"),
        ("example.org", "s1-ed25519"),
        ("example.net", "s1"),
        ("example.net", "s1-ed25519"),
        ("example.org", "s2"),
        ("example.org", "s2-ed25519"),
        ("example.net", "s2"),
        ("example.net", "s2-ed25519"),
    ]
    assert KeyPlan((DOMAIN,), "s1", algorithms=(Algorithm.RSA_SHA256,)).list_current(DOMAIN) == (
        RSA,
    )
    assert KeyPlan((DOMAIN,), "s1").list_next(DOMAIN) == ()


@pytest.mark.parametrize("which", [RSA, ED25519])
def test_a_missing_key_is_made_once(files: DkimKeyFiles, which: KeyId) -> None:
    """RFC 8301 §3.2: an RSA key has 2048 bits."""
    assert load_key(files, which) is None
    made = make_missing_key(files, which)
    assert made is not None
    assert (made.selector, made.algorithm) == (which.selector, which.algorithm)
    if isinstance(made.key, RSAPrivateKey):
        assert made.key.key_size == 2048
    assert make_missing_key(files, which) is None
    loaded = load_key(files, which)
    assert loaded is not None
    assert loaded.record == made.record
    assert b"BEGIN PRIVATE KEY" in files.find_path(which.domain, which.selector).read_bytes()


def test_another_process_may_be_faster(
    files: DkimKeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_missing_key(files, ED25519)
    monkeypatch.setattr(DkimKeyFiles, "find_state", lambda *_: None)
    assert make_missing_key(files, ED25519) is None


def test_keys_from_elsewhere_are_taken(files: DkimKeyFiles) -> None:
    """PKCS #1 in PEM form is what OpenDKIM's tools make."""
    pem = rsa_key().key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    files.add(DOMAIN, RSA.selector, pem)
    (key,) = load_keys(files, (RSA, ED25519))
    assert key.record == rsa_key().record


def encode(key: object, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(  # type: ignore[attr-defined, no-any-return] # one of four classes
        Encoding.PEM, PrivateFormat.PKCS8, encryption
    )


@pytest.mark.parametrize(
    ("which", "pem", "words"),
    [
        (RSA, b"nothing", "no private key in PEM form"),
        (RSA, encode(rsa_key().key, b"secret"), "is encrypted"),
        (RSA, encode(ed25519_key().key), "must be a key for rsa-sha256"),
        (ED25519, encode(rsa_key().key), "must be a key for ed25519-sha256"),
        (ED25519, encode(generate_ec(SECP256R1())), "must be a key for ed25519-sha256"),
    ],
)
def test_files_of_no_use(files: DkimKeyFiles, which: KeyId, pem: bytes, words: str) -> None:
    files.add(which.domain, which.selector, pem)
    with pytest.raises(LocalError, match=words) as caught:
        load_key(files, which)
    assert str(files.find_path(which.domain, which.selector)) in str(caught.value)


def test_a_key_of_1024_bits_is_the_least(files: DkimKeyFiles) -> None:
    """RFC 8301 §3.2."""
    files.add(DOMAIN, RSA.selector, encode(generate_private_key(65537, 1024)))
    assert load_key(files, RSA) is not None

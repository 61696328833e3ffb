"""The authority's keys in files: encrypted, for nobody else, and never written over."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from letterlock.base.errors import LocalError
from letterlock.protocols.pki.issuance.signing import AuthorityKeyKind, is_signed_by, make_key
from letterlock.services.ca.keys.files import (
    load_key_file,
    load_passphrase,
    make_passphrase_file,
    write_key_file,
)
from letterlock.services.ca.keys.opening import KeyFile, open_signer
from tests.services.ca.keys.keys import PASSPHRASE, openssl


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "rsa-2048"])
def test_a_key_comes_back_and_signs(tmp_path: Path, kind: AuthorityKeyKind) -> None:
    """RFC 5958 §3"""
    key = make_key(kind)
    write_key_file(tmp_path / "keys" / "issuer.pem", key, PASSPHRASE)
    signer = load_key_file(tmp_path / "keys" / "issuer.pem", PASSPHRASE)
    assert signer.public_key == key.public_key()
    assert is_signed_by(b"text", signer.sign(b"text"), key.public_key())


def test_a_key_and_its_passphrase_are_for_their_owner_alone(tmp_path: Path) -> None:
    """RFC 5958 §3. Rule 250"""
    passphrase = make_passphrase_file(tmp_path / "passphrase")
    write_key_file(tmp_path / "issuer.pem", make_key("ec-p256"), passphrase)
    assert load_passphrase(tmp_path / "passphrase") == passphrase
    for name in ("passphrase", "issuer.pem"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["issuer.pem", "passphrase"]
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in (tmp_path / "issuer.pem").read_bytes()


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    """What it signed could never be revoked any more."""
    key = make_key("ec-p256")
    write_key_file(tmp_path / "issuer.pem", key, PASSPHRASE)
    with pytest.raises(LocalError, match="is there already"):
        write_key_file(tmp_path / "issuer.pem", make_key("ec-p256"), PASSPHRASE)
    assert load_key_file(tmp_path / "issuer.pem", PASSPHRASE).public_key == key.public_key()
    assert [each.name for each in tmp_path.iterdir()] == ["issuer.pem"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_key_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "issuer.pem"
    write_key_file(path, make_key("ec-p256"), PASSPHRASE)
    path.chmod(mode)
    with pytest.raises(LocalError, match="others than its owner"):
        load_key_file(path, PASSPHRASE)


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="20 characters"):
        write_key_file(tmp_path / "issuer.pem", make_key("ec-p256"), "correct horse")


def _pem(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey,
    passphrase: str | None = PASSPHRASE,
) -> bytes:
    how = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_pem(make_key("ec-p256"), None), "in clear"),
        (_pem(make_key("ec-p256"), "something else that is long"), "with that passphrase"),
        (_pem(ed25519.Ed25519PrivateKey.generate()), "neither ECDSA nor RSA"),
        (_pem(ec.generate_private_key(ec.SECP521R1())), "P-256 or P-384"),
        (b"-----BEGIN PRIVATE KEY-----\n", "with that passphrase"),
        (b"", "with that passphrase"),
        (b"x" * 70_000, "not a key"),
    ],
)
def test_what_is_no_key_of_an_authority_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "issuer.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(LocalError, match=reason) as caught:
        load_key_file(path, PASSPHRASE)
    assert str(path) in str(caught.value)
    assert PASSPHRASE not in str(caught.value)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file"):
        load_key_file(tmp_path / "issuer.pem", PASSPHRASE)
    with pytest.raises(LocalError, match="No such file"):
        load_passphrase(tmp_path / "passphrase")
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match="file"):
        write_key_file(tmp_path / "file" / "issuer.pem", make_key("ec-p256"), PASSPHRASE)


@pytest.mark.parametrize(
    ("content", "wanted"), [(b"secret\nmore\n", "secret"), (b"a b \r\n", "a b "), (b"x", "x")]
)
def test_a_passphrase_is_a_files_first_line(tmp_path: Path, content: bytes, wanted: str) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(content)
    path.chmod(0o400)
    assert load_passphrase(path) == wanted


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(b"\nsecret\n")
    path.chmod(0o600)
    with pytest.raises(LocalError, match="is empty"):
        load_passphrase(path)


def test_a_key_is_that_of_its_certificate(tmp_path: Path) -> None:
    key = make_key("ec-p256")
    (tmp_path / "passphrase").write_text(f"{PASSPHRASE}\n")
    (tmp_path / "passphrase").chmod(0o600)
    write_key_file(tmp_path / "issuer.pem", key, PASSPHRASE)
    place = KeyFile(tmp_path / "issuer.pem", tmp_path / "passphrase")
    assert open_signer(place, key.public_key()).public_key == key.public_key()
    with pytest.raises(LocalError, match="another key than the certificate's"):
        open_signer(place, make_key("ec-p256").public_key())


@pytest.mark.peer("openssl")
def test_openssl_reads_our_keys_and_we_read_its(tmp_path: Path) -> None:
    key = make_key("ec-p384")
    write_key_file(tmp_path / "ours.pem", key, PASSPHRASE)
    (tmp_path / "clear.pem").write_bytes(_pem(key, None))
    password = ("-passin", f"pass:{PASSPHRASE}")
    assert "is valid" in openssl(
        "pkey", "-in", tmp_path / "ours.pem", *password, "-check", "-noout"
    )
    openssl(
        *("pkcs8", "-topk8", "-scrypt", "-in", tmp_path / "clear.pem"),
        *("-passout", f"pass:{PASSPHRASE}", "-out", tmp_path / "theirs.pem"),
    )
    (tmp_path / "theirs.pem").chmod(0o600)
    assert load_key_file(tmp_path / "theirs.pem", PASSPHRASE).public_key == key.public_key()

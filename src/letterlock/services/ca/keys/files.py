"""An authority's keys in files: PKCS #8, encrypted, 0600, with a passphrase from another file.

RFC 5958 §3 (encrypted private keys), RFC 7468 §11 (as text). The passphrase may be a credential of
systemd, which a TPM keeps; so a copy of the disk is no copy of the key. Blocks.
"""

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from letterlock.base.errors import LocalError
from letterlock.base.secret_files import load_secret
from letterlock.protocols.pki.issuance.signing import (
    AuthorityPrivateKey,
    KeySigner,
    digest_of,
)
from letterlock.storage.written_once import SECRET_MODE, write_once

PASSPHRASE_OCTETS = 32
MIN_PASSPHRASE_CHARACTERS = 20
"""A file of this form makes guessing hardly slower (PBKDF2, 2,048 rounds): length must do it."""
MAX_KEY_OCTETS = 64 * 1024

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_passphrase_file(path: Path) -> str:
    """Write a passphrase of 256 random bits into a new file, and give it. Raises LocalError."""
    passphrase = secrets.token_urlsafe(PASSPHRASE_OCTETS)
    write_once(path, f"{passphrase}\n".encode(), SECRET_MODE)
    return passphrase


def load_passphrase(path: Path) -> str:
    """Give a file's first line. Raises LocalError, also when everybody can read it."""
    passphrase = load_secret(path).partition("\n")[0].rstrip("\r")
    if not passphrase:
        raise LocalError(f"{path}: its first line, the passphrase, is empty")
    return passphrase


def write_key_file(path: Path, key: AuthorityPrivateKey, passphrase: str) -> None:
    """Write a key into a new file. Raises LocalError, ValueError for a short passphrase."""
    if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
        raise ValueError(f"a passphrase has {MIN_PASSPHRASE_CHARACTERS} characters or more")
    how = BestAvailableEncryption(passphrase.encode())
    write_once(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how), SECRET_MODE)


def load_key_file(path: Path, passphrase: str) -> KeySigner:
    """Load a key. Raises LocalError: for one that others can read, and one that is in clear."""
    content = _load(path)
    try:
        key = load_pem_private_key(content, passphrase.encode())
    except TypeError as error:
        raise LocalError(
            f"{path}: the key is in clear: encrypt it (openssl pkcs8 -topk8 -scrypt)"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LocalError(f"{path}: no key could be read with that passphrase") from error
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise LocalError(f"{path}: the key is neither ECDSA nor RSA")
    try:
        digest_of(key.public_key())
    except ValueError as error:
        raise LocalError(f"{path}: {error}") from error
    return KeySigner(key)


def _load(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_KEY_OCTETS + 1)
    except OSError as error:
        raise LocalError(f"{path}: cannot be read: {error.strerror}") from error
    if mode & _OTHERS:
        raise LocalError(f"{path}: others than its owner can use the authority's key: chmod 0600")
    if len(content) > MAX_KEY_OCTETS:
        raise LocalError(f"{path}: larger than {MAX_KEY_OCTETS} octets, not a key")
    return content

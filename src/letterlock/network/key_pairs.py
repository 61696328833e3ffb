"""Certificate and key files: read, checked and given to a TLS context.

A pair is read whole before it is used, and stays in memory as it was: what becomes of its files
later has no effect on contexts made from it.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL

from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.base.errors import LocalError
from letterlock.protocols.tls.client_hello import KeyType

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

MAX_PEM_BYTES = 1024 * 1024
"""More than any chain; keeps a wrong path (a log, a disk image) out of memory."""
_READ_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells one state of a file from another without reading it."""

    mtime_ns: int
    size: int
    inode: int


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain, leaf first, and the leaf's key.

    `names` are those a client may ask for: the leaf's dNSNames, wildcards as `*.example.com`.
    """

    certificate_path: Path
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey
    key_type: KeyType
    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def load_key_pair(certificate_path: Path, key_path: Path) -> KeyPair:
    """Read a PEM chain and its key, which may be in the same file.

    Raises LocalError, which names the file, when one can't be read or used or they don't match.
    """
    pair = load_untried_pair(certificate_path, key_path)
    # A context refuses what OpenSSL can't use (a key too small): now, not when a client comes.
    use_key_pair(SSL.Context(SSL.TLS_METHOD), pair)
    return pair


def load_untried_pair(certificate_path: Path, key_path: Path) -> KeyPair:
    """Do as `load_key_pair` does, but don't ask OpenSSL: that takes most of the time."""
    chain = _parse_chain(certificate_path, _read(certificate_path)[0])
    content, mode = _read(key_path)
    key, key_type = _parse_key(key_path, content)
    if key.public_key() != _find_public_key(certificate_path, chain[0]):
        raise LocalError(f"{key_path}: not the key of the certificate in {certificate_path}")
    warnings = _find_warnings(key_path, mode)
    names = tuple(find_server_names(chain[0]))
    return KeyPair(certificate_path, chain, key, key_type, names, warnings)


def load_chain(certificate_path: Path) -> tuple[x509.Certificate, ...]:
    """Read a PEM chain without its key, for those who may not read that. Raises LocalError."""
    return _parse_chain(certificate_path, _read(certificate_path)[0])


def use_key_pair(context: SSL.Context, pair: KeyPair) -> None:
    """Put a pair into a context, beside pairs of other key types; raises LocalError.

    OpenSSL keeps a chain for each key type only when it reads the chain from a file, hence the
    file in memory.
    """
    pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in pair.chain)
    descriptor = os.memfd_create("chain")
    try:
        os.write(descriptor, pem)
        context.use_certificate_chain_file(f"/proc/self/fd/{descriptor}")
        context.use_privatekey(pair.key)
    except SSL.Error as error:
        reasons = ", ".join(reason for _, _, reason in error.args[0] if reason)
        raise LocalError(f"{pair.certificate_path}: OpenSSL refuses it: {reasons}") from error
    finally:
        os.close(descriptor)


def find_stamp(path: Path) -> FileStamp | None:
    """Give the file's stamp, after links; None when it can't be had."""
    try:
        status = path.stat()
    except OSError:
        return None
    return FileStamp(status.st_mtime_ns, status.st_size, status.st_ino)


def find_server_names(certificate: x509.Certificate) -> list[str]:
    """Give the dNSNames a client can ask for; odd ones (NUL, inner wildcards) are left out."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        candidates = extension.value.get_values_for_type(x509.DNSName)
    except (
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        ValueError,
    ):
        return []
    names = (_parse_server_name(candidate) for candidate in candidates)
    return list(dict.fromkeys(name for name in names if name is not None))


def _parse_server_name(text: str) -> str | None:
    wildcard = "*." if text.startswith("*.") else ""
    try:
        domain: Domain = parse_domain(text.removeprefix("*."))
    except DomainError:
        return None
    return f"{wildcard}{domain}"


def _read(path: Path) -> tuple[bytes, int]:
    """Give the content and the mode."""
    try:
        # Not path.open(): there may be 20,000 of them at the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.read(descriptor, _READ_BYTES)
            while len(content) <= MAX_PEM_BYTES and (more := os.read(descriptor, _READ_BYTES)):
                content += more
            mode = os.fstat(descriptor).st_mode
        finally:
            os.close(descriptor)
    except OSError as error:
        is_barred = isinstance(error, PermissionError)
        advice = f"; {_name_user()} must be able to read it" if is_barred else ""
        raise LocalError(f"{path}: {error.strerror}{advice}") from error
    if len(content) > MAX_PEM_BYTES:
        raise LocalError(f"{path}: larger than {MAX_PEM_BYTES} bytes, not a PEM file")
    return content, mode


def _name_user() -> str:
    """Say who we are; a container's user may have no name."""
    user = os.geteuid()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _parse_chain(path: Path, content: bytes) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(content))
    except (ValueError, x509.InvalidVersion) as error:
        raise LocalError(f"{path}: no certificate in PEM form could be read from it") from error


def _parse_key(path: Path, content: bytes) -> tuple[PrivateKey, KeyType]:
    try:
        # That an RSA key's primes are prime takes 30 ms to prove; that they fit, see below.
        key = load_pem_private_key(content, None, unsafe_skip_rsa_key_validation=True)
    except TypeError as error:
        raise LocalError(f"{path}: the key is encrypted; a server needs it in clear") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LocalError(f"{path}: no private key in PEM form could be read from it") from error
    match key:
        case RSAPrivateKey():
            if not _is_consistent(key.private_numbers()):
                raise LocalError(f"{path}: the RSA key is broken: its numbers do not fit together")
            return key, KeyType.RSA
        case EllipticCurvePrivateKey():
            return key, KeyType.ECDSA
        case Ed25519PrivateKey():
            return key, KeyType.ED25519
        case _:
            raise LocalError(f"{path}: the key is neither RSA, ECDSA nor Ed25519")


def _is_consistent(key: RSAPrivateNumbers) -> bool:
    """RFC 8017 §3.2: what a signature is made with."""
    n, e = key.public_numbers.n, key.public_numbers.e
    return (
        key.p * key.q == n
        and key.p > 1
        and key.q > 1
        and key.d * e % (key.p - 1) == key.d * e % (key.q - 1) == 1
        and key.dmp1 * e % (key.p - 1) == 1
        and key.dmq1 * e % (key.q - 1) == 1
        and key.iqmp * key.q % key.p == 1
    )


def _find_public_key(path: Path, leaf: x509.Certificate) -> object:
    try:
        return leaf.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LocalError(f"{path}: the certificate's key is of no kind we know") from error


def _find_warnings(key_path: Path, mode: int) -> tuple[str, ...]:
    if mode & stat.S_IROTH:
        return (f"{key_path}: everyone on this machine can read the private key",)
    return ()

"""Keys that mail is signed with: which there have to be, how they are made and read.

RFC 6376 §3.1 (selectors), RFC 8301 §3.2 (sizes), RFC 8463 §6 (a selector for each algorithm). For a
change of keys there are two selectors: the current one signs, the next is only published (RFC 6376
§3.1). Blocks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.protocols.dkim.key_record import MAX_RSA_BITS, MIN_RSA_BITS
from letterlock.protocols.dkim.signature import Algorithm
from letterlock.protocols.dkim.signing import PrivateKey, SigningKey
from letterlock.storage.dkim_keys import DkimKeyFiles

RSA_BITS = 2048
"""RFC 8301 §3.2: SHOULD. Longer ones don't fit into a DNS answer of 512 octets."""


@dataclass(frozen=True, slots=True)
class KeyId:
    """A key that there has to be."""

    domain: Domain
    selector: Domain
    algorithm: Algorithm


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """Which keys there have to be. `next_selector` None: no change of keys is prepared."""

    domains: tuple[Domain, ...]
    selector: str
    next_selector: str | None = None
    algorithms: tuple[Algorithm, ...] = (Algorithm.RSA_SHA256, Algorithm.ED25519_SHA256)

    def list_current(self, domain: Domain) -> tuple[KeyId, ...]:
        """List the keys that sign mail of a domain."""
        return tuple(self._list(domain, self.selector))

    def list_next(self, domain: Domain) -> tuple[KeyId, ...]:
        """List those that will."""
        return tuple(self._list(domain, self.next_selector)) if self.next_selector else ()

    def list_all(self) -> Iterator[KeyId]:
        """List all keys of all domains, the current ones first."""
        for domain in self.domains:
            yield from self.list_current(domain)
        for domain in self.domains:
            yield from self.list_next(domain)

    def _list(self, domain: Domain, selector: str) -> Iterator[KeyId]:
        for algorithm in self.algorithms:
            yield KeyId(domain, name_selector(selector, algorithm), algorithm)


def name_selector(selector: str, algorithm: Algorithm) -> Domain:
    """Give the selector of an algorithm's key: RSA has the operator's own, as others know it."""
    is_rsa = algorithm is Algorithm.RSA_SHA256
    return Domain(selector if is_rsa else f"{selector}-{algorithm.key_type}")


def load_key(files: DkimKeyFiles, which: KeyId) -> SigningKey | None:
    """Read a key; None: it is not there. Raises LocalError for one that is of no use."""
    pem = files.load(which.domain, which.selector)
    if pem is None:
        return None
    path = files.find_path(which.domain, which.selector)
    try:
        key = load_pem_private_key(pem, None)
    except TypeError as error:
        raise LocalError(f"{path}: the key is encrypted; it is needed in clear") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LocalError(f"{path}: no private key in PEM form could be read from it") from error
    is_rsa = which.algorithm is Algorithm.RSA_SHA256
    if not isinstance(key, RSAPrivateKey if is_rsa else Ed25519PrivateKey):
        raise LocalError(f"{path}: must be a key for {which.algorithm}")
    if isinstance(key, RSAPrivateKey) and not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise LocalError(f"{path}: has {key.key_size} bits; others want {MIN_RSA_BITS} to 4096")
    return SigningKey(which.domain, which.selector, key)


def load_keys(files: DkimKeyFiles, keys: Sequence[KeyId]) -> tuple[SigningKey, ...]:
    """Read those keys that are there. Raises LocalError."""
    loaded = [load_key(files, which) for which in keys]
    return tuple(key for key in loaded if key is not None)


def make_missing_key(files: DkimKeyFiles, which: KeyId) -> SigningKey | None:
    """Make a key that is not there; None: it is. Takes a tenth of a second. Raises LocalError."""
    if files.find_state(which.domain, which.selector) is not None:
        return None
    key = _make_key(which.algorithm)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if not files.add(which.domain, which.selector, pem):
        return None
    return SigningKey(which.domain, which.selector, key)


def _make_key(algorithm: Algorithm) -> PrivateKey:
    if algorithm is Algorithm.RSA_SHA256:
        return generate_private_key(65537, RSA_BITS)
    return Ed25519PrivateKey.generate()

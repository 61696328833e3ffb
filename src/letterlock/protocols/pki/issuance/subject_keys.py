"""Which public keys are certified: strong ones, that nobody else has or has ever lost.

RFC 8555 §11.1 (not a key of an account), Baseline Requirements 6.1.1.3, 6.1.5 and 6.1.6 (sizes,
exponent, small factors, close primes, ROCA, Debian, keys reported as compromised). The lists of
keys are arguments. ECDSA points off their curve are refused where a key is read.
"""

import re
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha1, sha256
from math import gcd, isqrt, prod
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SubjectKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
KeyKind = Literal["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"]
KEY_KINDS: frozenset[KeyKind] = frozenset(
    {"ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"}
)

MAX_RSA_BITS = 8192
"""Longer moduli are not even looked at: a signature by one takes long to verify."""
EXPONENT = 65537
"""The one that all software makes. The Baseline Requirements let it have up to 256 bits."""
FERMAT_ROUNDS = 100
"""Baseline Requirements 6.1.1.3: close primes are looked for in so many rounds."""
SPKI_DIGEST_OCTETS = 32
DEBIAN_DIGEST_OCTETS = 10
"""openssl-vulnkey(1): the last ten octets of the SHA-1 of a line with the modulus."""

_CURVES: dict[str, KeyKind] = {"secp256r1": "ec-p256", "secp384r1": "ec-p384"}
_RSA_SIZES: dict[int, KeyKind] = {2048: "rsa-2048", 3072: "rsa-3072", 4096: "rsa-4096"}
_HEX = re.compile(r"(?:[0-9a-f]{2})+")


def _primes_below(end: int) -> tuple[int, ...]:
    return tuple(n for n in range(2, end) if all(n % d for d in range(2, isqrt(n) + 1)))


# Baseline Requirements 6.1.6: no factor smaller than 752.
_SMALL_PRIMES = prod(_primes_below(752))
# CVE-2017-15361 (Nemec and others 2017): such primes are powers of 65537 modulo the product of the
# first primes, and so is the modulus. One in 2^27 others passes for the first 39 primes alone.
_ROCA_PRIMES = _primes_below(168)[1:]
_ROCA_POWERS = {p: frozenset(pow(EXPONENT, k, p) for k in range(p - 1)) for p in _ROCA_PRIMES}
_ROCA_PRODUCT = prod(_ROCA_PRIMES)
# Squares end so; five of six numbers don't.
_SQUARE_ENDS = frozenset(n * n & 0xFF for n in range(256))


class KeyListError(ValueError):
    """A list of keys has a line that is no digest of one; the message names the line."""


@dataclass(frozen=True, slots=True)
class DigestList:
    """Digests of one length, sorted, in one piece of memory: `digest in keys`."""

    octets: bytes
    width: int

    def __contains__(self, digest: object) -> bool:
        if not isinstance(digest, bytes) or len(digest) != self.width:
            return False
        at = bisect_left(range(len(self)), digest, key=self._at)
        return at < len(self) and self._at(at) == digest

    def __len__(self) -> int:
        return len(self.octets) // self.width

    def _at(self, index: int) -> bytes:
        return self.octets[index * self.width : (index + 1) * self.width]


NO_SPKIS = DigestList(b"", SPKI_DIGEST_OCTETS)
NO_DEBIAN_KEYS = DigestList(b"", DEBIAN_DIGEST_OCTETS)


@dataclass(frozen=True, slots=True)
class RefusedKeys:
    """Keys that are not certified: SHA-256 of their SPKI, and Debian's digests of weak ones.

    `accounts` has those of all accounts, `authorities` ours; both may look into a database.
    """

    accounts: Container[bytes] = frozenset()
    authorities: Container[bytes] = frozenset()
    compromised: Container[bytes] = NO_SPKIS
    debian: Container[bytes] = NO_DEBIAN_KEYS


def find_key_faults(
    key: object, kinds: frozenset[KeyKind], refused: RefusedKeys
) -> tuple[str, ...]:
    """Say why a public key is not certified, each reason in one line; empty when it may be."""
    if not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        return ("the key is neither ECDSA nor RSA",)
    faults = [] if find_key_kind(key) in kinds else [_explain_kind(key, kinds)]
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size > MAX_RSA_BITS:
            return (f"the RSA key has more than {MAX_RSA_BITS} bits",)
        faults += _find_rsa_faults(key, refused.debian)
    digest = digest_spki(key)
    if digest in refused.accounts:
        faults.append("the key is that of an account: a certificate needs one of its own")
    if digest in refused.authorities:
        faults.append("the key is the authority's own")
    if digest in refused.compromised:
        faults.append("the key is known to be compromised: make a new one")
    return tuple(faults)


def find_key_kind(key: SubjectKey) -> KeyKind | None:
    """Give the word for a key's kind and size; None: it is none that is ever certified."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name)
    return _RSA_SIZES.get(key.key_size)


def encode_spki(key: SubjectKey) -> bytes:
    """Give a key's SubjectPublicKeyInfo: the same DER however it was encoded where it was read."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def digest_spki(key: SubjectKey) -> bytes:
    """Give the SHA-256 of a key's SubjectPublicKeyInfo, by which keys are known here."""
    return sha256(encode_spki(key)).digest()


def digest_debian(key: rsa.RSAPublicKey) -> bytes:
    """Give the digest that Debian's lists of weak keys have (openssl-vulnkey(1))."""
    line = f"Modulus={key.public_numbers().n:X}\n".encode()
    return sha1(line).digest()[-DEBIAN_DIGEST_OCTETS:]  # noqa: S324 - it is what the lists have


def parse_digest_list(text: str, width: int) -> DigestList:
    """Read digests of `width` octets in hexadecimal, one a line; `#` begins a comment.

    They need not be sorted. Raises KeyListError.
    """
    found = sorted({*_parse_lines(text.splitlines(), width)})
    return DigestList(b"".join(found), width)


def _parse_lines(lines: Iterable[str], width: int) -> Iterator[bytes]:
    for number, line in enumerate(lines, start=1):
        word = line.partition("#")[0].strip().lower()
        if not word:
            continue
        if len(word) != 2 * width or not _HEX.fullmatch(word):
            raise KeyListError(f"line {number}: not a digest of {2 * width} hexadecimal digits")
        yield bytes.fromhex(word)


def _explain_kind(key: SubjectKey, kinds: frozenset[KeyKind]) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        what = f"RSA with {key.key_size} bits"
    else:
        what = f"ECDSA on {key.curve.name}"
    return f"the key is {what}; it may be {', '.join(sorted(kinds))}"


def _find_rsa_faults(key: rsa.RSAPublicKey, debian: Container[bytes]) -> Iterator[str]:
    numbers = key.public_numbers()
    if numbers.e != EXPONENT:
        yield f"the RSA key's exponent is not {EXPONENT}"
    if gcd(numbers.n, _SMALL_PRIMES) != 1:
        yield "the RSA key's modulus has a factor below 752"
    elif has_close_primes(numbers.n):
        yield "the RSA key's primes are too close to each other (Fermat): make a new key"
    if is_roca(numbers.n):
        yield "the RSA key comes from a chip that makes weak ones (ROCA, CVE-2017-15361)"
    if digest_debian(key) in debian:
        yield "the RSA key is one of those that Debian's OpenSSL made in 2006 to 2008"


def has_close_primes(modulus: int, rounds: int = FERMAT_ROUNDS) -> bool:
    """Whether Fermat's way finds two factors of an odd number within some rounds."""
    half = isqrt(modulus)
    if half * half < modulus:
        half += 1
    rest = half * half - modulus
    for _ in range(rounds):
        if rest & 0xFF in _SQUARE_ENDS and isqrt(rest) ** 2 == rest:
            return True
        rest += 2 * half + 1
        half += 1
    return False


def is_roca(modulus: int) -> bool:
    """Whether a modulus has the print of Infineon's library (CVE-2017-15361)."""
    rest = modulus % _ROCA_PRODUCT
    return all(rest % p in powers for p, powers in _ROCA_POWERS.items())

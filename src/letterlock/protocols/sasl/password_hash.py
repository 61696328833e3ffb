"""What is kept of a password that a client gives itself: argon2id, as a PHC string.

RFC 9106 §3.1, §4. By OpenSSL, which cryptography brings: no package more.
"""

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from letterlock.protocols.sasl.preparation import prepare_password

SALT_OCTETS = 16
# OWASP's least parameters (Password Storage Cheat Sheet): 19 MiB, two passes. RFC 9106 §4 names
# 64 MiB; a server that takes strangers' guesses must have the memory for all that come at once.
_MEMORY_KIB = 19 * 1024
_PASSES = 2
_LANES = 1
_TAG_OCTETS = 32

DECOY_HASH = f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p={_LANES}${'A' * 22}${'A' * 43}"
"""No password is known to fit it; to look costs as much as with any other hash."""


def make_password_hash(password: str, salt: bytes) -> str:
    """Hash a password. Raises PreparationError for what can't be one."""
    prepared = prepare_password(password)
    argon2 = Argon2id(
        salt=salt,
        length=_TAG_OCTETS,
        iterations=_PASSES,
        lanes=_LANES,
        memory_cost=_MEMORY_KIB,
    )
    return argon2.derive_phc_encoded(prepared.encode())


def is_password(prepared: str, password_hash: str) -> bool:
    """Say whether a prepared password is the one. Takes long, and lets other threads run."""
    try:
        Argon2id.verify_phc_encoded(prepared.encode(), password_hash)
    except InvalidKey:
        return False
    return True

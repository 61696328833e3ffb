"""The public key in DNS: read by who verifies, written by who signs.

RFC 6376 §3.6.1 (tags), §6.1.2 (what must hold); RFC 8301 §3.2 (sizes), RFC 8463 §4.2 (Ed25519).
"""

from base64 import b64encode
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from letterlock.protocols.dkim.signature import Algorithm
from letterlock.protocols.dkim.tags import TagError, parse_base64, parse_tags, split_list

PublicKey = RSAPublicKey | Ed25519PublicKey

MAX_RECORD_OCTETS = 4096
"""A key of 8192 bits has 1500."""
MIN_RSA_BITS = 1024
"""RFC 8301 §3.2: a signature by less is none."""
MAX_RSA_BITS = 8192
"""RFC 8301 §3.2: 4096 must be taken. Time grows with the square."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key with its terms. None: any hash, any service. `public_key` is empty: it was revoked."""

    key_type: str
    public_key: bytes
    hashes: tuple[str, ...] | None = None
    services: tuple[str, ...] = ("*",)
    flags: tuple[str, ...] = ()

    @property
    def is_testing(self) -> bool:
        """Its domain tries DKIM: nothing is to follow from failures."""
        return "y" in self.flags

    @property
    def is_strict(self) -> bool:
        """The domain of i= must be that of d=."""
        return "s" in self.flags

    def is_for(self, service: str) -> bool:
        """Say whether it is for a service such as `email`."""
        return "*" in self.services or service in self.services


@dataclass(frozen=True, slots=True)
class KeyFault:
    """Why a record, or the key in it, is of no use."""

    reason: str


def parse_key_record(octets: bytes) -> KeyRecord | KeyFault:
    """Read a TXT record, its strings joined."""
    if len(octets) > MAX_RECORD_OCTETS:
        return KeyFault(f"key syntax error: more than {MAX_RECORD_OCTETS} octets")
    try:
        tags = parse_tags(octets)
    except TagError as error:
        return KeyFault(f"key syntax error: {error}")
    if "v" in tags and (next(iter(tags)) != "v" or tags["v"] != "DKIM1"):
        return KeyFault("key syntax error: v= is not DKIM1, or not the first tag")
    if "p" not in tags:
        return KeyFault("key syntax error: p= is missing")
    public_key = parse_base64(tags["p"]) if tags["p"] else b""
    if public_key is None:
        return KeyFault("key syntax error: p= is not base64")
    return KeyRecord(
        tags.get("k", "rsa"),
        public_key,
        split_list(tags["h"]) if "h" in tags else None,
        split_list(tags.get("s", "*")),
        split_list(tags.get("t", "")),
    )


def read_public_key(record: KeyRecord) -> PublicKey | KeyFault:
    """Give the key of a record; whether it is strong enough is not looked at."""
    if not record.public_key:
        return KeyFault("key revoked")
    try:
        if record.key_type == "ed25519":
            return Ed25519PublicKey.from_public_bytes(record.public_key)
        # RFC 6376 §3.6.1 has an RSAPublicKey in mind, and its own example is a
        # SubjectPublicKeyInfo, as all the world's are: either is taken.
        key = load_der_public_key(record.public_key) if record.key_type == "rsa" else None
    except (ValueError, UnsupportedAlgorithm):
        return KeyFault("key syntax error: p= is not a key of that type")
    if not isinstance(key, RSAPublicKey):
        return KeyFault("inappropriate key algorithm")
    if key.key_size > MAX_RSA_BITS:
        return KeyFault(f"the key has more than {MAX_RSA_BITS} bits")
    return key


def format_key_record(key: PublicKey) -> str:
    """Write the record of a key of ours: `s`, since we sign for no AUID below our domain."""
    if isinstance(key, RSAPublicKey):
        kind = Algorithm.RSA_SHA256.key_type
        octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        kind = Algorithm.ED25519_SHA256.key_type
        octets = key.public_bytes_raw()
    return f"v=DKIM1; k={kind}; t=s; p={b64encode(octets).decode('ascii')}"

"""DNSKEY and DS records: which key a DS record names, and the DS record of a key.

RFC 4034 §2 (DNSKEY), §5 (DS; key tags are in its Appendix B), RFC 4509 §3 (SHA-1 beside SHA-256),
RFC 6605 §2 (SHA-384), RFC 5011 §2.1 (revoked keys). Names are text without a final dot, in lower
case; `.` is the root.
"""

from dataclasses import dataclass
from hashlib import sha1, sha256, sha384

ROOT = "."
ALGORITHMS = frozenset({5, 7, 8, 10, 13, 14, 15, 16})
"""Those that can be verified here: RSA, ECDSA, EdDSA."""
SHA_1, SHA_256, SHA_384 = 1, 2, 4

_HASHES = {SHA_1: sha1, SHA_256: sha256, SHA_384: sha384}
_ZONE_KEY, _REVOKED, _ENTRY_POINT = 0x100, 0x80, 0x1
_PROTOCOL = 3


@dataclass(frozen=True, slots=True)
class DsRecord:
    """RFC 4034 §5.1, as published."""

    tag: int
    algorithm: int
    digest_type: int
    digest: bytes

    @property
    def is_usable(self) -> bool:
        """Whether algorithm and digest are known here (RFC 4035 §5.2)."""
        return self.algorithm in ALGORITHMS and self.digest_type in _HASHES

    def __str__(self) -> str:
        """As in a zone file."""
        return f"{self.tag} {self.algorithm} {self.digest_type} {self.digest.hex().upper()}"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A DNSKEY record (RFC 4034 §2.1), as published."""

    flags: int
    protocol: int
    algorithm: int
    key: bytes

    @property
    def rdata(self) -> bytes:
        """Its octets."""
        return self.flags.to_bytes(2) + bytes((self.protocol, self.algorithm)) + self.key

    @property
    def tag(self) -> int:
        """A number that several keys may share."""
        total = sum(octet if place & 1 else octet << 8 for place, octet in enumerate(self.rdata))
        return (total + (total >> 16)) & 0xFFFF

    @property
    def is_entry_point(self) -> bool:
        """Whether it is meant for DS records (RFC 4034 §2.1.1); validators don't mind."""
        return bool(self.flags & _ENTRY_POINT)

    @property
    def is_usable(self) -> bool:
        """Whether it may sign a zone's records: a zone's key, and not revoked."""
        is_zone_key = bool(self.flags & _ZONE_KEY) and self.protocol == _PROTOCOL
        return is_zone_key and not self.flags & _REVOKED


def make_ds(zone: str, key: KeyRecord, digest_type: int = SHA_256) -> DsRecord:
    """Make the DS record of a zone's key. KeyError: a digest that is not known here."""
    digest = _HASHES[digest_type](_to_wire(zone) + key.rdata).digest()
    return DsRecord(key.tag, key.algorithm, digest_type, digest)


def list_ds(zone: str, keys: tuple[KeyRecord, ...]) -> tuple[DsRecord, ...]:
    """List the DS records to publish for a zone: of its entry points, or else of all its keys."""
    usable = [each for each in keys if each.is_usable]
    entries = [each for each in usable if each.is_entry_point] or usable
    return tuple(make_ds(zone, each) for each in entries)


def choose_ds(records: tuple[DsRecord, ...]) -> tuple[DsRecord, ...]:
    """Choose those that count: known ones, and SHA-1 only where there is no better digest."""
    usable = tuple(each for each in records if each.is_usable)
    better = tuple(each for each in usable if each.digest_type != SHA_1)
    return better or usable


def find_keys(
    zone: str, records: tuple[DsRecord, ...], keys: tuple[KeyRecord, ...]
) -> tuple[KeyRecord, ...]:
    """Find the keys that usable DS records name (RFC 4035 §5.2)."""
    return tuple(
        key
        for key in keys
        if key.is_usable
        and any(
            (ds.tag, ds.algorithm) == (key.tag, key.algorithm)
            and ds == make_ds(zone, key, ds.digest_type)
            for ds in records
        )
    )


def _to_wire(name: str) -> bytes:
    labels = name.encode().split(b".") if name != ROOT else ()
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"

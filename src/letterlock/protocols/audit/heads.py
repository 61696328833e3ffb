"""Heads of the audit log, signed by the authority: what was there once cannot be cut off unseen.

A head is published (the log, the status page), so that a copy of it is elsewhere when the database
is not to be trusted any more. What is signed begins with a text of its own: it is no certificate
and no CRL, whatever comes behind.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.protocols.audit.records import HASH_OCTETS, Head, count_microseconds
from letterlock.protocols.pki.issuance.signing import AuthorityKey, Signer, is_signed_by

MAX_HEAD_OCTETS = 8 * 1024

_BEGINNING = b"letterlock audit head 1\n"
_MAX_SIGNATURE_OCTETS = 1024


class HeadError(ValueError):
    """A text is no head of an audit log; the message is one line."""


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head, when it was signed, by which key (SHA-256 of its SubjectPublicKeyInfo)."""

    head: Head
    moment: datetime
    key: bytes
    signature: bytes


class _Document(msgspec.Struct, frozen=True):
    number: int
    hash: str
    moment: datetime
    key: str
    signature: str


def sign_head(head: Head, moment: datetime, signer: Signer) -> SignedHead:
    """Sign a head. A token may need milliseconds."""
    key = digest_key(signer.public_key)
    return SignedHead(head, moment, key, signer.sign(_join(head, moment, key)))


def is_signed(signed: SignedHead, key: AuthorityKey) -> bool:
    """Tell whether a head is of this key's authority."""
    if signed.key != digest_key(key):
        return False
    return is_signed_by(_join(signed.head, signed.moment, signed.key), signed.signature, key)


def digest_key(key: AuthorityKey) -> bytes:
    """Give how a head names a key."""
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(octets).digest()


def format_head(signed: SignedHead) -> bytes:
    """Write a head as one line of JSON."""
    return msgspec.json.encode(
        _Document(
            signed.head.number,
            signed.head.hash.hex(),
            signed.moment,
            signed.key.hex(),
            signed.signature.hex(),
        )
    )


def parse_head(octets: bytes) -> SignedHead:
    """Read a head. Raises HeadError."""
    if len(octets) > MAX_HEAD_OCTETS:
        raise HeadError(f"a head has at most {MAX_HEAD_OCTETS} octets")
    try:
        found = msgspec.json.decode(octets, type=_Document)
        digests = [bytes.fromhex(each) for each in (found.hash, found.key, found.signature)]
    except (ValueError, RecursionError) as error:
        raise HeadError("not a head of an audit log") from error
    if found.number < 1 or found.moment.tzinfo is None:
        raise HeadError("a head has the number of a record, and a moment with a time zone")
    if [len(each) for each in digests[:2]] != [HASH_OCTETS, HASH_OCTETS]:
        raise HeadError("a head has digests of 32 octets")
    if not 0 < len(digests[2]) <= _MAX_SIGNATURE_OCTETS:
        raise HeadError("a head has a signature")
    return SignedHead(Head(found.number, digests[0]), found.moment, digests[1], digests[2])


def _join(head: Head, moment: datetime, key: bytes) -> bytes:
    members: list[Any] = [head.number, head.hash.hex(), count_microseconds(moment), key.hex()]
    return _BEGINNING + msgspec.json.encode(members)

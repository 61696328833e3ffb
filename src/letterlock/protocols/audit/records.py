"""The audit log: records in a row, each with a digest over itself and the one before it.

A record that is changed, removed, put in or put elsewhere breaks the chain there (`verifying`); one
that is cut off at the end, or a chain that was made anew, is seen against a head that was signed
and published (`heads`). Storing is `storage.ca`, in the transaction of what is decided.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec

from letterlock.protocols.audit.decisions import Decision

HASH_OCTETS = 32
MAX_SUBJECT_CHARACTERS = 200
MAX_DOCUMENT_OCTETS = 16 * 1024 * 1024

_BEGINNING = b"letterlock audit log 1\n"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER: "msgspec.json.Decoder[Decision]" = msgspec.json.Decoder(Decision)


class DocumentError(ValueError):
    """A record's document cannot be read; the message is one line."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What is to be logged: a decision, and when it was made."""

    moment: datetime
    decision: Decision


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What is stored: plain texts, as the digest is over them.

    `number` counts from 1. `microseconds` are since 1970, UTC. `subject` is the id of what it is
    about: records of an order, an authorization, an account, an incident are found by it.
    `document` is JSON with sorted keys.
    """

    number: int
    microseconds: int
    kind: str
    subject: str
    document: str
    hash: bytes

    @property
    def moment(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self.microseconds)


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends: the number of its last record, and its digest."""

    number: int
    hash: bytes


START = Head(0, bytes(HASH_OCTETS))
"""Of an empty log."""


def append(head: Head, entry: AuditEntry) -> AuditRecord:
    """Make the record that follows a head."""
    number, microseconds = head.number + 1, count_microseconds(entry.moment)
    document = _ENCODER.encode(entry.decision).decode()
    kind, subject = find_kind(entry.decision), entry.decision.subject
    digest = compute_hash(head.hash, number, microseconds, (kind, subject, document))
    return AuditRecord(number, microseconds, kind, subject, document, digest)


def append_all(head: Head, entries: Iterable[AuditEntry]) -> tuple[AuditRecord, ...]:
    """Make the records that follow a head, in their order."""
    records: list[AuditRecord] = []
    for entry in entries:
        records.append(append(head, entry))
        head = head_of(records[-1])
    return tuple(records)


def head_of(record: AuditRecord) -> Head:
    """Give the head of a log whose last record this is."""
    return Head(record.number, record.hash)


def hash_record(before: bytes, record: AuditRecord) -> bytes:
    """Compute the digest that a record must have, after one with the digest `before`."""
    texts = (record.kind, record.subject, record.document)
    return compute_hash(before, record.number, record.microseconds, texts)


def compute_hash(
    before: bytes, number: int, microseconds: int, texts: tuple[str, str, str]
) -> bytes:
    """SHA-256 over what went before, and a JSON array of the rest: one meaning for each octet."""
    # A text from a damaged database may hold what UTF-8 does not: that, too, has a digest.
    safe = [text.encode("utf-8", "backslashreplace").decode() for text in texts]
    line = msgspec.json.encode([number, microseconds, *safe])
    return sha256(_BEGINNING + before + line).digest()


def find_kind(decision: Decision) -> str:
    """Give the word for a decision, as its document has it."""
    return str(decision.__struct_config__.tag)


def read_decision(document: str) -> Decision:
    """Read a record's document. Raises DocumentError for one that this release does not know."""
    try:
        return _DECODER.decode(document)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        raise DocumentError(f"not a document of the audit log: {str(error)[:200]}") from error


def count_microseconds(moment: datetime) -> int:
    """Give a moment as it is stored. Raises ValueError for one without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment has a time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)

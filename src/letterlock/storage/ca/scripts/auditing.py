"""The log of decisions: appended to, and read."""

from collections.abc import Sequence
from datetime import datetime

from letterlock.protocols.audit.records import START, AuditEntry, AuditRecord, Head, append_all
from letterlock.storage.ca.scripts.script import Row, Script
from letterlock.storage.records import to_micros

_COLUMNS = "number, moment, kind, subject, document, hash"
_ADD = f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_HEAD = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
_SELECT = f"SELECT {_COLUMNS} FROM audit"  # noqa: S608 - constants
_PAGE = "number > ? ORDER BY number LIMIT ?"
_ALL = f"{_SELECT} WHERE {_PAGE}"
_OF_KIND = f"{_SELECT} WHERE kind = ? AND {_PAGE}"
_ABOUT = f"{_SELECT} WHERE subject = ? AND {_PAGE}"
# With the sign SQLite goes through the records since then, by their times, not all before.
_SINCE = "SELECT min(+number) FROM audit WHERE moment >= ?"


def append_entries(entries: Sequence[AuditEntry]) -> Script[None]:
    """Log entries behind all that is logged. Nobody else may append at the same time."""
    head = yield from load_head()
    for each in append_all(head, entries):
        values = (each.number, each.microseconds, each.kind, each.subject)
        yield _ADD, (*values, each.document, each.hash)


def load_head() -> Script[Head]:
    rows = yield _HEAD, ()
    return Head(*rows[0]) if rows else START


def list_records(after: int, limit: int, kind: str | None) -> Script[tuple[AuditRecord, ...]]:
    if kind is None:
        rows = yield _ALL, (after, limit)
    else:
        rows = yield _OF_KIND, (kind, after, limit)
    return _read(rows)


def list_records_about(subject: str, after: int, limit: int) -> Script[tuple[AuditRecord, ...]]:
    return _read((yield _ABOUT, (subject, after, limit)))


def find_record_since(moment: datetime) -> Script[int | None]:
    rows = yield _SINCE, (to_micros(moment),)
    number: int | None = rows[0][0]
    return number


def _read(rows: Sequence[Row]) -> tuple[AuditRecord, ...]:
    return tuple(AuditRecord(*row) for row in rows)

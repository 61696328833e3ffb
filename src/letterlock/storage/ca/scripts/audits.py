"""How far the authority's own audit is, and the heads of the log that were signed."""

from letterlock.protocols.audit.heads import SignedHead, format_head, parse_head
from letterlock.storage.ca.audits import AddHead, AuditProgress, ChangeProgress
from letterlock.storage.ca.documents import PROGRESS
from letterlock.storage.ca.scripts.script import Row, Script, require

_PROGRESS = "SELECT document FROM audit_progress WHERE name = ?"
_PUT_PROGRESS = """
    INSERT INTO audit_progress (name, document) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET document = excluded.document
"""
_ADD_HEAD = "INSERT INTO audit_heads (number, document) VALUES (?, ?) ON CONFLICT DO NOTHING"
_LAST_HEAD = "SELECT document FROM audit_heads ORDER BY number DESC LIMIT 1"
_HEADS = "SELECT document FROM audit_heads WHERE number > ? ORDER BY number LIMIT ?"


def load_progress(name: str) -> Script[AuditProgress]:
    rows = yield _PROGRESS, (name,)
    return PROGRESS.read(rows[0][0]) if rows else AuditProgress(name)


def change_progress(change: ChangeProgress) -> Script[None]:
    before, after = change.before, change.after
    if before.name != after.name:
        raise ValueError("the progress of an audit is changed to another's")
    kept = yield from load_progress(before.name)
    require(kept == before)
    yield _PUT_PROGRESS, (after.name, PROGRESS.write(after))


def add_head(change: AddHead) -> Script[None]:
    yield _ADD_HEAD, (change.head.head.number, format_head(change.head).decode())


def load_last_signed_head() -> Script[SignedHead | None]:
    rows = yield _LAST_HEAD, ()
    return _read(rows[0]) if rows else None


def list_signed_heads(after: int, limit: int) -> Script[tuple[SignedHead, ...]]:
    rows = yield _HEADS, (after, limit)
    return tuple(_read(row) for row in rows)


def _read(row: Row) -> SignedHead:
    document: str = row[0]
    return parse_head(document.encode())

"""Work behind requests, and whose it is."""

from datetime import datetime, timedelta

from letterlock.storage.ca.changes import AddWork, EndWork, ProlongLease, PutOffWork
from letterlock.storage.ca.kept import Claimed, Lease, Work, WorkKind
from letterlock.storage.ca.scripts.script import Row, Script, Value, require
from letterlock.storage.records import from_micros, to_micros

_ADD = """
    INSERT INTO work (kind, subject, moment, detail, owner, until, number)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_OURS = "kind = ? AND subject = ? AND number = ? AND owner = ?"
_END = f"DELETE FROM work WHERE {_OURS} RETURNING 1"  # noqa: S608 - a constant
# Who gave it back has it no more, though nobody else has it yet.
_PUT_OFF = f"UPDATE work SET owner = '', until = ? WHERE {_OURS} RETURNING 1"  # noqa: S608 - constants
_PROLONG = f"UPDATE work SET until = ? WHERE {_OURS} RETURNING 1"  # noqa: S608 - constants
_CLAIM = """
    UPDATE work SET owner = ?, until = ?, number = number + 1
    WHERE kind = ? AND subject IN (
        SELECT subject FROM work WHERE kind = ? AND until <= ?
        ORDER BY until LIMIT ? {skip_locked}
    )
    RETURNING subject, moment, detail, number
"""
_CLAIM_PUT_OFF = """
    UPDATE work SET owner = ?, until = ?, number = number + 1
    WHERE kind = ? AND subject = ? AND owner = ''
    RETURNING subject, moment, detail, number
"""
_SET_BACK = "UPDATE work SET until = ? WHERE kind = ? AND until > ?"
_NEXT_DUE = "SELECT min(until) FROM work WHERE kind = ?"


LONGEST = timedelta(days=1)
"""No lease is longer, and no work is put off for longer."""


def add_work(change: AddWork) -> Script[None]:
    work, lease = change.work, change.lease
    if (work.kind, work.subject) != (lease.kind, lease.subject):
        raise ValueError(f"the lease is for {lease.kind} of {lease.subject}, not for this work")
    values = (work.kind.value, work.subject, to_micros(work.moment), work.detail)
    yield _ADD, (*values, lease.owner, to_micros(lease.until), lease.number)


def end_work(change: EndWork) -> Script[None]:
    require((yield _END, _ours(change.lease)))


def put_off_work(change: PutOffWork) -> Script[None]:
    require((yield _PUT_OFF, (to_micros(change.due), *_ours(change.lease))))


def prolong_lease(change: ProlongLease) -> Script[None]:
    require((yield _PROLONG, (to_micros(change.until), *_ours(change.lease))))


def claim_work(
    kind: WorkKind, owner: str, now: datetime, until: datetime, limit: int
) -> Script[tuple[Claimed, ...]]:
    # What nobody is to do for longer than that was put off by a clock that was ahead.
    yield _SET_BACK, (to_micros(now), kind.value, to_micros(now + LONGEST))
    values = (owner, to_micros(until), kind.value, kind.value, to_micros(now), limit)
    rows = yield _CLAIM, values
    found = [_read(kind, owner, until, row) for row in rows]
    return tuple(sorted(found, key=lambda each: each.work.moment))


def claim_put_off(
    kind: WorkKind, subject: str, owner: str, until: datetime
) -> Script[Claimed | None]:
    rows = yield _CLAIM_PUT_OFF, (owner, to_micros(until), kind.value, subject)
    return _read(kind, owner, until, rows[0]) if rows else None


def find_next_due(kind: WorkKind) -> Script[datetime | None]:
    rows = yield _NEXT_DUE, (kind.value,)
    return None if rows[0][0] is None else from_micros(rows[0][0])


def _read(kind: WorkKind, owner: str, until: datetime, row: Row) -> Claimed:
    subject, moment, detail, number = row
    work = Work(kind, subject, from_micros(moment), detail)
    return Claimed(work, Lease(kind, subject, owner, until, number))


def _ours(lease: Lease) -> tuple[Value, ...]:
    return lease.kind.value, lease.subject, lease.number, lease.owner

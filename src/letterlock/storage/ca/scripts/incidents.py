"""Incidents, and the certificates that they affect."""

from dataclasses import replace
from datetime import datetime

from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.states import OrderStatus
from letterlock.storage.ca.documents import CERTIFICATE, INCIDENT
from letterlock.storage.ca.incidents import (
    AddAffected,
    AddIncident,
    Affected,
    ChangeAffected,
    ChangeIncident,
    Incident,
    IncidentCounts,
    IncidentState,
    MarkTold,
    Standing,
)
from letterlock.storage.ca.scripts.keys import find_name, name_values
from letterlock.storage.ca.scripts.script import Refused, Row, Script, array, require
from letterlock.storage.records import from_micros, from_optional_micros, to_micros

_ADD = "INSERT INTO incidents (incident_id, state, created, document) VALUES (?, ?, ?, ?)"
_DOCUMENT = "SELECT document FROM incidents WHERE incident_id = ?"
_CHANGE = "UPDATE incidents SET state = ?, document = ? WHERE incident_id = ?"
_ALL = "SELECT document FROM incidents ORDER BY created DESC, incident_id"
_OF = """
    SELECT document FROM incidents JOIN affected USING (incident_id)
    WHERE serial = ? AND issuer = ? ORDER BY created, incident_id
"""

_ADD_AFFECTED = """
    INSERT INTO affected (
        incident_id, number, serial, issuer, account_id, not_after, told, replaced, revoked
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_TOLD = """
    UPDATE affected SET told = ?, is_mailed = ?
    WHERE incident_id = ? AND account_id = ? AND told IS NULL
"""
_COLUMNS = """
    incident_id, affected.number, affected.serial, affected.issuer, affected.account_id,
    affected.not_after, told, replaced, revoked, is_mailed
"""
_SELECT = f"SELECT {_COLUMNS} FROM affected WHERE incident_id = ?"  # noqa: S608 - constants
_ONE = f"{_SELECT} AND number = ?"
_PAGE = "AND affected.number > ? ORDER BY affected.number LIMIT ?"
_LIST = f"{_SELECT} {_PAGE}"
_STANDING = f"""
    SELECT {_COLUMNS}, document FROM affected JOIN certificates USING (number)
    WHERE incident_id = ?
"""  # noqa: S608 - constants
_LEFT = f"{_STANDING} AND revoked IS NULL AND affected.not_after > ? {_PAGE}"
_CHANGED = f"""
    {_STANDING} AND revoked IS NULL AND affected.not_after > ? AND is_open = 0
    AND (replaced IS NULL OR replaced <= ?) {_PAGE}
"""
_UNTOLD = f"{_STANDING} AND told IS NULL AND affected.account_id = ? {_PAGE}"
_UNTOLD_ACCOUNT = """
    SELECT account_id FROM affected WHERE incident_id = ? AND told IS NULL
    ORDER BY account_id LIMIT 1
"""
_MARK = "UPDATE affected SET replaced = ?, revoked = ? WHERE incident_id = ? AND number = ?"
_COUNT = """
    SELECT count(*), count(CASE WHEN is_mailed = 1 THEN 1 END), count(replaced), count(revoked),
        count(CASE WHEN revoked IS NULL AND not_after <= ? THEN 1 END),
        count(DISTINCT account_id),
        count(DISTINCT CASE WHEN is_mailed = 1 THEN account_id END),
        count(DISTINCT CASE WHEN is_mailed = 0 THEN account_id END)
    FROM affected WHERE incident_id = ?
"""
_ORDERS = "SELECT order_id FROM orders WHERE status = ? AND order_id IN (SELECT value FROM {each})"


def add_incident(change: AddIncident) -> Script[None]:
    new = change.incident
    yield _ADD, (new.id, new.state.value, to_micros(new.created), INCIDENT.write(new))


def change_incident(change: ChangeIncident) -> Script[None]:
    before, after = change.before, change.after
    rows = yield _DOCUMENT, (before.id,)
    require(rows and INCIDENT.is_same(rows[0][0], before))
    yield _CHANGE, (after.state.value, INCIDENT.write(after), before.id)


def load_incident(incident_id: str) -> Script[Incident | None]:
    rows = yield _DOCUMENT, (incident_id,)
    return INCIDENT.read(rows[0][0]) if rows else None


def list_incidents() -> Script[tuple[Incident, ...]]:
    rows = yield _ALL, ()
    return tuple(INCIDENT.read(document) for (document,) in rows)


def find_incidents_of(name: CertificateId) -> Script[tuple[Incident, ...]]:
    rows = yield _OF, name_values(name)
    return tuple(INCIDENT.read(document) for (document,) in rows)


def add_affected(change: AddAffected) -> Script[None]:
    incident = yield from load_incident(change.incident_id)
    require(incident is not None and incident.state is IncidentState.COLLECTING)
    for each in change.affected:
        values = (change.incident_id, each.number, *name_values(each.name), each.account_id)
        yield _ADD_AFFECTED, (*values, to_micros(each.not_after), *_moments(each))


def mark_told(change: MarkTold) -> Script[None]:
    values = (to_micros(change.moment), int(change.is_mailed))
    yield _TOLD, (*values, change.incident_id, change.account_id)


def change_affected(change: ChangeAffected) -> Script[None]:
    before, after = change.before, change.after
    if replace(before, replaced=after.replaced, revoked=after.revoked) != after:
        raise ValueError("only when it was replaced and revoked changes")
    rows = yield _ONE, (before.incident_id, before.number)
    if not rows:
        raise Refused
    kept = replace(_read(rows[0]), told=before.told, is_mailed=before.is_mailed)
    require(kept == before)
    _, *moments = _moments(after)
    yield _MARK, (*moments, before.incident_id, before.number)


def count_affected(incident_id: str, now: datetime) -> Script[IncidentCounts]:
    rows = yield _COUNT, (to_micros(now), incident_id)
    affected, told, replaced, revoked, expired, accounts, accounts_told, accounts_mute = rows[0]
    return IncidentCounts(
        affected=affected,
        told=told,
        replaced=replaced,
        revoked=revoked,
        expired=expired,
        left=affected - revoked - expired,
        accounts=accounts,
        accounts_told=accounts_told,
        accounts_mute=accounts_mute,
    )


def list_affected(incident_id: str, after: int, limit: int) -> Script[tuple[Affected, ...]]:
    rows = yield _LIST, (incident_id, after, limit)
    return tuple(_read(row) for row in rows)


def list_standing(
    incident_id: str, now: datetime, after: int, limit: int
) -> Script[tuple[Standing, ...]]:
    rows = yield _LEFT, (incident_id, to_micros(now), after, limit)
    return (yield from _stand(rows))


def list_changed(
    incident_id: str, now: datetime, replaced_until: datetime, after: int, limit: int
) -> Script[tuple[Standing, ...]]:
    moments = (to_micros(now), to_micros(replaced_until))
    rows = yield _CHANGED, (incident_id, *moments, after, limit)
    return (yield from _stand(rows))


def find_untold_account(incident_id: str) -> Script[str | None]:
    rows = yield _UNTOLD_ACCOUNT, (incident_id,)
    return rows[0][0] if rows else None


def list_untold(
    incident_id: str, account_id: str, after: int, limit: int
) -> Script[tuple[Standing, ...]]:
    rows = yield _UNTOLD, (incident_id, account_id, after, limit)
    return (yield from _stand(rows))


def _stand(rows: list[Row]) -> Script[tuple[Standing, ...]]:
    found = [(_read(row[:-1]), CERTIFICATE.read(row[-1])) for row in rows]
    order_ids = [each.replaced_by for _, each in found if each.replaced_by is not None]
    issued: set[str] = set()
    if order_ids:
        answers = yield _ORDERS, (OrderStatus.VALID.value, array(order_ids))
        issued = {order_id for (order_id,) in answers}
    return tuple(
        Standing(affected, certificate, certificate.replaced_by in issued)
        for affected, certificate in found
    )


def _moments(affected: Affected) -> tuple[int | None, ...]:
    moments = (affected.told, affected.replaced, affected.revoked)
    return tuple(None if each is None else to_micros(each) for each in moments)


def _read(row: Row) -> Affected:
    incident_id, number, serial, issuer, account_id, not_after, *moments, is_mailed = row
    told, replaced, revoked = (from_optional_micros(each) for each in moments)
    return Affected(
        incident_id=incident_id,
        number=number,
        name=find_name(serial, issuer),
        account_id=account_id,
        not_after=from_micros(not_after),
        told=told,
        replaced=replaced,
        revoked=revoked,
        is_mailed=bool(is_mailed),
    )

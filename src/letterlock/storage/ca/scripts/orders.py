"""Accounts, authorizations and orders."""

from collections.abc import Sequence
from datetime import datetime

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.server.objects import Account
from letterlock.storage.ca.changes import (
    AddAccount,
    AddAuthorization,
    AddOrder,
    ChangeAccount,
    ChangeAuthorization,
    ChangeOrder,
)
from letterlock.storage.ca.documents import ACCOUNT, AUTHORIZATION, CHECK, ORDER
from letterlock.storage.ca.kept import KeptAuthorization, KeptOrder
from letterlock.storage.ca.scripts.external_keys import load_external_key
from letterlock.storage.ca.scripts.keys import identifier_text
from letterlock.storage.ca.scripts.script import Row, Script, array, require
from letterlock.storage.records import to_micros

_ADD_ACCOUNT = "INSERT INTO accounts (account_id, thumbprint, document) VALUES (?, ?, ?)"
_ACCOUNT = "SELECT document FROM accounts WHERE account_id = ?"
_ACCOUNT_OF_KEY = "SELECT document FROM accounts WHERE thumbprint = ?"
_ACCOUNTS = "SELECT document FROM accounts WHERE account_id > ? ORDER BY account_id LIMIT ?"
_CHANGE_ACCOUNT = "UPDATE accounts SET thumbprint = ?, document = ? WHERE account_id = ?"

_ADD_AUTHORIZATION = """
    INSERT INTO authorizations
        (authorization_id, account_id, identifier, status, expires, document, caa_check)
    VALUES (?, ?, ?, ?, ?, ?, NULL)
"""
_AUTHORIZATION = "SELECT document, caa_check FROM authorizations WHERE authorization_id = ?"
_AUTHORIZATIONS = """
    SELECT document, caa_check FROM authorizations
    WHERE authorization_id IN (SELECT value FROM {each})
"""
_COUNT_AUTHORIZATIONS = """
    SELECT count(*) FROM authorizations WHERE authorization_id IN (SELECT value FROM {each})
"""
_VALID_AUTHORIZATIONS = """
    SELECT document, caa_check FROM authorizations
    WHERE status = 'valid' AND account_id = ? AND identifier IN (SELECT value FROM {each})
        AND expires > ?
"""
_CHANGE_AUTHORIZATION = """
    UPDATE authorizations
    SET status = ?, expires = ?, document = ?, caa_check = coalesce(?, caa_check)
    WHERE authorization_id = ?
"""

_ADD_ORDER = "INSERT INTO orders (order_id, account_id, status, document) VALUES (?, ?, ?, ?)"
_ORDER = "SELECT document FROM orders WHERE order_id = ?"
_CHANGE_ORDER = "UPDATE orders SET status = ?, document = ? WHERE order_id = ?"
_ORDER_IDS = """
    SELECT order_id FROM orders WHERE account_id = ? AND status <> 'invalid' AND number > ?
    ORDER BY number LIMIT ?
"""
_ORDER_NUMBER = "SELECT number FROM orders WHERE order_id = ? AND account_id = ?"


def add_account(change: AddAccount) -> Script[None]:
    account = change.account
    if account.external is not None:
        bound_by = yield from load_external_key(account.external.kid)
        require(bound_by.revoked is None)
    yield _ADD_ACCOUNT, (account.id, account.key.thumbprint, ACCOUNT.write(account))


def change_account(change: ChangeAccount) -> Script[None]:
    before, after = change.before, change.after
    rows = yield _ACCOUNT, (before.id,)
    require(rows and ACCOUNT.is_same(rows[0][0], before))
    yield _CHANGE_ACCOUNT, (after.key.thumbprint, ACCOUNT.write(after), before.id)


def load_account(account_id: str) -> Script[Account | None]:
    rows = yield _ACCOUNT, (account_id,)
    return ACCOUNT.read(rows[0][0]) if rows else None


def find_account(thumbprint: str) -> Script[Account | None]:
    rows = yield _ACCOUNT_OF_KEY, (thumbprint,)
    return ACCOUNT.read(rows[0][0]) if rows else None


def list_accounts(after: str | None, limit: int) -> Script[tuple[Account, ...]]:
    rows = yield _ACCOUNTS, (after or "", limit)
    return tuple(ACCOUNT.read(document) for (document,) in rows)


def add_authorization(change: AddAuthorization) -> Script[None]:
    new = change.authorization
    values = (new.id, new.account_id, identifier_text(new.ordered), new.status.value)
    yield _ADD_AUTHORIZATION, (*values, to_micros(new.expires), AUTHORIZATION.write(new))


def change_authorization(change: ChangeAuthorization) -> Script[None]:
    before, after = change.before, change.after
    rows = yield _AUTHORIZATION, (before.id,)
    require(rows and AUTHORIZATION.is_same(rows[0][0], before))
    check = None if change.check is None else CHECK.write(change.check)
    values = (after.status.value, to_micros(after.expires), AUTHORIZATION.write(after))
    yield _CHANGE_AUTHORIZATION, (*values, check, before.id)


def load_authorization(authorization_id: str) -> Script[KeptAuthorization | None]:
    rows = yield _AUTHORIZATION, (authorization_id,)
    return _read_authorization(rows[0]) if rows else None


def find_valid_authorizations(
    account_id: str, ordered: Sequence[Identifier], now: datetime
) -> Script[tuple[KeptAuthorization, ...]]:
    names = array(identifier_text(each) for each in ordered)
    rows = yield _VALID_AUTHORIZATIONS, (account_id, names, to_micros(now))
    return tuple(_read_authorization(row) for row in rows)


def add_order(change: AddOrder) -> Script[None]:
    order = change.order
    rows = yield _COUNT_AUTHORIZATIONS, (array(order.authorization_ids),)
    require(rows[0][0] == len(set(order.authorization_ids)))
    yield _ADD_ORDER, (order.id, order.account_id, order.status.value, ORDER.write(order))


def change_order(change: ChangeOrder) -> Script[None]:
    before, after = change.before, change.after
    rows = yield _ORDER, (before.id,)
    require(rows and ORDER.is_same(rows[0][0], before))
    yield _CHANGE_ORDER, (after.status.value, ORDER.write(after), before.id)


def load_order(order_id: str) -> Script[KeptOrder | None]:
    rows = yield _ORDER, (order_id,)
    if not rows:
        return None
    order = ORDER.read(rows[0][0])
    ids = order.authorization_ids
    # Most orders have one name, and to ask for one costs less than to ask for a list of one.
    rows = yield (_AUTHORIZATION, ids) if len(ids) == 1 else (_AUTHORIZATIONS, (array(ids),))
    found = {each.authorization.id: each for each in map(_read_authorization, rows)}
    return KeptOrder(order, tuple(found[each] for each in order.authorization_ids))


def list_order_ids(account_id: str, after: str | None, limit: int) -> Script[tuple[str, ...]]:
    number = 0
    if after is not None:
        rows = yield _ORDER_NUMBER, (after, account_id)
        if not rows:
            return ()
        number = rows[0][0]
    rows = yield _ORDER_IDS, (account_id, number, limit)
    return tuple(order_id for (order_id,) in rows)


def _read_authorization(row: Row) -> KeptAuthorization:
    document, check = row
    kept_check = None if check is None else CHECK.read(check)
    return KeptAuthorization(AUTHORIZATION.read(document), kept_check)

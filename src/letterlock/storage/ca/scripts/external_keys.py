"""Keys for external account binding: which were given out, and which were taken back."""

from letterlock.storage.ca.external_keys import ChangeExternalKey, ExternalKey
from letterlock.storage.ca.scripts.script import Row, Script, require
from letterlock.storage.records import from_optional_micros, to_micros

_KEY = "SELECT kid, made, revoked FROM external_keys WHERE kid = ?"
_KEYS = "SELECT kid, made, revoked FROM external_keys WHERE kid > ? ORDER BY kid LIMIT ?"
_PUT_KEY = """
    INSERT INTO external_keys (kid, made, revoked) VALUES (?, ?, ?)
    ON CONFLICT (kid) DO UPDATE SET made = excluded.made, revoked = excluded.revoked
"""


def load_external_key(kid: str) -> Script[ExternalKey]:
    rows = yield _KEY, (kid,)
    return _read(rows[0]) if rows else ExternalKey(kid)


def change_external_key(change: ChangeExternalKey) -> Script[None]:
    before, after = change.before, change.after
    if before.kid != after.kid:
        raise ValueError("a key is changed to another")
    kept = yield from load_external_key(before.kid)
    require(kept == before)
    times = (None if each is None else to_micros(each) for each in (after.made, after.revoked))
    yield _PUT_KEY, (after.kid, *times)


def list_external_keys(after: str | None, limit: int) -> Script[tuple[ExternalKey, ...]]:
    rows = yield _KEYS, (after or "", limit)
    return tuple(_read(row) for row in rows)


def _read(row: Row) -> ExternalKey:
    kid, made, revoked = row
    return ExternalKey(kid, from_optional_micros(made), from_optional_micros(revoked))

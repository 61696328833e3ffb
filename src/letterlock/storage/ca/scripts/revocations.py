"""What is revoked, in shards; the CRLs of those; keys that nobody gets a certificate for."""

from letterlock.protocols.pki.issuance.issuers import find_shard
from letterlock.protocols.pki.issuance.revocation_lists import CrlPeriod, Reason, Revoked
from letterlock.storage.ca.changes import AddRevocation, BlockKey, ChangeRevocation, PutCrl
from letterlock.storage.ca.kept import BlockedKey, KeptCrl, KeyUse, ShardEntries, ShardState
from letterlock.storage.ca.scripts.keys import serial_text
from letterlock.storage.ca.scripts.script import Row, Script, Value, require
from letterlock.storage.records import from_micros, from_optional_micros, to_micros

_COLUMNS = "serial, moment, not_after, reason, invalid_since"
_ADD = f"""
    INSERT INTO revocations (issuer, shard, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - constants
_ONE = f"""
    SELECT {_COLUMNS} FROM revocations WHERE issuer = ? AND shard = ? AND serial = ?
"""  # noqa: S608 - constants
_ALL = f"SELECT {_COLUMNS} FROM revocations WHERE issuer = ? AND shard = ?"  # noqa: S608 - constants
_CHANGE = """
    UPDATE revocations SET moment = ?, not_after = ?, reason = ?, invalid_since = ?
    WHERE issuer = ? AND shard = ? AND serial = ?
"""
_REVISE = """
    INSERT INTO shards (issuer, shard, revision) VALUES (?, ?, 1)
    ON CONFLICT (issuer, shard) DO UPDATE SET revision = shards.revision + 1
"""
_REVISION = "SELECT revision FROM shards WHERE issuer = ? AND shard = ?"
_CRL_COLUMNS = "crl_number, this_update, next_update, covers"
_STATES = f"""
    SELECT shard, revision, {_CRL_COLUMNS} FROM shards WHERE issuer = ? ORDER BY shard
"""  # noqa: S608 - constants
_CRL = f"SELECT {_CRL_COLUMNS}, der FROM shards WHERE issuer = ? AND shard = ?"  # noqa: S608 - constants
_PUT_CRL = """
    INSERT INTO shards
        (issuer, shard, revision, crl_number, this_update, next_update, covers, der)
    VALUES (?, ?, 0, ?, ?, ?, ?, ?)
    ON CONFLICT (issuer, shard) DO UPDATE SET
        crl_number = excluded.crl_number, this_update = excluded.this_update,
        next_update = excluded.next_update, covers = excluded.covers, der = excluded.der
"""
_BLOCK = """
    INSERT INTO blocked_keys (spki_sha256, moment, why) VALUES (?, ?, ?) ON CONFLICT DO NOTHING
"""
_BLOCKED = "SELECT moment, why FROM blocked_keys WHERE spki_sha256 = ?"
_USE = """
    SELECT
        EXISTS (SELECT 1 FROM blocked_keys WHERE spki_sha256 = ?),
        (SELECT account_id FROM accounts WHERE thumbprint = ?)
"""


def add_revocation(change: AddRevocation) -> Script[None]:
    place = _place(change.issuer, change.revoked.serial)
    yield _ADD, (*place, serial_text(change.revoked.serial), *_values(change.revoked))
    yield _REVISE, place


def change_revocation(change: ChangeRevocation) -> Script[None]:
    before = change.before
    if before.serial != change.after.serial:
        raise ValueError("a revocation is changed to that of another serial number")
    place = _place(change.issuer, before.serial)
    key = (*place, serial_text(before.serial))
    rows = yield _ONE, key
    require(rows and _values(_read(rows[0])) == _values(before))
    yield _CHANGE, (*_values(change.after), *key)
    yield _REVISE, place


def load_shard(issuer: bytes, shard: int) -> Script[ShardEntries]:
    place = (issuer.hex(), shard)
    # The revision first: an entry that comes in between is then in the CRL before it must be.
    revisions = yield _REVISION, place
    rows = yield _ALL, place
    return ShardEntries(revisions[0][0] if revisions else 0, tuple(_read(row) for row in rows))


def find_revocation(issuer: bytes, serial: int) -> Script[Revoked | None]:
    rows = yield _ONE, (*_place(issuer, serial), serial_text(serial))
    return _read(rows[0]) if rows else None


def load_shard_states(issuer: bytes) -> Script[tuple[ShardState, ...]]:
    rows = yield _STATES, (issuer.hex(),)
    found = []
    for shard, revision, *crl, covers in rows:
        found.append(ShardState(shard, revision, _read_period(*crl), covers))
    return tuple(found)


def put_crl(change: PutCrl) -> Script[None]:
    crl, place = change.crl, (change.crl.issuer.hex(), change.crl.shard)
    rows = yield _CRL, place
    kept = _read_period(*rows[0][:3]) if rows else None
    require((None if kept is None else kept.number) == change.before)
    require(kept is None or kept.number < crl.period.number)
    period = crl.period
    moments = (to_micros(period.this_update), to_micros(period.next_update))
    yield _PUT_CRL, (*place, str(period.number), *moments, crl.covers, crl.der)


def load_crl(issuer: bytes, shard: int) -> Script[KeptCrl | None]:
    rows = yield _CRL, (issuer.hex(), shard)
    period = _read_period(*rows[0][:3]) if rows else None
    if period is None:
        return None
    *_, covers, der = rows[0]
    return KeptCrl(issuer, shard, period, covers, der)


def block_key(change: BlockKey) -> Script[None]:
    key = change.key
    yield _BLOCK, (key.spki_sha256, to_micros(key.moment), key.why)


def find_blocked_key(spki_sha256: bytes) -> Script[BlockedKey | None]:
    rows = yield _BLOCKED, (spki_sha256,)
    return BlockedKey(spki_sha256, from_micros(rows[0][0]), rows[0][1]) if rows else None


def find_key_use(spki_sha256: bytes, thumbprint: str) -> Script[KeyUse]:
    rows = yield _USE, (spki_sha256, thumbprint)
    is_blocked, holder_id = rows[0]
    return KeyUse(bool(is_blocked), holder_id)


def _place(issuer: bytes, serial: int) -> tuple[str, int]:
    shard = find_shard(serial)
    if shard is None:
        raise ValueError(f"serial number {serial:x} is of no shard of ours")
    return issuer.hex(), shard


def _values(revoked: Revoked) -> tuple[Value, ...]:
    """Give what is kept beside the serial number."""
    since = revoked.invalid_since
    return (
        *(to_micros(revoked.at), to_micros(revoked.not_after), int(revoked.reason)),
        None if since is None else to_micros(since),
    )


def _read(row: Row) -> Revoked:
    serial, moment, not_after, reason, since = row
    ends, reason = from_micros(not_after), Reason(reason)
    return Revoked(int(serial, 16), from_micros(moment), ends, reason, from_optional_micros(since))


def _read_period(
    number: str | None, this_update: int | None, next_update: int | None
) -> CrlPeriod | None:
    if number is None or this_update is None or next_update is None:
        return None
    return CrlPeriod(int(number), from_micros(this_update), from_micros(next_update))

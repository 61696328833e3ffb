"""Nonces, secrets, counters, paused names, and the halt switch."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.server.nonces import REMEMBERED_FOR, GoodNonce
from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.rate_limits import Counter, Exceeded, use
from letterlock.storage.ca.changes import (
    AddPause,
    ChangeCounter,
    ChangeHalt,
    RemovePause,
    RemoveSecret,
    UseCounter,
)
from letterlock.storage.ca.documents import HALT
from letterlock.storage.ca.kept import NONCE_SECRET, NOT_HALTED, Halt, PausedName
from letterlock.storage.ca.scripts.keys import counter_text, find_identifier, identifier_text
from letterlock.storage.ca.scripts.orders import load_account
from letterlock.storage.ca.scripts.script import Refused, Script, array, require
from letterlock.storage.records import from_micros, from_optional_micros, to_micros

_SPEND = """
    INSERT INTO nonces (forgotten, id)
    SELECT CAST(? AS BIGINT), ? FROM nonce_horizon WHERE moment < CAST(? AS BIGINT)
    ON CONFLICT DO NOTHING RETURNING 1
"""
# No further than what is forgotten: with the moment itself, one look by a clock that is ahead would
# have all nonces refused until that time comes.
_MOVE_HORIZON = """
    UPDATE nonce_horizon SET moment = (SELECT max(forgotten) FROM nonces WHERE forgotten <= ?)
    WHERE moment < (SELECT max(forgotten) FROM nonces WHERE forgotten <= ?)
"""
_FORGET = "DELETE FROM nonces WHERE forgotten <= (SELECT moment FROM nonce_horizon)"
_HORIZON = "SELECT moment FROM nonce_horizon"
_SET_HORIZON = "UPDATE nonce_horizon SET moment = ?"

_KEEP_SECRET = "INSERT INTO secrets (name, secret) VALUES (?, ?) ON CONFLICT DO NOTHING"  # noqa: S105 - a question, not a secret
_SECRET = "SELECT secret FROM secrets WHERE name = ?"  # noqa: S105 - a question for one

_REMOVE_SECRET = "DELETE FROM secrets WHERE name = ?"  # noqa: S105 - as above
_FORGET_ALL = ("DELETE FROM nonces", "UPDATE nonce_horizon SET moment = 0")

_RUN = "run of the machine"

_COUNTERS = "SELECT counter, empty_at FROM counters WHERE counter IN (SELECT value FROM {each})"
_PUT_COUNTER = """
    INSERT INTO counters (counter, empty_at) VALUES (?, ?)
    ON CONFLICT (counter) DO UPDATE SET empty_at = excluded.empty_at
"""
_REMOVE_COUNTER = "DELETE FROM counters WHERE counter = ?"
_SWEEP_COUNTERS = "DELETE FROM counters WHERE empty_at <= ?"

_PAUSE = """
    INSERT INTO paused_names (account_id, identifier, since) VALUES (?, ?, ?)
    ON CONFLICT DO NOTHING
"""
_UNPAUSE = """
    DELETE FROM paused_names WHERE account_id = ? AND identifier = ? AND since = ? RETURNING 1
"""
_PAUSED = """
    SELECT identifier, since FROM paused_names
    WHERE account_id = ? AND identifier IN (SELECT value FROM {each})
"""

_HALT = "SELECT document FROM halt"
_END_HALT = "DELETE FROM halt"
_PUT_HALT = "INSERT INTO halt (document) VALUES (?)"


def spend_nonce(nonce: GoodNonce) -> Script[bool]:
    forgotten = to_micros(nonce.forgotten)
    rows = yield _SPEND, (forgotten, nonce.id, forgotten)
    return bool(rows)


def spend_nonce_of(nonce: GoodNonce, account_id: str) -> Script[tuple[bool, Account | None]]:
    is_fresh = yield from spend_nonce(nonce)
    account = (yield from load_account(account_id)) if is_fresh else None
    return is_fresh, account


def forget_nonces(now: datetime) -> Script[None]:
    """Forget those that are too old, and refuse all that are as old from now on."""
    moment = to_micros(now)
    yield _MOVE_HORIZON, (moment, moment)
    yield _FORGET, ()


def reset_nonces(now: datetime) -> Script[datetime | None]:
    """Let nonces of now count, where a clock that was ahead has had all of them refused.

    Those up to now stay refused, whoever made them: some of them were used, and nobody knows any
    more. Those that were made ahead of now are none of ours by another secret, once each process
    has that.
    """
    rows = yield _HORIZON, ()
    moment: int = rows[0][0]
    fresh = to_micros(now + REMEMBERED_FOR)
    if moment <= fresh:
        return None
    yield _REMOVE_SECRET, (NONCE_SECRET,)
    yield _SET_HORIZON, (fresh,)
    return from_micros(moment) - REMEMBERED_FOR


def keep_secret(name: str, fresh: bytes) -> Script[bytes]:
    yield _KEEP_SECRET, (name, fresh)
    rows = yield _SECRET, (name,)
    secret: bytes = rows[0][0]
    return secret


def remove_secret(change: RemoveSecret) -> Script[None]:
    """Remove a secret. Nobody may be at work who knows that of nonces: what was spent goes, too."""
    yield _REMOVE_SECRET, (change.name,)
    if change.name == NONCE_SECRET:
        # The horizon may be far ahead of a clock that was ahead itself: nothing new would be good.
        for statement in _FORGET_ALL:
            yield statement, ()


def begin_run(run: str) -> Script[None]:
    """Note which run of the machine it is; one after another begins with a new secret of nonces.

    What was spent in the last moments before a power cut may not be on the disk.
    """
    rows = yield _SECRET, (_RUN,)
    if not rows or rows[0][0] != run.encode():
        yield from remove_secret(RemoveSecret(NONCE_SECRET))
        yield _REMOVE_SECRET, (_RUN,)
        yield _KEEP_SECRET, (_RUN, run.encode())


def load_counters(counters: Sequence[Counter]) -> Script[tuple[Counter, ...]]:
    found = yield from _find_counters(counters)
    return tuple(found)


def use_counter(change: UseCounter) -> Script[None]:
    (kept,) = yield from _find_counters([change.counter])
    used = use(kept, change.now, change.times)
    if isinstance(used, Exceeded):
        raise Refused
    assert used.empty_at is not None
    yield _PUT_COUNTER, (counter_text(used), to_micros(used.empty_at))


def change_counter(change: ChangeCounter) -> Script[None]:
    before, after = change.before, change.after
    if counter_text(before) != counter_text(after):
        raise ValueError("a counter is changed to another")
    (kept,) = yield from _find_counters([before])
    require(kept.empty_at == before.empty_at)
    if after.empty_at is None:
        yield _REMOVE_COUNTER, (counter_text(after),)
    else:
        yield _PUT_COUNTER, (counter_text(after), to_micros(after.empty_at))


def sweep_counters(now: datetime) -> Script[None]:
    """Forget counters that are empty: they say what no counter says."""
    yield _SWEEP_COUNTERS, (to_micros(now),)


def add_pause(change: AddPause) -> Script[None]:
    new = change.pause
    yield _PAUSE, (new.account_id, identifier_text(new.identifier), to_micros(new.since))


def remove_pause(change: RemovePause) -> Script[None]:
    old = change.pause
    values = (old.account_id, identifier_text(old.identifier), to_micros(old.since))
    require((yield _UNPAUSE, values))


def find_paused(
    account_id: str, identifiers: Sequence[Identifier]
) -> Script[tuple[PausedName, ...]]:
    rows = yield _PAUSED, (account_id, array(identifier_text(each) for each in identifiers))
    return tuple(
        PausedName(account_id, find_identifier(name), from_micros(since)) for name, since in rows
    )


def load_halt() -> Script[Halt]:
    rows = yield _HALT, ()
    return HALT.read(rows[0][0]) if rows else NOT_HALTED


def change_halt(change: ChangeHalt) -> Script[None]:
    kept = yield from load_halt()
    require(kept == change.before)
    if change.after == change.before:
        return
    yield _END_HALT, ()
    yield _PUT_HALT, (HALT.write(change.after),)


def _find_counters(counters: Sequence[Counter]) -> Script[list[Counter]]:
    keys = [counter_text(each) for each in counters]
    kept: dict[str, int] = dict((yield _COUNTERS, (array(keys),)))
    return [
        replace(each, empty_at=from_optional_micros(kept.get(key)))
        for each, key in zip(counters, keys, strict=True)
    ]

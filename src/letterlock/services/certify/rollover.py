"""Changing a certificate's key in step with its TLSA records: which step is next.

RFC 7671 §8.1, RFC 7672 §4: the next key's record is published beside the current one's, two TTLs
before that key is used; the old one goes when the new key is in use everywhere. Each stage is kept
before the next begins, so that whoever goes on after a crash goes on at the right one: every step
may be done twice. Carrying them out is `keeping`.

At SWITCHED the roll-over's key and digest are those of the key before, whose record is to go.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.services.publish.records import make_tlsa
from letterlock.storage.certificates import RollOver, RollOverStage

LOOK_EVERY = timedelta(minutes=5)
"""Between two looks at records that are still to come or to go."""

AFTER_SWITCH = timedelta(hours=1)
"""How long the old key's record stays at least: every node has the new key by then, the workers
that still showed the old one have ended, and nodes have looked at what they show (`showing`)."""


HELD_UP = timedelta(hours=3)
"""After so long at one stage what is in the way is a problem; servers of a zone follow before."""
_SEEN = "the next key's TLSA record is seen; caches have it by"
_LOST = "senders that go by DANE do not deliver, for the record of the key in use was gone at"
_SWITCHED = "the new key is in use; the old one's TLSA record is removed when all nodes have it"
_UNKNOWN = "not known what is published, so that it waits:"


@dataclass(frozen=True, slots=True)
class PublishedTlsa:
    """The TLSA records of one certificate's name, as all authoritative servers have them.

    `base` is their owner, with `_port._tcp`. `everywhere` has what each server has that answered,
    `anywhere` what some have. `ttl` is the longest. `fault` says in one line why nothing is known,
    `doubt` which servers did not answer; empty: it is known, they all did.
    """

    base: str
    everywhere: frozenset[TlsaRecord] = frozenset()
    anywhere: frozenset[TlsaRecord] = frozenset()
    ttl: timedelta = timedelta(0)
    fault: str = ""
    doubt: str = ""


class Step(StrEnum):
    """What is to be done before the roll-over that comes with it is kept."""

    KEEP = "keep"
    """Nothing but keeping it: time or the operator has to do something first."""
    PUBLISH = "publish"
    """Add the next key's record."""
    ORDER = "order"
    """Get a certificate for the next key."""
    SWITCH = "switch"
    """Use the next pair."""
    WITHDRAW = "withdraw"
    """Remove the old key's record."""


@dataclass(frozen=True, slots=True)
class Next:
    """A step, and the roll-over to keep when it has been done; None: none goes on."""

    step: Step
    rollover: RollOver | None


def begin(key: bytes, spki_sha256: bytes, now: datetime) -> RollOver:
    """Begin with a new key (PEM)."""
    note = "the next key is made; its TLSA record is not published yet"
    return RollOver(RollOverStage.KEY_MADE, key, spki_sha256, now, note=note)


def find_next(
    rollover: RollOver,
    published: PublishedTlsa,
    current_spki: bytes | None,
    now: datetime,
    *,
    is_ours_to_change: bool,
    holdup: str = "",
) -> Next:
    """Find the next step.

    `current_spki` is the digest of the key in use; None: the next one is the first that the node
    has, for a name that has records already. `is_ours_to_change`: the node changes DNS by
    itself; else the operator is told what to do, and it is waited for. `holdup` says in one line
    where the old key may still be shown after the switch; empty: nowhere.
    """
    if unknown := published.fault or published.doubt:
        return _wait(rollover, f"{_UNKNOWN} {unknown}", now)
    match rollover.stage:
        case RollOverStage.KEY_MADE:
            return _publish(rollover, published, now, is_ours_to_change=is_ours_to_change)
        case RollOverStage.PUBLISHED | RollOverStage.SEEN:
            return _await_caches(
                rollover, published, current_spki, now, is_ours_to_change=is_ours_to_change
            )
        case RollOverStage.ISSUED:
            return _switch(rollover, published, current_spki, now)
        case RollOverStage.SWITCHED:
            return _withdraw(
                rollover, published, now, is_ours_to_change=is_ours_to_change, holdup=holdup
            )


def is_held_up(rollover: RollOver, now: datetime) -> bool:
    """Say if something is in the way for long: it looks again and again, and goes no further."""
    is_usual = rollover.stage is RollOverStage.SEEN and rollover.note.startswith(_SEEN)
    looks_soon = rollover.ready is None or rollover.ready <= now + LOOK_EVERY
    return looks_soon and not is_usual and now - rollover.since >= HELD_UP


def has_lost_record(rollover: RollOver) -> bool:
    """Say if the record of the key in use went when the next one's came."""
    return rollover.stage is RollOverStage.SEEN and rollover.note.startswith(_LOST)


def _publish(
    rollover: RollOver, published: PublishedTlsa, now: datetime, *, is_ours_to_change: bool
) -> Next:
    if not published.anywhere:
        # No sender knows any key of ours by DNS: nothing has to be waited for.
        note = f"there are no TLSA records at {published.base}: the next key can be used at once"
        return Next(Step.KEEP, _enter(rollover, RollOverStage.SEEN, now, now, note))
    wanted = _show(published, rollover.spki_sha256)
    if is_ours_to_change:
        note = f"published: {wanted}; waiting to see it at every server of the zone"
        return Next(Step.PUBLISH, _enter(rollover, RollOverStage.PUBLISHED, now, now, note))
    note = f"publish beside the records that are there: {wanted}"
    return Next(Step.KEEP, _enter(rollover, RollOverStage.PUBLISHED, now, now, note))


def _await_caches(
    rollover: RollOver,
    published: PublishedTlsa,
    current_spki: bytes | None,
    now: datetime,
    *,
    is_ours_to_change: bool,
) -> Next:
    if not _is_covered(published, rollover.spki_sha256):
        wanted = _show(published, rollover.spki_sha256)
        if _has(published, rollover):
            where = "some servers of the zone lack"
        elif is_ours_to_change:
            where = "no server of the zone has"
        else:
            where = "publish beside the records that are there:"
        since = rollover.since if rollover.stage is RollOverStage.PUBLISHED else now
        back = replace(rollover, stage=RollOverStage.PUBLISHED, since=since, ready=None)
        return _wait(back, f"{where} {wanted}", now)
    if rollover.stage is RollOverStage.PUBLISHED:
        # RFC 7671 §8.1: what caches have is out of date after one TTL; two are asked for.
        ready = now + 2 * published.ttl
        note = _format_wait(ready)
        if current_spki is not None and _is_lost(published, current_spki):
            # It was put in the place of the one before, not beside it. The wait stays: caches may
            # have the one before, and it ends by itself when the next key is used.
            shown = _show(published, current_spki)
            note = f"{_LOST} {now:%H:%M} UTC: publish it again: {shown}; {note}"
        return Next(Step.KEEP, _enter(rollover, RollOverStage.SEEN, now, ready, note))
    if rollover.ready is not None and now < rollover.ready:
        is_known_again = rollover.note.startswith((_SEEN, _UNKNOWN))
        note = _format_wait(rollover.ready) if is_known_again else rollover.note
        return Next(Step.KEEP, replace(rollover, note=note))
    note = "the certificate for the next key is there"
    return Next(Step.ORDER, _enter(rollover, RollOverStage.ISSUED, now, now, note))


def _switch(
    rollover: RollOver, published: PublishedTlsa, current_spki: bytes | None, now: datetime
) -> Next:
    if not _is_covered(published, rollover.spki_sha256):
        wanted = _show(published, rollover.spki_sha256)
        return _wait(rollover, f"not switched, for its TLSA record is gone: {wanted}", now)
    if current_spki is None:
        return Next(Step.SWITCH, None)
    ready = now + AFTER_SWITCH
    switched = RollOver(RollOverStage.SWITCHED, b"", current_spki, now, ready, _SWITCHED)
    return Next(Step.SWITCH, switched)


def _withdraw(
    rollover: RollOver,
    published: PublishedTlsa,
    now: datetime,
    *,
    is_ours_to_change: bool,
    holdup: str,
) -> Next:
    old = make_tlsa(rollover.spki_sha256)
    if old not in published.anywhere:
        return Next(Step.KEEP, None)
    if rollover.ready is not None and now < rollover.ready:
        note = _SWITCHED if rollover.note.startswith(_UNKNOWN) else rollover.note
        return Next(Step.KEEP, replace(rollover, note=note))
    shown = _show(published, rollover.spki_sha256)
    if holdup:
        # RFC 7671 §8.1: it goes when nobody is shown its key any more.
        return _wait(rollover, f"the old key's record has to stay ({shown}): {holdup}", now)
    if is_ours_to_change:
        return Next(Step.WITHDRAW, _later(rollover, f"removed: {shown}", now))
    return _wait(rollover, f"the new key is in use everywhere; remove: {shown}", now)


def _format_wait(ready: datetime) -> str:
    return f"{_SEEN} {ready:%Y-%m-%d %H:%M} UTC"


def _is_covered(published: PublishedTlsa, spki_sha256: bytes) -> bool:
    """Say if whoever asks today finds the key, or finds that there are no records at all."""
    return not published.anywhere or make_tlsa(spki_sha256) in published.everywhere


def _is_lost(published: PublishedTlsa, spki_sha256: bytes) -> bool:
    """Say if there are records for keys alone, and none for this one."""
    kinds = {(each.usage, each.selector, each.matching_type) for each in published.anywhere}
    return kinds == {(3, 1, 1)} and make_tlsa(spki_sha256) not in published.anywhere


def _has(published: PublishedTlsa, rollover: RollOver) -> bool:
    return make_tlsa(rollover.spki_sha256) in published.anywhere


def _show(published: PublishedTlsa, spki_sha256: bytes) -> str:
    return f"{published.base}. IN TLSA {make_tlsa(spki_sha256)}"


def _enter(
    rollover: RollOver, stage: RollOverStage, now: datetime, ready: datetime, note: str
) -> RollOver:
    return replace(rollover, stage=stage, since=now, ready=ready, note=note)


def _later(rollover: RollOver, note: str, now: datetime) -> RollOver:
    # Nothing cuts a wait short: whoever looks before it is over may find something in the way.
    ready = max(rollover.ready or now, now + LOOK_EVERY)
    return replace(rollover, ready=ready, note=note)


def _wait(rollover: RollOver, note: str, now: datetime) -> Next:
    return Next(Step.KEEP, _later(rollover, note, now))

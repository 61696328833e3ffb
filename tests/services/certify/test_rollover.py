"""RFC 7671 §8.1, RFC 7672 §4: which step of a change to another key is next."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.services.certify.rollover import (
    AFTER_SWITCH,
    HELD_UP,
    LOOK_EVERY,
    Next,
    PublishedTlsa,
    Step,
    begin,
    find_next,
    has_lost_record,
    is_held_up,
)
from letterlock.services.publish.records import make_tlsa
from letterlock.storage.certificates import RollOver, RollOverStage
from tests.fakes import START

OLD, NEW = b"o" * 32, b"n" * 32
BASE = "_25._tcp.mx1.example.org"
HOUR = timedelta(hours=1)


def published(
    *everywhere: bytes, somewhere: tuple[bytes, ...] = (), fault: str = ""
) -> PublishedTlsa:
    records = frozenset(map(make_tlsa, everywhere))
    anywhere = records | frozenset(map(make_tlsa, somewhere))
    return PublishedTlsa(BASE, records, anywhere, HOUR, fault)


def at(stage: RollOverStage, ready: timedelta = timedelta(0)) -> RollOver:
    spki = OLD if stage is RollOverStage.SWITCHED else NEW
    return RollOver(stage, b"pem", spki, START, START + ready)


def next_of(
    rollover: RollOver,
    seen: PublishedTlsa,
    *,
    later: timedelta = timedelta(0),
    is_ours: bool = True,
    current: bytes | None = OLD,
    holdup: str = "",
) -> Next:
    return find_next(
        rollover, seen, current, START + later, is_ours_to_change=is_ours, holdup=holdup
    )


def test_the_next_key_is_published_beside_the_current_one() -> None:
    """RFC 7671 §8.1; rule 141"""
    step = next_of(begin(b"pem", NEW, START), published(OLD))
    assert step.step is Step.PUBLISH
    assert step.rollover is not None
    assert step.rollover.stage is RollOverStage.PUBLISHED


def test_an_operator_is_told_the_record_to_publish() -> None:
    step = next_of(begin(b"pem", NEW, START), published(OLD), is_ours=False)
    assert step.step is Step.KEEP
    assert step.rollover is not None
    assert f"{BASE}. IN TLSA 3 1 1 {NEW.hex()}" in step.rollover.note


def test_without_any_record_nothing_is_waited_for() -> None:
    step = next_of(begin(b"pem", NEW, START), published())
    assert step.rollover is not None
    assert step.rollover.stage is RollOverStage.SEEN
    assert next_of(step.rollover, published()).step is Step.ORDER


def test_two_ttls_begin_when_every_server_has_the_record() -> None:
    """RFC 7671 §8.1; rule 141"""
    waiting = at(RollOverStage.PUBLISHED)
    for seen in (published(OLD), published(OLD, somewhere=(NEW,))):
        step = next_of(waiting, seen)
        assert step.step is Step.KEEP
        assert step.rollover is not None
        assert step.rollover.stage is RollOverStage.PUBLISHED
        assert step.rollover.ready == START + LOOK_EVERY
    step = next_of(waiting, published(OLD, NEW), later=HOUR)
    assert step.rollover is not None
    assert (step.rollover.stage, step.rollover.ready) == (RollOverStage.SEEN, START + 3 * HOUR)


def test_the_order_waits_for_caches() -> None:
    seen = at(RollOverStage.SEEN, 2 * HOUR)
    early = next_of(seen, published(OLD, NEW), later=2 * HOUR - timedelta(seconds=1))
    assert early == Next(Step.KEEP, seen)
    step = next_of(seen, published(OLD, NEW), later=2 * HOUR)
    assert step.step is Step.ORDER


def test_a_record_that_went_again_is_waited_for_anew() -> None:
    step = next_of(at(RollOverStage.SEEN, 2 * HOUR), published(OLD), later=3 * HOUR)
    assert step.step is Step.KEEP
    assert step.rollover is not None
    assert step.rollover.stage is RollOverStage.PUBLISHED


def test_nothing_is_switched_to_a_key_that_no_record_has() -> None:
    """RFC 7671 §8.1; rule 141"""
    issued = at(RollOverStage.ISSUED)
    for seen in (published(OLD), published(OLD, somewhere=(NEW,)), published(fault="timed out")):
        step = next_of(issued, seen)
        assert step.step is Step.KEEP
        assert step.rollover is not None
        assert step.rollover.stage is RollOverStage.ISSUED
    assert next_of(issued, published(OLD, NEW)).step is Step.SWITCH


def test_the_old_record_stays_until_all_nodes_have_switched() -> None:
    switch = next_of(at(RollOverStage.ISSUED), published(OLD, NEW))
    switched = switch.rollover
    assert switched is not None
    assert (switched.stage, switched.spki_sha256) == (RollOverStage.SWITCHED, OLD)
    assert switched.key == b""
    assert next_of(switched, published(OLD, NEW)).step is Step.KEEP
    step = next_of(switched, published(OLD, NEW), later=AFTER_SWITCH)
    assert step.step is Step.WITHDRAW
    by_hand = next_of(switched, published(OLD, NEW), later=AFTER_SWITCH, is_ours=False)
    assert by_hand.rollover is not None
    assert f"remove: {BASE}. IN TLSA 3 1 1 {OLD.hex()}" in by_hand.rollover.note
    assert next_of(switched, published(NEW), later=AFTER_SWITCH) == Next(Step.KEEP, None)


def test_what_is_in_the_way_cuts_no_wait_short() -> None:
    """RFC 7671 §8.1: a server that does not answer for a moment does not empty caches."""
    seen = at(RollOverStage.SEEN, 2 * HOUR)
    unknown = next_of(seen, published(fault="timed out"), later=LOOK_EVERY).rollover
    assert unknown is not None
    assert unknown.ready == START + 2 * HOUR
    switched = at(RollOverStage.SWITCHED, AFTER_SWITCH)
    unknown = next_of(switched, published(fault="timed out"), later=LOOK_EVERY).rollover
    assert unknown is not None
    assert unknown.ready == START + AFTER_SWITCH


def test_a_record_in_the_place_of_the_one_before_is_told() -> None:
    """RFC 7671 §8.1: beside it. Senders find none for the key in use until the next one is."""
    seen = next_of(at(RollOverStage.PUBLISHED), published(NEW), is_ours=False).rollover
    assert seen is not None
    assert has_lost_record(seen)
    assert f"publish it again: {BASE}. IN TLSA 3 1 1 {OLD.hex()}" in seen.note
    assert seen.ready == START + 2 * HOUR
    others = replace(published(NEW), anywhere=frozenset({TlsaRecord(2, 1, 1, OLD), make_tlsa(NEW)}))
    for fine in (
        next_of(at(RollOverStage.PUBLISHED), published(OLD, NEW)),
        next_of(at(RollOverStage.PUBLISHED), others),
        next_of(at(RollOverStage.PUBLISHED), published(NEW), current=None),
    ):
        assert fine.rollover is not None
        assert not has_lost_record(fine.rollover)


def test_what_was_in_the_way_is_not_told_any_more() -> None:
    seen = next_of(at(RollOverStage.PUBLISHED), published(OLD, NEW)).rollover
    assert seen is not None
    switched = next_of(at(RollOverStage.ISSUED), published(OLD, NEW)).rollover
    assert switched is not None
    for usual in (seen, switched):
        unknown = next_of(usual, published(fault="timed out"), later=LOOK_EVERY).rollover
        assert unknown is not None
        assert unknown.note.endswith("timed out")
        again = next_of(unknown, published(OLD, NEW), later=LOOK_EVERY).rollover
        assert again == usual
    set_clock = replace(seen, ready=START + 5 * HOUR)
    step = next_of(set_clock, published(OLD, NEW))
    assert step.rollover is not None
    assert step.rollover.note.endswith(f"caches have it by {START + 5 * HOUR:%Y-%m-%d %H:%M} UTC")


def test_a_record_that_went_is_looked_for_soon() -> None:
    seen = at(RollOverStage.SEEN, 48 * HOUR)
    step = next_of(seen, published(OLD), later=HOUR)
    assert step.rollover is not None
    assert step.rollover.ready == START + HOUR + LOOK_EVERY


def test_the_old_record_stays_where_the_old_key_may_be_shown() -> None:
    """RFC 7671 §8.1"""
    switched = at(RollOverStage.SWITCHED, AFTER_SWITCH)
    seen = published(OLD, NEW)
    for is_ours in (True, False):
        step = next_of(
            switched, seen, later=2 * HOUR, is_ours=is_ours, holdup="mx2: the hook failed"
        )
        assert step.step is Step.KEEP
        assert step.rollover is not None
        assert "has to stay" in step.rollover.note
        assert "mx2: the hook failed" in step.rollover.note


def test_what_is_in_the_way_for_long_is_told() -> None:
    waiting = at(RollOverStage.PUBLISHED, 4 * HOUR)
    assert not is_held_up(waiting, START + HELD_UP)  # it looks again only later
    assert not is_held_up(replace(waiting, ready=START), START + HELD_UP - timedelta(seconds=1))
    assert is_held_up(replace(waiting, ready=START), START + HELD_UP)
    assert is_held_up(replace(waiting, ready=None), START + HELD_UP)
    for_caches = next_of(at(RollOverStage.PUBLISHED), published(OLD, NEW), later=HOUR).rollover
    assert for_caches is not None
    assert not is_held_up(for_caches, START + 10 * HOUR)
    stuck = next_of(for_caches, published(fault="timed out"), later=10 * HOUR).rollover
    assert stuck is not None
    assert is_held_up(stuck, START + 10 * HOUR)


def test_a_first_key_ends_when_it_is_in_use() -> None:
    step = next_of(at(RollOverStage.ISSUED), published(OLD, NEW), current=None)
    assert step == Next(Step.SWITCH, None)


@dataclass
class _World:
    """A zone, a certificate and what is kept; `is_safe` must never be false."""

    zone: set[TlsaRecord] = field(default_factory=lambda: {make_tlsa(OLD)})
    lagging: set[TlsaRecord] = field(default_factory=lambda: {make_tlsa(OLD)})
    caches: list[tuple[timedelta, frozenset[TlsaRecord]]] = field(default_factory=list)
    in_use: bytes = OLD
    now: timedelta = timedelta(0)
    kept: RollOver | None = field(default_factory=lambda: begin(b"pem", NEW, START))
    doubt: str = ""

    def look(self) -> PublishedTlsa:
        if self.doubt:
            return PublishedTlsa(BASE, doubt=self.doubt)
        everywhere = frozenset(self.zone & self.lagging)
        return PublishedTlsa(BASE, everywhere, frozenset(self.zone | self.lagging), HOUR)

    def step(self, *, is_lost: bool) -> None:
        """Do the next step; `is_lost`: it is done, and a crash comes before that is kept."""
        if self.kept is None:
            return
        step = find_next(
            self.kept, self.look(), self.in_use, START + self.now, is_ours_to_change=True
        )
        record = make_tlsa(self.kept.spki_sha256)
        if step.step is Step.PUBLISH:
            self.zone.add(record)
        if step.step is Step.WITHDRAW:
            self.zone.discard(record)
        if step.step is Step.SWITCH:
            # One transaction: the pair and the stage are kept together, or neither.
            if is_lost:
                return
            self.in_use = self.kept.spki_sha256
        if not is_lost:
            self.kept = step.rollover

    def is_safe(self) -> bool:
        """Say if a sender finds the key: at any server, or in what it asked less than a TTL ago."""
        known = [records for time, records in self.caches if self.now - time < HOUR]
        ours = make_tlsa(self.in_use)
        return all(ours in records for records in (*known, self.zone, self.lagging))


_MOVES = st.sampled_from(["step", "crash", "doubt", "transfer", "wait", "wait long", "ask"])


@given(st.lists(_MOVES, max_size=60))
def test_senders_always_find_the_key_in_use(moves: list[str]) -> None:
    """Whatever crashes between, however late a server is, and whenever a cache was filled."""
    world = _World()
    for move in [*moves, *(["transfer", "ask", "wait long", "step"] * 8)]:
        match move:
            case "step" | "crash":
                world.step(is_lost=move == "crash")
            case "doubt":
                world.doubt = "a server does not answer"
                world.step(is_lost=False)
                world.doubt = ""
            case "transfer":
                world.lagging = set(world.zone)
            case "ask":
                world.caches += [
                    (world.now, frozenset(world.zone)),
                    (world.now, frozenset(world.lagging)),
                ]
            case "wait" | "wait long":
                world.now += timedelta(minutes=10) if move == "wait" else 3 * HOUR
            case _:
                raise AssertionError(move)
        assert world.is_safe()
    assert world.kept is None
    assert (world.in_use, world.zone) == (NEW, {make_tlsa(NEW)})


def test_a_roll_over_never_shows_its_key() -> None:
    assert "pem" not in repr(replace(begin(b"pem", NEW, START)))

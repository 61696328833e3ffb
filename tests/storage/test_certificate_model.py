"""The certificates of two nodes beside a model: whatever both do, all three say the same."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.certificates import (
    CertificateId,
    CertificateLease,
    CertificateState,
    KeptPair,
    RollOver,
    RollOverStage,
)
from tests.fakes import FakeClock
from tests.storage.node_stores import DAY, FACTS, MINUTE, MakeNode, postgres_node, sqlite_node
from tests.storage.postgres_server import PostgresServer

IDS = [
    CertificateId("a.example", KeyType.ECDSA),
    CertificateId("a.example", KeyType.RSA),
    CertificateId("b.example", KeyType.ECDSA),
]
NODES = (0, 1)

T = TypeVar("T")

nodes = st.sampled_from(NODES)
numbers = st.integers(0, 100)
spans = st.sampled_from([MINUTE, 5 * MINUTE, DAY])


@dataclass
class Kept:
    """What the model has of one certificate. `lease` is a token and its end."""

    state: CertificateState
    pair: KeptPair | None = None
    next_pair: KeptPair | None = None
    lease: tuple[str, datetime] | None = None


@dataclass(frozen=True)
class Change:
    """What is given to `keep` or `settle`."""

    stage: RollOverStage | None
    has_pair: bool
    has_next: bool


ISSUED, SWITCHED = RollOverStage.ISSUED, RollOverStage.SWITCHED
stages = st.sampled_from([ISSUED, ISSUED, SWITCHED, None])
changes = st.builds(Change, stages, st.booleans(), st.booleans())


class CertificatesMachine(RuleBasedStateMachine):
    def make_nodes(self) -> MakeNode:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.runner = asyncio.Runner()
        make = self.make_nodes()
        self.stores = [make().certificates for _ in NODES]
        for store in self.stores:
            self.do(store.open())
        self.model: dict[CertificateId, Kept] = {}
        self.leases: list[CertificateLease] = []
        self.version = 0
        self.pairs = 0

    def do(self, work: Awaitable[T]) -> T:
        async def done() -> T:
            return await work

        return self.runner.run(done())

    def teardown(self) -> None:
        for store in self.stores:
            self.do(store.close())
        self.runner.close()

    @rule(node=nodes, which=st.sampled_from(IDS), span=spans)
    def claim(self, node: int, which: CertificateId, span: timedelta) -> None:
        now = self.clock.now()
        kept = self.model.get(which)
        # One that ends far beyond what is asked for comes from a clock that was wrong.
        is_held = (
            kept is not None and kept.lease is not None and now < kept.lease[1] <= now + 2 * span
        )
        lease = self.do(self.stores[node].claim(which, now, now + span))
        if lease is None:
            assert is_held
            return
        assert not is_held
        kept = self.model.setdefault(which, Kept(CertificateState(which)))
        assert lease.state == kept.state
        kept.lease = (lease.token, now + span)
        self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(node=nodes, number=numbers, change=changes, until=st.none() | spans)
    def keep(self, node: int, number: int, change: Change, until: timedelta | None) -> None:
        lease = self.find_lease(number)
        end = None if until is None else self.clock.now() + until
        state, pair, next_pair = self.make(lease, change)
        keeping = self.stores[node].keep(lease, state, pair=pair, next_pair=next_pair, until=end)
        assert self.do(keeping) is self.is_ours(lease)
        if self.is_ours(lease):
            self.note(state, pair, next_pair)
            if end is not None:
                self.model[lease.id].lease = (lease.token, end)

    @precondition(lambda self: self.leases)
    @rule(node=nodes, number=numbers, change=changes)
    def settle(self, node: int, number: int, change: Change) -> None:
        lease = self.find_lease(number)
        state, pair, next_pair = self.make(lease, change)
        settling = self.stores[node].settle(lease, state, pair=pair, next_pair=next_pair)
        assert self.do(settling) is self.is_ours(lease)
        if self.is_ours(lease):
            self.note(state, pair, next_pair)
            self.model[lease.id].lease = None

    def make(
        self, lease: CertificateLease, change: Change
    ) -> tuple[CertificateState, KeptPair | None, KeptPair | None]:
        stage, now = change.stage, self.clock.now()
        rollover = RollOver(stage, b"key", b"digest", now) if stage is not None else None
        state = CertificateState(lease.id, replace(FACTS, serial=f"{self.pairs:x}"), None)
        pair = self.make_pair() if change.has_pair else None
        has_next = change.has_next and stage is ISSUED
        next_pair = self.make_pair() if has_next else None
        return replace(state, rollover=rollover), pair, next_pair

    def note(
        self, state: CertificateState, pair: KeptPair | None, next_pair: KeptPair | None
    ) -> None:
        kept = self.model[state.id]
        version = kept.state.version
        if pair is not None:
            self.version += 1
            kept.pair, version = pair, self.version
        if state.rollover is None or state.rollover.stage is not ISSUED:
            kept.next_pair = None
        elif next_pair is not None:
            kept.next_pair = next_pair
        kept.state = replace(state, version=version)

    @precondition(lambda self: self.leases)
    @rule(node=nodes, number=numbers)
    def release(self, node: int, number: int) -> None:
        lease = self.find_lease(number)
        assert self.do(self.stores[node].release(lease)) is self.is_ours(lease)
        if self.is_ours(lease):
            self.model[lease.id].lease = None

    @rule(node=nodes, which=st.sampled_from(IDS))
    def forget(self, node: int, which: CertificateId) -> None:
        now, kept = self.clock.now(), self.model.get(which)
        is_free = kept is not None and (kept.lease is None or kept.lease[1] <= now)
        assert self.do(self.stores[node].forget(which, now)) is is_free
        if is_free:
            del self.model[which]
            self.version += 1

    @rule(step=st.sampled_from([MINUTE, 5 * MINUTE, DAY, -DAY]))
    def let_time_pass(self, step: timedelta) -> None:
        self.clock.set_wall(self.clock.now() + step)

    @invariant()
    def both_have_what_the_model_has(self) -> None:
        store = self.stores[self.version % 2]
        assert self.do(store.read_version()) == self.version
        listed = self.do(store.list_states())
        assert listed == [self.model[which].state for which in sorted(self.model)]
        for which in IDS:
            kept = self.model.get(which)
            assert self.do(store.load_pair(which)) == (kept.pair if kept else None)
            assert self.do(store.load_next_pair(which)) == (kept.next_pair if kept else None)

    @invariant()
    def what_changed_since_is_listed_in_order(self) -> None:
        since = self.version // 2
        states = [kept.state for kept in self.model.values() if kept.pair is not None]
        expected = sorted(
            (state for state in states if state.version > since), key=lambda each: each.version
        )
        assert self.do(self.stores[0].list_changed(since)) == expected

    def find_lease(self, number: int) -> CertificateLease:
        """Give one: of four three that hold."""
        current = [lease for lease in self.leases if self.is_ours(lease)]
        among = current if current and number % 4 else self.leases
        return among[number % len(among)]

    def is_ours(self, lease: CertificateLease) -> bool:
        kept = self.model.get(lease.id)
        return kept is not None and kept.lease is not None and kept.lease[0] == lease.token

    def make_pair(self) -> KeptPair:
        self.pairs += 1
        return KeptPair(f"chain {self.pairs}".encode(), f"key {self.pairs}".encode())


class SqliteMachine(CertificatesMachine):
    def make_nodes(self) -> MakeNode:
        self.folder = TemporaryDirectory()
        return partial(sqlite_node, Path(self.folder.name) / "node.sqlite", self.clock)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


TestSqliteModel = SqliteMachine.TestCase
TestSqliteModel.settings = settings(max_examples=10, stateful_step_count=30, deadline=None)


@pytest.mark.peer("postgresql")
def test_postgres_model(postgres: PostgresServer) -> None:
    class PostgresMachine(CertificatesMachine):
        def make_nodes(self) -> MakeNode:
            return partial(postgres_node, postgres.create_schema(), self.clock)

    run_state_machine_as_test(
        PostgresMachine,
        settings=settings(max_examples=3, stateful_step_count=20, deadline=None),
    )

"""Our own certificates: one suite on both engines."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.renewal import RenewalPlan, Trouble
from letterlock.protocols.acme.renewal_info import RenewalInfo
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.certificates import (
    ROW_COLUMNS,
    CertificateId,
    CertificateState,
    KeptFacts,
    KeptPair,
    RollOver,
    RollOverStage,
    make_row,
    read_row,
)
from letterlock.storage.migrations import Migration, load_migrations
from letterlock.storage.postgres import certificates as postgres_certificates
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite import certificates as sqlite
from tests.fakes import START, FakeClock
from tests.storage.conftest import ENGINES
from tests.storage.node_stores import (
    DAY,
    DIRECTORY,
    FACTS,
    MINUTE,
    NAME,
    PAIR,
    MakeNode,
    NodeStores,
    add,
    claim,
    postgres_node,
    sqlite_node,
)
from tests.storage.postgres_server import PostgresServer

RSA = CertificateId(NAME.name, KeyType.RSA)
WILDCARD = CertificateId("*.xn--bcher-kva.example", KeyType.ECDSA)
ADDRESS = CertificateId("2001:db8::1", KeyType.ED25519)
NEW_PAIR = KeptPair(b"another chain", b"another key")
PLAN = RenewalPlan(START + 60 * DAY)
WINDOW = RenewalInfo(START, START + DAY, "https://one.example/why")
TROUBLE = Trouble(DIRECTORY, 3, START, START + MINUTE, "rate limited, \u00fc")
ROLLOVER = RollOver(RollOverStage.ISSUED, b"next key", b"\x01" * 32, START, START + DAY, "waits")
FULL = CertificateState(
    NAME, FACTS, RenewalPlan(START, WINDOW, START + DAY, 2), (TROUBLE,), ROLLOVER, START + MINUTE
)

# Microseconds are what is kept.
moments = st.datetimes(datetime(1800, 1, 1), datetime(9999, 12, 31)).map(  # noqa: DTZ001 - naive first
    lambda each: each.replace(tzinfo=START.tzinfo)
)
optional_moments = st.none() | moments
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(0, 10**6)
facts = st.builds(
    KeptFacts,
    *(words, st.lists(words, max_size=3).map(tuple), moments, moments, st.binary(max_size=32)),
    *(words, words, moments, numbers),
)
plans = st.builds(
    RenewalPlan,
    *(moments, st.none() | st.builds(RenewalInfo, moments, moments, st.none() | words)),
    *(optional_moments, numbers),
)
troubles = st.builds(Trouble, words, numbers, moments, moments, words)
rollovers = st.builds(
    RollOver,
    *(st.sampled_from(RollOverStage), st.binary(), st.binary(max_size=32), moments),
    *(optional_moments, words),
)
states = st.builds(
    CertificateState,
    st.builds(CertificateId, words, st.sampled_from(KeyType)),
    st.none() | facts,
    st.none() | plans,
    st.lists(troubles, max_size=2).map(tuple),
    st.none() | rollovers,
    optional_moments,
    numbers,
)


@given(states)
def test_a_row_gives_the_state_again(state: CertificateState) -> None:
    row = (state.id.name, str(state.id.key_type), state.version, *make_row(state))
    assert len(row) == len(ROW_COLUMNS)
    assert read_row(row) == state


def test_no_key_is_ever_shown() -> None:
    """What ends in a log or a traceback has none."""
    shown = f"{PAIR} {PAIR!r} {FULL} {FULL!r} {replace(FULL, version=1)}"
    assert "the key" not in shown
    assert "next key" not in shown
    assert str(WILDCARD) == "*.xn--bcher-kva.example (ECDSA)"


async def test_nothing_is_kept_at_first(node: NodeStores) -> None:
    store = node.certificates
    assert await store.load(NAME) is None
    assert await store.load_pair(NAME) is None
    assert await store.load_next_pair(NAME) is None
    assert await store.list_states() == []
    assert await store.list_changed(0) == []
    assert await store.read_version() == 0
    assert not await store.forget(NAME, START)


@pytest.mark.parametrize(
    "state",
    [
        CertificateState(NAME),
        CertificateState(NAME, FACTS),
        CertificateState(NAME, None, None, (TROUBLE, replace(TROUBLE, directory="x", count=1))),
        FULL,
        replace(FULL, facts=replace(FACTS, hurried=3, names=("a", "b")), plan=PLAN),
        replace(FULL, rollover=RollOver(RollOverStage.SWITCHED, b"", b"\x02" * 32, START)),
    ],
)
async def test_what_is_kept_is_given_again(node: NodeStores, state: CertificateState) -> None:
    assert await node.certificates.settle(await claim(node.certificates), state)
    assert await node.certificates.load(NAME) == state
    assert await node.certificates.load(RSA) is None


async def test_what_is_kept_outlives_the_process(make_node: MakeNode) -> None:
    """Failures are counted over restarts, and so is a roll-over."""
    first, second = make_node().certificates, make_node().certificates
    await first.open()
    lease = await claim(first)
    assert await first.settle(lease, FULL, pair=PAIR, next_pair=NEW_PAIR)
    await first.close()
    await second.open()
    assert await second.load(NAME) == replace(FULL, version=1)
    assert await second.load_pair(NAME) == PAIR
    assert await second.load_next_pair(NAME) == NEW_PAIR
    await second.close()


async def test_each_change_of_a_pair_grows_the_version(node: NodeStores) -> None:
    store = node.certificates
    assert (await add(store)).version == 1
    assert (await add(store, RSA)).version == 2
    assert await store.read_version() == 2
    # Nothing else does.
    lease = await claim(store)
    assert await store.keep(lease, FULL, next_pair=NEW_PAIR)
    assert await store.settle(lease, FULL)
    assert await store.read_version() == 2
    assert (await add(store, NAME, NEW_PAIR)).version == 3
    assert [each.id for each in await store.list_changed(0)] == [RSA, NAME]
    assert [each.id for each in await store.list_changed(2)] == [NAME]
    assert [each.id for each in await store.list_changed(0, limit=1)] == [RSA]
    assert await store.list_changed(3) == []
    assert await store.forget(RSA, START)
    assert await store.read_version() == 4


async def test_states_are_listed_page_by_page(node: NodeStores) -> None:
    store = node.certificates
    for which in (NAME, RSA, WILDCARD, ADDRESS):
        await add(store, which)
    expected = [WILDCARD, ADDRESS, NAME, RSA]
    assert [each.id for each in await store.list_states()] == expected
    assert [each.id for each in await store.list_states(limit=2)] == expected[:2]
    after = [each.id for each in await store.list_states(limit=2, after=ADDRESS)]
    assert after == expected[2:]
    assert [each.id for each in await store.list_states(after=NAME)] == [RSA]


async def test_pairs_of_different_keys_are_apart(node: NodeStores) -> None:
    await add(node.certificates, NAME, PAIR)
    await add(node.certificates, RSA, NEW_PAIR)
    assert await node.certificates.load_pair(NAME) == PAIR
    assert await node.certificates.load_pair(RSA) == NEW_PAIR


async def test_one_of_several_nodes_gets_the_lease(make_node: MakeNode) -> None:
    stores = [make_node().certificates for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    for number in range(20):
        which = CertificateId(f"d{number}.example", KeyType.ECDSA)
        claims = (store.claim(which, START, START + MINUTE) for store in stores)
        (lease,) = [each for each in await asyncio.gather(*claims) if each is not None]
        assert lease.state == CertificateState(which)
        assert await stores[0].settle(lease, CertificateState(which, FACTS), pair=PAIR)
        for store in stores:
            assert await store.load_pair(which) == PAIR
            assert await store.read_version() == number + 1
    await asyncio.gather(*(store.close() for store in stores))


async def test_versions_of_many_nodes_are_all_different(make_node: MakeNode) -> None:
    stores = [make_node().certificates for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    ids = [CertificateId(f"d{number}.example", KeyType.ECDSA) for number in range(20)]
    await asyncio.gather(*(add(store, which) for store, which in zip(stores * 5, ids, strict=True)))
    changed = await stores[0].list_changed(0)
    assert [each.version for each in changed] == list(range(1, 21))
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_lease_is_free_again_when_it_was_settled(node: NodeStores) -> None:
    store = node.certificates
    lease = await claim(store)
    assert await store.claim(NAME, START, START + MINUTE) is None
    assert await store.claim(RSA, START, START + MINUTE) is not None
    assert await store.settle(lease, FULL)
    assert (await claim(store)).state == FULL
    assert not await store.settle(lease, CertificateState(NAME))
    assert not await store.keep(lease, CertificateState(NAME))


async def test_a_lease_that_is_released_changed_nothing(node: NodeStores) -> None:
    store = node.certificates
    await add(store)
    lease = await claim(store)
    assert await store.release(lease)
    assert not await store.release(lease)
    assert (await claim(store)).state == lease.state


async def test_a_lease_goes_on_and_is_made_longer(node: NodeStores) -> None:
    store = node.certificates
    lease = await claim(store)
    assert await store.keep(lease, FULL)
    assert await store.claim(NAME, START, START + MINUTE) is None
    assert await store.keep(lease, FULL, until=START + 10 * MINUTE)
    late = START + 9 * MINUTE
    assert await store.claim(NAME, late, late + 10 * MINUTE) is None
    late = START + 10 * MINUTE
    assert await store.claim(NAME, late, late + 10 * MINUTE) is not None


@pytest.mark.parametrize("late", [MINUTE, -3 * MINUTE], ids=["expired", "the clock was set back"])
async def test_a_lease_ends_by_itself(node: NodeStores, late: timedelta) -> None:
    store = node.certificates
    before = await add(store)
    lost = await claim(store)
    lease = await store.claim(NAME, START + late, START + late + MINUTE)
    assert lease is not None
    assert not await store.keep(lost, FULL, pair=NEW_PAIR, next_pair=NEW_PAIR)
    assert not await store.settle(lost, FULL, pair=NEW_PAIR)
    assert not await store.release(lost)
    assert await store.load(NAME) == before
    assert await store.load_pair(NAME) == PAIR
    assert await store.read_version() == 1
    assert await store.settle(lease, FULL)


async def test_the_next_pair_is_there_until_the_switch(node: NodeStores) -> None:
    store = node.certificates
    await add(store)
    lease = await claim(store)
    issued = replace(FULL, version=1)
    assert await store.keep(lease, issued, next_pair=NEW_PAIR)
    assert await store.load_next_pair(NAME) == NEW_PAIR
    assert await store.load_pair(NAME) == PAIR
    assert await store.keep(lease, replace(issued, plan=None))
    assert await store.load_next_pair(NAME) == NEW_PAIR, "another change leaves it"
    switched = replace(issued, rollover=RollOver(RollOverStage.SWITCHED, b"", b"", START))
    assert await store.settle(lease, switched, pair=NEW_PAIR)
    assert await store.load_next_pair(NAME) is None
    assert await store.load_pair(NAME) == NEW_PAIR


async def test_a_roll_over_that_is_given_up_leaves_no_key(node: NodeStores) -> None:
    store = node.certificates
    lease = await claim(store)
    assert await store.keep(lease, FULL, pair=PAIR, next_pair=NEW_PAIR)
    assert await store.settle(lease, replace(FULL, rollover=None))
    assert await store.load_next_pair(NAME) is None
    kept = await store.load(NAME)
    assert kept is not None
    assert kept.rollover is None


async def test_what_does_not_fit_together_is_refused(node: NodeStores) -> None:
    store = node.certificates
    lease = await claim(store)
    with pytest.raises(ValueError, match="lease is for"):
        await store.keep(lease, CertificateState(RSA))
    with pytest.raises(ValueError, match="without facts"):
        await store.settle(lease, CertificateState(NAME), pair=PAIR)
    with pytest.raises(ValueError, match="next pair"):
        await store.settle(lease, CertificateState(NAME, FACTS), pair=PAIR, next_pair=NEW_PAIR)
    assert await store.load(NAME) == CertificateState(NAME)


async def test_what_is_forgotten_leaves_no_key(node: NodeStores) -> None:
    store = node.certificates
    lease = await claim(store)
    assert await store.keep(lease, FULL, pair=PAIR, next_pair=NEW_PAIR)
    assert not await store.forget(NAME, START), "somebody works on it"
    assert await store.forget(NAME, START + MINUTE)
    assert not await store.settle(lease, FULL, pair=PAIR)
    assert await store.load(NAME) is None
    await claim(store)
    assert await store.load_pair(NAME) is None
    assert await store.load_next_pair(NAME) is None


async def test_words_from_outside_are_storable(node: NodeStores) -> None:
    odd = "a\0b\ud800"
    state = replace(
        FULL,
        facts=replace(FACTS, issuer=odd),
        rollover=replace(ROLLOVER, note=odd),
    )
    assert await node.certificates.settle(await claim(node.certificates), state)
    kept = await node.certificates.load(NAME)
    assert kept is not None
    assert kept.facts is not None
    assert kept.rollover is not None
    assert (kept.facts.issuer, kept.rollover.note) == ("a?b?", "a?b?")


async def test_a_store_that_is_not_open_says_so(make_node: MakeNode) -> None:
    store = make_node().certificates
    with pytest.raises(StoreUnavailable):
        await store.load(NAME)
    await store.open()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.read_version()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_node_of_the_release_before_is_brought_forward_and_can_come_back(
    engine: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if engine == "sqlite":
        make, module = partial(sqlite_node, tmp_path / "node.sqlite", clock), "sqlite.owner"
    else:
        dsn = request.getfixturevalue("postgres").create_schema()
        make, module = partial(postgres_node, dsn, clock), "postgres.connection"

    def of_the_release_before(package: str) -> list[Migration]:
        return load_migrations(package)[:1]

    for load in (of_the_release_before, load_migrations, of_the_release_before):
        monkeypatch.setattr(f"letterlock.storage.{module}.load_migrations", load)
        store = make().certificates
        await store.open()
        if load is load_migrations:
            await add(store)
        await store.close()
    monkeypatch.undo()
    store = make().certificates
    await store.open()
    assert await store.load_pair(NAME) == PAIR
    await store.close()


async def fill(nodes: NodeStores, ids: Sequence[CertificateId]) -> None:
    await nodes.certificates.open()
    for which in ids:
        await add(nodes.certificates, which)


async def test_a_command_reads_beside_a_running_node(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "node.sqlite"
    assert await sqlite.read_states(path) == []
    assert not path.exists()
    nodes = sqlite_node(path, clock)
    await fill(nodes, [NAME, RSA])
    assert [each.id for each in await sqlite.read_states(path)] == [NAME, RSA]
    assert [each.id for each in await sqlite.read_states(path, limit=1, after=NAME)] == [RSA]
    await nodes.certificates.close()


@pytest.mark.peer("postgresql")
async def test_a_command_reads_beside_nodes_on_postgresql(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    dsn = postgres.create_schema()
    assert await postgres_certificates.read_states(dsn) == [], "no node ever was"
    nodes = postgres_node(dsn, clock)
    await fill(nodes, [NAME, RSA])
    assert [each.id for each in await postgres_certificates.read_states(dsn)] == [NAME, RSA]
    assert [
        each.id for each in await postgres_certificates.read_states(dsn, limit=1, after=NAME)
    ] == [RSA]
    await nodes.certificates.close()

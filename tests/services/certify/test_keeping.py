"""All certificates: who is looked at, and what others' faults may not do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import pytest_asyncio

from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.certify.keeping import AT_A_TIME, DEFECT_WAIT, Keeping
from letterlock.services.certify.key_ages import KeyAges
from letterlock.services.certify.tending import LEASE, Wish
from letterlock.services.publish.records import make_tlsa
from letterlock.storage.certificates import CertificateId, CertificateState
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.certificates import SqliteCertificates
from tests.services.certify.scene import ID, NAME, TTL, Scene, making_scene

RSA = CertificateId(NAME, KeyType.RSA)
UNWANTED = CertificateId("old.example.org", KeyType.ECDSA)


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with making_scene() as made:
        yield made


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        for _ in count():
            if await is_so():
                return
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(keeping: Keeping) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(keeping.run())
        yield
        task.cancel()


async def says(scene: Scene, words: str) -> bool:
    return scene.said(words)


async def has_ordered(scene: Scene) -> bool:
    return bool(scene.server.paths("new-order"))


async def has(scene: Scene, which: CertificateId) -> bool:
    state = await scene.store.load(which)
    return state is not None and state.facts is not None


async def test_every_wanted_certificate_is_obtained_and_no_other(scene: Scene) -> None:
    lease = await scene.store.claim(UNWANTED, scene.clock.now(), scene.clock.now())
    assert lease is not None
    keeping = Keeping(scene.tools(), [ID, RSA])
    async with running(keeping):
        await until(lambda: has(scene, ID))
        await until(lambda: has(scene, RSA))
    assert not await has(scene, UNWANTED)
    assert len(scene.server.paths("new-order")) == 2


async def test_one_that_drains_ends_what_it_has_begun(scene: Scene) -> None:
    keeping = Keeping(scene.tools(), [ID])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeping.run())
        await until(lambda: has_ordered(scene))
        keeping.drain()
    assert await has(scene, ID)


async def test_one_that_drains_begins_none_of_those_that_wait_for_their_turn(scene: Scene) -> None:
    """Whoever took its place does; each generation would have its own crowd else."""
    many = [CertificateId(f"n{number}.example.org", KeyType.ECDSA) for number in range(20)]
    for each in many:
        scene.resolver.set(each.name, "CAA")
    keeping = Keeping(scene.tools(), many)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeping.run())
        await until(lambda: has_ordered(scene))
        keeping.drain()
    assert 1 <= len(scene.server.paths("new-order")) <= AT_A_TIME


async def test_one_that_is_stopped_leaves_its_work_to_others_at_once(scene: Scene) -> None:
    keeping = Keeping(scene.tools(), [ID])
    async with running(keeping):
        await until(lambda: has_ordered(scene))
    now = scene.clock.now()
    assert await scene.store.claim(ID, now, now + LEASE) is not None


async def test_a_store_that_is_away_is_asked_again(scene: Scene) -> None:
    class Away(SqliteCertificates):
        is_away = True

        async def list_states(self, **named: Any) -> list[CertificateState]:
            if self.is_away:
                raise StoreUnavailable("the disk is full")
            return await super().list_states(**named)

    store = Away(scene.database)
    keeping = Keeping(scene.tools(store), [ID])
    async with running(keeping):
        await until(lambda: says(scene, "cannot be looked at: the disk is full"))
        store.is_away = False
        keeping.look()
        await until(lambda: has(scene, ID))
    assert sum("disk is full" in text for text in scene.log.texts) == 1


async def test_a_defect_about_one_is_not_the_others(scene: Scene) -> None:
    class Odd(SqliteCertificates):
        async def claim(self, *args: Any) -> Any:
            if args[0] == ID:
                raise ZeroDivisionError("odd")
            return await super().claim(*args)

    keeping = Keeping(scene.tools(Odd(scene.database)), [ID, RSA])
    async with running(keeping):
        await until(lambda: has(scene, RSA))
    assert scene.said(f"error: {NAME} (ECDSA): a defect of letterlock, ZeroDivisionError")
    assert not scene.said("odd")


async def test_after_a_defect_an_hour_goes_by(scene: Scene) -> None:
    """What an authority is asked each time is limited, and a defect comes again."""

    class Odd(SqliteCertificates):
        async def keep(self, *args: Any, **named: Any) -> bool:
            if named.get("pair") is not None:
                kept.append(True)
                raise ZeroDivisionError
            return await super().keep(*args, **named)

    kept: list[bool] = []

    async def is_tried_again() -> bool:
        return len(kept) == 2

    async def is_tried_once_more() -> bool:
        return len(kept) == 4

    keeping = Keeping(scene.tools(Odd(scene.database)), [ID, RSA])
    async with running(keeping):
        await until(is_tried_again)  # once for each
        for _ in range(20):
            keeping.look()
            await asyncio.sleep(0.005)
        assert len(kept) == 2
        scene.clock.move(DEFECT_WAIT)
        keeping.look()
        await until(is_tried_once_more)
    assert len(scene.server.paths("new-order")) == 2  # what came is there still


async def test_a_key_is_changed_on_schedule(scene: Scene) -> None:
    """Renewals keep it meanwhile; the age is the key's, not the certificate's."""
    first = await scene.obtain()
    scene.clock.move(timedelta(days=62))
    renewed = (await scene.tend()).facts
    assert renewed is not None
    assert renewed.spki_sha256 == first.spki_sha256

    async def has_another() -> bool:
        state = await scene.store.load(ID)
        return state is not None and state.facts not in (None, renewed)

    class Counting(SqliteCertificates):
        looks = 0

        async def list_states(self, **named: Any) -> list[CertificateState]:
            self.looks += 1
            return await super().list_states(**named)

    store = Counting(scene.database)

    async def has_looked_often() -> bool:
        # Each look waits behind what a roll-over that was begun would keep.
        keeping.look()
        return store.looks > 9

    keeping = Keeping(scene.tools(store), [ID], timedelta(days=65))
    async with running(keeping):
        await until(has_looked_often)
        assert not await has_another()
        assert not scene.said("key roll-over")
        scene.clock.move(timedelta(days=3))
        keeping.look()
        await until(has_another)
    state = await scene.store.load(ID)
    assert state is not None
    assert state.facts is not None
    assert state.facts.spki_sha256 != first.spki_sha256
    assert await KeyAges(scene.issued).find_since(state) == state.facts.issued


async def test_a_clock_set_back_keeps_no_roll_over_waiting(scene: Scene) -> None:
    """A machine that was years ahead for a while: what it waits for would not come in our time."""
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    right = scene.clock.now()
    scene.clock.set_wall(right + timedelta(days=30))
    await scene.tend(Wish(roll_over=True))
    scene.clock.set_wall(right)
    keeping = Keeping(scene.tools(), [ID])

    async def is_looked_at() -> bool:
        state = await scene.store.load(ID)
        assert state is not None
        assert state.rollover is not None
        return state.rollover.since == right

    async with running(keeping):
        await until(is_looked_at)
    state = await scene.store.load(ID)
    assert state is not None
    assert state.facts == old
    scene.clock.move(2 * TTL)
    assert (await scene.tend()).facts != old


async def test_a_clock_set_forward_shows_no_key_too_early(scene: Scene) -> None:
    """RFC 7671 §8.1: caches empty as time goes by, not as clocks are set."""
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    await scene.tend(Wish(roll_over=True))
    scene.clock.set_wall(scene.clock.now() + timedelta(hours=5))
    assert (await scene.tend()).facts == old
    scene.clock.move(2 * TTL - timedelta(seconds=1))
    assert (await scene.tend()).facts == old
    scene.clock.move(timedelta(seconds=1))
    assert (await scene.tend()).facts != old

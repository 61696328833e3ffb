"""The queue beside a model of it: whatever is done in whatever order, both say the same."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.queue import (
    Claim,
    QueueId,
    QueueStore,
    RecipientResult,
    RecipientState,
    Settlement,
)
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeClock
from tests.storage.messages import Mail
from tests.storage.postgres_server import PostgresServer

DESTINATIONS = ("a.example", "b.example", "c.example")
QUEUED, HELD = RecipientState.QUEUED, RecipientState.HELD

T = TypeVar("T")


@dataclass
class ModelRecipient:
    destination: str
    state: RecipientState
    next_attempt: datetime | None
    attempts: int = 0


@dataclass
class ModelMessage:
    recipients: list[ModelRecipient]
    is_held: bool
    leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """By destination: the lease and its end."""

    def waiting(self, destination: str) -> list[int]:
        return [
            number
            for number, each in enumerate(self.recipients)
            if each.destination == destination and each.state in (QUEUED, HELD)
        ]

    @property
    def is_finished(self) -> bool:
        return all(each.state not in (QUEUED, HELD) for each in self.recipients)

    def park(self, destination: str) -> None:
        """End a claim of a message that was held meanwhile."""
        if self.is_held:
            for number in self.waiting(destination):
                self.recipients[number].state = HELD
                self.recipients[number].next_attempt = None


class QueueMachine(RuleBasedStateMachine):
    """Every operation of `QueueStore`; subclasses say on which engine."""

    ids: Bundle[QueueId] = Bundle("ids")
    claims: Bundle[Claim] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.model: dict[QueueId, ModelMessage] = {}
        self.store = self.make_store()
        self.mail = Mail(self.store, self.clock)
        self.do(self.store.open())

    def make_store(self) -> QueueStore:
        raise NotImplementedError

    def do(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self.runner.run(run())

    def teardown(self) -> None:
        self.do(self.store.close())
        self.runner.close()

    @rule(
        target=ids,
        destinations=st.lists(st.sampled_from(DESTINATIONS), min_size=1, max_size=4),
        is_held=st.booleans(),
    )
    def save(self, destinations: list[str], is_held: bool) -> QueueId:
        queue_id = self.do(self.mail.save(*destinations, hold="why" if is_held else None))
        state, due = (HELD, None) if is_held else (QUEUED, self.clock.now())
        recipients = [ModelRecipient(destination, state, due) for destination in destinations]
        self.model[queue_id] = ModelMessage(recipients, is_held)
        return queue_id

    @rule(minutes=st.integers(1, 20))
    def wait(self, minutes: int) -> None:
        self.clock.move(timedelta(minutes=minutes))

    @rule(target=claims, saturated=st.lists(st.sampled_from(DESTINATIONS), max_size=2))
    def claim_one(self, saturated: list[str]) -> MultipleResults[Claim]:
        claimable = self.claimable(saturated)
        claims = self.do(self.mail.claim(1, saturated=saturated))
        parked = self.park_ended()
        # One that was held while it was claimed may have used up the limit.
        assert bool(claims) == bool(claimable) or parked
        if not claims:
            return multiple()
        (claim,) = claims
        assert (claim.queue_id, claim.destination) in claimable
        message = self.model[claim.queue_id]
        now = self.clock.now()
        due = [
            number
            for number in message.waiting(claim.destination)
            if (at := message.recipients[number].next_attempt) is not None and at <= now
        ]
        assert [each.number for each in claim.recipients] == due
        for each in claim.recipients:
            assert each.attempts == message.recipients[each.number].attempts
        message.leases[claim.destination] = (claim.lease, claim.lease_until)
        return multiple(claim)

    @rule(target=claims)
    def claim_all(self) -> MultipleResults[Claim]:
        """When all is claimed, nothing that was claimable is left."""
        expected = self.claimable([])
        claims = self.do(self.mail.claim(1000))
        assert {(claim.queue_id, claim.destination) for claim in claims} == expected
        self.park_ended()
        assert not any(
            message.is_held and end <= self.clock.now()
            for message in self.model.values()
            for _, end in message.leases.values()
        )
        for claim in claims:
            lease = (claim.lease, claim.lease_until)
            self.model[claim.queue_id].leases[claim.destination] = lease
        return multiple(*claims)

    @rule(
        claim=consumes(claims),
        state=st.sampled_from([*RecipientState]),
        part=st.integers(0, 4),
        minutes=st.integers(0, 30),
    )
    def settle(self, claim: Claim, state: RecipientState, part: int, minutes: int) -> None:
        next_attempt = self.clock.now() + timedelta(minutes=minutes) if state is QUEUED else None
        numbers = [each.number for each in claim.recipients[part // 2 :]]
        results = tuple(
            RecipientResult(number, state, "2.0.0", "", next_attempt) for number in numbers
        )
        is_ours = self.is_ours(claim)
        assert self.do(self.store.settle(Settlement(claim, results))) == is_ours
        if not is_ours:
            return
        message = self.model[claim.queue_id]
        for number in numbers:
            recipient = message.recipients[number]
            recipient.state, recipient.next_attempt = state, next_attempt
            recipient.attempts += 1
        del message.leases[claim.destination]
        message.park(claim.destination)

    @rule(claim=claims, minutes=st.integers(1, 60))
    def extend(self, claim: Claim, minutes: int) -> None:
        until = self.clock.now() + timedelta(minutes=minutes)
        is_ours = self.is_ours(claim)
        assert self.do(self.store.extend(claim, until)) == is_ours
        if is_ours:
            self.model[claim.queue_id].leases[claim.destination] = (claim.lease, until)

    @rule(queue_id=ids)
    def hold(self, queue_id: QueueId) -> None:
        message = self.model[queue_id]
        changes = not message.is_held and not message.is_finished
        assert self.do(self.store.hold([queue_id], "why")) == changes
        if changes:
            message.is_held = True
            for destination in DESTINATIONS:
                if destination not in message.leases:
                    message.park(destination)

    @rule(queue_id=ids)
    def release(self, queue_id: QueueId) -> None:
        message = self.model[queue_id]
        held = [each for each in message.recipients if each.state is HELD]
        changes = (message.is_held or bool(held)) and not message.is_finished
        assert self.do(self.store.release([queue_id], self.clock.now())) == changes
        if changes:
            message.is_held = False
            for each in held:
                each.state, each.next_attempt = QUEUED, self.clock.now()

    @rule(queue_id=ids)
    def retry(self, queue_id: QueueId) -> None:
        message = self.model[queue_id]
        waiting = [
            each
            for each in message.recipients
            if each.state is QUEUED and each.destination not in message.leases
        ]
        assert self.do(self.store.retry([queue_id], self.clock.now())) == bool(waiting)
        for each in waiting:
            each.next_attempt = min(each.next_attempt or self.clock.now(), self.clock.now())

    @rule(queue_id=ids)
    def delete(self, queue_id: QueueId) -> None:
        message = self.model[queue_id]
        assert self.do(self.store.delete([queue_id], self.clock.now())) != message.is_finished
        for each in message.recipients:
            if each.state in (QUEUED, HELD):
                each.state, each.next_attempt = RecipientState.DELETED, None
        message.leases.clear()

    @invariant()
    def messages_are_the_same(self) -> None:
        listed = self.do(self.store.list_messages())
        finished = self.do(self.store.list_messages(is_finished=True))
        assert [each.queue_id for each in listed] == [
            queue_id for queue_id, message in self.model.items() if not message.is_finished
        ]
        for each in [*listed, *finished]:
            message = self.model[each.queue_id]
            assert (each.finished is not None) == message.is_finished
            for found, expected in zip(each.recipients, message.recipients, strict=True):
                assert found.state is expected.state
                assert found.attempts == expected.attempts
                assert found.next_attempt == expected.next_attempt
                is_claimed = expected.destination in message.leases and expected.state is QUEUED
                assert found.is_claimed == is_claimed

    @invariant()
    def counts_are_right(self) -> None:
        """Kept or counted anew: they are of what is listed."""
        listed = self.do(self.store.list_messages())
        recipients = [each for message in listed for each in message.recipients]
        assert self.do(self.store.count()) == {
            "messages": len(listed),
            "bytes": sum(message.size for message in listed),
            "queued": sum(each.state is QUEUED for each in recipients),
            "held": sum(each.state is HELD for each in recipients),
            "claimed": sum(each.is_claimed for each in recipients),
        }

    @invariant()
    def next_due_is_right(self) -> None:
        moments = [end for each in self.model.values() for _, end in each.leases.values()]
        moments += [
            each.next_attempt
            for message in self.model.values()
            for each in message.recipients
            if each.next_attempt is not None and each.destination not in message.leases
        ]
        found = self.do(self.store.next_due())
        expected = min(moments, default=None)
        # Later than the first by a destination's turn, never later than now.
        assert found == expected or (
            found is not None and expected is not None and expected < found <= self.clock.now()
        )

    def park_ended(self) -> bool:
        """Follow what a claim did to messages held while their lease ran out: it parks those it
        comes by. True when it parked one.
        """
        parked = False
        for queue_id, message in self.model.items():
            for destination, (_, end) in list(message.leases.items()):
                if not message.is_held or end > self.clock.now():
                    continue
                found = self.do(self.mail.find(queue_id)).recipients
                if all(found[number].state is HELD for number in message.waiting(destination)):
                    message.park(destination)
                    del message.leases[destination]
                    parked = True
        return parked

    def claimable(self, saturated: list[str]) -> set[tuple[QueueId, str]]:
        now = self.clock.now()
        return {
            (queue_id, each.destination)
            for queue_id, message in self.model.items()
            for each in message.recipients
            if each.state is QUEUED
            and not message.is_held
            and each.destination not in saturated
            and each.next_attempt is not None
            and each.next_attempt <= now
            and (
                each.destination not in message.leases or message.leases[each.destination][1] <= now
            )
        }

    def is_ours(self, claim: Claim) -> bool:
        message = self.model[claim.queue_id]
        return message.leases.get(claim.destination, ("", None))[0] == claim.lease


class SqliteMachine(QueueMachine):
    def make_store(self) -> QueueStore:
        self.folder = TemporaryDirectory()
        return SqliteQueue(Path(self.folder.name) / "0.sqlite", self.clock)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()

    @rule()
    def restart(self) -> None:
        """What was claimed is free."""
        self.do(self.store.close())
        self.store = SqliteQueue(Path(self.folder.name) / "0.sqlite", self.clock)
        self.mail.store = self.store
        self.do(self.store.open())
        for message in self.model.values():
            for destination in list(message.leases):
                del message.leases[destination]
                message.park(destination)


TestSqliteModel = SqliteMachine.TestCase
TestSqliteModel.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


@pytest.mark.peer("postgresql")
def test_postgres_model(postgres: PostgresServer) -> None:
    class PostgresMachine(QueueMachine):
        def make_store(self) -> QueueStore:
            return PostgresQueue(postgres.create_schema(), "node", self.clock)

    run_state_machine_as_test(
        PostgresMachine,
        settings=settings(max_examples=5, stateful_step_count=30, deadline=None),
    )

"""The authority's store beside a model of it: whatever is committed, both say the same.

Two processes take turns on one database, so that nothing can rest on what one of them remembers.
"""

import asyncio
from collections.abc import Awaitable
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from letterlock.protocols.acme.server.nonces import GoodNonce
from letterlock.protocols.acme.server.objects import Account, Authorization, Order
from letterlock.protocols.acme.server.rate_limits import Counter, Exceeded, Limit, use
from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.audit.records import START as BEGINNING
from letterlock.protocols.audit.records import append_all
from letterlock.protocols.caa.rechecks import CaaCheck
from letterlock.protocols.pki.issuance.revocation_lists import Reason, Revoked
from letterlock.storage.ca.changes import (
    AddAccount,
    AddAuthorization,
    AddCertificate,
    AddOrder,
    AddRevocation,
    AddSerial,
    AddWork,
    Change,
    ChangeAccount,
    ChangeAuthorization,
    ChangeCertificate,
    ChangeHalt,
    ChangeOrder,
    ChangeRevocation,
    EndWork,
    PutOffWork,
    UseCounter,
)
from letterlock.storage.ca.kept import (
    NOT_HALTED,
    Halt,
    Issued,
    Lease,
    ReservedSerial,
    Work,
    WorkKind,
)
from letterlock.storage.ca.store import AuthorityStore
from tests.fakes import FakeClock
from tests.storage.authorities import (
    DAY,
    ISSUER,
    KEYS,
    MINUTE,
    MakeStore,
    emptied_authority,
    logged,
    make_account,
    make_authorization,
    make_check,
    make_issued,
    make_order,
    postgres_store,
    reserve,
    sqlite_store,
    validated,
)
from tests.storage.postgres_server import PostgresServer

ACCOUNTS = ("account-1", "account-2")
NUMBERS = (1, 2, 3)
KIND = WorkKind.ISSUANCE
COUNTER = Counter(Limit("orders", 3, 1, DAY), "account-1")

T = TypeVar("T")


class Unfit(Exception):  # noqa: N818 - what the model says of a commit
    pass


@dataclass
class Model:
    accounts: dict[str, Account] = field(default_factory=dict)
    authorizations: dict[str, tuple[Authorization, CaaCheck | None]] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    work: dict[str, tuple[Work, Lease | None, datetime, int]] = field(default_factory=dict)
    """The work, whose it is, when it is anybody's, and how often it was claimed."""
    serials: dict[int, tuple[ReservedSerial, bool]] = field(default_factory=dict)
    certificates: dict[str, Issued] = field(default_factory=dict)
    revoked: dict[int, Revoked] = field(default_factory=dict)
    counter: Counter = COUNTER
    halt: Halt = NOT_HALTED

    def commit(self, changes: list[Change]) -> "Model | None":
        """Give what it becomes; None: it is refused."""
        after = Model(**{name: copy(value) for name, value in vars(self).items()})
        try:
            for each in changes:
                after.apply(each)
        except Unfit:
            return None
        return after

    def apply(self, change: Change) -> None:
        if not self.apply_to_orders(change) and not self.apply_to_certificates(change):
            raise AssertionError(change)
        fit(len({each.key for each in self.accounts.values()}) == len(self.accounts))

    def apply_to_orders(self, change: Change) -> bool:
        match change:
            case AddAccount(account):
                add(self.accounts, account.id, account)
            case ChangeAccount(before, after):
                change_in(self.accounts, before.id, before, after)
            case AddAuthorization(new):
                add(self.authorizations, new.id, (new, None))
            case ChangeAuthorization(before, after, check):
                kept = self.authorizations.get(before.id)
                fit(kept is not None and kept[0] == before)
                assert kept is not None
                self.authorizations[before.id] = (after, check or kept[1])
            case AddOrder(order):
                fit(all(each in self.authorizations for each in order.authorization_ids))
                add(self.orders, order.id, order)
            case ChangeOrder(before, after):
                change_in(self.orders, before.id, before, after)
            case AddWork(work, lease):
                add(self.work, work.subject, (work, lease, lease.until, 1))
            case EndWork(lease):
                self.check_lease(lease)
                del self.work[lease.subject]
            case PutOffWork(lease, due):
                work, number = self.check_lease(lease)
                self.work[lease.subject] = (work, None, due, number)
            case _:
                return False
        return True

    def apply_to_certificates(self, change: Change) -> bool:
        match change:
            case AddSerial(serial):
                add(self.serials, serial.name.serial, (serial, False))
            case AddCertificate(issued):
                self.add_certificate(issued)
            case ChangeCertificate(before, after):
                kept_one = self.certificates.get(before.id)
                fit(kept_one is not None and kept_one.certificate == before)
                assert kept_one is not None
                self.certificates[before.id] = replace(kept_one, certificate=after)
            case AddRevocation(_, revoked):
                add(self.revoked, revoked.serial, revoked)
            case ChangeRevocation(_, before, after):
                change_in(self.revoked, before.serial, before, after)
            case UseCounter(_, now):
                used = use(self.counter, now)
                fit(not isinstance(used, Exceeded))
                assert isinstance(used, Counter)
                self.counter = used
            case ChangeHalt(before, after):
                fit(self.halt == before)
                self.halt = after
            case _:
                return False
        return True

    def add_certificate(self, issued: Issued) -> None:
        certificate = issued.certificate
        reserved, is_used = self.serials.get(certificate.name.serial, (None, True))
        fit(reserved is not None and not is_used)
        fit(certificate.name.serial not in self.revoked)
        assert reserved is not None
        fit(reserved.order_id == certificate.order_id)
        self.serials[certificate.name.serial] = (reserved, True)
        add(self.certificates, certificate.id, issued)

    def check_lease(self, lease: Lease) -> tuple[Work, int]:
        work, holder, _, number = self.work.get(lease.subject, (None, None, None, 0))
        fit(holder is not None and (holder.owner, holder.number) == (lease.owner, lease.number))
        assert work is not None
        return work, number


def fit(is_so: bool) -> None:
    if not is_so:
        raise Unfit


def add(table: dict[Any, T], key: Any, value: T) -> None:
    fit(key not in table)
    table[key] = value


def change_in(table: dict[Any, T], key: Any, before: T, after: T) -> None:
    fit(table.get(key) == before)
    table[key] = after


class AuthorityMachine(RuleBasedStateMachine):
    """Commits of several changes, claims, and nonces; subclasses say on which engine."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.model = Model()
        self.past = [self.model]
        self.logged: list[str] = []
        self.leases = [Lease(KIND, "order-1", "nobody", self.clock.now())]
        self.nonces: set[bytes] = set()

        make = self.find_maker()
        self.stores = (make(), make())
        for each in self.stores:
            self.do(each.open())

    def find_maker(self) -> MakeStore:
        raise NotImplementedError

    def do(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self.runner.run(run())

    def teardown(self) -> None:
        for each in self.stores:
            self.do(each.close())
        self.runner.close()

    @rule(minutes=st.integers(1, 3))
    def wait(self, minutes: int) -> None:
        self.clock.move(minutes * MINUTE)

    @rule(which=st.integers(0, 1), data=st.data())
    def commit(self, which: int, data: st.DataObject) -> None:
        """Changes of what is there now, or was once: of all that fit, or none is done."""
        count = data.draw(st.integers(1, 4))
        changes: list[Change] = []
        expected: Model | None = self.model
        for _ in range(count):
            # What an earlier change of this commit made is there for the next, too.
            seen = data.draw(st.sampled_from([expected or self.model] * 4 + self.past))
            changes.append(self.draw_change(data, seen))
            expected = self.model.commit(changes)
        why = str(len(self.logged))
        is_done = self.do(self.stores[which].commit(changes, [logged(why)]))
        assert is_done == (expected is not None)
        if expected is not None:
            self.logged.append(why)
            self.model = expected
            self.past = [*self.past[-5:], expected]
            self.leases += [each.lease for each in changes if isinstance(each, AddWork)]

    def draw_change(self, data: st.DataObject, seen: Model) -> Change:
        """Draw one of the changes that can be made of what was seen."""
        return data.draw(st.sampled_from(self.find_changes(data, seen)))

    def find_changes(self, data: st.DataObject, seen: Model) -> list[Change]:
        number = data.draw(st.sampled_from(NUMBERS))
        key = data.draw(st.sampled_from(KEYS[:3]))
        account_id = data.draw(st.sampled_from(ACCOUNTS))
        authorizations = [make_authorization(each) for each in ("one", "two")]
        now = self.clock.now()
        subject = f"order-{number}"
        work = Work(KIND, subject, now, b"csr")
        serial = reserve(number).name.serial
        found: list[Change] = [
            AddAccount(make_account(account_id, key)),
            AddAuthorization(authorizations[number % 2]),
            AddOrder(make_order(subject, authorizations[0])),
            AddWork(work, Lease(KIND, subject, "maker", now + MINUTE)),
            EndWork(data.draw(st.sampled_from(self.leases))),
            PutOffWork(data.draw(st.sampled_from(self.leases)), now),
            AddSerial(reserve(number)),
            AddCertificate(make_issued(number)),
            AddRevocation(ISSUER, Revoked(serial, now, now + DAY)),
            UseCounter(COUNTER, now),
            ChangeHalt(seen.halt, replace(seen.halt, is_halted=not seen.halt.is_halted)),
        ]
        found += [ChangeAccount(each, replace(each, key=key)) for each in seen.accounts.values()]
        for authorization, _ in seen.authorizations.values():
            check = replace(make_check(authorization), began=now)
            after = validated(authorization)
            found.append(ChangeAuthorization(authorization, after, check))
            found.append(ChangeAuthorization(authorization, replace(after, expires=now)))
        for order in seen.orders.values():
            status = data.draw(st.sampled_from(OrderStatus))
            found.append(ChangeOrder(order, replace(order, status=status)))
        for issued in seen.certificates.values():
            before = issued.certificate
            found.append(ChangeCertificate(before, replace(before, revoked=now)))
        for entry in seen.revoked.values():
            worse = replace(entry, reason=Reason.KEY_COMPROMISE, invalid_since=now)
            found.append(ChangeRevocation(ISSUER, entry, worse))
        return found

    @rule(which=st.integers(0, 1), limit=st.integers(1, 3))
    def claim(self, which: int, limit: int) -> None:
        now = self.clock.now()
        due = {subject for subject, (*_, until, _) in self.model.work.items() if until <= now}
        claims = self.stores[which].claim_work(KIND, f"owner {which}", now, now + MINUTE, limit)
        claimed = self.do(claims)
        assert len(claimed) == min(limit, len(due))
        assert {each.work.subject for each in claimed} <= due
        self.model = copy(self.model)
        self.model.work = copy(self.model.work)
        for each in claimed:
            work, _, _, number = self.model.work[each.work.subject]
            lease = Lease(KIND, work.subject, f"owner {which}", now + MINUTE, number + 1)
            assert each == (type(each))(work, lease)
            self.model.work[work.subject] = (work, lease, lease.until, lease.number)
            self.leases.append(lease)

    @rule(which=st.integers(0, 1), number=st.integers(0, 5))
    def spend(self, which: int, number: int) -> None:
        nonce = GoodNonce(bytes([number]), self.clock.now() + DAY)
        nonce = replace(nonce, forgotten=nonce.forgotten.replace(hour=0, minute=0))
        is_spent = self.do(self.stores[which].spend_nonce(nonce, self.clock.now()))
        assert is_spent == (nonce.id not in self.nonces)
        self.nonces.add(nonce.id)

    @invariant()
    def both_processes_read_what_was_committed(self) -> None:
        for each in self.stores:
            self.do(self.compare(each))

    async def compare(self, store: AuthorityStore) -> None:
        model = self.model
        for account_id in ACCOUNTS:
            assert await store.load_account(account_id) == model.accounts.get(account_id)
        for key in KEYS[:3]:
            holders = [each for each in model.accounts.values() if each.key == key]
            assert await store.find_account(key.thumbprint) == next(iter(holders), None)
        for number in NUMBERS:
            await self.compare_order(store, f"order-{number}")
            issued = model.certificates.get(f"certificate-{number}")
            assert await store.load_certificate(f"certificate-{number}") == issued
        unused = {each.name.serial for each, is_used in model.serials.values() if not is_used}
        found = await store.list_unused_serials(self.clock.now() + DAY, 9)
        assert {each.name.serial for each in found} == unused - model.revoked.keys()
        shard = await store.load_shard(ISSUER, 1)
        assert {each.serial: each for each in shard.entries} == model.revoked
        assert await store.load_counters([COUNTER]) == (model.counter,)
        assert await store.load_halt() == model.halt
        records = append_all(BEGINNING, [logged(each) for each in self.logged])
        assert await store.list_records(0, 1000) == records

    async def compare_order(self, store: AuthorityStore, order_id: str) -> None:
        found, expected = await store.load_order(order_id), self.model.orders.get(order_id)
        assert (None if found is None else found.order) == expected
        for each in () if found is None else found.authorizations:
            kept = self.model.authorizations[each.authorization.id]
            assert (each.authorization, each.check) == kept


class SqliteMachine(AuthorityMachine):
    def find_maker(self) -> MakeStore:
        self.folder = TemporaryDirectory()
        return partial(sqlite_store, Path(self.folder.name) / "authority.db", self.clock)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


TestSqliteModel = SqliteMachine.TestCase
TestSqliteModel.settings = settings(max_examples=10, stateful_step_count=30, deadline=None)


@pytest.mark.proof
def test_sqlite_model_at_length() -> None:
    run_state_machine_as_test(
        SqliteMachine,
        settings=settings(max_examples=200, stateful_step_count=50, deadline=None),
    )


@pytest.mark.peer("postgresql")
def test_postgres_model(postgres: PostgresServer) -> None:
    dsn = postgres.create_schema()

    class PostgresMachine(AuthorityMachine):
        def find_maker(self) -> MakeStore:
            return partial(postgres_store, self.do(emptied_authority(dsn)), self.clock)

    run_state_machine_as_test(
        PostgresMachine,
        settings=settings(max_examples=3, stateful_step_count=25, deadline=None),
    )

"""Whatever clients ask over HTTP in whatever sequence, objects change as the tables say.

RFC 8555 §7.1.6. After each request, and after each thing that happens behind one, all objects are
looked at: none took a step that its table lacks, and none lost what it never loses. Each answer is
one that our own client reads.
"""

from asyncio import Runner
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from letterlock.protocols.acme import orders as reader
from letterlock.protocols.acme import requests
from letterlock.protocols.acme.directory import parse_account
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.identifiers import Identifier, parse_identifier
from letterlock.protocols.acme.jws import AccountKey, make_key_change
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.objects import Order
from letterlock.protocols.acme.server.transitions import find_authorization_status
from letterlock.protocols.acme.states import (
    ACCOUNT_STEPS,
    AUTHORIZATION_STEPS,
    CHALLENGE_STEPS,
    ORDER_STEPS,
    OrderStatus,
)
from letterlock.services.ca.requests.ended_orders import judge
from letterlock.storage.ca.kept import WorkKind
from tests.acme_http import BASE, Answered, Client, World
from tests.acme_store import WatchedStore
from tests.fakes import FakeClock

KEY_CHANGE = parse_url(f"{BASE}/key-change")
CERTIFICATE_KEY = ec.derive_private_key(21, ec.SECP256R1())
NAMES = ("a.example", "*.a.example", "b.example", "192.0.2.1")
BAD_NAMES = (Identifier("dns", "x.ip6.arpa"), Identifier("email", "a@b.example"))
FAILED = Problem("dns", "no such name", 400)
KINDS = ("http-01", "dns-01", "tls-alpn-01")

T = TypeVar("T")
Tables = Mapping[str, Mapping[Any, frozenset[Any]]]
TABLES: Tables = {
    "account": ACCOUNT_STEPS,
    "authorization": AUTHORIZATION_STEPS,
    "challenge": CHALLENGE_STEPS,
    "order": ORDER_STEPS,
}


class Watched(World):
    """Looks at all objects of its accounts whenever something may have changed."""

    def __init__(self, store: WatchedStore, clock: FakeClock) -> None:
        super().__init__(store, clock=clock)
        self.kept = store
        self.seen: dict[tuple[str, str], StrEnum] = {}
        self.fixed: dict[str, Order] = {}
        self.account_ids: set[str] = set()
        self.order_ids: set[str] = set()

    async def watch(self) -> None:
        for account_id in self.account_ids:
            account = await self.kept.load_account(account_id)
            assert account is not None
            self._see("account", account_id, account.status)
        for order_id in self.order_ids:
            await self._watch_order(order_id)

    async def _watch_order(self, order_id: str) -> None:
        kept = await self.kept.load_order(order_id)
        assert kept is not None
        now, order = self.clock.now(), kept.order
        self._see("order", order_id, judge(kept, now).status)
        first = self.fixed.setdefault(order_id, order)
        assert (order.identifiers, order.authorization_ids) == (
            first.identifiers,
            first.authorization_ids,
        )
        for each in kept.authorizations:
            authorization = each.authorization
            status = find_authorization_status(authorization, now)
            self._see("authorization", authorization.id, status)
            for challenge in authorization.challenges:
                name = f"{authorization.id} {challenge.type}"
                self._see("challenge", name, challenge.status)

    def _see(self, kind: str, name: str, after: StrEnum) -> None:
        before = self.seen.setdefault((kind, name), after)
        assert after == before or after in TABLES[kind][before], f"{kind}: {before} to {after}"
        self.seen[kind, name] = after

    async def ask(self, *given: Any, **more: Any) -> Answered:
        answered = await super().ask(*given, **more)
        await self.watch()
        return answered


class Sequences(RuleBasedStateMachine):
    """Two clients, by our own requests and parsers."""

    def __init__(self, runner: Runner, store: WatchedStore) -> None:
        super().__init__()
        self.runner = runner
        self.world = Watched(store, FakeClock())
        self.clients = [
            Client(self.world, ec.generate_private_key(ec.SECP256R1())) for _ in range(2)
        ]
        self.orders: list[str] = []
        self.sent: list[tuple[str, bytes]] = []

    who = st.integers(0, 1)
    which = st.integers(0, 30)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        found = self.runner.run(coroutine)
        self.runner.run(self.world.watch())
        assert self.world.reports == []
        return found

    def post(self, who: int, url: str, payload: object = None) -> Answered | None:
        """Ask; None: there is no such account yet."""
        client = self.clients[who]
        if client.url is None:
            return None
        body = self.run(client.sign(url, payload))
        self.sent.append((url, body))
        return self.run(self.world.ask("POST", url, body))

    def order(self, which: int) -> str | None:
        return self.orders[which % len(self.orders)] if self.orders else None

    def look_up(self, which: int, who: int) -> reader.Order | None:
        """An order as our client reads it, if this one may see it."""
        place = self.order(which)
        answered = self.post(who, place) if place else None
        if answered is None or place is None or answered.status >= 400:
            return None
        assert len(answered.find("Retry-After")) == (answered.document["status"] == "processing")
        return reader.parse_order(parse_url(place), answered.body)

    @rule(who=who)
    def opens(self, who: int) -> None:
        answered = self.run(self.clients[who].open())
        if answered.status < 400:
            url = parse_url(answered.one("Location"))
            assert parse_account(url, answered.body).status == "valid"
            self.world.account_ids.add(url.text.rpartition("/")[2])

    @rule(who=who, names=st.sets(st.sampled_from(NAMES), min_size=1, max_size=4), bad=st.booleans())
    def makes_an_order(self, who: int, names: set[str], bad: bool) -> None:
        identifiers = frozenset(map(parse_identifier, names)) | set(BAD_NAMES[: int(bad)])
        payload = requests.format_order(requests.OrderRequest(identifiers))
        answered = self.post(who, f"{BASE}/new-order", payload)
        if answered is not None and answered.status < 400:
            place = answered.one("Location")
            order = reader.parse_order(parse_url(place), answered.body)
            assert reader.find_order_fault(order, identifiers) is None
            self.world.order_ids.add(place.rpartition("/")[2])
            self.orders.append(place)

    @rule(which=which, who=who)
    def looks(self, which: int, who: int) -> None:
        self.look_up(which, who)

    @rule(which=which, who=who, kind=st.sampled_from(KINDS))
    def responds(self, which: int, who: int, kind: str) -> None:
        order = self.look_up(which, who)
        for url in sorted(order.authorizations, key=str) if order else ():
            answered = self.post(who, url.text)
            assert answered is not None
            found = reader.parse_authorization(url, answered.body)
            if challenge := found.find_challenge(kind):
                answered = self.post(who, challenge.url.text, {"unknown": 1})
                if answered is not None and answered.status < 400:
                    assert reader.parse_challenge(answered.body).type == kind

    @rule(is_good=st.booleans(), which=which)
    def is_validated(self, is_good: bool, which: int) -> None:
        begun = [name for kind, name in self.world.begun if kind is WorkKind.VALIDATION]
        for number, name in enumerate(begun):
            is_bad = not is_good and number == which % len(begun)
            self.run(self.world.validate(name, FAILED if is_bad else None))

    @rule(which=which, who=who, is_good=st.booleans())
    def finalizes(self, which: int, who: int, is_good: bool) -> None:
        order = self.look_up(which, who)
        if order is None:
            return
        names = list(order.identifiers)[: None if is_good else -1] or [Identifier("dns", "z.zz")]
        csr = requests.make_signing_request(CERTIFICATE_KEY, names)
        answered = self.post(who, order.finalize.text, requests.format_finalization(csr))
        assert answered is not None
        if answered.status < 400:
            assert is_good
            assert order.status is OrderStatus.READY
        elif order.status is OrderStatus.READY:
            assert answered.problem.type == "badCSR"

    @rule()
    def issues(self) -> None:
        for name in [name for kind, name in self.world.begun if kind is WorkKind.ISSUANCE]:
            self.run(self.world.issue(name))

    @rule(which=which, who=who)
    def gives_up(self, which: int, who: int) -> None:
        order = self.look_up(which, who)
        if order is not None and which % 3 == 0:
            url = min(order.authorizations, key=str)
            answered = self.post(who, url.text, {"status": "deactivated"})
            if answered is not None and answered.status < 400:
                assert reader.parse_authorization(url, answered.body).status == "deactivated"

    @rule(which=which, who=who)
    def fetches(self, which: int, who: int) -> None:
        order = self.look_up(which, who)
        if order is not None and order.certificate is not None:
            answered = self.post(who, order.certificate.text)
            assert answered is not None
            assert answered.body.count(b"BEGIN CERTIFICATE") == 2

    @rule(who=who)
    def changes_its_key(self, who: int) -> None:
        client = self.clients[who]
        if client.url is None:
            return
        new = ec.generate_private_key(ec.SECP256R1())
        keys = (AccountKey(client.key), AccountKey(new))
        inner = make_key_change(parse_url(client.url), KEY_CHANGE, *keys)
        answered = self.post(who, KEY_CHANGE.text, inner)
        if answered is not None and answered.status < 400:
            client.key = new

    @rule(who=who, is_over=st.booleans())
    def updates(self, who: int, is_over: bool) -> None:
        url = self.clients[who].url
        if url is not None:
            payload: object = {"status": "deactivated"} if is_over else {"contact": []}
            self.post(who, url, payload)

    @rule(which=which)
    def replays(self, which: int) -> None:
        """RFC 8555 §6.5: what was sent once is never taken again."""
        if self.sent:
            answered = self.run(self.world.ask("POST", *self.sent[which % len(self.sent)]))
            kinds = ("badNonce", "accountDoesNotExist", "malformed", "unauthorized")
            assert answered.problem.type in kinds

    @rule(wait=st.sampled_from([1, 50, 200]))
    def waits(self, wait: int) -> None:
        self.world.clock.move(timedelta(hours=wait))
        self.run(self.world.watch())


def _run(tmp_path: Path, empty_store: Path, examples: int, steps: int) -> None:
    path = tmp_path / "authority.db"
    path.write_bytes(empty_store.read_bytes())
    with Runner() as runner:
        store = runner.run(_open(path))
        run_state_machine_as_test(
            lambda: Sequences(runner, store),  # type: ignore[arg-type]  # any that makes one
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                suppress_health_check=list(HealthCheck),
                deadline=None,
            ),
        )
        runner.run(store.close())


async def _open(path: Path) -> WatchedStore:
    store = WatchedStore(path, FakeClock())
    await store.open()
    return store


def test_objects_change_as_the_tables_say(tmp_path: Path, empty_store: Path) -> None:
    _run(tmp_path, empty_store, 10, 30)


@pytest.mark.proof
def test_objects_change_as_the_tables_say_at_length(tmp_path: Path, empty_store: Path) -> None:
    _run(tmp_path, empty_store, 400, 60)


def test_a_sequence_that_ends_well_is_one(tmp_path: Path, empty_store: Path) -> None:
    """The machine itself: all its steps are there to be taken."""
    path = tmp_path / "authority.db"
    path.write_bytes(empty_store.read_bytes())
    with Runner() as runner:
        store = runner.run(_open(path))
        life = Sequences(runner, store)
        life.opens(0)
        life.makes_an_order(0, {"*.a.example", "b.example"}, bad=False)
        life.responds(0, 0, "dns-01")
        life.is_validated(is_good=True, which=0)
        life.finalizes(0, 0, is_good=True)
        life.issues()
        life.fetches(0, 0)
        order = life.look_up(0, 0)
        assert order is not None
        assert order.status is OrderStatus.VALID
        life.replays(3)
        runner.run(store.close())

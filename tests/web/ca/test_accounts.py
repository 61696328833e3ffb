"""Accounts over HTTP."""

from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.jws import (
    AccountKey,
    ExternalAccount,
    bind_external_account,
    make_key_change,
)
from letterlock.protocols.acme.server.rate_limits import Limit
from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.audit.decisions import AccountLogged
from letterlock.services.ca.closing import close_account
from letterlock.services.ca.requests import accounts, ended_orders
from letterlock.services.ca.requests.limits import RequestLimits
from letterlock.storage.ca.external_keys import ChangeExternalKey, ExternalKey
from tests.acme_http import BASE, TERMS, Client, World, with_rules
from tests.acme_requests import ACCOUNT_KEY, OTHER_KEY
from tests.acme_store import WatchedStore
from tests.fakes import START

NEW_ACCOUNT = parse_url(f"{BASE}/new-account")
KEY_CHANGE = parse_url(f"{BASE}/key-change")
AGREED = {"termsOfServiceAgreed": True}


async def actions(store: WatchedStore) -> list[str]:
    return [each.action for each in await store.logged() if isinstance(each, AccountLogged)]


async def test_an_account_is_opened_with_a_place_of_its_own(
    world: World, store: WatchedStore
) -> None:
    """RFC 8555 §7.3: only what is the account's is shown."""
    client = Client(world)
    opened = await client.open(orders="https://evil.example", onlyReturnExisting=False, more=1)
    assert opened.status == 201
    assert opened.document == {
        "status": "valid",
        "contact": ["mailto:a@b.example"],
        "termsOfServiceAgreed": True,
        "orders": f"{client.url}/orders",
    }
    assert await actions(store) == ["opened"]


async def test_who_has_an_account_gets_it_as_it_is(client: Client, store: WatchedStore) -> None:
    """RFC 8555 §7.3.1"""
    place = client.url
    for payload in ({}, AGREED, {"contact": ["mailto:z@b.example"]}, {"onlyReturnExisting": True}):
        again = await client.post(NEW_ACCOUNT.text, payload, has_key=True)
        assert (again.status, again.one("Location")) == (200, place)
        assert again.document["contact"] == ["mailto:a@b.example"]
    assert await actions(store) == ["opened"]


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({"onlyReturnExisting": True}, "accountDoesNotExist"),
        ({}, "userActionRequired"),
        ({"termsOfServiceAgreed": "true"}, "malformed"),
        (AGREED | {"contact": ["tel:+1"]}, "unsupportedContact"),
        (AGREED | {"contact": ["mailto:a@b.example?subject=x"]}, "invalidContact"),
        (AGREED | {"contact": ["mailto:a@b.example,c@d.example"]}, "invalidContact"),
        (AGREED | {"contact": "mailto:a@b.example"}, "malformed"),
        (AGREED | {"contact": [f"mailto:{n}@b.example" for n in range(11)]}, "invalidContact"),
        (AGREED | {"externalAccountBinding": {}}, "malformed"),
        (["termsOfServiceAgreed"], "malformed"),
    ],
    ids=str,
)
async def test_what_is_no_account_is_refused(
    world: World, store: WatchedStore, payload: object, problem: str
) -> None:
    answered = await Client(world).post(NEW_ACCOUNT.text, payload, has_key=True)
    assert answered.problem.type == problem
    if problem == "userActionRequired":
        assert answered.problem.instance == TERMS
        assert answered.links("terms-of-service") == [TERMS]
    assert await store.accounts() == ()


async def test_an_account_is_shown_to_its_holder_alone(client: Client, world: World) -> None:
    """RFC 8555 §6.3"""
    other = Client(world, OTHER_KEY)
    await other.open()
    assert client.url is not None
    for url in (client.url, f"{client.url}/orders", f"{BASE}/account/{'x' * 22}"):
        assert (await other.post(url)).problem.type == "unauthorized"
        assert (await other.post(url, {"contact": []})).problem.type == "unauthorized"
    assert (await client.post(client.url)).document["contact"] == ["mailto:a@b.example"]


async def test_contacts_are_changed_and_nothing_else(client: Client, store: WatchedStore) -> None:
    """RFC 8555 §7.3.2"""
    assert client.url is not None
    payload = {"contact": [], "termsOfServiceAgreed": False, "orders": "x", "status": "valid"}
    changed = await client.post(client.url, payload)
    assert changed.status == 200
    assert "contact" not in changed.document
    assert changed.document["termsOfServiceAgreed"]
    assert (await client.post(client.url)).document == changed.document
    assert (await client.post(client.url, {"contact": []})).status == 200
    assert (await client.post(client.url, {"contact": ["x"]})).problem.type == "unsupportedContact"
    assert await actions(store) == ["opened", "updated"]


async def test_a_change_that_comes_too_late_is_made_again(
    client: Client, store: WatchedStore
) -> None:
    assert client.url is not None
    store.loses = 7
    assert (await client.post(client.url, {"contact": []})).status == 200
    store.loses = 8
    answered = await client.post(client.url, {"contact": ["mailto:c@d.example"]})
    assert (answered.status, answered.problem.type) == (503, "serverInternal")
    assert answered.one("Retry-After") == "2"
    assert store.loses == 0


async def test_closing_an_account_ends_what_it_ordered(client: Client, store: WatchedStore) -> None:
    """RFC 8555 §7.3.6: but not what is processed, nor what it has."""
    assert client.url is not None
    valid, issued = await client.obtain("a.example")
    ready = await client.ready("b.example")
    pending = await client.order("c.example")
    processing = await client.ready("d.example")
    await client.finalize(processing)
    closed = await client.post(client.url, {"status": "deactivated"})
    assert closed.document["status"] == "deactivated"
    states = [
        (await store.order(each.one("Location").rpartition("/")[2])).status
        for each in (valid, ready, pending, processing)
    ]
    assert states == ["valid", "invalid", "invalid", "processing"]
    assert (await store.certificate(issued.certificate.id)).revoked is None
    assert await actions(store) == ["opened", "closed"]


async def test_what_an_account_asks_that_the_authority_closed_is_refused(
    client: Client, store: WatchedStore
) -> None:
    """RFC 8555 §7.3.6: its orders and authorizations too; its certificates stay."""
    assert client.url is not None
    _, issued = await client.obtain("a.example")
    order = await client.order("b.example")
    (authorization,) = order.document["authorizations"]
    (challenge, *_) = (await client.post(authorization)).document["challenges"]
    ready = await client.ready("c.example")
    (account,) = await store.accounts()
    closed = await close_account(store, account.id, "me", START)
    assert closed is not None
    assert closed.ended_orders == 2
    for url, payload in (
        (client.url, None),
        (client.url, {"contact": []}),
        (f"{client.url}/orders", None),
        (order.one("Location"), None),
        (authorization, None),
        (challenge["url"], {}),
        (f"{BASE}/certificate/{issued.certificate.id}", None),
    ):
        refused = await client.post(url, payload)
        assert (refused.status, refused.problem.type) == (401, "unauthorized")
        assert refused.problem.detail == "the account is revoked"
    assert (await client.finalize(ready)).status == 401
    assert (await client.order("a.example")).status == 401
    again = await client.post(NEW_ACCOUNT.text, AGREED, has_key=True)
    assert (again.status, again.problem.type) == (401, "unauthorized")
    assert (await store.certificate(issued.certificate.id)).revoked is None
    assert await actions(store) == ["opened", "closed"]


async def test_closing_goes_through_all_pages_of_orders(
    client: Client, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended_orders, "PAGE", 2)
    places = [(await client.order(f"{n}.example")).one("Location") for n in "abcde"]
    assert client.url is not None
    await client.post(client.url, {"status": "deactivated"})
    states = {(await store.order(each.rpartition("/")[2])).status for each in places}
    assert states == {OrderStatus.INVALID}


async def test_orders_are_listed_page_by_page(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8555 §7.1.2.1"""
    monkeypatch.setattr(accounts, "ORDERS_OF_A_PAGE", 2)
    assert client.url is not None
    places = [(await client.order(f"{n}.example")).one("Location") for n in "abcde"]
    page, found = await client.post(f"{client.url}/orders"), []
    while True:
        found.append(page.document["orders"])
        links = page.links("next")
        if not links:
            break
        page = await client.post(links[0])
    assert found == [places[:2], places[2:4], places[4:]]
    assert (await client.post(f"{client.url}/orders", {})).problem.type == "malformed"
    nowhere = await client.post(f"{client.url}/orders/after/{'x' * 22}")
    assert nowhere.document == {"orders": []}


async def test_an_order_that_ended_is_not_listed(client: Client, world: World) -> None:
    order = await client.order("a.example")
    world.clock.move(timedelta(days=8))
    assert (await client.post(order.one("Location"))).document["status"] == "invalid"
    assert (await client.post(f"{client.url}/orders")).document == {"orders": []}


class TestKeyChange:
    """RFC 8555 §7.3.5"""

    async def change(self, client: Client) -> object:
        assert client.url is not None
        old, new = AccountKey(ACCOUNT_KEY), AccountKey(OTHER_KEY)
        return make_key_change(parse_url(client.url), KEY_CHANGE, old, new)

    async def test_the_new_key_signs_from_then_on(
        self, client: Client, store: WatchedStore
    ) -> None:
        assert client.url is not None
        order = await client.ready("a.example")
        changed = await client.post(KEY_CHANGE.text, await self.change(client))
        assert changed.document["status"] == "valid"
        assert (await client.post(client.url)).problem.type == "malformed"
        client.key = OTHER_KEY
        assert (await client.post(order.one("Location"))).document["status"] == "ready"
        again = await client.post(NEW_ACCOUNT.text, {}, has_key=True)
        assert again.one("Location") == client.url
        assert await actions(store) == ["opened", "key changed"]

    async def test_a_key_that_is_somebodys_is_refused_with_his_place(
        self, client: Client, world: World
    ) -> None:
        other = Client(world, OTHER_KEY)
        await other.open()
        answered = await client.post(KEY_CHANGE.text, await self.change(client))
        assert (answered.status, answered.one("Location")) == (409, other.url)

    async def test_a_key_that_becomes_somebodys_meanwhile_is_refused(
        self, client: Client, world: World, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """RFC 8555 §11.1: the store keeps one key for one account."""
        inner = await self.change(client)
        real = store.commit

        async def commit(*given: object) -> bool:
            monkeypatch.setattr(store, "commit", real)
            await Client(world, OTHER_KEY).open()
            return await real(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "commit", commit)
        answered = await client.post(KEY_CHANGE.text, inner)
        assert answered.status == 409

    @pytest.mark.parametrize("inner", [{}, {"protected": "", "payload": "", "signature": ""}, []])
    async def test_what_is_no_key_change_is_malformed(self, client: Client, inner: object) -> None:
        assert (await client.post(KEY_CHANGE.text, inner)).problem.type == "malformed"


class TestExternalAccounts:
    """RFC 8555 §7.3.4"""

    KNOWN = ExternalAccount("customer 1", b"m" * 32)

    @pytest.fixture
    def world(self, store: WatchedStore) -> World:
        world = World(store, with_rules(is_external_account_required=True))

        async def find(kid: str) -> ExternalAccount | None:
            assert kid.isprintable()
            return self.KNOWN if kid == self.KNOWN.kid else None

        world.make(find_external=find)
        return world

    def bind(self, external: ExternalAccount, key: object = ACCOUNT_KEY) -> dict[str, object]:
        bound = bind_external_account(external, NEW_ACCOUNT, AccountKey(key))  # type: ignore[arg-type]
        return {"externalAccountBinding": bound}

    async def test_who_is_known_elsewhere_gets_an_account(self, world: World) -> None:
        client = Client(world)
        bound = self.bind(self.KNOWN)
        opened = await client.open(**bound)
        assert opened.status == 201
        assert opened.document["externalAccountBinding"] == bound["externalAccountBinding"]
        assert (await world.ask("GET", "/directory")).document["meta"]["externalAccountRequired"]

    async def test_who_is_not_gets_none(self, world: World, store: WatchedStore) -> None:
        client = Client(world)
        assert (await client.open()).problem.type == "externalAccountRequired"
        for external in (
            ExternalAccount("customer 2", b"m" * 32),
            ExternalAccount(self.KNOWN.kid, b"n" * 32),
            ExternalAccount("a\nb", b"m" * 32),
        ):
            assert (await client.open(**self.bind(external))).problem.type == "unauthorized"
        answered = await client.open(**self.bind(self.KNOWN, OTHER_KEY))
        assert answered.problem.type == "malformed"
        assert await store.accounts() == ()

    async def test_a_key_that_was_taken_back_binds_nobody_anew(
        self, world: World, store: WatchedStore
    ) -> None:
        """Who has the key is told so, and who is bound already goes on."""
        bound = Client(world, OTHER_KEY)
        assert (await bound.open(**self.bind(self.KNOWN, OTHER_KEY))).status == 201
        before = ExternalKey(self.KNOWN.kid)
        assert await store.commit([ChangeExternalKey(before, replace(before, revoked=START))])
        refused = await Client(world).open(**self.bind(self.KNOWN))
        assert (refused.problem.type, refused.status) == ("unauthorized", 403)
        assert "taken back" in refused.problem.detail
        other = ExternalAccount(self.KNOWN.kid, b"n" * 32)
        told = (await Client(world).open(**self.bind(other))).problem.detail
        assert "taken back" not in told
        await bound.order("a.example")
        again = await bound.post(NEW_ACCOUNT.text, self.bind(self.KNOWN, OTHER_KEY), has_key=True)
        assert again.status == 200
        assert len(await store.accounts()) == 1

    async def test_one_that_is_taken_back_between_look_and_commit_binds_nobody(
        self, world: World, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As another process would, after this one has looked at the key."""
        look, before = store.load_external_key, ExternalKey(self.KNOWN.kid)

        async def look_and_lose(kid: str) -> ExternalKey:
            found = await look(kid)
            if found == before:
                after = replace(before, revoked=START)
                assert await store.commit([ChangeExternalKey(before, after)])
            return found

        monkeypatch.setattr(store, "load_external_key", look_and_lose)
        refused = await Client(world).open(**self.bind(self.KNOWN))
        assert "taken back" in refused.problem.detail
        assert await store.accounts() == ()

    async def test_without_external_accounts_none_is_known(self, store: WatchedStore) -> None:
        answered = await Client(World(store)).open(**self.bind(self.KNOWN))
        assert answered.problem.type == "unauthorized"


async def test_accounts_of_one_address_are_counted(store: WatchedStore) -> None:
    """RFC 8555 §6.6; of IPv6 those of a /48 together."""
    limit = Limit("new accounts of an address", 1, 1, timedelta(hours=1))
    world = World(store, with_rules(limits=RequestLimits(accounts_per_address=limit)))
    first, second = Client(world), Client(world, OTHER_KEY)

    async def open_from(client: Client, address: str) -> int:
        body = await client.sign(NEW_ACCOUNT.text, AGREED, has_key=True)
        answered = await world.ask("POST", NEW_ACCOUNT.text, body, address=address)
        if answered.status == 429:
            assert answered.problem.type == "rateLimited"
            assert answered.one("Retry-After") == "3600"
        return answered.status

    assert await open_from(first, "2001:db8:1:2::3") == 201
    assert await open_from(first, "2001:db8:1:2::3") == 200
    assert await open_from(second, "2001:db8:1:4::5") == 429
    world.clock.move(timedelta(hours=1))
    assert await open_from(second, "2001:db8:1:4::5") == 201


async def test_who_agreed_to_former_terms_goes_on(store: WatchedStore) -> None:
    """RFC 8555 §7.3.3: a server may be unwilling then; there is no request to agree anew."""
    await Client(World(store)).open()
    client = Client(World(store, with_rules(terms="https://ca.example/terms/2")))
    assert (await client.open()).status == 200
    assert (await client.order("a.example")).status == 201

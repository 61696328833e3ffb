"""Orders, authorizations and certificates over HTTP."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from letterlock.base.domains import parse_domain
from letterlock.protocols.acme.base64url import encode_base64url
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.public_keys import make_public_key
from letterlock.protocols.acme.server.rate_limits import Limit
from letterlock.protocols.acme.server.renewals import Urgency
from letterlock.protocols.audit.decisions import (
    AuthorizationLogged,
    OrderEndedLogged,
    OrderLogged,
    RequestLogged,
)
from letterlock.protocols.pki.issuance.profiles import NameRules, Profile
from letterlock.protocols.pki.issuance.subject_keys import digest_spki
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from letterlock.services.ca.requests.limits import RequestLimits, count_failure
from letterlock.services.ca.requests.work import Patience
from letterlock.storage.ca.changes import AddPause, BlockKey, PutOffWork, UseCounter
from letterlock.storage.ca.kept import BlockedKey, Halt, PausedName, WorkKind
from letterlock.web.ca.application import make_application
from tests.acme_http import BASE, CERTIFICATES, Answered, Client, World, with_rules
from tests.acme_requests import ACCOUNT_KEY, OTHER_KEY
from tests.acme_store import WatchedStore
from tests.fakes import START

NEW_ORDER = f"{BASE}/new-order"
WEAK_KEY = rsa.generate_private_key(65537, 1024)
WIDE_KEY = ec.derive_private_key(9, ec.SECP384R1())
BLOCKED = ec.derive_private_key(11, ec.SECP256R1())
FAILED = Problem("dns", "no such name", 400)


def find_id(answered: Answered) -> str:
    return answered.one("Location").rpartition("/")[2]


async def listed(store: WatchedStore) -> list[str]:
    """The orders that the audit log tells of."""
    return [each.order for each in await store.logged() if isinstance(each, OrderLogged)]


async def pass_turns() -> None:
    """Let what could go on go on."""
    for _ in range(50):
        await asyncio.sleep(0)


async def limit(client: Client, **limits: Any) -> None:
    """Limits that hold from now on."""
    client.world.rules = with_rules(limits=RequestLimits(**limits))
    client.world.make()


class TestOrdering:
    """RFC 8555 §7.4"""

    async def test_an_order_has_an_authorization_for_each_name(
        self, client: Client, store: WatchedStore
    ) -> None:
        made = await client.order("b.example", "*.a.example", "a.example")
        assert made.status == 201
        assert made.document["status"] == "pending"
        assert made.document["profile"] == "a"
        place = made.one("Location")
        assert made.document["finalize"] == f"{place}/finalize"
        shown = await client.post(place)
        assert shown.document == made.document
        found = [(await client.post(url)).document for url in made.document["authorizations"]]
        named = {(each["identifier"]["value"], each.get("wildcard")) for each in found}
        assert named == {("a.example", None), ("a.example", True), ("b.example", None)}
        (logged,) = (e for e in await store.logged() if isinstance(e, OrderLogged))
        assert set(logged.names) == {"b.example", "*.a.example", "a.example"}
        assert len(logged.authorizations) == 3
        assert logged.reused == ()

    async def test_urls_tell_nothing(self, client: Client) -> None:
        """RFC 8555 §10.5, §11.3: what is given out is chosen at random."""
        first, second = await client.order("a.example"), await client.order("b.example")
        texts = []
        for made in (first, second):
            (url,) = made.document["authorizations"]
            challenges = (await client.post(url)).document["challenges"]
            texts += [find_id(made), url.rpartition("/")[2], challenges[0]["token"]]
        assert len(set(texts)) == 6
        assert all(len(each) >= 22 for each in texts)

    async def test_what_was_proved_is_used_again(self, client: Client) -> None:
        first = await client.ready("a.example")
        second = await client.order("a.example")
        assert second.document["authorizations"] == first.document["authorizations"]
        assert second.document["status"] == "ready"
        wider = await client.order("a.example", "b.example")
        assert wider.document["status"] == "pending"
        assert first.document["authorizations"][0] in wider.document["authorizations"]

    @pytest.mark.parametrize("why", ["profile", "time", "wildcard", "given up", "account"])
    async def test_what_proves_nothing_now_is_not_used_again(
        self, client: Client, world: World, why: str
    ) -> None:
        first = await client.ready("a.example")
        names, more = ["a.example"], {}
        if why == "profile":
            more["profile"] = "web"
        elif why == "time":
            world.clock.move(timedelta(days=10))
        elif why == "wildcard":
            names = ["*.a.example"]
        elif why == "given up":
            await client.post(first.document["authorizations"][0], {"status": "deactivated"})
        else:
            client = Client(world, OTHER_KEY)
            await client.open()
        second = await client.order(*names, **more)
        assert second.document["status"] == "pending"
        assert second.document["authorizations"] != first.document["authorizations"]

    async def test_what_is_no_order_is_refused(self, client: Client, store: WatchedStore) -> None:
        payloads: tuple[tuple[object, str], ...] = (
            ({}, "malformed"),
            ({"identifiers": []}, "malformed"),
            ({"identifiers": ["a.example"]}, "malformed"),
            ({"identifiers": [{"type": "dns", "value": "A_b.example"}]}, "malformed"),
            ({"identifiers": [{"type": "dns", "value": "a.example."}]}, "malformed"),
            ({"identifiers": [{"type": "dns", "value": "192.0.2.1"}]}, "malformed"),
            ({"identifiers": [{"type": "ip", "value": "192.0.2.01"}]}, "malformed"),
            ({"identifiers": [{"type": "email", "value": "a@b"}]}, "unsupportedIdentifier"),
            ({"identifiers": [{"type": "dns", "value": "1.in-addr.arpa"}]}, "rejectedIdentifier"),
            (
                {"identifiers": [{"type": "dns", "value": f"{n}.ex.org"} for n in range(5)]},
                "malformed",
            ),
            ({"identifiers": [{"type": "dns", "value": "a.example"}] * 1001}, "malformed"),
        )
        for payload, problem in payloads:
            answered = await client.post(NEW_ORDER, payload)
            assert answered.problem.type == problem, payload
        assert await listed(store) == []

    async def test_names_that_are_wrong_are_all_told(self, client: Client) -> None:
        """RFC 8555 §6.7.1: each once."""
        names = ["x.ip6.arpa", "good.example", "a_b.example", "a_b.example"]
        payload = {"identifiers": [{"type": "dns", "value": each} for each in names]}
        problem = (await client.post(NEW_ORDER, payload)).problem
        assert problem.type == "compound"
        assert [str(each.identifier) for each in problem.subproblems] == [names[0], names[2]]

    async def test_an_unknown_profile_is_refused(self, client: Client) -> None:
        answered = await client.order("a.example", profile="b")
        assert answered.problem.type == "invalidProfile"

    async def test_dates_are_honoured_or_refused(self, client: Client, world: World) -> None:
        end = (world.clock.now() + timedelta(days=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert (await client.order("a.example", notAfter=end)).problem.type == "malformed"
        made = await client.order("a.example", notAfter=end, profile="dated")
        assert made.document["notAfter"] == end

    async def test_names_that_no_certificate_can_have_are_refused(
        self, store: WatchedStore
    ) -> None:
        rules = NameRules(excluded_domains=(parse_domain("secret.example"),))
        certificates = CERTIFICATES | {"a": Profile("a", rules=rules, may_have_addresses=False)}
        client = Client(World(store, with_rules(certificates=certificates)))
        await client.open()
        answered = await client.order("x.secret.example", "192.0.2.1", "a.example")
        assert answered.problem.type == "rejectedIdentifier"
        found = {str(each.identifier) for each in answered.problem.subproblems}
        assert found == {"x.secret.example", "192.0.2.1"}
        assert (await client.order("single")).problem.type == "rejectedIdentifier"

    async def test_a_name_that_no_challenge_can_prove_is_refused(self, client: Client) -> None:
        answered = await client.order("*.a.example", profile="web")
        assert answered.problem.type == "rejectedIdentifier"

    async def test_while_issuance_is_halted_nothing_is_ordered_or_finalized(
        self, client: Client, store: WatchedStore
    ) -> None:
        ready = await client.ready("a.example")
        await store.set_halt(Halt(is_halted=True, why="a key is missing", who="op"))
        for answered in (await client.order("b.example"), await client.finalize(ready)):
            assert (answered.status, answered.problem.type) == (503, "serverInternal")
            assert answered.problem.detail == "issuance is halted: a key is missing"
            assert answered.find("Retry-After")
        await store.set_halt()
        assert (await client.finalize(ready)).document["status"] == "processing"


class TestLimits:
    """RFC 8555 §6.6"""

    async def test_orders_of_an_account_are_counted(self, client: Client, world: World) -> None:
        await limit(client, orders_per_account=Limit("new orders", 2, 2, timedelta(hours=1)))
        for _ in range(2):
            assert (await client.order("a.example")).status == 201
        answered = await client.order("a.example")
        assert (answered.status, answered.problem.type) == (429, "rateLimited")
        assert answered.one("Retry-After") == "1800"
        other = Client(world, OTHER_KEY)
        await other.open()
        assert (await other.order("a.example")).status == 201
        world.clock.move(timedelta(minutes=30))
        assert (await client.order("a.example")).status == 201

    async def test_what_is_refused_is_not_counted(
        self, client: Client, store: WatchedStore
    ) -> None:
        await limit(client, orders_per_account=Limit("new orders", 1, 1, timedelta(hours=1)))
        assert (await client.order("a_b.example")).status == 400
        await store.set_halt(Halt(is_halted=True))
        assert (await client.order("a.example")).status == 503
        await store.set_halt()
        assert (await client.order("a.example")).status == 201

    async def test_a_limit_that_is_reached_meanwhile_holds(
        self, client: Client, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two processes that both saw room for one: the store has the last word."""
        await limit(client, orders_per_account=Limit("new orders", 1, 1, timedelta(hours=1)))
        real = store.commit

        async def commit(changes: object, entries: object = ()) -> bool:
            monkeypatch.setattr(store, "commit", real)
            counter = next(each.counter for each in changes if isinstance(each, UseCounter))  # type: ignore[attr-defined]
            await real((UseCounter(counter, client.world.clock.now()),))
            return await real(changes, entries)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "commit", commit)
        assert (await client.order("a.example")).status == 429
        assert await listed(store) == []

    async def test_certificates_for_the_same_names_are_counted(self, client: Client) -> None:
        same = Limit("certificates for the same names", 1, 1, timedelta(days=1))
        await limit(client, certificates_per_name_set=same)
        assert (await client.order("a.example", "b.example")).status == 201
        assert (await client.order("b.example", "a.example")).status == 429
        assert (await client.order("a.example")).status == 201

    async def test_a_replacement_in_its_window_is_spared(
        self, client: Client, world: World
    ) -> None:
        """RFC 9773 §5; one that comes too soon is not."""
        same = Limit("same names", 1, 1, timedelta(days=900), spares_replacements=True)
        await limit(client, certificates_per_name_set=same)
        _, issued = await client.obtain("a.example")
        replaces = {"replaces": str(issued.certificate.name)}
        assert (await client.order("a.example", **replaces)).status == 429
        world.clock.move(timedelta(days=60))
        assert (await client.order("a.example")).status == 429
        assert (await client.order("a.example", **replaces)).status == 201

    async def test_a_replacement_that_an_incident_wants_is_spared(
        self, client: Client, world: World
    ) -> None:
        same = Limit("same names", 1, 1, timedelta(days=900), spares_replacements=True)
        await limit(client, certificates_per_name_set=same)
        _, issued = await client.obtain("a.example")

        async def find(_: object) -> Urgency:
            return Urgency(world.clock.now(), f"{BASE}/why")

        world.make(find_urgency=find)
        answered = await client.order("a.example", replaces=str(issued.certificate.name))
        assert answered.status == 201

    async def test_names_that_failed_too_often_are_refused_until_later(
        self, client: Client, world: World, store: WatchedStore
    ) -> None:
        failing = Limit("failed validations", 1, 1, timedelta(hours=1))
        await limit(client, failures_per_name=failing)
        account_id = (client.url or "").rpartition("/")[2]
        now = world.clock.now()
        ready = await client.ready("proved.example")
        assert ready.status == 201
        for name in ("a.example", "b.example", "proved.example"):
            counter = count_failure(world.rules.limits, account_id, Identifier("dns", name))
            assert counter is not None
            assert await store.commit((UseCounter(counter, now),))
        answered = await client.order("a.example", "*.b.example", "c.example", "proved.example")
        assert answered.problem.type == "rateLimited"
        found = [str(each.identifier) for each in answered.problem.subproblems]
        assert found == ["*.b.example", "a.example"]
        assert answered.one("Retry-After") == "3600"
        assert (await client.order("proved.example")).status == 201
        world.clock.move(timedelta(hours=1))
        assert (await client.order("a.example")).status == 201

    async def test_names_that_are_paused_are_refused_with_a_page(
        self, client: Client, store: WatchedStore, world: World
    ) -> None:
        page = f"{BASE}/paused"
        world.rules = with_rules(limits=RequestLimits(page=page))
        world.make()
        account_id = (client.url or "").rpartition("/")[2]
        name = Identifier("dns", "a.example")
        pause = AddPause(PausedName(account_id, name, world.clock.now()))
        assert await store.commit((pause,))
        answered = await client.order("a.example", "b.example")
        assert answered.problem.type == "rateLimited"
        assert answered.links("help") == [page]
        assert (await client.order("b.example")).status == 201


class TestReplacing:
    """RFC 9773 §5"""

    async def test_what_an_order_replaces_is_shown_and_only_one_does(
        self, client: Client, store: WatchedStore
    ) -> None:
        _, issued = await client.obtain("a.example", "b.example")
        name = str(issued.certificate.name)
        made = await client.order("b.example", "c.example", replaces=name)
        assert made.document["replaces"] == name
        assert (await client.post(made.one("Location"))).document["replaces"] == name
        assert (await store.certificate(issued.certificate.id)).replaced_by == find_id(made)
        again = await client.order("a.example", replaces=name)
        assert (again.status, again.problem.type) == (409, "alreadyReplaced")

    async def test_an_order_that_failed_does_not_count(self, client: Client, world: World) -> None:
        _, issued = await client.obtain("a.example")
        name = str(issued.certificate.name)
        assert (await client.order("a.example", "b.example", replaces=name)).status == 201
        world.clock.move(timedelta(days=8))
        assert (await client.order("a.example", replaces=name)).status == 201

    async def test_what_does_not_belong_together_is_refused(
        self, client: Client, world: World
    ) -> None:
        _, issued = await client.obtain("a.example")
        name = str(issued.certificate.name)
        other = Client(world, OTHER_KEY)
        await other.open()
        assert (await other.order("a.example", replaces=name)).problem.type == "unauthorized"
        assert (await client.order("b.example", replaces=name)).problem.type == "malformed"
        assert (await client.order("a.example", replaces="AA.AQ")).status == 404
        assert (await client.order("a.example", replaces="x")).problem.type == "malformed"


class TestAuthorizations:
    """RFC 8555 §7.5"""

    async def open(self, client: Client, *names: str) -> tuple[str, dict[str, str]]:
        """An authorization's URL, and those of its challenges."""
        made = await client.order(*(names or ("a.example",)))
        url: str = made.document["authorizations"][0]
        challenges = (await client.post(url)).document["challenges"]
        return url, {each["type"]: each["url"] for each in challenges}

    async def test_a_response_begins_a_validation(self, client: Client, world: World) -> None:
        url, challenges = await self.open(client)
        shown = await client.post(challenges["dns-01"])
        assert shown.document["status"] == "pending"
        answered = await client.post(challenges["dns-01"], {"unknown": [1]})
        assert answered.document["status"] == "processing"
        assert answered.document["url"] == challenges["dns-01"]
        assert answered.links("up") == [url]
        assert answered.find("Retry-After")
        authorization = await client.post(url)
        assert authorization.document["status"] == "pending"
        assert authorization.find("Retry-After")
        (claimed,) = world.begun.values()
        assert claimed.work.kind is WorkKind.VALIDATION
        assert claimed.work.subject == url.rpartition("/")[2]
        assert claimed.work.detail == b"dns-01"
        assert claimed.lease.owner == "here"
        assert claimed.lease.until == world.clock.now() + world.rules.lease

    async def test_a_response_that_is_repeated_begins_no_other(
        self, client: Client, world: World
    ) -> None:
        _, challenges = await self.open(client)
        for _ in range(2):
            answered = await client.post(challenges["dns-01"], {})
            assert answered.document["status"] == "processing"
        assert len(world.begun) == 1
        assert (await client.post(challenges["http-01"], {})).problem.type == "malformed"

    async def test_a_response_that_is_repeated_after_a_failed_try_hurries_the_next(
        self, client: Client, world: World, store: WatchedStore
    ) -> None:
        """RFC 8555 §8.2"""
        url, challenges = await self.open(client)
        await client.post(challenges["dns-01"], {})
        ((key, claimed),) = world.begun.items()
        due = world.clock.now() + timedelta(minutes=5)
        assert await store.commit((PutOffWork(claimed.lease, due),))
        world.begun.clear()
        assert (await client.post(challenges["dns-01"])).document["status"] == "processing"
        assert world.begun == {}
        for _ in range(2):
            again = await client.post(challenges["dns-01"], {})
            assert again.document["status"] == "processing"
        assert world.begun[key].work == claimed.work
        assert world.begun[key].lease.number == 2
        await world.validate(url.rpartition("/")[2])
        assert (await client.post(challenges["dns-01"], {})).document["status"] == "valid"
        assert world.begun == {}

    async def test_what_was_validated_is_told(self, client: Client, world: World) -> None:
        """RFC 8555 §7.1.4, §8"""
        url, challenges = await self.open(client)
        await client.post(challenges["http-01"], {})
        await world.validate(url.rpartition("/")[2])
        shown = await client.post(url)
        assert shown.document["status"] == "valid"
        (challenge,) = shown.document["challenges"]
        assert (challenge["type"], challenge["validated"]) == ("http-01", "2026-03-01T12:00:00Z")
        assert not shown.find("Retry-After")
        assert (await client.post(challenges["http-01"], {})).document == challenge

    async def test_what_failed_is_told_and_ends_the_order(
        self, client: Client, world: World, store: WatchedStore
    ) -> None:
        made = await client.order("a.example", "b.example")
        url = made.document["authorizations"][0]
        challenge = (await client.post(url)).document["challenges"][0]
        await client.post(challenge["url"], {})
        await world.validate(url.rpartition("/")[2], FAILED)
        shown = await client.post(url)
        assert shown.document["status"] == "invalid"
        assert shown.document["challenges"][0]["error"]["detail"] == "no such name"
        for _ in range(2):
            order = (await client.post(made.one("Location"))).document
            assert order["status"] == "invalid"
            assert order["error"]["type"].endswith("unauthorized")
        ended = [e for e in await store.logged() if isinstance(e, OrderEndedLogged)]
        assert [each.order for each in ended] == [find_id(made)]
        assert (await client.finalize(made)).problem.type == "orderNotReady"

    async def test_news_that_come_soon_are_waited_for(self, client: Client, world: World) -> None:
        world.rules = with_rules(patience=Patience(3600, 3600, 3600))
        world.make()
        url, challenges = await self.open(client)
        waiting = asyncio.ensure_future(client.post(challenges["http-01"], {}))
        await world.has_begun.wait()
        also = asyncio.ensure_future(client.post(url))
        await pass_turns()
        assert not waiting.done()
        assert not also.done()
        await world.validate(url.rpartition("/")[2])
        assert (await waiting).document["status"] == "valid"
        assert (await also).document["status"] == "valid"

    async def test_news_that_do_not_come_are_not_waited_for_long(
        self, client: Client, world: World
    ) -> None:
        world.rules = with_rules(patience=Patience(0.001, 0.001, 0.001))
        world.make()
        url, challenges = await self.open(client)
        assert (await client.post(challenges["http-01"], {})).document["status"] == "processing"
        assert (await client.post(url)).document["status"] == "pending"

    async def test_an_authorization_can_be_given_up(
        self, client: Client, store: WatchedStore
    ) -> None:
        """RFC 8555 §7.5.2"""
        ready = await client.ready("a.example")
        url = ready.document["authorizations"][0]
        for _ in range(2):
            given = await client.post(url, {"status": "deactivated"})
            assert given.document["status"] == "deactivated"
        assert (await client.post(ready.one("Location"))).document["status"] == "invalid"
        assert (await client.finalize(ready)).problem.type == "orderNotReady"
        logged = [e for e in await store.logged() if isinstance(e, AuthorizationLogged)]
        assert len(logged) == 1

    async def test_what_is_tried_can_be_given_up(self, client: Client, world: World) -> None:
        url, challenges = await self.open(client)
        await client.post(challenges["http-01"], {})
        await client.post(url, {"status": "deactivated"})
        await world.validate(url.rpartition("/")[2])
        assert (await client.post(url)).document["status"] == "deactivated"

    async def test_nothing_else_of_it_can_be_changed(self, client: Client) -> None:
        url, _ = await self.open(client)
        payloads: list[object] = [{}, {"status": "valid"}, {"status": 1}, [], "x"]
        for payload in payloads:
            assert (await client.post(url, payload)).problem.type == "malformed"
        assert (await client.post(url)).document["status"] == "pending"

    async def test_what_expired_cannot_be_responded_to(self, client: Client, world: World) -> None:
        url, challenges = await self.open(client)
        world.clock.move(timedelta(days=7))
        assert (await client.post(challenges["http-01"], {})).problem.type == "malformed"
        assert (await client.post(url)).document["status"] == "expired"

    async def test_a_response_is_an_object(self, client: Client, world: World) -> None:
        _, challenges = await self.open(client)
        payloads: tuple[object, ...] = ([], "x", 1)
        for payload in payloads:
            assert (await client.post(challenges["http-01"], payload)).problem.type == "malformed"
        assert not world.begun

    async def test_the_key_authorization_is_of_the_key_of_that_moment(
        self, client: Client, store: WatchedStore
    ) -> None:
        """RFC 8555 §8.1"""
        url, challenges = await self.open(client)
        await client.post(challenges["http-01"], {})
        kept = await store.authorization(url.rpartition("/")[2])
        challenge = kept.find_challenge("http-01")
        assert challenge is not None
        thumbprint = make_public_key(ACCOUNT_KEY.public_key()).thumbprint
        assert challenge.key_authorization == f"{challenge.token}.{thumbprint}"


class TestFinalizing:
    """RFC 8555 §7.4"""

    async def test_issuing_begins_with_the_request(
        self, client: Client, world: World, store: WatchedStore
    ) -> None:
        ready = await client.ready("a.example", "b.example")
        answered = await client.finalize(ready)
        assert answered.document["status"] == "processing"
        assert answered.one("Location") == ready.one("Location")
        assert answered.find("Retry-After")
        (claimed,) = world.begun.values()
        assert (claimed.work.kind, claimed.work.subject) == (WorkKind.ISSUANCE, find_id(ready))
        logged = [e for e in await store.logged() if isinstance(e, RequestLogged)]
        assert [each.faults for each in logged] == [()]
        assert (await client.finalize(ready)).problem.type == "orderNotReady"
        await world.issue(find_id(ready))
        shown = await client.post(ready.one("Location"))
        assert shown.document["status"] == "valid"
        assert not shown.find("Retry-After")
        assert (await client.finalize(ready)).problem.type == "orderNotReady"

    async def test_a_certificate_that_comes_soon_is_waited_for(
        self, client: Client, world: World
    ) -> None:
        world.rules = with_rules(patience=Patience(0, 0, 3600))
        world.make()
        ready = await client.ready("a.example")
        world.has_begun.clear()
        waiting = asyncio.ensure_future(client.finalize(ready))
        await world.has_begun.wait()
        also = asyncio.ensure_future(client.post(ready.one("Location")))
        await pass_turns()
        assert not waiting.done()
        await world.issue(find_id(ready))
        for answered in (await waiting, await also):
            assert answered.document["status"] == "valid"
            assert answered.document["certificate"]

    async def test_an_order_that_is_not_ready_is_told_so(self, client: Client) -> None:
        made = await client.order("a.example")
        answered = await client.finalize(made)
        assert (answered.status, answered.problem.type) == (403, "orderNotReady")

    async def test_a_request_that_is_refused_leaves_the_order_ready(
        self, client: Client, store: WatchedStore
    ) -> None:
        ready = await client.ready("a.example", "b.example")
        blocked = BlockedKey(digest_spki(BLOCKED.public_key()), START, "lost")
        assert await store.commit((BlockKey(blocked),))
        refused = [
            await client.finalize(ready, OTHER_KEY, "a.example"),
            await client.finalize(ready, OTHER_KEY, "a.example", "b.example", "c.example"),
            await client.finalize(ready, OTHER_KEY, "a.example", "*.b.example"),
            await client.finalize(ready, ACCOUNT_KEY),
            await client.finalize(ready, WEAK_KEY),
            await client.finalize(ready, BLOCKED),
            await client.post(ready.document["finalize"], {"csr": "AAAA"}),
            await client.post(ready.document["finalize"], {"csr": "A"}),
            await client.post(ready.document["finalize"], {"csr": encode_base64url(b"a" * 70_000)}),
            await client.post(ready.document["finalize"], {}),
        ]
        assert [each.problem.type for each in refused] == ["badCSR"] * 10
        assert (await client.post(ready.document["finalize"], [])).problem.type == "malformed"
        assert (await client.post(ready.document["finalize"])).problem.type == "malformed"
        shown = await client.post(ready.one("Location"))
        assert shown.document["status"] == "ready"
        logged = [e for e in await store.logged() if isinstance(e, RequestLogged)]
        assert len(logged) == 7
        assert all(each.faults for each in logged)
        assert (await client.finalize(ready)).document["status"] == "processing"

    async def test_the_key_of_any_account_is_refused(self, client: Client, world: World) -> None:
        """RFC 8555 §11.1"""
        await Client(world, OTHER_KEY).open()
        ready = await client.ready("a.example")
        answered = await client.finalize(ready, OTHER_KEY)
        assert answered.problem.type == "badCSR"
        assert "is an account's" in answered.problem.detail

    async def test_addresses_and_wildcards_are_asked_for_as_ordered(self, client: Client) -> None:
        ready = await client.ready("192.0.2.1", "2001:db8::1")
        assert (await client.finalize(ready)).document["status"] == "processing"
        ready = await client.ready("*.a.example")
        assert (await client.finalize(ready)).document["status"] == "processing"

    async def test_an_order_that_ended_is_not_finalized(self, client: Client, world: World) -> None:
        """RFC 8555 §7.1.6: its authorizations, or its time, are over."""
        ready = await client.ready("a.example")
        world.clock.move(timedelta(days=7))
        assert (await client.finalize(ready)).problem.type == "orderNotReady"

    async def test_that_an_order_ended_is_kept_once_however_many_look(
        self, client: Client, world: World, store: WatchedStore
    ) -> None:
        made = await client.order("a.example")
        world.clock.move(timedelta(days=7))
        store.loses = 7
        assert (await client.post(made.one("Location"))).document["status"] == "invalid"
        assert store.loses == 0
        ended = [each for each in await store.logged() if isinstance(each, OrderEndedLogged)]
        assert len(ended) == 1
        assert (await store.order(find_id(made))).error is not None
        other = await client.order("b.example")
        world.clock.move(timedelta(days=7))
        store.loses = 8
        assert (await client.post(other.one("Location"))).status == 503
        assert [what for what, _ in world.reports] == [f"POST /order/{find_id(other)}"]

    async def test_a_profile_that_is_gone_is_told(self, client: Client, world: World) -> None:
        ready = await client.ready("a.example", profile="web")
        orders = {"a": world.rules.orders["a"]}
        world.rules = with_rules(orders=orders, certificates={"a": CERTIFICATES["a"]})
        world.make()
        assert "no profile web any more" in (await client.finalize(ready)).problem.detail


class TestForeignObjects:
    """RFC 8555 §6.3: an object is its account's alone."""

    async def test_nobody_else_sees_or_changes_them(self, client: Client, world: World) -> None:
        made, _ = await client.obtain("a.example")
        url = made.document["authorizations"][0]
        challenge = (await client.post(url)).document["challenges"][0]["url"]
        certificate = made.document["certificate"]
        other = Client(world, OTHER_KEY)
        await other.open()
        for place in (made.one("Location"), url, challenge, certificate, f"{certificate}/1"):
            for payload in (None, {"status": "deactivated"}):
                assert (await other.post(place, payload)).problem.type == "unauthorized"
        assert (await other.post(made.document["finalize"], {})).problem.type == "unauthorized"

    async def test_what_is_not_there_is_not_there(self, client: Client) -> None:
        paths = ["order/{}", "authorization/{}", "challenge/{}/http-01", "certificate/{}"]
        for path, name in product(paths, ("x" * 22, "x", "%00", "..", "'", "x" * 5000)):
            url = f"{BASE}/{path.format(name)}"
            body = await client.sign(f"{BASE}/x", None)
            if len(url) < 2000 and name.isalnum():
                body = await client.sign(url, None)
            answered = await client.world.ask("POST", url, body)
            assert answered.status in ((404,) if name.isalnum() and len(url) < 2000 else (403, 404))

    async def test_a_challenge_of_another_kind_is_not_there(self, client: Client) -> None:
        made = await client.order("*.a.example")
        authorization = made.document["authorizations"][0].rpartition("/")[2]
        for kind in ("http-01", "dns-02", "x"):
            url = f"{BASE}/challenge/{authorization}/{kind}"
            assert (await client.post(url, {})).status == 404

    async def test_an_order_is_only_fetched(self, client: Client) -> None:
        made = await client.order("a.example")
        assert (await client.post(made.one("Location"), {})).problem.type == "malformed"


class TestCertificates:
    """RFC 8555 §7.4.2"""

    async def test_a_certificate_is_had_with_each_of_its_chains(self, client: Client) -> None:
        made, issued = await client.obtain("a.example")
        url = made.document["certificate"]
        first = await client.post(url)
        assert first.one("Content-Type") == "application/pem-certificate-chain"
        assert first.links("alternate") == [f"{url}/1"]
        assert first.body.count(b"BEGIN CERTIFICATE") == 2
        second = await client.post(f"{url}/1")
        assert second.body.count(b"BEGIN CERTIFICATE") == 3
        assert second.links("alternate") == [url]
        for chain in ("0", "2", "01", "x", "-1", "1" * 100):
            assert (await client.post(f"{url}/{chain}")).status == 404
        assert (await client.post(url, {})).problem.type == "malformed"
        del issued

    async def test_it_is_not_shown_before_it_is_there(self, client: Client) -> None:
        ready = await client.ready("a.example")
        assert "certificate" not in (await client.finalize(ready)).document


class TestRenewalInformation:
    """RFC 9773 §4"""

    async def test_anybody_may_ask(self, client: Client, world: World) -> None:
        _, issued = await client.obtain("a.example")
        path = f"/renewal-info/{issued.certificate.name}"
        answered = await world.ask("GET", path)
        window = answered.document["suggestedWindow"]
        assert window["start"] < window["end"]
        assert answered.one("Cache-Control") == "max-age=300"
        assert int(answered.one("Retry-After")) > 3600
        assert (await world.ask("GET", f"{path}?x=y")).document == answered.document
        assert (await world.ask("HEAD", path)).body == b""
        assert (await world.ask("POST", path)).status == 405

    async def test_who_asks_names_a_certificate(self, world: World) -> None:
        for name, status in (
            ("AA.AQ", 404),
            ("x", 400),
            ("AA.", 400),
            (".AQ", 400),
            ("AA.AQ.AQ", 400),
            ("AA=.AQ", 400),
        ):
            assert (await world.ask("GET", f"/renewal-info/{name}")).status == status

    async def test_an_incident_says_now_and_why(self, client: Client, world: World) -> None:
        _, issued = await client.obtain("a.example")
        page = f"{BASE}/incident"

        async def find(certificate: object) -> Urgency:
            assert certificate == issued.certificate
            return Urgency(world.clock.now(), page)

        world.make(find_urgency=find)
        answered = await world.ask("GET", f"/renewal-info/{issued.certificate.name}")
        assert answered.document["explanationURL"] == page
        assert answered.document["suggestedWindow"]["end"] < "2026-03-01T12:00:00Z"


class TestRevoking:
    """RFC 8555 §7.6"""

    URL = f"{BASE}/revoke-cert"

    def payload(self, der: bytes, reason: int | None = None) -> dict[str, object]:
        found: dict[str, object] = {"certificate": encode_base64url(der)}
        return found if reason is None else found | {"reason": reason}

    async def test_its_account_may_and_says_why(self, client: Client, world: World) -> None:
        _, issued = await client.obtain("a.example")
        answered = await client.post(self.URL, self.payload(issued.der, 4))
        assert (answered.status, answered.body) == (200, b"")
        ((revocation, by),) = world.revoked
        assert revocation.reason == 4
        assert not revocation.blocks_key
        assert by == f"account {issued.certificate.account_id}"
        again = await client.post(self.URL, self.payload(issued.der, 4))
        assert (again.status, again.problem.type) == (400, "alreadyRevoked")

    async def test_its_key_may_and_is_blocked(self, client: Client, world: World) -> None:
        _, issued = await client.obtain("a.example")
        holder = Client(world, OTHER_KEY)
        answered = await holder.post(self.URL, self.payload(issued.der), has_key=True)
        assert answered.status == 200
        ((revocation, by),) = world.revoked
        assert revocation.reason == 1
        assert revocation.blocks_key
        assert by == "key"
        ready = await client.ready("b.example")
        refused = await client.finalize(ready, OTHER_KEY)
        assert "known to be compromised" in refused.problem.detail

    async def test_who_has_all_of_its_names_may(self, client: Client, world: World) -> None:
        _, issued = await client.obtain("a.example", "b.example")
        other = Client(world, OTHER_KEY)
        await other.open()
        await other.ready("a.example")
        refused = await other.post(self.URL, self.payload(issued.der, 1))
        assert (refused.status, refused.problem.type) == (403, "unauthorized")
        assert "b.example" in refused.problem.detail
        await other.ready("b.example")
        assert (await other.post(self.URL, self.payload(issued.der, 1))).status == 200
        ((revocation, _),) = world.revoked
        assert revocation.reason == 5

    async def test_another_key_may_not(self, client: Client, world: World) -> None:
        _, issued = await client.obtain("a.example")
        for key in (WIDE_KEY, ACCOUNT_KEY):
            other = Client(world, key)
            answered = await other.post(self.URL, self.payload(issued.der), has_key=True)
            assert answered.problem.type == "unauthorized"
        assert world.revoked == []

    async def test_what_was_not_issued_here_is_not_revoked(
        self, client: Client, world: World
    ) -> None:
        _, issued = await client.obtain("a.example")
        foreign = ThrowawayCa("Other", START).issue(["a.example"], now=START)
        changed = issued.der[:-1] + bytes([issued.der[-1] ^ 1])
        for der in (foreign.der, changed):
            assert (await client.post(self.URL, self.payload(der))).status == 404
        for der in (b"a", issued.der[:-1], issued.der + b"a", b"\x30\x80" * 1000):
            answered = await client.post(self.URL, self.payload(der))
            assert (answered.status, answered.problem.type) == (400, "malformed")
        payloads: list[object] = [{}, *({"certificate": each} for each in ("", 1, "===="))]
        for payload in payloads:
            assert (await client.post(self.URL, payload)).problem.type == "malformed"
        assert world.revoked == []

    async def test_a_reason_is_one_of_those_told(self, client: Client) -> None:
        _, issued = await client.obtain("a.example")
        for reason in (2, 6, 8, 9, 10, 11, -1, 2**70):
            answered = await client.post(self.URL, self.payload(issued.der, reason))
            assert answered.problem.type == "badRevocationReason"
            assert "0, 1, 3, 4, 5" in answered.problem.detail

    async def test_what_changed_meanwhile_is_decided_again(
        self, client: Client, world: World
    ) -> None:
        _, issued = await client.obtain("a.example")
        lost = 3

        async def revoke(issued: object, revocation: object, by: str) -> bool:
            del issued, revocation, by
            nonlocal lost
            lost -= 1
            return lost == 0

        world.authority = replace(world.authority, revoke=revoke)
        world.app = make_application(world.authority, lambda *_: None)
        assert (await client.post(self.URL, self.payload(issued.der))).status == 200
        assert lost == 0
        assert (await client.post(self.URL, self.payload(issued.der))).status == 503

    async def test_after_it_renewing_is_urgent(self, client: Client, world: World) -> None:
        _, issued = await client.obtain("a.example")
        await client.post(self.URL, self.payload(issued.der))
        answered = await world.ask("GET", f"/renewal-info/{issued.certificate.name}")
        assert answered.document["suggestedWindow"]["end"] < "2026-03-01T12:00:00Z"

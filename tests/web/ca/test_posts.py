"""What every POST goes through, whatever it asks for."""

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import product

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from starlette.types import Message, Scope

from letterlock.protocols.acme.base64url import encode_base64url
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.jws import AccountKey, sign_request
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.signed_requests import MAX_REQUEST_OCTETS
from letterlock.services.ca.requests.posts import load_nonce_keys
from letterlock.storage.queue import StoreUnavailable
from letterlock.web.ca.application import Resource
from tests.acme_http import BASE, JOSE, Client, World
from tests.acme_requests import ACCOUNT_KEY, OTHER_KEY, flatten, public
from tests.acme_store import WatchedStore

NEW_ORDER = f"{BASE}/new-order"
ED_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"e" * 32)
RSA_KEY = rsa.generate_private_key(65537, 2048)
WIDE_KEY = ec.derive_private_key(9, ec.SECP384R1())


async def make(client: Client, url: str = NEW_ORDER, **header: object) -> dict[str, object]:
    """A header that is good, but for what a test says."""
    found = {"alg": "ES256", "kid": client.url, "nonce": await client.world.nonce(), "url": url}
    return {key: value for key, value in (found | header).items() if value is not None}


async def send(world: World, jws: Mapping[str, object], url: str = NEW_ORDER) -> str:
    """Give the type of the problem; empty: there is none."""
    answered = await world.ask("POST", url, json.dumps(jws).encode())
    return answered.problem.type if answered.status >= 400 else ""


def make_scope() -> Scope:
    """A POST by a client whose address is not known."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/new-order",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", JOSE.encode())],
        "client": ("not an address", 1),
    }


async def test_a_request_is_taken_and_each_answer_has_a_nonce(client: Client) -> None:
    """RFC 8555 §6.5; that of a refusal is good, too."""
    assert client.url is not None
    answered = await client.post(client.url, None)
    for _ in range(3):
        header = await make(client, nonce=answered.one("Replay-Nonce"))
        body = json.dumps(flatten(header, {"identifiers": []})).encode()
        answered = await client.world.ask("POST", NEW_ORDER, body)
        assert answered.problem.detail == "order: it has no identifiers"


@pytest.mark.parametrize("key", [ED_KEY, RSA_KEY, WIDE_KEY], ids=["Ed25519", "RSA", "P-384"])
async def test_accounts_may_have_other_keys(
    world: World, key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    """RFC 8555 §6.2"""
    url = f"{BASE}/new-account"
    header = {"alg": public(key).algorithm, "jwk": public(key).jwk, "url": url}
    header["nonce"] = await world.nonce()
    payload = {"termsOfServiceAgreed": True}
    body = json.dumps(flatten(header, payload, key)).encode()
    opened = await world.ask("POST", url, body)
    assert opened.status == 201
    place = opened.one("Location")
    header = {"alg": public(key).algorithm, "kid": place, "url": place}
    header["nonce"] = await world.nonce()
    shown = await world.ask("POST", place, json.dumps(flatten(header, b"", key)).encode())
    assert shown.document == opened.document


async def test_a_request_that_is_sent_again_is_refused(client: Client) -> None:
    """RFC 8555 §6.5: whatever became of it the first time."""
    world = client.world
    for url in (NEW_ORDER, f"{BASE}/nowhere/else"):
        jws = flatten(await make(client), {"identifiers": []})
        body = json.dumps(jws).encode()
        await world.ask("POST", NEW_ORDER if url == NEW_ORDER else f"{BASE}/key-change", body)
        again = await world.ask("POST", NEW_ORDER, body)
        assert again.problem.type == "badNonce"


async def test_a_nonce_is_good_in_another_process_and_only_once(client: Client) -> None:
    world = client.world
    body = await client.sign(NEW_ORDER, {"identifiers": []})
    world.make()
    assert (await world.ask("POST", NEW_ORDER, body)).problem.type == "malformed"
    world.make()
    assert (await world.ask("POST", NEW_ORDER, body)).problem.type == "badNonce"


async def test_a_nonce_that_is_old_or_foreign_is_refused(client: Client) -> None:
    world = client.world
    header = await make(client)
    world.clock.move(timedelta(hours=2))
    assert await send(world, flatten(header, {})) == "badNonce"
    for nonce in ("abcd", encode_base64url(b"x" * 37), None):
        assert await send(world, flatten(await make(client, nonce=nonce), {})) == "badNonce"
    assert await send(world, flatten(await make(client, nonce="a+b"), {})) == "malformed"


BAD_HEADERS: tuple[tuple[dict[str, object], str], ...] = (
    ({"alg": "none"}, "badSignatureAlgorithm"),
    ({"alg": "HS256"}, "badSignatureAlgorithm"),
    ({"alg": "ES384"}, "badPublicKey"),
    ({"alg": "RS256"}, "badPublicKey"),
    ({"kid": f"{BASE}/account/none-of-our-accounts"}, "accountDoesNotExist"),
    ({"kid": "https://elsewhere.example/account/0123456789abcdef"}, "accountDoesNotExist"),
    ({"kid": None}, "malformed"),
    ({"jwk": public().jwk}, "malformed"),
    ({"kid": None, "jwk": public().jwk}, "malformed"),
    ({"url": f"{BASE}/new-account"}, "unauthorized"),
    ({"url": f"{NEW_ORDER}?"}, "unauthorized"),
    ({"url": "https://elsewhere.example/new-order"}, "unauthorized"),
    ({"url": None}, "malformed"),
    ({"crit": ["exp"], "exp": 1}, "malformed"),
    ({"b64": False}, "malformed"),
)


async def test_a_header_that_is_not_right_is_refused(client: Client) -> None:
    """RFC 8555 §6.2, §6.4"""
    for header, problem in BAD_HEADERS:
        all_of_it = await make(client) | header
        found = {key: each for key, each in all_of_it.items() if each is not None}
        assert await send(client.world, flatten(found, {})) == problem, header


async def test_an_account_signs_with_its_own_key(client: Client) -> None:
    """RFC 8555 §6.2: a signature by another key, or over another payload, is none."""
    world = client.world
    assert await send(world, flatten(await make(client), {}, OTHER_KEY)) == "malformed"
    jws = flatten(await make(client), {})
    jws["payload"] = flatten({}, {"identifiers": []})["payload"]
    assert await send(world, jws) == "malformed"
    # An RSA key's octets are not taken for those of a MAC.
    header = await make(client, alg="HS256")
    assert await send(world, flatten(header, {})) == "badSignatureAlgorithm"


async def test_a_jws_is_flattened_and_whole(client: Client) -> None:
    """RFC 8555 §6.2, §6.1 (no padding)"""
    changes: tuple[dict[str, object], ...] = (
        {"signatures": []},
        {"header": {}},
        {"payload": None},
        {"protected": ""},
        {"signature": ""},
        {"signature": "AA=="},
    )
    for each in changes:
        jws = flatten(await make(client), {}) | each
        assert await send(client.world, jws) == "malformed", each


async def test_a_jwk_is_wanted_where_there_is_no_account(client: Client) -> None:
    """RFC 8555 §6.2: newAccount has a key."""
    url = f"{BASE}/new-account"
    assert await send(client.world, flatten(await make(client, url), {}), url) == "malformed"


async def test_another_content_type_is_refused(client: Client) -> None:
    """RFC 8555 §6.2"""
    for content_type in (None, "", "application/json", "text/plain", f"{JOSE}x", f"{JOSE}, {JOSE}"):
        body = await client.sign(NEW_ORDER, {})
        answered = await client.world.ask("POST", NEW_ORDER, body, content_type)
        assert answered.status == 415, content_type


async def test_a_content_type_may_have_parameters_and_is_there_once(client: Client) -> None:
    body = await client.sign(NEW_ORDER, {})
    answered = await client.world.ask("POST", NEW_ORDER, body, f"{JOSE.upper()}; charset=utf-8")
    assert answered.status == 400
    more = [(b"content-type", JOSE.encode())]
    answered = await client.world.ask("POST", NEW_ORDER, body, JOSE, headers=more)
    assert answered.status == 415


async def test_text_that_is_none_is_refused(client: Client) -> None:
    """A half of a surrogate pair is in no UTF-8, and so in no answer, log or database."""
    for place, payload in (
        (NEW_ORDER, rb'{"identifiers":[{"type":"dns","value":"\ud800"}]}'),
        (NEW_ORDER, rb'{"identifiers":[{"type":"\ud800","value":"a.example"}]}'),
        (NEW_ORDER, rb'{"profile":"\ud800"}'),
        (NEW_ORDER, rb'{"replaces":"\ud800"}'),
        (client.url or "", rb'{"contact":["mailto:\ud800@b.example"]}'),
        (client.url or "", rb'{"status":"\ud800"}'),
    ):
        body = json.dumps(flatten(await make(client, place), payload)).encode()
        answered = await client.world.ask("POST", place, body)
        assert answered.status in (200, 400), payload
    for member in ("kid", "nonce", "url", "alg"):
        header = await make(client) | {member: "\ud800"}
        assert await send(client.world, flatten(header, {}))
    assert client.world.reports == []


async def test_a_body_may_come_in_any_parts(client: Client) -> None:
    url = client.url
    assert url is not None
    for size in (1, 7, 100):
        body = await client.sign(url, None)
        parts = [body[start : start + size] for start in range(0, len(body), size)]
        assert (await client.world.ask("POST", url, parts)).status == 200
        assert (await client.world.ask("POST", url, [*parts, b""])).problem.type == "badNonce"


async def test_a_body_that_is_too_long_is_refused(client: Client) -> None:
    body = b"{" + b" " * MAX_REQUEST_OCTETS
    assert (await client.world.ask("POST", NEW_ORDER, body)).status == 413
    assert (await client.world.ask("POST", NEW_ORDER, [body[:-1], b"a"])).status == 413
    parts = [b" " * 1000] * 200
    assert (await client.world.ask("POST", NEW_ORDER, parts)).status == 413


async def test_a_length_that_is_too_great_is_not_read(world: World) -> None:
    for length in (b"1000000", b"9" * 5000, b"-1", b"x", b""):
        headers = [(b"content-length", length)]
        answered = await world.ask("POST", NEW_ORDER, b"", headers=headers)
        assert answered.status == 413, length


async def test_what_is_no_request_is_malformed(client: Client) -> None:
    for body in (
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"protected": 1, "payload": 2, "signature": 3}',
        b'{"protected": {}, "payload": {}, "signature": {}}',
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"protected": "\\ud800", "payload": "\\ud800", "signature": "\\ud800"}',
        b"{'protected': ''}",
        b'{"protected":"","payload":"","signature":""} ',
    ):
        answered = await client.world.ask("POST", NEW_ORDER, body)
        assert (answered.status, answered.problem.type) == (400, "malformed"), body[:50]


PATHS = ("new-order", "new-account", "key-change", "revoke-cert", "order/x", "account/x")
OPEN = ("directory", "new-nonce", "renewal-info/x")
METHODS = ("GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "get")
NOWHERE = (
    *("", "/", "/nowhere", "/order", "/order/", "/order/a/b", "/directory/", "//directory"),
    *("/new-authz", "/certificate/a/b/c", "/DIRECTORY", "/account/a/orders/after/"),
)


async def test_resources_are_only_posted(world: World) -> None:
    """RFC 8555 §6.3"""
    for path, method in product(PATHS, METHODS):
        answered = await world.ask(method, f"/{path}")
        assert answered.status == 405, (method, path)
        assert answered.one("Allow") == "POST"


async def test_what_is_open_can_be_fetched_and_no_more(world: World) -> None:
    """RFC 8555 §6.3, RFC 9773 §4.1"""
    for path in OPEN:
        answered = await world.ask("PUT", f"/{path}")
        assert answered.status == 405, path
        assert answered.one("Allow").startswith("GET, HEAD")


async def test_elsewhere_there_is_nothing(world: World) -> None:
    for method, path in product(("GET", "POST"), NOWHERE):
        answered = await world.ask(method, path)
        assert (answered.status, answered.problem.type) == (404, "malformed"), path


async def test_browsers_may_ask(world: World) -> None:
    """RFC 8555 §6.1"""
    answered = await world.ask("OPTIONS", "/new-order")
    assert answered.status == 204
    assert answered.one("Access-Control-Allow-Origin") == "*"
    assert answered.one("Access-Control-Allow-Headers") == "Content-Type"
    assert "POST" in answered.one("Access-Control-Allow-Methods")


async def test_the_directory_is_open_and_can_be_asked_for_by_accounts(client: Client) -> None:
    """RFC 8555 §6.3, §7.1.1"""
    world = client.world
    found = await world.ask("GET", "/directory")
    assert found.document["newOrder"] == NEW_ORDER
    assert "newAuthz" not in found.document
    assert found.document["renewalInfo"] == f"{BASE}/renewal-info"
    assert found.document["meta"]["caaIdentities"] == ["ca.example"]
    assert set(found.document["meta"]["profiles"]) == {"a", "dated", "web"}
    assert (await world.ask("HEAD", "/directory")).body == b""
    assert (await client.post(f"{BASE}/directory")).document == found.document
    assert (await client.post(f"{BASE}/directory", {})).problem.type == "malformed"


async def test_a_nonce_is_had_by_head_get_and_post(client: Client) -> None:
    """RFC 8555 §7.2, §6.3"""
    world = client.world
    seen = set()
    for method, status in (("HEAD", 200), ("GET", 204)):
        answered = await world.ask(method, "/new-nonce")
        assert (answered.status, answered.body) == (status, b"")
        assert answered.one("Cache-Control") == "no-store"
        seen.add(answered.one("Replay-Nonce"))
    answered = await client.post(f"{BASE}/new-nonce")
    assert answered.status == 204
    seen.add(answered.one("Replay-Nonce"))
    assert len(seen) == 3
    assert (await client.post(f"{BASE}/new-nonce", {})).problem.type == "malformed"


@pytest.mark.parametrize("query", ["?", "?a=b", "?%00"])
async def test_a_query_makes_another_url(client: Client, query: str) -> None:
    """RFC 8555 §6.4: the URL that is asked is the one that is signed."""
    url = client.url
    assert url is not None
    body = await client.sign(url, None)
    answered = await client.world.ask("POST", f"{url}{query}", body)
    assert answered.status == (200 if query == "?" else 403)


async def test_what_is_not_understood_is_reported_and_says_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = client.world

    async def fail(*_: object) -> None:
        raise ArithmeticError("a secret")

    body = await client.sign(NEW_ORDER, {})
    monkeypatch.setattr(world.store, "spend_nonce_of", fail)
    answered = await world.ask("POST", NEW_ORDER, body)
    assert (answered.status, answered.problem.type) == (500, "serverInternal")
    assert b"secret" not in answered.body
    ((what, error),) = world.reports
    assert what == "POST /new-order"
    assert isinstance(error, ArithmeticError)


async def test_accounts_are_known_by_their_former_urls(client: Client) -> None:
    """RFC 8657 §5.4"""
    assert client.url is not None
    former = client.url.replace(BASE, "https://old.example/acme")
    header = await make(client, client.url, kid=former)
    answered = await client.world.ask("POST", client.url, json.dumps(flatten(header, b"")).encode())
    assert answered.status == 200


async def test_a_closed_account_asks_in_vain(client: Client) -> None:
    """RFC 8555 §7.3.6"""
    assert client.url is not None
    order = await client.order("a.example")
    await client.post(client.url, {"status": "deactivated"})
    for url in (client.url, NEW_ORDER, order.one("Location"), f"{BASE}/directory"):
        answered = await client.post(url)
        assert (answered.status, answered.problem.type) == (401, "unauthorized")
    assert (await client.open()).status == 401


async def test_the_key_in_a_request_counts_where_it_is_wanted(world: World) -> None:
    """RFC 8555 §6.2: a key that is refused is badPublicKey, and says why."""
    url = f"{BASE}/new-account"
    jwk = public(ACCOUNT_KEY).jwk | {"x": "AA"}
    header = {"alg": "ES256", "jwk": jwk, "url": url, "nonce": await world.nonce()}
    answered = await world.ask("POST", url, json.dumps(flatten(header, {})).encode())
    assert answered.problem.type == "badPublicKey"
    assert "x has not 32 octets" in answered.problem.detail


async def test_the_database_is_away_and_comes_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request is not answered by half: the client asks again, with the nonce of the answer."""
    world = client.world

    async def fail(*_: object) -> bool:
        raise StoreUnavailable("the disk is full", is_full=True)

    for name in ("spend_nonce_of", "load_halt", "commit"):
        with monkeypatch.context() as patch:
            body = await client.sign(NEW_ORDER, {"identifiers": [{"type": "dns", "value": "a.ex"}]})
            patch.setattr(world.store, name, fail)
            answered = await world.ask("POST", NEW_ORDER, body)
            assert (answered.status, answered.problem.type) == (503, "serverInternal")
            assert answered.one("Retry-After") == "10"
    assert [str(error) for _, error in world.reports] == ["the disk is full"] * 3
    assert (await client.order("a.example")).status == 201


async def test_who_goes_away_before_the_end_is_not_answered(world: World) -> None:
    scope = make_scope()
    parts: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return parts.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await world.app(scope, receive, send)
    assert world.reports == []


async def test_nothing_but_http_is_spoken(world: World) -> None:
    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError(message)

    resource = Resource(world.authority, lambda *_: None, None, None, "")
    with pytest.raises(LookupError):
        await resource({"type": "lifespan"}, receive, send)


async def test_processes_share_the_key_of_nonces(store: WatchedStore) -> None:
    """RFC 8555 §6.5: any of them knows the nonces of the others again."""
    first, second = await load_nonce_keys(store), await load_nonce_keys(store)
    assert first.keys == second.keys
    assert len(first.keys[0]) == 32


async def test_an_authority_may_have_a_path_of_its_own(store: WatchedStore) -> None:
    """It is behind other things on one host: URLs are made from its base, whatever Host says."""
    world = World(store, places=Places("https://ca.example/acme/v2"))
    answered = await world.ask("GET", "/acme/v2/directory")
    assert answered.document["newOrder"] == "https://ca.example/acme/v2/new-order"
    elsewhere = await world.ask("GET", "/elsewhere/directory")
    assert elsewhere.status == 404
    client = Client(world)
    url = "https://ca.example/acme/v2/new-account"
    nonce = await world.ask("GET", "/acme/v2/new-nonce")
    body = sign_request(
        AccountKey(client.key),
        parse_url(url),
        nonce.one("Replay-Nonce"),
        {"termsOfServiceAgreed": True},
        None,
    )
    opened = await world.ask("POST", "/acme/v2/new-account", body)
    assert opened.one("Location").startswith("https://ca.example/acme/v2/account/")


async def test_who_brings_a_key_signs_with_it(world: World, store: WatchedStore) -> None:
    """RFC 8555 §6.2: else anybody could open an account with another's key."""
    url = f"{BASE}/new-account"
    header = {"alg": "ES256", "jwk": public(OTHER_KEY).jwk, "url": url}
    header["nonce"] = await world.nonce()
    jws = flatten(header, {"termsOfServiceAgreed": True}, ACCOUNT_KEY)
    assert await send(world, jws, url) == "malformed"
    assert await store.accounts() == ()

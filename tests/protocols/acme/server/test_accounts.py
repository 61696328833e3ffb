"""RFC 8555 §7.3: accounts are opened, found, changed and closed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from letterlock.protocols.acme.fields import Fields, parse_url
from letterlock.protocols.acme.jws import (
    AccountKey,
    ExternalAccount,
    bind_external_account,
    make_key_change,
)
from letterlock.protocols.acme.requests import format_account
from letterlock.protocols.acme.server.accounts import (
    MAX_CONTACTS,
    AccountRequest,
    AccountRules,
    Opening,
    decide_account,
    find_account_refusal,
    find_holder_refusal,
    find_terms_refusal,
    parse_account_request,
    refuse_kid,
    update_account,
)
from letterlock.protocols.acme.server.external_accounts import (
    UnverifiedBinding,
    read_binding,
    verify_binding,
)
from letterlock.protocols.acme.server.key_changes import change_key, read_key_change
from letterlock.protocols.acme.server.objects import Account, ExternalBinding
from letterlock.protocols.acme.server.payloads import refuse_payload
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.refusals import Link, Refusal
from letterlock.protocols.acme.server.signed_requests import SignedRequest
from letterlock.protocols.acme.states import AccountStatus
from tests.acme_requests import ACCOUNT_KEY, OTHER_KEY, encode, flatten, mac, public

PLACES = Places("https://ca.example")
ACCOUNT = Account("account-00000001", public(), AccountStatus.VALID, ("mailto:a@b.example",))
OTHER = Account("account-00000002", public(OTHER_KEY), AccountStatus.VALID)
TERMS = "https://ca.example/terms"
BINDING = ExternalBinding("kid-1", ())


def asked(document: object) -> AccountRequest:
    found = parse_account_request(json.dumps(document).encode())
    assert isinstance(found, AccountRequest), found
    return found


def refused(found: object) -> tuple[str, int]:
    assert isinstance(found, Refusal), found
    return found.problem.type, found.status


def test_an_account_is_opened_as_our_client_asks() -> None:
    """RFC 8555 §7.3: fields that only a request has are not kept."""
    request = asked(format_account(["mailto:a@b.example"], is_agreed=True))
    found = decide_account(request, AccountRules(TERMS), None, None)
    assert found == Opening(("mailto:a@b.example",), TERMS, None)


def test_fields_that_are_not_known_are_passed_over() -> None:
    """RFC 8555 §7.3: a client's `orders` too."""
    request = asked({"orders": 5, "status": "revoked", "x": [], "contact": None})
    assert decide_account(request, AccountRules(), None, None) == Opening((), None, None)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ([], "malformed"),
        ({"contact": "mailto:a@b.example"}, "malformed"),
        ({"contact": [1]}, "malformed"),
        ({"contact": ["mailto:a@b.example"] * 101}, "malformed"),
        (
            {"contact": [f"mailto:a{each}@b.example" for each in range(MAX_CONTACTS + 1)]},
            "invalidContact",
        ),
        ({"contact": ["tel:1"]}, "unsupportedContact"),
        ({"contact": ["mailto:a@b.example", "mailto:a@b.example?subject=x"]}, "invalidContact"),
        ({"contact": ["mailto:a@b.example,c@b.example"]}, "invalidContact"),
        ({"termsOfServiceAgreed": "yes"}, "malformed"),
        ({"onlyReturnExisting": 1}, "malformed"),
        ({"externalAccountBinding": "x"}, "malformed"),
    ],
)
def test_what_is_no_account_is_refused(document: object, kind: str) -> None:
    """RFC 8555 §7.3: contacts are mailto, one address, no header fields."""
    assert refused(parse_account_request(json.dumps(document).encode())) == (kind, 400)


@pytest.mark.parametrize("document", [{}, {"termsOfServiceAgreed": False}])
def test_terms_are_agreed_to_first(document: object) -> None:
    """RFC 8555 §7.3, §7.3.3."""
    found = decide_account(asked(document), AccountRules(TERMS), None, None)
    assert refused(found) == ("userActionRequired", 403)
    assert isinstance(found, Refusal)
    assert found.problem.instance == TERMS
    assert found.links == (Link(TERMS, "terms-of-service"),)


def test_an_account_elsewhere_is_wanted_where_it_is() -> None:
    """RFC 8555 §7.3.4."""
    rules = AccountRules(is_external_account_required=True)
    found = decide_account(asked({}), rules, None, None)
    assert refused(found) == ("externalAccountRequired", 403)
    assert decide_account(asked({}), rules, None, BINDING) == Opening((), None, BINDING)


def test_an_account_that_is_there_is_given_as_it_is() -> None:
    """RFC 8555 §7.3.1: the request's fields are passed over; terms and bindings are not asked."""
    rules = AccountRules(TERMS, is_external_account_required=True)
    for document in ({"contact": ["mailto:x@y.example"]}, {"onlyReturnExisting": True}):
        assert decide_account(asked(document), rules, ACCOUNT, None) is ACCOUNT


def test_only_an_account_that_is_there_is_returned() -> None:
    """RFC 8555 §7.3.1."""
    found = decide_account(asked({"onlyReturnExisting": True}), AccountRules(), None, None)
    assert refused(found) == ("accountDoesNotExist", 400)
    assert refused(refuse_kid()) == ("accountDoesNotExist", 400)


@pytest.mark.parametrize("status", [AccountStatus.DEACTIVATED, AccountStatus.REVOKED])
def test_a_closed_account_asks_in_vain(status: AccountStatus) -> None:
    """RFC 8555 §7.3.6: 401, and a new one with its key is not opened."""
    closed = replace(ACCOUNT, status=status)
    assert refused(find_account_refusal(closed)) == ("unauthorized", 401)
    assert refused(decide_account(asked({}), AccountRules(), closed, None)) == ("unauthorized", 401)
    assert refused(find_holder_refusal(closed, public())) == ("unauthorized", 401)
    assert find_account_refusal(ACCOUNT) is None


def test_a_key_that_is_the_accounts_no_more_is_refused() -> None:
    """RFC 8555 §7.3.5: what was signed by the old key, and is decided after the change."""
    assert find_holder_refusal(ACCOUNT, public()) is None
    assert refused(find_holder_refusal(ACCOUNT, public(OTHER_KEY))) == ("unauthorized", 403)


def test_new_terms_are_agreed_to_on_their_page() -> None:
    """RFC 8555 §7.3.3."""
    assert find_terms_refusal(ACCOUNT, None) is None
    assert find_terms_refusal(replace(ACCOUNT, agreed_terms=TERMS), TERMS) is None
    found = find_terms_refusal(replace(ACCOUNT, agreed_terms="https://ca.example/old"), TERMS)
    assert refused(found) == ("userActionRequired", 403)


@pytest.mark.parametrize(
    ("document", "changes"),
    [
        ({}, {}),
        ({"contact": []}, {"contacts": ()}),
        ({"contact": ["mailto:c@d.example"] * 2}, {"contacts": ("mailto:c@d.example",)}),
        ({"status": "deactivated"}, {"status": AccountStatus.DEACTIVATED}),
        ({"status": "revoked", "orders": "x", "termsOfServiceAgreed": False, "y": 1}, {}),
        ({"status": "valid"}, {}),
    ],
)
def test_an_account_changes_in_what_its_holder_may_change(document: object, changes: Any) -> None:
    """RFC 8555 §7.3.2, §7.3.6."""
    assert update_account(ACCOUNT, json.dumps(document).encode()) == replace(ACCOUNT, **changes)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "malformed"),
        (b'{"status": 5}', "malformed"),
        (b'{"contact": ["x"]}', "unsupportedContact"),
        (b'{"contact": 5}', "malformed"),
    ],
)
def test_a_change_that_is_none_is_refused(body: bytes, kind: str) -> None:
    assert refused(update_account(ACCOUNT, body)) == (kind, 400)


def test_what_is_only_fetched_takes_no_payload() -> None:
    """RFC 8555 §6.3: `{}` is not POST-as-GET."""
    request = SignedRequest("u", public(), "k", b"")
    assert refuse_payload(request) is None
    assert refused(refuse_payload(replace(request, payload=b"{}"))) == ("malformed", 400)


# External accounts.

URL = "https://ca.example/new-account"
MAC_KEY = bytes(range(32))
EXTERNAL = ExternalAccount("kid-1", MAC_KEY)
HEADER: dict[str, Any] = {"alg": "HS256", "kid": "kid-1", "url": URL}


def bind(jws: Any, external: ExternalAccount | None = EXTERNAL) -> ExternalBinding | Refusal:
    found = read_binding(Fields(jws, "binding"), URL, public())
    return verify_binding(found, external) if isinstance(found, UnverifiedBinding) else found


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_binding_of_our_client_is_verified_and_shown(algorithm: Any) -> None:
    """RFC 8555 §7.3.4."""
    external = replace(EXTERNAL, algorithm=algorithm)
    jws = bind_external_account(external, parse_url(URL), AccountKey(ACCOUNT_KEY))
    found = bind(jws, external)
    assert isinstance(found, ExternalBinding)
    assert found.kid == "kid-1"
    assert dict(found.jws) == jws


@pytest.mark.parametrize(
    ("jws", "kind"),
    [
        ({}, "malformed"),
        (mac({**HEADER, "kid": None}, public().jwk, MAC_KEY), "malformed"),
        (mac({**HEADER, "kid": "k" * 257}, public().jwk, MAC_KEY), "malformed"),
        (mac({**HEADER, "nonce": "AAAA"}, public().jwk, MAC_KEY), "malformed"),
        (mac({**HEADER, "jwk": {}}, public().jwk, MAC_KEY), "malformed"),
        (mac({**HEADER, "url": URL + "/"}, public().jwk, MAC_KEY), "malformed"),
        (mac({**HEADER, "url": None}, public().jwk, MAC_KEY), "malformed"),
        (mac(HEADER, public(OTHER_KEY).jwk, MAC_KEY), "malformed"),
        (mac(HEADER, {}, MAC_KEY), "malformed"),
        (mac(HEADER, public().jwk, b"another" * 8), "unauthorized"),
        (flatten({**HEADER, "alg": "ES256"}, public().jwk), "badSignatureAlgorithm"),
        (flatten({**HEADER, "alg": "none"}, public().jwk), "badSignatureAlgorithm"),
        ({**mac(HEADER, public().jwk, MAC_KEY), "signature": encode(bytes(32))}, "unauthorized"),
    ],
)
def test_a_binding_that_is_none_is_refused(jws: Any, kind: str) -> None:
    """RFC 8555 §7.3.4: MAC, kid, no nonce, the URL and the key of the request around it."""
    assert refused(bind(jws))[0] == kind


def test_a_binding_to_nobody_is_refused_in_the_same_words() -> None:
    """Whoever guesses kids learns nothing; nor does he with the key that stands in for none."""
    jws = mac(HEADER, public().jwk, MAC_KEY)
    wrong = mac(HEADER, public().jwk, b"wrong" * 8)
    assert bind(jws, None) == bind(wrong)
    assert isinstance(bind(mac(HEADER, public().jwk, b"nobody's"), None), Refusal)


# Key changes.

CHANGE = "https://ca.example/key-change"
INNER: dict[str, Any] = {"alg": "ES256", "jwk": public(OTHER_KEY).jwk, "url": CHANGE}
KID = PLACES.account(ACCOUNT.id)
OBJECT = {"account": KID, "oldKey": public().jwk}


def change(inner: object) -> Any:
    payload = inner if isinstance(inner, bytes) else json.dumps(inner).encode()
    return read_key_change(SignedRequest(CHANGE, public(), KID, payload), ACCOUNT, PLACES)


def test_a_key_change_of_our_client_is_done() -> None:
    """RFC 8555 §7.3.5."""
    inner = make_key_change(
        parse_url(KID), parse_url(CHANGE), AccountKey(ACCOUNT_KEY), AccountKey(OTHER_KEY)
    )
    key = change(inner)
    assert key == public(OTHER_KEY)
    assert change_key(ACCOUNT, key, None, PLACES) == replace(ACCOUNT, key=key)


@pytest.mark.parametrize(
    ("inner", "kind"),
    [
        (b"", "malformed"),
        ({}, "malformed"),
        (flatten({**INNER, "jwk": None}, OBJECT, OTHER_KEY), "malformed"),
        (flatten({**INNER, "jwk": {"kty": "x"}}, OBJECT, OTHER_KEY), "badPublicKey"),
        (flatten({**INNER, "alg": "HS256"}, OBJECT, OTHER_KEY), "badSignatureAlgorithm"),
        (flatten(INNER, OBJECT, ACCOUNT_KEY), "malformed"),
        (flatten(INNER, b"", OTHER_KEY), "malformed"),
        (flatten(INNER, {}, OTHER_KEY), "malformed"),
        (flatten({**INNER, "url": URL}, OBJECT, OTHER_KEY), "malformed"),
        (flatten({**INNER, "url": None}, OBJECT, OTHER_KEY), "malformed"),
        (flatten({**INNER, "nonce": "AAAA"}, OBJECT, OTHER_KEY), "malformed"),
        (flatten({**INNER, "kid": KID}, OBJECT, OTHER_KEY), "malformed"),
        (flatten(INNER, {**OBJECT, "account": PLACES.account(OTHER.id)}, OTHER_KEY), "malformed"),
        (flatten(INNER, {**OBJECT, "oldKey": public(OTHER_KEY).jwk}, OTHER_KEY), "malformed"),
        (flatten(INNER, {**OBJECT, "oldKey": None}, OTHER_KEY), "malformed"),
        (flatten(INNER, {**OBJECT, "oldKey": {}}, OTHER_KEY), "malformed"),
    ],
)
def test_each_check_of_a_key_change_fails_alone(inner: object, kind: str) -> None:
    """RFC 8555 §7.3.5, checks 2 to 8."""
    assert refused(change(inner)) == (kind, 400)


def test_a_request_of_another_account_changes_nothing() -> None:
    """RFC 8555 §7.3.5, check 7."""
    payload = json.dumps(flatten(INNER, OBJECT, OTHER_KEY)).encode()
    request = SignedRequest(CHANGE, public(), PLACES.account(OTHER.id), payload)
    assert refused(read_key_change(request, OTHER, PLACES)) == ("malformed", 400)
    stray = replace(request, kid=KID)
    assert refused(read_key_change(stray, OTHER, PLACES)) == ("malformed", 400)


def test_both_parts_of_a_key_change_name_the_account_alike() -> None:
    """RFC 8555 §7.3.5, check 7: as `kid` does, of which there may be former ones."""
    moved = Places("https://new.example", former=(PLACES.base,))
    payload = json.dumps(flatten(INNER, OBJECT, OTHER_KEY)).encode()
    request = SignedRequest(CHANGE, public(), KID, payload)
    assert read_key_change(request, ACCOUNT, moved) == public(OTHER_KEY)
    elsewhere = replace(request, kid=moved.account(ACCOUNT.id))
    assert refused(read_key_change(elsewhere, ACCOUNT, moved)) == ("malformed", 400)


def test_a_key_that_another_account_has_is_refused_with_its_place() -> None:
    """RFC 8555 §7.3.5, check 9: 409 and Location."""
    found = change_key(ACCOUNT, OTHER.key, OTHER, PLACES)
    assert refused(found) == ("malformed", 409)
    assert isinstance(found, Refusal)
    assert found.location == PLACES.account(OTHER.id)

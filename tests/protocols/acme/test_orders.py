"""RFC 8555 §7.1.3, §7.1.4, §8: orders, authorizations, challenges."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.fields import ObjectError, parse_url
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.orders import (
    MAX_NAMES,
    find_change,
    find_order_fault,
    parse_authorization,
    parse_challenge,
    parse_order,
)
from letterlock.protocols.acme.states import AuthorizationStatus, ChallengeStatus, OrderStatus

URL = parse_url("https://ca.example/order/1")
NAMES = ["a.example", "b.example"]
TOKEN = "DGyRejmCefe7v4NfDGDKfA"
PROBLEM = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": "no"}


def order(**members: object) -> bytes:
    base = {
        "status": "pending",
        "expires": "2026-03-08T00:00:00Z",
        "identifiers": [{"type": "dns", "value": name} for name in NAMES],
        "authorizations": ["https://ca.example/authz/1", "https://ca.example/authz/2"],
        "finalize": "https://ca.example/finalize/1",
    }
    return json.dumps({**base, **members}).encode()


def challenge(**members: object) -> dict[str, Any]:
    base = {
        "type": "http-01",
        "url": "https://ca.example/chall/1",
        "status": "pending",
        "token": TOKEN,
    }
    return {**base, **members}


def authorization(**members: object) -> bytes:
    base = {
        "status": "pending",
        "identifier": {"type": "dns", "value": "a.example"},
        "challenges": [challenge(), challenge(type="dns-account-01", token="x")],
    }
    return json.dumps({**base, **members}).encode()


def test_an_order_is_read() -> None:
    """RFC 8555 §7.1.3; RFC 9773 §5."""
    found = parse_order(
        URL,
        order(
            status="invalid",
            certificate="https://ca.example/cert/1",
            error=PROBLEM,
            profile="classic",
            replaces="a.b",
        ),
    )
    assert found.status is OrderStatus.INVALID
    assert found.identifiers == {parse_identifier(name) for name in NAMES}
    assert len(found.authorizations) == 2
    assert found.error is not None
    assert found.error.type == "unauthorized"
    assert (found.profile, found.replaces) == ("classic", "a.b")
    assert found.certificate == parse_url("https://ca.example/cert/1")


@pytest.mark.parametrize(
    "members",
    [
        {"status": "half-way"},
        {"status": None},
        {"finalize": None},
        {"identifiers": [{"type": "dns"}]},
        {"identifiers": [{"type": "dns", "value": "a"}] * (MAX_NAMES + 1)},
        {"authorizations": ["http://ca.example/authz/1"]},
        {"expires": "soon"},
    ],
)
def test_an_order_that_breaks_the_form_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(ObjectError):
        parse_order(URL, order(**members))


def test_a_new_order_is_the_one_that_was_asked_for() -> None:
    """RFC 8555 §7.4: in whatever order its names come."""
    found = parse_order(URL, order())
    asked = frozenset(parse_identifier(name) for name in reversed(NAMES))
    assert find_order_fault(found, asked) is None
    assert find_order_fault(found, asked | {parse_identifier("c.example")}) is not None
    nothing = parse_order(URL, order(authorizations=[]))
    assert find_order_fault(nothing, asked) == "the order has no authorizations"


def test_an_order_does_not_change_but_in_its_status() -> None:
    """RFC 8555 §7.1.3, §7.1.6."""
    before = parse_order(URL, order())
    assert find_change(before, before) is None
    assert find_change(before, replace(before, status=OrderStatus.VALID)) is None
    assert find_change(before, replace(before, authorizations=frozenset())) is not None
    ready = replace(before, status=OrderStatus.READY)
    assert find_change(ready, before) == "the order became pending after it was ready"


def test_an_authorization_is_read_with_challenges_that_nobody_knows() -> None:
    """RFC 8555 §7.1.4, §8."""
    found = parse_authorization(URL, authorization(wildcard=True))
    assert found.status is AuthorizationStatus.PENDING
    assert found.is_wildcard
    http = found.find_challenge("http-01")
    assert http is not None
    assert (http.token, http.status) == (TOKEN, ChallengeStatus.PENDING)
    assert found.find_challenge("dns-01") is None
    assert found.problem is None


def test_a_challenges_error_is_the_authorizations() -> None:
    """RFC 8555 §8: `error` says why it was not validated."""
    body = authorization(challenges=[challenge(status="invalid", error=PROBLEM)])
    problem = parse_authorization(URL, body).problem
    assert problem is not None
    assert problem.summary == "unauthorized: no"


@pytest.mark.parametrize(
    "token", ["", "short", "../../etc/passwd-0123456789", TOKEN + "=", "a" * 513, TOKEN + "\n"]
)
def test_a_token_is_base64url_of_128_bits(token: str) -> None:
    """RFC 8555 §8.3: it becomes part of a path."""
    with pytest.raises(ObjectError, match="token"):
        parse_challenge(json.dumps(challenge(token=token)).encode())


def test_an_authorization_has_an_identifier() -> None:
    with pytest.raises(ObjectError, match="identifier is missing"):
        parse_authorization(URL, authorization(identifier=None))
    with pytest.raises(ObjectError, match="status"):
        parse_authorization(URL, authorization(status="ready"))


@given(st.binary())
def test_any_octets_are_an_object_or_an_error_of_its_form(body: bytes) -> None:
    for parse in (parse_order, parse_authorization):
        with pytest.raises(ObjectError):
            parse(URL, body)

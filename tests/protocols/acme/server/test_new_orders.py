"""RFC 8555 §7.4: what orders ask for, and which authorizations they need."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme import requests
from letterlock.protocols.acme.identifiers import Identifier, parse_identifier
from letterlock.protocols.acme.renewal_info import parse_certificate_id
from letterlock.protocols.acme.server.new_orders import (
    LEAST_LEFT,
    OrderProfile,
    OrderRequest,
    Planned,
    make_authorization,
    make_order,
    parse_order_request,
    plan_authorizations,
)
from letterlock.protocols.acme.server.objects import Authorization
from letterlock.protocols.acme.server.public_keys import PublicKey
from letterlock.protocols.acme.server.refusals import NameFault, Refusal
from letterlock.protocols.acme.server.transitions import accept_challenge, respond
from letterlock.protocols.acme.states import AuthorizationStatus, OrderStatus
from tests.acme_requests import public

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ACCOUNT = "account-00000001"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
CLASSIC = OrderProfile("classic", "90 days", max_identifiers=5)
DATED = OrderProfile("dated", "dates as asked for", longest=90 * DAY)
WEB = OrderProfile("web", "by http-01 only", challenge_types=("http-01",))
PROFILES = {each.name: each for each in (CLASSIC, DATED, WEB)}
NAMES = tuple(map(parse_identifier, ("a.example", "*.a.example", "b.example", "192.0.2.1")))
KEY: PublicKey = public()


def parse(document: object) -> OrderRequest | Refusal:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_order_request(body, PROFILES, "classic", NOW)


def names(*values: str) -> list[dict[str, str]]:
    return [{"type": "dns", "value": each} for each in values]


def test_an_order_of_our_client_is_taken() -> None:
    """RFC 8555 §7.4, RFC 9773 §5, profiles."""
    asked = requests.OrderRequest(frozenset(NAMES), "dated", "AAAA.AQ")
    found = parse(requests.format_order(asked))
    assert found == OrderRequest(
        tuple(sorted(NAMES)), DATED, replaces=parse_certificate_id("AAAA.AQ")
    )


def test_without_a_profile_it_is_the_default() -> None:
    assert parse({"identifiers": names("a.example"), "x": 1}) == OrderRequest(NAMES[:1], CLASSIC)


@pytest.mark.parametrize(
    ("document", "kind", "words"),
    [
        (b"", "malformed", "JSON"),
        (b"{}", "malformed", "no identifiers"),
        ({"identifiers": names("a.example") * 1001}, "malformed", "1000 entries"),
        (
            {"identifiers": names(*(f"n{each}.example" for each in range(6)))},
            "malformed",
            "at most 5 names",
        ),
        ({"identifiers": names("a_.example")}, "malformed", "a_.example"),
        ({"identifiers": names("a.example"), "profile": "fast"}, "invalidProfile", "classic"),
        ({"identifiers": names("a.example"), "profile": 1}, "malformed", "profile"),
        ({"identifiers": names("a.example"), "replaces": "AAAA"}, "malformed", "AAAA"),
        (
            {"identifiers": names("a.example"), "notAfter": "2026-03-02T00:00:00Z"},
            "malformed",
            "the authority gives",
        ),
        ({"identifiers": names("a.example"), "notAfter": "soon"}, "malformed", "not a time"),
        ({"identifiers": [{"type": "x", "value": "y"}]}, "unsupportedIdentifier", "neither"),
    ],
)
def test_what_is_no_order_is_refused(document: object, kind: str, words: str) -> None:
    """RFC 8555 §7.4, §6.7."""
    found = parse(document)
    assert isinstance(found, Refusal)
    assert (found.problem.type, found.status) == (kind, 400)
    assert words in found.problem.detail


def test_every_bad_name_of_an_order_is_told() -> None:
    """RFC 8555 §6.7.1: each with its own type, in subproblems that name it."""
    found = parse({"identifiers": names("a.example", "b_.example", "x.ip6.arpa")})
    assert isinstance(found, Refusal)
    assert found.problem.type == "compound"
    assert [str(each.identifier) for each in found.problem.subproblems] == [
        "b_.example",
        "x.ip6.arpa",
    ]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0, 90, None),
        (1, 91, None),
        (-1, 89, None),
        (None, 90, None),
        (0, None, None),
        (2, 10, "notBefore"),
        (-2, 10, "notBefore"),
        (0, 91, "notAfter"),
        (0, 0, "notAfter"),
        (0, -1, "notAfter"),
        (-1, -0.5, "notAfter"),
    ],
)
def test_dates_are_honoured_or_refused(
    before: float | None, after: float | None, words: str | None
) -> None:
    """RFC 8555 §7.4: never passed over."""
    document: dict[str, Any] = {"identifiers": names("a.example"), "profile": "dated"}
    dates = [None if each is None else NOW + each * DAY for each in (before, after)]
    for field, moment in zip(("notBefore", "notAfter"), dates, strict=True):
        if moment is not None:
            document[field] = moment.isoformat()
    found = parse(document)
    if words is None:
        assert isinstance(found, OrderRequest), found
        assert [found.not_before, found.not_after] == dates
    else:
        assert isinstance(found, Refusal)
        assert words in found.problem.detail


REQUEST = OrderRequest(NAMES, CLASSIC)


def pending(name: Identifier = NAMES[0], profile: OrderProfile = CLASSIC) -> Authorization:
    request = OrderRequest((name,), profile)
    ids = ("authorization-01", ACCOUNT)
    found = make_authorization(Planned(name, None), request, ids, TOKEN, NOW)
    assert isinstance(found, Authorization)
    return found


def proven(name: Identifier = NAMES[0], profile: OrderProfile = CLASSIC) -> Authorization:
    found = pending(name, profile)
    kind = found.challenges[0].type
    tried = respond(found, kind, KEY, NOW)
    assert isinstance(tried, Authorization)
    return accept_challenge(tried, kind, NOW, NOW + 30 * DAY)


@pytest.mark.parametrize(
    ("name", "profile", "types"),
    [
        (NAMES[0], CLASSIC, ["http-01", "dns-01", "tls-alpn-01"]),
        (NAMES[1], CLASSIC, ["dns-01"]),
        (NAMES[3], CLASSIC, ["http-01", "tls-alpn-01"]),
        (NAMES[0], WEB, ["http-01"]),
        (NAMES[1], WEB, None),
    ],
)
def test_each_name_is_offered_what_can_prove_it(
    name: Identifier, profile: OrderProfile, types: list[str] | None
) -> None:
    """RFC 8555 §8; RFC 8738 §7: no dns-01 for addresses; wildcards by dns-01."""
    ids = ("authorization-01", ACCOUNT)
    found = make_authorization(Planned(name, None), OrderRequest((name,), profile), ids, TOKEN, NOW)
    if types is None:
        assert isinstance(found, NameFault)
        assert (found.type, found.identifier) == ("rejectedIdentifier", name)
    else:
        assert isinstance(found, Authorization)
        assert [each.type for each in found.challenges] == types
        assert not found.identifier.is_wildcard
        assert found.is_wildcard == name.is_wildcard
        assert found.ordered == name


def test_a_token_cannot_be_guessed() -> None:
    """RFC 8555 §8.3: 128 bits at least."""
    with pytest.raises(ValueError, match="128 bits"):
        make_authorization(Planned(NAMES[0], None), REQUEST, ("a", ACCOUNT), "short", NOW)


def planned(held: Authorization, request: OrderRequest = REQUEST, now: datetime = NOW) -> bool:
    return any(each.reused for each in plan_authorizations(request, ACCOUNT, [held], now))


@pytest.mark.parametrize(
    ("held", "is_used"),
    [
        (proven(), True),
        (proven(NAMES[1]), True),
        (proven(NAMES[3]), True),
        (pending(), False),
        (replace(proven(), account_id="account-00000002"), False),
        (replace(proven(), profile="dated"), False),
        (replace(proven(), status=AuthorizationStatus.DEACTIVATED), False),
        (replace(proven(), status=AuthorizationStatus.REVOKED), False),
        (replace(proven(), expires=NOW + LEAST_LEFT), False),
        (replace(proven(), identifier=Identifier("dns", "c.example")), False),
        # A proof of the plain name is none of the wildcard, and http-01 is none of it either.
        (replace(proven(parse_identifier("c.example")), is_wildcard=True), False),
        (replace(proven(), is_wildcard=True), False),
        (replace(proven(), challenges=()), False),
        (
            replace(
                proven(),
                challenges=tuple(replace(each, validated=None) for each in proven().challenges),
            ),
            False,
        ),
    ],
)
def test_what_is_used_again_proves_this_name_now(held: Authorization, is_used: bool) -> None:
    """RFC 8555 §7.1.3, §7.5.2: account, name, wildcard, profile, status, time, challenge."""
    assert planned(held) is is_used


def test_an_authorization_is_used_again_for_a_time_only() -> None:
    """And not when its challenge is offered no more."""
    assert planned(proven(), now=NOW + 9 * DAY)
    assert not planned(proven(), now=NOW + 10 * DAY)
    only_dns = replace(CLASSIC, challenge_types=("dns-01",))
    assert not planned(proven(), OrderRequest(NAMES[:1], only_dns))


def test_a_proof_by_a_clock_that_was_ahead_is_not_used_again() -> None:
    """Baseline Requirements 4.2.1; clocks of two processes may differ by a little."""
    assert planned(proven(), now=NOW - timedelta(minutes=5))
    assert not planned(proven(), now=NOW - timedelta(minutes=6))


def test_of_several_the_one_that_holds_longest_is_used() -> None:
    held = [replace(proven(), expires=NOW + days * DAY) for days in (5, 9, 7)]
    (found,) = plan_authorizations(OrderRequest(NAMES[:1], CLASSIC), ACCOUNT, held, NOW)
    assert found.reused == held[1]


@given(st.lists(st.sampled_from(NAMES), min_size=1, unique=True), st.sets(st.sampled_from(NAMES)))
def test_each_name_of_an_order_has_its_own_authorization(
    asked: list[Identifier], held: set[Identifier]
) -> None:
    """What is used again for one name is never another's; the order is ready when all are valid."""
    request = OrderRequest(tuple(asked), CLASSIC)
    have = [replace(proven(name), id=f"held-{NAMES.index(name):016}") for name in held]
    plan = plan_authorizations(request, ACCOUNT, have, NOW)
    assert [each.identifier for each in plan] == asked
    chosen: list[Authorization] = []
    for number, each in enumerate(plan):
        assert (each.reused is not None) == (each.identifier in held)
        made = each.reused or make_authorization(
            each, request, (f"new-{number:016}", ACCOUNT), TOKEN, NOW
        )
        assert isinstance(made, Authorization)
        assert made.ordered == each.identifier
        chosen.append(made)
    order = make_order(request, ("order-0000000001", ACCOUNT), chosen, NOW)
    assert len(set(order.authorization_ids)) == len(asked)
    assert (order.status is OrderStatus.READY) == (set(asked) <= held)
    assert NOW < order.expires <= NOW + CLASSIC.order_lifetime


def test_an_order_ends_with_the_first_of_its_authorizations() -> None:
    """RFC 8555 §7.1.6: it would be invalid from then on."""
    held = replace(proven(), expires=NOW + 2 * DAY)
    order = make_order(OrderRequest(NAMES[:1], CLASSIC), ("order", ACCOUNT), [held], NOW)
    assert order.expires == NOW + 2 * DAY

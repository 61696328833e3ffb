"""RFC 8555 §6, §7: headers of what an authority answers; our client reads them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from letterlock.protocols.acme.headers import find_links, parse_retry_after
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.problems import parse_problem
from letterlock.protocols.acme.renewal_info import parse_certificate_id, parse_renewal_info
from letterlock.protocols.acme.server.objects import Authorization, Certificate, Challenge, Order
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.refusals import ErrorType, Link, refuse, refuse_method
from letterlock.protocols.acme.server.renewals import RenewalAnswer, answer_renewal
from letterlock.protocols.acme.server.replies import (
    Reply,
    find_challenge_wait,
    find_order_wait,
    format_headers,
    link_up,
    reply_chain,
    reply_document,
    reply_nonce,
    reply_refusal,
    reply_renewal,
)
from letterlock.protocols.acme.states import AuthorizationStatus, ChallengeStatus, OrderStatus
from tests.acme_requests import public

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLACES = Places("https://ca.example")
CERTIFICATE = Certificate(
    id="certificate-0001",
    name=parse_certificate_id("AAAA.AQ"),
    account_id="account-00000001",
    order_id="order-0000000001",
    identifiers=(Identifier("dns", "a.example"),),
    not_before=NOW,
    not_after=NOW + timedelta(days=90),
    key=public(),
    chain_count=3,
)


def headers(
    reply: Reply, nonce: str | None = "AAAA", *, is_directory: bool = False
) -> dict[str, str]:
    """Of those that are there twice, the last."""
    return dict(format_headers(reply, PLACES, nonce, is_directory=is_directory))


def links(reply: Reply, relation: str) -> list[str]:
    values = [
        value.encode() for name, value in format_headers(reply, PLACES, None) if name == "Link"
    ]
    return [each.text for each in find_links(values, relation)]


def test_an_object_that_was_made_has_its_place() -> None:
    """RFC 8555 §7.3, §7.4: 201 and Location; §6.5: a nonce; §7.1: index."""
    reply = reply_document({"a": 1}, location="https://ca.example/order/1", is_new=True)
    assert reply.status == 201
    assert reply.body == b'{"a":1}'
    found = headers(reply)
    assert found["Location"] == "https://ca.example/order/1"
    assert found["Content-Type"] == "application/json"
    assert found["Replay-Nonce"] == "AAAA"
    assert found["Cache-Control"] == "no-store"
    assert found["Access-Control-Allow-Origin"] == "*"
    assert "Replay-Nonce" in found["Access-Control-Expose-Headers"]
    assert links(reply, "index") == [PLACES.directory]


def test_the_directory_has_no_link_to_itself() -> None:
    """RFC 8555 §7.1; and what no POST asked for has no nonce."""
    found = headers(reply_document({}), None, is_directory=True)
    assert not {"Link", "Replay-Nonce", "Location", "Retry-After", "Allow"} & found.keys()
    assert reply_document({}).status == 200


def test_a_refusal_is_a_problem_document() -> None:
    """RFC 8555 §6.7, §6.6: with when to come again, and where it is explained."""
    refusal = replace(
        refuse(ErrorType.RATE_LIMITED, "too many"),
        retry_after=timedelta(seconds=90.2),
        links=(Link("https://ca.example/limits", "help"),),
        location="https://ca.example/account/1",
    )
    reply = reply_refusal(refusal)
    found = headers(reply)
    assert (reply.status, found["Content-Type"]) == (429, "application/problem+json")
    assert found["Content-Language"] == "en"
    assert parse_retry_after(found["Retry-After"].encode(), NOW) == timedelta(seconds=91)
    assert links(reply, "help") == ["https://ca.example/limits"]
    assert found["Location"] == "https://ca.example/account/1"
    assert parse_problem(429, reply.body) == refusal.problem


def test_a_method_that_is_not_taken_has_those_that_are() -> None:
    """RFC 8555 §6.3, RFC 9110 §15.5.6."""
    assert headers(reply_refusal(refuse_method(("GET", "HEAD"))))["Allow"] == "GET, HEAD"


def test_a_chain_says_where_the_others_are() -> None:
    """RFC 8555 §7.4.2."""
    for chain in range(3):
        reply = reply_chain(b"-----BEGIN", CERTIFICATE, chain, PLACES)
        assert headers(reply)["Content-Type"] == "application/pem-certificate-chain"
        others = [PLACES.certificate(CERTIFICATE.id, each) for each in range(3) if each != chain]
        assert links(reply, "alternate") == others


def test_renewal_information_is_kept_by_caches_for_a_while() -> None:
    """RFC 9773 §4.3.2, §6: and always says when to ask again."""
    answer = answer_renewal(CERTIFICATE, None, 0.5)
    assert isinstance(answer, RenewalAnswer)
    reply = reply_renewal(answer)
    found = headers(reply, None)
    assert found["Cache-Control"] == "max-age=300"
    assert parse_retry_after(found["Retry-After"].encode(), NOW) == timedelta(hours=6)
    read = parse_renewal_info(reply.body)
    assert (read.start, read.end) == (answer.window.start, answer.window.end.replace(microsecond=0))


def test_only_an_order_that_is_processed_is_waited_for() -> None:
    """RFC 8555 §7.4."""
    wait = timedelta(seconds=3)
    for status in OrderStatus:
        order = Order("order", "account", (), (), status, NOW)
        assert find_order_wait(order, wait) == (wait if status == "processing" else None)


@pytest.mark.parametrize("status", AuthorizationStatus)
@pytest.mark.parametrize("tried", ChallengeStatus)
def test_only_a_challenge_that_is_tried_is_waited_for(
    status: AuthorizationStatus, tried: ChallengeStatus
) -> None:
    """RFC 8555 §7.5.1, §8.2: Retry-After."""
    challenges = (Challenge("dns-01", "x"), Challenge("http-01", "x", tried))
    name = Identifier("dns", "a.example")
    found = Authorization("authorization-01", "account", name, status, NOW, challenges)
    wait = timedelta(seconds=3)
    is_awaited = (status, tried) == (AuthorizationStatus.PENDING, ChallengeStatus.PROCESSING)
    assert find_challenge_wait(found, wait) == (wait if is_awaited else None)


def test_a_challenge_links_to_its_authorization() -> None:
    """RFC 8555 §7.1, §7.5.1."""
    found = Authorization(
        *("authorization-01", "account", Identifier("dns", "a.example")),
        *(AuthorizationStatus.PENDING, NOW, ()),
    )
    reply = reply_document({}, links=link_up(found, PLACES))
    assert links(reply, "up") == [PLACES.authorization(found.id)]
    assert msgspec.json.decode(reply.body) == {}


def test_a_new_nonce_is_all_header() -> None:
    """RFC 8555 §7.2: HEAD is 200, GET 204 without a body, and nobody keeps it."""
    for is_head, status in ((True, 200), (False, 204)):
        reply = reply_nonce(is_head=is_head)
        found = headers(reply)
        assert (reply.status, reply.body) == (status, b"")
        assert found["Replay-Nonce"] == "AAAA"
        assert found["Cache-Control"] == "no-store"
        assert "Content-Type" not in found

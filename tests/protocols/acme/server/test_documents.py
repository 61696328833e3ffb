"""RFC 8555 §7.1: what clients see of an authority's objects."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.directory import format_directory, parse_account, parse_directory
from letterlock.protocols.acme.fields import ObjectError, parse_url
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.orders import parse_order
from letterlock.protocols.acme.renewal_info import parse_certificate_id
from letterlock.protocols.acme.server.documents import format_account, format_order, format_orders
from letterlock.protocols.acme.server.objects import Account, ExternalBinding, Order
from letterlock.protocols.acme.server.places import Places, is_id
from letterlock.protocols.acme.states import AccountStatus, OrderStatus
from tests.acme_requests import public

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLACES = Places("https://ca.example/acme", former=("https://old.example",))
ACCOUNT = Account("account-00000001", public(), AccountStatus.VALID)


def test_an_account_shows_what_it_is() -> None:
    """RFC 8555 §7.1.2, §7.3.4: a binding that was verified is shown; the key is not."""
    jws = (("protected", "e30"), ("payload", "e30"), ("signature", "AA"))
    account = replace(
        ACCOUNT,
        contacts=("mailto:a@b.example",),
        agreed_terms="https://ca.example/terms",
        external=ExternalBinding("kid-1", jws),
    )
    url = PLACES.account(account.id)
    assert format_account(ACCOUNT, PLACES) == {"status": "valid", "orders": f"{url}/orders"}
    document = format_account(account, PLACES)
    assert document["termsOfServiceAgreed"] is True
    assert document["externalAccountBinding"] == dict(jws)
    read = parse_account(parse_url(url), msgspec.json.encode(document))
    assert (read.status, read.contact) == (AccountStatus.VALID, account.contacts)


def test_an_order_shows_what_it_was_asked_for() -> None:
    """RFC 8555 §7.1.3, RFC 9773 §5: `replaces` is reflected."""
    order = Order(
        id="order-0000000001",
        account_id=ACCOUNT.id,
        identifiers=(Identifier("dns", "a.example"),),
        authorization_ids=("authorization-01",),
        status=OrderStatus.READY,
        expires=NOW,
        profile="mail",
        not_before=NOW,
        not_after=NOW.replace(day=9),
        replaces=parse_certificate_id("AAAA.AQ"),
        # What a slip of the caller put there: no order shows it before it is valid.
        certificate_id="certificate-0001",
    )
    document = format_order(order, PLACES)
    read = parse_order(parse_url(PLACES.order(order.id)), msgspec.json.encode(document))
    assert (read.profile, read.replaces) == ("mail", "AAAA.AQ")
    assert (read.not_before, read.not_after) == (order.not_before, order.not_after)
    assert read.certificate is None
    shown = format_order(replace(order, status=OrderStatus.VALID), PLACES)
    assert shown["certificate"] == "https://ca.example/acme/certificate/certificate-0001"


@given(st.integers(0, 30), st.integers(1, 7))
def test_pages_of_orders_are_all_of_them(count: int, size: int) -> None:
    """RFC 8555 §7.1.2.1: Link rel=next as long as there are more."""
    ids = [f"order-{number:010}" for number in range(count)]
    seen: list[object] = []
    after: str | None = None
    for _ in range(count + 2):
        rest = ids if after is None else [each for each in ids if each > after]
        page = format_orders(ACCOUNT.id, rest[: size + 1], PLACES, size)
        shown = page.document["orders"]
        assert isinstance(shown, list)
        assert len(shown) <= size
        seen += shown
        if page.next_url is None:
            break
        after = page.next_url.rpartition("/")[2]
        assert page.next_url == PLACES.orders(ACCOUNT.id, after)
    assert seen == [PLACES.order(each) for each in ids]


def test_an_account_is_known_by_its_urls_of_now_and_before() -> None:
    """RFC 8657 §5.4: it stands in CAA records."""
    assert PLACES.find_account_id(PLACES.account(ACCOUNT.id)) == ACCOUNT.id
    assert PLACES.find_account_id(f"https://old.example/account/{ACCOUNT.id}") == ACCOUNT.id
    for kid in (
        f"https://ca.example/account/{ACCOUNT.id}",
        f"https://ca.example/acme/account/{ACCOUNT.id}/orders",
        "https://ca.example/acme/account/../../etc/passwd",
        "https://ca.example/acme/account/short",
        f"{PLACES.account(ACCOUNT.id)}\n",
        "",
    ):
        assert PLACES.find_account_id(kid) is None


def test_ids_are_safe_in_paths() -> None:
    assert is_id("A-Za-z0-9_AAAAAA")
    assert not any(map(is_id, ("", "a" * 15, "a" * 65, "a/" * 10, "." * 20, "a" * 16 + "\n")))


@pytest.mark.parametrize(
    "base", ["https://ca.example/", "http://ca.example", "https://ca.example/a?b"]
)
def test_a_base_is_where_paths_go_behind(base: str) -> None:
    """RFC 8555 §6.1: HTTPS."""
    with pytest.raises((ValueError, ObjectError)):
        Places(base)


def test_the_directory_says_what_there_is() -> None:
    """RFC 8555 §7.1.1, §9.7.6; RFC 9773 §3."""
    directory = PLACES.make_directory(
        terms="https://ca.example/terms",
        website="https://ca.example",
        caa_identities=("ca.example",),
        is_external_account_required=True,
        profiles=(("mail", "90 days"), ("short", "6 days")),
    )
    document = format_directory(directory)
    assert parse_directory(msgspec.json.encode(document)) == directory
    assert document["newOrder"] == "https://ca.example/acme/new-order"
    assert document["renewalInfo"] == "https://ca.example/acme/renewal-info"
    assert PLACES.directory == "https://ca.example/acme/directory"
    assert PLACES.certificate("x", 2) == "https://ca.example/acme/certificate/x/2"
    bare = format_directory(PLACES.make_directory())
    assert "meta" not in bare

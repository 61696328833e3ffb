"""RFC 9773: when to renew, and what replaces what."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.renewal_info import (
    CertificateId,
    choose_moment,
    next_look,
    parse_certificate_id,
)
from letterlock.protocols.acme.server.objects import Certificate, Order
from letterlock.protocols.acme.server.refusals import Refusal
from letterlock.protocols.acme.server.renewals import (
    LOOK_AGAIN,
    RenewalAnswer,
    Urgency,
    answer_renewal,
    find_replacement_refusal,
    is_in_window,
    mark_replaced,
    parse_asked,
    suggest_window,
)
from letterlock.protocols.acme.states import OrderStatus
from tests.acme_requests import public

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ACCOUNT = "account-00000001"
NAMES = tuple(map(parse_identifier, ("a.example", "b.example")))
CERTIFICATE = Certificate(
    id="certificate-0001",
    name=parse_certificate_id("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"),
    account_id=ACCOUNT,
    order_id="order-0000000001",
    identifiers=NAMES,
    not_before=NOW,
    not_after=NOW + 90 * DAY,
    key=public(),
)
ORDER = Order("order-0000000002", ACCOUNT, NAMES, ("x", "y"), OrderStatus.PENDING, NOW)


def test_who_asks_names_a_certificate() -> None:
    """RFC 9773 §4.1: malformed names are 400, unknown ones 404."""
    assert parse_asked(str(CERTIFICATE.name)) == CertificateId(
        CERTIFICATE.name.key_identifier, 0x87654321
    )
    bad = parse_asked("x")
    assert isinstance(bad, Refusal)
    assert (bad.problem.type, bad.status) == ("malformed", 400)
    unknown = answer_renewal(None, None, 0.5)
    assert isinstance(unknown, Refusal)
    assert (unknown.problem.type, unknown.status) == ("malformed", 404)


@pytest.mark.parametrize(("days", "share"), [(90, 2 / 3), (10, 2 / 3), (6, 1 / 2)])
def test_a_window_is_where_it_should_be(days: int, share: float) -> None:
    certificate = replace(CERTIFICATE, not_after=NOW + days * DAY)
    window = suggest_window(certificate, None)
    middle = choose_moment(window, 0.5)
    assert abs(middle - (NOW + days * share * DAY)) < timedelta(seconds=2)
    assert abs((window.end - window.start) - 0.02 * days * DAY) < timedelta(seconds=2)
    assert window.explanation is None


@given(st.timedeltas(timedelta(seconds=1), 200 * DAY))
def test_a_window_ends_after_it_begins(life: timedelta) -> None:
    """RFC 9773 §4.2: also when both are told in seconds."""
    window = suggest_window(replace(CERTIFICATE, not_after=NOW + life), None)
    assert window.end.replace(microsecond=0) > window.start
    assert window.start.microsecond == 0


def test_an_incident_puts_the_window_into_the_past_with_a_page() -> None:
    """RFC 9773 §4.2: and there it stays, so that clients keep the moment they chose."""
    since = NOW + 10 * DAY
    window = suggest_window(CERTIFICATE, Urgency(since, "https://ca.example/incident"))
    assert window.start < window.end < since
    assert window.explanation == "https://ca.example/incident"
    assert window == suggest_window(CERTIFICATE, Urgency(since, "https://ca.example/incident"))


def test_a_revoked_certificate_is_renewed_at_once() -> None:
    window = suggest_window(replace(CERTIFICATE, revoked=NOW + DAY), None)
    assert window.end < NOW + DAY


@given(st.floats(0, 1, exclude_max=True))
def test_who_asks_is_told_when_to_ask_again(chance: float) -> None:
    """RFC 9773 §4.3.2: within what clients take for sane; not all at once."""
    found = answer_renewal(CERTIFICATE, None, chance)
    assert isinstance(found, RenewalAnswer)
    assert LOOK_AGAIN * 0.8 <= found.retry_after <= LOOK_AGAIN * 1.2
    assert next_look(found.retry_after) == found.retry_after


@pytest.mark.parametrize(
    ("predecessor", "replacing", "kind", "status"),
    [
        (None, None, "malformed", 404),
        (replace(CERTIFICATE, account_id="account-00000002"), None, "unauthorized", 403),
        (
            replace(CERTIFICATE, identifiers=(parse_identifier("c.example"),)),
            None,
            "malformed",
            400,
        ),
        (mark_replaced(CERTIFICATE, ORDER), ORDER, "alreadyReplaced", 409),
        (
            mark_replaced(CERTIFICATE, ORDER),
            replace(ORDER, status=OrderStatus.VALID),
            "alreadyReplaced",
            409,
        ),
        (
            mark_replaced(CERTIFICATE, ORDER),
            replace(ORDER, status=OrderStatus.INVALID),
            None,
            None,
        ),
        (CERTIFICATE, None, None, None),
        (replace(CERTIFICATE, identifiers=NAMES[:1]), None, None, None),
    ],
)
def test_what_replaces_belongs_together_and_is_the_only_one(
    predecessor: Certificate | None, replacing: Order | None, kind: str | None, status: int | None
) -> None:
    """RFC 9773 §5: one account, a name in common, not replaced by an order that is not invalid."""
    found = find_replacement_refusal(predecessor, replacing, ACCOUNT, NAMES)
    assert (found and found.problem.type, found and found.status) == (kind, status)


@pytest.mark.parametrize("replacing", [None, replace(ORDER, id="order-0000000003")])
def test_what_replaced_it_must_be_looked_at(replacing: Order | None) -> None:
    with pytest.raises(LookupError, match="order-0000000002"):
        find_replacement_refusal(mark_replaced(CERTIFICATE, ORDER), replacing, ACCOUNT, NAMES)


def test_limits_spare_who_comes_when_asked() -> None:
    """RFC 9773 §5."""
    assert not is_in_window(CERTIFICATE, None, NOW + 30 * DAY)
    assert is_in_window(CERTIFICATE, None, NOW + 61 * DAY)
    assert is_in_window(CERTIFICATE, Urgency(NOW + DAY), NOW + DAY)

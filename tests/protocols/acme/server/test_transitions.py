"""RFC 8555 §7.1.6: objects change as the tables say, and in no other way."""

import dataclasses
import itertools
import typing
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import UnionType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.orders import parse_authorization, parse_challenge, parse_order
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server import objects, transitions
from letterlock.protocols.acme.server.documents import (
    format_authorization,
    format_challenge,
    format_order,
)
from letterlock.protocols.acme.server.objects import Account, Authorization, Challenge, Order
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.refusals import Refusal
from letterlock.protocols.acme.server.transitions import (
    TransitionError,
    accept_challenge,
    begin_order,
    complete_order,
    deactivate_account,
    deactivate_authorization,
    fail_challenge,
    fail_order,
    find_authorization_status,
    judge_order,
    note_failed_try,
    respond,
    revoke_account,
    revoke_authorization,
    step,
)
from letterlock.protocols.acme.states import (
    ACCOUNT_STEPS,
    AUTHORIZATION_STEPS,
    CHALLENGE_STEPS,
    ORDER_STEPS,
    AccountStatus,
    AuthorizationStatus,
    ChallengeStatus,
    OrderStatus,
)
from tests.acme_requests import OTHER_KEY, public

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
PROBLEM = Problem("connection", "refused", 400)
PLACES = Places("https://ca.example/acme")
NAMES = (
    Identifier("dns", "*.a.example"),
    Identifier("dns", "a.example"),
    Identifier("ip", "192.0.2.1"),
)


def authorization(number: int = 1, **more: Any) -> Authorization:
    name = NAMES[number]
    found = Authorization(
        id=f"authorization-{number:02}",
        account_id="account-00000001",
        identifier=Identifier(name.type, name.base),
        status=AuthorizationStatus.PENDING,
        expires=NOW + WEEK,
        challenges=(Challenge("http-01", TOKEN), Challenge("dns-01", TOKEN)),
        is_wildcard=name.is_wildcard,
    )
    return replace(found, **more)


def order(*authorizations: Authorization, **more: Any) -> Order:
    found = Order(
        id="order-0000000001",
        account_id="account-00000001",
        identifiers=tuple(each.ordered for each in authorizations),
        authorization_ids=tuple(each.id for each in authorizations),
        status=OrderStatus.PENDING,
        expires=NOW + WEEK,
    )
    return replace(found, **more)


def tried(found: Authorization, kind: str = "http-01", now: datetime = NOW) -> Authorization:
    new = respond(found, kind, public(), now)
    assert isinstance(new, Authorization)
    return new


def valid(number: int = 1) -> Authorization:
    return accept_challenge(tried(authorization(number)), "http-01", NOW, NOW + WEEK)


# What the RFC's figures have; `states` says of what they leave out why it is there.
FIGURES: Mapping[type[StrEnum], set[tuple[str, str]]] = {
    ChallengeStatus: {
        *(("pending", "processing"), ("processing", "valid"), ("processing", "invalid")),
    },
    AuthorizationStatus: {
        *(("pending", "invalid"), ("pending", "valid"), ("pending", "expired")),
        *(("valid", "revoked"), ("valid", "deactivated"), ("valid", "expired")),
        ("pending", "deactivated"),
    },
    OrderStatus: {
        *(("pending", "ready"), ("ready", "processing"), ("processing", "valid")),
        *(("pending", "invalid"), ("ready", "invalid"), ("processing", "invalid")),
    },
    AccountStatus: {("valid", "deactivated"), ("valid", "revoked")},
}
TABLES: tuple[tuple[type[StrEnum], Any], ...] = (
    (ChallengeStatus, CHALLENGE_STEPS),
    (AuthorizationStatus, AUTHORIZATION_STEPS),
    (OrderStatus, ORDER_STEPS),
    (AccountStatus, ACCOUNT_STEPS),
)


@pytest.mark.parametrize(("statuses", "steps"), TABLES)
def test_the_tables_are_the_figures(statuses: type[StrEnum], steps: Any) -> None:
    """RFC 8555 §7.1.6: every pair of states."""
    for before, after in itertools.product(statuses, repeat=2):
        if (before, after) in FIGURES[statuses]:
            assert step(steps, before, after) is after
        else:
            with pytest.raises(TransitionError, match="does not become"):
                step(steps, before, after)


def test_values_have_no_part_that_could_change() -> None:
    """In 2020 one value was changed for all names of an order: here none can be."""
    for value in vars(objects).values():
        if isinstance(value, type) and value.__module__ == objects.__name__:
            assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]
            for kind in typing.get_type_hints(value).values():
                assert not list(find_mutable(kind)), (value, kind)


def find_mutable(kind: Any) -> typing.Iterator[object]:
    if typing.get_origin(kind) in (list, dict, set) or kind in (list, dict, set, bytearray):
        yield kind
    elif isinstance(kind, UnionType) or typing.get_origin(kind) is tuple:
        for part in typing.get_args(kind):
            yield from find_mutable(part)
    elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
        assert kind.__dataclass_params__.frozen, kind  # type: ignore[attr-defined]


class Life(RuleBasedStateMachine):
    """An order of three names, and whatever clients, validators and time do with it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.authorizations = [authorization(number) for number in range(3)]
        self.order = order(*self.authorizations)
        self.account = Account("account-00000001", public(), AccountStatus.VALID)

    numbers = st.integers(0, 2)
    kinds = st.sampled_from(["http-01", "dns-01"])

    def put(self, number: int, new: Authorization | Refusal) -> None:
        if isinstance(new, Refusal):
            assert new.status == 400
            return
        old = self.authorizations[number]
        assert_step(AUTHORIZATION_STEPS, old.status, new.status)
        for before, after in zip(old.challenges, new.challenges, strict=True):
            assert_step(CHALLENGE_STEPS, before.status, after.status)
            assert (before.type, before.token) == (after.type, after.token)
            if before.key_authorization is not None:
                assert after.key_authorization == before.key_authorization
        assert (
            replace(new, status=old.status, expires=old.expires, challenges=old.challenges) == old
        )
        self.authorizations[number] = new

    def put_order(self, new: Order) -> None:
        assert_step(ORDER_STEPS, self.order.status, new.status)
        assert new.identifiers == self.order.identifiers
        assert new.authorization_ids == self.order.authorization_ids
        self.order = new

    @rule(number=numbers, kind=kinds, other=st.booleans())
    def respond(self, number: int, kind: str, other: bool) -> None:
        key = public(OTHER_KEY) if other else public()
        self.put(number, respond(self.authorizations[number], kind, key, self.now))

    @rule(number=numbers, kind=kinds)
    def fails_once(self, number: int, kind: str) -> None:
        self.put(number, note_failed_try(self.authorizations[number], kind, PROBLEM))

    @rule(number=numbers, kind=kinds)
    def proves(self, number: int, kind: str) -> None:
        new = accept_challenge(self.authorizations[number], kind, self.now, self.now + 3 * HOUR)
        self.put(number, new)

    @rule(number=numbers, kind=kinds)
    def fails(self, number: int, kind: str) -> None:
        self.put(number, fail_challenge(self.authorizations[number], kind, PROBLEM))

    @rule(number=numbers)
    def deactivates(self, number: int) -> None:
        self.put(number, deactivate_authorization(self.authorizations[number], self.now))

    @rule(number=numbers)
    def revokes(self, number: int) -> None:
        old = self.authorizations[number]
        if old.status is AuthorizationStatus.VALID:
            self.put(number, revoke_authorization(old))
        else:
            with pytest.raises(TransitionError):
                revoke_authorization(old)

    @rule(wait=st.sampled_from([HOUR, 3 * HOUR, 8 * 24 * HOUR]))
    def waits(self, wait: timedelta) -> None:
        self.now += wait

    @rule()
    def looks(self) -> None:
        self.put_order(judge_order(self.order, self.authorizations, self.now))

    @rule()
    def finalizes(self) -> None:
        self.put_order(judge_order(self.order, self.authorizations, self.now))
        new = begin_order(self.order)
        if isinstance(new, Refusal):
            assert (new.status, new.problem.type) == (403, "orderNotReady")
            assert self.order.status is not OrderStatus.READY
        else:
            states = {find_authorization_status(each, self.now) for each in self.authorizations}
            assert states == {AuthorizationStatus.VALID}
            self.put_order(new)

    @precondition(lambda self: self.order.status is OrderStatus.PROCESSING)
    @rule(is_issued=st.booleans())
    def is_done(self, is_issued: bool) -> None:
        if is_issued:
            self.put_order(complete_order(self.order, "certificate-0001", self.now + WEEK))
        else:
            self.put_order(fail_order(self.order, PROBLEM))

    @precondition(lambda self: self.order.status is not OrderStatus.PROCESSING)
    @rule()
    def is_never_issued_without_a_request(self) -> None:
        with pytest.raises(TransitionError):
            complete_order(self.order, "certificate-0001", self.now)

    @rule(end=st.sampled_from([deactivate_account, revoke_account]))
    def account_ends(self, end: Any) -> None:
        if self.account.status is AccountStatus.VALID:
            self.account = end(self.account)
        else:
            with pytest.raises(TransitionError):
                end(self.account)

    @invariant()
    def documents_are_what_the_rfc_says(self) -> None:
        """RFC 8555 §7.1.3, §7.1.4, §8."""
        check_order(self.order)
        for each in self.authorizations:
            check_authorization(each, self.now)


def assert_step(steps: Any, before: StrEnum, after: StrEnum) -> None:
    assert after is before or after in steps[before]


def check_order(found: Order) -> None:
    document = format_order(found, PLACES)
    read = parse_order(parse_url(PLACES.order(found.id)), encode(document))
    assert read.status is found.status
    assert read.expires == found.expires
    assert read.identifiers == frozenset(found.identifiers)
    assert len(read.authorizations) == len(found.authorization_ids)
    assert ("certificate" in document) == (found.status is OrderStatus.VALID)
    assert ("error" in document) == (found.status is OrderStatus.INVALID)
    assert read.finalize.text == PLACES.finalize(found.id)


def check_authorization(found: Authorization, now: datetime) -> None:
    document = format_authorization(found, PLACES, now)
    read = parse_authorization(parse_url(PLACES.authorization(found.id)), encode(document))
    assert read.identifier == found.identifier
    assert "*" not in read.identifier.value
    assert document.get("wildcard") == (True if found.is_wildcard else None)
    assert read.expires == found.expires
    states = [each.status for each in read.challenges]
    if read.status is AuthorizationStatus.PENDING:
        assert len(states) == len(found.challenges)
    elif read.status is AuthorizationStatus.VALID:
        assert states == [ChallengeStatus.VALID]
    elif read.status is AuthorizationStatus.INVALID:
        assert states == [ChallengeStatus.INVALID]
    for each in found.challenges:
        shown = format_challenge(found, each, PLACES)
        challenge = parse_challenge(encode(shown))
        assert ("validated" in shown) == (challenge.status is ChallengeStatus.VALID)
        if challenge.error is not None:
            # Erratum 5732: also while it is tried.
            assert challenge.status in (ChallengeStatus.PROCESSING, ChallengeStatus.INVALID)
        assert (challenge.status is ChallengeStatus.INVALID) <= (challenge.error is not None)


def encode(document: object) -> bytes:
    import msgspec  # noqa: PLC0415

    return msgspec.json.encode(document)


TestLife = Life.TestCase
# Of examples: many in the profile `proof`.
TestLife.settings = settings(
    max_examples=25 if settings().max_examples <= 100 else 300,
    stateful_step_count=30,
    deadline=None,
)


def test_the_key_of_a_response_stays_that_of_its_moment() -> None:
    """RFC 8555 §8.1, §7.3.5: a key that changes later does not break what is under way."""
    found = tried(authorization())
    again = respond(found, "http-01", public(OTHER_KEY), NOW)
    assert again == found
    challenge = found.find_challenge("http-01")
    assert challenge is not None
    assert challenge.key_authorization == f"{TOKEN}.{public().thumbprint}"


def test_one_challenge_of_an_authorization_is_tried() -> None:
    """RFC 8555 §7.1.4: a valid one has the one that was validated."""
    refusal = respond(tried(authorization()), "dns-01", public(), NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.problem.type == "malformed"
    with pytest.raises(LookupError, match="tls-alpn-01"):
        respond(authorization(), "tls-alpn-01", public(), NOW)


def test_an_authorization_that_ended_takes_no_response() -> None:
    """RFC 8555 §7.5.1."""
    ended = replace(authorization(), expires=NOW)
    refusal = respond(ended, "http-01", public(), NOW)
    assert isinstance(refusal, Refusal)
    assert "expired" in refusal.problem.detail
    assert isinstance(deactivate_authorization(ended, NOW), Refusal)


def test_a_deactivated_authorization_is_not_proved_any_more() -> None:
    """RFC 8555 §7.5.2: and stays what it is when it is deactivated again."""
    found = deactivate_authorization(tried(authorization()), NOW)
    assert isinstance(found, Authorization)
    assert found.status is AuthorizationStatus.DEACTIVATED
    assert accept_challenge(found, "http-01", NOW, NOW + WEEK) == found
    assert fail_challenge(found, "http-01", PROBLEM) == found
    assert note_failed_try(found, "http-01", PROBLEM) == found
    assert deactivate_authorization(found, NOW) == found


def test_an_order_ends_with_any_of_its_authorizations_and_names_each() -> None:
    """RFC 8555 §7.1.6, §6.7.1."""
    names = [valid(0), valid(1), valid(2)]
    ready = judge_order(order(*names), names, NOW)
    assert ready.status is OrderStatus.READY
    ended = [names[0], *(replace(each, expires=NOW) for each in names[1:])]
    found = judge_order(ready, ended, NOW)
    assert found.status is OrderStatus.INVALID
    assert found.error is not None
    assert [each.identifier for each in found.error.subproblems] == [NAMES[1], NAMES[2]]
    assert judge_order(found, names, NOW) == found


def test_an_order_that_expired_is_invalid_but_not_while_it_is_issued() -> None:
    """RFC 8555 §7.1.3, §7.1.6."""
    names = [replace(valid(), expires=NOW + 99 * WEEK)]
    ready = judge_order(order(*names), names, NOW)
    processing = begin_order(ready)
    assert isinstance(processing, Order)
    assert judge_order(ready, names, NOW + WEEK).status is OrderStatus.INVALID
    assert judge_order(processing, names, NOW + WEEK) == processing


@given(st.lists(st.sampled_from([valid(0), valid(1), valid(2), replace(valid(1), id="x" * 16)])))
def test_an_order_is_judged_by_all_of_its_names_or_not_at_all(given: list[Authorization]) -> None:
    """Each name has its own: no name is proved by another's twice, as it was in 2020."""
    asked = order(valid(0), valid(1))
    if sorted(each.id for each in given) == sorted(asked.authorization_ids):
        assert judge_order(asked, given, NOW).status is OrderStatus.READY
    else:
        with pytest.raises(LookupError):
            judge_order(asked, given, NOW)


def test_what_the_server_revokes_is_revoked() -> None:
    """RFC 8555 §7.1.6."""
    assert revoke_authorization(valid()).status is AuthorizationStatus.REVOKED
    account = Account("account-00000001", public(), AccountStatus.VALID)
    assert revoke_account(account).status is AccountStatus.REVOKED


def test_a_try_that_failed_is_told_while_there_are_more() -> None:
    """RFC 8555 §8.2; erratum 5732."""
    found = note_failed_try(tried(authorization()), "http-01", PROBLEM)
    challenge = found.find_challenge("http-01")
    assert challenge is not None
    assert (challenge.status, challenge.error) == (ChallengeStatus.PROCESSING, PROBLEM)
    proved = accept_challenge(found, "http-01", NOW, NOW + WEEK).find_challenge("http-01")
    assert proved is not None
    assert (proved.status, proved.error) == (ChallengeStatus.VALID, None)
    failed = fail_challenge(found, "http-01", PROBLEM)
    assert failed.status is AuthorizationStatus.INVALID


def test_an_order_is_issued_step_by_step() -> None:
    """RFC 8555 §7.1.6, §7.4."""
    names = [valid()]
    pending = order(*names)
    early = begin_order(pending)
    assert isinstance(early, Refusal)
    assert early.problem.type == "orderNotReady"
    processing = begin_order(judge_order(pending, names, NOW))
    assert isinstance(processing, Order)
    done = complete_order(processing, "certificate-0001", NOW + WEEK)
    assert (done.status, done.certificate_id) == (OrderStatus.VALID, "certificate-0001")
    assert fail_order(processing, PROBLEM).error == PROBLEM


def test_another_accounts_authorizations_prove_nothing() -> None:
    foreign = replace(valid(), account_id="account-00000002")
    with pytest.raises(LookupError):
        judge_order(order(valid()), [foreign], NOW)


def test_every_function_is_tried_here() -> None:
    """A new way to change something comes into `Life`."""
    made = {
        name
        for name, value in vars(transitions).items()
        if callable(value)
        and getattr(value, "__module__", "") == transitions.__name__
        and name[0] != "_"
    }
    assert made <= globals().keys()

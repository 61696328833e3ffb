"""A certificate rests on what it must, for each of its names; whatever is missing is named."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.audit.decisions import (
    CaaLogged,
    HaltLogged,
    LintLogged,
    LoggedAnswer,
    LoggedLook,
    LoggedProblem,
    RequestLogged,
    SerialLogged,
)
from letterlock.protocols.audit.evidence import (
    EvidenceRules,
    Ground,
    Lack,
    Logged,
    find_authorizations,
    find_decisions,
    find_lacks,
)
from tests.audit_entries import DECISIONS, NOW, make_log
from tests.grounds import ACCOUNT, DRAFT, ORDER, Grounds, look_at, validation_of

RULES = EvidenceRules(timedelta(days=10))
ONE = ("a.example",)
HUNDRED = tuple(f"n{number}.example" for number in range(100))


def lacks_of(grounds: Grounds, rules: EvidenceRules = RULES) -> list[tuple[Ground, str | None]]:
    return [(each.ground, each.name) for each in all_lacks_of(grounds, rules)]


def all_lacks_of(grounds: Grounds, rules: EvidenceRules = RULES) -> tuple[Lack, ...]:
    logs = grounds.authorization_logs
    return find_lacks(grounds.certificate, grounds.order_log, logs, rules)


@pytest.mark.parametrize(
    "names", [ONE, ("*.a.example", "a.example"), ("192.0.2.1", "a.example"), HUNDRED]
)
def test_what_rests_on_all_lacks_nothing(names: tuple[str, ...]) -> None:
    assert lacks_of(Grounds(names)) == []


def test_an_address_needs_no_look_at_caa_and_a_name_does() -> None:
    grounds = Grounds(("192.0.2.1", "2001:db8::1", "a.example"))
    for name in grounds.names:
        grounds.validations[name] = validation_of(name, None)
    assert lacks_of(grounds) == [(Ground.CAA, "a.example")]


@pytest.mark.parametrize(
    ("part", "ground"),
    [
        ({"request": None}, Ground.REQUEST),
        ({"request": RequestLogged(ORDER, "ee", faults=("weak",))}, Ground.REQUEST),
        ({"serial": None}, Ground.SERIAL),
        ({"serial": SerialLogged(ORDER, "0c", "issuer", "server")}, Ground.SERIAL),
        ({"lint": None}, Ground.LINT),
        ({"lint": LintLogged(ORDER, DRAFT, "pkilint", ("bad",))}, Ground.LINT),
        ({"lint": LintLogged(ORDER, "ff" * 32, "pkilint")}, Ground.LINT),
        ({"is_signed": False}, Ground.SIGNING),
        ({"account": "account-2"}, Ground.ORDER),
    ],
)
def test_a_part_that_is_missing_is_named(part: dict[str, object], ground: Ground) -> None:
    """Baseline Requirements 4.3.1.2, 5.4.1"""
    grounds = Grounds(ONE)
    for name, value in part.items():
        setattr(grounds, name, value)
    assert lacks_of(grounds) == [(ground, None)]


def test_another_certificate_with_the_same_serial_number_is_not_what_was_signed() -> None:
    grounds = Grounds(ONE)
    other = replace(grounds.certificate, digest="00" * 32)
    found = find_lacks(other, grounds.order_log, grounds.authorization_logs, RULES)
    assert [each.ground for each in found] == [Ground.SIGNING]


def test_the_names_are_those_of_the_certificate_not_of_the_order() -> None:
    grounds = Grounds(("a.example", "b.example"))
    grounds.ordered = ONE
    assert lacks_of(grounds) == [(Ground.ORDER, None)]


def test_what_was_logged_after_the_signature_is_no_ground() -> None:
    grounds = Grounds(ONE)
    log = list(grounds.order_log)
    late = Logged(2000, NOW, LintLogged(ORDER, DRAFT, "pkilint"))
    log = [each for each in log if not isinstance(each.decision, LintLogged)] + [late]
    validations = {
        name: [replace(each, number=3000) for each in found]
        for name, found in grounds.authorization_logs.items()
    }
    found = find_lacks(grounds.certificate, log, validations, RULES)
    assert [each.ground for each in found] == [Ground.LINT, Ground.VALIDATION, Ground.CAA]


@pytest.mark.parametrize("at", [0, 50, 99])
@pytest.mark.parametrize("kind", ["none", "failed", "of another account"])
def test_a_name_of_a_hundred_without_proof_is_named(at: int, kind: str) -> None:
    """Baseline Requirements 3.2.2.4"""
    grounds = Grounds(HUNDRED)
    name = HUNDRED[at]
    good = grounds.validations.pop(name)
    if kind == "failed":
        problem = LoggedProblem("dns", "no")
        grounds.validations[name] = msgspec.structs.replace(good, problem=problem)
    elif kind == "of another account":
        grounds.validations[name] = msgspec.structs.replace(good, account="account-2")
    assert lacks_of(grounds) == [(Ground.VALIDATION, name), (Ground.CAA, name)]


def test_a_proof_counts_for_its_time() -> None:
    """Baseline Requirements 4.2.1"""
    grounds = Grounds(ONE, proved=NOW - timedelta(days=10))
    grounds.recheck = CaaLogged(ORDER, (), (look_at("a.example", NOW),))
    assert lacks_of(grounds) == []
    grounds.proved -= timedelta(seconds=1)
    (lack,) = all_lacks_of(grounds)
    assert str(lack) == "validation: a.example: it was proved 10 days, 0:00:01 before"


def test_remote_perspectives_are_counted_where_they_must_be() -> None:
    """Baseline Requirements 3.2.2.9"""
    rules = EvidenceRules(timedelta(days=10), min_remotes=2)
    grounds = Grounds(ONE)
    good = grounds.validations["a.example"]
    far = LoggedLook("far", "APNIC", (), ())
    bad = LoggedLook("bad", "ARIN", (), (), LoggedProblem("dns", "no"))
    grounds.validations["a.example"] = msgspec.structs.replace(good, looks=(*good.looks, far, bad))
    assert [str(each) for each in all_lacks_of(grounds, rules)] == [
        "validation: a.example: 1 remote perspectives agreed, not 2"
    ]
    grounds.validations["a.example"] = msgspec.structs.replace(good, looks=(*good.looks, far, far))
    assert lacks_of(grounds, rules) == []


def test_a_look_at_caa_counts_for_eight_hours() -> None:
    """Baseline Requirements 3.2.2.8"""
    grounds = Grounds(ONE, proved=NOW - timedelta(hours=8))
    assert lacks_of(grounds) == []
    grounds = Grounds(ONE, proved=NOW - timedelta(hours=8, seconds=1))
    (lack,) = all_lacks_of(grounds)
    assert str(lack) == "caa: a.example: it was looked up 8:00:01 before"
    grounds.recheck = CaaLogged(ORDER, (), (look_at("a.example", NOW - timedelta(hours=1)),))
    assert lacks_of(grounds) == []
    # One that began after the signature says nothing of it.
    grounds.recheck = CaaLogged(ORDER, (), (look_at("a.example", NOW + timedelta(hours=1)),))
    assert lacks_of(grounds) == [(Ground.CAA, "a.example")]


@pytest.mark.parametrize("heeds_ttl", [True, False])
def test_a_longer_ttl_counts_where_it_is_heeded(*, heeds_ttl: bool) -> None:
    rules = EvidenceRules(timedelta(days=10), heeds_ttl=heeds_ttl)
    grounds = Grounds(ONE, proved=NOW - timedelta(hours=9))
    look = msgspec.structs.replace(look_at("a.example", grounds.proved), ttl=10 * 3600)
    grounds.validations["a.example"] = validation_of("a.example", look)
    assert (lacks_of(grounds, rules) == []) is heeds_ttl
    short = msgspec.structs.replace(look, ttl=60, began=NOW - timedelta(hours=2))
    grounds.validations["a.example"] = validation_of("a.example", short)
    assert lacks_of(grounds, rules) == []


@pytest.mark.parametrize(
    "change",
    [
        {"decision": "deny"},
        {"decision": "error"},
        {"name": "b.example"},
        {"method": "http-01"},
        {"lookups": ()},
    ],
)
def test_a_look_that_is_not_of_this_name_by_this_method_is_none(change: dict[str, object]) -> None:
    """RFC 8657 §4"""
    grounds = Grounds(ONE)
    look = msgspec.structs.replace(look_at("a.example", NOW), **change)
    grounds.validations["a.example"] = validation_of("a.example", look)
    assert lacks_of(grounds) == [(Ground.CAA, "a.example")]


def test_the_look_of_a_remote_perspective_alone_does_not_count() -> None:
    grounds = Grounds(ONE)
    good = grounds.validations["a.example"]
    denied = msgspec.structs.replace(look_at("a.example", NOW), decision="deny")
    looks = (denied, look_at("a.example", NOW))
    grounds.validations["a.example"] = msgspec.structs.replace(good, caa_looks=looks)
    assert lacks_of(grounds) == [(Ground.CAA, "a.example")]
    remote = msgspec.structs.replace(look_at("a.example", NOW), perspective="far")
    grounds.recheck = CaaLogged(ORDER, (), (denied, remote))
    assert lacks_of(grounds) == [(Ground.CAA, "a.example")]
    grounds.recheck = CaaLogged(ORDER, (), (look_at("a.example", NOW), remote))
    assert lacks_of(grounds) == []


def answers(*asked: tuple[str, str, str, str]) -> tuple[LoggedAnswer, ...]:
    return tuple(LoggedAnswer(*each) for each in asked)


TOP = ("example", "CAA", "secure", "nodata")


@pytest.mark.parametrize(
    ("lookups", "is_good"),
    [
        (answers(("a.example", "CAA", "secure", "records")), True),
        (answers(("a.example", "CAA", "insecure", "nodata"), TOP), True),
        (answers(("a.example", "CAA", "secure", "nodata")), False),
        (answers(TOP), False),
        (answers(("a.example", "A", "secure", "records")), False),
        (answers(("a.example", "CAA", "bogus", "nodata"), TOP), False),
        (answers(("a.example", "CAA", "failed", "records")), False),
        (answers(("b.example", "CAA", "secure", "records")), False),
        (answers(("a.example", "CAA", "secure", "nodata"), TOP, TOP), False),
    ],
)
def test_the_answers_are_a_climb_from_the_name(
    lookups: tuple[LoggedAnswer, ...], *, is_good: bool
) -> None:
    """RFC 8659 §3"""
    grounds = Grounds(ONE)
    look = msgspec.structs.replace(look_at("a.example", NOW), lookups=lookups)
    grounds.validations["a.example"] = validation_of("a.example", look)
    assert (lacks_of(grounds) == []) is is_good


@given(st.integers(2, 20), st.data())
def test_one_name_looked_up_n_times_is_found_out_for_all_others(
    count: int, data: st.DataObject
) -> None:
    """What happened in 2020: the looks are said to be of N names, and the answers are of one."""
    names = HUNDRED[:count]
    one = data.draw(st.sampled_from(names))
    grounds = Grounds(names)
    for name in names:
        grounds.validations[name] = validation_of(name, None)
    looks = tuple(look_at(name, NOW, asked=one) for name in names)
    grounds.recheck = CaaLogged(ORDER, (), looks)
    found = all_lacks_of(grounds)
    assert [each.name for each in found] == [name for name in names if name != one]
    assert {each.ground for each in found} == {Ground.CAA}
    assert all(each.reason.endswith(f"rests on answers about {one}") for each in found)
    # So they are where the looks themselves say which name they are of.
    told = tuple(look_at(one, NOW) for _ in names)
    grounds.recheck = CaaLogged(ORDER, (), told)
    assert [each.name for each in all_lacks_of(grounds)] == [each for each in names if each != one]


@given(st.lists(st.sampled_from(HUNDRED), unique=True, min_size=1, max_size=9), st.data())
def test_what_is_taken_away_is_what_is_missing(names: list[str], data: st.DataObject) -> None:
    grounds = Grounds(tuple(names))
    unproved = data.draw(st.sets(st.sampled_from(names)))
    unseen = data.draw(st.sets(st.sampled_from(names)))
    for name in unseen:
        grounds.validations[name] = validation_of(name, None)
    for name in unproved:
        del grounds.validations[name]
    found = lacks_of(grounds)
    assert {name for ground, name in found if ground is Ground.VALIDATION} == unproved
    assert {name for ground, name in found if ground is Ground.CAA} == unproved | unseen


def test_the_authoritys_own_server_needs_no_order_and_has_no_other_names() -> None:
    """Its settings stand for the proof; serial number, linting and signature are as for all."""
    rules = replace(RULES, own_account=ACCOUNT, own_names=frozenset(ONE))
    grounds = Grounds(ONE, request=None, account="account-2")
    grounds.validations.clear()
    assert lacks_of(grounds, rules) == []
    grounds.lint = None
    assert lacks_of(grounds, rules) == [(Ground.LINT, None)]
    foreign = Grounds(("a.example", "b.example"))
    assert lacks_of(foreign, rules) == [(Ground.VALIDATION, "b.example")]


def test_a_record_that_cannot_be_read_proves_nothing() -> None:
    log = make_log()
    damaged = replace(log[2], document="{}")
    found = find_decisions([log[0], damaged, log[2]])
    assert [each.number for each in found] == [1, 3]
    assert found[1].decision == DECISIONS[2]
    assert found[1].moment == log[2].moment


def test_authorizations_are_those_of_the_order() -> None:
    log = find_decisions(make_log())
    assert find_authorizations(log) == ("authz-1",)
    assert find_authorizations([Logged(1, NOW, HaltLogged(is_halted=True, why="", who=""))]) == ()


def test_what_is_no_validation_of_an_authorization_proves_nothing() -> None:
    grounds = Grounds(ONE)
    odd: dict[str, list[Logged]] = {"authz-a.example": [Logged(1, NOW, DECISIONS[0])]}
    found = find_lacks(grounds.certificate, grounds.order_log, odd, RULES)
    assert [each.ground for each in found] == [Ground.VALIDATION, Ground.CAA]

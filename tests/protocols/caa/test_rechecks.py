"""Which names need another look at CAA: ages, methods, accounts; and what looks come to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.identifiers import ChallengeType, Identifier, parse_identifier
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.caa.decide import CaaDecision, CaaVerdict, Issuance, decide
from letterlock.protocols.caa.rechecks import (
    CaaCheck,
    DueLook,
    ProvedName,
    RecheckRule,
    conclude,
    find_due,
    find_problem,
    make_check,
    make_issuance,
)
from letterlock.protocols.caa.relevant import LookupFailed, NoRecords, RecordSet, Relevant
from letterlock.protocols.dns.answers import CaaRecord, Security

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ISSUERS = ("ca.example",)
ACCOUNTS = ("https://ca.example/acct/1",)
USUAL = RecheckRule()
FORBIDS = CaaRecord(0, b"issue", b";")


def issue(text: str, method: ChallengeType = "dns-01") -> Issuance:
    issuance = make_issuance(parse_identifier(text), ISSUERS, ACCOUNTS, method)
    assert issuance is not None
    return issuance


def proved(
    text: str,
    age: timedelta | None = None,
    *,
    ttl: int | None = None,
    decision: CaaDecision = CaaDecision.ALLOW,
) -> ProvedName:
    """Give a name of an order; None: it was never looked up."""
    identifier = parse_identifier(text)
    issuance = make_issuance(identifier, ISSUERS, ACCOUNTS, "dns-01")
    if issuance is None or age is None:
        return ProvedName(identifier, issuance)
    kept = timedelta(seconds=ttl) if ttl is not None else None
    return ProvedName(identifier, issuance, CaaCheck(issuance, decision, NOW - age, kept))


def judge(text: str, *records: CaaRecord, failure: Security | None = None) -> CaaVerdict:
    issuance = issue(text)
    name = issuance.name
    found: Relevant = NoRecords(name, Security.SECURE)
    if failure is not None:
        found = LookupFailed(name, name, failure, "no answer")
    elif records:
        found = RecordSet(name, name, records, Security.SECURE, 60, name)
    return decide(found, issuance)


HOURS_8, DAY = RecheckRule(timedelta(hours=8)), 86400
BY_TTL = RecheckRule(timedelta(hours=8), heeds_ttl=True)


@pytest.mark.parametrize(
    ("rule", "minutes", "ttl", "is_due"),
    [
        (USUAL, 0, None, False),
        (USUAL, 7 * 60 - 1, 60, False),
        (USUAL, 7 * 60, 60, True),
        (USUAL, 7 * 60, DAY, True),
        (HOURS_8, 7 * 60 + 59, 60, False),
        (HOURS_8, 8 * 60 + 1, 60, True),
        (HOURS_8, 8 * 60 + 1, DAY, True),
        (BY_TTL, 7 * 60 + 59, 60, False),
        (BY_TTL, 8 * 60 + 1, 60, True),
        (BY_TTL, 8 * 60 + 1, None, True),
        (BY_TTL, 8 * 60 + 1, DAY, False),
        (BY_TTL, 24 * 60, DAY, True),
        # A clock that was set back: nobody knows how old the look is.
        (USUAL, -1, 60, True),
    ],
)
def test_a_look_counts_for_its_time(
    rule: RecheckRule, minutes: int, ttl: int | None, *, is_due: bool
) -> None:
    """Baseline Requirements 3.2.2.8: within the TTL of the record, or 8 hours. Rule 224"""
    names = [proved("a.example", timedelta(minutes=minutes), ttl=ttl)]
    assert bool(find_due(names, NOW, rule)) is is_due


@pytest.mark.parametrize("hours", [0, -1, 8.01, 9])
def test_no_setting_lets_looks_be_older_than_the_requirements_do(hours: float) -> None:
    """Baseline Requirements 3.2.2.8"""
    with pytest.raises(ValueError, match="at most 8 hours"):
        RecheckRule(timedelta(hours=hours))


def test_a_name_that_was_never_looked_up_or_not_allowed_is_due() -> None:
    """RFC 8659 §3"""
    young = timedelta(minutes=1)
    names = [
        proved("never.example"),
        proved("denied.example", young, decision=CaaDecision.DENY),
        proved("unknown.example", young, decision=CaaDecision.ERROR),
        proved("fine.example", young),
    ]
    due = find_due(names, NOW, USUAL)
    assert [str(each.issuance) for each in due] == [
        "never.example",
        "denied.example",
        "unknown.example",
    ]
    assert due[0].reason == "it was never looked up"


@pytest.mark.parametrize(
    "other",
    [
        issue("b.example"),
        issue("*.a.example"),
        issue("a.example", "http-01"),
        replace(issue("a.example"), accounts=("https://ca.example/acct/2",)),
        replace(issue("a.example"), issuers=("other.example",)),
    ],
    ids=str,
)
def test_a_look_with_another_name_method_or_account_counts_for_nothing(other: Issuance) -> None:
    """RFC 8657 §3, §4: what was used for the order is what must be allowed. Rule 225"""
    check = CaaCheck(other, CaaDecision.ALLOW, NOW)
    name = ProvedName(parse_identifier("a.example"), issue("a.example"), check)
    (due,) = find_due([name], NOW, USUAL)
    assert due.issuance == issue("a.example")
    assert str(other) in due.reason


def test_addresses_have_no_caa() -> None:
    """Baseline Requirements 3.2.2.8: domain names only."""
    names = [proved("192.0.2.1"), proved("2001:db8::1")]
    assert all(name.issuance is None for name in names)
    assert find_due(names, NOW, USUAL) == ()


def test_a_name_cannot_be_passed_off_as_an_address_or_as_another_name() -> None:
    name = parse_identifier("a.example")
    with pytest.raises(ValueError, match="nobody says"):
        ProvedName(name, None)
    with pytest.raises(ValueError, match=r"is b\.example"):
        ProvedName(name, issue("b.example"))
    with pytest.raises(ValueError, match=r"is a\.example"):
        ProvedName(parse_identifier("192.0.2.1"), issue("a.example"))


def test_an_order_has_each_name_once() -> None:
    with pytest.raises(ValueError, match="once"):
        find_due([proved("a.example"), proved("a.example")], NOW, USUAL)


def test_looks_of_other_names_than_those_due_end_the_order() -> None:
    """The mistake of 2020: one name looked at N times. Rule 226"""
    names = [proved(f"n{number}.example") for number in range(3)]
    due = find_due(names, NOW, USUAL)
    first = judge("n0.example")
    for looks in ([first] * 3, [first], [], [judge(f"n{number}.example") for number in (1, 0, 2)]):
        with pytest.raises(ValueError, match="not those that were due"):
            conclude(names, due, [(look, NOW) for look in looks])


def test_a_look_is_kept_with_the_ttl_of_what_it_found() -> None:
    """Baseline Requirements 3.2.2.8: where there is no record there is no TTL either."""
    verdict = judge("a.example", CaaRecord(0, b"issue", b"ca.example"))
    assert make_check(verdict, NOW) == CaaCheck(
        issue("a.example"), CaaDecision.ALLOW, NOW, timedelta(seconds=60)
    )
    assert make_check(judge("a.example"), NOW).ttl is None


def test_what_is_allowed_is_no_problem() -> None:
    assert find_problem([]) is None
    assert find_problem([judge("a.example"), judge("b.example")]) is None


def test_one_name_that_is_refused_is_the_problem() -> None:
    """RFC 8555 §6.7"""
    problem = find_problem([judge("a.example"), judge("*.b.example", FORBIDS)])
    assert problem == Problem(
        "caa", '*.b.example: CAA 0 issue ";" at b.example: it names nobody, and allows nobody'
    )


@pytest.mark.parametrize("failure", [Security.FAILED, Security.BOGUS])
def test_a_failure_is_never_permission(failure: Security) -> None:
    """RFC 8659 §6.4"""
    problem = find_problem([judge("a.example", failure=failure)])
    assert problem is not None
    assert problem.type == "dns"


def test_several_names_that_are_refused_have_a_subproblem_each() -> None:
    """RFC 8555 §6.7.1; rule 227"""
    denied = [judge(name, FORBIDS) for name in ("a.example", "*.a.example")]
    problem = find_problem([*denied, judge("c.example")])
    assert problem is not None
    assert problem.type == "caa"
    assert [each.identifier for each in problem.subproblems] == [
        Identifier("dns", "a.example"),
        Identifier("dns", "*.a.example"),
    ]
    mixed = find_problem([*denied, judge("d.example", failure=Security.FAILED)])
    assert mixed is not None
    assert mixed.type == "compound"
    assert [each.type for each in mixed.subproblems] == ["caa", "caa", "dns"]


def test_a_name_that_is_refused_twice_is_a_mistake_of_ours() -> None:
    """What could be seen of the mistake of 2020: 100 errors, and one name in all of them."""
    with pytest.raises(ValueError, match="refused twice"):
        find_problem([judge("a.example", FORBIDS)] * 2)


# Any order at all

LABELS = [f"n{number}.example" for number in range(12)]
NAMES = st.sampled_from([*LABELS, *(f"*.{label}" for label in LABELS), "192.0.2.1", "2001:db8::1"])
AGES = st.none() | st.sampled_from([timedelta(minutes=60 * hours - 1) for hours in range(48)])


@st.composite
def orders(draw: st.DrawFn) -> list[ProvedName]:
    texts = draw(st.lists(NAMES, unique=True, max_size=8))
    return [
        proved(
            text,
            draw(AGES),
            ttl=draw(st.sampled_from([None, 0, 60, 30_000, 86_400, 2**31 - 1])),
            decision=draw(st.sampled_from(CaaDecision)),
        )
        for text in texts
    ]


@given(names=orders(), heeds_ttl=st.booleans())
def test_n_names_without_a_look_that_counts_give_n_distinct_looks(
    names: list[ProvedName], *, heeds_ttl: bool
) -> None:
    """Each due look is of a name of the order, in its order, and none is made twice."""
    rule = RecheckRule(heeds_ttl=heeds_ttl)
    due = find_due(names, NOW, rule)
    asked = [str(each.issuance) for each in due]
    assert len(set(asked)) == len(asked)
    counted = {
        name.identifier.value
        for name in names
        if name.check is not None
        and name.check.decision is CaaDecision.ALLOW
        and timedelta(0) <= NOW - name.check.began < rule.find_limit(name.check.ttl)
    }
    dns = [name.identifier.value for name in names if name.identifier.type == "dns"]
    assert asked == [name for name in dns if name not in counted]


@given(orders(), st.data())
def test_an_order_is_refused_exactly_for_the_names_whose_look_forbids(
    names: list[ProvedName], data: st.DataObject
) -> None:
    """RFC 8659 §3: all pass or none is issued; afterwards nothing is due for those that pass."""
    due = find_due(names, NOW, USUAL)
    forbidden = data.draw(st.sets(st.sampled_from([str(each.issuance) for each in due] or ["-"])))
    verdicts = [
        judge(name, FORBIDS) if name in forbidden else judge(name)
        for name in (str(each.issuance) for each in due)
    ]
    checked = conclude(names, due, [(verdict, NOW) for verdict in verdicts])
    refused = {str(verdict.issuance) for verdict in verdicts} & forbidden
    problem = find_problem(verdicts)
    assert (problem is not None) is bool(refused)
    if problem is not None and len(refused) > 1:
        told = [each.identifier.value for each in problem.subproblems if each.identifier]
        assert sorted(told) == sorted(refused)
    elif problem is not None:
        assert problem.detail.startswith(f"{next(iter(refused))}: ")
    assert {str(each.issuance) for each in find_due(checked, NOW, USUAL)} == refused
    assert [name.identifier for name in checked] == [name.identifier for name in names]


def test_what_is_due_is_told_with_its_age() -> None:
    (due,) = find_due([proved("a.example", timedelta(hours=9))], NOW, USUAL)
    assert due == DueLook(issue("a.example"), "it was looked up 9:00:00 ago")

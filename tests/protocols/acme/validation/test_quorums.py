"""How many perspectives must agree."""

from dataclasses import replace
from datetime import date
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.validation.quorums import (
    REGIONS,
    QuorumRules,
    Vote,
    count_may_differ,
    judge_quorum,
    make_public_rules,
)


def vote(agreeing: int, differing: int, regions: int = 2) -> list[Vote]:
    return [
        Vote(f"p{number}", REGIONS[number % regions], number < agreeing)
        for number in range(agreeing + differing)
    ]


@pytest.mark.parametrize(
    ("agreeing", "differing", "is_met"),
    [
        (0, 0, True),
        (1, 0, True),
        (0, 1, False),
        (2, 0, True),
        (1, 1, False),  # in one region alone
        (2, 1, True),
        (1, 2, False),
        (4, 1, True),
        (3, 2, False),
        (4, 2, True),
        (5, 2, True),
        (4, 3, False),
        (8, 2, True),
        (7, 3, False),
    ],
)
def test_few_may_differ(agreeing: int, differing: int, *, is_met: bool) -> None:
    """Baseline Requirements 3.2.2.9: one of 2 to 5, two of 6 and more. Rule 237"""
    quorum = judge_quorum(vote(agreeing, differing), QuorumRules())
    assert quorum.is_met is is_met, quorum
    assert str(quorum) == f"{agreeing}/{agreeing + differing}"


def test_those_that_agree_are_in_two_regions() -> None:
    """Baseline Requirements 3.2.2.9: those that differ count for none."""
    assert not judge_quorum(vote(3, 0, regions=1), QuorumRules()).is_met
    assert judge_quorum(vote(3, 0, regions=1), QuorumRules(min_regions=1)).is_met
    votes = [Vote("a", "ARIN", agrees=True), Vote("b", "ARIN", agrees=True)]
    quorum = judge_quorum([*votes, Vote("c", "APNIC", agrees=False)], QuorumRules())
    assert quorum.regions == ("ARIN",)
    assert quorum.reason == "those that agree are in ARIN, and must be in 2 regions"


@pytest.mark.parametrize(
    ("day", "remotes"),
    [
        (date(2025, 3, 14), 0),
        (date(2025, 3, 15), 2),
        (date(2026, 3, 14), 2),
        (date(2026, 3, 15), 3),
        (date(2026, 6, 14), 3),
        (date(2026, 6, 15), 4),
        (date(2026, 12, 14), 4),
        (date(2026, 12, 15), 5),
        (date(2030, 1, 1), 5),
    ],
)
def test_how_many_are_asked_goes_by_the_date(day: date, remotes: int) -> None:
    """Baseline Requirements 3.2.2.9"""
    rules = make_public_rules(day)
    assert rules.min_remotes == remotes
    assert judge_quorum(vote(remotes, 0), rules).is_met
    if remotes:
        quorum = judge_quorum(vote(remotes - 1, 0), rules)
        assert quorum.reason.endswith(f"at least {remotes} must be")


def test_each_votes_once() -> None:
    with pytest.raises(ValueError, match="votes once"):
        judge_quorum([Vote("a", "ARIN", agrees=True)] * 2, QuorumRules())


VOTES = st.lists(st.tuples(st.sampled_from(REGIONS), st.booleans()), max_size=9).map(
    lambda found: [
        Vote(f"p{number}", region, agrees) for number, (region, agrees) in enumerate(found)
    ]
)


@given(VOTES, st.integers(0, 6), st.randoms())
def test_one_more_that_differs_never_makes_a_quorum(
    votes: list[Vote], min_remotes: int, random: Random
) -> None:
    """And the order of votes never counts."""
    rules = QuorumRules(min_remotes)
    quorum = judge_quorum(votes, rules)
    shuffled = list(votes)
    random.shuffle(shuffled)
    assert judge_quorum(shuffled, rules) == quorum
    assert quorum.is_met == (
        len(votes) >= min_remotes
        and len(votes) - quorum.agreeing <= count_may_differ(len(votes))
        and (len(votes) < 2 or len({each.region for each in votes if each.agrees}) >= 2)
    )
    for number, each in enumerate(votes):
        turned = [*votes[:number], replace(each, agrees=False), *votes[number + 1 :]]
        assert quorum.is_met or not judge_quorum(turned, rules).is_met

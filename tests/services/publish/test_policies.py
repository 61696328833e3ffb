"""The policies of our own domains: what is served, what is noted, and what may follow on it."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy, parse_policy
from letterlock.services.publish.policies import (
    NOTED_AHEAD,
    OwnPolicies,
    check_transitions,
    find_held_hosts,
    find_held_until,
)
from letterlock.services.publish.records import make_policy_id
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.served_policies import ServedPolicies, ServedPolicy
from tests.fakes import START, FakeClock, FakeLog
from tests.services.publish.own import DOMAIN, HOST, POLICY

OTHER = Domain("other.example")
NEW = Domain("mx2.example.org")
DAY = timedelta(days=1)
TESTING = replace(POLICY, mode=MtaStsMode.TESTING)
NONE = MtaStsPolicy(MtaStsMode.NONE, (), DAY)
BOTH = replace(POLICY, mx=(HOST, NEW))


class Notes:
    """`ServedPolicies` in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[Domain, str], ServedPolicy] = {}
        self.fault: str | None = None
        self.noted = asyncio.Event()

    async def note(self, served: ServedPolicy) -> None:
        if self.fault is not None:
            self.noted.set()
            raise StoreUnavailable(self.fault)
        known = self.kept.get((served.domain, served.id), served)
        until = max(known.until, served.until)
        self.kept[served.domain, served.id] = replace(served, since=known.since, until=until)
        self.noted.set()

    async def list_served(self, domain: Domain, now: datetime) -> list[ServedPolicy]:
        found = [each for each in self.kept.values() if each.domain == domain]
        return [each for each in found if each.held_until > now]

    async def forget(self, now: datetime) -> int:
        gone = [key for key, each in self.kept.items() if each.held_until <= now]
        for key in gone:
            del self.kept[key]
        return len(gone)


def served(policy: MtaStsPolicy, until: datetime = START) -> ServedPolicy:
    return ServedPolicy(DOMAIN, make_policy_id(policy), policy, START - DAY, until)


def own(
    policy: MtaStsPolicy = POLICY, store: ServedPolicies | None = None, log: FakeLog | None = None
) -> OwnPolicies:
    domains = (DOMAIN, OTHER)
    return OwnPolicies(domains, policy, store or Notes(), FakeClock(), log or FakeLog())


def test_each_domain_gets_the_policy_and_no_other_does() -> None:
    """RFC 8461 §3.2"""
    policies = own()
    octets = policies.find(DOMAIN)
    assert octets is not None
    assert parse_policy(octets) == POLICY
    assert policies.find(OTHER) == octets
    assert policies.find(Domain("elsewhere.example")) is None


def test_what_no_file_can_say_is_refused() -> None:
    with pytest.raises(ValueError, match="no policy file"):
        own(replace(POLICY, mx=()))


async def test_what_is_served_is_noted_a_little_ahead() -> None:
    store = Notes()
    await own(store=store).note()
    assert {key[0] for key in store.kept} == {DOMAIN, OTHER}
    (kept,) = await store.list_served(DOMAIN, START)
    assert (kept.policy, kept.id) == (POLICY, make_policy_id(POLICY))
    assert (kept.since, kept.until) == (START, START + NOTED_AHEAD)


async def test_a_store_that_is_away_is_told_of_once_and_tried_again() -> None:
    store, log = Notes(), FakeLog()
    store.fault = "the disk is full"
    policies = own(store=store, log=log)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(policies.run())
        await store.noted.wait()
        # What is served does not wait for it.
        assert policies.find(DOMAIN) is not None
        running.cancel()
    (line,) = log.texts
    assert line.endswith("the disk is full")


@pytest.mark.parametrize(
    ("history", "held"),
    [
        ([], {}),
        ([served(POLICY)], {NEW: START + 14 * DAY}),
        ([served(BOTH)], {}),
        ([served(replace(POLICY, mx=("*.example.org",)))], {}),
        ([served(TESTING)], {}),
        ([served(NONE)], {}),
        ([served(POLICY, START - 14 * DAY)], {}),
        ([served(POLICY, START - 13 * DAY)], {NEW: START + DAY}),
        (
            [served(POLICY, START - DAY), served(replace(POLICY, max_age=DAY))],
            {NEW: START + 13 * DAY},
        ),
    ],
)
def test_new_host_is_forbidden_while_somebody_may_hold_a_policy_without_it(
    history: list[ServedPolicy], held: dict[Domain, datetime]
) -> None:
    """RFC 8461 §5.1: a policy is kept to until its max_age is over; rule 150"""
    assert find_held_hosts(history, (HOST, NEW), START) == held


@pytest.mark.parametrize(
    ("history", "until"),
    [
        ([], None),
        ([served(NONE)], None),
        ([served(POLICY, START - 2 * DAY), served(TESTING)], START + 14 * DAY),
        ([served(POLICY, START - 20 * DAY)], None),
    ],
)
def test_policy_is_held_for_the_longest_max_age_that_was_served(
    history: list[ServedPolicy], until: datetime | None
) -> None:
    """RFC 8461 §8.3; rule 150"""
    assert find_held_until(history, START) == until


@pytest.mark.parametrize(
    ("policy", "history", "expected"),
    [
        (POLICY, [served(POLICY)], []),
        (BOTH, [served(BOTH), served(POLICY, START - DAY)], [
            f"warning mta-sts-mx-forbidden {NEW}"
        ]),
        (BOTH, [served(BOTH), served(TESTING, START - DAY)], []),
        (NONE, [served(NONE), served(POLICY)], [
            f"warning mta-sts-mx-forbidden {NEW}", f"note mta-sts-held mta-sts.{DOMAIN}",
        ]),
        (NONE, [served(NONE)], [f"note mta-sts-removable mta-sts.{DOMAIN}"]),
        (replace(NONE, max_age=14 * DAY), [], [
            f"note mta-sts-removable mta-sts.{DOMAIN}", f"note mta-sts-removable mta-sts.{DOMAIN}",
        ]),
        (None, [served(BOTH)], [f"warning mta-sts-held mta-sts.{DOMAIN}"]),
        (None, [], []),
    ],
)  # fmt: skip
def test_what_follows_from_policies_that_were_served_is_told(
    policy: MtaStsPolicy | None, history: list[ServedPolicy], expected: list[str]
) -> None:
    """RFC 8461 §8.1, §8.3; rule 150"""
    hosts = (HOST, NEW) if policy != POLICY else (HOST,)
    found = check_transitions(DOMAIN, policy, hosts, history, START)
    assert [f"{each.severity} {each.code} {each.name}" for each in found] == expected


def test_the_policy_of_now_forbids_what_it_does_not_list_in_another_way() -> None:
    """That is `mta-sts-mx-unlisted`, and no date makes it better."""
    assert list(check_transitions(DOMAIN, POLICY, (HOST, NEW), [served(POLICY)], START)) == []


def test_the_date_is_told_from_which_it_is_safe() -> None:
    history = [served(POLICY)]
    (finding,) = check_transitions(DOMAIN, BOTH, (HOST, NEW), history, START)
    assert "may hold until 2026-03-15T12:00:00Z does not list mx2.example.org" in finding.text

"""RFC 8461 §3, §5.1: finding a domain's policy, with DNS, policy host and clock held still."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.mta_sts.policy import (
    MtaStsMode,
)
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.fakes import START
from tests.services.discover.mta_sts_processes import (
    DAY,
    FETCH_ERROR,
    HOUR,
    LONG,
    MINUTE,
    NAME,
    NO_CONNECTION,
    RECORD_NAME,
    SECOND,
    Process,
    policy,
)


async def test_the_first_mail_waits_for_the_policy(node: Process) -> None:
    """RFC 8461 §3: record, then policy."""
    facts = await node.find()
    assert facts.record == "v=STSv1; id=1;"
    assert facts.id == "1"
    assert facts.policy is not None
    assert facts.policy.mode is MtaStsMode.ENFORCE
    assert facts.policy_text == policy().decode()
    assert facts.fetched == START
    assert facts.expires == START + timedelta(weeks=1)
    assert (facts.error, facts.result_type) == (None, None)
    assert node.source.fetched == [NAME]
    assert node.log.texts == ["example.org: MTA-STS policy fetched: mode enforce, id 1"]


async def test_a_domain_without_a_record_has_no_policy_and_is_not_fetched_for(
    node: Process,
) -> None:
    """RFC 8461 §3.1 (rule 60); the negative answer is kept."""
    node.withdraw()
    assert await node.find() == MtaStsFacts(NAME)
    assert await node.find() == MtaStsFacts(NAME)
    assert node.fetches == 0
    assert node.resolver.asked == [(RECORD_NAME, "TXT")]


async def test_a_name_too_long_for_a_record_has_none(node: Process) -> None:
    long = Domain(".".join(["a" * 61] * 4))
    assert await node.finder.find(long) == MtaStsFacts(long)
    assert node.resolver.asked == []


@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
async def test_without_an_answer_mail_goes_as_without_a_policy(
    node: Process, security: Security
) -> None:
    """RFC 8461 §3.3 (rule 72): nothing is cached, so nothing is known to be demanded."""
    node.resolver.fail(RECORD_NAME, "TXT", security)
    facts = await node.find()
    assert facts.policy is None
    assert facts.error is not None
    assert facts.error.startswith("the MTA-STS record cannot be looked up")
    assert facts.result_type is None


def answer_wrongly(node: Process) -> None:
    node.publish("not-an-id")


def answer_bogus(node: Process) -> None:
    node.resolver.fail(RECORD_NAME, "TXT", Security.BOGUS)


def answer_nothing(node: Process) -> None:
    node.resolver.fail(RECORD_NAME, "TXT")


@pytest.mark.parametrize(
    "trouble", [answer_wrongly, answer_bogus, answer_nothing, Process.withdraw]
)
async def test_whatever_dns_says_a_cached_policy_holds(
    node: Process, trouble: Callable[[Process], None]
) -> None:
    """RFC 8461 §3.1, §3.3, §5.1 (rules 63, 73): and the failure is reportable (§6)."""
    await node.find()
    trouble(node)
    facts = await node.find_later(HOUR)
    assert facts.policy is not None
    assert facts.error is not None
    assert facts.result_type is FETCH_ERROR
    assert facts.id is None
    assert node.fetches == 1


async def test_a_policy_that_expired_does_not_hold(node: Process) -> None:
    """RFC 8461 §5.1 (rule 145): to the second, also in memory."""
    node.source.outcome = policy(max_age=MINUTE)
    node.publish("1", ttl=3600)
    await node.find()
    node.source.outcome = NO_CONNECTION
    assert (await node.find_later(MINUTE)).policy is not None
    facts = await node.find_later(SECOND)
    assert facts.policy is None
    assert facts.fetched is None
    assert facts.error == NO_CONNECTION.reason
    assert node.fetches == 2


async def test_the_same_id_makes_a_policy_no_younger(node: Process) -> None:
    """RFC 8461 §3.3, §5.1 (rule 144): max_age counts from the last real fetch."""
    node.source.outcome = policy(max_age=2 * DAY)
    await node.find()
    node.source.outcome = NO_CONNECTION
    for _ in range(8):
        facts = await node.find_later(6 * HOUR)
        assert facts.policy is not None
        assert facts.fetched == START
        await node.settle()
    assert (await node.find_later(HOUR)).policy is None


async def test_a_failing_fetch_is_not_tried_again_for_five_minutes(node: Process) -> None:
    """RFC 8461 §3.3 (rule 70): nor by another process, nor after a restart."""
    node.source.outcome = NO_CONNECTION
    facts = await node.find()
    assert facts.policy is None
    assert facts.error == NO_CONNECTION.reason
    assert facts.result_type is FETCH_ERROR
    for _ in range(4):
        assert (await node.find_later(MINUTE)).error == NO_CONNECTION.reason
    assert node.fetches == 1
    node.source.outcome = policy()
    assert (await node.find_later(MINUTE)).policy is not None
    assert node.fetches == 2
    assert len([text for text in node.log.texts if "warning" in text]) == 1


async def test_another_id_is_fetched_before_the_five_minutes_are_over(node: Process) -> None:
    """RFC 8461 §3.3: they are for one id."""
    node.source.outcome = NO_CONNECTION
    await node.find()
    node.publish("2")
    node.source.outcome = policy()
    facts = await node.find_later(MINUTE)
    assert facts.policy is not None
    assert facts.error is None


async def test_an_invalid_policy_is_none_and_is_reportable(node: Process) -> None:
    """RFC 8460 §4.3.2.2, RFC 8461 §6."""
    node.source.outcome = b"version: STSv2\n"
    facts = await node.find()
    assert facts.policy is None
    assert facts.error is not None
    assert facts.result_type is ResultType.STS_POLICY_INVALID


async def test_after_a_day_a_policy_is_given_at_once_and_refreshed_behind(node: Process) -> None:
    """RFC 8461 §3.3 (rule 74): also with the same id."""
    await node.find()
    node.source.gate.clear()
    node.source.outcome = policy("new.example.org")
    facts = await node.find_later(DAY)
    assert facts.policy is not None
    assert facts.policy.mx == ("mx.example.org",)
    assert facts.error is None
    node.source.gate.set()
    await node.settle()
    facts = await node.find()
    assert facts.policy is not None
    assert facts.policy.mx == ("new.example.org",)
    assert facts.policy_text == policy("new.example.org").decode()
    assert facts.fetched == START + DAY


async def test_a_refresh_that_fails_leaves_the_policy_and_is_told(node: Process) -> None:
    """RFC 8461 §3.3: administrators SHOULD be alerted; §6: it is reportable."""
    await node.find()
    node.source.outcome = NO_CONNECTION
    await node.find_later(DAY)
    await node.settle()
    facts = await node.find()
    assert facts.policy is not None
    assert facts.fetched == START
    assert facts.error == NO_CONNECTION.reason
    assert facts.result_type is FETCH_ERROR
    assert node.log.texts[-1] == (
        f"warning: example.org: no MTA-STS policy fetched: {NO_CONNECTION.reason}; "
        "the one of 2026-03-01T12:00:00Z holds until 2026-03-08T12:00:00Z"
    )


async def test_another_id_is_fetched_behind_while_the_old_policy_holds(node: Process) -> None:
    """RFC 8461 §5.1: the fetch may be asynchronous."""
    await node.find()
    node.publish("2")
    node.source.outcome = policy("new.example.org")
    node.source.gate.clear()
    facts = await node.find_later(HOUR)
    assert facts.policy is not None
    assert facts.policy.mx == ("mx.example.org",)
    assert facts.id == "2"
    node.source.gate.set()
    await node.settle()
    facts = await node.find()
    assert facts.policy is not None
    assert facts.policy.mx == ("new.example.org",)


async def test_before_a_failure_is_reported_another_id_is_waited_for(node: Process) -> None:
    """RFC 8461 §5, §5.1 (rule 80): what memory holds does not hide it."""
    node.publish("1", ttl=3600)
    await node.find()
    node.publish("2")
    node.source.outcome = policy("new.example.org")
    assert (await node.find()).id == "1"
    facts = await node.finder.recheck(NAME)
    assert facts.policy is not None
    assert facts.policy.mx == ("new.example.org",)
    assert (await node.find()) == facts


async def test_a_recheck_waits_for_its_own_id_not_for_an_older_fetch(node: Process) -> None:
    """RFC 8461 §5.1: the record changed twice in a short time."""
    await node.find()
    node.publish("2")
    node.source.gate.clear()
    node.source.begun.clear()
    node.source.outcome = policy("second.example.org")
    await node.find_later(HOUR)
    await asyncio.wait_for(node.source.begun.wait(), LONG)
    node.publish("3")
    recheck = asyncio.ensure_future(node.finder.recheck(NAME))
    node.source.gate.set()
    facts = await asyncio.wait_for(recheck, LONG)
    assert facts.id == "3"
    assert node.fetches == 3


async def test_a_recheck_of_the_same_id_fetches_nothing(node: Process) -> None:
    facts = await node.find()
    assert await node.finder.recheck(NAME) == facts
    assert node.fetches == 1


async def test_a_fetched_mode_none_replaces_the_policy_and_goes_with_the_record(
    node: Process,
) -> None:
    """RFC 8461 §5, §8.3 (rule 143)."""
    await node.find()
    node.publish("2")
    node.source.outcome = policy(mode="none")
    facts = await node.finder.recheck(NAME)
    assert facts.policy is not None
    assert facts.policy.mode is MtaStsMode.NONE
    node.resolver.fail(RECORD_NAME, "TXT")
    assert (await node.find_later(HOUR)).policy is not None
    node.withdraw()
    assert await node.find_later(HOUR) == MtaStsFacts(NAME)
    assert await node.store.load(NAME) is None
    assert node.log.texts[-1] == "example.org: no MTA-STS policy any more"


async def test_a_failing_refresh_of_mode_none_alerts_nobody(node: Process) -> None:
    """RFC 8461 §3.3."""
    node.source.outcome = policy(mode="none")
    await node.find()
    node.source.outcome = NO_CONNECTION
    await node.find_later(DAY)
    await node.settle()
    assert node.fetches == 2
    assert not any("warning" in text for text in node.log.texts)

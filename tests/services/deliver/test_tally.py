"""What deliveries count as in TLS reports: real sessions of each kind, policy by policy.

RFC 8460 §4.2: what was negotiated in compliance with the policy, and what was not.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.protocols.dns.answers import Security
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.sessions import Outcome, Session
from letterlock.services.queue.outcomes import Delivery, Result
from letterlock.storage.sqlite.tls_sessions import load_day
from tests.misbehaving import Conduct, serving
from tests.services.deliver.outbound import DOMAIN, HOST, Outbound, leaf, only, sending
from tests.services.deliver.published import (
    ANOTHERS,
    GONE,
    NO,
    SECOND_HOST,
    UNUSABLE,
    Hosts,
    going_to,
    tlsa,
    untrusted,
)

STS, TLSA, NONE = PolicyType.STS, PolicyType.TLSA, PolicyType.NO_POLICY_FOUND
Told = list[tuple[str, bool, list[str]]]


def counting(node: Outbound) -> None:
    """Switch it on, before the first delivery."""
    node.is_counting = True


def tell(sessions: tuple[Session, ...]) -> list[Told]:
    """Give what the sessions came to: type, failed or not, each failure's name and reason."""
    return [[_tell(outcome) for outcome in session.outcomes] for session in sessions]


def _tell(outcome: Outcome) -> tuple[str, bool, list[str]]:
    named = [f"{each.result_type}: {each.reason_code}" for each in outcome.failures]
    return outcome.policy.type, outcome.is_failed, named


async def send(hosts: Hosts, **envelope: object) -> Delivery:
    counting(hosts.node)
    return await hosts.node.send(**envelope)


PLAIN = [
    pytest.param(lambda: Conduct(leaf()), [], False, id="good"),
    pytest.param(lambda: Conduct(untrusted()), [], False, id="no policy, no certificate to judge"),
    pytest.param(
        lambda: Conduct(has_starttls=False),
        ["starttls-not-supported: starttls-not-offered"], True, id="no STARTTLS",
    ),
    pytest.param(
        lambda: Conduct(leaf(), answers={"STARTTLS": "454 4.7.0 no"}),
        ["starttls-not-supported: smtp-starttls-reply-code-454"], True, id="STARTTLS refused",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("conduct", "failures", "is_failed"), PLAIN)
async def test_without_a_policy_a_session_fails_that_comes_to_no_tls(
    conduct: Callable[[], Conduct], failures: list[str], is_failed: bool, tmp_path: Path
) -> None:
    """RFC 8460 §4.2, §4.4 (no-policy-found); rule 200."""
    async with going_to(tmp_path, conduct(), mx=Security.INSECURE) as hosts:
        delivery = await send(hosts)
    assert only(delivery).result is Result.DELIVERED
    assert tell(delivery.sessions) == [[(NONE, is_failed, failures)]]
    assert delivery.sessions[0].outcomes[0].policy.domain == DOMAIN


async def test_tls_that_fails_counts_and_the_clear_text_after_it_does_not(tmp_path: Path) -> None:
    """RFC 8460 §4.2.2; rule 200."""
    conduct = Conduct(leaf(), instead_of_tls=b"no TLS\r\n")
    async with going_to(tmp_path, conduct, mx=Security.INSECURE) as hosts:
        delivery = await send(hosts)
        assert hosts.connections == [2]
    assert only(delivery).result is Result.DELIVERED
    ((outcome,),) = tell(delivery.sessions)
    assert outcome[:2] == (NONE, True)
    assert outcome[2][0].startswith("validation-failure: ")


FAULTS = [
    pytest.param(lambda: Conduct(leaf()), False, [], id="good"),
    pytest.param(
        lambda: Conduct(leaf(("wrong.example",))), True,
        ["certificate-host-mismatch: name-mismatch"], id="wrong name",
    ),
    pytest.param(
        lambda: Conduct(untrusted()), True,
        ["certificate-not-trusted: self-signed-certificate"], id="untrusted",
    ),
    pytest.param(
        lambda: Conduct(has_starttls=False), True,
        ["starttls-not-supported: starttls-not-offered"], id="no STARTTLS",
    ),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["enforce", "testing"])
@pytest.mark.parametrize(("conduct", "is_failed", "failures"), FAULTS)
async def test_a_session_fails_that_does_not_meet_the_policy_in_either_mode(
    conduct: Callable[[], Conduct], is_failed: bool, failures: list[str], mode: str, tmp_path: Path
) -> None:
    """RFC 8460 §4.2.2, §4.5; RFC 8461 §5 (testing); rule 200."""
    async with going_to(tmp_path, conduct(), mx=Security.INSECURE) as hosts:
        hosts.publish_policy(mode=mode)
        delivery = await send(hosts)
    is_sent = mode == "testing" or not is_failed
    assert only(delivery).result is (Result.DELIVERED if is_sent else Result.DEFERRED)
    assert tell(delivery.sessions) == [[(STS, is_failed, failures)]]
    (session,) = delivery.sessions
    policy = session.outcomes[0].policy
    assert (policy.domain, policy.mx_hosts) == (DOMAIN, (f"*.{DOMAIN}",))
    assert f"mode: {mode}" in policy.strings
    for failure in session.outcomes[0].failures:
        assert failure.receiving_mx_hostname == HOST
        # What it calls itself is its own business: RFC 8460 §4.4.
        assert failure.receiving_mx_helo == "mx.test"
        assert failure.receiving_ip == hosts.servers[0].ip
        assert failure.sending_mta_ip is not None
        assert failure.sending_mta_ip.startswith("127.")


@pytest.mark.parametrize(("mode", "connections"), [("enforce", 0), ("testing", 1)])
async def test_a_host_that_the_policy_does_not_list_counts_once(
    mode: str, connections: int, tmp_path: Path
) -> None:
    """RFC 8461 §4.1, RFC 8460 §4.3.1; rule 200."""
    async with going_to(tmp_path, Conduct(leaf()), mx=Security.INSECURE) as hosts:
        hosts.publish_policy("other.example", mode=mode)
        delivery = await send(hosts)
        assert hosts.connections == [connections]
    name = "validation-failure: mtasts-policy-mx-mismatch"
    assert tell(delivery.sessions) == [[(STS, True, [name])]]


async def test_a_policy_that_cannot_be_fetched_counts_as_failed(tmp_path: Path) -> None:
    """RFC 8460 §4.3.2.2: its name, and no host; rule 200."""
    async with going_to(tmp_path, Conduct(leaf()), mx=Security.INSECURE) as hosts:
        hosts.publish_policy()
        hosts.source.outcome = GONE
        delivery = await send(hosts)
    assert tell(delivery.sessions) == [[(STS, True, ["sts-policy-fetch-error: no-policy"])]]
    (failure,) = delivery.sessions[0].outcomes[0].failures
    assert failure.receiving_mx_hostname is failure.receiving_ip is failure.sending_mta_ip is None


async def test_a_fetch_that_fails_is_told_beside_the_success_that_a_cached_policy_had(
    tmp_path: Path,
) -> None:
    """RFC 8461 §5.1, RFC 8460 §4.3.2.2; rule 200."""
    async with going_to(tmp_path, Conduct(leaf()), mx=Security.INSECURE) as hosts:
        hosts.publish_policy()
        await hosts.look_again()
        hosts.source.outcome = GONE
        hosts.node.resolver.set(f"_mta-sts.{DOMAIN}", "TXT", b"v=STSv1; id=2;")
        hosts.node.clock.move(timedelta(days=1))
        await hosts.look_again()
        delivery = await send(hosts)
    cached = "sts-policy-fetch-error: fallback-to-cached-policy"
    assert tell(delivery.sessions) == [[(STS, False, [cached])]]


async def test_tlsa_records_count_under_the_host(tmp_path: Path) -> None:
    """RFC 8460 §1.1: the policy domain is the TLSA base domain; rule 200."""
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        hosts.publish_tlsa(HOST, ANOTHERS, tlsa(leaf()))
        delivery = await send(hosts)
    assert tell(delivery.sessions) == [[(TLSA, False, [])]]
    policy = delivery.sessions[0].outcomes[0].policy
    assert (policy.domain, delivery.sessions[0].domain) == (HOST, DOMAIN)
    assert policy.strings == tuple(sorted(map(str, (ANOTHERS, tlsa(leaf())))))


TLSA_FAULTS = [
    pytest.param(lambda hosts: hosts.publish_tlsa(HOST, ANOTHERS),
                 "validation-failure: dane-no-match", id="no match"),
    pytest.param(lambda hosts: hosts.publish_tlsa(HOST, UNUSABLE),
                 "tlsa-invalid: all-unusable-records", id="none can be used"),
    pytest.param(lambda hosts: hosts.fail_tlsa(HOST),
                 "dnssec-invalid: tlsa-lookup-failed", id="lookup failed"),
]  # fmt: skip


@pytest.mark.parametrize(("publish", "name"), TLSA_FAULTS)
async def test_what_is_wrong_with_tlsa_records_has_its_name(
    publish: Callable[[Hosts], None], name: str, tmp_path: Path
) -> None:
    """RFC 8460 §4.3.2.1; rule 200."""
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        publish(hosts)
        delivery = await send(hosts)
    assert tell(delivery.sessions) == [[(TLSA, True, [name])]]


async def test_missing_dane_counts_where_the_operator_demands_it(tmp_path: Path) -> None:
    """RFC 8460 §4.3.2.1 (dane-required); rule 200."""
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        hosts.node.level = Level.DANE_ONLY
        delivery = await send(hosts)
    name = "dane-required: no-secure-tlsa-records"
    assert tell(delivery.sessions) == [[(TLSA, True, [name])]]


async def test_both_policies_have_their_own_outcome(tmp_path: Path) -> None:
    """RFC 8460 §4: several policies of one session; rule 200."""
    certificate = untrusted()
    async with going_to(tmp_path, Conduct(certificate)) as hosts:
        hosts.publish_policy()
        hosts.publish_tlsa(HOST, tlsa(certificate))
        delivery = await send(hosts)
    named = ["certificate-not-trusted: self-signed-certificate"]
    assert tell(delivery.sessions) == [[(STS, True, named), (TLSA, False, [])]]


async def test_a_handshake_that_fails_fails_both(tmp_path: Path) -> None:
    """RFC 8460 §4.3.1; rule 200."""
    async with going_to(tmp_path, Conduct(leaf(), instead_of_tls=b"no TLS\r\n")) as hosts:
        hosts.publish_policy()
        hosts.publish_tlsa(HOST, tlsa(leaf()))
        delivery = await send(hosts)
    assert [outcome[:2] for outcome in tell(delivery.sessions)[0]] == [(STS, True), (TLSA, True)]


async def test_each_host_that_is_tried_counts(tmp_path: Path) -> None:
    """Rule 200."""
    second = Conduct(leaf((SECOND_HOST,)))
    async with going_to(tmp_path, Conduct(has_starttls=False), second) as hosts:
        hosts.publish_policy()
        delivery = await send(hosts)
    assert only(delivery).result is Result.DELIVERED
    name = "starttls-not-supported: starttls-not-offered"
    assert tell(delivery.sessions) == [[(STS, True, [name])], [(STS, False, [])]]


async def test_what_failed_by_a_policy_that_has_changed_does_not_count(tmp_path: Path) -> None:
    """RFC 8461 §5.1: it is not the domain's any more."""
    async with going_to(tmp_path, Conduct(leaf()), mx=Security.INSECURE) as hosts:
        hosts.publish_policy("other.example")
        await hosts.look_again()
        hosts.publish_policy(identifier="2")
        delivery = await send(hosts)
    assert only(delivery).result is Result.DELIVERED
    assert tell(delivery.sessions) == [[(STS, False, [])]]


async def test_what_breaks_before_starttls_is_no_session_and_what_breaks_behind_it_is(
    tmp_path: Path,
) -> None:
    """RFC 8460 §4.3.4: what fails for a moment is not reported."""
    refusing = Conduct(leaf(), answers={"banner": "421 4.3.2 later"})
    late = Conduct(leaf(), under_tls={"EHLO": "421 4.3.2 later"})
    async with going_to(tmp_path, refusing, late, mx=Security.INSECURE) as hosts:
        delivery = await send(hosts)
    assert only(delivery).result is Result.DEFERRED
    assert tell(delivery.sessions) == [[(NONE, False, [])]]


async def test_a_connection_that_is_used_again_is_one_session(tmp_path: Path) -> None:
    """Rule 200: each once."""
    async with going_to(tmp_path, Conduct(leaf()), mx=Security.INSECURE) as hosts:
        counting(hosts.node)
        first, second = await hosts.node.send_and_settle(), await hosts.node.send_and_settle()
        assert hosts.connections == [1]
    assert (len(first.sessions), len(second.sessions)) == (1, 0)


async def test_mail_that_goes_in_spite_of_tls_is_not_counted(tmp_path: Path) -> None:
    """RFC 8460 §3, RFC 8689 §5: so no report is reported about; rule 203."""
    async with going_to(tmp_path, Conduct(has_starttls=False)) as hosts:
        delivery = await send(hosts, tls_demand=NO)
    assert only(delivery).result is Result.DELIVERED
    assert delivery.sessions == ()


@pytest.mark.parametrize("level", [Level.NONE, Level.MAY])
async def test_nothing_is_counted_where_no_tls_is_asked_for_or_it_is_switched_off(
    level: Level, tmp_path: Path
) -> None:
    async with going_to(tmp_path, Conduct(leaf()), mx=Security.INSECURE) as hosts:
        hosts.node.level = level
        if level is Level.NONE:
            counting(hosts.node)
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert delivery.sessions == ()


async def test_what_is_settled_is_counted_on_its_day_and_once(tmp_path: Path) -> None:
    """RFC 8460 §4.1 (a day of UTC); rule 200. In one transaction with the delivery."""
    async with serving(Conduct(has_starttls=False)) as servers, sending(tmp_path, servers) as node:
        counting(node)
        await node.save()
        claim = await node.claim()
        delivery = await node.deliver(claim)
        day = node.clock.now().date()
        path = tmp_path / "queue" / "shard-000.db"
        assert await load_day(path, day) == []
        await node.settlements.settle(claim, delivery, node.store)
        # The claim is no longer ours: nothing of it counts once more.
        await node.settlements.settle(claim, delivery, node.store)
        (counted,) = await load_day(path, day)
    assert counted.count == 1
    assert (counted.session,) == delivery.sessions
    assert counted.session.outcomes[0].failures[0].receiving_mx_hostname == HOST

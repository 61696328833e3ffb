"""Mail to domains with an MTA-STS policy: met, not met, changed, gone, or not to be read.

RFC 8461 §5. What a server was told is what counts.
"""

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from ssl import TLSVersion

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import MxRecord, Security
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.queue.outcomes import Result
from tests.misbehaving import GOOD_EXTENSIONS, Conduct, TlsConduct
from tests.services.deliver.outbound import DOMAIN, HOST, leaf, only, stories
from tests.services.deliver.published import (
    GONE,
    REQUIRETLS,
    SECOND_HOST,
    assert_waits,
    going_to,
    result_types,
    tlsa,
    untrusted,
)


async def test_a_host_that_is_listed_and_proves_itself_is_verified(tmp_path: Path) -> None:
    """RFC 8461 §4.1, §4.2, §7.1; rules 76, 77, 82, 147."""
    async with going_to(tmp_path, Conduct(leaf()), mx=Security.INSECURE) as hosts:
        hosts.publish_policy()
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert hosts.word() == "Verified"
    assert hosts.servers[0].seen.snis == [HOST]
    requirement = stories(delivery)[0]["requirement"]
    assert (requirement["level"], requirement["source"]) == ("verify", "mta-sts")
    assert f"the policy of {DOMAIN} enforces, and lists {HOST}" in requirement["reason"]


@pytest.mark.parametrize("version", [TLSVersion.TLSv1_2, TLSVersion.TLSv1_3])
async def test_what_is_published_can_be_met_with_tls_1_2_as_well(
    version: TLSVersion, tmp_path: Path
) -> None:
    """RFC 8461 §7.2: MUST support TLS 1.2; rule 83."""
    conduct = Conduct(leaf(), TlsConduct(versions=(version, version)))
    async with going_to(tmp_path, conduct) as hosts:
        hosts.publish_policy()
        hosts.publish_tlsa(HOST, tlsa(leaf()))
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert stories(delivery)[0]["handshake"]["version"] == version.name.replace("_", ".")


FAULTS = [
    pytest.param(
        lambda: Conduct(leaf(("wrong.example",))), "certificate-host-mismatch", id="wrong name"
    ),
    pytest.param(lambda: Conduct(untrusted()), "certificate-not-trusted", id="untrusted"),
    pytest.param(lambda: Conduct(has_starttls=False), "starttls-not-supported", id="no STARTTLS"),
    pytest.param(
        lambda: Conduct(leaf(), answers={"STARTTLS": "454 4.7.0 no"}),
        "starttls-not-supported",
        id="STARTTLS refused",
    ),
    pytest.param(
        lambda: Conduct(leaf(), instead_of_tls=b"no TLS\r\n"), "validation-failure", id="no TLS"
    ),
]


@pytest.mark.parametrize(("conduct", "result_type"), FAULTS)
async def test_an_enforced_policy_keeps_mail_from_a_host_that_does_not_meet_it(
    conduct: Callable[[], Conduct], result_type: str, tmp_path: Path
) -> None:
    """RFC 8461 §4.2, §5; rules 77, 78, 80, 81, 147: the next host is tried, in the MX's order."""
    second = Conduct(leaf((SECOND_HOST,)))
    async with going_to(tmp_path, conduct(), second) as hosts:
        hosts.publish_policy()
        delivery = await hosts.node.send()
        assert only(delivery).result is Result.DELIVERED
        assert result_types(delivery) == [result_type, None]
        hosts.publish_policy(HOST, identifier="2")
        await hosts.look_again()
        assert only(await hosts.node.send()).result is Result.DEFERRED
    assert hosts.mails == [0, 1]


async def test_a_host_that_an_enforced_policy_does_not_list_is_not_connected_to(
    tmp_path: Path,
) -> None:
    """RFC 8461 §4.1, §5; rules 78, 147: 4.7.5, and the reason names what is listed."""
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        hosts.publish_policy("mx.elsewhere.example")
        outcome = only(await hosts.node.send())
    assert_waits(outcome, "4.7.5", f"does not list {HOST}; it lists mx.elsewhere.example")
    assert outcome.tls_result is ResultType.VALIDATION_FAILURE
    assert hosts.connections == [0]


@pytest.mark.parametrize(("conduct", "result_type"), FAULTS)
async def test_a_policy_in_testing_is_verified_recorded_and_stops_nothing(
    conduct: Callable[[], Conduct], result_type: str, tmp_path: Path
) -> None:
    """RFC 8461 §5; rules 79, 84."""
    async with going_to(tmp_path, conduct()) as hosts:
        hosts.publish_policy(mode="testing")
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert result_type in result_types(delivery)
    assert stories(delivery)[0]["requirement"]["is_testing"]


async def test_a_host_that_a_policy_in_testing_does_not_list_gets_its_mail(tmp_path: Path) -> None:
    """RFC 8461 §5; rule 79: recorded as what a report would name."""
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        hosts.publish_policy("mx.elsewhere.example", mode="testing")
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert result_types(delivery) == ["validation-failure"]


async def test_by_a_smart_host_the_policy_is_that_of_its_domain(tmp_path: Path) -> None:
    """RFC 8461 §3.4; rule 75: neither the recipient's, nor any for a host in brackets."""
    async with going_to(tmp_path, Conduct(leaf(("wrong.example",)))) as hosts:
        hosts.publish_policy()
        node, port = hosts.node, hosts.servers[0].port
        node.resolver.set(HOST, "A", ip_address(hosts.servers[0].ip))
        for next_hop, result in ((DOMAIN, Result.DEFERRED), (f"[{HOST}]", Result.DELIVERED)):
            await node.save("bob@elsewhere.example")
            claim = await node.claim()
            delivery = await node.remote.deliver(claim, parse_next_hop(next_hop, port), node.store)
            assert only(delivery).result is result
    assert hosts.mails == [1]


async def test_a_policy_of_mode_none_is_no_policy(tmp_path: Path) -> None:
    """RFC 8461 §5, §8.3; rule 143: also in place of one that was enforced."""
    async with going_to(tmp_path, Conduct(has_starttls=False)) as hosts:
        hosts.publish_policy()
        assert only(await hosts.node.send()).status == "4.7.4"
        hosts.publish_policy(mode="none", identifier="2")
        assert only(await hosts.node.send()).result is Result.DELIVERED
    assert len(hosts.servers[0].seen.mails_in_clear) == 1


@pytest.mark.parametrize(
    ("failure", "newer"),
    [
        ("not listed", "enforce"),
        ("not listed", "none"),
        ("not listed", "testing"),
        ("certificate", "none"),
        ("certificate", "testing"),
    ],
)
async def test_a_policy_that_changed_is_looked_at_before_a_failure_counts(
    failure: str, newer: str, tmp_path: Path
) -> None:
    """RFC 8461 §5.1; rules 80, 144: memory and cache still have the old one."""
    is_listed = failure == "certificate"
    conduct = Conduct(untrusted() if is_listed else leaf())
    async with going_to(tmp_path, conduct) as hosts:
        hosts.publish_policy(HOST if is_listed else "mx.elsewhere.example")
        assert only(await hosts.node.send()).result is Result.DEFERRED
        assert hosts.mails == [0]
        hosts.publish_policy(HOST, mode=newer, identifier="2")
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert hosts.mails == [1]
    assert len(hosts.source.fetched) == 2
    # What was tried under the old policy is told of too.
    assert len(stories(delivery)) == 2


async def test_a_policy_that_did_not_change_is_not_tried_twice(tmp_path: Path) -> None:
    """RFC 8461 §5.1; rule 144: the same id is the same policy, and is not fetched again."""
    async with going_to(tmp_path, Conduct(leaf(("wrong.example",)))) as hosts:
        hosts.publish_policy()
        delivery = await hosts.node.send()
    assert len(stories(delivery)) == 1
    assert (hosts.connections, len(hosts.source.fetched)) == ([1], 1)


async def test_mail_that_must_have_tls_is_not_returned_by_a_policy_that_has_changed(
    tmp_path: Path,
) -> None:
    """RFC 8461 §5.1, RFC 8689 §4.2.1; rules 80, 89: MUST NOT fail for good before a look."""
    conduct = Conduct(leaf(), extensions=(*GOOD_EXTENSIONS, "REQUIRETLS"))
    async with going_to(tmp_path, conduct, mx=Security.INSECURE) as hosts:
        hosts.publish_policy("mx.elsewhere.example", mode="testing")
        assert only(await hosts.node.send()).result is Result.DELIVERED
        hosts.publish_policy(HOST, mode="testing", identifier="2")
        delivery = await hosts.node.send(tls_demand=REQUIRETLS)
    assert only(delivery).result is Result.DELIVERED, only(delivery).reply


async def test_a_policy_that_is_kept_holds_while_dns_and_policy_host_are_gone(
    tmp_path: Path,
) -> None:
    """RFC 8461 §3.3, §5.1, §10.2; rules 63, 73, 145: until its max_age is over."""
    async with going_to(tmp_path, Conduct(has_starttls=False)) as hosts:
        hosts.publish_policy()
        assert only(await hosts.node.send()).status == "4.7.4"
        hosts.source.outcome = GONE
        hosts.node.resolver.fail(f"_mta-sts.{DOMAIN}", "TXT")
        hosts.node.clock.move(timedelta(days=7) - timedelta(minutes=1))
        assert (await hosts.send_another()).status == "4.7.4"
        assert hosts.mails == [0]
        hosts.node.clock.move(timedelta(minutes=2))
        assert (await hosts.send_another()).result is Result.DELIVERED


async def test_a_policy_that_could_not_be_fetched_ever_stops_nothing(tmp_path: Path) -> None:
    """RFC 8461 §3.3, §6; rules 72, 84: it is recorded, as what a report would name."""
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        hosts.publish_policy()
        hosts.source.outcome = GONE
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert result_types(delivery) == ["sts-policy-fetch-error"]


async def test_while_nobody_knows_what_policy_holds_mail_waits(tmp_path: Path) -> None:
    """RFC 8461 §3.3; rule 73: never as though there were none."""
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        hosts.publish_policy()
        await hosts.policies.close()
        outcome = only(await hosts.node.send())
        assert_waits(outcome, "4.7.5", "the policies that are kept cannot be read")
        assert hosts.connections == [0]
        await hosts.policies.open()
        assert only(await hosts.node.send()).result is Result.DELIVERED


async def test_a_connection_from_before_the_policy_is_not_used_under_it(tmp_path: Path) -> None:
    """RFC 8461 §4; rules 116, 147: the policy is that of the moment, for each MX tried."""
    async with going_to(tmp_path, Conduct(has_starttls=False)) as hosts:
        assert only(await hosts.node.send()).result is Result.DELIVERED
        hosts.publish_policy()
        await hosts.look_again()
        assert only(await hosts.node.send()).status == "4.7.4"
    assert (hosts.connections, hosts.mails) == ([2], [1])


async def test_hosts_that_the_policy_shuts_out_do_not_use_up_the_addresses_of_a_delivery(
    tmp_path: Path,
) -> None:
    """RFC 8461 §5.1: treated as unreachable, the next candidate is tried. They stand in front at
    every attempt, so the listed host would never be reached.
    """
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        strangers = [Domain(f"mx{number}.elsewhere.example") for number in range(2)]
        for number, name in enumerate(strangers):
            ips = [ip_address(f"192.0.2.{10 * number + last}") for last in range(10)]
            hosts.node.resolver.set(name, "A", *ips)
        records = [MxRecord(number, name) for number, name in enumerate((*strangers, Domain(HOST)))]
        hosts.node.resolver.set(DOMAIN, "MX", *records, security=Security.SECURE)
        hosts.publish_policy(HOST)
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    # Each of the others is told of once.
    relays = [attempt.relay.partition("[")[0] for attempt in delivery.attempts]
    assert relays == [*strangers, HOST]

"""DANE and MTA-STS of one domain, and what senders ask, over both: RFC 8461 §2, RFC 8689 §4.2.

The table of decisions is tested where they are made; here it is that delivery holds to them.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import MxRecord, Security
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import TableEntry
from letterlock.services.queue.outcomes import Result
from tests.misbehaving import GOOD_EXTENSIONS, Conduct
from tests.services.deliver.outbound import DOMAIN, HOST, Outbound, leaf, only, stories
from tests.services.deliver.published import (
    ANOTHERS,
    NO,
    REQUIRETLS,
    SECOND_HOST,
    UNUSABLE,
    assert_waits,
    going_to,
    result_types,
    tlsa,
    untrusted,
)


async def test_a_good_certificate_does_not_make_up_for_a_tlsa_record_that_does_not_match(
    tmp_path: Path,
) -> None:
    """RFC 8461 §2; rules 59, 152: MTA-STS MUST NOT override a failing DANE validation."""
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        hosts.publish_policy()
        hosts.publish_tlsa(HOST, ANOTHERS)
        assert only(await hosts.node.send()).status == "4.7.5"
        hosts.fail_tlsa(HOST)
        assert_waits(only(await hosts.node.send()), "4.7.5", "the TLSA lookup failed")
    assert (hosts.connections, hosts.mails) == ([1], [0])


@pytest.mark.parametrize("mx", [Security.SECURE, Security.INSECURE])
async def test_a_host_that_dane_proves_must_meet_an_enforced_policy_too(
    mx: Security, tmp_path: Path
) -> None:
    """RFC 8461 §5; rule 153 (ours also where the MX record is secure)."""
    issued = untrusted()
    async with going_to(tmp_path, Conduct(issued), mx=mx) as hosts:
        hosts.publish_tlsa(HOST, tlsa(issued))
        hosts.publish_policy()
        delivery = await hosts.node.send()
        assert only(delivery).status == "4.7.5"
        assert stories(delivery)[0]["requirement"]["sources"] == ["dane", "mta-sts"]
        assert result_types(delivery) == ["certificate-not-trusted"]
        hosts.publish_policy("mx.elsewhere.example", identifier="2")
        assert_waits(only(await hosts.node.send()), "4.7.5", f"does not list {HOST}")
    assert hosts.mails == [0]


async def test_dane_on_some_hosts_only_does_not_switch_an_enforced_policy_off(
    tmp_path: Path,
) -> None:
    """RFC 8461 §5; rules 152, 153: the host without records, and the one with unusable ones."""
    first, *others = untrusted(), untrusted(SECOND_HOST), leaf((f"mx3.{DOMAIN}",))
    conducts = [Conduct(issued) for issued in (first, *others)]
    async with going_to(tmp_path, *conducts) as hosts:
        hosts.publish_policy()
        hosts.publish_tlsa(HOST, UNUSABLE)
        hosts.publish_tlsa(f"mx3.{DOMAIN}", tlsa(others[1]))
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert hosts.mails == [0, 0, 1]
    assert hosts.word() == "Verified"
    levels = [story["requirement"]["level"] for story in stories(delivery)]
    assert levels == ["verify", "verify", "dane"]


@pytest.mark.parametrize("source", ["dane", "mta-sts"])
async def test_requiretls_goes_where_dane_or_mta_sts_proves_the_host(
    source: str, tmp_path: Path
) -> None:
    """RFC 8689 §4.2.1; rules 88, 90, 154."""
    conduct = Conduct(leaf(), extensions=(*GOOD_EXTENSIONS, "REQUIRETLS"))
    mx = Security.SECURE if source == "dane" else Security.INSECURE
    async with going_to(tmp_path, conduct, mx=mx) as hosts:
        if source == "dane":
            hosts.publish_tlsa(HOST, tlsa(leaf()))
        else:
            hosts.publish_policy()
        delivery = await hosts.node.send(tls_demand=REQUIRETLS)
    assert only(delivery).result is Result.DELIVERED, only(delivery).reply
    assert source in stories(delivery)[0]["requirement"]["sources"]
    assert hosts.servers[0].seen.mails[0].endswith(" REQUIRETLS")


async def test_requiretls_is_not_for_a_host_that_dane_alone_proves_behind_an_insecure_mx(
    tmp_path: Path,
) -> None:
    """RFC 8689 §4.2.1; rule 88: the host is good, and nobody says that it is the domain's."""
    conduct = Conduct(leaf(), extensions=(*GOOD_EXTENSIONS, "REQUIRETLS"))
    async with going_to(tmp_path, conduct, mx=Security.INSECURE) as hosts:
        hosts.publish_tlsa(HOST, tlsa(leaf()))
        outcome = only(await hosts.node.send(tls_demand=REQUIRETLS))
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.7.10")
    assert hosts.connections == [0]


@pytest.mark.parametrize(
    "conduct",
    [
        pytest.param(lambda: Conduct(untrusted()), id="untrusted"),
        pytest.param(lambda: Conduct(has_starttls=False), id="no STARTTLS"),
        pytest.param(lambda: Conduct(leaf(), instead_of_tls=b"no TLS\r\n"), id="no handshake"),
    ],
)
@pytest.mark.parametrize("published", ["mismatch", "lookup failed", "enforce", "not listed"])
async def test_tls_required_no_goes_over_all_that_is_published(
    published: str, conduct: Callable[[], Conduct], tmp_path: Path
) -> None:
    """RFC 8689 §4.2.2; rules 92, 154: TLS is tried, and no failure of it stops the mail."""
    async with going_to(tmp_path, conduct()) as hosts:
        match published:
            case "mismatch":
                hosts.publish_tlsa(HOST, ANOTHERS)
            case "lookup failed":
                hosts.fail_tlsa(HOST)
            case "enforce":
                hosts.publish_policy()
            case _:
                hosts.publish_policy("mx.elsewhere.example")
        assert only(await hosts.node.send()).result is Result.DEFERRED
        assert hosts.mails == [0]
        delivery = await hosts.node.send(tls_demand=NO)
        assert only(delivery).result is Result.DELIVERED
        assert any(result_types(delivery))
        # The message that asks for nothing is judged anew, whatever connection is open.
        assert only(await hosts.node.send()).result is Result.DEFERRED
    assert hosts.mails == [1]


async def test_what_domains_publish_takes_no_part_where_it_is_switched_off(tmp_path: Path) -> None:
    """RFC 7672 §9.1, RFC 7435 §3; rules 51, 127: by the operator only."""
    async with going_to(tmp_path, Conduct(untrusted())) as hosts:
        hosts.publish_policy()
        hosts.publish_tlsa(HOST, ANOTHERS)
        hosts.node.entries[DOMAIN] = TableEntry(DOMAIN, Level.ENCRYPT, "tls_policy:1")
        assert only(await hosts.node.send()).result is Result.DELIVERED
        share_host(hosts.node, "example.net")
        assert only(await hosts.node.send("bob@example.net")).status == "4.7.5"
    assert hosts.mails == [1]


def share_host(node: Outbound, domain: str) -> None:
    """Let another domain have the same MX host."""
    node.resolver.set(domain, "MX", MxRecord(10, Domain(HOST)), security=Security.SECURE)

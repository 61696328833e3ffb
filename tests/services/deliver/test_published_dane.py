"""Mail to hosts with TLSA records: what a server was told is what counts. RFC 7672 §2.2."""

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.pki.throwaway_ca import Issued, Shape
from letterlock.protocols.policy.judge import ClearFallback, FallbackRule
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import TableEntry
from letterlock.services.queue.outcomes import Result
from tests.misbehaving import Conduct
from tests.network.certificates import NOW, authority
from tests.services.deliver.outbound import DOMAIN, HOST, leaf, only, stories
from tests.services.deliver.published import (
    ANOTHERS,
    SECOND_HOST,
    UNUSABLE,
    assert_waits,
    going_to,
    result_types,
    tlsa,
    untrusted,
)


async def test_a_host_that_matches_its_tlsa_record_is_verified(tmp_path: Path) -> None:
    """RFC 7672 §2.2, §8.1; rules 32, 44, 49: nobody signed its certificate, nor is its name in."""
    issued = untrusted("whatever.example")
    async with going_to(tmp_path, Conduct(issued)) as hosts:
        hosts.publish_tlsa(HOST, tlsa(issued))
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert hosts.word() == "Verified"
    assert hosts.servers[0].seen.snis == [HOST]
    (story,) = stories(delivery)
    assert story["requirement"]["level"] == "dane"
    assert story["verdict"]["outcome"] == "authenticated"
    assert story["verdict"]["tlsa"] == {"record": str(tlsa(issued)), "depth": 0}


async def test_a_host_that_does_not_match_gets_nothing_and_the_next_is_tried(
    tmp_path: Path,
) -> None:
    """RFC 7672 §2.2, §2.2.1, §3.2; rules 32, 36, 48: its certificate is good otherwise."""
    both = leaf((HOST, SECOND_HOST))
    async with going_to(tmp_path, Conduct(leaf()), Conduct(both)) as hosts:
        hosts.publish_tlsa(HOST, ANOTHERS)
        hosts.publish_tlsa(SECOND_HOST, tlsa(both))
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert (hosts.mails, hosts.connections) == ([0, 1], [1, 1])
    assert result_types(delivery) == ["validation-failure", None]


@pytest.mark.parametrize(
    ("conduct", "status"),
    [
        pytest.param(lambda: Conduct(leaf()), "4.7.5", id="another key"),
        pytest.param(lambda: Conduct(has_starttls=False), "4.7.4", id="no STARTTLS"),
        pytest.param(
            lambda: Conduct(leaf(), answers={"STARTTLS": "454 4.7.0 no"}), "4.7.4", id="refused"
        ),
        pytest.param(
            lambda: Conduct(leaf(), instead_of_tls=b"no TLS\r\n"), "4.7.5", id="no handshake"
        ),
    ],
)
async def test_where_tlsa_records_cannot_be_met_mail_waits_and_never_goes_in_clear(
    conduct: Callable[[], Conduct], status: str, tmp_path: Path
) -> None:
    """RFC 7672 §2.2; rules 32, 48. The operator's rule for clear text is for `may` only."""
    async with going_to(tmp_path, conduct()) as hosts:
        hosts.node.fallback = ClearFallback(FallbackRule.AT_ONCE)
        hosts.publish_tlsa(HOST, ANOTHERS)
        outcome = only(await hosts.node.send())
    assert (outcome.result, outcome.status) == (Result.DEFERRED, status)
    assert hosts.mails == [0]


async def test_records_that_all_cannot_be_used_ask_for_tls_and_no_proof(tmp_path: Path) -> None:
    """RFC 7672 §2.2, §3.1.3; rules 33, 47, 57, 130."""
    async with going_to(tmp_path, Conduct(has_starttls=False), Conduct(untrusted())) as hosts:
        hosts.publish_tlsa(HOST, UNUSABLE)
        hosts.publish_tlsa(SECOND_HOST, UNUSABLE, TlsaRecord(3, 1, 1, bytes(31)))
        delivery = await hosts.node.send()
    assert only(delivery).result is Result.DELIVERED
    assert hosts.mails == [0, 1]
    assert hosts.word() == "Untrusted"
    assert stories(delivery)[-1]["verdict"]["outcome"] == "encrypted"
    assert hosts.servers[1].seen.taken[0].is_tls


@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
async def test_a_host_whose_tlsa_lookup_fails_is_not_even_connected_to(
    security: Security, tmp_path: Path
) -> None:
    """RFC 7672 §2.1.2; rules 26, 28, 29: MUST count as unreachable; the next host is tried."""
    both = leaf((HOST, SECOND_HOST))
    async with going_to(tmp_path, Conduct(leaf()), Conduct(both)) as hosts:
        hosts.fail_tlsa(HOST, security)
        hosts.publish_tlsa(SECOND_HOST, tlsa(both))
        assert only(await hosts.node.send()).result is Result.DELIVERED
        assert hosts.connections == [0, 1]
        hosts.fail_tlsa(SECOND_HOST, security)
        assert_waits(only(await hosts.node.send()), "4.7.5", "the TLSA lookup failed")
    assert hosts.mails == [0, 1]


@pytest.mark.parametrize("security", [Security.INSECURE, Security.SECURE])
async def test_without_secure_records_mail_goes_as_ever(security: Security, tmp_path: Path) -> None:
    """RFC 7672 §2.2; rule 34: none securely, or some that nobody vouches for."""
    records = (ANOTHERS,) if security is Security.INSECURE else ()
    async with going_to(tmp_path, Conduct(has_starttls=False)) as hosts:
        hosts.publish_tlsa(HOST, *records, security=security)
        assert only(await hosts.node.send()).result is Result.DELIVERED
    assert len(hosts.servers[0].seen.mails_in_clear) == 1


async def test_behind_an_insecure_mx_record_the_host_is_held_to_its_records_and_not_verified(
    tmp_path: Path,
) -> None:
    """RFC 7672 §2.2.1, RFC 7435 §3; rules 37, 38, 101: it must not be told of as the domain's."""
    async with going_to(tmp_path, Conduct(leaf()), mx=Security.INSECURE) as hosts:
        hosts.publish_tlsa(HOST, tlsa(leaf()))
        delivery = await hosts.node.send()
        assert only(delivery).result is Result.DELIVERED
        assert hosts.word() == "Trusted"
        assert only(delivery).relay.startswith(f"{HOST}[")
        (story,) = stories(delivery)
        assert story["verdict"]["outcome"] == "encrypted"
        assert "the host is proved, not the domain" in story["verdict"]["reason"]
        hosts.publish_tlsa(HOST, ANOTHERS)
        assert only(await hosts.node.send()).status == "4.7.5"
    assert hosts.mails == [1]


async def test_mandatory_dane_takes_no_host_behind_an_insecure_mx_record(tmp_path: Path) -> None:
    """RFC 7672 §2.2.1, §6; rules 37, 134: MUST defer, and is never returned for it at once."""
    async with going_to(tmp_path, Conduct(leaf()), mx=Security.INSECURE) as hosts:
        hosts.node.entries[DOMAIN] = TableEntry(DOMAIN, Level.DANE_ONLY, "tls_policy:1")
        hosts.publish_tlsa(HOST, tlsa(leaf()))
        assert_waits(only(await hosts.node.send()), "4.7.5", "not secured by DNSSEC")
    assert hosts.connections == [0]


@pytest.mark.parametrize("records", [(UNUSABLE,), ()], ids=["all unusable", "none"])
async def test_mandatory_dane_waits_for_records_that_can_be_used(
    records: tuple[TlsaRecord, ...], tmp_path: Path
) -> None:
    """RFC 7671 §10.3, RFC 7672 §6; rules 57 and 134: no connection, and no bounce."""
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        hosts.node.entries[DOMAIN] = TableEntry(DOMAIN, Level.DANE_ONLY, "tls_policy:1")
        hosts.publish_tlsa(HOST, *records)
        assert_waits(only(await hosts.node.send()), "4.7.5", "TLSA records")
        hosts.publish_tlsa(HOST, *records, tlsa(leaf()))
        assert only(await hosts.node.send()).result is Result.DELIVERED
    assert (hosts.connections, hosts.mails) == ([1], [1])


async def test_an_mx_lookup_that_is_bogus_makes_mail_wait(tmp_path: Path) -> None:
    """RFC 7672 §2.1.2; rule 27: the domain's own address is not tried either."""
    async with going_to(tmp_path, Conduct(leaf())) as hosts:
        hosts.node.resolver.fail(DOMAIN, "MX", Security.BOGUS)
        hosts.node.resolver.set(DOMAIN, "A", ip_address(hosts.servers[0].ip))
        assert only(await hosts.node.send()).result is Result.DEFERRED
    assert hosts.connections == [0]


@pytest.mark.parametrize(
    ("issued", "word"),
    [
        (leaf(("wrong.example",)), "Trusted"),
        (leaf((HOST,), Shape(not_after=NOW - timedelta(days=1))), "Untrusted"),
    ],
    ids=["wrong name", "expired"],
)
async def test_a_chain_to_the_published_anchor_is_trusted_whatever_its_name(
    issued: Issued, word: str, tmp_path: Path
) -> None:
    """RFC 7672 §3.1.2, §3.2.2; rules 45 and 131: the words are of the chain, and of both."""
    async with going_to(tmp_path, Conduct(issued)) as hosts:
        hosts.publish_tlsa(HOST, TlsaRecord(2, 0, 0, authority().der))
        delivery = await hosts.node.send()
    assert only(delivery).status == "4.7.5"
    assert [story["verdict"]["is_chain_trusted"] for story in stories(delivery)] == [
        word == "Trusted"
    ]
    assert hosts.mails == [0]

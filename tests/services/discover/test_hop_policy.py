"""What is looked up for a host before it is decided about, and what is not."""

from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import CnameLink, Security, TlsaRecord
from letterlock.protocols.policy.facts import TlsaStatus
from letterlock.protocols.policy.requirement import (
    HostUnusable,
    Level,
    Requirement,
    RequirementInvalid,
    Source,
)
from letterlock.protocols.policy.table import Entry, PolicyTable, TableEntry
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.discover.hop_policy import HopPolicy
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.discover.routes import HostAddress, MxHost, Route
from letterlock.services.discover.tlsa import TlsaFinder
from tests.services.discover.mta_sts_processes import NAME, RECORD_NAME, Process, policy

HOST = Domain("mx.example.org")
OWNER = f"_25._tcp.{HOST}"
MTA_STS, TLSA = (RECORD_NAME, "TXT"), (OWNER, "TLSA")
DEFAULT = TableEntry("", Level.MAY, "policy.default_level")


def hop_policy(node: Process, *entries: Entry) -> HopPolicy:
    table = PolicyTable({entry.key: entry for entry in entries}, DEFAULT)
    return HopPolicy(table, TlsaFinder(node.resolver), node.finder, node.clock)


def route(
    next_hop: str = NAME, *, mx: Security | None = Security.SECURE, is_implicit: bool = False
) -> Route:
    address = HostAddress(ip_address("192.0.2.1"), Security.SECURE)
    name = None if next_hop.startswith("[192") else HOST
    host = MxHost(name, 10, (address,))
    return Route(parse_next_hop(next_hop), (host,), mx, is_implicit)


async def test_both_are_asked_for_and_the_policy_first(node: Process) -> None:
    """RFC 8461 §5, RFC 7672 §2.2."""
    node.resolver.set(OWNER, "TLSA", TlsaRecord(3, 1, 1, bytes(32)), security=Security.SECURE)
    where = route()
    found = await hop_policy(node).decide(where, where.hosts[0])
    assert node.resolver.asked == [MTA_STS, TLSA]
    assert isinstance(found.decision, Requirement)
    assert found.decision.sources == (Source.DANE, Source.MTA_STS)
    assert found.published.tlsa is not None
    assert found.published.tlsa.status is TlsaStatus.USABLE


@pytest.mark.parametrize(
    ("next_hop", "asked"),
    [
        # The policy is the next hop's, whoever the recipient is.
        (NAME, [MTA_STS, TLSA]),
        (f"{NAME}:25", [MTA_STS, TLSA]),
        (f"[{HOST}]", [TLSA]),
        ("[192.0.2.1]", []),
    ],
)
async def test_a_host_in_brackets_has_no_policy_and_an_address_nothing(
    node: Process, next_hop: str, asked: list[tuple[str, str]]
) -> None:
    """RFC 8461 §3.4, RFC 7672 §2.2; rules 35 and 75."""
    where = route(next_hop, mx=None)
    await hop_policy(node).decide(where, where.hosts[0])
    assert node.resolver.asked == asked


@pytest.mark.parametrize(
    ("level", "demand", "is_asked"),
    [
        (Level.ENCRYPT, TlsDemand.NORMAL, False),
        (Level.SECURE, TlsDemand.NORMAL, False),
        (Level.DANE_ONLY, TlsDemand.NORMAL, True),
        (Level.DANE, TlsDemand.NORMAL, True),
        (Level.ENCRYPT, TlsDemand.TLS_REQUIRED_NO, False),
        (Level.ENCRYPT, TlsDemand.REQUIRETLS, True),
    ],
)
async def test_where_the_operator_has_said_it_all_nobody_is_asked(
    node: Process, level: Level, demand: TlsDemand, is_asked: bool
) -> None:
    """RFC 7435 §3; rule 127."""
    where = route()
    await hop_policy(node, TableEntry(NAME, level, "tls_policy:1")).decide(
        where, where.hosts[0], demand
    )
    assert bool(node.resolver.asked) == is_asked


async def test_an_entry_holds_through_its_last_day_and_then_what_is_published(
    node: Process,
) -> None:
    entry = TableEntry(NAME, Level.ENCRYPT, "tls_policy:1", until=node.clock.now().date())
    where, asking = route(), hop_policy(node, entry)
    await asking.decide(where, where.hosts[0])
    assert node.resolver.asked == []
    tomorrow = datetime(2026, 3, 2, 0, 0, 1, tzinfo=UTC)
    node.clock.set_wall(tomorrow)
    await asking.decide(where, where.hosts[0])
    assert node.resolver.asked == [MTA_STS, TLSA]


async def test_what_is_switched_off_is_not_asked_for(node: Process) -> None:
    where = route()
    found = await HopPolicy(PolicyTable({}, DEFAULT), None, None, node.clock).decide(
        where, where.hosts[0]
    )
    assert node.resolver.asked == []
    assert isinstance(found.decision, Requirement)
    assert found.decision.source is Source.OPPORTUNISTIC


async def test_a_domain_that_is_its_own_host_is_known_whatever_dnssec_says_of_its_mx(
    node: Process,
) -> None:
    """RFC 7672 §2.2.2; rule 52: its name is from the address, and not from DNS."""
    where = route(mx=Security.INSECURE, is_implicit=True)
    published = await hop_policy(node).find_published(where, where.hosts[0])
    assert published.mx_security is None


async def test_mail_waits_while_the_policies_cannot_be_read(node: Process) -> None:
    """RFC 8461 §3.3; rule 73."""
    await node.store.close()
    where = route()
    found = await hop_policy(node).decide(where, where.hosts[0])
    assert isinstance(found.decision, RequirementInvalid)
    assert "cannot be read" in found.decision.reason
    await node.store.open()


@pytest.mark.parametrize("has_changed", [True, False])
async def test_a_policy_is_newer_when_what_it_says_is_another(
    node: Process, has_changed: bool
) -> None:
    """RFC 8461 §5.1; rules 80 and 144: a new id alone changes nothing for a host."""
    where, asking = route(), hop_policy(node)
    node.source.outcome = policy("mx.elsewhere.example")
    found = await asking.decide(where, where.hosts[0])
    assert isinstance(found.decision, HostUnusable)
    facts = found.published.mta_sts
    assert facts is not None
    if has_changed:
        node.source.outcome = policy()
    node.publish("2")
    assert await asking.has_newer(facts) == has_changed
    assert node.fetches == 2
    await node.store.close()
    # The one that is known is what holds.
    assert not await asking.has_newer(facts)
    await node.store.open()
    off = HopPolicy(asking.table, None, None, node.clock)
    assert not await off.has_newer(facts)


async def test_a_name_behind_an_alias_that_nobody_signed_is_no_name_of_a_domain_without_mx(
    node: Process,
) -> None:
    """RFC 7672 §3.2.2: without MX records the original name counts beside the TLSA base domain.
    Anybody may have put the name there that an unsigned alias leads to. Rule 45.
    """
    anothers = Domain("anybodys.example.net")
    aliases = (CnameLink(Domain(NAME), anothers, Security.INSECURE),)
    node.resolver.set(
        f"_25._tcp.{NAME}", "TLSA", TlsaRecord(2, 1, 1, bytes(32)), security=Security.SECURE
    )
    address = HostAddress(ip_address("192.0.2.1"), Security.SECURE)
    host = MxHost(Domain(NAME), 0, (address,))
    where = Route(
        parse_next_hop(NAME), (host,), Security.INSECURE, is_implicit=True, mx_aliases=aliases
    )
    by_dane = HopPolicy(PolicyTable({}, DEFAULT), TlsaFinder(node.resolver), None, node.clock)
    found = (await by_dane.decide(where, host)).decision
    assert isinstance(found, Requirement)
    assert found.dane is not None
    assert found.dane.names == (NAME,)

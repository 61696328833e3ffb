"""From a next hop to hosts and addresses: on a table, and on real DNS where that is the point."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest

from letterlock.base.config.choices import AddressFamily
from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver, StubResolver
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.dns.answers import Answer, Existence, MxRecord, Security
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.discover.routes import (
    MAX_ADDRESSES_PER_HOST,
    MAX_MX_HOSTS,
    HostAddress,
    MxHost,
    NoRoute,
    Route,
    RouteFinder,
)
from tests.fakes import FixtureResolver

SECURE, INSECURE = Security.SECURE, Security.INSECURE
IPV6, IPV4 = AddressFamily.IPV6, AddressFamily.IPV4


def mx(preference: int, exchange: str) -> MxRecord:
    return MxRecord(preference, Domain(exchange) if exchange != "." else None)


@pytest.fixture
def dns() -> FixtureResolver:
    """Two MX hosts with addresses of both families."""
    dns = FixtureResolver()
    dns.set("example.com", "MX", mx(20, "mx2.example.com"), mx(10, "mx1.example.com"))
    dns.set("example.com", "A", ip_address("192.0.2.80"))
    dns.set("mx1.example.com", "A", ip_address("192.0.2.1"))
    dns.set("mx1.example.com", "AAAA", ip_address("2001:db8::1"))
    dns.set("mx2.example.com", "A", ip_address("192.0.2.2"))
    dns.set("mx2.example.com", "AAAA", ip_address("2001:db8::2"))
    return dns


async def find(
    resolver: Resolver, next_hop: str = "example.com", **settings: Any
) -> Route | NoRoute:
    chance = settings.pop("random", random.Random(7))
    return await RouteFinder(resolver, chance, **settings).find(parse_next_hop(next_hop))


async def find_route(resolver: Resolver, next_hop: str = "example.com", **settings: Any) -> Route:
    route = await find(resolver, next_hop, **settings)
    assert isinstance(route, Route), route
    return route


async def find_none(resolver: Resolver, next_hop: str = "example.com", **settings: Any) -> NoRoute:
    route = await find(resolver, next_hop, **settings)
    assert isinstance(route, NoRoute), route
    return route


def ips(host: MxHost) -> list[str]:
    return [str(address.ip) for address in host.addresses]


def names(route: Route) -> list[str | None]:
    return [host.name for host in route.hosts]


# MX


async def test_hosts_come_by_preference_with_their_addresses(dns: FixtureResolver) -> None:
    """RFC 5321 §5.1; RFC 7672 §2.2.1: whatever TLSA records they have. Rule 36"""
    route = await find_route(dns)
    assert [(host.name, host.preference) for host in route.hosts] == [
        ("mx1.example.com", 10),
        ("mx2.example.com", 20),
    ]
    assert ips(route.hosts[0]) == ["2001:db8::1", "192.0.2.1"]
    assert (route.mx_security, route.is_implicit, route.notes) == (INSECURE, False, ())


async def test_equal_preferences_come_in_a_random_order(dns: FixtureResolver) -> None:
    """RFC 5321 §5.1; rule 107."""
    hosts = [f"h{number}.example.com" for number in range(3)]
    dns.set("example.com", "MX", *(mx(10, host) for host in hosts))
    for host in hosts:
        dns.set(host, "A", ip_address("192.0.2.1"))
    chance = random.Random(1)
    orders = Counter([tuple(names(await find_route(dns, random=chance))) for _ in range(600)])
    assert len(orders) == 6
    assert min(orders.values()) > 60


async def test_the_domain_s_own_address_is_not_used_where_there_is_an_mx(
    dns: FixtureResolver,
) -> None:
    """RFC 5321 §5.1"""
    for host in ("mx1.example.com", "mx2.example.com"):
        dns.set(host, "A")
        dns.set(host, "AAAA")
    none = await find_none(dns)
    assert (none.is_permanent, none.status) == (True, "5.4.4")
    assert ("example.com", "A") not in dns.asked


@pytest.mark.parametrize("security", [SECURE, INSECURE])
async def test_a_domain_without_mx_is_its_own_host(
    dns: FixtureResolver, security: Security
) -> None:
    """RFC 5321 §5.1 (implicit MX); RFC 7672 §2.2.2: secure or not. Rules 52 and 105"""
    dns.set("example.com", "MX", security=security)
    route = await find_route(dns)
    address = HostAddress(IPv4Address("192.0.2.80"), INSECURE)
    assert route.hosts == (MxHost(Domain("example.com"), 0, (address,)),)
    assert (route.is_implicit, route.mx_security) == (True, security)


async def test_a_domain_with_neither_mx_nor_address_is_an_error(dns: FixtureResolver) -> None:
    """RFC 5321 §5.1"""
    dns.set("example.com", "MX")
    dns.set("example.com", "A")
    none = await find_none(dns)
    assert (none.is_permanent, none.status) == (True, "5.4.4")
    assert none.reason == "the host example.com has no address (no AAAA or A record)"


async def test_a_domain_that_does_not_exist_is_an_error(dns: FixtureResolver) -> None:
    """RFC 5321 §5.1; rule 105."""
    none = await find_none(dns, "nothing.example")
    assert none == NoRoute(
        is_permanent=True,
        status="5.1.2",
        reason="the domain nothing.example does not exist",
        mx_security=INSECURE,
    )
    assert dns.asked == [("nothing.example", "MX")]


@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
async def test_a_failed_mx_lookup_waits_and_uses_no_address(
    dns: FixtureResolver, security: Security
) -> None:
    """RFC 5321 §5.1: MUST queue; RFC 7672 §2.1.2: no fallback to its own address. Rule 27"""
    dns.fail("example.com", "MX", security)
    none = await find_none(dns)
    assert (none.is_permanent, none.status) == (False, "4.4.3")
    assert none.reason.startswith("MX of example.com: ")
    assert dns.asked == [("example.com", "MX")]


@pytest.mark.parametrize("preference", [0, 10])
async def test_a_null_mx_fails_at_once(dns: FixtureResolver, preference: int) -> None:
    """RFC 7505 §1, §3: no address lookup"""
    dns.set("example.com", "MX", mx(preference, "."))
    none = await find_none(dns)
    reason = "the domain example.com accepts no mail (null MX)"
    assert none == NoRoute(is_permanent=True, status="5.1.10", reason=reason, mx_security=INSECURE)
    assert dns.asked == [("example.com", "MX")]


async def test_a_null_mx_beside_others_is_ignored(dns: FixtureResolver) -> None:
    """RFC 7505 §3"""
    dns.set("example.com", "MX", mx(0, "."), mx(10, "mx1.example.com"))
    route = await find_route(dns)
    assert names(route) == ["mx1.example.com"]
    assert "null MX beside other records" in route.notes[0]


async def test_an_mx_of_which_nothing_can_be_used_is_an_error(dns: FixtureResolver) -> None:
    """RFC 5321 §5.1: no fallback to the domain's address"""
    name = Domain("example.com")
    dns.put(Answer(name, "MX", INSECURE, Existence.RECORDS, reason="1 record(s) skipped"))
    none = await find_none(dns)
    assert (none.is_permanent, none.status) == (True, "5.4.4")
    assert "1 record(s) skipped" in none.reason


async def test_what_had_to_be_skipped_is_noted(dns: FixtureResolver) -> None:
    name, record = Domain("example.com"), mx(10, "mx1.example.com")
    reason = "1 record(s) skipped"
    dns.put(Answer(name, "MX", INSECURE, Existence.RECORDS, (record,), reason=reason))
    assert (await find_route(dns)).notes == ("MX of example.com: 1 record(s) skipped",)


async def test_an_address_as_mx_is_no_host(dns: FixtureResolver) -> None:
    """RFC 5321 §5.1: the data of an MX is a domain name"""
    dns.set("example.com", "MX", mx(5, "192.0.2.1"), mx(10, "mx1.example.com"))
    route = await find_route(dns)
    assert route.hosts[0].error == "192.0.2.1 is an address, no host name"
    assert route.hosts[0].addresses == ()
    assert ("192.0.2.1", "A") not in dns.asked


async def test_only_the_best_of_very_many_hosts_are_used(dns: FixtureResolver) -> None:
    hosts = [f"h{number}.example.com" for number in range(MAX_MX_HOSTS + 5)]
    dns.set("example.com", "MX", *(mx(n, host) for n, host in enumerate(hosts)))
    dns.set(hosts[0], "A", ip_address("192.0.2.1"))
    route = await find_route(dns)
    assert names(route) == hosts[:MAX_MX_HOSTS]
    assert route.notes == ("only the best 30 of 35 MX hosts are used",)


# Addresses


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ((IPV6, IPV4), ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"]),
        ((IPV4, IPV6), ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2", "192.0.2.3"]),
        ((IPV4,), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        ((IPV6,), ["2001:db8::1", "2001:db8::2"]),
    ],
)
async def test_families_take_turns_each_in_the_resolver_s_order(
    dns: FixtureResolver, families: tuple[AddressFamily, ...], expected: list[str]
) -> None:
    """RFC 5321 §5.1; rule 107."""
    dns.set("mx1.example.com", "A", *map(IPv4Address, ("192.0.2.1", "192.0.2.2", "192.0.2.3")))
    dns.set("mx1.example.com", "AAAA", *map(IPv6Address, ("2001:db8::1", "2001:db8::2")))
    route = await find_route(dns, families=families)
    assert ips(route.hosts[0]) == expected
    asked = {rdtype for _, rdtype in dns.asked}
    assert asked == {"MX", *({IPV6: "AAAA", IPV4: "A"}[family] for family in families)}


async def test_addresses_of_one_host_are_bounded(dns: FixtureResolver) -> None:
    many = [IPv4Address(f"192.0.2.{n}") for n in range(1, 40)]
    dns.set("mx1.example.com", "A", *many)
    route = await find_route(dns)
    assert len(route.hosts[0].addresses) == MAX_ADDRESSES_PER_HOST
    assert route.notes == ("only 10 of mx1.example.com's addresses are used",)


@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
async def test_a_host_whose_lookup_fails_is_kept_with_the_reason_and_others_are_used(
    dns: FixtureResolver, security: Security
) -> None:
    """RFC 7672 §2.1.2; rule 28"""
    dns.fail("mx1.example.com", "A", security)
    dns.fail("mx1.example.com", "AAAA", security)
    first, second = (await find_route(dns)).hosts
    assert first.addresses == ()
    assert first.error is not None
    assert first.error.startswith("AAAA of mx1.example.com: ")
    assert ips(second) == ["2001:db8::2", "192.0.2.2"]


async def test_one_family_s_failure_leaves_the_other(dns: FixtureResolver) -> None:
    dns.fail("mx1.example.com", "AAAA")
    route = await find_route(dns)
    assert ips(route.hosts[0]) == ["192.0.2.1"]
    assert route.hosts[0].error is None
    assert route.notes == ("AAAA of mx1.example.com: no answer",)


@pytest.mark.parametrize(
    ("failing", "is_permanent", "status"),
    [((), True, "5.4.4"), (("mx1.example.com",), False, "4.4.3")],
)
async def test_without_any_address_mail_waits_if_there_may_be_one_later(
    dns: FixtureResolver, failing: tuple[str, ...], is_permanent: bool, status: str
) -> None:
    """RFC 5321 §5.1"""
    dns.set("example.com", "MX", mx(10, "mx1.example.com"), mx(20, "gone.example"))
    for name in ("mx1.example.com",):
        dns.set(name, "A")
        dns.set(name, "AAAA")
    for name in failing:
        dns.fail(name, "AAAA")
    none = await find_none(dns)
    assert (none.is_permanent, none.status) == (is_permanent, status)
    assert "the host gone.example does not exist" in none.reason


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:0.0.0.0"]
)
async def test_what_no_host_can_have_is_no_address(dns: FixtureResolver, address: str) -> None:
    """0.0.0.0 leads to this machine."""
    rdtype = "AAAA" if ":" in address else "A"
    dns.set("host.example", rdtype, ip_address(address))
    none = await find_none(dns, "[host.example]")
    assert none.reason == "the host host.example has no address that a host can have"
    assert (await find_none(dns, f"[{address}]")).status == "5.4.4"


async def test_each_address_has_its_lookup_s_security(dns: FixtureResolver) -> None:
    """RFC 7672 §2.2.2; rule 39"""
    dns.set("mx1.example.com", "AAAA", ip_address("2001:db8::1"), security=SECURE)
    first = (await find_route(dns)).hosts[0]
    assert [address.security for address in first.addresses] == [SECURE, INSECURE]


# Ourselves


async def test_own_name_discards_its_preference_and_worse(dns: FixtureResolver) -> None:
    """RFC 5321 §5.1; rule 107."""
    dns.set(
        "example.com",
        "MX",
        *(mx(30, "mx2.example.com"), mx(20, "us.example"), mx(20, "peer.example")),
        mx(10, "mx1.example.com"),
    )
    route = await find_route(dns, own_names={Domain("us.example")})
    assert names(route) == ["mx1.example.com"]
    assert "better than 20" in route.notes[0]


@pytest.mark.parametrize("own", ["mx1.example.com", "example.com"])
async def test_if_we_are_the_best_host_mail_loops(dns: FixtureResolver, own: str) -> None:
    """RFC 5321 §5.1: none left is an error. Rule 107."""
    dns.set("example.com", "MX", *([mx(10, own)] if own != "example.com" else []))
    none = await find_none(dns, own_names={Domain(own)})
    assert none == NoRoute(
        is_permanent=True,
        status="5.4.6",
        reason="mail for example.com loops back to myself",
        mx_security=INSECURE,
    )


def own(*addresses: str, port: int = 25) -> Callable[[object, int], bool]:
    return lambda ip, at: str(ip) in addresses and at == port


async def test_own_address_discards_its_preference_and_worse(dns: FixtureResolver) -> None:
    """RFC 5321 §5.1"""
    route = await find_route(dns, is_own_address=own("192.0.2.2"))
    assert names(route) == ["mx1.example.com"]
    assert route.notes == ("only MX hosts better than 20 are used: mx2.example.com is us",)
    none = await find_none(dns, is_own_address=own("192.0.2.1"))
    assert none.status == "5.4.6"


async def test_an_address_on_another_port_is_not_ours(dns: FixtureResolver) -> None:
    route = await find_route(dns, is_own_address=own("192.0.2.1", port=2525))
    assert len(route.hosts) == 2


@pytest.mark.parametrize("literal", ["[192.0.2.1]", "[::ffff:192.0.2.1]"])
async def test_own_address_as_a_literal_loops(dns: FixtureResolver, literal: str) -> None:
    none = await find_none(dns, literal, is_own_address=own("192.0.2.1"))
    assert (none.is_permanent, none.status) == (True, "5.4.6")


async def test_better_hosts_that_may_come_back_let_mail_wait(dns: FixtureResolver) -> None:
    """We are a backup MX, and the primary's lookup fails for now."""
    dns.fail("mx1.example.com", "A")
    dns.set("mx1.example.com", "AAAA")
    none = await find_none(dns, own_names={Domain("mx2.example.com")})
    assert (none.is_permanent, none.status) == (False, "4.4.3")
    none = await find_none(dns, is_own_address=own("192.0.2.2"))
    assert (none.is_permanent, none.status) == (False, "4.4.3")


async def test_a_backup_whose_primary_is_gone_for_good_loops(dns: FixtureResolver) -> None:
    dns.set("mx1.example.com", "A")
    dns.set("mx1.example.com", "AAAA")
    none = await find_none(dns, is_own_address=own("192.0.2.2"))
    assert (none.is_permanent, none.status) == (True, "5.4.6")


async def test_another_port_on_our_own_host_is_no_loop(dns: FixtureResolver) -> None:
    """A content filter beside us."""
    settings = {"own_names": {Domain("mx1.example.com")}}
    assert (await find_route(dns, "[mx1.example.com]:10025", **settings)).hosts
    assert len((await find_route(dns, "example.com:10025", **settings)).hosts) == 2


# Other next hops


async def test_a_host_in_brackets_has_no_mx_lookup(dns: FixtureResolver) -> None:
    route = await find_route(dns, "[mx1.example.com]:2525")
    assert (names(route), route.mx_security) == (["mx1.example.com"], None)
    assert ("mx1.example.com", "MX") not in dns.asked


@pytest.mark.parametrize(
    ("text", "address"),
    [("[192.0.2.7]", "192.0.2.7"), ("[IPv6:2001:db8::7]:2525", "2001:db8::7")],
)
async def test_an_address_literal_needs_no_dns(
    dns: FixtureResolver, text: str, address: str
) -> None:
    """RFC 5321 §4.1.3"""
    route = await find_route(dns, text)
    assert route.hosts == (MxHost(None, 0, (HostAddress(ip_address(address), INSECURE),)),)
    assert (route.mx_security, dns.asked) == (None, [])


async def test_what_is_wrong_with_a_configured_next_hop_lets_mail_wait(
    dns: FixtureResolver,
) -> None:
    """As in Postfix: a mistake in `relayhost` bounces no mail."""
    none = await find_none(dns, "[gone.example]", configured={"[gone.example]"})
    assert (none.is_permanent, none.status) == (False, "4.4.4")
    assert "set in the configuration" in none.reason
    assert (await find_none(dns, "gone.example", configured={"[gone.example]"})).is_permanent


# With real DNS

ZONE = """
    @         MX    10 alias
    @         MX    20 mx2
    @         A     192.0.2.80
    alias     CNAME mx1
    www       CNAME @
    plain     A     192.0.2.4
    sub       CNAME plain
    null      MX    0 .
    odd       MX    10 bad\\032name
    odd       A     192.0.2.5
    mx1       A     192.0.2.1
    mx2       AAAA  2001:db8::2
"""


@pytest.fixture
async def server() -> AsyncIterator[ZoneServer]:
    server = ZoneServer({"example.com": ZONE}, authentic_data=True)
    yield server
    await server.close()


async def stub(server: ZoneServer) -> StubResolver:
    return StubResolver(*await server.start(), random=random.Random(3))


async def test_an_alias_as_mx_host_is_followed(server: ZoneServer) -> None:
    """RFC 2181 §10.3 forbids it; it is followed, and shown. RFC 7672 §2.2.1; rule 38"""
    first, second = (await find_route(await stub(server))).hosts
    assert (first.name, ips(first)) == ("alias.example.com", ["192.0.2.1"])
    assert [(link.target, link.security) for link in first.aliases] == [("mx1.example.com", SECURE)]
    assert (second.name, ips(second), second.aliases) == (
        "mx2.example.com",
        ["2001:db8::2"],
        (),
    )


async def test_the_mx_of_an_alias_is_that_of_its_target(server: ZoneServer) -> None:
    """RFC 5321 §5.1; RFC 7672 §2.2.1; rule 133."""
    route = await find_route(await stub(server), "www.example.com")
    assert names(route) == ["alias.example.com", "mx2.example.com"]
    assert [link.target for link in route.mx_aliases] == ["example.com"]
    assert (route.mx_security, route.is_implicit) == (SECURE, False)


async def test_an_alias_of_a_host_without_mx_is_an_implicit_mx(server: ZoneServer) -> None:
    """RFC 5321 §5.1"""
    route = await find_route(await stub(server), "sub.example.com")
    assert (names(route), ips(route.hosts[0])) == (["sub.example.com"], ["192.0.2.4"])
    assert route.is_implicit


@pytest.mark.parametrize(
    ("domain", "is_permanent", "status"),
    [
        ("null.example.com", True, "5.1.10"),
        ("odd.example.com", True, "5.4.4"),
        ("nothing.example.com", True, "5.1.2"),
        ("failing.example.com", False, "4.4.3"),
        ("refused.example.com", False, "4.4.3"),
    ],
)
async def test_what_leads_nowhere_has_its_status(
    server: ZoneServer, domain: str, is_permanent: bool, status: str
) -> None:
    """RFC 5321 §5.1, RFC 7505 §3; rule 106."""
    server.fail("failing.example.com")
    server.fail("refused.example.com", "REFUSED")
    none = await find_none(await stub(server), domain)
    assert (none.is_permanent, none.status) == (is_permanent, status)


async def test_a_host_whose_name_server_fails_leaves_the_other(server: ZoneServer) -> None:
    """RFC 7672 §2.1.2"""
    server.fail("alias.example.com")
    first, second = (await find_route(await stub(server))).hosts
    assert first.error == (
        "AAAA of alias.example.com: the name server said SERVFAIL; "
        "A of alias.example.com: the name server said SERVFAIL"
    )
    assert ips(second) == ["2001:db8::2"]


@pytest.mark.parametrize("trouble", [Security.BOGUS, Security.FAILED])
async def test_hosts_without_a_route_are_told_with_what_is_known_of_them(
    dns: FixtureResolver, trouble: Security
) -> None:
    """For who explains: whether nobody answered, or what came was refused."""
    mx = MxRecord(10, Domain("mx.example.com"))
    dns.set("example.com", "MX", mx, security=Security.SECURE)
    dns.set("mx.example.com", "AAAA")
    dns.fail("mx.example.com", "A", trouble)
    none = await find_none(dns)
    assert none.mx_security is Security.SECURE
    (host,) = none.hosts
    assert (host.name, host.is_passing) == ("mx.example.com", True)
    assert host.is_undecided is (trouble is Security.FAILED)
    assert host.is_bogus is (trouble is Security.BOGUS)
    dns.fail("example.com", "MX", trouble)
    assert (await find_none(dns)).mx_security is trouble

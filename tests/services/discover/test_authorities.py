"""The zone of a name, its servers by what it and the zone above say, and what each has."""

import errno
from collections.abc import AsyncIterator
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.rrset
import pytest

from letterlock.base.domains import Domain
from letterlock.network.dns_authority import NotSaid, Served
from letterlock.network.dns_server import DnsServer
from letterlock.network.zone_server import ZoneServer
from letterlock.network.zone_signing import LIFETIME, make_key
from letterlock.protocols.dns.answers import (
    Answer,
    CnameLink,
    Existence,
    Security,
    SoaRecord,
)
from letterlock.services.discover import authorities
from letterlock.services.discover.authorities import (
    Authorities,
    AuthorityFinder,
    NameServer,
    NotFound,
    Published,
    View,
    Zone,
)
from tests.fakes import START, FixtureResolver

ZONE = Domain("example.org")
NAME = Domain("_acme-challenge.mx1.example.org")
NS1, NS2 = Domain("ns1.example.org"), Domain("ns2.example.net")
FIRST, SECOND, ABOVE = (ip_address(f"127.0.0.{last}") for last in (1, 2, 3))


def soa(mname: str | None = "ns1.example.org") -> SoaRecord:
    return SoaRecord(Domain(mname) if mname else None, 1, 60)


@pytest.fixture
def resolver() -> FixtureResolver:
    """Give a world with `example.org` at two hosts, and nobody to ask above it."""
    made = FixtureResolver()
    made.set("example.org", "SOA", soa())
    made.set("example.org", "NS", NS1, NS2)
    made.set(NS1, "A", FIRST)
    made.set(NS2, "A", SECOND)
    made.set(NS2, "AAAA")
    return made


async def test_a_zone_is_found_above_names_that_are_not_there(resolver: FixtureResolver) -> None:
    """RFC 2136 §4.3."""
    finder = AuthorityFinder(resolver)
    assert await finder.find_zone(NAME) == Zone(ZONE, NS1)
    assert await finder.find_zone(ZONE) == Zone(ZONE, NS1)
    assert resolver.asked[:3] == [
        (NAME, "SOA"),
        ("mx1.example.org", "SOA"),
        (ZONE, "SOA"),
    ]
    resolver.set("example.org", "SOA", soa(None))
    assert await finder.find_zone(ZONE) == Zone(ZONE, None)


async def test_an_alias_is_no_zone(resolver: FixtureResolver) -> None:
    """RFC 1034 §3.6.2: what stands behind it is another zone's."""
    link = CnameLink(Domain("mx1.example.org"), Domain("example.net"), Security.INSECURE)
    resolver.put(
        Answer(
            Domain("mx1.example.org"),
            "SOA",
            Security.INSECURE,
            Existence.RECORDS,
            (soa("ns.example.net"),),
            owner=Domain("example.net"),
            cnames=(link,),
        )
    )
    assert await AuthorityFinder(resolver).find_zone(NAME) == Zone(ZONE, NS1)


async def test_a_zone_that_is_not_found_is_told(resolver: FixtureResolver) -> None:
    finder = AuthorityFinder(resolver)
    nowhere = await finder.find_zone(Domain("a.example.com"))
    assert nowhere == NotFound("a.example.com: no SOA record at it or above it")
    resolver.fail("mx1.example.org", "SOA")
    expected = NotFound("SOA of mx1.example.org: no answer")
    assert await finder.find_zone(NAME) == expected
    assert await finder.find(NAME) == expected
    assert await finder.look(NAME, "TXT") == expected


async def test_all_addresses_of_all_servers_count(resolver: FixtureResolver) -> None:
    resolver.set(NS2, "AAAA", ip_address("2001:db8::2"))
    assert await AuthorityFinder(resolver).find(NAME) == Authorities(
        ZONE,
        (
            NameServer(NS1, FIRST),
            NameServer(NS2, ip_address("2001:db8::2")),
            NameServer(NS2, SECOND),
        ),
    )


@pytest.mark.parametrize(("name", "rdtype"), [(ZONE, "NS"), (NS2, "A")])
async def test_a_lookup_that_fails_leaves_servers_unknown(
    resolver: FixtureResolver, name: str, rdtype: str
) -> None:
    """Where one may be that has not the record, not all have it."""
    resolver.fail(name, rdtype)
    found = await AuthorityFinder(resolver).find(NAME)
    assert found == NotFound(f"{rdtype} of {name}: no answer")


async def test_a_zone_without_an_address(resolver: FixtureResolver) -> None:
    resolver.set("example.org", "NS", Domain("ns9.example.org"))
    found = await AuthorityFinder(resolver).find(NAME)
    assert found == NotFound("example.org: no address of a name server is found")


async def test_servers_that_only_the_zone_above_names_count_too(
    resolver: FixtureResolver,
) -> None:
    """RFC 1034 §4.2.2: both should be the same, and often are not."""

    def refer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        hosts = [f"{NS1}.", "old.example.net."]
        response.authority.append(dns.rrset.from_text(f"{ZONE}.", 60, "IN", "NS", *hosts))
        return response

    above = DnsServer(refer)
    host, port = await above.start()
    resolver.set("org", "SOA", soa("a.example"))
    resolver.set("org", "NS", Domain("a.example"), Domain("b.example"))
    resolver.set("b.example", "A", ip_address(host))
    resolver.set("old.example.net", "A", ABOVE)
    found = await AuthorityFinder(resolver, port).find(NAME)
    assert isinstance(found, Authorities)
    assert [str(server.name) for server in found.servers] == [NS1, NS2, "old.example.net"]
    # Where nobody above says something, the zone's own word is what there is.
    resolver.fail("b.example", "A")
    found = await AuthorityFinder(resolver, port).find(NAME)
    await above.close()
    assert isinstance(found, Authorities)
    assert [str(server.name) for server in found.servers] == [NS1, NS2]


async def test_where_records_are_is_where_the_alias_leads(resolver: FixtureResolver) -> None:
    finder = AuthorityFinder(resolver)
    assert await finder.find_owner(NAME, "TXT") == NAME
    target = Domain("mx1.acme.example.net")
    answer = Answer(NAME, "TXT", Security.SECURE, Existence.NXDOMAIN, owner=target)
    resolver.put(answer)
    assert await finder.find_owner(NAME, "TXT") == target
    resolver.put(Answer(NAME, "TXT", Security.SECURE, Existence.NXDOMAIN))
    assert isinstance(await finder.find_owner(NAME, "TXT"), NotFound)
    resolver.fail(NAME, "TXT", Security.BOGUS)
    found = await finder.find_owner(NAME, "TXT")
    assert found == NotFound(f"TXT of {NAME}: DNSSEC validation failed")


async def test_a_host_has_addresses_or_is_not_found(resolver: FixtureResolver) -> None:
    finder = AuthorityFinder(resolver)
    assert await finder.find_host(NS1) == (NameServer(NS1, FIRST),)
    assert await finder.find_host(ZONE) == NotFound("example.org: it has no address")


# what each server has


@pytest.fixture
async def first() -> AsyncIterator[tuple[ZoneServer, int]]:
    server = ZoneServer({"example.org": 'text 300 TXT "both"\ntext 300 TXT "first"'})
    _, port = await server.start(str(FIRST))
    yield server, port
    await server.close()


async def test_what_all_have_and_what_some_have(
    resolver: FixtureResolver, first: tuple[ZoneServer, int]
) -> None:
    _, port = first
    second = ZoneServer({"example.org": 'text 60 TXT "both"\ntext 60 TXT "second"'})
    await second.start(str(SECOND), port)
    published = await AuthorityFinder(resolver, port).look(Domain("text.example.org"), "TXT")
    await second.close()
    assert isinstance(published, Published)
    assert published.everywhere == {"both"}
    assert published.anywhere == {"both", "first", "second"}
    assert published.ttl == 300
    assert published.faults == ()


async def test_who_says_nothing_has_nothing(
    resolver: FixtureResolver, first: tuple[ZoneServer, int]
) -> None:
    _, port = first
    published = await AuthorityFinder(resolver, port).look(Domain("text.example.org"), "TXT")
    assert isinstance(published, Published)
    assert published.everywhere == frozenset()
    assert published.anywhere == {"both", "first"}
    assert published.faults == (
        "ns2.example.net (127.0.0.2): it can't be reached: Connection refused",
    )


async def test_what_we_can_not_send_to_is_passed_over_if_others_can_be_asked(
    resolver: FixtureResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host without IPv6 has certificates too; a server whose way is blocked is another matter."""
    six = NameServer(NS2, ip_address("2001:db8::2"))
    four = NameServer(NS1, FIRST)
    no_way = NotSaid(f"it can't be reached: {errno.ENETUNREACH}", has_no_way=True)

    async def ask(server: tuple[str, int], _name: Domain, _rdtype: str) -> Served | NotSaid:
        return no_way if ":" in server[0] else Served(frozenset({"a"}))

    async def ask_but_one(server: tuple[str, int], name: Domain, rdtype: str) -> Served | NotSaid:
        return no_way if server[0] == "192.0.2.2" else await ask(server, name, rdtype)

    monkeypatch.setattr(authorities, "ask_authority", ask)
    finder = AuthorityFinder(resolver)
    published = await finder.ask([six, four], NAME, "TXT")
    assert published == Published((View(four, Served(frozenset({"a"}))),))
    other = NameServer(NS2, ip_address("192.0.2.2"))
    monkeypatch.setattr(authorities, "ask_authority", ask_but_one)
    assert await finder.ask([six, four, other], NAME, "TXT") == published
    down = await finder.ask([six, four, other], NAME, "TXT", counts_blocked=True)
    assert down.views == (View(four, Served(frozenset({"a"}))), View(other, no_way))
    assert down.everywhere == frozenset()
    monkeypatch.setattr(authorities, "ask_authority", ask)
    alone = await finder.ask([six], NAME, "TXT")
    assert alone == Published((View(six, no_way),))
    assert alone.ttl == 0
    with pytest.raises(ValueError, match="no server to ask"):
        await finder.ask([], NAME, "TXT")


async def test_each_server_is_asked_until_when_it_signs(resolver: FixtureResolver) -> None:
    """RFC 4035 §5.3.1: one that lost touch with its primary serves signatures that end."""
    running = ZoneServer({"example.org": "text TXT x"}, keys={"example.org": make_key()}, now=START)
    _, port = await running.start("127.0.0.1")
    there, gone = NameServer(NS1, FIRST), NameServer(NS2, SECOND)
    finder = AuthorityFinder(resolver, port)
    name = Domain("text.example.org")
    ends = await finder.ask_signature_ends((there, gone), name, "TXT")
    assert ends == ((there, START + LIFETIME),)
    await running.close()

"""The demo's name server, asked by dnspython."""

import asyncio
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from letterlock.network.dns_server import MAX_CONNECTIONS
from letterlock.network.zone_server import ZoneServer

ZONE = """
@       MX    10 mx1
        MX    20 mx2
mx1     A     192.0.2.1
        AAAA  2001:db8::1
alias   CNAME mx1
away    CNAME mx.other.example.
dead    CNAME nothing
a.b     TXT   "deep"
big     TXT   "{0}" "{0}" "{0}" "{0}" "{0}" "{0}"
""".format("x" * 250)


@pytest.fixture
async def server() -> AsyncIterator[ZoneServer]:
    server = ZoneServer({"example.com": ZONE, "other.example": "mx A 192.0.2.9"})
    yield server
    await server.close()


async def ask(
    server: ZoneServer, name: str, rdtype: str, *, use_tcp: bool = False
) -> dns.message.Message:
    host, port = await server.start()
    query = dns.message.make_query(name, rdtype, use_edns=0, payload=1232)
    send = dns.asyncquery.tcp if use_tcp else dns.asyncquery.udp
    return await send(query, host, port=port, timeout=5)


def texts(message: dns.message.Message) -> set[str]:
    return {
        f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
        for rrset in message.answer
        for rdata in rrset
    }


@pytest.mark.parametrize("use_tcp", [False, True])
async def test_records_are_served(server: ZoneServer, use_tcp: bool) -> None:
    """RFC 1035 §4.2"""
    response = await ask(server, "example.com", "MX", use_tcp=use_tcp)
    assert texts(response) == {
        "example.com. MX 10 mx1.example.com.",
        "example.com. MX 20 mx2.example.com.",
    }
    assert response.flags & dns.flags.AA
    assert not response.flags & dns.flags.AD


@pytest.mark.parametrize(
    ("name", "rdtype", "expected"),
    [
        (
            "alias.example.com",
            "A",
            {"alias.example.com. CNAME mx1.example.com.", "mx1.example.com. A 192.0.2.1"},
        ),
        (
            "away.example.com",
            "A",
            {"away.example.com. CNAME mx.other.example.", "mx.other.example. A 192.0.2.9"},
        ),
        ("alias.example.com", "CNAME", {"alias.example.com. CNAME mx1.example.com."}),
    ],
)
async def test_aliases_are_followed(
    server: ZoneServer, name: str, rdtype: str, expected: set[str]
) -> None:
    """RFC 1034 §4.3.2"""
    assert texts(await ask(server, name, rdtype)) == expected


@pytest.mark.parametrize(
    ("name", "rcode", "has_soa"),
    [
        ("mx1.example.com", dns.rcode.NOERROR, True),
        ("b.example.com", dns.rcode.NOERROR, True),
        ("nothing.example.com", dns.rcode.NXDOMAIN, True),
        ("dead.example.com", dns.rcode.NXDOMAIN, True),
        ("elsewhere.test", dns.rcode.NXDOMAIN, False),
    ],
)
async def test_what_is_not_there_is_nodata_or_nxdomain(
    server: ZoneServer, name: str, rcode: dns.rcode.Rcode, has_soa: bool
) -> None:
    """RFC 1034 §4.3.2; RFC 4592 §2.2.2: a name with names below it exists."""
    response = await ask(server, name, "TXT")
    assert response.rcode() == rcode
    assert bool(response.authority) is has_soa


async def test_what_is_too_big_for_a_datagram_is_truncated(server: ZoneServer) -> None:
    """RFC 1035 §4.2.1"""
    response = await ask(server, "big.example.com", "TXT")
    assert response.flags & dns.flags.TC
    assert not response.answer


async def test_by_tcp_nothing_is_truncated(server: ZoneServer) -> None:
    """RFC 1035 §4.2.2"""
    response = await ask(server, "big.example.com", "TXT", use_tcp=True)
    assert not response.flags & dns.flags.TC
    assert len(texts(response)) == 1


async def test_a_zone_of_aliases_in_a_circle_is_answered() -> None:
    server = ZoneServer({"example.com": "a CNAME b\nb CNAME a"})
    response = await ask(server, "a.example.com", "A")
    await server.close()
    assert len(texts(response)) == 2


async def test_a_zone_may_bring_its_own_soa_and_be_authentic() -> None:
    zone = "@ SOA ns.example.com. h.example.com. 7 1 1 1 5\n@ A 192.0.2.1"
    server = ZoneServer({"example.com": zone}, authentic_data=True)
    response = await ask(server, "example.com", "SOA")
    await server.close()
    assert texts(response) == {"example.com. SOA ns.example.com. h.example.com. 7 1 1 1 5"}
    assert response.flags & dns.flags.AD


async def test_records_can_be_changed(server: ZoneServer) -> None:
    server.set("mx1.example.com", "A", "192.0.2.7", "192.0.2.8")
    response = await ask(server, "mx1.example.com", "A")
    assert len(texts(response)) == 2


async def test_records_can_be_removed(server: ZoneServer) -> None:
    server.set("alias.example.com", "CNAME")
    response = await ask(server, "alias.example.com", "A")
    assert response.rcode() == dns.rcode.NXDOMAIN


def test_records_outside_the_zones_are_a_mistake(server: ZoneServer) -> None:
    with pytest.raises(ValueError, match="in none of the zones"):
        server.set("elsewhere.test", "A", "192.0.2.1")


async def test_names_can_be_made_to_fail(server: ZoneServer) -> None:
    server.fail("mx1.example.com", "REFUSED")
    response = await ask(server, "mx1.example.com", "A")
    assert response.rcode() == dns.rcode.REFUSED


async def test_names_can_be_made_silent_and_restored(server: ZoneServer) -> None:
    query = dns.message.make_query("mx1.example.com", "A").to_wire()
    server.fail("mx1.example.com", None)
    assert server.answer(query, is_datagram=True) is None
    server.restore("mx1.example.com")
    assert server.answer(query, is_datagram=True) is not None


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"junk",
        bytes(12),
        dns.message.make_response(dns.message.make_query("example.com", "A")).to_wire(),
    ],
)
def test_what_is_no_query_is_not_answered(server: ZoneServer, wire: bytes) -> None:
    assert server.answer(wire, is_datagram=True) is None


async def test_a_connection_with_junk_is_closed(server: ZoneServer) -> None:
    reader, writer = await asyncio.open_connection(*await server.start())
    writer.write(b"\0\x04junk")
    assert await reader.read() == b""
    writer.close()


async def test_a_client_may_leave_in_the_middle(server: ZoneServer) -> None:
    reader, writer = await asyncio.open_connection(*await server.start())
    writer.write(b"\0\x40half")
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


async def test_connections_are_bounded(server: ZoneServer) -> None:
    address = await server.start()
    query = dns.message.make_query("mx1.example.com", "A").to_wire()
    held = []
    for _ in range(MAX_CONNECTIONS):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(len(query).to_bytes(2) + query)
        await reader.readexactly(2)
        held.append(writer)
    reader, writer = await asyncio.open_connection(*address)
    assert await reader.read() == b""
    for each in (*held, writer):
        each.close()


async def test_a_port_that_is_taken_is_an_error(server: ZoneServer) -> None:
    address = await server.start()
    other = ZoneServer({})
    with pytest.raises(OSError, match="in use"):
        await other.start(*address)
    await other.close()

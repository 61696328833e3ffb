"""Asking one authoritative server: what it has, and what it does not say."""

import errno
import os
from collections.abc import AsyncIterator, Callable

import dns.flags
import dns.message
import dns.rrset
import pytest

from letterlock.base.domains import Domain
from letterlock.network import dns_authority
from letterlock.network.dns_authority import (
    NotSaid,
    Served,
    ask_authority,
    ask_delegation,
    ask_signature_end,
)
from letterlock.network.dns_server import DnsServer
from letterlock.network.zone_server import ZoneServer
from letterlock.network.zone_signing import LIFETIME, make_key
from tests.fakes import START

ZONE = """
    @       NS    ns1
    @       NS    bad\\040name
    ns1     A     192.0.2.1
    text    TXT   "one " "string"
    text    TXT   "other"
    long    TXT   "{long}"
    _25._tcp.mx1 3600 TLSA 3 1 1 {digest}
    alias   CNAME text
""".format(long='" "'.join("x" * 250 for _ in range(4)), digest="AB" * 32)

Answerer = Callable[[dns.message.Message], dns.message.Message | None]


@pytest.fixture
async def server() -> AsyncIterator[tuple[str, int]]:
    running = ZoneServer({"example.org": ZONE})
    yield await running.start()
    await running.close()


async def test_records_are_given_in_one_form(server: tuple[str, int]) -> None:
    """RFC 1035 §3.3.14: the strings of a TXT record are one text; RFC 6698 §2.2."""
    assert await ask_authority(server, Domain("text.example.org"), "TXT") == Served(
        frozenset({"one string", "other"}), 60
    )
    name = Domain("_25._tcp.mx1.example.org")
    assert await ask_authority(server, name, "TLSA") == Served(
        frozenset({f"3 1 1 {'ab' * 32}"}), 3600
    )


@pytest.mark.parametrize("name", ["nothing.example.org", "ns1.example.org", "alias.example.org"])
async def test_that_there_is_nothing_is_an_answer(server: tuple[str, int], name: str) -> None:
    """No such name, no such type; and an alias is no record of the type that is asked for."""
    assert await ask_authority(server, Domain(name), "TXT") == Served(frozenset())


async def test_a_long_answer_comes_by_tcp(server: tuple[str, int]) -> None:
    """RFC 1035 §4.2.1: no EDNS, so 512 octets by UDP."""
    found = await ask_authority(server, Domain("long.example.org"), "TXT")
    assert found == Served(frozenset({"x" * 1000}), 60)


async def test_it_asks_for_no_recursion() -> None:
    """RFC 1034 §4.3.1: of a server that could, what others have would be told."""
    flags = []

    def answer(query: dns.message.Message) -> dns.message.Message:
        flags.append(query.flags & (dns.flags.RD | dns.flags.AD | dns.flags.CD))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        return response

    running = DnsServer(answer)
    await ask_authority(await running.start(), Domain("example.org"), "TXT")
    await running.close()
    assert flags == [0]


async def test_an_answer_without_authority_does_not_count() -> None:
    """RFC 1035 §4.1.1 (AA)."""

    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.answer.append(dns.rrset.from_text("example.org.", 60, "IN", "TXT", '"cached"'))
        return response

    running = DnsServer(answer)
    found = await ask_authority(await running.start(), Domain("example.org"), "TXT")
    await running.close()
    assert found == NotSaid("it does not serve this zone")


async def test_what_a_server_refuses_is_told() -> None:
    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.set_rcode(dns.rcode.REFUSED)
        return response

    running = DnsServer(answer)
    found = await ask_authority(await running.start(), Domain("example.org"), "TXT")
    await running.close()
    assert found == NotSaid("it says REFUSED")


async def test_a_server_that_is_silent_or_gone_is_told() -> None:
    running = DnsServer(lambda _: None)
    address = await running.start()
    silent = await ask_authority(address, Domain("example.org"), "TXT", 0.05)
    await running.close()
    assert silent == NotSaid("no answer within 0.05 seconds")
    gone = await ask_authority(address, Domain("example.org"), "TXT")
    assert gone == NotSaid("it can't be reached: Connection refused")


async def test_a_truncated_answer_that_tcp_does_not_complete() -> None:
    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.TC
        return response

    class Halting(DnsServer):
        def answer(self, wire: bytes, *, is_datagram: bool) -> bytes | None:
            return super().answer(wire, is_datagram=is_datagram) if is_datagram else None

    running = Halting(answer)
    found = await ask_authority(await running.start(), Domain("example.org"), "TXT")
    await running.close()
    assert found == NotSaid("it ended the connection without an answer")


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED])
async def test_that_we_can_not_send_there_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async def fail(*_: object) -> None:
        raise OSError(number, "whatever")

    monkeypatch.setattr(dns_authority, "exchange_udp", fail)
    found = await ask_authority(("2001:db8::1", 53), Domain("example.org"), "TXT")
    is_ours = number != errno.ECONNREFUSED
    assert found == NotSaid(f"it can't be reached: {os.strerror(number)}", has_no_way=is_ours)


async def test_servers_are_found_in_an_answer_and_in_a_referral(server: tuple[str, int]) -> None:
    """RFC 1034 §6.2.6."""
    zone = Domain("example.org")
    assert await ask_delegation(server, zone) == {"ns1.example.org"}

    def refer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        hosts = (f"ns{number}.example.net." for number in range(3))
        response.authority.append(dns.rrset.from_text("example.org.", 60, "IN", "NS", *hosts))
        response.authority.append(dns.rrset.from_text("example.com.", 60, "IN", "NS", "ns9."))
        return response

    running = DnsServer(refer)
    address = await running.start()
    assert await ask_delegation(address, zone) == {f"ns{n}.example.net" for n in range(3)}
    await running.close()
    assert await ask_delegation(address, zone) == frozenset()


async def test_it_is_told_until_when_records_are_signed() -> None:
    """RFC 4034 §3.1.5"""
    running = ZoneServer({"example.org": ZONE}, keys={"example.org": make_key()}, now=START)
    server = await running.start()
    name = Domain("text.example.org")
    assert await ask_signature_end(server, name, "TXT") == START + LIFETIME
    assert await ask_signature_end(server, name, "MX") is None
    await running.close()
    assert await ask_signature_end(server, name, "TXT", seconds=0.1) is None


async def test_records_that_are_not_signed_have_no_end(server: tuple[str, int]) -> None:
    assert await ask_signature_end(server, Domain("text.example.org"), "TXT") is None

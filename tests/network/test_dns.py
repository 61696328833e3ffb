"""The stub resolver: against the zone server, and against servers that misbehave."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
import uvloop

from letterlock.base.config.outbound import DnsSection
from letterlock.base.config.values import ResolverAddress
from letterlock.base.domains import Domain, parse_domain
from letterlock.network.dns import (
    StubResolver,
    make_stub_resolver,
    parse_resolv_conf,
)
from letterlock.network.dns_exchange import MAX_STRAY_DATAGRAMS
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.dns.answers import (
    Answer,
    CaaRecord,
    Existence,
    MxRecord,
    Security,
    TlsaRecord,
)
from tests.accepting import accepting
from tests.event_loops import make_time_pass
from tests.free_ports import free_port

ZONES = {
    "example.com": """
        @      MX    10 mx1
        @      MX    20 mx.other.example.
        mx1    A     192.0.2.1
        mx1    AAAA  2001:db8::1
        alias  CNAME mx1
        null   MX    0 .
        b._tcp TLSA  3 1 0 00112233
        text   TXT   "v=STSv1; " "id=1"
    """,
    "2.0.192.in-addr.arpa": "1 PTR mx1.example.com.",
}
NAME = parse_domain("example.com")
QUICK = timedelta(milliseconds=50)

Reply = Callable[[dns.message.Message], list[bytes]]


def make_resolver(address: tuple[str, int], **settings: Any) -> StubResolver:
    chosen: dict[str, Any] = {
        "timeout": timedelta(seconds=5),
        "random": random.Random(1),
        **settings,
    }
    return StubResolver(*address, **chosen)


@asynccontextmanager
async def zone_server(*, authentic_data: bool = False) -> AsyncIterator[tuple[str, int]]:
    server = ZoneServer(ZONES, authentic_data=authentic_data)
    yield await server.start()
    await server.close()


class Responder(asyncio.DatagramProtocol):
    """Answers each query by UDP, and by TCP, with what a test's functions give."""

    def __init__(self, by_udp: Reply, by_tcp: Reply | None) -> None:
        self._by_udp = by_udp
        self._by_tcp = by_tcp
        self.queries: list[dns.message.Message] = []
        self.ports: list[int] = []

    def connection_made(
        self,
        transport: asyncio.DatagramTransport,  # type: ignore[override]  # it gets no other
    ) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self.queries.append(query)
        self.ports.append(addr[1])
        for datagram in self._by_udp(query):
            self._transport.sendto(datagram, addr)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2))
        query = dns.message.from_wire(await reader.readexactly(size))
        for message in self._by_tcp(query) if self._by_tcp else []:
            writer.write(message)
        writer.close()


@asynccontextmanager
async def responding(
    by_udp: Reply, by_tcp: Reply | None = None
) -> AsyncIterator[tuple[Responder, tuple[str, int]]]:
    responder = Responder(by_udp, by_tcp)
    async with accepting(responder.serve_tcp, port=free_port()) as port:
        address = ("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        udp, _ = await loop.create_datagram_endpoint(lambda: responder, local_addr=address)
        yield responder, address
        udp.close()


def reply(
    query: dns.message.Message,
    *records: str,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    flags: int = 0,
    errors: tuple[int, ...] = (),
) -> bytes:
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    response.flags |= flags
    for text in records:
        name, ttl, rdtype, rdata = text.split(maxsplit=3)
        response.answer.append(dns.rrset.from_text(name, int(ttl), "IN", rdtype, rdata))
    if errors:
        codes = [dns.edns.EDECode.make(code) for code in errors]
        response.use_edns(0, options=[dns.edns.EDEOption(code, "words") for code in codes])
    return response.to_wire()


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


A_RECORD = "example.com. 60 A 192.0.2.1"
FOUND = (IPv4Address("192.0.2.1"),)


async def ask_by(by_udp: Reply, by_tcp: Reply | None = None, **settings: Any) -> Answer:
    async with responding(by_udp, by_tcp) as (_, address):
        return await make_resolver(address, **settings).ask(NAME, "A")


# Against a real server


@pytest.mark.parametrize(
    ("name", "rdtype", "records"),
    [
        (
            "example.com",
            "MX",
            {MxRecord(10, Domain("mx1.example.com")), MxRecord(20, Domain("mx.other.example"))},
        ),
        ("null.example.com", "MX", {MxRecord(0, None)}),
        ("mx1.example.com", "A", {IPv4Address("192.0.2.1")}),
        ("alias.example.com", "AAAA", {IPv6Address("2001:db8::1")}),
        ("b._tcp.example.com", "TLSA", {TlsaRecord(3, 1, 0, b"\x00\x11\x22\x33")}),
        ("text.example.com", "TXT", {b"v=STSv1; id=1"}),
        ("1.2.0.192.in-addr.arpa", "PTR", {"mx1.example.com"}),
    ],
)
async def test_records_are_found(name: str, rdtype: str, records: set[object]) -> None:
    async with zone_server() as address:
        answer = await make_resolver(address).ask(Domain(name), rdtype)
    assert set(answer.records) == records
    assert (answer.security, answer.existence) == (Security.INSECURE, Existence.RECORDS)
    assert answer.ttl == 60


async def test_that_there_is_nothing_is_an_answer() -> None:
    async with zone_server() as address:
        resolver = make_resolver(address)
        nodata = await resolver.ask(Domain("mx1.example.com"), "MX")
        nxdomain = await resolver.ask(Domain("nothing.example.com"), "MX")
    assert (nodata.is_answer, nodata.existence, nodata.ttl) == (True, Existence.NODATA, 60)
    assert (nxdomain.is_answer, nxdomain.existence) == (True, Existence.NXDOMAIN)


def test_uvloop_does_as_well() -> None:
    async def ask() -> list[Answer]:
        async with zone_server() as address, asyncio.TaskGroup() as group:
            resolver = make_resolver(address)
            tasks = [group.create_task(resolver.ask(NAME, "MX")) for _ in range(20)]
        return [task.result() for task in tasks]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert all(len(answer.records) == 2 for answer in runner.run(ask()))


# DNSSEC


async def test_the_ad_bit_of_a_loopback_resolver_counts() -> None:
    """RFC 4035 §3.2.3; RFC 7672 §2.1.1; rule 26"""
    async with zone_server(authentic_data=True) as address:
        answer = await make_resolver(address).ask(Domain("alias.example.com"), "A")
    assert answer.security is Security.SECURE
    assert [link.security for link in answer.cnames] == [Security.SECURE]


@pytest.mark.parametrize(
    ("address", "trust_ad", "is_trusted"),
    [
        ("127.0.0.53", False, True),
        ("::1", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("192.0.2.1", False, False),
        ("192.0.2.1", True, True),
        ("fe80::1%lo", False, False),
    ],
)
def test_the_ad_bit_counts_only_from_loopback_or_where_it_is_trusted(
    address: str, trust_ad: bool, is_trusted: bool
) -> None:
    """RFC 4035 §3.2.3, §4.9.3; rule 26"""
    assert make_resolver((address, 53), trust_ad=trust_ad).is_trusted is is_trusted


async def test_the_ad_bit_of_an_untrusted_resolver_is_insecure() -> None:
    async with zone_server(authentic_data=True) as address:
        resolver = make_resolver(address)
        resolver._is_ad_trusted = False
        assert (await resolver.ask(NAME, "MX")).security is Security.INSECURE


async def test_what_is_given_only_with_checking_disabled_is_bogus() -> None:
    """RFC 4035 §3.2.2, RFC 8914 §4; rule 26"""

    def by_udp(query: dns.message.Message) -> list[bytes]:
        if query.flags & dns.flags.CD:
            return [reply(query, A_RECORD)]
        return [reply(query, rcode=dns.rcode.SERVFAIL, errors=(0,))]

    answer = await ask_by(by_udp)
    assert (answer.security, answer.records) == (Security.BOGUS, ())
    assert answer.reason == "DNSSEC validation failed (Other Error: words)"
    assert answer.extended_error == 0


async def test_a_resolver_that_says_bogus_is_not_asked_again() -> None:
    """RFC 8914 §4.7 to §4.13; another error may come first"""

    def by_udp(query: dns.message.Message) -> list[bytes]:
        return [reply(query, rcode=dns.rcode.SERVFAIL, errors=(22, 9))]

    async with responding(by_udp) as (responder, address):
        answer = await make_resolver(address).ask(NAME, "A")
    assert (answer.security, answer.extended_error) == (Security.BOGUS, 9)
    assert answer.reason == "DNSSEC validation failed (DNSKEY Missing: words)"
    assert len(responder.queries) == 1


async def test_what_cannot_be_decided_has_failed() -> None:
    """RFC 4035 §4.3, RFC 8914 §4.6: indeterminate is no answer either. Rule 26"""
    answer = await ask_by(lambda query: [reply(query, rcode=dns.rcode.SERVFAIL, errors=(5,))])
    assert answer.security is Security.FAILED


async def test_bogus_needs_no_extended_error() -> None:
    def by_udp(query: dns.message.Message) -> list[bytes]:
        is_unchecked = query.flags & dns.flags.CD
        return [reply(query, rcode=dns.rcode.NXDOMAIN if is_unchecked else dns.rcode.SERVFAIL)]

    answer = await ask_by(by_udp)
    assert (answer.security, answer.reason) == (Security.BOGUS, "DNSSEC validation failed")


async def test_what_fails_unchecked_too_has_failed() -> None:
    answer = await ask_by(lambda query: [reply(query, rcode=dns.rcode.SERVFAIL, errors=(22,))])
    assert answer.security is Security.FAILED
    assert answer.reason == "the name server said SERVFAIL (No Reachable Authority: words)"


async def test_no_answer_to_the_unchecked_question_leaves_the_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pass_time = make_time_pass(monkeypatch)

    def by_udp(query: dns.message.Message) -> list[bytes]:
        if query.flags & dns.flags.CD:
            pass_time(3600.0)
            return []
        return [reply(query, rcode=dns.rcode.SERVFAIL)]

    answer = await ask_by(by_udp, attempts=1)
    assert (answer.security, answer.reason) == (
        Security.FAILED,
        "the name server said SERVFAIL",
    )


# Misbehaviour


@pytest.mark.parametrize("rcode", [dns.rcode.REFUSED, dns.rcode.NOTIMP])
async def test_other_codes_are_failures(rcode: dns.rcode.Rcode) -> None:
    answer = await ask_by(lambda query: [reply(query, rcode=rcode)])
    assert answer.security is Security.FAILED
    assert dns.rcode.to_text(rcode) in answer.reason


async def test_an_error_may_come_without_the_question() -> None:
    def by_udp(query: dns.message.Message) -> list[bytes]:
        return [query.id.to_bytes(2) + b"\x81\x85" + bytes(8)]

    assert (await ask_by(by_udp)).reason == "the name server said REFUSED"


async def test_responses_to_other_questions_are_passed_over() -> None:
    """Forged or late datagrams must not be taken, nor end the wait for the true one."""

    def by_udp(query: dns.message.Message) -> list[bytes]:
        other_id = dns.message.make_query(NAME, "A", id=query.id ^ 1)
        other_name = dns.message.make_query("other.example", "A", id=query.id)
        other_type = dns.message.make_query(NAME, "AAAA", id=query.id)
        no_question = query.id.to_bytes(2) + b"\x81\x80" + bytes(8)
        strays = [
            reply(stray, "example.com. 60 A 192.0.2.66")
            for stray in (other_id, other_name, other_type)
        ]
        return [b"", b"garbage", no_question, *strays, reply(query, A_RECORD)]

    assert (await ask_by(by_udp)).records == FOUND


async def test_a_flood_of_strays_ends_the_attempt() -> None:
    def by_udp(query: dns.message.Message) -> list[bytes]:
        stray = dns.message.make_query("other.example", "A", id=query.id)
        return [reply(stray)] * MAX_STRAY_DATAGRAMS

    answer = await ask_by(by_udp)
    assert answer.security is Security.FAILED
    assert "nothing but responses to other questions" in answer.reason


async def test_the_query_itself_sent_back_is_malformed() -> None:
    answer = await ask_by(lambda query: [query.to_wire()])
    assert "malformed response: the message is no response" in answer.reason


async def test_a_malformed_tlsa_record_is_a_failed_lookup() -> None:
    """RFC 7672 §2.1.2: never taken for no record. Rule 29"""
    answer = await ask_for_raw("TLSA", b"\3\1")
    assert answer.security is Security.FAILED
    assert answer.reason.endswith("malformed response: a TLSA record is too short")


async def ask_for_raw(rdtype: str, *rdatas: bytes) -> Answer:
    """Ask a server that has records which dnspython would not write."""
    number = dns.rdatatype.from_text(rdtype)

    def by_udp(query: dns.message.Message) -> list[bytes]:
        response = bytearray(reply(query))
        response[7] = len(rdatas)
        position = 12 + len(query.question[0].name.to_wire() or b"") + 4
        records = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", number, 1, 60, len(rdata)) + rdata
            for rdata in rdatas
        )
        return [bytes(response[:position] + records + response[position:])]

    async with responding(by_udp) as (_, address):
        return await make_resolver(address).ask(NAME, rdtype)


async def test_caa_records_that_break_the_rules_are_told_or_fail_the_lookup() -> None:
    """RFC 8659 §4.1: a record that cannot be read is never taken for no record. Rule 165"""
    odd = await ask_for_raw("CAA", b"\0\3a-bx", b"\0\5issueca.example")
    assert odd.records == (CaaRecord(0, b"a-b", b"x"), CaaRecord(0, b"issue", b"ca.example"))
    broken = await ask_for_raw("CAA", b"\0\5issueca.example", b"\0\x10issue;")
    assert (broken.security, broken.records) == (Security.FAILED, ())
    assert broken.reason.endswith("malformed response: a CAA record is shorter than its tag")


async def test_a_malformed_response_is_asked_for_again() -> None:
    answers: list[Callable[[dns.message.Message], bytes]] = [
        lambda query: reply(query, A_RECORD)[:-2],
        lambda query: reply(query, A_RECORD),
    ]
    assert (await ask_by(lambda query: [answers.pop(0)(query)])).records == FOUND


async def test_a_truncated_response_is_asked_for_by_tcp() -> None:
    """RFC 1035 §4.2.1, RFC 2181 §9"""
    answer = await ask_by(
        lambda query: [reply(query, "example.com. 60 A 192.0.2.66", flags=dns.flags.TC)],
        lambda query: [framed(reply(query, A_RECORD))],
    )
    assert answer.records == FOUND


@pytest.mark.parametrize(
    ("by_tcp", "reason"),
    [
        (lambda _: [], "0 bytes read on a total of 2 expected bytes"),
        (lambda query: [framed(reply(query, A_RECORD))[:-1]], "expected bytes"),
        (lambda query: [framed(reply(query, A_RECORD)[:-1])], "malformed response"),
        (lambda _: [framed(b"")], "malformed response"),
        (lambda query: [framed(reply(query, flags=dns.flags.TC))], "truncated response by TCP"),
        (
            lambda query: [framed(reply(dns.message.make_query(NAME, "A", id=query.id ^ 1)))],
            "another question by TCP",
        ),
        (
            lambda query: [framed(reply(dns.message.make_query(NAME, "MX", id=query.id)))],
            "another question by TCP",
        ),
    ],
)
async def test_what_is_wrong_by_tcp_fails(by_tcp: Reply, reason: str) -> None:
    answer = await ask_by(lambda query: [reply(query, flags=dns.flags.TC)], by_tcp)
    assert answer.security is Security.FAILED
    assert reason in answer.reason


async def test_a_lost_query_is_sent_again_with_another_id_and_port() -> None:
    def by_udp(query: dns.message.Message) -> list[bytes]:
        return [reply(query, A_RECORD)] if len(responder.queries) > 1 else []

    async with responding(by_udp) as (responder, address):
        answer = await make_resolver(address, timeout=QUICK, attempts=50).ask(NAME, "A")
    assert answer.records == FOUND
    assert len({query.id for query in responder.queries[:2]}) == 2
    assert len(set(responder.ports[:2])) == 2


async def test_silence_fails_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    pass_time = make_time_pass(monkeypatch)

    def be_silent(_: dns.message.Message) -> list[bytes]:
        pass_time(5.0)
        return []

    async with responding(be_silent) as (responder, address):
        answer = await make_resolver(address, attempts=3).ask(NAME, "A")
    host, port = address
    assert answer.security is Security.FAILED
    assert answer.reason == f"resolver {host}:{port} did not answer in time"
    assert len(responder.queries) == 3


async def test_slow_aliases_cannot_stretch_the_time() -> None:
    """A chain of aliases, each served alone, shares the time of one question."""
    async with responding(lambda _: []) as (responder, address):

        def by_udp(query: dns.message.Message) -> list[bytes]:
            if len(responder.queries) % 2:
                return []
            number = len(responder.queries)
            return [reply(query, f"{query.question[0].name} 60 CNAME n{number}.example.")]

        responder._by_udp = by_udp
        answer = await make_resolver(address, timeout=QUICK, attempts=2).ask(NAME, "A")
    assert answer.security is Security.FAILED
    assert len(responder.queries) <= 4


async def test_nobody_there_fails() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = taken.getsockname()
    answer = await make_resolver(address).ask(NAME, "A")
    assert answer.security is Security.FAILED
    assert "refused" in answer.reason


async def test_a_server_without_edns_is_asked_without() -> None:
    """RFC 6891 §7"""

    def by_udp(query: dns.message.Message) -> list[bytes]:
        if query.edns >= 0:
            return [query.id.to_bytes(2) + b"\x81\x81" + bytes(8)]
        return [reply(query, A_RECORD)]

    assert (await ask_by(by_udp)).records == FOUND
    assert "FORMERR" in (await ask_by(by_udp, attempts=1)).reason


async def test_a_server_that_reads_no_query_at_all_fails() -> None:
    answer = await ask_by(lambda query: [reply(query, rcode=dns.rcode.FORMERR)], attempts=3)
    assert answer.reason == "the name server said FORMERR"


# Aliases over several responses


async def test_an_alias_without_its_target_is_asked_on() -> None:
    """RFC 7672 §2.1.3: the target is queried; an insecure link makes the whole insecure."""

    def by_udp(query: dns.message.Message) -> list[bytes]:
        if str(query.question[0].name) == "example.com.":
            return [reply(query, "example.com. 60 CNAME b.example.")]
        return [reply(query, "b.example. 30 A 192.0.2.1", flags=dns.flags.AD)]

    answer = await ask_by(by_udp)
    assert (answer.name, answer.owner, answer.records) == (NAME, "b.example", FOUND)
    assert (answer.security, answer.ttl) == (Security.INSECURE, 30)


async def test_aliases_over_several_responses_are_bounded() -> None:
    """RFC 7672 §2.2.1: up to a limit"""
    async with responding(lambda _: []) as (responder, address):
        responder._by_udp = lambda query: [
            reply(query, f"{query.question[0].name} 60 CNAME n{len(responder.queries)}.example.")
        ]
        answer = await make_resolver(address).ask(NAME, "A")
    assert (answer.security, answer.reason) == (Security.FAILED, "it has more than 10 aliases")
    assert len(responder.queries) == 11


async def test_a_failure_behind_an_alias_is_the_whole_s() -> None:
    def by_udp(query: dns.message.Message) -> list[bytes]:
        if str(query.question[0].name) == "example.com.":
            return [reply(query, "example.com. 60 CNAME b.example.")]
        return [reply(query, rcode=dns.rcode.REFUSED)]

    answer = await ask_by(by_udp)
    assert (answer.name, answer.security) == (NAME, Security.FAILED)
    assert [link.target for link in answer.cnames] == ["b.example"]


# Settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("127.0.0.1", False)),
        ("# nameserver 192.0.2.9\nnameserver\nnameserver odd\n", ("127.0.0.1", False)),
        ("nameserver 192.0.2.1\nnameserver 192.0.2.2\n", ("192.0.2.1", False)),
        ("search a\nnameserver\t::1\noptions edns0 trust-ad\noptions\n", ("::1", True)),
    ],
)
def test_resolv_conf_names_the_resolver(text: str, expected: tuple[str, bool]) -> None:
    assert parse_resolv_conf(text) == expected


def test_without_a_setting_the_system_s_resolver_is_asked(tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolver = make_stub_resolver(DnsSection(), random.Random(1), resolv_conf=resolv_conf)
    assert str(resolver) == "resolver 127.0.0.1:53"
    resolv_conf.write_text("nameserver 2001:db8::1\noptions trust-ad\n")
    resolver = make_stub_resolver(DnsSection(), random.Random(1), resolv_conf=resolv_conf)
    assert str(resolver) == "resolver [2001:db8::1]:53"
    assert resolver._is_ad_trusted


def test_the_setting_comes_first(tmp_path: Path) -> None:
    section = DnsSection(resolver=ResolverAddress("192.0.2.3", 5353), trust_ad=True)
    resolver = make_stub_resolver(section, random.Random(1), resolv_conf=tmp_path / "none")
    assert str(resolver) == "resolver 192.0.2.3:5353"
    assert resolver._is_ad_trusted

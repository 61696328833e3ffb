"""What a session at a host of a test is answered, and what is noted of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.network.smtp_owner import Peer
from letterlock.protocols.inbound.cases import Case, HostNames, Place
from letterlock.protocols.inbound.facts import MAX_SESSIONS, InboundTest, SessionSeen
from letterlock.protocols.smtp.envelope import Envelope, Recipient, TlsDemand
from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.server_session import (
    Aside,
    ClientNamed,
    Hello,
    MailFrom,
    MessageStart,
    OriginTold,
    ProtocolError,
    Quit,
    RcptTo,
)
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.services.observe.register import Register
from letterlock.services.observe.session import MAX_PER_CLIENT, ObservedSession, Observer
from letterlock.storage.inbound_tests import InboundTests, make_token
from tests.fakes import FakeClock, FakeLog

BASE = "senders.example"
ALICE = "alice@example.org"


class World:
    """A register on a disk, and sessions beside each other."""

    def __init__(self, folder: Path, tasks: asyncio.TaskGroup) -> None:
        self.clock, self.log = FakeClock(), FakeLog()
        self.folder = folder
        self.tests = InboundTests(folder)
        keys = map(str, count())
        self.observer = Observer(
            names=HostNames(Domain(BASE)),
            register=Register(self.tests, self.clock),
            clock=self.clock,
            log=self.log,
            make_key=lambda: next(keys),
            tasks=tasks,
            clients={},
        )

    def new(self) -> str:
        now = self.clock.now()
        test = InboundTest(make_token(), now, now + timedelta(days=1), tuple(Case))
        self.tests.add(test, most=100)
        return test.token

    def session(self, place: Place = Place.SHARED, ip: str = "192.0.2.1") -> ObservedSession:
        session = ObservedSession(self.observer, Peer(ip, 1), place)
        assert session.start_connection(is_crowded=False) is None
        session.answer_hello(Hello("mx.sender.example", is_extended=True))
        return session

    def seen(self, token: str) -> tuple[SessionSeen, ...]:
        test = self.tests.load(token)
        assert test is not None
        return test.sessions

    async def wait_for(self, token: str, sessions: int) -> tuple[SessionSeen, ...]:
        """Wait for sessions that are kept when their connection is over."""
        async with asyncio.timeout(60):
            while len(self.seen(token)) < sessions:  # noqa: ASYNC110 - of a file
                await asyncio.sleep(0.005)
        return self.seen(token)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with asyncio.TaskGroup() as tasks:
        yield World(tmp_path / "inbound", tasks)


def rcpt(session: ObservedSession, address: str) -> int:
    answer = session.answer_rcpt(RcptTo(parse_mailbox(address)))
    assert isinstance(answer, Reply)
    return answer.code


async def deliver(session: ObservedSession, *addresses: str, requiretls: bool = False) -> int:
    """Hand a message over; gives the code at its end."""
    session.answer_mail(MailFrom(parse_mailbox(ALICE)))
    for address in addresses:
        assert rcpt(session, address) == 250
    demand = TlsDemand.REQUIRETLS if requiretls else TlsDemand.NORMAL
    envelope = Envelope(ALICE, tuple(map(Recipient, addresses)), tls_demand=demand)
    assert session.answer_message(MessageStart(is_chunked=False, envelope=envelope)).code == 354
    assert session.take_octets(b"dropped") is None
    return (await session.answer_end()).code


def handshake(sni: str | None) -> Handshake:
    return Handshake("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, "X25519", sni)


async def test_what_was_seen_is_kept_before_the_250(world: World) -> None:
    token = world.new()
    session = world.session()
    session.note_tls(handshake("mx.good.senders.example"), None)
    assert await deliver(session, f"{token}@good.{BASE}", requiretls=True) == 250
    (seen,) = world.seen(token)
    assert seen.delivered == seen.cases == (Case.GOOD,)
    assert seen.requiretls
    assert seen.tls is not None
    assert (seen.tls.version, seen.tls.sni) == ("TLSv1.3", "mx.good.senders.example")
    (line,) = world.log.texts
    assert line.startswith(f"noted: from=<{ALICE}>, client=[192.0.2.1], hosts=good, ")
    assert line.endswith("tls=TLSv1.3/TLS_AES_256_GCM_SHA384/sni=mx.good.senders.example")
    session.end_connection("quit")


async def test_two_tests_in_one_session_do_not_mix(world: World) -> None:
    one, other = world.new(), world.new()
    session = world.session()
    assert await deliver(session, f"{one}@good.{BASE}", f"{other}@sts.{BASE}") == 250
    assert await deliver(session, f"{one}@wrong-name.{BASE}") == 250
    assert [each.delivered for each in world.seen(one)] == [(Case.GOOD, Case.WRONG_NAME)]
    assert [each.delivered for each in world.seen(other)] == [(Case.MTA_STS,)]


async def test_what_cannot_be_kept_is_not_accepted(world: World) -> None:
    """RFC 5321 §4.2.5: the 250 says that we have it; the sender comes again."""
    token = world.new()
    session = world.session()
    (world.folder / f"{token}.new").mkdir()  # in the way
    assert await deliver(session, f"{token}@good.{BASE}") == 452
    assert "cannot be kept" in world.log.texts[0]
    session.end_connection("quit")


async def test_a_place_takes_mail_for_its_own_hosts_only(world: World) -> None:
    """RFC 5321 §3.3"""
    token = world.new()
    for place in Place:
        session = world.session(place)
        taken = [case for case in Case if rcpt(session, f"{token}@{case}.{BASE}") == 250]
        assert len(taken) == {Place.SHARED: 4}.get(place, 1)
        assert rcpt(session, "alice@example.org") == 550
        assert rcpt(session, f"postmaster@good.{BASE}") == 550
        session.end_connection("quit")


async def test_a_test_that_has_seen_enough_takes_no_more(world: World) -> None:
    token = world.new()
    many = tuple(
        SessionSeen(f"k{number}", world.clock.now(), "::1", Place.SHARED)
        for number in range(MAX_SESSIONS)
    )
    world.tests.change(
        token, lambda test: InboundTest(token, test.created, test.expires, (), sessions=many)
    )
    assert rcpt(world.session(), f"{token}@good.{BASE}") == 452


async def test_who_named_a_recipient_and_left_is_kept(world: World) -> None:
    token = world.new()
    session = world.session()
    session.answer_mail(MailFrom(None))
    rcpt(session, f"{token}@bad-tlsa.{BASE}")
    session.drop_message()
    session.end_connection("lost connection")
    (seen,) = await world.wait_for(token, 1)
    assert (seen.cases, seen.delivered) == ((Case.BAD_TLSA,), ())


async def test_the_host_of_who_left_is_told_by_the_name_in_its_handshake(world: World) -> None:
    """RFC 6066 §3"""
    token = world.new()
    assert await deliver(world.session(), f"{token}@good.{BASE}") == 250
    session = world.session()
    failure = HandshakeFailed(
        FailureCause.ALERT_RECEIVED, "bad certificate", sni="mx.sts.senders.example"
    )
    session.note_tls_failure(failure)
    session.note_tls_failure(failure)
    session.end_connection("lost connection after STARTTLS")
    seen = (await world.wait_for(token, 2))[1]
    assert (seen.cases, seen.failure, seen.is_guessed) == ((Case.MTA_STS,), "bad certificate", True)


async def test_the_host_is_told_by_the_address_where_there_is_one_only(world: World) -> None:
    token = world.new()
    assert await deliver(world.session(), f"{token}@good.{BASE}") == 250
    session = world.session(Place.EXPIRED)
    session.note_tls(handshake(None), None)
    session.note_tls_failure(HandshakeFailed(FailureCause.RESET, "later"))
    session.end_connection("lost connection")
    seen = (await world.wait_for(token, 2))[1]
    assert (seen.cases, seen.failure) == ((Case.EXPIRED,), None)


async def test_a_client_has_so_many_connections(world: World) -> None:
    sessions = [world.session() for _ in range(MAX_PER_CLIENT)]
    late = ObservedSession(world.observer, Peer("192.0.2.1", 1), Place.SHARED)
    refusal = late.start_connection(is_crowded=False)
    assert refusal is not None
    assert refusal.code == 421
    late.end_connection("refused")
    for session in sessions:
        session.end_connection("quit")
        session.end_connection("twice")
    assert world.observer.clients == {}
    other = ObservedSession(world.observer, Peer("192.0.2.2", 1), Place.SHARED)
    assert other.start_connection(is_crowded=True) is not None


async def test_what_a_session_does_besides_is_nothing_to_us(world: World) -> None:
    session = world.session()
    session.note_command(Quit())
    session.note_command(Aside("NOOP"))
    session.note_origin(OriginTold({}))
    session.note_error(ProtocolError(Reply(500), ""))
    refusal = await session.log_in("alice")
    assert refusal is not None
    assert refusal.is_permanent
    with pytest.raises(AssertionError):
        session.name_client(ClientNamed({}))

"""Addresses are asked politely: so often, so slowly, and once for all domains of a run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address

import pytest

from letterlock.network.probes import ProbeQuestion
from letterlock.protocols.check.facts import AskedSni, Probe, State
from letterlock.protocols.pki.throwaway_ca import KeyKind
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.services.check import asking
from letterlock.services.check.asking import Asker, Door
from tests.fakes import FakeClock
from tests.network.certificates import issue

HOST = "mx.example.org"
DOOR = Door(ip_address("192.0.2.1"), 25, HOST)
TOO_OLD = HandshakeFailed(FailureCause.VERSION, "no common version")


def shake(key: KeyKind = "ec") -> Handshake:
    chain = issue((HOST,), key).chain_der
    return Handshake("TLSv1.3", "AES", 256, None, HOST, chain)


@dataclass
class World:
    """One host as it answers, and when it was asked what."""

    answer: Callable[[ProbeQuestion], Probe]
    clock: FakeClock = field(default_factory=FakeClock)
    asked: list[ProbeQuestion] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    async def probe(self, door: Door, question: ProbeQuestion) -> Probe:
        assert (door.ip, door.port) == (DOOR.ip, DOOR.port)
        self.asked.append(question)
        self.times.append(self.clock.monotonic())
        return self.answer(question)

    async def wait(self, seconds: float) -> None:
        self.clock.move(timedelta(seconds=seconds))

    def asker(self, connections: int = 3) -> Asker:
        return Asker(self.probe, self.clock, connections=connections, pace=1.5, wait=self.wait)


def answer(question: ProbeQuestion) -> Probe:
    return Probe(
        question.asked,
        State.OK,
        question.sni,
        question.key,
        handshake=shake(),
        is_starttls_offered=True,
    )


async def test_a_name_none_and_a_wrong_one_are_what_is_asked_by_default() -> None:
    world = World(answer)
    probes = await world.asker().ask(DOOR)
    assert [(each.asked, each.sni, each.key, each.state) for each in probes] == [
        (AskedSni.OWN, HOST, None, State.OK),
        (AskedSni.NONE, None, None, State.OK),
        (AskedSni.WRONG, "unknown.invalid", None, State.OK),
        (AskedSni.OWN, HOST, KeyType.RSA, State.NOT_TESTED),
    ]
    assert world.times == [0.0, 1.5, 3.0]


@pytest.mark.parametrize(("connections", "made"), [(1, 1), (2, 2), (3, 3), (4, 4), (9, 4)])
async def test_no_more_connections_than_are_allowed(connections: int, made: int) -> None:
    world = World(answer)
    probes = await world.asker(connections).ask(DOOR)
    assert len(world.asked) == made
    assert [each.state for each in probes].count(State.NOT_TESTED) == 4 - made


async def test_domains_share_what_an_address_showed() -> None:
    world = World(answer)
    asker = world.asker()
    first = await asker.ask(DOOR)
    assert await asker.ask(DOOR) is first
    assert len(world.asked) == 3
    # Another name at the same address is another question, at the same pace.
    await asker.ask(Door(DOOR.ip, DOOR.port, "mx2.example.org"))
    assert world.times == [0.0, 1.5, 3.0, 4.5, 6.0, 7.5]
    asker.forget(DOOR)
    await asker.ask(DOOR)
    assert len(world.asked) == 9


async def test_who_blocks_us_is_not_asked_again() -> None:
    world = World(lambda question: Probe(question.asked, State.BLOCKED, question.sni))
    probes = await world.asker().ask(DOOR)
    assert [each.state for each in probes] == [State.BLOCKED]
    assert len(world.asked) == 1


async def test_blocked_in_the_middle_the_rest_is_left_out() -> None:
    def block(question: ProbeQuestion) -> Probe:
        if question.asked is AskedSni.OWN:
            return answer(question)
        return Probe(question.asked, State.BLOCKED, question.sni)

    world = World(block)
    probes = await world.asker(9).ask(DOOR)
    states = [each.state for each in probes]
    assert states == [State.OK, State.BLOCKED, State.NOT_TESTED, State.NOT_TESTED]
    assert len(world.asked) == 2


async def test_a_server_that_is_too_old_for_strict_senders_is_asked_as_others_do() -> None:
    def old(question: ProbeQuestion) -> Probe:
        handshake = shake("rsa") if question.is_old_welcome else TOO_OLD
        state = State.OK if question.is_old_welcome else State.FINDING
        return Probe(question.asked, state, HOST, handshake=handshake, is_starttls_offered=True)

    world = World(old)
    first, none, *_ = await world.asker().ask(DOOR)
    assert (first.handshake, first.strict_failure) == (shake("rsa"), TOO_OLD)
    assert first.state is State.FINDING
    assert (none.asked, none.handshake) == (AskedSni.NONE, TOO_OLD)
    # With one connection it is not known why.
    alone = await World(old).asker(1).ask(DOOR)
    assert alone[0].handshake is TOO_OLD


async def test_what_fails_for_everybody_is_told_as_it_failed() -> None:
    def fail(question: ProbeQuestion) -> Probe:
        return Probe(
            question.asked, State.FINDING, None, handshake=TOO_OLD, is_starttls_offered=True
        )

    own, none = await World(fail).asker().ask(DOOR)
    assert own.strict_failure is None
    assert none.asked is AskedSni.NONE


async def test_without_tls_nothing_more_is_asked() -> None:
    world = World(lambda question: Probe(question.asked, State.FINDING, question.sni))
    assert len(await world.asker().ask(DOOR)) == 1


async def test_a_host_without_a_name_is_asked_without_one() -> None:
    world = World(answer)
    probes = await world.asker(9).ask(Door(DOOR.ip, DOOR.port, None))
    assert [(each.asked, each.key) for each in probes] == [
        (AskedSni.OWN, None),
        (AskedSni.OWN, KeyType.RSA),
    ]


async def test_a_server_that_prefers_rsa_is_asked_for_ecdsa() -> None:
    def rsa(question: ProbeQuestion) -> Probe:
        return Probe(question.asked, State.OK, question.sni, question.key, handshake=shake("rsa"))

    *_, last = await World(rsa).asker().ask(DOOR)
    assert last.key is KeyType.ECDSA
    nameless = World(
        lambda question: Probe(
            question.asked,
            State.OK,
            handshake=Handshake("TLSv1.2", "AECDH", 128, None, HOST),
        )
    )
    assert all(each.key is None for each in await nameless.asker().ask(DOOR))


async def test_only_so_many_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MAX_KEPT", 1)
    world = World(answer)
    asker = world.asker(1)
    other = Door(DOOR.ip, DOOR.port, "mx2.example.org")
    for door in (DOOR, other, DOOR):
        await asker.ask(door)
    assert len(world.asked) == 3

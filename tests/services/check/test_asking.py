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
HOST2 = "mx2.example.org"
DOOR = Door(ip_address("192.0.2.1"), 25, HOST)
OTHER = Door(DOOR.ip, DOOR.port, HOST2)
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
        assert door.ip == DOOR.ip
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
    # A name more would be a fourth connection.
    (other,) = await asker.ask(OTHER)
    assert other.state is State.NOT_TESTED
    assert other.detail == "not tested: 3 connections to this address are as many as are allowed"
    assert len(world.asked) == 3
    # Another service of the address is another host's, maybe.
    await asker.ask(Door(DOOR.ip, 465, HOST))
    assert len(world.asked) == 6


async def test_a_further_name_is_one_connection_more_where_they_are_left() -> None:
    world = World(answer)
    asker = world.asker(5)
    first = await asker.ask(DOOR)
    other = await asker.ask(OTHER)
    assert [each.sni for each in other] == ["mx2.example.org", None, "unknown.invalid", HOST2]
    assert [each.state for each in other][:3] == [State.OK] * 3
    assert other[1:3] == first[1:3]
    assert other[3].state is State.NOT_TESTED
    assert world.times == [0.0, 1.5, 3.0, 4.5, 6.0]


async def test_one_certificate_for_all_names_tells_of_those_that_it_is_good_for() -> None:
    def answer_all(question: ProbeQuestion) -> Probe:
        chain = issue(("*.example.org",)).chain_der
        handshake = Handshake("TLSv1.3", "AES", 256, None, question.sni, chain)
        return Probe(
            question.asked,
            State.OK,
            question.sni,
            handshake=handshake,
            is_starttls_offered=True,
            offers_requiretls=question.asked is AskedSni.OWN,
            detail="TLS",
        )

    world = World(answer_all)
    asker = world.asker()
    await asker.ask(DOOR)
    own, *rest = await asker.ask(OTHER)
    assert (own.asked, own.sni, own.state) == (AskedSni.OWN, HOST2, State.OK)
    assert isinstance(own.handshake, Handshake)
    assert (own.handshake.sni, own.offers_requiretls) == (HOST2, True)
    assert own.detail == "TLS (as for any name: not asked once more)"
    assert [each.state for each in rest] == [State.OK, State.OK, State.NOT_TESTED]
    (stranger,) = await asker.ask(Door(DOOR.ip, DOOR.port, "mx.example.net"))
    assert stranger.state is State.NOT_TESTED
    assert len(world.asked) == 3


async def test_where_names_get_certificates_of_their_own_nothing_follows_from_others() -> None:
    def answer_each(question: ProbeQuestion) -> Probe:
        name = question.sni if question.asked is AskedSni.WRONG else HOST2
        chain = issue((name or "",)).chain_der
        handshake = Handshake("TLSv1.3", "AES", 256, None, question.sni, chain)
        return Probe(question.asked, State.OK, question.sni, None, handshake)

    asker = World(answer_each).asker()
    await asker.ask(DOOR)
    assert (await asker.ask(OTHER))[0].state is State.NOT_TESTED


async def test_who_put_us_off_is_asked_again_when_that_is_wanted() -> None:
    """RFC 5321 §4.2.5. It stays so only if it does so again."""
    is_busy = True

    def serve(question: ProbeQuestion) -> Probe:
        if is_busy:
            return Probe(question.asked, State.BLOCKED, question.sni, detail="it said 421")
        return answer(question)

    world = World(serve)
    asker = world.asker()
    assert (await asker.ask(DOOR))[0].state is State.BLOCKED
    # No other name is asked for meanwhile: it is the address that is busy.
    (other,) = await asker.ask(OTHER)
    assert (other.state, other.sni, other.detail) == (State.BLOCKED, HOST2, "it said 421")
    assert (await asker.ask(DOOR))[0].state is State.BLOCKED
    assert len(world.asked) == 1
    world.clock.move(timedelta(seconds=20))
    is_busy = False
    assert asker.forget_blocked() == 20.0
    states = [each.state for each in await asker.ask(DOOR)]
    # Three connections in all.
    assert states == [State.OK, State.OK, State.NOT_TESTED, State.NOT_TESTED]
    assert len(world.asked) == 3
    assert asker.forget_blocked() is None


async def test_what_was_answered_before_it_put_us_off_is_not_asked_again() -> None:
    replies = [answer(ProbeQuestion(AskedSni.OWN, HOST))]
    replies.append(Probe(AskedSni.NONE, State.BLOCKED, None, detail="it said 421"))

    def serve(question: ProbeQuestion) -> Probe:
        return replies.pop(0) if replies else answer(question)

    world = World(serve)
    asker = world.asker()
    assert [each.state for each in await asker.ask(DOOR)][1] is State.BLOCKED
    assert asker.forget_blocked() is not None
    assert [each.state for each in await asker.ask(DOOR)] == [
        State.OK,
        State.OK,
        State.NOT_TESTED,
        State.NOT_TESTED,
    ]
    asked = [each.asked for each in world.asked]
    assert asked == [AskedSni.OWN, AskedSni.NONE, AskedSni.NONE]


async def test_who_always_puts_us_off_is_asked_as_often_as_is_allowed_and_no_more() -> None:
    world = World(lambda question: Probe(question.asked, State.BLOCKED, question.sni))
    asker = world.asker(2)
    await asker.ask(DOOR)
    assert asker.forget_blocked() == 0.0
    await asker.ask(DOOR)
    assert asker.forget_blocked() is None
    await asker.ask(DOOR)
    assert len(world.asked) == 2


async def test_an_address_that_does_not_answer_does_so_for_no_name() -> None:
    world = World(lambda question: Probe(question.asked, State.UNREACHABLE, question.sni))
    asker = world.asker()
    for door in (DOOR, OTHER):
        assert [each.state for each in await asker.ask(door)] == [State.UNREACHABLE]
    assert asker.forget_blocked() is None
    assert len(world.asked) == 1


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
    # What it shows to clients without SNI is asked in the same way, and as good for strict ones.
    assert (none.asked, none.handshake) == (AskedSni.NONE, shake("rsa"))
    assert none.strict_failure is TOO_OLD
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
    monkeypatch.setattr(asking, "MAX_PLACES", 1)
    world = World(answer)
    asker = world.asker(1)
    further = Door(DOOR.ip, 465, HOST)
    for door in (DOOR, further, DOOR):
        await asker.ask(door)
    assert len(world.asked) == 3


async def test_visits_for_other_purposes_wait_for_their_turn_and_keep_the_pace() -> None:
    world = World(answer)
    asker = world.asker(1)

    async def visit() -> str:
        world.times.append(world.clock.monotonic())
        return "seen"

    assert await asker.visit(DOOR, visit) == "seen"
    await asker.ask(DOOR)
    assert [await asker.visit(DOOR, visit) for _ in range(2)] == ["seen", "seen"]
    assert world.times == [0.0, 1.5, 3.0, 4.5]
    # They are no connections of the kind that is counted.
    assert len(world.asked) == 1


@pytest.mark.parametrize(
    ("cause", "state", "said"),
    [
        (FailureCause.VERSION, State.NOT_TESTED, "it speaks TLS 1.3 only"),
        (FailureCause.ALERT_RECEIVED, State.OK, "it has no RSA key"),
        (FailureCause.RESET, State.OK, "it has no RSA key"),
        (FailureCause.TIMED_OUT, State.FINDING, "silent"),
    ],
)
async def test_a_key_of_another_type_that_is_not_shown_is_no_fault(
    cause: FailureCause, state: State, said: str
) -> None:
    """RFC 5246 §7.4.2: a suite of TLS 1.2 says which key; in TLS 1.3 none does."""

    def refuse(question: ProbeQuestion) -> Probe:
        if question.key is None:
            return answer(question)
        failed = HandshakeFailed(cause, "silent")
        parts = (question.asked, State.FINDING, question.sni, question.key)
        return Probe(*parts, handshake=failed, detail="silent")

    *_, other = await World(refuse).asker(4).ask(DOOR)
    assert (other.key, other.state) == (KeyType.RSA, state)
    assert said in other.detail

"""An address is looked at deeply: once, at its pace, with so many connections, and no more."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.network.deep_probes import Gate, Letter, PutOff
from letterlock.network.probes import ProbeQuestion
from letterlock.protocols.check.deep import (
    DeepFacts,
    Ending,
    Injection,
    Offered,
    TriedEnding,
)
from letterlock.protocols.check.facts import Probe
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3, ClientHello, parse_client_hello
from letterlock.protocols.tls.hello_writer import SSL_3_0, Offer
from letterlock.protocols.tls.server_flight import Answer
from letterlock.services.check import deep
from letterlock.services.check.asking import Asker, Door
from letterlock.services.check.deep import ENDINGS, DeepLooker, DeepTerms, Means, write_letter
from letterlock.services.check.deep_document import describe_deep
from tests.fakes import FakeClock
from tests.protocols.check.simulated_tls import SimulatedTls

HOST = "mx.example.org"
DOOR = Door(ip_address("192.0.2.1"), 25, HOST)
WHOLE = 18
"""What the simulated server is asked: 17 hellos and a command."""
PUT_OFF = PutOff("it said 421 4.7.0 too many connections")


@dataclass
class World:
    """A host that answers as a simulated server; `blocked_after` so many it puts us off."""

    server: SimulatedTls = field(default_factory=SimulatedTls)
    blocked_after: int = 1000
    put_off: PutOff = PUT_OFF
    silent_for: tuple[int, ...] = ()
    command: tuple[Injection, str] = (Injection.DISCARDED, "250 mx.example.org")
    ending: Ending = Ending.NOT_TAKEN
    clock: FakeClock = field(default_factory=FakeClock)
    times: list[float] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    def looker(
        self, connections: int = 100, owned: str | None = None, pace: float = 1.5
    ) -> DeepLooker:
        asker = Asker(self._probe, self.clock, pace=pace, wait=self._wait)
        domain = Domain(owned) if owned else None
        terms = DeepTerms("checker.example", 20.0, connections, domain)
        means = Means(self._hello, self._command, self._ending)
        return DeepLooker(asker, terms, self.clock, lambda octets: b"r" * octets, means)

    def look(
        self, connections: int = 100, owned: str | None = None, door: Door = DOOR
    ) -> DeepFacts:
        return asyncio.run(self.looker(connections, owned).look(door))

    async def _probe(self, door: Door, question: ProbeQuestion) -> Probe:
        raise AssertionError(f"{door} is asked {question}: only --deep is to connect here")

    async def _wait(self, seconds: float) -> None:
        self.clock.move(timedelta(seconds=seconds))

    def _is_put_off(self, gate: Gate) -> bool:
        self.times.append(self.clock.monotonic())
        self.gates.append(gate)
        return len(self.times) > self.blocked_after

    async def _hello(self, gate: Gate, hello: bytes) -> Answer | PutOff:
        if self._is_put_off(gate):
            return self.put_off
        offered = parse_client_hello(hello)
        assert isinstance(offered, ClientHello)
        if offered.versions[0] in self.silent_for:
            return PutOff("it was silent", is_silent=True)
        return self.server.answer(
            Offer(offered.versions[0], offered.cipher_suites, offered.groups, offered.sni)
        )

    async def _command(self, gate: Gate) -> tuple[Injection, str] | PutOff:
        return self.put_off if self._is_put_off(gate) else self.command

    async def _ending(self, gate: Gate, letter: Letter, text: str) -> TriedEnding | PutOff:
        self.letters.append(letter)
        return self.put_off if self._is_put_off(gate) else TriedEnding(text, self.ending)


def test_all_is_asked_at_the_address_pace() -> None:
    world = World()
    found = world.look()
    assert (found.connections, found.stopped, found.sni) == (WHOLE, None, HOST)
    assert found.injection is Injection.DISCARDED
    assert found.tls.are_suites_complete
    assert world.times == [number * 1.5 for number in range(WHOLE)]
    assert set(world.gates) == {Gate("192.0.2.1", 25, "checker.example", 20.0, sni=HOST)}
    # MAIL is not said.
    assert (world.letters, found.endings) == ([], ())


async def test_an_address_is_looked_at_once_whatever_the_name() -> None:
    world = World()
    looker = world.looker()
    other = Door(DOOR.ip, DOOR.port, "mx2.example.org")
    found = await asyncio.gather(looker.look(DOOR), looker.look(other), looker.look(DOOR))
    assert found[0] is found[1] is found[2]
    assert len(world.times) == WHOLE


async def test_only_so_many_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep, "MAX_KEPT", 1)
    world = World()
    looker = world.looker()
    for port in (25, 26, 25):
        await looker.look(Door(DOOR.ip, port, HOST))
    assert len(world.times) == 3 * WHOLE


@pytest.mark.parametrize("connections", [1, 2, 6, 12, WHOLE - 1])
def test_no_more_connections_than_are_allowed(connections: int) -> None:
    """The trick behind STARTTLS is tried all the same: one is kept for it."""
    world = World()
    found = world.look(connections)
    assert found.connections == len(world.times) == connections
    assert found.stopped == f"{connections - 1} connections are as many as are allowed"
    assert found.injection is Injection.DISCARDED
    assert not found.tls.are_suites_complete


@pytest.mark.parametrize("after", [0, 1, 5, 9, WHOLE - 1])
def test_who_puts_us_off_is_left_alone_and_the_rest_is_not_tested(after: int) -> None:
    world = World(blocked_after=after)
    found = world.look(owned="example.org")
    assert found.connections == len(world.times) == after + 1
    assert found.stopped == PUT_OFF.detail
    assert found.injection is Injection.NOT_TESTED
    assert {each.ending for each in found.endings} == {Ending.NOT_TESTED}
    if after == 1:
        assert found.tls.find(TLS_1_3) is Offered.YES
        assert found.tls.find(TLS_1_2) is Offered.UNKNOWN


def test_a_hello_that_meets_silence_is_refused_but_not_three_times() -> None:
    found = World(silent_for=(SSL_3_0,)).look()
    assert (found.stopped, found.tls.find(SSL_3_0)) == (None, Offered.NO)
    world = World(silent_for=(TLS_1_2, 0x0302, 0x0301))
    assert world.look().stopped == "it was silent"
    assert len(world.times) == 4


def test_services_that_do_not_speak_smtp_have_only_tls() -> None:
    world = World()
    found = world.look(owned="example.org", door=Door(DOOR.ip, 993, HOST, Speech.TLS))
    assert (found.connections, found.injection) == (WHOLE - 1, Injection.NOT_TESTED)
    assert world.letters == []


@pytest.mark.parametrize("ending", [Ending.TAKEN, Ending.NOT_TAKEN])
def test_messages_go_to_the_postmaster_of_a_domain_that_is_ones_own(ending: Ending) -> None:
    world = World(ending=ending)
    found = world.look(owned="example.org")
    assert [each.text for each in found.endings] == list(ENDINGS)
    assert {each.ending for each in found.endings} == {ending}
    assert found.connections == WHOLE + len(ENDINGS)
    assert {letter.recipient for letter in world.letters} == {"postmaster@example.org"}


def test_the_message_says_what_it_is() -> None:
    """RFC 5322 §3.6, RFC 3834 §5."""
    letter = write_letter(Domain("example.org"), "checker.example", "<LF>.<LF>", FakeClock().now())
    lines = letter.head.decode().split("\r\n")
    assert "Subject: A test: is <LF>.<LF> the end of a message?" in lines
    assert "Auto-Submitted: auto-generated" in lines
    assert any(line.startswith("Message-ID: <") and "@checker.example>" in line for line in lines)
    assert "\n" not in letter.head.decode().replace("\r\n", "")


def test_the_document() -> None:
    found = World(blocked_after=12).look(owned="example.org")
    document = describe_deep(found)
    assert document is not None
    assert document["connections"] == 13
    assert document["stopped"] == PUT_OFF.detail
    assert document["versions"] == {
        "TLSv1.3": "offered",
        "TLSv1.2": "offered",
        "TLSv1.1": "refused",
        "TLSv1": "refused",
        "SSLv3": "refused",
    }
    assert document["groups"] == ["X25519MLKEM768", "x25519", "secp256r1"]
    assert document["injection"] == {"state": "not tested", "detail": ""}
    assert document["smuggling"][0] == {
        "ending": "<LF>.<LF>",
        "state": "not tested",
        "detail": PUT_OFF.detail,
    }
    whole = describe_deep(World().look())
    assert whole is not None
    assert whole["suites"][1] == {
        "name": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "version": "TLSv1.2",
        "dh_bits": None,
        "weaknesses": [],
    }
    assert (whole["order"], whole["is_complete"], whole["smuggling"]) == ("server", True, [])
    assert describe_deep(None) is None

"""tls-alpn-01 by our own listeners: RFC 8737 §3, RFC 8738 §6."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letterlock.base.config.values import ListenAddress
from letterlock.network.alpn_server import AlpnResponder, AlpnServer
from letterlock.network.policy_host import PolicyHost
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.services.certify.solvers import Proof
from letterlock.services.certify.solving.alpn import AlpnChallenges, AlpnSolver
from letterlock.services.certify.solving.stored import LIFETIME, OwnListeners
from letterlock.storage.queue import StoreUnavailable
from tests.accepting import accepting
from tests.fakes import FakeChallengeStore, FakeClock
from tests.listening import listening
from tests.network.certificates import issue, make_chooser

TOKEN = "DGyRejmCefe7v4NfDGDKfA"
IDENTIFIERS = ("mx1.example.org", "192.0.2.1", "2001:db8::1")


def proof(name: str, token: str = TOKEN) -> Proof:
    return Proof(parse_identifier(name), token, f"{token}.thumbprint")


@pytest.fixture
def store() -> FakeChallengeStore:
    return FakeChallengeStore()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["own", "shared"])
async def port(
    request: pytest.FixtureRequest, store: FakeChallengeStore, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[int]:
    """Run a node's listener, on a port of its own or on the policy host's."""
    responder = AlpnResponder(AlpnChallenges(store, clock).find_certificate)
    certificates = make_chooser(tmp_path, issue(("mta-sts.example.org",)))
    own = AlpnServer(responder)
    shared = PolicyHost(lambda _: None, certificates, clock, responder)
    async with listening(own.run if request.param == "own" else shared.run) as opened:
        yield opened


def make_solver(store: FakeChallengeStore, clock: FakeClock, port: int) -> AlpnSolver:
    return AlpnSolver(store, clock, OwnListeners([ListenAddress("127.0.0.1", port)]))


@pytest.mark.parametrize("name", IDENTIFIERS)
async def test_a_proof_is_seen_before_the_authority_is_asked(
    store: FakeChallengeStore, clock: FakeClock, port: int, name: str
) -> None:
    solver = make_solver(store, clock, port)
    assert await solver.present(proof(name)) is None
    await solver.cleanup(proof(name))
    assert store.challenges == {}


async def test_any_node_makes_the_certificate(store: FakeChallengeStore, clock: FakeClock) -> None:
    assert await AlpnSolver(store, clock).present(proof("192.0.2.1")) is None
    challenges = AlpnChallenges(store, clock)
    made = await challenges.find_certificate("1.2.0.192.in-addr.arpa")
    assert made is not None
    assert made.server_name == "1.2.0.192.in-addr.arpa"
    for name in ("192.0.2.1", "2.2.0.192.in-addr.arpa", "mx1.example.org", ""):
        assert await challenges.find_certificate(name) is None


async def test_a_proof_has_an_end(store: FakeChallengeStore, clock: FakeClock) -> None:
    await AlpnSolver(store, clock).present(proof("mx1.example.org"))
    clock.move(LIFETIME)
    assert await AlpnChallenges(store, clock).find_certificate("mx1.example.org") is None


async def test_a_proof_for_another_challenge_is_none(
    store: FakeChallengeStore, clock: FakeClock
) -> None:
    await AlpnSolver(store, clock).present(proof("mx1.example.org"))
    (found,) = store.challenges.values()
    assert found.kind == "tls-alpn-01"
    assert await store.find_by_token("http-01", TOKEN, clock.now()) is None


async def test_a_later_proof_of_the_same_name_is_what_is_told_of(
    store: FakeChallengeStore, clock: FakeClock, port: int
) -> None:
    """A validator says no more than the name: of two orders at once the first one fails."""
    later = make_solver(store, clock, port)
    first = make_solver(store, clock, port)
    assert await first.present(proof("mx1.example.org")) is None
    clock.move(LIFETIME / 2)
    assert await later.present(proof("mx1.example.org", TOKEN.swapcase())) is None
    clock.move(-LIFETIME / 2)
    told = await first.present(proof("mx1.example.org"))
    assert told is not None
    assert told.endswith("a certificate for another key authorization")


async def test_a_store_that_is_not_there_shows_nothing(
    store: FakeChallengeStore, clock: FakeClock, port: int
) -> None:
    store.fault = StoreUnavailable("no space left")
    assert await AlpnChallenges(store, clock).find_certificate("mx1.example.org") is None
    solver = make_solver(store, clock, port)
    told = await solver.present(proof("mx1.example.org"))
    assert told == "the proof can't be stored: no space left"
    await solver.cleanup(proof("mx1.example.org"))


async def test_a_server_that_knows_no_acme_is_told(
    store: FakeChallengeStore, clock: FakeClock, tmp_path: Path
) -> None:
    certificates = make_chooser(tmp_path, issue(("mta-sts.example.org",)))
    async with listening(PolicyHost(lambda _: None, certificates, clock).run) as port:
        told = await make_solver(store, clock, port).present(proof("mx1.example.org"))
    assert told is not None
    assert told.endswith(": a TLS server that does not know acme-tls/1")


async def test_a_server_without_tls_is_told(store: FakeChallengeStore, clock: FakeClock) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example.org ESMTP\r\n")

    async with accepting(serve) as port:
        told = await make_solver(store, clock, port).present(proof("mx1.example.org"))
    assert told is not None
    assert told.startswith(f"our own listener does not show the proof: 127.0.0.1:{port}: ")

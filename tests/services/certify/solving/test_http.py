"""http-01 by our own listeners: RFC 8555 §8.3."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from letterlock.base.config.values import ListenAddress
from letterlock.network.http_server import HttpAsked, HttpServer
from letterlock.protocols.acme.challenges import http_path
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.services.certify.solvers import Proof
from letterlock.services.certify.solving.http import HttpChallenges, HttpSolver
from letterlock.services.certify.solving.stored import LIFETIME, OwnListeners
from letterlock.storage.queue import StoreUnavailable
from tests.accepting import accepting
from tests.fakes import FakeChallengeStore, FakeClock
from tests.listening import listening

TOKEN = "DGyRejmCefe7v4NfDGDKfA"
PROOF = Proof(parse_identifier("mx1.example.org"), TOKEN, f"{TOKEN}.thumbprint")
BODY = PROOF.key_authorization.encode()


@dataclass
class Node:
    """One of the nodes that share a store, with its listener on a port."""

    store: FakeChallengeStore
    clock: FakeClock
    challenges: HttpChallenges
    port: int

    @property
    def solver(self) -> HttpSolver:
        return HttpSolver(self.store, self.clock, OwnListeners([self.address]))

    @property
    def address(self) -> ListenAddress:
        return ListenAddress("127.0.0.1", self.port)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    store, clock = FakeChallengeStore(), FakeClock()
    challenges = HttpChallenges(store, clock)
    async with listening(HttpServer(challenges.answer, clock).run) as port:
        yield Node(store, clock, challenges, port)


async def fetch(port: int, path: str, host: str = "mx1.example.org") -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode("latin-1"))
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


async def test_a_proof_is_there_from_presenting_to_cleaning_up(node: Node) -> None:
    path = http_path(TOKEN)
    assert await fetch(node.port, path) == (404, b"404 Not Found\r\n")
    assert await node.solver.present(PROOF) is None
    assert await fetch(node.port, path) == (200, BODY)
    await node.solver.cleanup(PROOF)
    assert await fetch(node.port, path) == (404, b"404 Not Found\r\n")
    assert node.store.challenges == {}


async def test_a_token_has_one_answer_whatever_the_host(node: Node) -> None:
    """RFC 8555 §8.3: an authority may come by redirects."""
    await node.solver.present(PROOF)
    for host in ("other.example", "192.0.2.1:80", "[2001:db8::1]", ""):
        assert await fetch(node.port, http_path(TOKEN), host) == (200, BODY)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/.well-known/acme-challenge/",
        f"/.well-known/acme-challenge/../acme-challenge/{TOKEN}",
        f"/.well-known/acme-challenge/%2e%2e/acme-challenge/{TOKEN}",
        f"/.well-known/acme-challenge/{TOKEN}/..",
        f"/.well-known/acme-challenge/{TOKEN[:-1]}",
        f"/.well-known/acme-challenge/{TOKEN.lower()}",
        f"/.well-known/acme-challenge/{TOKEN}%00",
        f"//.well-known/acme-challenge/{TOKEN}",
    ],
)
async def test_nothing_else_is_found(node: Node, path: str) -> None:
    await node.solver.present(PROOF)
    assert await fetch(node.port, path) == (404, b"404 Not Found\r\n")


async def test_any_node_answers_for_any_other(node: Node) -> None:
    other = HttpSolver(node.store, node.clock)
    assert await other.present(PROOF) is None
    assert await fetch(node.port, http_path(TOKEN)) == (200, BODY)


async def test_a_proof_that_nobody_took_away_has_an_end(node: Node) -> None:
    await node.solver.present(PROOF)
    node.clock.move(LIFETIME - timedelta(seconds=1))
    assert await fetch(node.port, http_path(TOKEN)) == (200, BODY)
    node.clock.move(timedelta(seconds=1))
    assert (await fetch(node.port, http_path(TOKEN)))[0] == 404


async def test_a_store_that_is_not_there_is_told(node: Node) -> None:
    await node.solver.present(PROOF)
    node.store.fault = StoreUnavailable("database is locked")
    answer = await node.challenges.answer(HttpAsked("mx1.example.org", http_path(TOKEN)))
    assert answer.status == 503
    reason = await node.solver.present(PROOF)
    assert reason == "the proof can't be stored: database is locked"
    await node.solver.cleanup(PROOF)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP status 404"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "'hello' is not the key authorization",
        ),
        (b"HTTP/1.1 301 x\r\nLocation: https://a/\r\nContent-Length: 0\r\n\r\n", "HTTP status 301"),
        (b"220 mx.example.org ESMTP\r\n", "not a response in HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", "more than 8192 octets"),
    ],
)
async def test_another_server_on_the_port_is_told_before_the_authority_is_asked(
    response: bytes, reason: str
) -> None:
    """RFC 8555 §8.2: what it would have seen is said in words."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)

    async with accepting(serve) as port:
        own = OwnListeners([ListenAddress("127.0.0.1", port)])
        told = await HttpSolver(FakeChallengeStore(), FakeClock(), own).present(PROOF)
    assert told is not None
    assert told.startswith(f"our own listener does not show the proof: 127.0.0.1:{port}: ")
    assert reason in told

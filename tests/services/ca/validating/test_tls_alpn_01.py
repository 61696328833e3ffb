"""tls-alpn-01 against our own listeners, and servers that show something else.

RFC 8737 §3, §4; RFC 8738 §6.
"""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from letterlock.network.alpn_server import AlpnResponder, AlpnServer
from letterlock.protocols.acme.challenges import (
    ALPN,
    ChallengeCertificate,
    make_challenge_certificate,
)
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.services.ca.validating.looks import look_at_challenge
from letterlock.services.ca.validating.outcomes import Looked
from letterlock.services.certify.solvers import Proof
from letterlock.services.certify.solving.alpn import AlpnChallenges, AlpnSolver
from tests.fakes import START, FakeChallengeStore, FakeClock
from tests.listening import listening
from tests.network.certificates import issue, write_pair
from tests.services.ca.validating.scene import (
    BOUNDS,
    PROOF,
    TOKEN,
    RecordingDialer,
    Scene,
    answering,
    expect,
)

NAME = "a.example"


async def look(port: int, name: str = NAME, seconds: float = 20.0) -> Looked:
    scene = Scene(dialer=RecordingDialer({443: port}))
    scene.host(NAME, "b.example")
    bounds = replace(BOUNDS, seconds=seconds)
    return await look_at_challenge(expect(name, "tls-alpn-01"), scene.perspective(), bounds)


def describe(looked: Looked) -> str:
    assert looked.problem is not None
    assert looked.problem.detail.isprintable()
    return f"{looked.problem.type}: {looked.problem.detail}"


@asynccontextmanager
async def showing(certificate: ChallengeCertificate) -> AsyncIterator[int]:
    async def find(server_name: str) -> ChallengeCertificate | None:
        return certificate if server_name == certificate.server_name else None

    async with listening(AlpnServer(AlpnResponder(find)).run) as port:
        yield port


@pytest.mark.parametrize("name", [NAME, "127.0.0.1"])
async def test_our_own_solver_is_seen(name: str) -> None:
    """RFC 8738 §6: an address is asked for by its reverse name. Rule 235"""
    store, clock = FakeChallengeStore(), FakeClock()
    solver = AlpnSolver(store, clock)
    proof = Proof(parse_identifier(name), TOKEN, PROOF)
    assert await solver.present(proof) is None
    responder = AlpnResponder(AlpnChallenges(store, clock).find_certificate)
    async with listening(AlpnServer(responder).run) as port:
        looked = await look(port, name)
        assert looked.is_passed, looked
        assert looked.steps[0] == "connected to 127.0.0.1 port 443"
        assert looked.steps[1].startswith("TLSv1.3, ALPN acme-tls/1, certificate SHA-256 ")
        await solver.cleanup(proof)
        assert describe(await look(port, name)).startswith(f"tls: {name}: ")


async def test_a_proof_of_another_account_or_name_is_none() -> None:
    """RFC 8737 §3"""
    identifier = parse_identifier(NAME)
    async with showing(make_challenge_certificate(identifier, "t.other", START)) as port:
        assert describe(await look(port)) == (
            "incorrectResponse: a.example port 443: a certificate for another key authorization"
        )
    other = make_challenge_certificate(parse_identifier("b.example"), PROOF, START)
    async with showing(replace(other, server_name=NAME)) as port:
        assert describe(await look(port)) == (
            "incorrectResponse: a.example port 443: a certificate of other names than a.example"
        )


@asynccontextmanager
async def tls_server(
    folder: Path, *protocols: str, newest: ssl.TLSVersion | None = None
) -> AsyncIterator[int]:
    """Run a server with a real certificate of the name."""
    certificate, key = write_pair(folder, issue((NAME,)), "real")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if newest is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = newest
        context.set_ciphers("ALL:@SECLEVEL=0")
    if protocols:
        context.set_alpn_protocols(list(protocols))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader, writer

    async with answering(serve, context=context) as port:
        yield port


@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2", "http/1.1")])
async def test_a_server_that_does_not_know_the_protocol_proves_nothing(
    tmp_path: Path, protocols: tuple[str, ...]
) -> None:
    """RFC 8737 §3: with the name's real certificate, too; a hoster serves many strangers' names."""
    async with tls_server(tmp_path, *protocols) as port:
        text = describe(await look(port))
    assert text.startswith(("incorrectResponse: a.example port 443: a TLS server that", "tls: "))


async def test_a_real_certificate_by_the_protocol_proves_nothing(tmp_path: Path) -> None:
    """RFC 8737 §3: only one made for this. Rule 233"""
    async with tls_server(tmp_path, ALPN.decode()) as port:
        text = describe(await look(port))
    assert "a certificate without the extension 1.3.6.1.5.5.7.1.31" in text


async def test_old_versions_are_not_taken(tmp_path: Path) -> None:
    """RFC 8737 §4: TLS 1.2 or later. Rule 234"""
    async with tls_server(tmp_path, ALPN.decode(), newest=ssl.TLSVersion.TLSv1_1) as port:
        text = describe(await look(port))
    assert text.startswith("tls: a.example: ")


@pytest.mark.parametrize("octets", [b"220 mx.example ESMTP\r\n", b"\x15\x03\x03\x00\x02\x02\x50"])
async def test_what_is_no_handshake_is_told(octets: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(octets)
        writer.write_eof()
        await reader.read()

    async with answering(serve) as port:
        text = describe(await look(port))
    assert text.startswith("tls: a.example: ")


async def test_a_server_that_hangs_costs_the_time_that_it_may() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read()

    async with answering(serve) as port:
        text = describe(await look(port, seconds=0.2))
    assert text.startswith(("connection: a.example: no proof within 0.2 s", "tls: a.example: "))


async def test_nobody_there_is_a_problem_of_the_connection() -> None:
    assert describe(await look(1)).endswith("127.0.0.1 port 443: Connection refused")
    assert describe(await look(1, "*.a.example")).startswith("malformed: ")
    assert describe(await look(1, "c.example")).startswith("dns: c.example ")

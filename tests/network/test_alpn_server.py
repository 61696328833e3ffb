"""RFC 8737 §3, §4: validators of tls-alpn-01 get their certificate, on a port of its own or shared.

Asked by the standard library's TLS and by OpenSSL's program.
"""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.network.acceptor import USUAL_LIMITS, AcceptorLimits
from letterlock.network.alpn_server import AlpnResponder, AlpnServer
from letterlock.network.policy_host import PolicyHost
from letterlock.protocols.acme.challenges import (
    ALPN,
    ChallengeCertificate,
    find_certificate_fault,
    make_challenge_certificate,
)
from letterlock.protocols.acme.identifiers import parse_identifier
from tests.fakes import FakeClock
from tests.listening import listening
from tests.network.certificates import NOW, authority, issue, make_chooser

PROVED = ("mx1.example.org", "192.0.2.1", "2001:db8::1")
PROOF = "token.thumbprint"
POLICY_HOST = "mta-sts.example.org"
POLICY = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
ACME = ALPN.decode("ascii")


def make(name: str) -> ChallengeCertificate:
    return make_challenge_certificate(parse_identifier(name), PROOF, NOW)


CERTIFICATES = {each.server_name: each for each in map(make, PROVED)}


async def find_certificate(server_name: str) -> ChallengeCertificate | None:
    return CERTIFICATES.get(server_name)


@asynccontextmanager
async def own_port(limits: AcceptorLimits = USUAL_LIMITS) -> AsyncIterator[int]:
    async with listening(AlpnServer(AlpnResponder(find_certificate), limits).run) as port:
        yield port


@asynccontextmanager
async def shared_port(folder: Path) -> AsyncIterator[int]:
    host = PolicyHost(
        lambda domain: POLICY if domain == "example.org" else None,
        make_chooser(folder, issue((POLICY_HOST,))),
        FakeClock(),
        AlpnResponder(find_certificate),
    )
    async with listening(host.run) as port:
        yield port


@pytest.fixture(params=["own", "shared"])
async def port(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[int]:
    async with own_port() if request.param == "own" else shared_port(tmp_path) as opened:
        yield opened


def client_context(*protocols: str, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if newest is not None:
        context.maximum_version = newest
    return context


async def shake_hands(
    port: int, name: str | None, context: ssl.SSLContext
) -> tuple[bytes, str | None, bytes]:
    """Give the certificate that was shown, the protocol, and all that came after the handshake."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name or ""
    )
    tls = writer.get_extra_info("ssl_object")
    try:
        certificate = tls.getpeercert(binary_form=True)
        return certificate, tls.selected_alpn_protocol(), await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("identifier", "sni"),
    [
        ("mx1.example.org", "mx1.example.org"),
        ("mx1.example.org", "MX1.Example.Org"),
        ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
        (
            "2001:db8::1",
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
        ),
    ],
)
async def test_a_validator_sees_the_certificate_and_then_the_end(
    port: int, identifier: str, sni: str, newest: ssl.TLSVersion
) -> None:
    """RFC 8737 §3, §4; RFC 8738 §6."""
    seen, protocol, rest = await shake_hands(port, sni, client_context(ACME, newest=newest))
    assert protocol == ACME
    assert find_certificate_fault(seen, parse_identifier(identifier), PROOF) is None
    assert rest == b""


OTHERS = [
    ("mx1.example.org", ()),
    ("mx1.example.org", ("http/1.1",)),
    ("mx1.example.org", ("http/1.1", ACME)),
    ("mx1.example.org", (ACME, "http/1.1")),
    ("mx1.example.org", (ACME, ACME)),
    ("mx1.example.org", ("acme-tls/2",)),
    ("mx1.example.org", ("ACME-TLS/1",)),
    ("mx2.example.org", (ACME,)),
    (None, (ACME,)),
]


@pytest.mark.parametrize(("name", "protocols"), OTHERS)
async def test_on_a_shared_port_others_see_the_real_certificate(
    tmp_path: Path, name: str | None, protocols: Sequence[str]
) -> None:
    """RFC 8737 §3: acme-tls/1 must be all that a validator offers."""
    real = x509.load_pem_x509_certificate(issue((POLICY_HOST,)).chain_pem)
    async with shared_port(tmp_path) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(*protocols), server_hostname=name or ""
        )
        tls = writer.get_extra_info("ssl_object")
        assert tls.getpeercert(binary_form=True) == real.public_bytes(Encoding.DER)
        assert tls.selected_alpn_protocol() is None
        writer.write(
            f"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {POLICY_HOST}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        assert (await asyncio.wait_for(reader.read(), 60)).endswith(POLICY)
        writer.close()


@pytest.mark.parametrize(("name", "protocols"), OTHERS)
async def test_on_a_port_of_its_own_others_get_an_alert(
    name: str | None, protocols: Sequence[str]
) -> None:
    """RFC 7301 §3.2; RFC 6066 §3."""
    reason = "unrecognized.name" if protocols == (ACME,) else "no.application.protocol"
    async with own_port() as port:
        with pytest.raises(ssl.SSLError, match=f"(?i){reason}"):
            await shake_hands(port, name, client_context(*protocols))


def client_hello(name: str, *protocols: str) -> bytes:
    """Give the first octets of a client."""
    outgoing = ssl.MemoryBIO()
    context = client_context(*protocols)
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


async def test_a_client_hello_may_come_octet_by_octet(port: int) -> None:
    """What has been read of it to choose is not lost to the handshake."""
    hello = client_hello("mx1.example.org", ACME)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for octet in hello:
        writer.write(bytes([octet]))
        await writer.drain()
        await asyncio.sleep(0)
    answer = await asyncio.wait_for(reader.readexactly(6), 60)
    assert answer[:1] + answer[5:] == b"\x16\x02"  # a handshake record with a ServerHello
    writer.close()


@pytest.mark.parametrize("is_own", [True, False])
async def test_clients_that_misbehave_stop_nobody(tmp_path: Path, *, is_own: bool) -> None:
    hello = client_hello("mx1.example.org", ACME)
    async with own_port() if is_own else shared_port(tmp_path) as port:
        for octets in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"", hello, hello[:-1]):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(octets)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 60)
            writer.close()
        # A handshake that goes wrong in the middle: its alert comes.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(hello + b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00")
        answer = await asyncio.wait_for(reader.read(), 60)
        assert answer[:1] == b"\x16"
        writer.close()
        _, protocol, _ = await shake_hands(port, "mx1.example.org", client_context(ACME))
        assert protocol == ACME


async def test_a_slow_client_is_hung_up_on() -> None:
    hello = client_hello("mx1.example.org", ACME)
    async with own_port(AcceptorLimits(seconds=0.3)) as port:
        for octets in (b"", hello[:-1], hello):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(octets)
            await asyncio.wait_for(reader.read(), 60)
            writer.close()


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(
    ("protocols", "is_proof"),
    [(ACME, True), (f"{ACME},h2", False), (f"h2,{ACME}", False), ("h2", False), (None, False)],
)
async def test_openssl_is_shown_what_fits_its_protocols(
    tmp_path: Path, protocols: str | None, *, is_proof: bool
) -> None:
    async with shared_port(tmp_path) as port:
        words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
        words += ["-servername", "mx1.example.org", "-showcerts"]
        words += ["-alpn", protocols] if protocols else []
        run = await asyncio.to_thread(
            subprocess.run, words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
    shown = run.stdout.decode()
    assert ("ACME challenge" in shown) is is_proof
    assert ("ALPN protocol: acme-tls/1" in shown) is is_proof
    assert ("No ALPN negotiated" in shown) is not is_proof


async def test_both_are_served_on_one_port_at_the_same_time(tmp_path: Path) -> None:
    """A validator whose handshake stands still keeps nobody from the policy."""
    real = ssl.create_default_context(cadata=authority().pem.decode())
    async with shared_port(tmp_path) as port:
        _, waiting = await asyncio.open_connection("127.0.0.1", port)
        waiting.write(client_hello("mx1.example.org", ACME))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=real, server_hostname=POLICY_HOST
        )
        for _ in range(3):
            _, protocol, _ = await shake_hands(port, "mx1.example.org", client_context(ACME))
            assert protocol == ACME
            writer.write(
                f"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {POLICY_HOST}\r\n\r\n".encode()
            )
            assert (await reader.readuntil(POLICY)).startswith(b"HTTP/1.1 200 ")
        writer.close()
        waiting.close()


WITHOUT_EXECUTABLE_MEMORY = """
import ctypes, sys
PR_SET_MDWE = 65
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, 1, 0, 0, 0):
    sys.exit(77)
from letterlock.network.challenge_tls import ChallengeTls
from tests.network.test_alpn_server import client_hello, make
tls = ChallengeTls(make("mx1.example.org"))
assert tls.receive(client_hello("mx1.example.org", "acme-tls/1"))[:1] == bytes([22])
assert not tls.is_over
"""


def test_no_memory_is_made_executable() -> None:
    """systemd's MemoryDenyWriteExecute; pyOpenSSL could not select a protocol under it."""
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXECUTABLE_MEMORY],
        check=False,
        capture_output=True,
        text=True,
        cwd=root,
        env={"PYTHONPATH": f"{root / 'src'}:{root}"},
    )
    if run.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    assert run.returncode == 0, run.stderr

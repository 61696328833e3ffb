"""The driver against itself: handshakes that work, plaintext, and the end of a connection."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from letterlock.base.domains import DomainError
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.tls import MAX_READ_BYTES, TlsDriver, _is_resumed
from letterlock.protocols.sasl.channel_binding import TLS_EXPORTER, TLS_SERVER_END_POINT
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from tests.network.certificates import client_context, issue, make_chooser, shake

NAME = "mx.example.org"
CONTEXT = client_context()


@pytest.fixture
def chooser(tmp_path: Path) -> ServerCertificates:
    return make_chooser(tmp_path, issue((NAME,)))


def connect(chooser: ServerCertificates, context: SSL.Context) -> tuple[TlsDriver, TlsDriver]:
    client, server = TlsDriver.client(context, NAME), TlsDriver.server(chooser)
    for result in shake(client, server):
        assert isinstance(result, Handshake)
    return client, server


def read_all(driver: TlsDriver) -> bytes:
    pieces = []
    while piece := driver.read():
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("version", "name", "group"),
    [
        (SSL.TLS1_2_VERSION, "TLSv1.2", "x25519"),
        (SSL.TLS1_3_VERSION, "TLSv1.3", "X25519MLKEM768"),
    ],
)
def test_a_handshake_gives_its_facts(
    chooser: ServerCertificates, version: int, name: str, group: str
) -> None:
    client = TlsDriver.client(client_context(max_version=version), NAME)
    server = TlsDriver.server(chooser)
    seen, served = shake(client, server)
    assert isinstance(seen, Handshake)
    assert isinstance(served, Handshake)
    assert (seen.version, seen.group, seen.sni) == (name, group, NAME)
    assert seen.chain == issue((NAME,)).chain_der
    assert (seen.cipher, seen.cipher_bits) == (served.cipher, served.cipher_bits)
    assert seen.cipher_bits >= 128
    assert (served.sni, served.chain, served.group) == (NAME, (), group)
    assert (seen.alpn, seen.resumed, served.resumed) == (None, False, False)
    assert client.do_handshake() is seen
    assert client.error is None


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_plaintext_that_comes_with_the_end_of_the_handshake_is_read(
    chooser: ServerCertificates, version: int
) -> None:
    """RFC 8446 §2: a client may send data right behind its Finished."""
    client = TlsDriver.client(client_context(max_version=version), NAME)
    server = TlsDriver.server(chooser)
    while not isinstance(client.do_handshake(), Handshake):
        server.receive(client.bytes_to_send())
        server.do_handshake()
        client.receive(server.bytes_to_send())
    client.write(b"EHLO client.example\r\n")
    server.receive(client.bytes_to_send())
    assert isinstance(server.do_handshake(), Handshake)
    assert server.read() == b"EHLO client.example\r\n"


@settings(max_examples=25, deadline=None)
@given(step=st.integers(1, 700), version=st.sampled_from([SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]))
def test_how_octets_were_split_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, step: int, version: int
) -> None:
    chooser = make_chooser(tmp_path_factory.mktemp("split"), issue((NAME,)))
    client = TlsDriver.client(client_context(max_version=version), NAME)
    server = TlsDriver.server(chooser)

    def carry(data: bytes, to: TlsDriver) -> None:
        for start in range(0, len(data), step):
            to.receive(data[start : start + step])
            to.do_handshake()

    for _ in range(6):
        client.do_handshake()
        carry(client.bytes_to_send(), server)
        carry(server.bytes_to_send(), client)
    assert isinstance(client.do_handshake(), Handshake)
    assert isinstance(server.do_handshake(), Handshake)
    client.write(b"x" * 50_000)
    carry(client.bytes_to_send(), server)
    assert read_all(server) == b"x" * 50_000


def test_large_plaintext_arrives_whole_and_each_read_is_bounded(
    chooser: ServerCertificates,
) -> None:
    client, server = connect(chooser, client_context())
    sent = bytes(range(256)) * 8192
    client.write(sent)
    server.receive(client.bytes_to_send())
    first = server.read()
    assert len(first) <= MAX_READ_BYTES + 16 * 1024
    assert first + read_all(server) == sent


@pytest.mark.parametrize(
    ("version", "kinds"),
    [
        (SSL.TLS1_2_VERSION, [TLS_SERVER_END_POINT]),
        (SSL.TLS1_3_VERSION, [TLS_EXPORTER, TLS_SERVER_END_POINT]),
    ],
)
def test_both_sides_know_what_a_login_can_be_bound_to(
    chooser: ServerCertificates, version: int, kinds: list[str]
) -> None:
    """RFC 9266 §4.1, RFC 5929 §4.1."""
    context = client_context(max_version=version)
    client = TlsDriver.client(context, NAME)
    assert not client.find_channel_bindings()
    client, server = connect(chooser, context)
    bindings = client.find_channel_bindings()
    assert list(bindings) == kinds
    assert bindings == server.find_channel_bindings()
    leaf = issue((NAME,)).chain_der[0]
    assert bindings[TLS_SERVER_END_POINT] == hashlib.sha256(leaf).digest()
    other = connect(chooser, context)[0].find_channel_bindings()
    assert (other == bindings) is (version == SSL.TLS1_2_VERSION)


def test_close_sends_close_notify(chooser: ServerCertificates) -> None:
    """RFC 8446 §6.1: close_notify before the connection is closed. Rule 117."""
    client, server = connect(chooser, client_context())
    client.write(b"QUIT\r\n")
    client.close()
    client.close()
    server.receive(client.bytes_to_send())
    assert read_all(server) == b"QUIT\r\n"
    assert server.is_closed
    assert server.failure is None
    server.write(b"221 Bye\r\n")
    server.close()
    client.receive(server.bytes_to_send())
    assert read_all(client) == b"221 Bye\r\n"
    assert client.is_closed
    assert client.failure is None
    with pytest.raises(ValueError, match="after close_notify"):
        client.write(b"too late")


@pytest.mark.parametrize("is_reset", [False, True])
def test_the_end_of_the_connection_closes_after_what_came_before(
    chooser: ServerCertificates, is_reset: bool
) -> None:
    client, server = connect(chooser, client_context())
    client.write(b"NOOP\r\n")
    server.receive(client.bytes_to_send())
    server.receive_eof(is_reset=is_reset)
    assert server.read() == b"NOOP\r\n"
    assert server.read() == b""
    assert server.is_closed


def test_nothing_is_read_or_closed_before_the_handshake(chooser: ServerCertificates) -> None:
    server = TlsDriver.server(chooser)
    assert server.read() == b""
    server.close()
    assert server.bytes_to_send() == b""
    with pytest.raises(ValueError, match="before the TLS handshake"):
        server.write(b"220 too early\r\n")


def test_damaged_ciphertext_after_the_handshake_is_a_failure_and_an_alert(
    chooser: ServerCertificates,
) -> None:
    """RFC 8446 §5.2: bad_record_mac."""
    client, server = connect(chooser, client_context())
    client.write(b"MAIL FROM:<>\r\n")
    damaged = bytearray(client.bytes_to_send())
    damaged[-1] ^= 1
    server.receive(bytes(damaged))
    assert server.read() == b""
    assert server.is_closed
    assert server.failure is not None
    assert server.failure.cause is FailureCause.PROTOCOL
    client.receive(server.bytes_to_send())
    assert client.read() == b""
    assert client.failure is not None
    assert client.failure.alert == "bad_record_mac"
    client.write(b"dropped")
    client.close()
    client.receive(b"ignored")
    assert client.bytes_to_send() == b""
    assert client.read() == b""


@pytest.mark.parametrize("sni", ["192.0.2.1", "2001:db8::1", "", "a b", "-x.example"])
def test_a_client_never_sends_what_is_no_host_name_as_sni(sni: str) -> None:
    """RFC 6066 §3: no addresses in server_name. Rules 115 and 129."""
    with pytest.raises(DomainError):
        TlsDriver.client(client_context(), sni)


def test_a_client_sends_sni_in_a_labels_without_a_final_dot(chooser: ServerCertificates) -> None:
    """RFC 6066 §3; rule 115."""
    client = TlsDriver.client(client_context(), "MX.Bücher.Example.")
    server = TlsDriver.server(chooser)
    shake(client, server)
    assert server.client_hello is not None
    assert server.client_hello.sni == "mx.xn--bcher-kva.example"


def test_without_a_name_the_client_sends_no_sni(chooser: ServerCertificates) -> None:
    client, server = TlsDriver.client(client_context(), None), TlsDriver.server(chooser)
    seen, served = shake(client, server)
    assert isinstance(seen, Handshake)
    assert isinstance(served, Handshake)
    assert (seen.sni, served.sni) == (None, None)


def test_time_out_is_a_failure_that_says_how_far_it_came(chooser: ServerCertificates) -> None:
    server = TlsDriver.server(chooser)
    failed = server.time_out()
    assert failed.cause is FailureCause.TIMED_OUT
    assert "first octet" in failed.detail
    assert server.do_handshake() == failed
    client, server = TlsDriver.client(client_context(), NAME), TlsDriver.server(chooser)
    client.do_handshake()
    server.receive(client.bytes_to_send()[:40])
    assert server.do_handshake() is None
    assert "inside" in server.time_out().detail


def test_a_connection_that_ended_before_the_client_hello_is_closed(
    chooser: ServerCertificates,
) -> None:
    server = TlsDriver.server(chooser)
    server.receive_eof()
    failed = server.do_handshake()
    assert isinstance(failed, HandshakeFailed)
    assert failed.cause is FailureCause.CLOSED


ANY_PIECES = st.lists(st.binary(max_size=200), max_size=4)


@settings(max_examples=60, deadline=None)
@given(pieces=ANY_PIECES, is_reset=st.booleans())
def test_any_octets_end_a_handshake_and_never_raise(pieces: list[bytes], is_reset: bool) -> None:
    client = TlsDriver.client(CONTEXT, NAME)
    client.do_handshake()
    for piece in pieces:
        client.receive(piece)
        client.do_handshake()
        client.bytes_to_send()
    client.receive_eof(is_reset=is_reset)
    assert isinstance(client.do_handshake(), HandshakeFailed)
    assert client.is_closed
    assert client.read() == b""


@settings(max_examples=60, deadline=None)
@given(
    pieces=ANY_PIECES,
    damage=st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), max_size=3),
)
def test_any_octets_and_damaged_hellos_never_raise_in_a_server(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: list[bytes],
    damage: list[tuple[int, int]],
) -> None:
    chooser = make_chooser(tmp_path_factory.mktemp("any"), issue((NAME,)))
    client, server = TlsDriver.client(CONTEXT, NAME), TlsDriver.server(chooser)
    client.do_handshake()
    hello = bytearray(client.bytes_to_send())
    for at, value in damage:
        hello[at % len(hello)] = value
    for piece in (bytes(hello), *pieces):
        server.receive(piece)
        server.do_handshake()
        server.bytes_to_send()
    server.receive_eof()
    assert isinstance(server.do_handshake(), HandshakeFailed)


@settings(max_examples=40, deadline=None)
@given(pieces=ANY_PIECES)
def test_any_octets_after_the_handshake_never_raise(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    chooser = make_chooser(tmp_path_factory.mktemp("after"), issue((NAME,)))
    client, server = connect(chooser, CONTEXT)
    for piece in pieces:
        server.receive(piece)
        server.read()
    server.receive_eof()
    server.write(b"221 Bye\r\n")
    server.close()
    client.receive(server.bytes_to_send())
    server.read()
    assert server.is_closed


class Stuck:
    """A connection in the middle of a message of the peer's, which OpenSSL wants whole first."""

    def send(self, data: memoryview) -> int:
        del data
        raise SSL.WantReadError

    def shutdown(self) -> bool:
        raise SSL.Error([("SSL routines", "", "shutdown while in init")])

    def get_peer_cert_chain(self) -> None:
        return None

    def bio_read(self, size: int) -> bytes:
        del size
        raise SSL.WantReadError


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda driver: driver.write(b"x"), "no reason given"),
        (lambda driver: driver.close(), "shutdown while in init"),
    ],
)
def test_what_cannot_be_sent_is_a_failure(
    chooser: ServerCertificates,
    monkeypatch: pytest.MonkeyPatch,
    action: Callable[[TlsDriver], None],
    words: str,
) -> None:
    client, _ = connect(chooser, client_context())
    monkeypatch.setattr(client, "_connection", Stuck())
    action(client)
    assert client.is_closed
    assert words in str(client.error)


def test_whether_a_session_was_resumed_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read through pyOpenSSL's inside, which may change."""
    connection = SSL.Connection(CONTEXT, None)
    assert _is_resumed(connection) is False
    monkeypatch.delattr(connection, "_ssl")
    assert _is_resumed(connection) is False


WITHOUT_EXECUTABLE_MEMORY = """
import ctypes, sys
from pathlib import Path
PR_SET_MDWE = 65
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, 1, 0, 0, 0):
    sys.exit(77)
from tests.network.certificates import *
from letterlock.network.client_contexts import ClientContexts, ClientSettings
chooser = make_chooser(Path(sys.argv[1]), issue(("mx.example.org",)))
context = ClientContexts().find(ClientSettings())
for result in shake(TlsDriver.client(context, "mx.example.org"), TlsDriver.server(chooser)):
    assert isinstance(result, Handshake), result
"""


def test_no_memory_is_made_executable(tmp_path: Path) -> None:
    """systemd's MemoryDenyWriteExecute, which Python callbacks from OpenSSL could not bear."""
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXECUTABLE_MEMORY, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": f"{Path(__file__).parents[2] / 'src'}:{Path(__file__).parents[2]}"},
    )
    if run.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_tickets_go_with_the_servers_next_octets(chooser: ServerCertificates, version: int) -> None:
    """RFC 8446 §4.6.1: they may come at any time. TLS 1.2 has its Finished behind them."""
    client = TlsDriver.client(client_context(max_version=version), NAME)
    server = TlsDriver.server(chooser)
    while not isinstance(server.do_handshake(), Handshake):
        client.do_handshake()
        server.receive(client.bytes_to_send())
        if not isinstance(server.do_handshake(), Handshake):
            client.receive(server.bytes_to_send())
    last = server.bytes_to_send()
    assert bool(last) is (version == SSL.TLS1_2_VERSION)
    client.receive(last)
    assert isinstance(client.do_handshake(), Handshake)
    server.write(b"250 Ok\r\n")
    answer = server.bytes_to_send()
    # Each ticket has some two hundred octets.
    assert (len(answer) > 200) is (version == SSL.TLS1_3_VERSION)
    client.receive(answer)
    assert read_all(client) == b"250 Ok\r\n"

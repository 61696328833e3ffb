"""`check --deep` asks real servers: Postfix, GnuTLS, and a node of ours."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from secrets import token_bytes

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.probes import ProbeQuestion
from letterlock.protocols.check.deep import DeepFacts, Ending, Injection, Offered, Order
from letterlock.protocols.check.facts import Probe
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3
from letterlock.protocols.tls.groups import name_group
from letterlock.protocols.tls.hello_writer import SSL_3_0, TLS_1_0, TLS_1_1
from letterlock.protocols.tls.suites import SUITES, Weakness, find_weaknesses
from letterlock.services.check.asking import Asker, Door
from letterlock.services.check.deep import ENDINGS, DeepLooker, DeepTerms
from tests.free_ports import free_port
from tests.interop.postfix_instance import (
    PostfixInstance,
    postfix_files,
    require_root,
    running_postfix,
)
from tests.journeys.running_node import NodeFiles, running
from tests.network.certificates import issue, write_pair
from tests.peers import environment, program

HOST = "mx.good.example"
TRICKED, STRICT = "127.0.79.1", "127.0.79.2"
CONNECTIONS = 14
"""Enough for versions, what is weak, and some groups; all suites take ten times as long."""


async def look(
    ip: str, port: int, *, connections: int, owned: str | None = None, speech: Speech = Speech.SMTP
) -> DeepFacts:
    async def probe(door: Door, question: ProbeQuestion) -> Probe:
        raise AssertionError(f"{door} is asked {question}")

    clock = SystemClock()
    terms = DeepTerms("checker.example", 60.0, connections, Domain(owned) if owned else None)
    looker = DeepLooker(Asker(probe, clock, pace=0), terms, clock, token_bytes)
    return await looker.look(Door(ip_address(ip), port, HOST, speech))


@pytest.fixture(scope="module")
def postfix() -> Iterator[tuple[PostfixInstance, int]]:
    require_root()
    port = free_port(TRICKED, STRICT)
    with postfix_files(mailboxes=("postmaster@good.example",)) as files:
        tls = {"smtpd_tls_security_level": "may"}
        pair = files.add_certificate(issue((HOST,), "rsa"), "good")
        files.add_server(TRICKED, port, **tls, **pair, smtpd_forbid_bare_newline="no")
        # Without this one's own networks are excluded, and we are in them.
        strict = {"smtpd_forbid_bare_newline": "yes", "smtpd_forbid_bare_newline_exclusions": ""}
        files.add_server(STRICT, port, **tls, **pair, **strict)
        with running_postfix(files) as running_one:
            yield running_one, port


@pytest.mark.peer("postfix")
async def test_postfix(postfix: tuple[PostfixInstance, int]) -> None:
    """RFC 3207 §4.2, RFC 5321 §4.1.1.4: as Debian has it, an LF ends a message."""
    connections = CONNECTIONS + 1 + len(ENDINGS)
    found = await look(TRICKED, postfix[1], connections=connections, owned="good.example")
    tls = found.tls
    assert (tls.find(TLS_1_3), tls.find(TLS_1_2)) == (Offered.YES, Offered.YES)
    assert tls.find(SSL_3_0) is Offered.NO
    assert found.injection in (Injection.DISCARDED, Injection.REFUSED), found
    # For clients that verify nothing it has suites without a certificate.
    assert {Weakness.ANONYMOUS} <= {w for each in tls.suites for w in find_weaknesses(each.suite)}
    taken = {each.text for each in found.endings if each.ending is Ending.TAKEN}
    assert taken == {"<LF>.<LF>", "<LF>.<CR><LF>", "<CR><LF>.<LF>"}, found.endings


@pytest.mark.peer("postfix")
async def test_postfix_that_forbids_bare_line_feeds(
    postfix: tuple[PostfixInstance, int],
) -> None:
    found = await look(STRICT, postfix[1], connections=1 + len(ENDINGS), owned="good.example")
    assert Ending.TAKEN not in {each.ending for each in found.endings}, found.endings
    assert Ending.NOT_TESTED not in {each.ending for each in found.endings}


@pytest.mark.proof
async def test_a_node_of_ours(tmp_path: Path) -> None:
    """All of it: what is offered is what `tls_settings` says, and no trick works."""
    files = NodeFiles(tmp_path)
    files.add_certificate(issue((HOST,)))
    with running(files) as node:
        found = await look("127.0.0.1", node.port, connections=200, owned="example.org")
    tls = found.tls
    assert (tls.find(TLS_1_3), tls.find(TLS_1_2)) == (Offered.YES, Offered.YES)
    assert not tls.has_any((TLS_1_1, TLS_1_0, SSL_3_0))
    assert {w for each in tls.suites for w in find_weaknesses(each.suite)} == set()
    assert (tls.order, tls.groups[0], found.stopped) == (Order.SERVER, 0x11EC, None)
    assert found.injection in (Injection.DISCARDED, Injection.REFUSED), found
    assert {each.ending for each in found.endings} <= {Ending.NOT_TAKEN, Ending.REFUSED}


@contextmanager
def gnutls_server(folder: Path, priority: str) -> Iterator[int]:
    """Run GnuTLS's server; gives its port."""
    certificate, key = write_pair(folder, issue((HOST,), "rsa"), "gnutls")
    pair = ("--x509certfile", certificate, "--x509keyfile", key)
    while True:
        port = free_port("127.0.0.1")
        words = [*map(str, pair), "-q", "--echo", "--priority", priority, "-p", str(port)]
        with (
            (folder / "gnutls.log").open("wb") as log,
            subprocess.Popen(
                [program("gnutls-serv", "gnutls"), *words],
                stdout=log,
                stderr=log,
                env=environment("gnutls"),
            ) as server,
        ):
            try:
                if _is_listening(server, port):
                    yield port
                    return
            finally:
                server.terminate()


def _is_listening(server: "subprocess.Popen[bytes]", port: int) -> bool:
    """Wait until it takes connections; False: somebody else has the port."""
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return True
    return False


@pytest.mark.proof
@pytest.mark.peer("gnutls")
async def test_gnutls_takes_what_it_says_it_has(tmp_path: Path) -> None:
    """RFC 7465 §2, RFC 9325 §4.1: it still has RC4 and triple DES, which OpenSSL has not."""
    priority = "NORMAL:-RSA:+VERS-TLS-ALL:+ARCFOUR-128:+3DES-CBC:+ANON-ECDH:+ANON-DH:+DHE-RSA"
    priority += ":+SHA1:+MD5:+SIGN-ALL:-ECDHE-ECDSA"
    words = ["--list", "--priority", priority]
    listed = subprocess.run(  # noqa: ASYNC221 - nothing else is going on
        [program("gnutls-cli", "gnutls"), *words],
        env=environment("gnutls"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    theirs = {
        int(first, 16) << 8 | int(second, 16)
        for first, second in re.findall(r"^TLS_\w+\s+0x(\w\w), 0x(\w\w)", listed, re.MULTILINE)
    }
    with gnutls_server(tmp_path, priority) as port:
        found = await look("127.0.0.1", port, connections=200, speech=Speech.TLS)
    tls = found.tls
    assert found.stopped is None
    assert {each.suite for each in tls.suites} == theirs & SUITES.keys()
    assert tls.has_any((TLS_1_0,))
    assert {name_group(group) for group in tls.groups} >= {"x25519", "secp256r1", "ffdhe2048"}
    weak = {w for each in tls.suites for w in find_weaknesses(each.suite)}
    assert weak >= {Weakness.RC4, Weakness.SMALL_BLOCK, Weakness.ANONYMOUS}

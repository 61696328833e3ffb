"""A node looks at what it serves itself, beside what is in its store."""

import asyncio
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from cryptography import x509

from letterlock.base.clock import SystemClock
from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.services.certify.renewing import make_facts
from letterlock.storage.certificates import CertificateState, KeptPair
from letterlock.storage.sqlite.certificates import SqliteCertificates
from letterlock.storage.sqlite.connection import Value
from letterlock.storage.sqlite.node import NodeDatabase, read_beside
from tests.free_ports import free_port
from tests.interop.background import zones
from tests.journeys.running_node import running
from tests.journeys.test_certificates import HOST, ID, ZONES, making_world
from tests.network.certificates import authority
from tests.revocations import issue_with_crl, make_crl, make_point

SEEN = "SELECT name, version, findings FROM watched_certificates"


def read(path: Path) -> list[tuple[Value, ...]]:
    return asyncio.run(read_beside(path, SEEN))


def test_a_node_sees_that_it_serves_what_it_has(tmp_path: Path) -> None:
    """RFC 3207 §4: by STARTTLS at its own listener, with the name."""
    with zones(ZONES) as name_server, making_world(tmp_path, name_server, "pebble") as world:
        world.files.change("receive", listen=[f"127.0.0.1:{free_port()}"])
        with running(world.files) as node:
            node.wait_log(rf"{HOST} \(ECDSA\): new certificate from CN=Pebble")
            database = world.files.data / "node.sqlite"
            node.wait_for(lambda: bool(read(database)), "a look at the certificate")
            ((name, version, _),) = read(database)
            assert (name, version) == (HOST, 1)
            (listed,) = world.files.command("cert", "list", "--json").document["certificates"]
            assert listed["problems"] == []


@contextmanager
def serving(body: bytes, port: int) -> Iterator[None]:
    """Serve a CRL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def keep(database: Path, issued: Issued, directory: str) -> None:
    """Put a certificate in the store, as if the node had got it an hour ago."""

    async def work() -> None:
        now = SystemClock().now()
        node = NodeDatabase(database, SystemClock())
        await node.open()
        try:
            store = SqliteCertificates(node)
            lease = await store.claim(ID, now, now + timedelta(minutes=1))
            assert lease is not None
            facts = make_facts(issued.certificate, directory, None, now - timedelta(hours=1))
            pair = KeptPair(issued.chain_pem + authority().pem, issued.key_pem)
            assert await store.settle(lease, CertificateState(ID, facts), pair=pair)
        finally:
            await node.close()

    asyncio.run(work())


def test_a_certificate_in_a_crl_is_renewed_without_anybody_acting(tmp_path: Path) -> None:
    """RFC 5280 §4.2.1.13: from a private address, since the authority is one's own."""
    now = SystemClock().now()
    with zones(ZONES) as name_server, making_world(tmp_path, name_server, "pebble") as world:
        port = free_port()
        place = f"http://127.0.0.1:{port}/7.crl"
        issued = issue_with_crl(authority(), HOST, make_point(place), now=now)
        serial = issued.certificate.serial_number
        body = make_crl(authority(), {serial: x509.ReasonFlags.superseded}, now=now)
        world.files.data.mkdir()
        keep(world.files.data / "node.sqlite", issued, str(world.pebble.directory))
        with serving(body, port), running(world.files) as node:
            node.wait_log(rf"{HOST} \(ECDSA\): warning: revoked by its authority at .*superseded")
            node.wait_log(rf"{HOST} \(ECDSA\): renewing: it was revoked")
            node.wait_log(rf"{HOST} \(ECDSA\): new certificate from CN=Pebble")
            (listed,) = world.files.command("cert", "list", "--json").document["certificates"]
            assert listed["certificate"]["serial"] != f"{serial:x}"
            assert listed["problems"] == []

"""What `letterlock status` counts of the names that clients ask for."""

from pathlib import Path

import pytest

from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Wire, connect
from letterlock.protocols.tls.handshake import Handshake
from tests.network.certificates import client_context, issue, make_chooser
from tests.services.receive.test_receiving import read_reply, receiving


@pytest.mark.parametrize(
    ("sni", "counted"),
    [
        (None, {"no_sni"}),
        ("mx.example.org", set()),
        ("mx.other.example", {"unknown_sni"}),
        ("localhost", {"unknown_sni"}),
    ],
)
async def test_a_name_that_the_default_certificate_has_is_known(
    tmp_path: Path, sni: str | None, counted: set[str]
) -> None:
    certificates = make_chooser(tmp_path, issue(("mx.example.org",)))
    async with receiving(tmp_path, certificates=certificates) as node:
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        await read_reply(wire)
        for command in (b"EHLO client.example\r\n", b"STARTTLS\r\n"):
            await wire.write(command, 5)
            await read_reply(wire)
        driver = TlsDriver.client(client_context(), sni)
        assert isinstance(await wire.start_tls(driver, 5), Handshake)
        await wire.write(b"NOOP\r\n", 5)
        await read_reply(wire)
        wire.close()
        counts = node.counters.of_worker(0)
        assert counts["tls"] == 1
        assert {name for name in ("no_sni", "unknown_sni") if counts[name]} == counted

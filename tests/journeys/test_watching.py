"""A node looks at what it serves itself, beside what is in its store."""

import asyncio
from pathlib import Path

from letterlock.storage.sqlite.connection import Value
from letterlock.storage.sqlite.node import read_beside
from tests.interop.background import zones
from tests.interop.pebble import _free_port
from tests.journeys.running_node import running
from tests.journeys.test_certificates import HOST, ZONES, making_world

SEEN = "SELECT name, version, findings FROM watched_certificates"


def read(path: Path) -> list[tuple[Value, ...]]:
    return asyncio.run(read_beside(path, SEEN))


def test_a_node_sees_that_it_serves_what_it_has(tmp_path: Path) -> None:
    """RFC 3207 §4: by STARTTLS at its own listener, with the name."""
    with zones(ZONES) as name_server, making_world(tmp_path, name_server, "pebble") as world:
        world.files.change("receive", listen=[f"127.0.0.1:{_free_port()}"])
        with running(world.files) as node:
            node.wait_log(rf"{HOST} \(ECDSA\): new certificate from CN=Pebble")
            database = world.files.data / "node.sqlite"
            node.wait_for(lambda: bool(read(database)), "a look at the certificate")
            ((name, version, _),) = read(database)
            assert (name, version) == (HOST, 1)
            (listed,) = world.files.command("cert", "list", "--json").document["certificates"]
            assert listed["problems"] == []

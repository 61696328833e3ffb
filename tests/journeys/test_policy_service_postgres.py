"""`letterlock policy serve` with the policies in PostgreSQL, shared by two machines."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.background import in_background, zones
from tests.journeys.asking import COMMAND, ask_once, find_address, make_files
from tests.journeys.running_node import RunningNode
from tests.network.certificates import authority, issue
from tests.peers import require_peer
from tests.policy_host import PolicyHost, policy_host
from tests.storage.postgres_server import PostgresServer, postgres_server

NAMES = ("one.example", "two.example", "three.example")
ZONE = """\
@ MX 10 mx.example.org.
mta-sts A 127.0.0.1
_mta-sts TXT "v=STSv1; id=1;"
"""
ANSWER = "OK secure match=mx.example.org servername=hostname"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Give one that can be stopped: no other test has it."""
    require_peer("postgresql")
    with postgres_server() as server:
        yield server


@dataclass
class World:
    """What two machines ask: DNS and a policy host; and where they keep what they found."""

    resolver: str
    host: PolicyHost
    url: str
    trust: Path

    @contextmanager
    def service(self, folder: Path) -> Iterator[RunningNode]:
        """Run `policy serve` as one more machine."""
        files = make_files(folder, self.resolver)
        files.change("queue", engine="postgres", url=self.url)
        files.change("policy", trust_files=[str(self.trust)])
        files.change("mta_sts", port=self.host.port, private_addresses=True)
        files.write()
        node = RunningNode(files, [*COMMAND, str(files.config)])
        try:
            find_address(node)
            yield node
        finally:
            node.stop()


@pytest.fixture
def world(tmp_path: Path, server: PostgresServer) -> Iterator[World]:
    trust = tmp_path / "authority.pem"
    trust.write_bytes(authority().pem)
    certificate = issue(tuple(f"mta-sts.{name}" for name in NAMES))
    records = dict.fromkeys(NAMES, ZONE) | {"example.org": "mx A 127.0.0.1\n"}
    with (
        zones(records, authentic_data=True) as resolver,
        in_background(policy_host(certificate)) as host,
    ):
        yield World(resolver, host, server.create_schema(), trust)


@pytest.mark.proof
@pytest.mark.peer("postgresql")
def test_a_policy_that_one_machine_fetched_is_answered_by_the_other(
    tmp_path: Path, world: World
) -> None:
    """RFC 8461 §5: one fetch, whoever asks; and it outlives both."""
    with world.service(tmp_path / "one") as one, world.service(tmp_path / "two") as two:
        assert ask_once(find_address(one), NAMES[0]) == ANSWER
        assert ask_once(find_address(two), NAMES[0]) == ANSWER
        assert world.host.connections == 1
        assert (one.stop(), two.stop()) == (0, 0)
    with world.service(tmp_path / "three") as three:
        assert ask_once(find_address(three), NAMES[0]) == ANSWER
    assert world.host.connections == 1


@pytest.mark.proof
@pytest.mark.peer("postgresql")
def test_while_the_database_is_away_nothing_is_answered_that_may_be_too_weak(
    tmp_path: Path, world: World, server: PostgresServer
) -> None:
    with world.service(tmp_path / "one") as node:
        address = find_address(node)
        assert ask_once(address, NAMES[0]) == ANSWER
        server.stop()
        try:
            # Known: it holds for its time. Not known: nobody can say that there is no policy.
            assert ask_once(address, NAMES[0]) == ANSWER
            told = ask_once(address, NAMES[1])
            assert told.startswith("TEMP MTA-STS policies cannot be read")
            node.wait_log(rf"{NAMES[1]}: TEMP \(MTA-STS policies cannot be read")
        finally:
            server.start()
        node.wait_for(lambda: ask_once(address, NAMES[1]) == ANSWER, "the policy")


@pytest.mark.proof
@pytest.mark.peer("postgresql")
def test_a_start_without_the_database_answers_when_it_comes(
    tmp_path: Path, world: World, server: PostgresServer
) -> None:
    server.stop()
    try:
        with world.service(tmp_path / "one") as node:
            address = find_address(node)
            assert ask_once(address, NAMES[2]).startswith("TEMP MTA-STS policies cannot be read")
            server.start()
            node.wait_for(lambda: ask_once(address, NAMES[2]) == ANSWER, "the policy")
    finally:
        server.stop()
        server.start()

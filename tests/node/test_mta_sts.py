"""Finding MTA-STS policies as the settings say, in one process and in many."""

import asyncio
import json
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.node.mta_sts import MtaStsService, make_finder, make_policy_store
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.services.deliver.anchors import AnchorFiles
from letterlock.storage.postgres.policies import PostgresPolicies
from tests.fakes import FakeLog, FixtureResolver
from tests.network.certificates import authority, issue
from tests.policy_host import POLICY, policy_host

ROOT = Path(__file__).resolve().parents[2]
NAME = Domain("example.org")


def make_config(folder: Path, rest: str = "") -> Config:
    trust = folder / "trust.pem"
    trust.write_bytes(authority().pem)
    text = f"""
        hostname = "mx.test"
        domains = ["test"]
        contact = "postmaster@test"
        data_dir = "{folder / "data"}"
        policy.trust_files = ["{trust}"]
        {rest}
    """
    return parse_config(text, folder / "letterlock.toml")


def make_resolver() -> FixtureResolver:
    resolver = FixtureResolver()
    resolver.set("_mta-sts.example.org", "TXT", b"v=STSv1; id=1;")
    resolver.set("mta-sts.example.org", "A", ip_address("127.0.0.1"))
    return resolver


async def find_with(config: Config) -> MtaStsFacts:
    """Find once, as a process does that is started for it."""
    clock = SystemClock()
    store = make_policy_store(config, "node1/0", clock)
    await store.open()
    anchors = AnchorFiles(config.policy.trust_files)
    finder = make_finder(config, make_resolver(), store, anchors.load, clock, FakeLog())
    try:
        return await finder.find(NAME)
    finally:
        await finder.close()
        await store.close()


async def test_the_settings_say_where_policies_come_from_and_whom_to_trust(tmp_path: Path) -> None:
    async with policy_host(issue(("mta-sts.example.org",))) as host:
        rest = f"mta_sts = {{ port = {host.port}, private_addresses = true }}"
        facts = await find_with(make_config(tmp_path, rest))
        assert facts.policy_text == POLICY.decode()
        assert (tmp_path / "data" / "node.sqlite").exists()


async def test_by_default_no_policy_comes_from_a_private_address(tmp_path: Path) -> None:
    async with policy_host(issue(("mta-sts.example.org",))) as host:
        facts = await find_with(make_config(tmp_path, f"mta_sts.port = {host.port}"))
        assert facts.policy is None
        assert "127.0.0.1: not an address of the Internet" in str(facts.error)
        assert host.connections == 0


async def test_without_the_operators_trust_anchors_no_policy_is_fetched(tmp_path: Path) -> None:
    async with policy_host(issue(("mta-sts.example.org",))) as host:
        rest = f"mta_sts = {{ port = {host.port}, private_addresses = true }}"
        config = make_config(tmp_path, rest)
        (tmp_path / "trust.pem").unlink()
        facts = await find_with(config)
        assert facts.policy is None
        assert "trust.pem: No such file" in str(facts.error)
        assert host.requests == []


def test_with_postgres_the_cache_lies_beside_the_queue(tmp_path: Path) -> None:
    rest = 'queue = { engine = "postgres", url = "postgresql://u@h/letterlock" }'
    store = make_policy_store(make_config(tmp_path, rest), "node1/0", SystemClock())
    assert isinstance(store, PostgresPolicies)


CHILD = """
import asyncio, json, sys
from pathlib import Path
from tests.node.test_mta_sts import find_with
from letterlock.base.config.load import parse_config

config = parse_config(Path(sys.argv[1]).read_text(), Path(sys.argv[1]))
sys.stdin.readline()
facts = asyncio.run(find_with(config))
print(json.dumps([facts.policy_text, facts.error]))
"""


@pytest.mark.parametrize("processes", [3, pytest.param(6, marks=pytest.mark.proof)])
async def test_many_processes_fetch_a_policy_once(tmp_path: Path, processes: int) -> None:
    """RFC 8461 §3.3: whoever asks at the same time waits for the one that fetches."""
    async with policy_host(issue(("mta-sts.example.org",))) as host:
        trust, file = tmp_path / "trust.pem", tmp_path / "letterlock.toml"
        trust.write_bytes(authority().pem)
        file.write_text(
            f'hostname = "mx.test"\ndomains = ["test"]\ncontact = "postmaster@test"\n'
            f'data_dir = "{tmp_path / "data"}"\npolicy.trust_files = ["{trust}"]\n'
            f"mta_sts = {{ port = {host.port}, private_addresses = true }}\n"
        )
        children = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", CHILD, str(file)),
                env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(processes)
        ]
        async with asyncio.timeout(120):
            outputs = await asyncio.gather(*(child.communicate(b"\n") for child in children))
        found = [json.loads(output) for output, _ in outputs]
        assert found == [[POLICY.decode(), None]] * processes
        assert len(host.requests) == 1


async def test_a_cache_that_stays_away_is_told_once(tmp_path: Path) -> None:
    """It is tried every few seconds."""
    config = make_config(tmp_path)
    config.node_database.mkdir(parents=True)
    log = FakeLog()
    anchors = AnchorFiles(config.policy.trust_files)
    service = MtaStsService(
        config, make_resolver(), anchors.load, SystemClock(), log, name="node1/0"
    )
    for _ in range(3):
        await service.open()
    assert len(log.texts) == 1
    assert log.texts[0].startswith("warning: MTA-STS policies cannot be read: ")
    await service.close()

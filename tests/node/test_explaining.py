"""Explaining by the settings: what the node keeps, what is fetched, where mail would go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.network.zone_server import ZoneServer
from letterlock.node.explaining import explain, make_default_config
from letterlock.protocols.mta_sts.cache import CachedPolicy, CacheEntry
from letterlock.protocols.mta_sts.policy import MtaStsPolicy, parse_policy
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.explain.document import describe_explanation
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies, read_policy
from tests.misbehaving import Act, serving
from tests.misbehaving import Conduct as MailConduct
from tests.network.certificates import NOW, authority, issue
from tests.policy_host import Conduct, PolicyHost, policy_host, respond
from tests.storage.test_policies import keep

NAME = Domain("example.org")
POLICY_TEXT = "version: STSv1\nmode: enforce\nmx: {}\nmax_age: 604800\n"
ZONES = {
    "com": "@ NS ns.com.",
    "example.org": """
        @ MX 10 mx
        mx A 192.0.2.1
        _mta-sts TXT "v=STSv1; id=2;"
        mta-sts A 127.0.0.1
        """,
    "relay.example": "@ A 192.0.2.7\nmx A 192.0.2.8",
    "aliased.example": """
        @ MX 10 mx
        mx CNAME mx.relay.example.
        mail CNAME aliased.example.
        """,
}


@asynccontextmanager
async def world(folder: Path, settings: str = "") -> AsyncIterator[tuple[Config, PolicyHost]]:
    """Give a configuration, a resolver, and the policy host of NAME."""
    server = ZoneServer(ZONES, authentic_data=True)
    host, port = await server.start()
    trust = folder / "trust.pem"
    trust.write_bytes(authority().pem)
    conduct = Conduct([respond(POLICY_TEXT.format("mx.example.org").encode())])
    async with policy_host(issue(("mta-sts.example.org",)), conduct) as policies:
        text = f"""
            hostname = "mx.test"
            domains = ["ours.example"]
            contact = "postmaster@test"
            data_dir = "{folder / "data"}"
            policy.trust_files = ["{trust}"]
            dns.resolver = "{host}:{port}"
            mta_sts.port = {policies.port}
            mta_sts.private_addresses = true
            {settings}
        """
        yield parse_config(text, folder / "letterlock.toml"), policies
    await server.close()


async def ask(
    config: Config, text: str = NAME, demand: TlsDemand = TlsDemand.NORMAL
) -> dict[str, Any]:
    return describe_explanation(await explain(config, text, demand, SystemClock(), is_live=False))


async def let_node_keep(config: Config, identifier: str, pattern: str) -> CacheEntry:
    """Let the node's database have a policy."""
    text = POLICY_TEXT.format(pattern)
    policy = parse_policy(text.encode())
    assert isinstance(policy, MtaStsPolicy)
    entry = CacheEntry(CachedPolicy(identifier, policy, text, NOW))
    store = SqlitePolicies(NodeDatabase(config.node_database, SystemClock()))
    await store.open()
    await keep(store, entry, NAME)
    await store.close()
    return entry


async def test_a_policy_is_fetched_and_nothing_is_kept_of_it(tmp_path: Path) -> None:
    """RFC 8461 §3.3"""
    async with world(tmp_path) as (config, policies):
        document = await ask(config)
        assert policies.connections == 1
        assert not config.data_dir.exists()
    sts = document["mta_sts"]
    assert (sts["record"], sts["id"]) == ("v=STSv1; id=2;", "2")
    assert (sts["mode"], sts["mx"], sts["max_age"]) == ("enforce", ["mx.example.org"], 604800)
    assert sts["fetched"] < sts["expires"]
    assert (sts["error"], sts["result_type"]) == (None, None)
    (host,) = document["hosts"]
    assert (host["requirement"]["source"], host["requirement"]["level"]) == ("mta-sts", "verify")
    assert host["requirement"]["names"] == ["mx.example.org"]
    assert (document["decision"], document["notes"]) == ("deliver", [])


async def test_what_the_node_keeps_counts(tmp_path: Path) -> None:
    """RFC 8461 §5.1: a policy that was fetched holds until its max_age is over."""
    async with world(tmp_path) as (config, policies):
        entry = await let_node_keep(config, "2", "mx.elsewhere.example")
        document = await ask(config)
        assert policies.connections == 0
        assert document["mta_sts"]["mx"] == ["mx.elsewhere.example"]
        (host,) = document["hosts"]
        assert (host["decision"], document["decision"]) == ("defer", "defer")
        requirement = host["requirement"]
        assert requirement["usable"] is False
        assert (requirement["source"], requirement["level"]) == ("mta-sts", "verify")
        assert "does not list mx.example.org" in requirement["reason"]
        stored = await read_policy(config.node_database, NAME)
        assert stored is not None
        assert stored.entry == entry


async def test_a_policy_that_has_changed_since_is_looked_at_anew(tmp_path: Path) -> None:
    """RFC 8461 §5.1: as before a message would have to wait; and the node's cache stays."""
    async with world(tmp_path) as (config, policies):
        entry = await let_node_keep(config, "1", "mx.elsewhere.example")
        document = await ask(config)
        assert policies.connections == 1
        assert document["mta_sts"]["mx"] == ["mx.example.org"]
        assert document["decision"] == "deliver"
        stored = await read_policy(config.node_database, NAME)
        assert stored is not None
        assert stored.entry == entry


async def test_a_database_that_cannot_be_read_is_said_and_done_without(tmp_path: Path) -> None:
    async with world(tmp_path) as (config, policies):
        config.data_dir.mkdir()
        config.node_database.write_bytes(b"nothing of ours" * 1000)
        document = await ask(config)
        assert policies.connections == 1
    (note,) = document["notes"]
    assert note.startswith(
        "the MTA-STS policies that the node keeps cannot be read by this command: "
    )
    assert document["decision"] == "deliver"


async def test_what_nodes_share_in_postgresql_is_read_there(tmp_path: Path) -> None:
    settings = 'queue = { engine = "postgres", url = "postgresql://nobody@127.0.0.1:1/none" }'
    async with world(tmp_path, settings) as (config, _):
        document = await ask(config)
    (note,) = document["notes"]
    assert "cannot be read by this command: PostgreSQL: " in note
    assert document["decision"] == "deliver"


async def test_a_policy_that_cannot_be_fetched_is_told(tmp_path: Path) -> None:
    """RFC 8461 §3.3, §6"""
    async with world(tmp_path) as (config, policies):
        policies.conduct = Conduct([respond(status="404 Not Found")])
        document = await ask(config)
    sts = document["mta_sts"]
    assert (sts["mode"], sts["mx"], sts["fetched"]) == (None, [], None)
    assert sts["error"] == "mta-sts.example.org: HTTP status 404"
    assert sts["result_type"] == "sts-policy-fetch-error"
    assert document["hosts"][0]["requirement"]["level"] == "may"


async def test_mail_for_a_domain_of_ours_goes_nowhere(tmp_path: Path) -> None:
    async with world(tmp_path) as (config, _):
        document = await ask(config, "postmaster@ours.example")
    assert (document["decision"], document["next_hop"], document["hosts"]) == ("deliver", None, [])
    assert "mailboxes" in document["reason"]


ROUTE = 'deliver.routes = { "example.org" = "[relay.example]:2525" }'


@pytest.mark.parametrize(
    ("settings", "asked", "hop"),
    [
        ('deliver.relayhost = "[relay.example]:2525"', "bob@example.org", "[relay.example]:2525"),
        (ROUTE, "example.org", "[relay.example]:2525"),
        (ROUTE, "relay.example", "relay.example"),
        # A host in brackets, or a port, is the next hop itself.
        (ROUTE, "[mx.example.org]", "[mx.example.org]"),
        (ROUTE, "example.org:25", "example.org:25"),
        ("", "bob@[192.0.2.1]", "[192.0.2.1]"),
    ],
)
async def test_mail_goes_where_the_settings_send_it(
    settings: str, asked: str, hop: str, tmp_path: Path
) -> None:
    async with world(tmp_path, settings) as (config, _):
        document = await ask(config, asked)
    assert document["next_hop"] == hop
    assert (document["decision"], len(document["hosts"])) == ("deliver", 1)


async def test_aliases_are_told(tmp_path: Path) -> None:
    """RFC 7672 §2.2.1, §2.1.3"""
    async with world(tmp_path) as (config, _):
        document = await ask(config, "mail.aliased.example")
    assert document["mx_aliases"] == [
        {"name": "mail.aliased.example", "target": "aliased.example", "status": "secure"}
    ]
    (host,) = document["hosts"]
    link = {"name": "mx.aliased.example", "target": "mx.relay.example", "status": "secure"}
    assert (host["name"], host["aliases"]) == ("mx.aliased.example", [link])


async def test_an_exception_is_told_with_its_reason_and_end(tmp_path: Path) -> None:
    """And what it takes the place of is shown all the same."""
    entry = """
        [policy.hops."example.org"]
        level = "encrypt"
        reason = "they know, and work on it"
        until = 2999-12-31
    """
    async with world(tmp_path, entry) as (config, _):
        document = await ask(config)
    (host,) = document["hosts"]
    assert (host["requirement"]["source"], host["requirement"]["level"]) == ("table", "encrypt")
    assert "they know, and work on it, until 2999-12-31" in host["requirement"]["reason"]
    assert document["mta_sts"]["mode"] == "enforce"
    assert host["tlsa_status"] == "none"


async def test_an_exception_that_has_ended_is_told_too(tmp_path: Path) -> None:
    entry = """
        [policy.hops."example.org"]
        level = "encrypt"
        until = 2020-01-01
    """
    async with world(tmp_path, entry) as (config, _):
        document = await ask(config)
    assert document["hosts"][0]["requirement"]["level"] == "verify"
    (note,) = document["notes"]
    assert "ended on 2020-01-01; example.org goes as if it were not there" in note


async def test_an_entry_that_is_wrong_lets_mail_wait(tmp_path: Path) -> None:
    async with world(tmp_path, '[policy.hops."example.org"]\nlevel = "sure"') as (config, _):
        document = await ask(config)
    requirement = document["hosts"][0]["requirement"]
    assert (document["decision"], requirement["usable"]) == ("defer", False)
    assert (requirement["level"], requirement["source"]) == (None, "table")


async def test_what_is_switched_off_is_told(tmp_path: Path) -> None:
    settings = "policy.dane = false\npolicy.mta_sts = false\npolicy.default_level = 'verify'"
    async with world(tmp_path, settings) as (config, policies):
        document = await ask(config)
        assert policies.connections == 0
    assert len(document["notes"]) == 2
    (host,) = document["hosts"]
    assert (document["mta_sts"], host["tlsa_status"], host["tlsa"]) == (None, None, [])
    assert (host["requirement"]["source"], host["requirement"]["level"]) == ("table", "verify")


@pytest.mark.parametrize(
    ("demand", "source"),
    [(TlsDemand.REQUIRETLS, "requiretls"), (TlsDemand.TLS_REQUIRED_NO, "opportunistic")],
)
async def test_a_senders_demand_can_be_asked_about(
    demand: TlsDemand, source: str, tmp_path: Path
) -> None:
    """RFC 8689 §4.2"""
    async with world(tmp_path, "policy.mta_sts = false") as (config, _):
        document = await ask(config, demand=demand)
    assert document["hosts"][0]["requirement"]["source"] == source


def test_the_defaults_need_no_file_and_know_no_address_as_ours() -> None:
    config = make_default_config()
    assert not config.node_database.exists()
    assert (config.domains, config.receive.listen) == ((), ())
    assert config.deliver.helo_ipv4 == config.deliver.helo_ipv6 is not None


def test_a_machine_without_a_proper_name_still_says_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="no name"))
    assert make_default_config().deliver.helo_ipv4 == "localhost"


async def test_a_host_that_says_nothing_is_given_up_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sooner than RFC 5321 §4.5.3.2 has mail wait: somebody is looking on."""
    monkeypatch.setattr("letterlock.node.explaining.PATIENCE", timedelta(seconds=0.2))
    async with (
        serving(MailConduct(answers={"banner": Act.SILENCE})) as (server,),
        world(tmp_path, f"deliver.port = {server.port}") as (config, _),
    ):
        explanation = await explain(
            config, f"[{server.ip}]", TlsDemand.NORMAL, SystemClock(), is_live=True
        )
    document = describe_explanation(explanation)
    (host,) = document["hosts"]
    assert (document["decision"], host["handshake"]) == ("undecidable", None)
    assert "waiting for greeting" in host["addresses"][0]["trial"]["reason"]

"""RFC 8461 §3: from the record to the policy, with a real name server and a real policy host."""

from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path
from random import SystemRandom

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.dns import StubResolver
from letterlock.network.https import HttpsSettings, PolicyFetcher
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.discover.mta_sts import MtaStsFinder
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies
from tests.fakes import FakeLog, FixtureResolver
from tests.network.certificates import authority, issue
from tests.policy_host import Conduct, policy_host, respond
from tests.services.discover.mta_sts_processes import FILE_NAME, NAME, RECORD_NAME, Process, policy

DELEGATED = """
_mta-sts  CNAME  example-org.records.hoster.example.
mta-sts   CNAME  policies.hoster.example.
sub       A      192.0.2.1
"""
HOSTER = """
example-org.records  TXT  "v=STSv1; i" "d=2026" "0301;"
example-org.records  TXT  "another purpose"
policies             A    127.0.0.1
"""


@pytest.fixture
async def stub() -> AsyncIterator[StubResolver]:
    server = ZoneServer({"example.org": DELEGATED, "hoster.example": HOSTER})
    host, port = await server.start()
    yield StubResolver(host, port, random=SystemRandom())
    await server.close()


async def test_a_record_and_a_policy_host_may_lie_at_a_provider(
    tmp_path: Path, stub: StubResolver
) -> None:
    """RFC 8461 §3.1 (rule 62): strings joined, aliases followed; §8.2 (rule 148): the
    certificate is still for the domain's own name."""
    clock = SystemClock()
    anchors = TrustAnchors.from_pem(authority().pem)
    for name, has_policy in (("mta-sts.example.org", True), ("policies.hoster.example", False)):
        store = SqlitePolicies(NodeDatabase(tmp_path / f"{name}.sqlite", clock))
        await store.open()
        async with policy_host(issue((name,)), Conduct([respond(policy())])) as host:
            settings = HttpsSettings(port=host.port, has_private_addresses=True)
            source = PolicyFetcher(stub, ClientContexts(), lambda: anchors, clock, settings)
            finder = MtaStsFinder(stub, store, source, clock, FakeLog())
            facts = await finder.find(NAME)
            assert facts.record == "v=STSv1; id=20260301;"
            assert facts.id == "20260301"
            assert (facts.policy is not None) == has_policy
            assert facts.result_type is (None if has_policy else ResultType.STS_WEBPKI_INVALID)
            assert host.snis == ["mta-sts.example.org"]
        await finder.close()
        await store.close()


async def test_a_domain_is_not_asked_for_its_parents_policy(node: Process) -> None:
    """RFC 8461 §3.4 (rule 75)."""
    facts = await node.finder.find(Domain("sub.example.org"))
    assert facts == MtaStsFacts(Domain("sub.example.org"))
    assert node.resolver.asked == [("_mta-sts.sub.example.org", "TXT")]


async def test_with_a_real_policy_host(tmp_path: Path) -> None:
    """RFC 8461 §3: from the record to the policy over HTTPS, and what becomes of it later."""
    clock, log, resolver = SystemClock(), FakeLog(), FixtureResolver()
    resolver.set(RECORD_NAME, "TXT", b"v=STSv1; id=1;")
    resolver.set("mta-sts.example.org", "A", ip_address("127.0.0.1"))
    anchors = TrustAnchors.from_pem(authority().pem)
    store = SqlitePolicies(NodeDatabase(tmp_path / FILE_NAME, clock))
    await store.open()
    async with policy_host(issue(("mta-sts.example.org",)), Conduct([respond(policy())])) as host:
        settings = HttpsSettings(port=host.port, has_private_addresses=True)
        source = PolicyFetcher(resolver, ClientContexts(), lambda: anchors, clock, settings)
        finder = MtaStsFinder(resolver, store, source, clock, log)
        facts = await finder.find(NAME)
        assert facts.policy is not None
        assert facts.policy.mx == ("mx.example.org",)
        host.conduct = Conduct([respond(status="404 Not Found")])
        resolver.set(RECORD_NAME, "TXT", b"v=STSv1; id=2;")
        facts = await finder.recheck(NAME)
        assert facts.policy is not None
        assert facts.error == "mta-sts.example.org: HTTP status 404"
        assert host.connections == 2
    await finder.close()
    await store.close()

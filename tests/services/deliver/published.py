"""A sending node that follows what is published, its MX hosts, and what is published of them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from letterlock.base.domains import Domain
from letterlock.network.https import FetchFailed
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.protocols.pki.throwaway_ca import self_signed as sign_itself
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.discover.mta_sts import MtaStsFinder
from letterlock.services.queue.outcomes import Delivery, Outcome, Result
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies
from tests.misbehaving import Conduct, Server, serving
from tests.network.certificates import NOW
from tests.services.deliver.outbound import DOMAIN, HOST, Outbound, only, sending, stories
from tests.services.discover.mta_sts_processes import FILE_NAME, FakeSource, policy

SECOND_HOST = f"mx2.{DOMAIN}"
GONE = FetchFailed(ResultType.STS_POLICY_FETCH_ERROR, f"mta-sts.{DOMAIN}: connection refused")
REQUIRETLS, NO = TlsDemand.REQUIRETLS, TlsDemand.TLS_REQUIRED_NO
ANOTHERS = TlsaRecord(3, 1, 1, bytes(32))
UNUSABLE = TlsaRecord(1, 1, 1, bytes(32))


def untrusted(*names: str) -> Issued:
    return sign_itself(names or (HOST,), now=NOW)


def tlsa(issued: Issued) -> TlsaRecord:
    """Give the 3 1 1 record of a certificate."""
    facts = read_certificate(issued.der)
    assert isinstance(facts, CertificateFacts)
    return TlsaRecord(3, 1, 1, bytes.fromhex(facts.spki_sha256))


@dataclass(slots=True)
class Hosts:
    """A sending node, the MX hosts that it sends to, and what is published of them."""

    node: Outbound
    servers: list[Server]
    source: FakeSource
    policies: SqlitePolicies
    latest: Delivery | None = None
    """What `send_another` came to."""

    def publish_tlsa(
        self, host: str, *records: TlsaRecord, security: Security = Security.SECURE
    ) -> None:
        """Let a host's address be signed, and its TLSA records be these."""
        number = int(host[2]) - 1
        self.node.resolver.set(host, "A", ip_address(self.servers[number].ip), security=security)
        self.node.resolver.set(self._owner(host), "TLSA", *records, security=security)

    def fail_tlsa(self, host: str, security: Security = Security.FAILED) -> None:
        self.publish_tlsa(host)
        self.node.resolver.fail(self._owner(host), "TLSA", security)

    def publish_policy(self, *mx: str, mode: str = "enforce", identifier: str = "1") -> None:
        pattern = "\nmx: ".join(mx or (f"*.{DOMAIN}",))
        self.source.outcome = policy(pattern, mode)
        text = f"v=STSv1; id={identifier};".encode()
        self.node.resolver.set(f"_mta-sts.{DOMAIN}", "TXT", text)

    async def look_again(self) -> None:
        """Let the node hear of the latest policy, whatever it remembers."""
        assert self.node.mta_sts is not None
        await self.node.mta_sts.recheck(Domain(DOMAIN))

    async def send_another(self) -> Outcome:
        """Send while other mail may be due as well."""
        queue_id = await self.node.save()
        claims = await self.node.store.claim(
            self.node.clock.now(), limit=1000, lease=timedelta(minutes=15)
        )
        (claim,) = [each for each in claims if each.queue_id == queue_id]
        self.latest = await self.node.deliver(claim)
        return only(self.latest)

    @property
    def mails(self) -> list[int]:
        """How many MAIL each server was told."""
        return [len(server.seen.mails) for server in self.servers]

    @property
    def connections(self) -> list[int]:
        return [server.seen.connections for server in self.servers]

    def word(self) -> str:
        """Give the word of the last line about TLS."""
        lines = [text for text in self.node.log.texts if " TLS connection " in text]
        return lines[-1].partition(" ")[0] if lines else ""

    def _owner(self, host: str) -> str:
        return f"_{self.servers[0].port}._tcp.{host}"


@contextlib.asynccontextmanager
async def going_to(
    folder: Path, *conducts: Conduct, mx: Security = Security.SECURE
) -> AsyncIterator[Hosts]:
    """Make a node that follows what is published, and the MX hosts of DOMAIN."""
    async with serving(*conducts) as servers, sending(folder) as node:
        source = FakeSource()
        policies = SqlitePolicies(NodeDatabase(folder / FILE_NAME, node.clock))
        await policies.open()
        node.route(servers, security=mx)
        node.is_dane = True
        node.mta_sts = MtaStsFinder(node.resolver, policies, source, node.clock, node.log)
        try:
            yield Hosts(node, servers, source, policies)
        finally:
            await node.mta_sts.close()
            await policies.close()


def result_types(delivery: Delivery) -> list[str | None]:
    """Give the result type of each attempt's verdict."""
    return [(story["verdict"] or {}).get("result_type") for story in stories(delivery)]


def assert_waits(outcome: Outcome, status: str, text: str) -> None:
    assert (outcome.result, outcome.status) == (Result.DEFERRED, status), outcome
    assert text in outcome.reply

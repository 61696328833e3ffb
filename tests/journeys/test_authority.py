"""`letterlock ca serve` as a process: certificates by our own client, and the operator's commands.

RFC 8555 §7; what the commands say is `letterlock.cli`'s, what happens is seen from outside.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.base.clock import SystemClock
from letterlock.network.acme_client import AcmeClient
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.https_client import HttpsClient
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.acme.challenges import dns_name, dns_value
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.identifiers import ChallengeType, parse_identifier
from letterlock.protocols.acme.jws import make_account_key
from letterlock.protocols.acme.requests import OrderRequest
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.services.certify.authority import Authority, Terms, open_account
from letterlock.services.certify.issuing import Issued, Issuer, NotIssued, Patience
from letterlock.services.certify.solvers import Proof
from tests.authority_running import AuthorityFiles, RunningAuthority, running_authority
from tests.fakes import FixtureResolver
from tests.journeys.running_node import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

ZONE = "example.org"
TERMS = Terms(contacts=("mailto:postmaster@example.org",), is_agreed=True)
PATIENCE = Patience(shortest=timedelta(milliseconds=20), longest=timedelta(milliseconds=200))


class ZoneSolver:
    """Proves names by TXT records."""

    kind: ChallengeType = "dns-01"

    def __init__(self, zone: ZoneServer) -> None:
        self._zone = zone

    async def present(self, proof: Proof) -> str | None:
        text = dns_value(proof.key_authorization)
        self._zone.set(dns_name(proof.identifier), "TXT", f'"{text}"')
        return None

    async def cleanup(self, proof: Proof) -> None:
        self._zone.set(dns_name(proof.identifier), "TXT")


@dataclass
class Scene:
    """An authority that runs, a zone that it asks, an account."""

    authority: RunningAuthority
    zone: ZoneServer
    account: Authority

    async def order(self, *names: str) -> Issued | NotIssued:
        issuer = Issuer(self.account, [ZoneSolver(self.zone)], SystemClock(), PATIENCE)
        request = OrderRequest(frozenset(parse_identifier(name) for name in names))
        return await issuer.issue(request, ec.generate_private_key(ec.SECP256R1()))

    async def issue(self, *names: str) -> x509.Certificate:
        found = await self.order(*names)
        assert isinstance(found, Issued), f"{found.lines}\n{self.authority.log}"
        return found.chain.leaf

    async def command(self, *words: str) -> Answer:
        return await asyncio.to_thread(self.authority.files.command, "ca", *words)


def make_client(authority: RunningAuthority) -> AcmeClient:
    resolver = FixtureResolver()
    resolver.set("localhost", "A", ip_address("127.0.0.1"))
    root = authority.files.root.read_bytes()
    https = HttpsClient(
        resolver,
        ClientContexts(),
        lambda: TrustAnchors.from_pem(root),
        SystemClock(),
        has_private_addresses=True,
    )
    return AcmeClient(https, parse_url(authority.directory), SystemClock())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    zone = ZoneServer({ZONE: "@ A 127.0.0.1"})
    host, port = await zone.start()
    files = AuthorityFiles(tmp_path_factory.mktemp("ca"), resolver=f"{host}:{port}")
    with running_authority(files) as authority:
        account = await open_account(make_client(authority), make_account_key(), TERMS)
        assert isinstance(account, Authority), account
        yield Scene(authority, zone, account)
    await zone.close()


async def test_our_own_client_gets_a_certificate(scene: Scene) -> None:
    certificate = await scene.issue("mx1.example.org", "*.example.org")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"mx1.example.org", "*.example.org"}
    issuer = x509.load_pem_x509_certificate(
        (scene.authority.files.keys / "issuing.pem").read_bytes()
    )
    certificate.verify_directly_issued_by(issuer)

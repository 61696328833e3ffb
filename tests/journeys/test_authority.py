"""`letterlock ca serve` as a process: certificates by our own client, and the operator's commands.

RFC 8555 §7; what the commands say is `letterlock.cli`'s, what happens is seen from outside.
"""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.base.clock import SystemClock
from letterlock.network.acme_client import AcmeClient, AcmeFailed
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.https_client import HttpsClient
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.acme.challenges import dns_name, dns_value
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.identifiers import ChallengeType, parse_identifier
from letterlock.protocols.acme.jws import ExternalAccount, make_account_key, parse_mac_key
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

    async def wait_revoked(self, certificate: x509.Certificate) -> x509.RevokedCertificate:
        """Wait until the CRL that a certificate names has it."""
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        names = points[0].full_name
        assert names is not None
        path = urlsplit(names[0].value).path
        url = f"http://127.0.0.1:{self.authority.crl_port}{path}"
        async with asyncio.timeout(60):
            while True:
                der = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
                crl = x509.load_der_x509_crl(der)
                found = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
                if found is not None:
                    return found
                await asyncio.sleep(0.05)

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


async def test_what_was_issued_is_listed(scene: Scene) -> None:
    certificate = await scene.issue("listed.example.org")
    answer = await scene.command("list", "--name", "listed.example.org", "--json")
    (found,) = answer.document["certificates"]
    assert int(found["serial"], 16) == certificate.serial_number
    assert found["names"] == ["listed.example.org"]
    assert (found["status"], found["profile"]) == ("valid", "default")
    everything = (await scene.command("list")).output
    assert found["serial"] in everything
    # Its own certificate is one as all others are.
    assert "localhost" in everything


async def test_what_an_operator_revokes_is_in_the_crl(scene: Scene) -> None:
    """RFC 5280 §5; by the file of a certificate, or by its number."""
    certificate = await scene.issue("lost.example.org")
    number = f"{certificate.serial_number:x}"
    answer = await scene.command("revoke", number, "--reason", "key-compromise", "--json")
    assert answer.code == 0, answer.error
    assert answer.document["certificate"]["status"] == "revoked"
    assert answer.document["others"] == 0
    scene.authority.reload()  # sooner than by itself
    entry = await scene.wait_revoked(certificate)
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is (
        x509.ReasonFlags.key_compromise
    )
    left = (await scene.command("list", "--name", "lost.example.org", "--json")).document
    assert left["certificates"] == []
    unknown = await scene.command("revoke", "01ab")
    assert (unknown.code, unknown.error) == (
        1,
        "letterlock: 01ab: our authority issued no such certificate\n",
    )


async def test_a_halt_holds_at_once_and_says_why(scene: Scene) -> None:
    answer = await scene.command("halt", "--why", "a fault is looked for", "--json")
    assert answer.document["halted"] is True
    assert answer.document["who"].startswith("operator ")
    found = await scene.order("halted.example.org")
    assert isinstance(found, NotIssued)
    assert "a fault is looked for" in "".join(found.lines)
    assert (await scene.command("resume", "--json")).document["halted"] is False
    await scene.issue("halted.example.org")


async def test_who_was_given_a_key_opens_an_account_where_one_is_needed(scene: Scene) -> None:
    """RFC 8555 §7.3.4; the settings are read again while it runs."""
    files = scene.authority.files
    files.change("ca", needs_external_account=True)
    files.write()
    scene.authority.reload()
    client = make_client(scene.authority)
    refused = await open_account(client, make_account_key(), TERMS)
    assert not isinstance(refused, Authority)
    given = (await scene.command("account-key", "alice", "--json")).document
    external = ExternalAccount(given["key_id"], parse_mac_key(given["key"]))
    terms = Terms(TERMS.contacts, is_agreed=True, external=external)
    assert isinstance(await open_account(client, make_account_key(), terms), Authority)
    wrong = Terms(
        TERMS.contacts, is_agreed=True, external=ExternalAccount(given["key_id"], b"x" * 32)
    )
    assert not isinstance(await open_account(client, make_account_key(), wrong), Authority)


async def test_a_key_that_is_taken_back_opens_no_account(scene: Scene) -> None:
    """RFC 8555 §7.3.4; who came before goes on."""
    given = (await scene.command("account-key", "bob", "--json")).document
    external = ExternalAccount(given["key_id"], parse_mac_key(given["key"]))
    terms = Terms(TERMS.contacts, is_agreed=True, external=external)
    client = make_client(scene.authority)
    bound = await open_account(client, make_account_key(), terms)
    assert isinstance(bound, Authority), bound
    revoked = (await scene.command("account-key", "revoke", given["key_id"], "--json")).document
    account_id = bound.account.url.text.rpartition("/")[2]
    assert revoked["accounts"] == [{"id": account_id, "status": "valid"}]
    assert "taken back" in str(await open_account(client, make_account_key(), terms))
    await Scene(scene.authority, scene.zone, bound).issue("bound.example.org")
    listed = (await scene.command("audit", "show", "--about", given["key_id"], "--json")).document
    assert [each["document"]["action"] for each in listed["records"]] == ["made", "revoked"]


async def test_an_account_that_is_closed_gets_nothing_more(scene: Scene) -> None:
    """RFC 8555 §7.3.6: at once, from a process that runs; its certificates stay."""
    given = (await scene.command("account-key", "carol", "--json")).document
    external = ExternalAccount(given["key_id"], parse_mac_key(given["key"]))
    terms = Terms(TERMS.contacts, is_agreed=True, external=external)
    client, key = make_client(scene.authority), make_account_key()
    bound = await open_account(client, key, terms)
    assert isinstance(bound, Authority), bound
    certificate = await Scene(scene.authority, scene.zone, bound).issue("closed.example.org")
    request = OrderRequest(frozenset([parse_identifier("open.example.org")]))
    opened = await bound.order(request)
    assert not isinstance(opened, AcmeFailed), opened
    account_id = bound.account.url.text.rpartition("/")[2]
    answer = await scene.command("account", "close", account_id, "--json")
    assert answer.code == 0, answer.error
    closed = answer.document
    assert (closed["status"], closed["key_id"]) == ("revoked", given["key_id"])
    assert (closed["ended_orders"], closed["certificates"]) == (1, 1)
    for refused in (
        await bound.order(request),
        await bound.fetch_order(opened.value.url),
        await open_account(client, key, terms),
    ):
        assert isinstance(refused, AcmeFailed)
        assert refused.problem is not None
        assert (refused.problem.type, refused.problem.status) == ("unauthorized", 401)
    left = (await scene.command("list", "--account", account_id, "--json")).document
    assert [int(each["serial"], 16) for each in left["certificates"]] == [certificate.serial_number]
    listed = (await scene.command("audit", "show", "--about", account_id, "--json")).document
    assert listed["records"][-1]["document"]["action"] == "closed"
    assert listed["records"][-1]["document"]["who"].startswith("operator ")


async def test_settings_that_cannot_be_used_leave_the_old_ones(scene: Scene) -> None:
    files = scene.authority.files
    since = len(scene.authority.lines)
    files.change("ca", folder="elsewhere")
    files.write()
    scene.authority.reload()
    scene.authority.wait_log(r"reload: .*ca\.folder: a change needs a restart", since=since)
    del files.settings["ca"]["folder"]
    files.write()
    await scene.issue("after.example.org")

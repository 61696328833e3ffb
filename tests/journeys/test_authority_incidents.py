"""An incident of an authority that runs: found, told, replaced, revoked; its audit and its log.

RFC 9773 §4.2, §5. What the commands say is in `tests/cli/test_ca_incident.py`.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.base.clock import SystemClock
from letterlock.base.config.load import load_config
from letterlock.base.domains import Domain
from letterlock.network.zone_server import ZoneServer
from letterlock.node.ca import audit_commands, incident_commands
from letterlock.node.ca.incident_commands import Asked
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.jws import make_account_key
from letterlock.protocols.acme.renewal_info import find_certificate_id
from letterlock.protocols.acme.requests import OrderRequest
from letterlock.protocols.audit.decisions import RevocationLogged
from letterlock.protocols.audit.evidence import Ground
from letterlock.protocols.audit.records import read_decision
from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.incidents.choosing import Choice
from letterlock.services.certify.authority import Authority, RenewalAdvice, open_account
from letterlock.services.certify.issuing import Issued, Issuer
from letterlock.storage.ca.incidents import Incident, IncidentCounts
from letterlock.storage.drop import parse_envelope
from letterlock.storage.drop_folder import DropFolder, Found
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.authority_running import AuthorityFiles, RunningAuthority, running_authority
from tests.journeys.test_authority import PATIENCE, TERMS, ZONE, ZoneSolver, make_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLOCK = SystemClock()
DAY = timedelta(days=1)


class Scene:
    """An authority with a node's drop folder beside it, and an account; and its store."""

    def __init__(
        self, authority: RunningAuthority, zone: ZoneServer, account: Authority, drop: DropFolder
    ) -> None:
        self.authority = authority
        self.config = load_config(authority.files.config)
        self.store = SqliteAuthority(authority.files.keys / "authority.db", CLOCK)
        self.zone = zone
        self.account = account
        self.drop = drop

    async def issue(
        self, *names: str, replaces: x509.Certificate | None = None
    ) -> x509.Certificate:
        issuer = Issuer(self.account, [ZoneSolver(self.zone)], CLOCK, PATIENCE)
        named = find_certificate_id(replaces) if replaces is not None else None
        identifiers = frozenset(parse_identifier(name) for name in names)
        request = OrderRequest(identifiers, replaces=named)
        found = await issuer.issue(request, ec.generate_private_key(ec.SECP256R1()))
        assert isinstance(found, Issued), f"{found.lines}\n{self.authority.log}"
        return found.chain.leaf

    async def create(
        self,
        *affected: x509.Certificate,
        choice: Choice | None = None,
        lasts: timedelta = 5 * DAY,
    ) -> incident_commands.Standing:
        serials = tuple(each.serial_number for each in affected)
        until = CLOCK.now() + lasts
        why = "one name was looked up for all"
        asked = Asked(why, until, Reason.SUPERSEDED, choice or Choice(), serials=serials)
        return await incident_commands.create_incident(
            self.config, self.store, CLOCK, asked, lambda _: None
        )

    async def enable(self, incident: Incident) -> None:
        """Enable it, and have the authority look at once: else it sees it in half a minute."""
        await incident_commands.enable_incident(self.store, CLOCK, incident.id)
        await self.look()

    async def look(self) -> None:
        await asyncio.to_thread(self.authority.reload)

    async def wait_until(self, incident: Incident, **wanted: int) -> IncidentCounts:
        """Wait until an incident stands so."""
        async with asyncio.timeout(60):
            while True:
                counts = await self.store.count_affected(incident.id, CLOCK.now())
                found = dataclasses.asdict(counts)
                if all(found[key] == value for key, value in wanted.items()):
                    return counts
                await asyncio.sleep(0.05)

    async def ask(self, certificate: x509.Certificate) -> RenewalAdvice:
        advice = await self.account.ask_renewal(certificate)
        assert isinstance(advice, RenewalAdvice)
        return advice

    def list_mails(self) -> list[tuple[tuple[str, ...], bytes]]:
        """Give the mails that a node would take: their recipients and octets."""
        found = []
        for name in self.drop.list_whole(set())[0]:
            opened = self.drop.open(name)
            assert isinstance(opened, Found)
            with opened.file as file:
                envelope, octets = parse_envelope(file.read())
            found.append((envelope.recipients, octets))
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    zone = ZoneServer({ZONE: "@ A 127.0.0.1"})
    host, port = await zone.start()
    files = AuthorityFiles(tmp_path_factory.mktemp("ca"), resolver=f"{host}:{port}")
    files.set("ca.incidents", after_replaced="1s", sender="ca@ca.example")
    drop = DropFolder(files.data / "drop")
    drop.prepare({})
    with running_authority(files) as authority:
        account = await open_account(make_client(authority), make_account_key(), TERMS)
        assert isinstance(account, Authority), account
        scene = Scene(authority, zone, account, drop)
        await scene.store.open()
        yield scene
        await scene.store.close()
    await zone.close()


async def test_clients_and_people_are_told(scene: Scene) -> None:
    one = await scene.issue("told.example.org")
    two = await scene.issue("two.example.org", "*.b.two.example.org")
    other = await scene.issue("other.example.org")
    created = await scene.create(one, two)
    incident, now = created.incident, CLOCK.now()
    assert created.counts.affected == 2
    assert incident.page.endswith(f"/status/incident/{incident.id}")
    assert (await scene.ask(one)).info.start > now
    await scene.enable(incident)
    for each in (one, two):
        advice = await scene.ask(each)
        assert advice.info.end < now
        assert advice.info.explanation == incident.page
    assert (await scene.ask(other)).info.explanation is None
    await scene.wait_until(incident, told=2)
    ((recipients, octets),) = scene.list_mails()
    mail = message_from_bytes(octets, policy=default)
    assert recipients == ("postmaster@example.org",)
    assert mail["From"] == "ca@ca.example"
    assert mail["Subject"].startswith("Renew 2 certificates by ")
    text = mail.get_content()
    assert format_serial(one.serial_number) in text
    assert "*.b.two.example.org" in text
    await incident_commands.withdraw_incident(scene.store, CLOCK, incident.id)
    assert (await scene.ask(two)).info.explanation is None


async def test_what_is_replaced_is_revoked_and_at_the_deadline_the_rest(scene: Scene) -> None:
    one = await scene.issue("one.late.example.org")
    two = await scene.issue("two.late.example.org")
    incident = (await scene.create(one)).incident
    await scene.issue("one.late.example.org", replaces=one)
    await scene.enable(incident)
    await scene.wait_until(incident, replaced=1, revoked=1)
    (listed,) = await scene.store.list_of_serials([one.serial_number])
    order_id = listed.issued.certificate.order_id
    *_, last = await audit_commands.list_records_about(scene.store, order_id)
    revocation = read_decision(last.document)
    assert isinstance(revocation, RevocationLogged)
    assert revocation.by == f"incident {incident.id}"
    under = Choice(under=Domain("late.example.org"))
    created = await scene.create(choice=under, lasts=timedelta(seconds=5))
    assert created.counts.affected == 2
    await scene.enable(created.incident)
    await scene.wait_until(created.incident, revoked=2, left=0)
    assert (await scene.ask(two)).info.explanation == created.incident.page


async def test_what_is_issued_rests_on_all_that_it_must(scene: Scene) -> None:
    """The log of a real authority, by real validations: nothing is missing for any name."""
    made = await scene.issue("c.example.org", "*.d.example.org")
    choice = Choice(lacks=tuple(Ground))
    assert (await scene.create(choice=choice)).counts.affected == 0
    (listed,) = await scene.store.list_of_serials([made.serial_number])
    order_id = listed.issued.certificate.order_id
    records = await audit_commands.list_records_about(scene.store, order_id)
    kinds = [each.kind for each in records]
    assert kinds.count("validation") == 2
    assert {"order", "request", "serial", "lint", "signing"} <= set(kinds)


async def test_the_log_of_all_that_is_whole(scene: Scene) -> None:
    state = await audit_commands.find_state(scene.store)
    assert (state.log.faulty, state.certificates.faulty) == (0, 0)
    assert state.head is not None
    *_, found = [each async for each in audit_commands.verify(scene.config, scene.store, [])]
    assert (found.breaks, found.unsigned) == ((), ())
    assert found.signed >= 1
    assert found.head == await scene.store.load_head()

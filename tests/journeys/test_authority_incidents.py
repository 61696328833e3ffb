"""An incident of an authority that runs: found, told, replaced, revoked; its audit and its log.

RFC 9773 §4.2, §5; RFC 5280 §5.
"""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.clock import SystemClock
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.jws import make_account_key
from letterlock.protocols.acme.renewal_info import find_certificate_id
from letterlock.protocols.acme.requests import OrderRequest
from letterlock.protocols.incidents.serials import format_serial
from letterlock.services.certify.authority import Authority, RenewalAdvice, open_account
from letterlock.services.certify.issuing import Issued, Issuer
from letterlock.storage.drop import parse_envelope
from letterlock.storage.drop_folder import DropFolder, Found
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.authority_running import AuthorityFiles, RunningAuthority, running_authority
from tests.journeys.test_authority import PATIENCE, TERMS, ZONE, ZoneSolver, make_client

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Scene:
    """An authority with a node's drop folder beside it, and an account."""

    def __init__(
        self, authority: RunningAuthority, zone: ZoneServer, account: Authority, drop: DropFolder
    ) -> None:
        self.authority = authority
        self.store = SqliteAuthority(authority.files.keys / "authority.db", SystemClock())
        self.zone = zone
        self.account = account
        self.drop = drop

    async def issue(
        self, *names: str, replaces: x509.Certificate | None = None
    ) -> x509.Certificate:
        issuer = Issuer(self.account, [ZoneSolver(self.zone)], SystemClock(), PATIENCE)
        named = find_certificate_id(replaces) if replaces is not None else None
        identifiers = frozenset(parse_identifier(name) for name in names)
        request = OrderRequest(identifiers, replaces=named)
        found = await issuer.issue(request, ec.generate_private_key(ec.SECP256R1()))
        assert isinstance(found, Issued), f"{found.lines}\n{self.authority.log}"
        return found.chain.leaf

    async def ca(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run a command of `ca` that answers in JSON."""
        answer = await asyncio.to_thread(self.authority.files.command, "ca", *words, "--json")
        assert answer.code == code, answer.error
        found: dict[str, Any] = json.loads(answer.output)
        return found

    async def wait_until(self, incident_id: str, **wanted: object) -> dict[str, Any]:
        """Wait until an incident stands so; gives what `ca incident status` says then."""
        async with asyncio.timeout(60):
            while True:
                if await self._is(incident_id, wanted):
                    break
                await asyncio.sleep(0.05)
        (found,) = (await self.ca("incident", "status", incident_id))["incidents"]
        return dict(found)

    async def _is(self, incident_id: str, wanted: dict[str, object]) -> bool:
        incident = await self.store.load_incident(incident_id)
        counts = await self.store.count_affected(incident_id, SystemClock().now())
        assert incident is not None
        found = {**dataclasses.asdict(counts), "state": incident.state}
        return all(found[key] == value for key, value in wanted.items())

    async def look(self) -> None:
        """Have it look at once: what is new in the database it sees within half a minute."""
        await asyncio.to_thread(self.authority.reload)

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

    async def check(self, tmp_path: Path, certificate: x509.Certificate, incident_id: str) -> int:
        """Run `incident check` with our own incident; gives its exit code."""
        file = tmp_path / "certificate.pem"
        file.write_bytes(certificate.public_bytes(Encoding.PEM))
        words = ("incident", "check", "--incident", incident_id, "--cert", str(file), "--json")
        answer = await asyncio.to_thread(self.authority.files.command, *words)
        assert answer.code in (0, 1), answer.error
        found = json.loads(answer.output)
        assert found["list"]["source"] == f"incident {incident_id}"
        return answer.code


def serial_of(certificate: x509.Certificate) -> str:
    return format_serial(certificate.serial_number)


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


async def create(scene: Scene, *affected: x509.Certificate) -> dict[str, Any]:
    asked = ("--why", "one name was looked up for all", "--renew-by", "5d")
    serials = [serial_of(each) for each in affected]
    return await scene.ca("incident", "create", *asked, *serials)


async def test_clients_and_people_are_told(scene: Scene, tmp_path: Path) -> None:
    one = await scene.issue("told.example.org")
    two = await scene.issue("two.example.org", "*.b.two.example.org")
    other = await scene.issue("other.example.org")
    created = await create(scene, one, two)
    assert (created["affected"], created["state"]) == (2, "ready")
    assert created["url"].endswith(f"/status/incident/{created['id']}")
    now = SystemClock().now()
    assert (await scene.ask(one)).info.start > now
    enabled = await scene.ca("incident", "enable", created["id"])
    assert (enabled["state"], enabled["left"]) == ("enabled", 2)
    for each in (one, two):
        advice = await scene.ask(each)
        assert advice.info.end < now
        assert advice.info.explanation == created["url"]
    assert (await scene.ask(other)).info.explanation is None
    await scene.look()
    await scene.wait_until(created["id"], told=2)
    ((recipients, octets),) = scene.list_mails()
    mail = message_from_bytes(octets, policy=default)
    assert recipients == ("postmaster@example.org",)
    assert mail["From"] == "ca@ca.example"
    assert mail["Subject"].startswith("Renew 2 certificates by ")
    text = mail.get_content()
    assert serial_of(one) in text
    assert "*.b.two.example.org" in text
    assert await scene.check(tmp_path, two, created["id"]) == 1
    assert await scene.check(tmp_path, other, created["id"]) == 0
    withdrawn = await scene.ca("incident", "withdraw", created["id"])
    assert withdrawn["state"] == "withdrawn"
    assert (await scene.ask(two)).info.explanation is None


async def test_what_is_replaced_is_revoked(scene: Scene) -> None:
    one = await scene.issue("one.example.org")
    two = await scene.issue("also.example.org")
    created = await create(scene, one, two)
    await scene.ca("incident", "enable", created["id"])
    await scene.issue("one.example.org", replaces=one)
    await scene.look()
    await scene.wait_until(created["id"], replaced=1)
    await asyncio.sleep(1)
    await scene.look()
    found = await scene.wait_until(created["id"], revoked=1)
    assert (found["left"], found["state"]) == (1, "enabled")
    records = (await scene.ca("audit", "show", "--certificate", serial_of(one)))["records"]
    assert records[-1]["kind"] == "revocation"
    assert records[-1]["document"]["by"] == f"incident {created['id']}"
    await scene.ca("incident", "withdraw", created["id"])


async def test_at_the_deadline_all_that_is_left_is_revoked(scene: Scene) -> None:
    await scene.issue("a.late.example.org")
    await scene.issue("b.late.example.org")
    asked = ("--why", "a key was shown", "--renew-by", "1s", "--url", "https://a.example/why")
    made = await scene.ca("incident", "create", *asked, "--under", "late.example.org", "--enable")
    assert (made["affected"], made["state"], made["url"]) == (2, "enabled", "https://a.example/why")
    await asyncio.sleep(1)
    await scene.look()
    found = await scene.wait_until(made["id"], state="ended")
    assert (found["revoked"], found["left"]) == (2, 0)


async def test_what_is_issued_rests_on_all_that_it_must(scene: Scene) -> None:
    """The log of a real authority, by real validations: nothing is missing for any name."""
    made = await scene.issue("c.example.org", "*.d.example.org")
    asked = ("--why", "x", "--renew-by", "1d", "--under", "example.org")
    grounds = ("caa", "validation", "lint", "serial", "order", "request", "signing")
    missing = [word for ground in grounds for word in ("--missing", ground)]
    found = await scene.ca("incident", "create", *asked, *missing, code=1)
    assert found["affected"] == 0
    records = (await scene.ca("audit", "show", "--certificate", serial_of(made)))["records"]
    kinds = [each["kind"] for each in records]
    assert kinds.count("validation") == 2
    assert {"order", "request", "serial", "lint", "signing"} <= set(kinds)
    (looked, *_) = [each for each in records if each["kind"] == "validation"]
    assert looked["document"]["caa_looks"][0]["lookups"][0]["type"] == "CAA"


async def test_the_log_is_verified_and_its_head_can_be_kept(scene: Scene, tmp_path: Path) -> None:
    state = await scene.ca("audit", "status")
    assert (state["log"]["faulty"], state["certificates"]["faulty"]) == (0, 0)
    head = tmp_path / "head.json"
    head.write_text(json.dumps(state["head"]))
    found = await scene.ca("audit", "verify", "--head", str(head))
    assert found["breaks"] == []
    assert found["signed_heads"] >= 1
    assert found["unsigned_heads"] == []
    assert found["records"] > 30

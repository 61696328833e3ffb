"""The audit of many certificates, and an incident that affects all of them: in little memory."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace as restruct

from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.audit.decisions import (
    Decision,
    LintLogged,
    NameBasis,
    OrderLogged,
    RequestLogged,
    SerialLogged,
    SigningLogged,
)
from letterlock.protocols.audit.evidence import EvidenceRules, SignedCertificate
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.auditing.alarms import Alarm, AlarmRules
from letterlock.services.ca.auditing.certificates import NAME, CertificateAudit
from letterlock.services.ca.auditing.grounds import describe
from letterlock.services.ca.incidents.changing import NewIncident, create, enable
from letterlock.services.ca.incidents.choosing import Choice, choose
from letterlock.services.ca.incidents.telling import Sender, Teller
from letterlock.services.ca.incidents.work import LEASE, IncidentRules, IncidentWork
from letterlock.services.ca.revoking import Revoker
from letterlock.storage.ca.changes import AddCertificate, AddSerial
from letterlock.storage.ca.kept import Issued, WorkKind
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import FakeClock, FakeLog
from tests.grounds import look_at, validation_of
from tests.services.ca.issuing.office import ALLOWS, Office
from tests.storage.authorities import make_issued, reserve

COUNT = 10_000
AT_A_TIME = 500
MAX_PEAK_BYTES = 8 * 1024 * 1024
MX = "mx.a.example"
DAY = timedelta(days=1)
RULES = EvidenceRules(10 * DAY)

pytestmark = pytest.mark.proof


class Archive:
    """Many certificates, each with its log; their octets are those of one."""

    def __init__(self, store: SqliteAuthority, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock

    async def fill(self) -> None:
        office = Office(self.store, self.clock)
        office.resolver.set(MX, "CAA", ALLOWS)
        claimed = await office.add_order(MX)
        await office.issuing().do(claimed)
        real = await office.find_issued(claimed)
        assert real is not None
        signed = describe(real)
        assert signed is not None
        for first in range(1, COUNT + 1, AT_A_TIME):
            await asyncio.gather(
                *(self._put(at, real, signed) for at in range(first, first + AT_A_TIME))
            )
        self.clock.move(timedelta(minutes=5))

    async def _put(self, number: int, real: Issued, signed: SignedCertificate) -> None:
        issued = replace(make_issued(number, order_id=f"many-{number}"), der=real.der)
        serial = AddSerial(reserve(number, f"many-{number}"))
        entries = [AuditEntry(self.clock.now(), each) for each in self._log(number, signed)]
        assert await self.store.commit([serial, AddCertificate(issued)], entries)

    def _log(self, number: int, signed: SignedCertificate) -> list[Decision]:
        now, order, authorization = self.clock.now(), f"many-{number}", f"authz-{number}"
        proved = validation_of(MX, look_at(MX, now))
        basis = NameBasis(MX, authorization)
        return [
            OrderLogged(order, "account-1", (MX,), (authorization,)),
            restruct(proved, authorization=authorization),
            RequestLogged(order, "ee" * 32),
            SerialLogged(order, signed.serial, "issuer", "a"),
            LintLogged(order, signed.draft, "linter"),
            SigningLogged(
                *(order, "account-1", signed.serial, "issuer", signed.digest, signed.draft),
                *(now, now, (basis,)),
            ),
        ]


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    clock = FakeClock()
    store = SqliteAuthority(tmp_path / "authority.db", clock)
    await store.open()
    found = Archive(store, clock)
    await found.fill()
    yield found
    await store.close()


async def measure(do: Callable[[], Awaitable[object]]) -> int:
    """Give the most octets that were in use while something was done."""
    tracemalloc.start()
    try:
        await do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_many_certificates_are_gone_through_in_little_memory(archive: Archive) -> None:
    """What it takes is that of a page, however many there are."""
    store, clock = archive.store, archive.clock
    log = FakeLog()
    audit = CertificateAudit(
        store, RULES, Alarm(store, AlarmRules(), clock, log), clock, rounds=DAY
    )

    async def go_through() -> None:
        while await audit.step() <= clock.now():
            pass

    assert await measure(go_through) < MAX_PEAK_BYTES
    progress = await store.load_progress(NAME)
    # The one that the office issued has no order in the log: it alone is found.
    assert (progress.checked, progress.faulty) == (COUNT + 1, 1)
    assert len(log.texts) == 1


async def test_an_incident_may_affect_many(archive: Archive) -> None:
    store, clock, log = archive.store, archive.clock, FakeLog()
    page = "https://ca.example/{id}"
    new = NewIncident("why", page, clock.now() + DAY, Reason.SUPERSEDED, "all", "me")
    now = clock.now()

    async def make() -> None:
        pages = choose(store, Choice(account_id="account-1"), RULES, now)
        incident = await create(store, new, pages, now, lambda _: None)
        await enable(store, incident.id, "me", now)

    assert await measure(make) < MAX_PEAK_BYTES
    clock.move(DAY)
    sender = Sender("CA", "ca@ca.example", "ca.example")
    teller = Teller(store, sender, Places("https://ca.example"), None, clock, log)
    revoke = Revoker(store, clock, log, lambda: None).revoke
    work = IncidentWork(store, teller, revoke, IncidentRules(), clock, FakeLog())
    while claimed := await store.claim_work(
        WorkKind.INCIDENT, "us", clock.now(), clock.now() + LEASE, 1
    ):
        await work.do(claimed[0])
    (incident,) = await store.list_incidents()
    counts = await store.count_affected(incident.id, clock.now())
    assert (counts.affected, counts.revoked, counts.left) == (COUNT, COUNT, 0)

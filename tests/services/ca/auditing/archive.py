"""An authority that issues with all of its log, and the audit that reads it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from letterlock.protocols.audit.decisions import (
    Decision,
    FindingLogged,
    OrderLogged,
    RequestLogged,
    ValidationLogged,
)
from letterlock.protocols.audit.evidence import EvidenceRules
from letterlock.protocols.audit.records import AuditEntry, read_decision
from letterlock.services.ca.auditing.alarms import Alarm, AlarmRules
from letterlock.services.ca.auditing.certificates import CertificateAudit
from letterlock.services.ca.issuing.orders import Issuing
from letterlock.services.ca.issuing.tools import Rechecks
from letterlock.storage.ca.kept import Issued
from tests.fakes import FakeLog
from tests.grounds import look_at, validation_of
from tests.services.ca.issuing.office import Office, OrderedName

RULES = EvidenceRules(timedelta(days=10))
ROUND = timedelta(days=1)


@dataclass
class FakeSend:
    """Keeps the mails of alarms; with a `fault` none can be sent."""

    sent: list[tuple[str, list[str]]] = field(default_factory=list)
    fault: str | None = None

    async def __call__(self, subject: str, lines: Sequence[str]) -> str | None:
        if self.fault is None:
            self.sent.append((subject, list(lines)))
        return self.fault


class Archive:
    """An office with what the verbs before it would have logged."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.log = FakeLog()
        self.mail = FakeSend()

    async def issue(
        self,
        *names: str,
        age: timedelta = timedelta(),
        rechecks: Rechecks | None = None,
        unproved: Sequence[str] = (),
    ) -> Issued:
        """Issue for names that were proved so long ago; `unproved` were not, says the log."""
        office = self.office
        claimed = await office.add_order(*(OrderedName(each, age) for each in names))
        order = await office.find_order(claimed)
        began = office.clock.now() - age
        decisions: list[Decision] = [
            OrderLogged(order.id, order.account_id, names, order.authorization_ids),
            RequestLogged(order.id, "ee" * 32),
        ]
        decisions += [
            self._prove(name, one, order.account_id, age)
            for name, one in zip(names, order.authorization_ids, strict=True)
            if name not in unproved
        ]
        assert await office.kept.commit((), [AuditEntry(began, each) for each in decisions])
        issuing = office.issuing()
        if rechecks is not None:
            issuing = Issuing(replace(issuing._tools, rechecks=rechecks))
        assert await issuing.do(claimed) is None
        issued = await office.find_issued(claimed)
        assert issued is not None
        return issued

    def _prove(
        self, name: str, authorization_id: str, account_id: str, age: timedelta
    ) -> ValidationLogged:
        look = look_at(name, self.office.clock.now() - age)
        proved = validation_of(name, look)
        return ValidationLogged(
            authorization_id, account_id, name, proved.method, proved.looks, proved.caa_looks
        )

    def audit(self, *, halts: bool = False, has_mail: bool = True) -> CertificateAudit:
        """Make the audit of another process."""
        office = self.office
        send = self.mail if has_mail else None
        alarm = Alarm(office.kept, AlarmRules(halts), office.clock, self.log, send)
        return CertificateAudit(office.kept, RULES, alarm, office.clock, rounds=ROUND)

    async def look(self, audit: CertificateAudit, wait: timedelta = timedelta(minutes=1)) -> None:
        """Let some time pass, then do a step."""
        self.office.clock.move(wait)
        await audit.step()

    async def list_findings(self) -> list[FindingLogged]:
        records = await self.office.kept.list_records(0, 1000, kind="finding")
        found = [read_decision(each.document) for each in records]
        return [each for each in found if isinstance(each, FindingLogged)]

"""What an authority does about itself: incidents and its audit, put together from its settings."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from letterlock import __version__
from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.log import Log, Service
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.audit.decisions import StartLogged
from letterlock.protocols.audit.evidence import EvidenceRules
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.incidents.notices import Fields, format_mail
from letterlock.protocols.pki.issuance.signing import Signer
from letterlock.services.ca.auditing import certificates, log
from letterlock.services.ca.auditing.alarms import Alarm, AlarmRules, SendMail
from letterlock.services.ca.auditing.certificates import CertificateAudit
from letterlock.services.ca.auditing.log import LogAudit
from letterlock.services.ca.auditing.work import LEASE as AUDIT_LEASE
from letterlock.services.ca.auditing.work import AuditWork
from letterlock.services.ca.incidents.telling import LeaveMail, Sender, Teller
from letterlock.services.ca.incidents.work import LEASE as INCIDENT_LEASE
from letterlock.services.ca.incidents.work import IncidentRules, IncidentWork
from letterlock.services.ca.own_certificates import OWN_ACCOUNT
from letterlock.services.ca.revoking import LEASE as REVOKING_LEASE
from letterlock.services.ca.revoking import LostKeys, Revoker
from letterlock.services.ca.working import WorkBounds, WorkRunner
from letterlock.storage.ca.kept import WorkKind
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.drop import DropError
from letterlock.storage.mail_drop import leave_mail
from letterlock.storage.queue import StoreUnavailable

INCIDENTS_AT_ONCE = 4
AUDITS_AT_ONCE = 2
LOST_KEYS_AT_ONCE = 2
PREPARE_AGAIN_SECONDS = 30.0
MAX_PROOF_AGE = timedelta(days=200, hours=1)
"""Baseline Requirements 4.2.1, which our settings cannot exceed, and the time that issuing takes.

Not the setting of today: certificates of before it was changed are not to be called faulty.
"""
_MAILTO = "mailto:"


@dataclass(frozen=True, slots=True)
class CareTools:
    """What it works with. `signer` is the key of the issuer that signs."""

    store: AuthorityStore
    clock: Clock
    log: Log
    owner: str
    places: Places
    signer: Signer
    revoker: Revoker


@dataclass(frozen=True, slots=True)
class Care:
    """What runs. `prepare` stores the audit's work, which is there for ever then."""

    runners: tuple[WorkRunner, ...]
    audit: AuditWork | None
    tools: CareTools

    async def prepare(self) -> None:
        """Log that we work, and store what is to be done, as soon as the store can be reached."""
        tools = self.tools
        began = AuditEntry(tools.clock.now(), StartLogged(tools.owner, "began", __version__))
        while True:
            try:
                await tools.store.commit((), (began,))
                if self.audit is not None:
                    await self.audit.prepare(tools.owner)
                break
            except StoreUnavailable as error:
                tools.log.write(Service.CA, f"warning: the audit waits: {error}")
            await asyncio.sleep(PREPARE_AGAIN_SECONDS)


def make_care(config: Config, tools: CareTools) -> Care:
    """Put it together; nothing runs yet."""
    runners = [_make_incidents(config, tools), _make_lost_keys(tools)]
    audit = _make_audit(config, tools) if config.ca.audit.enabled else None
    if audit is not None:
        bounds = WorkBounds(tools.owner, AUDIT_LEASE, AUDITS_AT_ONCE)
        runners.append(
            WorkRunner(WorkKind.AUDIT, tools.store, audit.do, bounds, tools.clock, tools.log)
        )
    return Care(tuple(runners), audit, tools)


def make_evidence_rules(config: Config) -> EvidenceRules:
    """Give what the log must say of each certificate."""
    section = config.ca
    urls = (section.url or f"https://{config.hostname}", *section.former_urls)
    return EvidenceRules(
        validation_age=MAX_PROOF_AGE,
        own_account=OWN_ACCOUNT,
        own_names=frozenset(parse_url(each).host for each in urls),
    )


def find_sender(config: Config) -> str:
    """Give the address that mails of the authority come from."""
    if config.ca.incidents.sender is not None:
        return config.ca.incidents.sender
    addresses = (each for each in config.ca.contacts if each.startswith(_MAILTO))
    return next(addresses, config.contact).removeprefix(_MAILTO)


def make_leave_mail(folder: Path) -> LeaveMail:
    """Give what leaves mail in the drop folder."""

    async def leave(sender: str, recipients: Sequence[str], octets: bytes) -> str | None:
        try:
            await asyncio.to_thread(leave_mail, folder, sender, tuple(recipients), octets)
        except FileNotFoundError:
            return f"{folder} is not there: does a node of this machine take mail (send.drop_dir)?"
        except OSError as error:
            return f"{folder}: {error.strerror}"
        except DropError as error:
            return str(error)
        return None

    return leave


def _make_incidents(config: Config, tools: CareTools) -> WorkRunner:
    section = config.ca.incidents
    sender = Sender(config.ca.name, find_sender(config), config.hostname)
    leave = make_leave_mail(config.send.drop_dir) if section.mail else None
    teller = Teller(tools.store, sender, tools.places, leave, tools.clock, tools.log)
    rules = IncidentRules(section.after_replaced)
    work = IncidentWork(tools.store, teller, tools.revoker.revoke, rules, tools.clock, tools.log)
    bounds = WorkBounds(tools.owner, INCIDENT_LEASE, INCIDENTS_AT_ONCE)
    return WorkRunner(WorkKind.INCIDENT, tools.store, work.do, bounds, tools.clock, tools.log)


def _make_lost_keys(tools: CareTools) -> WorkRunner:
    work = LostKeys(tools.store, tools.revoker, tools.clock)
    bounds = WorkBounds(tools.owner, REVOKING_LEASE, LOST_KEYS_AT_ONCE)
    return WorkRunner(WorkKind.LOST_KEY, tools.store, work.do, bounds, tools.clock, tools.log)


def _make_audit(config: Config, tools: CareTools) -> AuditWork:
    section, store, clock = config.ca.audit, tools.store, tools.clock
    send = _make_send(config, clock) if config.ca.incidents.mail else None
    alarm = Alarm(store, AlarmRules(section.halt), clock, tools.log, send)
    rules = make_evidence_rules(config)
    of_certificates = CertificateAudit(store, rules, alarm, clock, rounds=section.every)
    of_log = LogAudit(store, tools.signer, alarm, clock, tools.log, rounds=section.every)
    steps = {certificates.NAME: of_certificates.step, log.NAME: of_log.step}
    return AuditWork(store, steps, clock)


def _make_send(config: Config, clock: Clock) -> SendMail:
    """Give what mails the authority's own people."""
    leave, sender = make_leave_mail(config.send.drop_dir), find_sender(config)

    async def send(subject: str, lines: Sequence[str]) -> str | None:
        now = clock.now()
        message_id = f"<audit.{now:%Y%m%d%H%M%S.%f}@{config.hostname}>"
        text = "\n".join((f"The audit of {config.ca.name} found:", "", *lines, ""))
        fields = Fields(sender, (sender,), now, message_id)
        return await leave(sender, (sender,), format_mail(subject, text, fields))

    return send

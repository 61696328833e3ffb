"""Serial numbers that were taken and never became certificates: they are revoked, to be sure.

A process that died, or a database that went away, between taking a number and keeping the
certificate leaves a number with which something may have been signed. Nobody got it from us; but
nobody can show that it is not there, so that relying parties are told not to believe it.
"""

from datetime import datetime, timedelta
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.protocols.audit.decisions import RevocationLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.pki.issuance.revocation_lists import Reason, Revoked
from letterlock.services.ca.issuing.certifying import FINISH_WITHIN
from letterlock.storage.ca.changes import AddRevocation
from letterlock.storage.ca.kept import ReservedSerial
from letterlock.storage.ca.store import Commits

AFTER = timedelta(hours=1)
"""A number is used within FINISH_WITHIN or never; the rest is for clocks that differ."""
PAGE = 100
BY = "authority: taken, and without a certificate"

assert AFTER > 2 * FINISH_WITHIN


class UnusedSerialStore(Commits, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def list_unused_serials(
        self, before: datetime, limit: int
    ) -> tuple[ReservedSerial, ...]: ...


async def revoke_unused(store: UnusedSerialStore, clock: Clock, log: Log) -> int:
    """Put what is old enough onto its list, and give how many it was. Raises StoreUnavailable."""
    now = clock.now()
    count = 0
    for each in await store.list_unused_serials(now - AFTER, PAGE):
        number = format_serial(each.name.serial)
        revoked = Revoked(each.name.serial, now, each.not_after)
        issuer = each.name.key_identifier
        reason = int(Reason.UNSPECIFIED)
        logged = RevocationLogged(each.order_id, number, issuer.hex(), reason, BY)
        # Another process may have been quicker.
        if await store.commit((AddRevocation(issuer, revoked),), (AuditEntry(now, logged),)):
            log.write(Service.CA, f"warning: {number} was taken and has no certificate: revoked")
            count += 1
    return count

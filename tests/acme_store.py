"""An authority's store as tests of its requests have it: the real one; commits can be lost."""

from collections.abc import Sequence

from letterlock.protocols.acme.server.objects import Account, Authorization, Certificate, Order
from letterlock.protocols.audit.decisions import Decision
from letterlock.protocols.audit.records import AuditEntry, read_decision
from letterlock.storage.ca.changes import Change, ChangeHalt
from letterlock.storage.ca.kept import NOT_HALTED, Halt
from letterlock.storage.sqlite.ca.store import SqliteAuthority


class WatchedStore(SqliteAuthority):
    """The next `loses` commits come too late, as if somebody else's had been first."""

    loses = 0

    async def commit(self, changes: Sequence[Change], entries: Sequence[AuditEntry] = ()) -> bool:
        if self.loses:
            self.loses -= 1
            return False
        return await super().commit(changes, entries)

    async def logged(self) -> list[Decision]:
        """All that is in the audit log."""
        return [read_decision(each.document) for each in await self.list_records(0, 1000)]

    async def order(self, order_id: str) -> Order:
        kept = await self.load_order(order_id)
        assert kept is not None
        return kept.order

    async def authorization(self, authorization_id: str) -> Authorization:
        kept = await self.load_authorization(authorization_id)
        assert kept is not None
        return kept.authorization

    async def certificate(self, certificate_id: str) -> Certificate:
        issued = await self.load_certificate(certificate_id)
        assert issued is not None
        return issued.certificate

    async def accounts(self) -> tuple[Account, ...]:
        return await self.list_accounts(None, 1000)

    async def set_halt(self, halt: Halt = NOT_HALTED) -> None:
        assert await self.commit((ChangeHalt(await self.load_halt(), halt),))

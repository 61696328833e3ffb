"""What issuing works with, and what one step gives the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.protocols.acme.server.objects import Account, Order
from letterlock.protocols.audit.decisions import Decision
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.caa.rechecks import ProvedName, RecheckRule
from letterlock.services.ca.caa_rechecks import Rechecked
from letterlock.services.ca.hierarchy.chains import IssuingAuthority
from letterlock.services.ca.issuances import Issuances
from letterlock.services.ca.issuing.drafting import Drafted, Drafter
from letterlock.services.ca.issuing.judging import IssuingRules
from letterlock.services.ca.issuing.outcomes import Refused, make_internal_problem
from letterlock.services.ca.requests.key_uses import KeyUses
from letterlock.services.ca.requests.orders import find_halt_refusal
from letterlock.storage.ca.kept import Halt, KeptOrder, Lease
from letterlock.storage.ca.store import Commits

COMMIT_WAITS = (0.2, 1.0, 5.0)
"""Seconds between tries to store what is signed: there is nothing else to do with it."""


class IssuingStore(Commits, KeyUses, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_account(self, account_id: str) -> Account | None: ...

    async def load_order(self, order_id: str) -> KeptOrder | None: ...

    async def load_halt(self) -> Halt: ...


class Rechecks(Protocol):
    """`services.ca.caa_rechecks.CaaRechecker`."""

    async def recheck(self, names: Sequence[ProvedName]) -> Rechecked: ...


@dataclass(frozen=True, slots=True)
class IssuingTools:
    """What issuing works with. `caa_rule` is the one that `rechecks` has."""

    store: IssuingStore
    authority: IssuingAuthority
    drafter: Drafter
    rules: IssuingRules
    issuances: Issuances
    rechecks: Rechecks
    caa_rule: RecheckRule
    clock: Clock
    log: Log
    commit_waits: tuple[float, ...] = COMMIT_WAITS

    async def find_halt(self) -> Refused | None:
        """Look whether issuance is halted; then no order gets its certificate, and is told why."""
        return judge_halt(await self.store.load_halt())

    def log_all(self, decisions: Sequence[Decision]) -> tuple[AuditEntry, ...]:
        """Make entries of the audit log, of now."""
        now = self.clock.now()
        return tuple(AuditEntry(now, each) for each in decisions)

    def tell(self, order: Order, weight: str, text: str) -> None:
        """Write into the node's log what the operator must know."""
        self.log.write(Service.CA, f"{weight}: order {order.id}: {text}")

    def refuse_internally(
        self, order: Order, why: str, decisions: tuple[Decision, ...] = ()
    ) -> Refused:
        """End an order for a fault of ours: the log has it, the client a word."""
        self.tell(order, "error", why)
        return Refused(make_internal_problem(), decisions)


def judge_halt(halt: Halt) -> Refused | None:
    """Refuse while issuance is halted."""
    refusal = find_halt_refusal(halt)
    return Refused(refusal.problem) if refusal is not None else None


@dataclass(frozen=True, slots=True)
class Ready:
    """All that a signature needs. `looked` are the looks at CAA to be logged with it."""

    order: KeptOrder
    lease: Lease
    names: tuple[ProvedName, ...]
    drafted: Drafted
    looked: tuple[Decision, ...]

"""The work of issuance, order by order: judged, CAA looked at, drafted and linted, then certified.

RFC 8555 §7.4, RFC 8659 §3; Baseline Requirements 3.2.2.8, 4.3.1. What must be true of each
certificate: its serial number, the looks at CAA that allow it and the linter's word are in the
database, with their records in the audit log, before the key is asked for a signature. Where a
process dies, this is left:

- before the serial number is taken: nothing. The work is claimed again when its lease runs out.
- between that and the last commit: a serial number without a certificate. It may have been signed,
  so it is put on its CRL (`unused_serials`); the order is tried again, with another number.
- after the last commit: the certificate. That commit has all: certificate, order, end of work.
"""

from datetime import datetime
from typing import assert_never

from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.objects import Order
from letterlock.protocols.acme.server.proof_ages import find_future_proofs
from letterlock.protocols.acme.server.refusals import ErrorType, refuse
from letterlock.protocols.acme.server.transitions import (
    fail_order,
    judge_order,
)
from letterlock.protocols.acme.states import AccountStatus, OrderStatus
from letterlock.protocols.audit.decisions import Decision, OrderEndedLogged
from letterlock.protocols.audit.describing import describe_problem
from letterlock.services.ca.audit_entries import describe_recheck
from letterlock.services.ca.caa_rechecks import Rechecked
from letterlock.services.ca.issuing.certifying import certify
from letterlock.services.ca.issuing.drafting import DraftError
from letterlock.services.ca.issuing.judging import Judged, judge
from letterlock.services.ca.issuing.outcomes import (
    MAX_TRIES,
    WAITS,
    Issued,
    Outcome,
    Overtaken,
    Postponed,
    Refused,
)
from letterlock.services.ca.issuing.tools import IssuingTools, Ready
from letterlock.storage.ca.changes import ChangeOrder, EndWork, PutOffWork
from letterlock.storage.ca.kept import Claimed, KeptOrder, Lease

MAX_READS = 4
"""So often somebody else may be quicker in one try."""


class Issuing:
    """Does it: `do` is for `working.WorkRunner`, with work of the kind ISSUANCE."""

    def __init__(self, tools: IssuingTools) -> None:
        self._tools = tools
        self._store = tools.store

    async def do(self, claimed: Claimed) -> datetime | None:
        """Try once. Gives when to try again; None: the order is valid or invalid, or others' now.

        Raises StoreUnavailable: then the work stays as it is, until its lease runs out.
        """
        known = claimed.kept
        for _ in range(MAX_READS):
            found = known if isinstance(known, KeptOrder) else await self._load(claimed)
            known = None
            if found is None or found.order.status is not OrderStatus.PROCESSING:
                await self._store.commit((EndWork(claimed.lease),))
                return None
            outcome = await self._try(found, claimed)
            is_settled, due = await self._settle(found.order, claimed.lease, outcome)
            if is_settled:
                return due
        return None

    async def _load(self, claimed: Claimed) -> KeptOrder | None:
        return await self._store.load_order(claimed.work.subject)

    async def _try(self, found: KeptOrder, claimed: Claimed) -> Outcome:
        if claimed.lease.number > MAX_TRIES:
            why = f"given up after {MAX_TRIES} tries that broke off"
            return self._tools.refuse_internally(found.order, why)
        judged = await self._judge(found, claimed.work.detail)
        if isinstance(judged, Refused):
            return judged
        rechecked = await self._recheck(found)
        looked = (describe_recheck(found.order.id, rechecked),) if rechecked.due else ()
        if rechecked.problem is not None:
            return _judge_caa(rechecked.problem, looked)
        ready = self._draft(found, claimed.lease, judged, (rechecked, looked))
        return ready if isinstance(ready, Refused) else await certify(self._tools, ready)

    async def _judge(self, found: KeptOrder, csr: bytes) -> Judged | Refused:
        now = self._tools.clock.now()
        authorizations = [each.authorization for each in found.authorizations]
        order = judge_order(found.order, authorizations, now)
        if order.error is not None:
            return Refused(order.error)
        if (refusal := find_future_proofs(authorizations, now)) is not None:
            return Refused(refusal.problem)
        account = await self._store.load_account(order.account_id)
        if account is None or account.status is not AccountStatus.VALID:
            detail = "the account was closed before its certificate was issued"
            return Refused(refuse(ErrorType.UNAUTHORIZED, detail).problem)
        if (halted := await self._tools.find_halt()) is not None:
            return halted
        return await judge(order, csr, self._tools.rules, self._store)

    async def _recheck(self, found: KeptOrder) -> Rechecked:
        prove = self._tools.issuances.prove
        names = [prove(each.authorization, each.check) for each in found.authorizations]
        return await self._tools.rechecks.recheck(names)

    def _draft(
        self,
        found: KeptOrder,
        lease: Lease,
        judged: Judged,
        looks: tuple[Rechecked, tuple[Decision, ...]],
    ) -> Ready | Refused:
        rechecked, looked = looks
        try:
            drafted = self._tools.drafter.draft(found.order, judged, self._tools.clock.now())
        except DraftError as error:
            return self._tools.refuse_internally(found.order, str(error), looked)
        if drafted.lint.faults:
            why = f"{drafted.lint.linter}: {'; '.join(drafted.lint.faults)}"
            logged = (*looked, drafted.log_lint())
            return self._tools.refuse_internally(found.order, why, logged)
        return Ready(found, lease, rechecked.names, drafted, looked)

    async def _settle(
        self, order: Order, lease: Lease, outcome: Outcome
    ) -> tuple[bool, datetime | None]:
        """Keep what came of it, and when to try again. False first: others changed the order."""
        match outcome:
            case Issued():
                return True, None
            case Overtaken():
                return False, None
            case Postponed() if lease.number < MAX_TRIES:
                return True, await self._postpone(lease, outcome)
            case Postponed() | Refused():
                return await self._refuse(order, lease, outcome), None
            case _:
                assert_never(outcome)

    async def _refuse(self, order: Order, lease: Lease, outcome: Refused | Postponed) -> bool:
        problem = outcome.problem
        logged = describe_problem(problem)
        assert logged is not None
        ended = OrderEndedLogged(order.id, order.account_id, logged)
        steps = (ChangeOrder(order, fail_order(order, problem)), EndWork(lease))
        entries = self._tools.log_all((*outcome.decisions, ended))
        if not await self._store.commit(steps, entries):
            return False
        self._tools.tell(order, "info", f"no certificate: {problem.summary}")
        return True

    async def _postpone(self, lease: Lease, outcome: Postponed) -> datetime | None:
        due = self._tools.clock.now() + WAITS[lease.number - 1]
        entries = self._tools.log_all(outcome.decisions)
        is_given_back = await self._store.commit((PutOffWork(lease, due),), entries)
        return due if is_given_back else None


def _judge_caa(problem: Problem, looked: tuple[Decision, ...]) -> Refused | Postponed:
    """Judge whether to look again: what a record forbids stays forbidden, a failure may pass."""
    kinds = {each.type for each in problem.subproblems} or {problem.type}
    if ErrorType.CAA in kinds:
        return Refused(problem, looked)
    return Postponed(problem, looked)

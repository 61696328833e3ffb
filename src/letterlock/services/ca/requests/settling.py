"""Read, decide, commit; and once more from the start where somebody changed the same meanwhile.

Nothing is half done: all that a decision changes, and its record in the audit log, is one commit.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from letterlock.protocols.acme.server.refusals import ErrorType, Refusal, refuse
from letterlock.protocols.acme.server.replies import Reply
from letterlock.protocols.audit.records import AuditEntry
from letterlock.services.ca.requests.authority import Answer, Authority
from letterlock.storage.ca.changes import Change
from letterlock.storage.ca.kept import Claimed

MAX_TRIES = 8
"""Each is lost to somebody whose change was done."""
UNAVAILABLE = 503
_SOON = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a verb decided: what changes, what is logged, what begins then, what is answered."""

    reply: Reply
    changes: Sequence[Change] = ()
    entries: Sequence[AuditEntry] = ()
    begins: Claimed | None = None


async def settle(
    authority: Authority, make_plan: Callable[[], Awaitable[Plan | Refusal]]
) -> Answer:
    """Do what is planned. `make_plan` reads all that it rests on, each time it is asked."""
    for _ in range(MAX_TRIES):
        plan = await make_plan()
        if isinstance(plan, Refusal):
            return plan
        has_changes = bool(plan.changes or plan.entries)
        if not has_changes or await authority.store.commit(plan.changes, plan.entries):
            if plan.begins is not None:
                authority.works.begin(plan.begins)
            return plan.reply
    return refuse_busy()


def refuse_busy() -> Refusal:
    """Refuse because others were quicker each time."""
    return refuse_unavailable("others change the same: ask again", _SOON)


def refuse_unavailable(why: str, wait: timedelta) -> Refusal:
    """Refuse what works again later."""
    refusal = refuse(ErrorType.SERVER_INTERNAL, why, status=UNAVAILABLE)
    return replace(refusal, retry_after=wait)

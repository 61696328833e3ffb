"""The work of validation: a challenge that a client says is ready becomes valid or invalid.

RFC 8555 §7.5.1 (the answer to a response), §8.2 (further tries), RFC 8659 §3; Baseline Requirements
3.2.2.4, 3.2.2.8, 3.2.2.9. What each try saw is written into the audit log in the commit that
changes the authorization. How one looks is `validating`; when and where it is done, `working`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.objects import Authorization, Challenge
from letterlock.protocols.acme.server.rate_limits import Counter, Exceeded, note_validation, use
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.acme.server.transitions import (
    accept_challenge,
    fail_challenge,
    find_authorization_status,
    note_failed_try,
)
from letterlock.protocols.acme.states import AuthorizationStatus, ChallengeStatus
from letterlock.protocols.acme.validation.proofs import Expected
from letterlock.protocols.audit.decisions import ValidationLogged
from letterlock.protocols.audit.describing import describe_problem
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.caa.decide import Issuance
from letterlock.protocols.caa.rechecks import CaaCheck
from letterlock.services.ca.audit_entries import describe_validation
from letterlock.services.ca.issuances import Issuances
from letterlock.services.ca.requests.limits import RequestLimits, count_failure, count_in_a_row
from letterlock.services.ca.validating.validate import Validation
from letterlock.storage.ca.changes import (
    AddPause,
    Change,
    ChangeAuthorization,
    ChangeCounter,
    EndWork,
    PutOffWork,
    UseCounter,
)
from letterlock.storage.ca.kept import Claimed, KeptAuthorization, Lease, PausedName
from letterlock.storage.ca.store import Commits

MAX_COMMITS = 5
"""Its client may give an authorization up meanwhile, or count on the same limit elsewhere."""

_WORTH_ANOTHER_TRY = frozenset(
    {ErrorType.CONNECTION, ErrorType.DNS, ErrorType.TLS, ErrorType.SERVER_INTERNAL}
)
"""What may be different a little later. Who has a wrong answer in place has that one."""


class ValidationStore(Commits, Protocol):
    """What is asked of `storage.ca.store.AuthorityStore`."""

    async def load_authorization(self, authorization_id: str) -> KeptAuthorization | None: ...

    async def load_counters(self, counters: Sequence[Counter]) -> tuple[Counter, ...]: ...


class Validates(Protocol):
    """`validating.validate.Validator`."""

    async def validate(self, expected: Expected, issuance: Issuance | None) -> Validation: ...


@dataclass(frozen=True, slots=True)
class ValidationRules:
    """How often is tried, how long to wait between, and how long a proof is good for.

    `reuse` has that time for each profile; an authorization of another is good for `usual`.
    """

    tries: int = 3
    gap: timedelta = timedelta(seconds=5)
    reuse: dict[str, timedelta] = field(default_factory=dict)
    usual: timedelta = timedelta(days=7)
    limits: RequestLimits = field(default_factory=RequestLimits)

    def find_end(self, authorization: Authorization, now: datetime) -> datetime:
        """Say until when a name that is proved now is proved."""
        reuse = self.reuse.get(authorization.profile or "", self.usual)
        # Where nothing is used again, what is proved still holds for the order that waits for it.
        return max(now + reuse, authorization.expires)


@dataclass(frozen=True, slots=True)
class _Tried:
    """What one try came to. `seen` None: it broke off."""

    problem: Problem | None
    seen: Validation | None = None

    @property
    def check(self) -> CaaCheck | None:
        return self.seen.check if self.seen is not None else None


class Validations:
    """Does the work of validation: `do` is what `working.WorkRunner` calls."""

    def __init__(
        self,
        store: ValidationStore,
        validator: Validates,
        issuances: Issuances,
        rules: ValidationRules,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._validator = validator
        self._issuances = issuances
        self._rules = rules
        self._clock = clock
        self._log = log

    async def do(self, claimed: Claimed) -> datetime | None:
        """Try once. Gives when the next try is due; None: there is none.

        Raises StoreUnavailable: then the try counts, and another comes when the lease has run out.
        """
        kept = claimed.kept
        if not isinstance(kept, KeptAuthorization):
            kept = await self._store.load_authorization(claimed.work.subject)
        kind = claimed.work.detail.decode("ascii", "replace")
        challenge = _find_awaited(kept, kind, self._clock.now())
        if kept is None or challenge is None:
            # It was given up, or done by one whose commit came after its lease.
            await self._store.commit([EndWork(claimed.lease)])
            return None
        tried = await self._try(kept.authorization, challenge)
        return await self._settle(kept.authorization, challenge, tried, claimed.lease)

    async def _try(self, authorization: Authorization, challenge: Challenge) -> _Tried:
        assert challenge.key_authorization is not None, "it is processing"
        expected = Expected(
            authorization.ordered, challenge.type, challenge.token, challenge.key_authorization
        )
        issuance = self._issuances.describe(authorization, challenge)
        try:
            seen = await self._validator.validate(expected, issuance)
        except Exception as error:  # noqa: BLE001 - a defect must end as a challenge that failed, not as one that waits for ever
            what = f"{type(error).__name__}: {str(error)[:200]}"
            where = f"{authorization.ordered.value} by {challenge.type}"
            self._log.write(Service.CA, f"error: validating {where}: a defect, {what}")
            detail = "the validation broke off; this is the authority's fault"
            return _Tried(Problem(ErrorType.SERVER_INTERNAL, detail))
        return _Tried(seen.problem, seen)

    async def _settle(
        self, before: Authorization, challenge: Challenge, tried: _Tried, lease: Lease
    ) -> datetime | None:
        now = self._clock.now()
        is_further = self._is_further(tried.problem, lease)
        due = now + self._rules.gap if is_further else None
        entry = AuditEntry(now, _describe(before, challenge, tried))
        for _ in range(MAX_COMMITS):
            if not _is_pending(before, now):
                # Given up, or expired meanwhile: what was seen is logged all the same.
                await self._store.commit([EndWork(lease)], [entry])
                return None
            after = self._conclude(before, challenge, tried, now, is_further=is_further)
            changes: list[Change] = [ChangeAuthorization(before, after, tried.check)]
            changes.append(PutOffWork(lease, due) if due is not None else EndWork(lease))
            if due is None:
                changes += await self._count(before, now, is_valid=tried.problem is None)
            if await self._store.commit(changes, [entry]):
                self._tell(after, challenge, tried.problem, is_further=is_further)
                return due
            kept = await self._store.load_authorization(before.id)
            assert kept is not None, "authorizations stay"
            before = kept.authorization
        # The lease is another's, who does it anew.
        return None

    def _is_further(self, problem: Problem | None, lease: Lease) -> bool:
        return (
            problem is not None
            and problem.type in _WORTH_ANOTHER_TRY
            and lease.number < self._rules.tries
        )

    def _conclude(
        self,
        before: Authorization,
        challenge: Challenge,
        tried: _Tried,
        now: datetime,
        *,
        is_further: bool,
    ) -> Authorization:
        if tried.problem is None:
            end = self._rules.find_end(before, now)
            return accept_challenge(before, challenge.type, now, end)
        if is_further:
            return note_failed_try(before, challenge.type, tried.problem)
        return fail_challenge(before, challenge.type, tried.problem)

    async def _count(
        self, authorization: Authorization, now: datetime, *, is_valid: bool
    ) -> list[Change]:
        """Count on the limit of failures, and on what pauses names that never succeed."""
        limits, changes = self._rules.limits, list[Change]()
        account, identifier = authorization.account_id, authorization.identifier
        counter = count_failure(limits, account, identifier)
        if counter is not None and not is_valid:
            (kept,) = await self._store.load_counters([counter])
            # One that is reached already counts no further.
            changes += [] if isinstance(use(kept, now), Exceeded) else [UseCounter(counter, now)]
        if limits.page is not None:
            (kept,) = await self._store.load_counters([count_in_a_row(account, identifier)])
            after = note_validation(kept, now, is_valid=is_valid)
            if isinstance(after, Exceeded):
                changes.append(AddPause(PausedName(account, identifier, now)))
            elif after != kept:
                changes.append(ChangeCounter(kept, after))
        return changes

    def _tell(
        self,
        authorization: Authorization,
        challenge: Challenge,
        problem: Problem | None,
        *,
        is_further: bool,
    ) -> None:
        name = f"{authorization.ordered.value} by {challenge.type}"
        if problem is None:
            text = f"{name}: valid"
        else:
            again = "; it is tried again" if is_further else ""
            text = f"{name}: {problem.type}: {problem.detail}{again}"
        self._log.write(Service.CA, text, name=authorization.ordered.value, method=challenge.type)


def _describe(
    authorization: Authorization, challenge: Challenge, tried: _Tried
) -> ValidationLogged:
    if tried.seen is not None:
        return describe_validation(authorization, challenge.type, tried.seen)
    return ValidationLogged(
        authorization=authorization.id,
        account=authorization.account_id,
        name=authorization.ordered.value,
        method=challenge.type,
        looks=(),
        problem=describe_problem(tried.problem),
    )


def _find_awaited(kept: KeptAuthorization | None, kind: str, now: datetime) -> Challenge | None:
    """Find the challenge whose outcome still counts."""
    if kept is None or not _is_pending(kept.authorization, now):
        return None
    challenge = kept.authorization.find_challenge(kind)
    if challenge is None or challenge.status is not ChallengeStatus.PROCESSING:
        return None
    return challenge


def _is_pending(authorization: Authorization, now: datetime) -> bool:
    return find_authorization_status(authorization, now) is AuthorizationStatus.PENDING

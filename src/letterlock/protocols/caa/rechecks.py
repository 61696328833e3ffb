"""Which names of an order need another look at CAA before a certificate, and what looks come to.

Baseline Requirements 3.2.2.8 (how old an answer may be), RFC 8659 §3 (all names of a request pass,
or none is issued), RFC 8657 §3, §4 (by the account and the method that were used). In 2020 an
authority looked at one name of an order N times instead of once at each of N names. Here each look
is compared with the name that it is for, and the same function says before and after the looks
which names lack one. Looking is `services.ca.caa_rechecks`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from letterlock.base.domains import Domain
from letterlock.protocols.acme.identifiers import DNS, IP, ChallengeType, Identifier
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.caa.decide import CaaCause, CaaDecision, CaaVerdict, Issuance
from letterlock.protocols.caa.relevant import RecordSet

MAX_AGE = timedelta(hours=8)
"""Baseline Requirements 3.2.2.8: for this long an answer counts, or for its TTL where longer."""
USUAL_AGE = timedelta(hours=7)
"""Ours: an hour is left for the rest of the issuance, and for clocks."""


@dataclass(frozen=True, slots=True)
class RecheckRule:
    """How old a look may be. `heeds_ttl`: a longer TTL of the records that were found counts.

    Raises ValueError for an age that the Baseline Requirements do not allow, or that is none.
    """

    after: timedelta = USUAL_AGE
    heeds_ttl: bool = False

    def __post_init__(self) -> None:
        if not timedelta(0) < self.after <= MAX_AGE:
            raise ValueError("CAA is to be looked up again after at most 8 hours")

    def find_limit(self, ttl: timedelta | None) -> timedelta:
        """Give the age from which on a look is too old. None: it found no records, so no TTL."""
        return max(self.after, ttl) if self.heeds_ttl and ttl is not None else self.after


@dataclass(frozen=True, slots=True)
class CaaCheck:
    """A look that was made, as it is kept with an authorization.

    `began` is before the first question, so that it is never taken for younger than it is.
    """

    issuance: Issuance
    decision: CaaDecision
    began: datetime
    ttl: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ProvedName:
    """A name of an order, whose control was proved. `check` is the last look; None: there is none.

    `issuance` says by which account and method; None for an address: there is no CAA for those.
    """

    identifier: Identifier
    issuance: Issuance | None
    check: CaaCheck | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where the parts are of different names."""
        if self.issuance is None:
            if self.identifier.type != IP:
                raise ValueError(f"{self.identifier}: nobody says who asks, and how it was proved")
        elif str(self.issuance) != self.identifier.value:
            raise ValueError(f"{self.identifier}: what is to be issued is {self.issuance}")


@dataclass(frozen=True, slots=True)
class DueLook:
    """A look that must be made before the order's certificate. `reason` is for logs."""

    issuance: Issuance
    reason: str


def make_issuance(
    identifier: Identifier,
    issuers: tuple[str, ...],
    accounts: tuple[str, ...],
    method: ChallengeType,
) -> Issuance | None:
    """Say what would be issued, with the account's URIs and the method used; None: an address."""
    if identifier.type == IP:
        return None
    is_wildcard = identifier.is_wildcard
    return Issuance(Domain(identifier.base), is_wildcard, issuers, accounts, method)


def find_due(names: Sequence[ProvedName], now: datetime, rule: RecheckRule) -> tuple[DueLook, ...]:
    """Give the looks that an order lacks, one for each name, in its order. None: it may be issued.

    Raises ValueError for an order that has a name twice.
    """
    if len({name.identifier for name in names}) != len(names):
        raise ValueError("an order has each name once")
    return tuple(
        DueLook(name.issuance, reason)
        for name in names
        if name.issuance is not None and (reason := _find_lack(name, name.issuance, now, rule))
    )


def _find_lack(
    name: ProvedName, issuance: Issuance, now: datetime, rule: RecheckRule
) -> str | None:
    check = name.check
    if check is None:
        return "it was never looked up"
    if check.issuance != issuance:
        return f"what was looked up is {_describe(check.issuance)}, not {_describe(issuance)}"
    if check.decision is not CaaDecision.ALLOW:
        return "it was not allowed"
    age = now - check.began
    if age < timedelta(0):
        return "it was looked up later than now: a clock was set"
    if age >= rule.find_limit(check.ttl):
        return f"it was looked up {age} ago"
    return None


def _describe(issuance: Issuance) -> str:
    accounts = " or ".join(issuance.accounts) or "any account"
    return f"{issuance} by {issuance.method} of {accounts}"


def make_check(verdict: CaaVerdict, began: datetime) -> CaaCheck:
    """Make what is kept of a look."""
    found = verdict.relevant
    ttl = timedelta(seconds=found.ttl) if isinstance(found, RecordSet) else None
    return CaaCheck(verdict.issuance, verdict.decision, began, ttl)


def conclude(
    names: Sequence[ProvedName],
    due: Sequence[DueLook],
    looks: Sequence[tuple[CaaVerdict, datetime]],
) -> tuple[ProvedName, ...]:
    """Give the names with the looks that were due: verdicts, and when each began.

    Raises ValueError where a look is not of the name, account and method that it was due for, or
    where one is missing: then the order must not go on.
    """
    if [verdict.issuance for verdict, _ in looks] != [each.issuance for each in due]:
        raise ValueError("the looks at CAA are not those that were due")
    checks = {verdict.issuance: make_check(verdict, began) for verdict, began in looks}
    return tuple(
        replace(name, check=checks[name.issuance])
        if name.issuance is not None and name.issuance in checks
        else name
        for name in names
    )


def find_problem(verdicts: Sequence[CaaVerdict]) -> Problem | None:
    """Say what forbids an order; None: nothing does.

    One name: its own problem. Several: a subproblem for each (RFC 8555 §6.7.1), `compound` where
    some are forbidden and some not known. Raises ValueError where two are about the same name.
    """
    problems = tuple(
        make_problem(verdict) for verdict in verdicts if verdict.decision is not CaaDecision.ALLOW
    )
    if len({problem.identifier for problem in problems}) != len(problems):
        raise ValueError("a name is refused twice, so another is missing")
    if not problems:
        return None
    if len(problems) == 1:
        (only,) = problems
        return Problem(only.type, f"{only.identifier}: {only.detail}")
    kinds = {problem.type for problem in problems}
    detail = f"{len(problems)} names cannot be issued for; what is wrong with each is beside it"
    kind = kinds.pop() if len(kinds) == 1 else ErrorType.COMPOUND
    return Problem(kind, detail, subproblems=problems)


def make_problem(verdict: CaaVerdict) -> Problem:
    """Say what is wrong with one name that is not allowed."""
    kind = ErrorType.DNS if verdict.cause is CaaCause.LOOKUP_FAILED else ErrorType.CAA
    identifier = Identifier(DNS, str(verdict.issuance))
    return Problem(kind, verdict.reason, identifier=identifier)

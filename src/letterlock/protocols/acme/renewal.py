"""When a certificate is renewed, how failures are waited out, and which authority is asked.

RFC 9773 §4.2 (the authority's suggestion), §4.3 (asking for it again). What is left to the client
there is decided here: two thirds of life without a suggestion, a twentieth of life whatever is
suggested. Chance and the time are arguments; asking is in `services.certify`, keeping in
`storage.certificates`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from letterlock.protocols.acme.fields import format_line
from letterlock.protocols.acme.renewal_info import (
    LATEST,
    LONG_TERM,
    RenewalInfo,
    choose_moment,
)

LAST_PART = 20
"""When one part in so many of life is left, nobody is asked whether to renew."""
SPREAD = 30
"""Without a suggestion renewals are spread over one part in so many of life: many certificates that
came at once are not renewed at once."""

WAITS = tuple(timedelta(minutes=each) for each in (1, 2, 5, 10, 20, 30, 60, 120, 240, 360))
"""After the first failure in a row, the second and so on; the last stays."""
LONGEST_RETRY_AFTER = timedelta(days=1)
"""A server that wants more is asked after a day: it may be wrong, and certificates end."""
MAX_TEMPORARY = 5
"""RFC 9773 §4.3.3: so many tries after errors that may pass, then one counts as one that stays."""


class Lifetime(Protocol):
    """What is known of a certificate in use; `storage.certificates.KeptFacts` is one.

    `issued` is when it came, by our clock; `hurried` is `count_hurried` of then.
    """

    @property
    def not_before(self) -> datetime: ...
    @property
    def not_after(self) -> datetime: ...
    @property
    def issued(self) -> datetime: ...
    @property
    def hurried(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RenewalPlan:
    """When one certificate is to be renewed, chosen once.

    `window` is the authority's suggestion that `moment` was chosen in; None: it made none.
    `ask_again` is when to ask for the suggestion (again), None: never; `failed_asks` counts
    failures to get it that may pass.
    """

    moment: datetime
    window: RenewalInfo | None = None
    ask_again: datetime | None = None
    failed_asks: int = 0

    @property
    def explanation(self) -> str | None:
        """The authority's page for the operator on why."""
        return self.window.explanation if self.window else None


@dataclass(frozen=True, slots=True)
class Renewal:
    """Whether to renew now; `at` is when that is, or was, due. `why` is for the operator."""

    is_due: bool
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Failures in a row to get one certificate from one authority. `directory` is its URL.

    It is not asked again before `not_before`; `reason` is one line on the last failure.
    """

    directory: str
    count: int
    last: datetime
    not_before: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure to get a certificate. `retry_after` is the server's word."""

    directory: str
    reason: str
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class AuthorityChoice:
    """The authority to ask next, and from when on that is allowed."""

    directory: str
    at: datetime


def plan_in_window(
    window: RenewalInfo, ask_again: datetime, before: RenewalPlan | None, chance: float
) -> RenewalPlan:
    """Plan as the authority suggests (RFC 9773 §4.2): `chance` is uniform in 0 <= chance < 1.

    `before` is the plan so far of the same certificate. The moment stays while the window does:
    drawn anew at each look, it would come ever earlier.
    """
    if before is not None and before.window is not None and _is_same_span(before.window, window):
        return RenewalPlan(before.moment, window, ask_again)
    return RenewalPlan(choose_moment(window, chance), window, ask_again)


def plan_by_lifetime(
    facts: Lifetime, ask_again: datetime | None, before: RenewalPlan | None, chance: float
) -> RenewalPlan:
    """Plan without a suggestion: a little after two thirds of life. The rest is as above."""
    if before is not None and before.window is None:
        return RenewalPlan(before.moment, None, ask_again)
    life = facts.not_after - facts.not_before
    return RenewalPlan(_two_thirds(facts) + life * chance / SPREAD, None, ask_again)


def postpone_asking(plan: RenewalPlan, now: datetime, *, is_temporary: bool) -> RenewalPlan:
    """Say when to ask again after an error; what was planned stays (RFC 9773 §4.3.3)."""
    failed = plan.failed_asks + 1
    if is_temporary and failed <= MAX_TEMPORARY:
        return replace(plan, ask_again=now + find_wait(failed), failed_asks=failed)
    return replace(plan, ask_again=now + LONG_TERM, failed_asks=0)


def find_asking(facts: Lifetime, plan: RenewalPlan | None, now: datetime) -> datetime | None:
    """Say when the authority is to be asked for its suggestion; None: never.

    RFC 9773 §4.3: not of a certificate that has expired. A moment more than a day ahead comes from
    a clock that was wrong.
    """
    if now >= facts.not_after:
        return None
    if plan is None:
        return now
    if plan.ask_again is not None and plan.ask_again > now + LATEST:
        return now
    return plan.ask_again


def is_asking_due(facts: Lifetime, plan: RenewalPlan | None, now: datetime) -> bool:
    """Say if the authority is to be asked for its suggestion now."""
    asking = find_asking(facts, plan, now)
    return asking is not None and asking <= now


def find_emergency(facts: Lifetime) -> datetime:
    """Give the moment from which it is renewed whatever the authority suggests."""
    return facts.not_after - (facts.not_after - facts.not_before) / LAST_PART


def decide_renewal(
    facts: Lifetime | None,
    plan: RenewalPlan | None,
    now: datetime,
    *,
    revoked: datetime | None = None,
) -> Renewal:
    """Decide whether a certificate is to be renewed.

    `facts` None: there is none yet. `revoked` is when we learned of it. CAA records that forbid now
    what was issued are no reason: RFC 8659 §1 has nobody judge a certificate by them, and an order
    would be refused. Failures are another matter: see `choose_authority`.
    """
    if facts is None:
        return Renewal(is_due=True, at=now, why="there is no certificate yet")
    renewal = _find_urgency(facts, now, revoked) or _follow(facts, plan, now)
    earliest = facts.issued + find_wait(facts.hurried)
    if renewal.is_due and facts.issued <= now < earliest:
        why = f"{renewal.why}; waits, for of those before it {facts.hurried} were replaced early"
        return Renewal(is_due=False, at=earliest, why=why)
    return renewal


def count_hurried(before: Lifetime | None, now: datetime) -> int:
    """Count the certificates in a row, up to the one replaced now, used for less than half a life.

    It slows down what would go round in circles: an authority that wants each new one replaced at
    once.
    """
    if before is None:
        return 0
    is_hurried = (now - before.issued) * 2 < before.not_after - before.not_before
    return before.hurried + 1 if is_hurried else 0


def find_wait(count: int) -> timedelta:
    """Give how long to wait after so many failures in a row; zero after none."""
    return WAITS[min(count, len(WAITS)) - 1] if count > 0 else timedelta()


def note_failure(
    troubles: Sequence[Trouble], failure: Failure, now: datetime, chance: float
) -> tuple[Trouble, ...]:
    """Count a failure, and say from when on the same authority may be asked again.

    The wait is up to a quarter longer by `chance` (0 <= chance < 1): names that failed together are
    not tried together.
    """
    before = next((each for each in troubles if each.directory == failure.directory), None)
    count = before.count + 1 if before else 1
    wait = find_wait(count) * (1 + chance / 4)
    asked = min(failure.retry_after or timedelta(), LONGEST_RETRY_AFTER)
    reason = format_line(failure.reason)
    trouble = Trouble(failure.directory, count, now, now + max(wait, asked), reason)
    return (*(each for each in troubles if each is not before), trouble)


def choose_authority(
    directories: Sequence[str], troubles: Sequence[Trouble], now: datetime, takeover_after: int
) -> AuthorityChoice:
    """Choose whom to ask: `directories` is not empty, the preferred first.

    One that failed `takeover_after` times in a row, or wants to be left alone for longer than we
    would wait by ourselves, is joined by the next. It is still asked when its time comes and the
    next one's has not.
    """
    if not troubles:
        return AuthorityChoice(directories[0], now)
    found = {each.directory: each for each in troubles}
    joined: list[tuple[bool, datetime, str]] = []
    for directory in directories:
        trouble = found.get(directory)
        at = _find_allowed(trouble, now)
        is_failing = trouble is not None and trouble.count >= takeover_after
        is_away = at > now + WAITS[-1] * 5 / 4
        joined.append((is_failing or is_away, at, directory))
        if not (is_failing or is_away):
            break
    ready = [each for each in joined if each[1] <= now]
    # Stable: of those that are alike the preferred one.
    _, at, directory = min(ready, key=lambda each: each[0]) if ready else min(joined, key=_at)
    return AuthorityChoice(directory, at)


def _at(joined: tuple[bool, datetime, str]) -> datetime:
    return joined[1]


def _find_allowed(trouble: Trouble | None, now: datetime) -> datetime:
    """Give when an authority may be asked. A failure to come is of a clock that was wrong."""
    if trouble is None or trouble.last > now:
        return now
    return max(trouble.not_before, now)


def _find_urgency(facts: Lifetime, now: datetime, revoked: datetime | None) -> Renewal | None:
    """Find a reason to renew now whatever is planned."""
    emergency = find_emergency(facts)
    if now >= facts.not_after:
        return Renewal(is_due=True, at=emergency, why=f"it expired at {_format(facts.not_after)}")
    if revoked is not None:
        return Renewal(is_due=True, at=revoked, why="it was revoked")
    if now >= emergency:
        return Renewal(is_due=True, at=emergency, why="a twentieth of its life is left")
    return None


def _follow(facts: Lifetime, plan: RenewalPlan | None, now: datetime) -> Renewal:
    emergency = find_emergency(facts)
    moment = plan.moment if plan is not None else _two_thirds(facts)
    if now < facts.not_before:
        why = f"it is not valid before {_format(facts.not_before)}: is this machine's clock right?"
        return Renewal(is_due=False, at=min(max(moment, facts.not_before), emergency), why=why)
    if moment >= emergency:
        return Renewal(is_due=False, at=emergency, why="when a twentieth of its life is left")
    return Renewal(is_due=now >= moment, at=moment, why=_explain(plan, now))


def _explain(plan: RenewalPlan | None, now: datetime) -> str:
    if plan is None or plan.window is None:
        return "two thirds of its life"
    window = plan.window
    span = f"from {_format(window.start)} to {_format(window.end)}"
    says = "suggested" if window.end <= now else "suggests"
    see = f": see {window.explanation}" if window.explanation else ""
    return f"the authority {says} {span}{see}"


def _two_thirds(facts: Lifetime) -> datetime:
    return facts.not_before + (facts.not_after - facts.not_before) * 2 / 3


def _is_same_span(one: RenewalInfo, other: RenewalInfo) -> bool:
    return (one.start, one.end) == (other.start, other.end)


def _format(moment: datetime) -> str:
    # As strftime would, which takes three times as long; all moments are UTC.
    return f"{moment.isoformat()[:19]}Z"

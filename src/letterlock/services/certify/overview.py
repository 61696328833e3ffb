"""Each of our certificates as an operator sees it: until when, renewed when and why, TLSA.

What is said here is decided by the code that renews: `protocols.acme.renewal`, `tlsa_guard`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from letterlock.base.clock import format_time
from letterlock.protocols.acme.renewal import (
    AuthorityChoice,
    Renewal,
    Trouble,
    choose_authority,
    decide_renewal,
    find_emergency,
)
from letterlock.protocols.policy.dane import find_usable
from letterlock.services.certify.rollover import (
    AFTER_SWITCH,
    PublishedTlsa,
    has_lost_record,
    is_held_up,
)
from letterlock.services.certify.tlsa_guard import find_mismatch
from letterlock.storage.certificates import (
    CertificateId,
    CertificateState,
    KeptFacts,
    RollOver,
    RollOverStage,
)
from letterlock.storage.watched import REMEMBERED, Look, Watched, WatchFinding

UNTRIED = timedelta(hours=1)
"""After so long a renewal that nobody tried is a problem: the nodes look twice a minute."""
PATIENCE: Mapping[str, timedelta] = {
    # Longer than the pauses between generations of workers, `node.supervisor`.
    Look.SERVED: timedelta(minutes=15),
    # A hook that fails once is run again a minute later.
    Look.EXPORTED: timedelta(minutes=15),
    # A server that is away for a day says nothing of the certificate.
    Look.REVOCATION: timedelta(days=2),
}
"""How long something that was seen may last before it is a problem; else it is one at once."""


class TlsaState(StrEnum):
    """What senders that go by DANE find for a certificate."""

    MATCHES = "matches"
    MISMATCH = "mismatch"
    """There are records, and none matches: these senders do not deliver."""
    NONE = "none"
    UNKNOWN = "unknown"
    NOT_ASKED = "not-asked"


@dataclass(frozen=True, slots=True)
class TlsaOverview:
    """The TLSA records of a certificate's name, and whether they fit. `reason` is one line."""

    state: TlsaState
    published: PublishedTlsa | None = None
    reason: str = ""


NOT_ASKED = TlsaOverview(TlsaState.NOT_ASKED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings say. `directories` are the authorities' in their order.

    `is_dns_ours`: the node changes DNS by itself; else the operator has to.
    """

    ids: Sequence[CertificateId]
    directories: Sequence[str]
    takeover_after: int
    is_dns_ours: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """One certificate. `is_wanted`: the settings still name it, so that it is renewed.

    `waits_for_operator`: its roll-over goes on when the operator has changed DNS. `watched` is
    what nodes saw of it last, each with findings.
    """

    state: CertificateState
    is_wanted: bool
    renewal: Renewal
    choice: AuthorityChoice | None
    tlsa: TlsaOverview
    waits_for_operator: bool = False
    watched: tuple[Watched, ...] = ()


def make_overview(
    state: CertificateState,
    wanted: Wanted,
    now: datetime,
    tlsa: TlsaOverview = NOT_ASKED,
    watched: Sequence[Watched] = (),
) -> Overview:
    """Put together what is known. `watched` may be of other certificates too, and outdated."""
    choice = None
    if wanted.directories:
        troubles, takeover_after = state.troubles, wanted.takeover_after
        choice = choose_authority(wanted.directories, troubles, now, takeover_after)
    return Overview(
        state,
        state.id in wanted.ids,
        decide_renewal(state.facts, state.plan, now, revoked=state.revoked),
        choice,
        tlsa,
        waits_for_operator=not wanted.is_dns_ours and _is_dns_awaited(state.rollover, now),
        watched=tuple(each for each in watched if _is_current(each, state, now)),
    )


def is_lasting(finding: WatchFinding, looked: datetime) -> bool:
    """Say if what was seen at a look is a problem, and not what passes by itself."""
    return looked - finding.since >= PATIENCE.get(finding.look, timedelta())


def _is_current(watched: Watched, state: CertificateState, now: datetime) -> bool:
    """Say if what was seen is of the pair in use now, by a node that is still there."""
    is_same = (watched.id, watched.version) == (state.id, state.version)
    return is_same and now - watched.looked < REMEMBERED


def _is_dns_awaited(rollover: RollOver | None, now: datetime) -> bool:
    """Say if a roll-over goes on when its records have changed."""
    if rollover is None:
        return False
    if rollover.stage is RollOverStage.SWITCHED:
        return now >= rollover.since + AFTER_SWITCH
    return rollover.stage is RollOverStage.PUBLISHED


def compare_tlsa(
    published: PublishedTlsa, name: str, chain_der: Sequence[bytes], now: datetime
) -> TlsaOverview:
    """Say whether what is published matches a chain that is in use."""
    if published.fault:
        return TlsaOverview(TlsaState.UNKNOWN, published, published.fault)
    if not published.anywhere:
        return TlsaOverview(TlsaState.NONE, published, published.doubt)
    mismatch = find_mismatch(published, name, chain_der, now)
    if mismatch is not None:
        return TlsaOverview(TlsaState.MISMATCH, published, mismatch)
    return TlsaOverview(TlsaState.MATCHES, published, published.doubt)


def describe_unmatched(published: PublishedTlsa) -> TlsaOverview:
    """Say what senders find for a name that has no certificate yet."""
    if published.fault:
        return TlsaOverview(TlsaState.UNKNOWN, published, published.fault)
    if not find_usable(tuple(published.anywhere)):
        return TlsaOverview(TlsaState.NONE, published, published.doubt)
    reason = (
        f"there are TLSA records at {published.base}, and no certificate yet that could match "
        "them: senders that go by DANE do not deliver"
    )
    return TlsaOverview(TlsaState.MISMATCH, published, reason)


def list_problems(overview: Overview, now: datetime) -> list[str]:
    """Say what somebody has to look at, a line each, the worst first.

    Nothing of a certificate that the settings do not name any more.
    """
    return list(_find_problems(overview, now)) if overview.is_wanted else []


def _find_problems(overview: Overview, now: datetime) -> Iterator[str]:
    state = overview.state
    if (problem := _find_rollover_problem(overview, now)) is not None:
        yield problem
    if (last := _find_trouble(overview)) is not None:
        times = "once" if last.count == 1 else f"{last.count} times in a row"
        yield f"failed {times}: {last.reason}"
    elif overview.renewal.is_due and overview.renewal.at + UNTRIED <= now:
        yield f"due since {format_time(overview.renewal.at)} and not tried: does a node run?"
    if state.facts is not None and state.facts.not_after <= now:
        yield f"expired at {format_time(state.facts.not_after)}"
    elif state.facts is not None and find_emergency(state.facts) <= now:
        yield f"a twentieth of its life is left: it ends at {format_time(state.facts.not_after)}"
    if state.revoked is not None:
        yield f"revoked; seen at {format_time(state.revoked)}"
    if overview.tlsa.state is TlsaState.MISMATCH:
        yield overview.tlsa.reason
    yield from dict.fromkeys(_find_watched(overview))


def _find_rollover_problem(overview: Overview, now: datetime) -> str | None:
    rollover = overview.state.rollover
    if rollover is None:
        return None
    if overview.state.facts is None:
        return f"no certificate yet: {rollover.note}"
    if overview.waits_for_operator:
        return f"key roll-over waits for you: {rollover.note}"
    if has_lost_record(rollover):
        return f"key roll-over: {rollover.note}"
    if is_held_up(rollover, now):
        since = format_time(rollover.since)
        return f"key roll-over goes no further since {since}: {rollover.note}"
    return None


def _find_trouble(overview: Overview) -> Trouble | None:
    """Find the last failure, if what failed is still to be done.

    An order that the operator wished before its time was told to him when it failed; the next is
    placed when it is due, months later maybe, and until then nothing is wrong.
    """
    state = overview.state
    last = max(state.troubles, key=lambda trouble: trouble.last, default=None)
    if last is None or overview.renewal.is_due:
        return last
    return last if state.rollover is not None and last.last >= state.rollover.since else None


def _find_watched(overview: Overview) -> Iterator[str]:
    for watched in overview.watched:
        for finding in watched.findings:
            # What is known of now goes before what was seen then.
            is_asked = finding.look == Look.TLSA and overview.tlsa.state is not TlsaState.NOT_ASKED
            if is_asked or not is_lasting(finding, watched.looked):
                continue
            where = f"{watched.node}: " if finding.look == Look.SERVED else ""
            yield f"{where}{finding.reason}"


def describe_overview(overview: Overview, now: datetime) -> dict[str, object]:
    """Give the document of `cert list --json` for one certificate."""
    state, renewal = overview.state, overview.renewal
    plan, problems = state.plan, list_problems(overview, now)
    window = plan.window if plan is not None else None
    return {
        "name": state.id.name,
        "key_type": str(state.id.key_type).lower(),
        "wanted": overview.is_wanted,
        "certificate": _describe_facts(state.facts, now) if state.facts is not None else None,
        "renewal": {
            "due": renewal.is_due,
            "at": format_time(renewal.at),
            "why": renewal.why,
            "window": (
                {"start": format_time(window.start), "end": format_time(window.end)}
                if window is not None
                else None
            ),
            "explanation": plan.explanation if plan is not None else None,
            "next_try": format_time(overview.choice.at) if overview.choice is not None else None,
            "authority": overview.choice.directory if overview.choice is not None else None,
        },
        "troubles": [_describe_trouble(trouble) for trouble in state.troubles],
        "rollover": _describe_rollover(state.rollover) if state.rollover is not None else None,
        "revoked": format_time(state.revoked) if state.revoked is not None else None,
        "tlsa": _describe_tlsa(overview.tlsa),
        "watched": [
            {
                "node": watched.node,
                "look": finding.look,
                "since": format_time(finding.since),
                "looked": format_time(watched.looked),
                "reason": finding.reason,
            }
            for watched in overview.watched
            for finding in watched.findings
        ],
        "problem": problems[0] if problems else None,
        "problems": problems,
    }


def _describe_facts(facts: KeptFacts, now: datetime) -> dict[str, object]:
    return {
        "serial": facts.serial,
        "names": list(facts.names),
        "issuer": facts.issuer,
        "not_before": format_time(facts.not_before),
        "not_after": format_time(facts.not_after),
        "days_left": (facts.not_after - now).days,
        "spki_sha256": facts.spki_sha256.hex(),
        "authority": facts.directory,
        "issued": format_time(facts.issued),
    }


def _describe_trouble(trouble: Trouble) -> dict[str, object]:
    return {
        "authority": trouble.directory,
        "count": trouble.count,
        "last": format_time(trouble.last),
        "not_before": format_time(trouble.not_before),
        "reason": trouble.reason,
    }


def _describe_rollover(rollover: RollOver) -> dict[str, object]:
    return {
        "stage": rollover.stage.value,
        "since": format_time(rollover.since),
        "ready": format_time(rollover.ready) if rollover.ready is not None else None,
        "spki_sha256": rollover.spki_sha256.hex(),
        "note": rollover.note,
    }


def _describe_tlsa(tlsa: TlsaOverview) -> dict[str, object]:
    published = tlsa.published
    return {
        "state": tlsa.state.value,
        "base": published.base if published is not None and published.base else None,
        "records": sorted(map(str, published.anywhere)) if published is not None else [],
        "reason": tlsa.reason or None,
    }

"""Each of our certificates as an operator sees it: until when, renewed when and why, TLSA.

What is said here is decided by the code that renews: `protocols.acme.renewal`, `tlsa_guard`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from letterlock.base.clock import format_time
from letterlock.protocols.acme.renewal import (
    AuthorityChoice,
    Renewal,
    Trouble,
    choose_authority,
    decide_renewal,
)
from letterlock.services.certify.rollover import PublishedTlsa
from letterlock.services.certify.tlsa_guard import find_mismatch
from letterlock.storage.certificates import CertificateState, KeptFacts, RollOver


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


@dataclass(frozen=True, slots=True)
class Overview:
    """One certificate. `is_wanted`: the settings still name it, so that it is renewed."""

    state: CertificateState
    is_wanted: bool
    renewal: Renewal
    choice: AuthorityChoice | None
    tlsa: TlsaOverview


def make_overview(
    state: CertificateState,
    tlsa: TlsaOverview,
    now: datetime,
    *,
    is_wanted: bool,
    directories: Sequence[str],
    takeover_after: int,
) -> Overview:
    """Put together what is known. `directories` are the authorities in the settings."""
    choice = None
    if directories:
        choice = choose_authority(directories, state.troubles, now, takeover_after)
    renewal = decide_renewal(state.facts, state.plan, now, revoked=state.revoked)
    return Overview(state, is_wanted, renewal, choice, tlsa)


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


def find_problem(overview: Overview, now: datetime) -> str | None:
    """Say in one line what somebody has to look at first; None: nothing."""
    return next(_list_problems(overview, now), None) if overview.is_wanted else None


def _list_problems(overview: Overview, now: datetime) -> Iterator[str]:
    state = overview.state
    if state.facts is None and state.rollover is not None:
        yield f"no certificate yet: {state.rollover.note}"
    if state.troubles:
        last = max(state.troubles, key=lambda trouble: trouble.last)
        times = "once" if last.count == 1 else f"{last.count} times in a row"
        yield f"failed {times}: {last.reason}"
    if state.facts is not None and state.facts.not_after <= now:
        yield f"expired at {format_time(state.facts.not_after)}"
    if state.revoked is not None:
        yield f"revoked; seen at {format_time(state.revoked)}"
    if overview.tlsa.state is TlsaState.MISMATCH:
        yield overview.tlsa.reason


def describe_overview(overview: Overview, now: datetime) -> dict[str, object]:
    """Give the document of `cert list --json` for one certificate."""
    state, renewal = overview.state, overview.renewal
    plan = state.plan
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
        "problem": find_problem(overview, now),
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

"""Until when DNSSEC vouches for what a domain's mail rests on: its MX records, hosts, TLSA records.

RFC 4034 §3.1.5 (when a signature begins and ends), RFC 4035 §5.3.1 (outside that it is worth
nothing), RFC 7672 §2.2 (what DANE rests on). A validator says that all is well until the second in
which it does not; here is said how long that is, for each name and for each zone above it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from letterlock.protocols.check.findings import Finding, FindingId, Severity, make_finding

MARGIN = timedelta(days=2)
"""Signers renew well before: less is left only where something stands still."""
MARGIN_PART = 4
"""But where signatures are made anew for days or hours, a quarter of their time is enough."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature of the records of a name and type; `zone` signed it, `.` is the root.

    `ttl` is the records' own in seconds (RFC 4034 §3.1.4), whatever a cache has left of it.
    """

    name: str
    rdtype: str
    zone: str
    begins: datetime
    ends: datetime
    ttl: int | None = None

    def __str__(self) -> str:
        return f"{self.rdtype} of {self.name}"


def pick_lasting(signatures: Iterable[Signature]) -> tuple[Signature, ...]:
    """Take of each name and type the signature that lasts longest: one that is valid is enough."""
    best: dict[tuple[str, str], Signature] = {}
    for each in signatures:
        known = best.setdefault((each.name, each.rdtype), each)
        if each.ends > known.ends:
            best[each.name, each.rdtype] = each
    return tuple(best.values())


def find_nearest(signatures: Sequence[Signature]) -> Signature | None:
    """Find the one that ends first; None: there is none."""
    return min(signatures, key=lambda each: each.ends, default=None)


def find_signature_faults(signatures: Sequence[Signature], now: datetime) -> Iterator[Finding]:
    """Find what is not signed now, or soon will not be: once for each zone."""
    for zone in dict.fromkeys(each.zone for each in signatures):
        own = sorted((each for each in signatures if each.zone == zone), key=lambda it: it.ends)
        yield from _check_ended(zone, [each for each in own if each.ends <= now])
        yield from _check_soon(zone, [each for each in own if _is_soon(each, now)], now)
        yield from _check_begun(zone, [each for each in own if each.begins > now])


def _is_soon(signature: Signature, now: datetime) -> bool:
    left, whole = signature.ends - now, signature.ends - signature.begins
    return timedelta(0) < left < min(MARGIN, whole / MARGIN_PART)


def _check_ended(zone: str, ended: Sequence[Signature]) -> Iterator[Finding]:
    if ended:
        evidence = f"the signature of {ended[0]} ended at {_format(ended[0].ends)}{_count(ended)}"
        fix = "have the zone signed anew; to all who validate these records do not exist"
        yield make_finding(FindingId.RRSIG_ENDED, Severity.CRITICAL, zone, evidence, fix)


def _check_soon(zone: str, ending: Sequence[Signature], now: datetime) -> Iterator[Finding]:
    if ending:
        first = ending[0]
        hours = (first.ends - now) / timedelta(hours=1)
        evidence = (
            f"the signature of {first} ends at {_format(first.ends)}, in {hours:.0f} hours"
            f"{_count(ending)}"
        )
        fix = "see that the zone is signed anew in time, and that all its servers get it"
        yield make_finding(FindingId.RRSIG_ENDS_SOON, Severity.WARNING, zone, evidence, fix)


def _check_begun(zone: str, coming: Sequence[Signature]) -> Iterator[Finding]:
    if coming:
        latest = max(coming, key=lambda each: each.begins)
        evidence = (
            f"the signature of {latest} begins at {_format(latest.begins)} only{_count(coming)}"
        )
        fix = "set the signer's clock, and have the zone signed anew; or set the clock here"
        yield make_finding(FindingId.RRSIG_NOT_YET, Severity.CRITICAL, zone, evidence, fix)


def _count(found: Sequence[Signature]) -> str:
    return f" (and those of {len(found) - 1} more names or types)" if len(found) > 1 else ""


def _format(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"

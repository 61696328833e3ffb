"""What is to be told of the node itself: its certificates' ends, what comes in, what goes out.

Rules A3 (certificates in use), A9 and A10. Pure.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from msgspec import Struct

from letterlock.base.config.alerting import AlertsSection
from letterlock.base.counts import format_count
from letterlock.services.alert.conditions import (
    ACTIVE_DAYS,
    Condition,
    Found,
    clean,
    join,
    make_text,
    name_some,
    start_of,
)
from letterlock.storage.alerts import AlertKey, Rule
from letterlock.storage.own_reports import DeliveryState, OwnReport, ReportDelivery
from letterlock.storage.received_reports import ListedReport, Standing

WARNED_BEFORE = (timedelta(days=14), timedelta(days=7), timedelta(days=2), timedelta(0))
"""Each is told anew."""
USUAL_LIFETIME = timedelta(days=90)
"""One that is made for a shorter time is warned of later, in the same proportion."""
UNDELIVERED_AFTER = timedelta(hours=24)
"""RFC 8460 §5.5: for so long a report is tried."""
DAY = timedelta(days=1)
LOOKED_BACK = 3
"""Days of our own reports."""
_TOO_LARGE = "too large"


class UsedCertificate(Struct, frozen=True):
    """A certificate that this node serves."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


class LostSessions(Struct, frozen=True):
    """Sessions that a Postfix told of on a day, and that were not counted."""

    day: date
    dropped: int
    beyond: int


def find_ends(certificates: Iterable[UsedCertificate], node: str, now: datetime) -> Found:
    """Find certificates in use that end soon; of those with the same first name one counts."""
    first: dict[str, UsedCertificate] = {}
    for each in certificates:
        name = each.names[0] if each.names else "a certificate without names"
        if name not in first or each.not_after < first[name].not_after:
            first[name] = each
    return join(_judge_end(name, each, node, now) for name, each in first.items())


def _judge_end(name: str, used: UsedCertificate, node: str, now: datetime) -> Found:
    key = AlertKey(Rule.EXPIRY, "", clean(f"certificate {name}"), node)
    share = min(1.0, (used.not_after - used.not_before) / USUAL_LIFETIME)
    left = used.not_after - now
    level = sum(left <= before * share for before in WARNED_BEFORE)
    end = f"{used.not_after:%Y-%m-%d %H:%M} UTC"
    if not level:
        return Found(mended={key: f"the one in use now is good until {end}"})
    is_over = left <= timedelta(0)
    what = f"the certificate for {name} {'has expired' if is_over else 'expires soon'}"
    evidence = (f"it {'was' if is_over else 'is'} good until {end}", f"served by {node}")
    remedy = "renew it: letterlock cert list, and letterlock status, say what keeps it"
    since = used.not_after - max(before for before in WARNED_BEFORE) * share
    return Found((Condition(key, make_text(what, since, evidence, remedy), level),))


def find_intake(
    unproved: Sequence[ListedReport],
    counted: dict[str, date],
    limits: AlertsSection,
    now: datetime,
) -> Found:
    """Find reports that cannot be read or are not signed.

    `unproved` are those of ACTIVE_DAYS that do not count; `counted` gives the last day that each
    submitter's reports are about, of those that count.
    """
    recent = [each for each in unproved if now - DAY < each.received]
    unsigned = sum(each.standing is Standing.UNAUTHENTICATED for each in recent)
    huge = [
        each
        for each in recent
        if each.standing is Standing.REFUSED
        and each.note.startswith(_TOO_LARGE)
        and each.submitter not in counted
    ]
    known: dict[str, ListedReport] = {}
    for each in unproved:
        is_newer = each.submitter not in known or each.received > known[each.submitter].received
        if each.standing is Standing.REFUSED and each.submitter in counted and is_newer:
            known[each.submitter] = each
    return join(
        (
            _judge_unsigned(unsigned, limits.unsigned_reports, now),
            _judge_huge(huge, now),
            *(_judge_refused(each, counted[who], now) for who, each in known.items()),
        )
    )


def _judge_unsigned(unsigned: int, limit: int, now: datetime) -> Found:
    key = AlertKey(Rule.INTAKE, "", "unsigned")
    have = ("report in the last 24 hours has", "reports in the last 24 hours have")
    told = f"{format_count(unsigned, *have)} no good signature"
    if not limit or unsigned < limit:
        return Found(mended={key: told})
    remedy = (
        "they are kept, and never counted: letterlock tlsrpt list has the reasons; where it is one "
        "sender, that one signs wrongly; else somebody makes them up"
    )
    return Found((Condition(key, make_text(told, now - DAY, (f"told from {limit} on",), remedy)),))


def _judge_huge(huge: Sequence[ListedReport], now: datetime) -> Found:
    key = AlertKey(Rule.INTAKE, "", _TOO_LARGE)
    if not huge:
        return Found(mended={key: "none in the last 24 hours"})
    unpack = ("report in the last 24 hours unpacks", "reports in the last 24 hours unpack")
    what = f"{format_count(len(huge), *unpack)} to more than is read"
    evidence = [f"{name_some(each.submitter for each in huge)}: {huge[0].note}"]
    remedy = "they do no harm; whoever sends them is no reporter: letterlock tlsrpt list"
    return Found((Condition(key, make_text(what, now - DAY, evidence, remedy)),))


def _judge_refused(refused: ListedReport, counted: date, now: datetime) -> Found:
    who = refused.submitter or "somebody"
    key = AlertKey(Rule.INTAKE, "", clean(f"refused {who}"))
    if counted >= refused.received.date():
        return Found(mended={key: clean(f"a report of {who} on {counted} could be read")})
    if refused.received <= now - timedelta(ACTIVE_DAYS):
        return Found()
    evidence = (f"{refused.received:%Y-%m-%d %H:%M} UTC: {refused.note}",)
    remedy = (
        f"letterlock tlsrpt list --raw {refused.id} gives it as it came; tell the sender at its "
        "contact, or us, where it should be readable"
    )
    what = f"a report of {who}, which reported before, cannot be read"
    return Found((Condition(key, make_text(what, refused.received, evidence, remedy)),))


def find_undelivered(reports: Iterable[OwnReport], limits: AlertsSection, now: datetime) -> Found:
    """Find reports of ours that nobody took within a day, of LOOKED_BACK days."""
    key = AlertKey(Rule.OUTBOUND, "", "reports")
    sent, failed = 0, []
    for report in reports:
        late = [each for each in report.deliveries if _is_undelivered(each, now)]
        sent += any(each.state is DeliveryState.SENT for each in report.deliveries)
        failed += [(report, late[0])] if late else []
    if len(failed) < limits.undelivered_reports:
        were = (f"report of {LOOKED_BACK} days was", f"reports of {LOOKED_BACK} days were")
        missed = format_count(len(failed), "was", "were")
        text = f"{format_count(sent, *were)} taken, {missed} not"
        return Found(mended={key: text}) if sent else Found()
    evidence = [
        f"{report.key.day} {report.key.domain}, {delivery.uri}: {delivery.note}"
        for report, delivery in failed
    ]
    missed = format_count(len(failed), "report of ours was", "reports of ours were")
    what = f"{missed} not taken within 24 hours; {format_count(sent, 'was', 'were')}"
    remedy = "letterlock tlsrpt send, and letterlock status, say what keeps them"
    since = start_of(min(report.key.day for report, _ in failed))
    return Found((Condition(key, make_text(what, since, evidence, remedy)),))


def _is_undelivered(delivery: ReportDelivery, now: datetime) -> bool:
    if delivery.state is DeliveryState.FAILED:
        return True
    is_old = delivery.first is not None and delivery.first <= now - UNDELIVERED_AFTER
    return delivery.state is DeliveryState.WAITING and is_old


def find_lost(lost: Sequence[LostSessions], node: str) -> Found:
    """Find sessions of a Postfix that were not counted; `lost` is each day that is looked at."""
    key = AlertKey(Rule.OUTBOUND, "", "sessions", node)
    bad = [each for each in lost if each.dropped or each.beyond]
    if not bad:
        return Found(mended={key: f"none on {max(each.day for each in lost)}"} if lost else {})
    evidence = [
        f"{each.day}: {each.dropped} came faster than they were counted, {each.beyond} were more "
        "than a day can hold"
        for each in bad
    ]
    remedy = "give the collector time and net.unix.max_dgram_qlen room: its guide says how"
    what = f"sessions that a Postfix told of were not counted on {node}"
    since = start_of(min(each.day for each in bad))
    return Found((Condition(key, make_text(what, since, evidence, remedy)),))

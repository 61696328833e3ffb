"""TLS reports from a mail log: for a Postfix before 3.10, or an Exim, which make none themselves.

RFC 8460 §4.2, §4.3. A log does not have all that a report may: which policy a session was held to
is known only where the log shows the level (Postfix 3.11 and later); else it is `no-policy-found`.
All recipients of a message at one host are one session. What failed before STARTTLS could be asked
for is no session.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, tzinfo

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.mail_log.causes import Cause
from letterlock.protocols.mail_log.deliveries import LoggedDelivery
from letterlock.protocols.mail_log.stamps import read_stamp
from letterlock.protocols.mail_log.summary import find_remedy
from letterlock.protocols.pki.names import parse_ip
from letterlock.protocols.tlsrpt.file_names import FileName, format_file_name
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Outcome, Session
from letterlock.services.collect.aggregate import DayCounts
from letterlock.services.report.composing import DayReports, Submitter

SOURCE = "log"
_SENT = frozenset({Cause.OK, Cause.OK_VERIFIED, Cause.OK_DANE})
_SECONDS_OF_DAY = 86_399


def make_session(delivery: LoggedDelivery) -> Session | None:
    """Give the session of a delivery; None: it came to none that a report would tell of."""
    try:
        domain = parse_domain(delivery.domain)
    except DomainError:
        return None
    result_type = find_remedy(delivery.cause).result_type
    is_sent = delivery.cause in _SENT or delivery.cause.startswith("ok-second-mx-after-")
    if is_sent or (result_type is None and delivery.tls is not None):
        outcome = Outcome(_find_policy(delivery, domain), is_failed=False)
        return Session(domain, "", (outcome,))
    if result_type is None:
        return None
    failure = FailureDetails(
        result_type=str(result_type),
        receiving_mx_hostname=delivery.mx.lower() or None,
        receiving_ip=delivery.ip if parse_ip(delivery.ip) is not None else None,
        reason_code=str(delivery.cause),
    )
    policy = _find_policy(delivery, domain)
    return Session(domain, "", (Outcome(policy, is_failed=True, failures=(failure,)),))


def _find_policy(delivery: LoggedDelivery, domain: str) -> AppliedPolicy:
    is_dane = "dane" in delivery.level or delivery.cause == Cause.OK_DANE
    if is_dane and delivery.mx:
        # RFC 8460 §1.1: the policy domain is the TLSA base domain.
        return AppliedPolicy(PolicyType.TLSA, delivery.mx.lower())
    return AppliedPolicy(PolicyType.NO_POLICY_FOUND, domain)


class LogReports:
    """Counts the sessions of a log by day; `now` and `zone` are for stamps without year or zone."""

    def __init__(self, now: datetime, zone: tzinfo) -> None:
        self._now = now
        self._zone = zone
        self._days: dict[date, DayCounts] = {}
        self._last: tuple[str, str, str] | None = None
        self.undated = 0
        """Deliveries whose day nobody knows: they are in no report."""

    def add(self, delivery: LoggedDelivery) -> None:
        """Count a delivery, unless its session was counted for another recipient."""
        key = delivery.queue_id, delivery.relay, delivery.cause
        is_same, self._last = key == self._last, key
        if is_same:
            return
        session = make_session(delivery)
        if session is None:
            return
        moment = read_stamp(delivery.stamp, self._now, self._zone)
        if moment is None:
            self.undated += 1
            return
        self._days.setdefault(moment.date(), DayCounts()).add(session)

    def compose(self, submitter: Submitter) -> Iterator[tuple[str, bytes]]:
        """Give each report: the name of its file, as RFC 8460 §5.1 has it, and its JSON."""
        for day in sorted(self._days):
            reports = DayReports(day, self._days[day])
            begin = int(datetime.combine(day, time(), UTC).timestamp())
            for topic in reports.topics:
                report_id = submitter.make_report_id(SOURCE, day, topic)
                octets = reports.compose(topic, submitter, report_id)
                if octets is None:
                    continue
                unique = report_id.partition("@")[0].rpartition(".")[2]
                name = FileName(
                    parse_domain(submitter.domain),
                    parse_domain(topic.domain),
                    begin,
                    begin + _SECONDS_OF_DAY,
                    unique,
                    is_packed=False,
                )
                yield format_file_name(name), octets

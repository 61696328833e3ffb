"""What a day's sessions to one domain came to, on the way to a report about them.

RFC 8460 §4.1 (a report is about a day of UTC), §4.2. Who the report goes to says the domain's
TLSRPT record, as it was when the sessions were made.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from msgspec import Struct

from letterlock.protocols.tlsrpt.record import TlsrptRecord, TlsrptRecordError, parse_record
from letterlock.protocols.tlsrpt.report import PolicyResult, Report


class DomainResults(Struct, frozen=True):
    """Sessions of one day to one domain, under one TLSRPT record.

    `record` is the text of the record: two that were seen on a day make two reports.
    """

    domain: str
    record: str
    policies: tuple[PolicyResult, ...]

    @property
    def destinations(self) -> Sequence[str]:
        """The URIs that want the report; none where the record is not valid."""
        match parse_record([self.record.encode("utf-8", "replace")]):
            case TlsrptRecord() as record:
                return record.destinations
            case TlsrptRecordError() | None:
                return ()


def make_report(
    results: DomainResults, day: date, organization_name: str, contact_info: str, report_id: str
) -> Report:
    """Make the report about a day (RFC 8460 §4.4): from 00:00:00 to 23:59:59, in UTC."""
    start = datetime.combine(day, time(), UTC)
    end = start + timedelta(days=1, seconds=-1)
    return Report(organization_name, report_id, start, end, contact_info, results.policies)

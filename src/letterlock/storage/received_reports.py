"""The reports on TLS that others send, as they are kept: each as it came, and what it says as rows.

RFC 8460 §4.4, §7. In the node's database, which all processes of a node share, or all nodes:
`storage.sqlite.received_reports`, `storage.postgres.received_reports`; `tests/storage` runs one
suite on both. Whether a report counts is decided before, by `services.intake`.
"""

import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from letterlock.protocols.tlsrpt.report import FailureDetails, Report
from letterlock.storage.records import from_micros, to_micros, to_text

REPORT_COLUMNS = (
    *("fingerprint", "day", "received", "way", "standing"),
    *("submitter", "note", "facts", "octets"),
)
"""What `make_report_row` gives."""
LISTED_COLUMNS = (
    *("id", "day", "received", "way", "standing"),
    *("submitter", "note", "facts", "copies"),
)
"""What `take_listed_row` takes."""
RESULT_COLUMNS = (
    *("report", "place", "domain", "day", "type"),
    *("successful", "failed", "policy", "failures"),
)
"""What `make_result_rows` gives."""
MAX_DOMAINS = 100
"""Of the domains of one report that a list tells; its rows have all."""
POSTED = " (posted)"
"""Stands behind a submitter that nothing but the report itself tells of."""


class Way(StrEnum):
    """How a report came."""

    MAIL = "mail"
    HTTPS = "https"
    IMPORT = "import"


class Standing(StrEnum):
    """What is made of a report."""

    COUNTED = "counted"
    UNAUTHENTICATED = "unauthenticated"
    """Kept, and never counted: anybody could have written it."""
    REFUSED = "refused"
    """It could not be read."""


class ReceivedReport(Struct, frozen=True):
    """A report that came. `report` is None where it is refused.

    `submitter` is whose report it is: the domain that signed it, or that its contact is in; its
    organization's name where there is none. `note` says why it does not count.
    """

    received: datetime
    way: Way
    standing: Standing
    submitter: str
    report: Report | None
    octets: bytes
    repairs: tuple[str, ...] = ()
    note: str = ""

    @property
    def told_submitter(self) -> str:
        """Whose report it is, as it is told everywhere: what was posted proves nobody."""
        return f"{self.submitter}{POSTED}" if self.way is Way.HTTPS else self.submitter

    @property
    def day(self) -> date:
        """The day in UTC that it is about."""
        start = self.report.start if self.report is not None else None
        return (start or self.received).date()


class ReportFacts(Struct, frozen=True):
    """What a report says of itself. `domains` are the policy domains, MAX_DOMAINS at most."""

    organization_name: str | None = None
    report_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    contact_info: str | None = None
    domains: tuple[str, ...] = ()
    policies: int = 0
    repairs: tuple[str, ...] = ()


class ListedReport(Struct, frozen=True):
    """A report in a list. `copies`: how often the same one came again."""

    id: int
    day: date
    received: datetime
    way: Way
    standing: Standing
    submitter: str
    note: str
    facts: ReportFacts
    copies: int


class _Policy(Struct, frozen=True):
    strings: tuple[str, ...]
    mx_hosts: tuple[str, ...]


class KeptResult(Struct, frozen=True):
    """What one report says of one policy. What it does not tell is None."""

    day: date
    submitter: str
    type: str | None
    strings: tuple[str, ...]
    mx_hosts: tuple[str, ...]
    successful: int | None
    failed: int | None
    failures: tuple[FailureDetails, ...]


class Arrival(Struct, frozen=True):
    """When the first report of somebody on a day came."""

    submitter: str
    day: date
    received: datetime


class DomainCount(Struct, frozen=True):
    """How much is kept of one policy domain."""

    domain: str
    reports: int
    submitters: int
    first: date
    last: date


class ReceivedStore(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def open(self) -> None:
        """Make or bring forward the tables. Raises LocalError when the operator must act."""

    async def close(self) -> None: ...

    async def keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        """Keep reports; gives for each if it is new. One that is there already is counted as copy.

        The same is what has the same submitter, report-id, dates and domains (RFC 8460 §4.4 asks
        for no more than a unique id, and not all are); one that counts is never the same as one
        that does not. One that was posted is a copy of one whose submitter is proved; and one
        that is proved takes the place of one that was posted, since anybody can post first.
        """

    async def list_reports(
        self, *, domain: str | None, since: date, limit: int, below: int | None = None
    ) -> list[ListedReport]:
        """List reports on days from `since` on, the last that came first.

        `below` is the id of the last one of the page before.
        """

    async def load_octets(self, number: int) -> bytes | None:
        """Give a report as it came, None where there is none with this id."""

    async def list_unproved(self, since: datetime, *, limit: int) -> list[ListedReport]:
        """List reports that came since some moment and do not count, the last that came first."""

    async def list_results(
        self, domain: str, since: date, until: date, *, only_failing: bool = False
    ) -> list[KeptResult]:
        """List what counts of a policy domain, on days from `since` to before `until`, by day."""

    async def list_arrivals(self, domain: str, since: date) -> list[Arrival]:
        """List when what counts of a policy domain came, of days from `since` on.

        By submitter and day.
        """

    async def list_domains(self, since: date) -> list[DomainCount]:
        """List the policy domains that reports count for, on days from `since` on."""

    async def forget(self, before: date, unproved_before: datetime) -> int:
        """Remove the reports on days before a day; gives how many.

        Of those that do not count also what was received before some moment.
        """


_ENCODER = msgspec.json.Encoder()
_FACTS = msgspec.json.Decoder(ReportFacts)
_POLICY = msgspec.json.Decoder(_Policy)
_FAILURES = msgspec.json.Decoder(tuple[FailureDetails, ...])

Row = tuple[str | int | bytes | None, ...]


def make_report_row(received: ReceivedReport) -> tuple[Row, bytes | None]:
    """Give the values of REPORT_COLUMNS.

    The second is the fingerprint of the same report, proved; None for one that was not posted.
    """
    report = received.report
    domains = _list_domains(report)
    fingerprint, proved = _find_fingerprint(received, domains), None
    if received.way is Way.HTTPS:
        fingerprint, proved = _find_posted(fingerprint), fingerprint
    facts = ReportFacts(repairs=received.repairs)
    if report is not None:
        facts = ReportFacts(
            *(report.organization_name, report.report_id, report.start, report.end),
            *(report.contact_info, tuple(domains[:MAX_DOMAINS]), len(report.policies)),
            received.repairs,
        )
    row = (
        fingerprint,
        received.day.isoformat(),
        to_micros(received.received),
        str(received.way),
        str(received.standing),
        to_text(received.told_submitter),
        to_text(received.note),
        _to_json(facts),
        zlib.compress(received.octets),
    )
    return row, proved


def find_posted(received: ReceivedReport, fingerprint: bytes) -> bytes | None:
    """Give the fingerprint of the same report, posted; None where this one does not replace it.

    `fingerprint` is that of its row.
    """
    if received.way is Way.HTTPS or received.standing is not Standing.COUNTED:
        return None
    return _find_posted(fingerprint)


def make_result_rows(number: int, received: ReceivedReport) -> Iterator[Row]:
    """Give the values of RESULT_COLUMNS for each policy of a report with this id."""
    policies = received.report.policies if received.report is not None else ()
    day = received.day.isoformat()
    for place, each in enumerate(policies):
        yield (
            *(number, place, to_text(each.domain or ""), day),
            None if each.type is None else to_text(each.type),
            *(each.successful, each.failed),
            _to_json(_Policy(each.strings, each.mx_hosts)),
            _to_json(each.failures) if each.failures else None,
        )


def take_listed_row(row: Sequence[Any]) -> ListedReport:
    """Take the values of LISTED_COLUMNS."""
    number, day, received, way, standing, submitter, note, facts, copies = row
    return ListedReport(
        *(number, date.fromisoformat(day), from_micros(received), Way(way), Standing(standing)),
        *(submitter, note, _FACTS.decode(facts), copies),
    )


def take_result_row(row: Sequence[Any]) -> KeptResult:
    """Take day, submitter, type, successful, failed, policy and failures."""
    day, submitter, kind, successful, failed, policy, failures = row
    told = _POLICY.decode(policy)
    return KeptResult(
        *(date.fromisoformat(day), submitter, kind, told.strings, told.mx_hosts),
        *(successful, failed, () if failures is None else _FAILURES.decode(failures)),
    )


def take_arrival_row(row: Sequence[Any]) -> Arrival:
    """Take submitter, day, and when the first came."""
    submitter, day, received = row
    return Arrival(submitter, date.fromisoformat(day), from_micros(received))


def take_domain_row(row: Sequence[Any]) -> DomainCount:
    """Take domain, number of reports and of submitters, first day, last day."""
    domain, reports, submitters, first, last = row
    return DomainCount(
        domain, reports, submitters, date.fromisoformat(first), date.fromisoformat(last)
    )


def unpack_octets(packed: bytes) -> bytes:
    """Give octets as they came."""
    return zlib.decompress(packed)


def _list_domains(report: Report | None) -> list[str]:
    return sorted({each.domain for each in report.policies if each.domain} if report else ())


def _to_json(value: object) -> str:
    return _encode(value).decode()


def _encode(value: object) -> bytes:
    """Encode; half of a surrogate pair, which a report may have, becomes a question mark."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        loose = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
        return loose.encode("utf-8", "replace")


def _find_fingerprint(received: ReceivedReport, domains: Sequence[str]) -> bytes:
    report = received.report
    if report is None or report.report_id is None:
        # It has no name: the same octets are the same report.
        what: tuple[object, ...] = (received.submitter, received.octets)
    else:
        what = (received.submitter, report.report_id, report.start, report.end, domains)
    whole = (received.standing is Standing.COUNTED, report is not None, what)
    return hashlib.sha256(_encode(whole)).digest()


def _find_posted(fingerprint: bytes) -> bytes:
    """Give the fingerprint of the same report where it was posted."""
    return hashlib.sha256(b"posted" + fingerprint).digest()

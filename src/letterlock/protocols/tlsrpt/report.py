"""A TLS report as a value: who reports, on which day, and how sessions fared under each policy.

RFC 8460 §4.2 (counts), §4.4 (fields). Reading is in `reading`, writing in `writing`. What a report
does not say is None, never zero; counts of several policies may be about the same sessions (§4),
and are never added up.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

MAX_COUNT = 2**53 - 1
"""RFC 7493 §2.2: the integers that every JSON reader takes for what they are."""


class FailureDetails(
    Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={
        "result_type": "result-type",
        "count": "failed-session-count",
        "sending_mta_ip": "sending-mta-ip",
        "receiving_mx_hostname": "receiving-mx-hostname",
        "receiving_mx_helo": "receiving-mx-helo",
        "receiving_ip": "receiving-ip",
        "additional_information": "additional-information",
        "reason_code": "failure-reason-code",
    },
):
    """Sessions that failed alike. In JSON its fields have the names of RFC 8460 §4.4.

    `result_type` is the text of the report: a `ResultType`, or a word that is not in the RFC.
    Addresses are as RFC 5952 writes them, the host name is in lower case.
    """

    result_type: str | None = None
    count: int | None = None
    sending_mta_ip: str | None = None
    receiving_mx_hostname: str | None = None
    receiving_mx_helo: str | None = None
    receiving_ip: str | None = None
    additional_information: str | None = None
    reason_code: str | None = None


class PolicyResult(Struct, frozen=True):
    """How sessions fared that were held to one policy.

    `type` is the text of the report: a `PolicyType`, or a word that is not in the RFC. `strings`
    are the lines of an MTA-STS policy or the TLSA records; `mx_hosts` its patterns, for `sts`.
    """

    type: str | None
    domain: str | None
    strings: tuple[str, ...] = ()
    mx_hosts: tuple[str, ...] = ()
    successful: int | None = None
    failed: int | None = None
    failures: tuple[FailureDetails, ...] = ()


class Report(Struct, frozen=True):
    """One report. `start` and `end` are in UTC."""

    organization_name: str | None
    report_id: str | None
    start: datetime | None
    end: datetime | None
    contact_info: str | None
    policies: tuple[PolicyResult, ...]


class ReadReport(Struct, frozen=True):
    """A report that was read: what it says, what was repaired for that, and the JSON as it came.

    `repairs` are lines, each with the place and what was wrong; without any the report is clean.
    """

    report: Report
    repairs: tuple[str, ...]
    raw: bytes


class Fault(StrEnum):
    """Why something is not read as a report."""

    NO_REPORT = "no report"
    TOO_LARGE = "too large"
    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    NOT_JSON = "not JSON"
    NOT_A_REPORT = "not a TLS report"


class ReportError(ValueError):
    """What was given is no report that can be read; the text is one line and begins with `fault`.

    It is the only exception that reading a report raises, for any octets.
    """

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(f"{fault.value}: {text}")
        self.fault = fault

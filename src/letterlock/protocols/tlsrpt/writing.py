"""A report becomes JSON: what RFC 8460 has, in the order in which it has it.

RFC 8460 §4.4, RFC 7493. The same report gives the same octets. Who makes a report sees to it that
all that a receiver needs is in it: what is unknown cannot be written.
"""

from datetime import UTC, datetime

from msgspec import Struct
from msgspec.json import Encoder

from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.report import FailureDetails, PolicyResult, Report

_ENCODER = Encoder()


class _Range(Struct, rename="kebab"):
    start_datetime: str
    end_datetime: str


class _Policy(Struct, rename="kebab", omit_defaults=True):
    policy_type: str
    policy_domain: str
    policy_string: tuple[str, ...] | None = None
    mx_host: tuple[str, ...] | None = None


class _Summary(
    Struct,
    rename={
        "successful": "total-successful-session-count",
        "failed": "total-failure-session-count",
    },
):
    successful: int
    failed: int


class _Result(Struct, rename="kebab"):
    policy: _Policy
    summary: _Summary
    failure_details: tuple[FailureDetails, ...]


class _Report(Struct, rename="kebab"):
    organization_name: str
    date_range: _Range
    contact_info: str
    report_id: str
    policies: tuple[_Result, ...]


def format_report(report: Report) -> bytes:
    """Format a report. Raises ValueError where something is unknown that must not be.

    Moments are written in whole seconds. `mx-host` is there for `sts` only, `policy-string` where
    there is a policy.
    """
    wire = _Report(
        _need(report.organization_name, "organization-name"),
        _Range(format_moment(report.start), format_moment(report.end)),
        _need(report.contact_info, "contact-info"),
        _need(report.report_id, "report-id"),
        tuple(map(_make_result, report.policies)),
    )
    return _ENCODER.encode(wire)


def format_moment(moment: datetime | None) -> str:
    """Format a moment as RFC 3339 has it, in UTC with Z, in whole seconds. Raises ValueError."""
    if moment is None:
        raise ValueError("a report has a start and an end")
    return f"{moment.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat()}Z"


def _make_result(result: PolicyResult) -> _Result:
    kind = _need(result.type, "policy-type")
    policy = _Policy(
        kind,
        _need(result.domain, "policy-domain"),
        None if kind == PolicyType.NO_POLICY_FOUND else result.strings,
        result.mx_hosts if kind == PolicyType.STS else None,
    )
    if result.successful is None or result.failed is None:
        raise ValueError("a policy has both counts")
    if any(each.result_type is None or each.count is None for each in result.failures):
        raise ValueError("a failure has its result-type and its count")
    return _Result(policy, _Summary(result.successful, result.failed), result.failures)


def _need(value: str | None, name: str) -> str:
    if not value:
        raise ValueError(f"a report has its {name}")
    return value

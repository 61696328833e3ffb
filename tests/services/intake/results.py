"""Kept results, made by hand."""

from datetime import date, timedelta
from typing import Any

from msgspec.structs import replace

from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.storage.received_reports import KeptResult

TODAY = date(2026, 4, 30)
UNTIL = TODAY + timedelta(1)
TESTING = ("version: STSv1", "mode: testing", "mx: mx.example.org", "max_age: 86400")
ENFORCED = tuple(line.replace("testing", "enforce") for line in TESTING)
EXPIRED = FailureDetails("certificate-expired", 3, "192.0.2.1", "mx.example.org")


def kept(days_ago: int = 1, submitter: str = "google.example", **changes: Any) -> KeptResult:
    """Make a result of ten sessions that were fine; `changes` are the names of its fields."""
    day = TODAY - timedelta(days_ago)
    fine = KeptResult(day, submitter, "sts", TESTING, (), 10, 0, ())
    return replace(fine, **changes)
